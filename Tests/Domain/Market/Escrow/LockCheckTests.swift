import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import SignedDocuments
import TestSupport
import Testing

@testable import Market

/// Money locked in another way than was agreed, as the buyers of the issue's attacks would.
@Suite struct LockCheckTests {
    private var sample: TradeSample
    private let hash = Hashing.sha256([UInt8](repeating: 6, count: 32))

    init() throws { sample = try TradeSample() }

    private func locked(_ condition: SpendingCondition?, amount: UInt64? = nil, mode: Listing.Escrow = .key) throws
        -> Token
    {
        var mint = sample.mint
        let agreed = try sample.terms(mode).lockAmount(inputFeePPK: mint.keyset.info.inputFeePPK)
        let plan = try OutputPlan(amount ?? agreed, mint: mint, locked: condition)
        return try Token(mint: mint.url, unit: .sat, proofs: plan.proofs(mint.issue(plan.outputs), mint))
    }

    private func found(
        _ token: Token,
        mode: Listing.Escrow = .key,
        now: UInt64 = TradeSample.start,
        _ change: (inout EscrowMint) -> Void = { _ in }
    ) throws -> [LockObstacle] {
        var mint = sample.mint.known
        change(&mint)
        let terms = try sample.terms(mode)
        return LockCheck.obstacles(token, terms: terms, hash: mode == .arbiter ? nil : hash, mint: mint, now: now)
    }

    private func htlc(_ change: (inout Lock) -> Void) throws -> SpendingCondition {
        var lock = Lock(
            hash: hash,
            keys: [TradeSample.point(sample.providerKey)],
            locktime: try sample.terms().locktime,
            refund: [TradeSample.point(sample.buyerKey)]
        )
        change(&lock)
        return .htlc(
            try HTLCCondition(
                hash: lock.hash,
                keys: lock.keys,
                requiredSignatures: lock.needed,
                locktime: lock.locktime,
                refundKeys: lock.refund,
                flag: lock.flag,
                otherTags: lock.others
            )
        )
    }

    private struct Lock {
        var hash: [UInt8]
        var keys: [Secp256k1.Point]
        var needed: Int?
        var locktime: UInt64?
        var refund: [Secp256k1.Point]?
        var flag = SignatureFlag.inputs
        var others: [[String]] = []
    }

    @Test("[ESC-5] The agreed lock passes in every mode")
    func passes() throws {
        for mode in Listing.Escrow.allCases {
            let condition = try sample.terms(mode).condition(hash: mode == .arbiter ? nil : hash)
            #expect(try found(locked(condition, mode: mode), mode: mode) == [])
        }
    }

    @Test("[ESC-5] A short locktime, none, another key, hash, flag or way back is refused by name")
    func refusesLocks() throws {
        let other = TradeSample.point(sample.arbiterKey)
        let cases: [(LockObstacle, (inout Lock) -> Void)] = [
            (.wrongLocktime, { $0.locktime = TradeSample.start + 60 }),
            (.wrongLocktime, { $0.locktime = nil }),
            (.wrongHash, { $0.hash = [UInt8](repeating: 0, count: 32) }),
            (.wrongKeys, { $0.keys = [other] }),
            (.wrongKeys, { $0.keys.append(other) }),
            (.wrongKeys, { $0.keys = [] }),
            (
                .wrongSignatureCount,
                {
                    $0.keys.append(other); $0.needed = 2
                }
            ),
            (.wrongSignatureFlag, { $0.flag = .all }),
            (.wrongRefund, { $0.refund = [other] }),
            // Without a way back it is everybody's after the locktime.
            (.wrongRefund, { $0.refund = nil }),
            (.wrongRefund, { $0.refund?.append(other) }),
            (.unknownTags, { $0.others = [["note", "x"]] }),
        ]
        for (obstacle, change) in cases {
            #expect(try found(locked(htlc(change))).contains(obstacle), "\(obstacle)")
        }
    }

    @Test("[ESC-5] A lock that is anyone-can-spend, or of another kind, is refused")
    func refusesNoLock() throws {
        #expect(try found(locked(nil)) == [.wrongKind])
        let p2pk = SpendingCondition.p2pk(try P2PKCondition(keys: [TradeSample.point(sample.providerKey)]))
        #expect(try found(locked(p2pk)) == [.wrongKind])
        let key = try sample.terms().condition(hash: hash)
        #expect(try found(locked(key, mode: .arbiter), mode: .arbiter).contains(.wrongKind))
    }

    @Test("[ESC-5] Less or more than agreed, in too many pieces, or forged, is refused")
    func refusesAmounts() throws {
        let agreed = try sample.terms().condition(hash: hash)
        let amount = try sample.terms().lockAmount(inputFeePPK: 100)
        #expect(try found(locked(agreed, amount: amount - 1)) == [.wrongAmount])
        #expect(try found(locked(agreed, amount: amount + 1)) == [.wrongAmount])
        var forged = try locked(agreed)
        forged.groups[0].proofs[0].dleq = nil
        #expect(try found(forged) == [.badDLEQ])
        // The same coin twice.
        var twice = try locked(agreed, amount: amount)
        twice.groups[0].proofs.append(twice.groups[0].proofs[0])
        #expect(try found(twice).isEmpty == false)
    }

    @Test("[ESC-5] A mint that is not trusted, without NUT-11 or NUT-14, another one, or a keyset that ends is refused")
    func refusesMints() throws {
        let token = try locked(sample.terms().condition(hash: hash))
        let other = try MintURL("https://other.example")
        #expect(try found(token) { $0.isTrusted = false } == [.untrustedMint])
        for number in [7, 10, 11, 12, 14] {
            #expect(try found(token) { $0.info.nuts[String(number)] = nil } == [.unsupported])
            #expect(try found(token) { $0.info.nuts[String(number)] = ["supported": false] } == [.unsupported])
        }
        #expect(try found(token) { $0.url = other } == [.otherMint])
        #expect(try found(token) { $0.keysets = [:] } == [.unknownKeyset])
    }

    @Test("[ESC-3] [ESC-5] A lock is taken until two minutes before its locktime, and no later")
    func refusesLate() throws {
        let token = try locked(sample.terms().condition(hash: hash))
        let last = try sample.terms().revealUntil
        #expect(last == TradeSample.start + 780)
        #expect(try found(token, now: last) == [])
        #expect(try found(token, now: last + 1) == [.tooLate])
    }

    @Test("[ESC-5] A lock that the mint says is spent, pending or another is not taken")
    func asksState() throws {
        var mint = sample.mint
        let plan = try OutputPlan(21, mint: mint, locked: sample.terms().condition(hash: hash))
        let coins = try plan.proofs(mint.issue(plan.outputs), mint).map { try LockedCoin($0) }
        var states = try mint.states(coins)
        #expect(LockCheck.isUnspent(states, of: coins))
        #expect(!LockCheck.isUnspent(Array(states.dropLast()), of: coins))
        states[0].state = .pending
        #expect(!LockCheck.isUnspent(states, of: coins))
        states[0].state = .spent
        #expect(!LockCheck.isUnspent(states, of: coins))
    }
}
