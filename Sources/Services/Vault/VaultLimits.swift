internal import NIOCore
internal import Synchronization

/// What a vault takes.
public struct VaultLimits: Sendable {
    /// Signatures with the issuer's keys in a second, on average; a second's worth more at once. A node that was taken
    /// over has no more signed than this.
    public var issuerPerSecond: Int
    /// Proofs and outputs of the mint in a second, likewise.
    public var mintPerSecond: Int
    /// Requests of one connection that wait for their answer.
    public var inFlight: Int
    /// Connections at once.
    public var connections: Int
    /// Keysets whose keys are in memory.
    public var keysets: Int
    /// Users besides the vault's own who may connect as a node. Only its own may lock and unlock.
    public var nodeUsers: Set<UInt32>

    public init(
        issuerPerSecond: Int = 20_000,
        mintPerSecond: Int = 100_000,
        inFlight: Int = 1024,
        connections: Int = 8,
        keysets: Int = 4096,
        nodeUsers: Set<UInt32> = []
    ) {
        self.issuerPerSecond = issuerPerSecond
        self.mintPerSecond = mintPerSecond
        self.inFlight = inFlight
        self.connections = connections
        self.keysets = keysets
        self.nodeUsers = nodeUsers
    }
}

/// So many a second on average, and as many more at once.
final class RateGate: Sendable {
    private let perSecond: Int
    private let now: @Sendable () -> UInt64
    private let state: Mutex<(tokens: Double, at: UInt64)>

    /// - Parameter now: nanoseconds of a clock that never goes back.
    init(perSecond: Int, now: @escaping @Sendable () -> UInt64) {
        self.perSecond = max(perSecond, 1)
        self.now = now
        state = Mutex((Double(self.perSecond), now()))
    }

    /// - Throws: `VaultError` `.busy` where the rate would be passed; then nothing is taken.
    func take(_ count: Int) throws(VaultError) {
        let time = now()
        let isThere = state.withLock { state in
            let passed = time > state.at ? Double(time - state.at) / 1e9 : 0
            state.tokens = min(Double(perSecond), state.tokens + passed * Double(perSecond))
            state.at = max(time, state.at)
            // More than a second's worth is let through when it is full: one batch may be larger than the rate.
            guard state.tokens >= min(Double(count), Double(perSecond)) else { return false }
            state.tokens -= Double(count)
            return true
        }
        guard isThere else {
            throw VaultError(.busy, "the vault signs \(perSecond) of these a second at most; try again shortly")
        }
    }
}
