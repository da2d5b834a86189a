import Cryptography
import Encodings
import SignedDocuments
import Synchronization

/// Nonces of request signatures, each kept until its signature ends.
///
/// Held in memory: whatever was signed before this process began is refused outright, so that a restart opens no window
/// for replays. At most ``maximumCount`` at a time; over it, requests are turned away rather than let through unseen.
final class NonceStore: Sendable {
    /// Room for 8,000 signed requests a second at the longest life of a signature.
    static let maximumCount = 500_000

    enum Outcome: Equatable {
        case fresh
        case replayed
        case full
    }

    private struct State {
        /// First 16 bytes of SHA-256(key ‖ nonce), in buckets by the second in which they end.
        var buckets: [Int64: Set<[UInt8]>] = [:]
        var count = 0
        var sweptSecond: Int64 = 0
    }

    private let state = Mutex(State())
    private let limit: Int

    init(limit: Int = maximumCount) {
        self.limit = limit
    }

    /// Takes a nonce up, once.
    func use(_ nonce: String, of key: DIDKey, expires: Timestamp, now: Timestamp) -> Outcome {
        let mark = Array(Hashing.sha256(key.publicKey + Array(nonce.utf8)).prefix(16))
        let second = expires.secondsSince1970
        return state.withLock { state in
            Self.sweep(&state, now: now.secondsSince1970)
            // The same nonce may come with another end: look in every bucket, of which there are about 60.
            if state.buckets.values.contains(where: { $0.contains(mark) }) { return .replayed }
            guard state.count < limit else { return .full }
            state.buckets[second, default: []].insert(mark)
            state.count += 1
            return .fresh
        }
    }

    private static func sweep(_ state: inout State, now: Int64) {
        guard now != state.sweptSecond else { return }
        state.sweptSecond = now
        for second in state.buckets.keys where second < now {
            state.count -= state.buckets.removeValue(forKey: second)?.count ?? 0
        }
    }
}
