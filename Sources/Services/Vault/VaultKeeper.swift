public import CanonicalJSON
internal import Cashu
public import Encodings
public import Identity
public import Logging
internal import Mint
internal import NIOCore
internal import SignedDocuments
internal import Storage
internal import Synchronization
public import Workers

/// What a vault does with a request, whoever brings it: holds the keys while it is unlocked, looks at what is to be signed,
/// counts, and writes a line for each signature of the issuer's.
public final class VaultKeeper: Sendable {
    /// Opens the sealed file with a passphrase. Called when it is unlocked.
    public typealias Opening = @Sendable (_ passphrase: [UInt8]) throws -> NodeKeys

    private struct Unlocked {
        let issuer: any KeyVault
        let signatory: InProcessSignatory
    }

    private struct State {
        var unlocked: Unlocked?
        var issuerSignatures: UInt64 = 0
        var refusals: UInt64 = 0
        var proofs: UInt64 = 0
        var outputs: UInt64 = 0
        var keysets: Set<KeysetID> = []
        var failedUnlocks = 0
    }

    let node: DIDKey
    let p256: DIDKey
    let limits: VaultLimits
    private let policy: SigningPolicy
    private let state = Mutex(State())
    private let issuerRate: RateGate
    private let mintRate: RateGate
    private let unlockRate: RateGate
    private let opening: Opening
    private let workers: WorkerPool
    private let startedAt: Timestamp
    let logger: Logger

    /// - Parameters:
    ///   - keys: opened from the vault's own file.
    ///   - uptime: nanoseconds of a clock that never goes back; nil: the machine's.
    ///   - opening: opens that file again.
    /// - Throws: `VaultError` `.failed` where the file has no issuer's keys itself.
    public init(
        keys: NodeKeys,
        limits: VaultLimits = VaultLimits(),
        workers: WorkerPool,
        logger: Logger,
        now: Timestamp,
        uptime: (@Sendable () -> UInt64)? = nil,
        opening: @escaping Opening
    ) throws {
        node = keys.node.did
        p256 = keys.p256.did
        self.limits = limits
        self.workers = workers
        self.logger = logger
        self.opening = opening
        startedAt = now
        let uptime = uptime ?? { NIODeadline.now().uptimeNanoseconds }
        policy = SigningPolicy(node: keys.node.did, p256: keys.p256.did)
        issuerRate = RateGate(perSecond: limits.issuerPerSecond, now: uptime)
        mintRate = RateGate(perSecond: limits.mintPerSecond, now: uptime)
        // Each try costs a quarter of a second of scrypt.
        unlockRate = RateGate(perSecond: 2, now: uptime)
        try unlock(with: keys)
    }

    private func unlock(with keys: NodeKeys) throws {
        guard let seed = keys.mintSeed, keys.place == nil else {
            throw VaultError(.failed, "this folder is a node's, whose keys are in another vault")
        }
        guard keys.node.did == node else { throw VaultError(.foreign, "the file holds another node's keys by now") }
        let unlocked = Unlocked(issuer: keys.vault, signatory: InProcessSignatory(seed: seed, workers: workers))
        state.withLock {
            $0.unlocked = unlocked
            $0.keysets = []
        }
    }

    private var unlocked: Unlocked {
        get throws(VaultError) {
            guard let unlocked = state.withLock({ $0.unlocked }) else {
                throw VaultError(.locked, "the vault is locked: `mintmark vault unlock`")
            }
            return unlocked
        }
    }

    var greeting: VaultGreeting {
        VaultGreeting(isLocked: state.withLock { $0.unlocked == nil }, node: node.string, p256: p256.string)
    }

    // MARK: The issuer's keys

    /// Signs what the policy knows; short, so that it is done where it was asked.
    func sign(_ key: VaultKeyName, _ input: SigningInput) throws -> [UInt8] {
        do {
            let signature = try signed(key, input)
            state.withLock { $0.issuerSignatures += 1 }
            return signature
        } catch {
            state.withLock { $0.refusals += 1 }
            if (error as? VaultError)?.code == .refused {
                logger.warning("refused to sign", metadata: ["key": "\(key)", "why": "\(error)"])
            }
            throw error
        }
    }

    private func signed(_ key: VaultKeyName, _ input: SigningInput) throws -> [UInt8] {
        let issuer = try unlocked.issuer
        let did: DIDKey
        let signing: (SigningInput) throws -> [UInt8]
        switch key {
        case .node: (did, signing) = (issuer.node.did, issuer.node.key.sign)
        case .p256: (did, signing) = (issuer.p256.did, issuer.p256.sign)
        case .did(let number):
            let signer = try issuer.didKey(try Self.entry(number))
            (did, signing) = (signer.did, signer.key.sign)
        }
        let finding = try policy.check(input, by: key, did: did)
        try issuerRate.take(1)
        let signature = try signing(input)
        logger.info(
            "signed",
            metadata: ["kind": "\(finding.kind)", "of": "\((finding.subject ?? "-").prefix(200))", "key": "\(key)"]
        )
        return signature
    }

    /// The DID of the key of an entry.
    func didKey(_ number: UInt32) throws -> DIDKey { try unlocked.issuer.didKey(try Self.entry(number)).did }

    private static func entry(_ number: UInt32) throws(VaultError) -> Int {
        guard (1...UInt32(Int32.max)).contains(number) else {
            throw VaultError(.refused, "entries count from 1 to \(Int32.max)")
        }
        return Int(number)
    }

    // MARK: The mint's keys

    func add(_ plan: KeysetPlan) async throws -> Keyset {
        let signatory = try unlocked.signatory
        guard state.withLock({ $0.keysets.count < limits.keysets }) else {
            throw VaultError(.refused, "the vault holds the keys of \(limits.keysets) keysets at most")
        }
        try mintRate.take(64)
        let keyset = try await signatory.add(plan)
        state.withLock { _ = $0.keysets.insert(keyset.id) }
        return keyset
    }

    func answer(_ batch: SignatoryBatch) async throws -> SignatoryAnswer {
        let signatory = try unlocked.signatory
        try mintRate.take(batch.proofs.count + batch.outputs.count)
        let answer = try await signatory.answer { (batch, ()) }.0
        state.withLock {
            $0.proofs += UInt64(batch.proofs.count)
            $0.outputs += UInt64(batch.outputs.count)
        }
        return answer
    }

    // MARK: The operator

    func lock() {
        state.withLock {
            $0.unlocked = nil
            $0.keysets = []
        }
        logger.notice("locked")
    }

    func unlock(_ passphrase: [UInt8]) async throws {
        try unlockRate.take(1)
        do {
            let keys = try await workers.run { [opening] in try opening(passphrase) }
            try unlock(with: keys)
        } catch let error as IdentityError where error.code == .wrongPassphrase {
            let count = state.withLock { state in
                state.failedUnlocks += 1
                return state.failedUnlocks
            }
            logger.warning("a wrong passphrase was given", metadata: ["times": "\(count)"])
            throw VaultError(.wrongPassphrase, "that passphrase does not open the vault")
        }
        logger.notice("unlocked")
    }

    /// What it holds and what it did since it was started.
    public var status: JSONValue {
        state.withLock { state in
            [
                "node": .string(node.string), "p256": .string(p256.string), "isLocked": .bool(state.unlocked == nil),
                "since": .string(startedAt.rfc3339), "issuerSignatures": JSONValue(state.issuerSignatures),
                "refusals": JSONValue(state.refusals), "proofs": JSONValue(state.proofs),
                "outputs": JSONValue(state.outputs), "keysets": .integer(Int64(state.keysets.count)),
                "wrongPassphrases": .integer(Int64(state.failedUnlocks)),
            ]
        }
    }
}
