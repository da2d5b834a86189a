import Cashu
import Cryptography
import Encodings
import Paywall
import Testing

@Suite("Taking ecash without asking the mint")
struct OfflineAcceptanceTests {
    private let now = testNow
    private let policy: OfflineAcceptance

    init() throws {
        policy = OfflineAcceptance(sellerKey: try sellerKey(), redeemWithinSeconds: 600)
    }

    private func assess(
        _ token: Token,
        terms: MintTerms,
        price: UInt64 = 2,
        asked: UInt64 = 2,
        off: Bool = false,
        callSeconds: Int64 = 60
    ) throws -> PaymentAssessment {
        try policy.assess(
            token,
            identity: OfflineAcceptance.identity(of: token),
            for: PaymentTerms(price: price, unit: .sat, askedAmount: asked, callSeconds: callSeconds),
            terms: terms,
            isTurnedOff: off,
            now: now
        )
    }

    private func obstacles(_ assessment: PaymentAssessment) -> [OfflineObstacle] {
        if case .redeemFirst(_, let found) = assessment { return found }
        return []
    }

    private func refusal(_ body: () throws -> PaymentAssessment) -> CallRefusal.Code? {
        do {
            _ = try body()
            return nil
        } catch {
            return (error as? CallRefusal)?.code
        }
    }

    /// Seconds from now at which a lock with this call and redemption time may open at the earliest, exclusive.
    private let margin: Int64 = 60 + 600 + 3600

    @Test("CALL-13: a well-locked token is taken as it is")
    func accepts() throws {
        let mint = try TestMint()
        let far = String(now.secondsSince1970 + 6 * 3600)
        let plain = try mint.locked(2, to: sellerKey())
        let timed = try mint.locked(
            2,
            to: sellerKey(),
            tags: [["locktime", far], ["refund", Hex.encode(otherKey())]]
        )
        let explicit = try mint.locked(2, to: sellerKey(), tags: [["n_sigs", "1"], ["sigflag", "SIG_INPUTS"]])
        for proof in [plain, timed, explicit] {
            guard case .acceptOffline(let payment) = try assess(mint.token([proof]), terms: mint.terms(at: now)) else {
                Issue.record("refused \(proof.secret)")
                continue
            }
            #expect(payment.total == 2)
            #expect(payment.fee == 0)
            #expect(payment.ys == [try proof.hashedSecret().compressed])
        }
    }

    @Test("CALL-13: each condition that does not hold sends the payment to the mint first")
    func conditions() throws {
        let mint = try TestMint()
        let good = try mint.locked(2, to: sellerKey())
        let terms = mint.terms(at: now)
        func only(_ token: Token, _ terms: MintTerms, off: Bool = false) throws -> [OfflineObstacle] {
            try obstacles(assess(token, terms: terms, off: off))
        }
        #expect(try only(mint.token([good]), terms, off: true) == [.turnedOff])
        var changed = terms
        changed.fetchedAt = now.adding(seconds: -3601)
        #expect(try only(mint.token([good]), changed) == [.termsStale])
        changed.fetchedAt = now.adding(seconds: -3600)
        #expect(try only(mint.token([good]), changed) == [])
        changed.fetchedAt = now.adding(seconds: 61)
        #expect(try only(mint.token([good]), changed) == [.termsStale])
        changed = terms
        changed.supportsSpendingConditions = false
        #expect(try only(mint.token([good]), changed) == [.locksUnsupported])
        changed = terms
        changed.supportsP2PK = false
        #expect(try only(mint.token([good]), changed) == [.locksUnsupported])
        changed = terms
        changed.supportsDLEQ = false
        #expect(try only(mint.token([good]), changed) == [.dleqUnsupported])

        var bare = good
        bare.dleq = nil
        #expect(try only(mint.token([bare]), terms) == [.dleqMissing])
        bare.dleq = good.dleq.map { DLEQProof(challenge: $0.challenge, response: $0.response) }
        #expect(try only(mint.token([bare]), terms) == [.dleqMissing])

        #expect(try only(mint.token([mint.proof(2, secret: "a plain secret")]), terms) == [.notP2PK])
        let shared = try mint.locked(2, to: sellerKey(), tags: [["pubkeys", Hex.encode(otherKey())]])
        #expect(try only(mint.token([shared]), terms) == [.otherKeys])
        #expect(try only(mint.token([mint.locked(2, to: sellerKey(), tags: [["pubkeys"]])]), terms) == [.otherKeys])
        #expect(
            try only(mint.token([mint.locked(2, to: sellerKey(), tags: [["colour", "red"]])]), terms) == [.unknownTags]
        )
    }

    @Test("CALL-13: the lock outlasts the redeem-by time by an hour, on the mint's clock")
    func locktimes() throws {
        let mint = try TestMint()
        func check(_ seconds: Int64, offset: Int64? = 0) throws -> [OfflineObstacle] {
            let lock = String(now.secondsSince1970 + seconds)
            let proof = try mint.locked(
                2,
                to: sellerKey(),
                tags: [["locktime", lock], ["refund", Hex.encode(otherKey())]]
            )
            return try obstacles(assess(mint.token([proof]), terms: mint.terms(at: now, clockOffset: offset)))
        }
        #expect(try check(margin + 1) == [])
        #expect(try check(margin) == [.locktimeTooSoon])
        #expect(try check(-100) == [.locktimeTooSoon])
        // The mint's clock runs five minutes ahead: its hour comes sooner.
        #expect(try check(margin + 1, offset: 300_000) == [.locktimeTooSoon])
        #expect(try check(margin + 301, offset: 300_000) == [])
        #expect(try check(margin - 299, offset: -300_000) == [])
        #expect(try check(margin + 9999, offset: nil) == [.mintClockUnknown])
        for odd in ["abc", "-1", "18446744073709551616"] {
            let proof = try mint.locked(2, to: sellerKey(), tags: [["locktime", odd]])
            #expect(try obstacles(assess(mint.token([proof]), terms: mint.terms(at: now))) == [.locktimeTooSoon])
        }
        let forever = try mint.locked(2, to: sellerKey(), tags: [["locktime", "18446744073709551615"]])
        #expect(try obstacles(assess(mint.token([forever]), terms: mint.terms(at: now))) == [])
    }

    @Test("CALL-13: the keyset outlives the redeem-by time")
    func keysetExpiry() throws {
        let soon = try TestMint(expiry: UInt64(now.secondsSince1970 + margin))
        #expect(
            try obstacles(assess(soon.token([soon.locked(2, to: sellerKey())]), terms: soon.terms(at: now))) == [
                .keysetExpires
            ]
        )
        let later = try TestMint(expiry: UInt64(now.secondsSince1970 + margin + 1))
        #expect(
            try obstacles(assess(later.token([later.locked(2, to: sellerKey())]), terms: later.terms(at: now))) == []
        )
        let gone = try TestMint(expiry: UInt64(now.secondsSince1970))
        #expect(
            refusal { try assess(gone.token([gone.locked(2, to: sellerKey())]), terms: gone.terms(at: now)) }
                == .unknownKeyset
        )
    }

    @Test("CALL-13: signature count and flag, where a lock asks for more than one plain signature")
    func directObstacles() throws {
        let mint = try TestMint()
        let proof = try mint.locked(2, to: sellerKey())
        func check(_ lock: P2PKLock) throws -> [OfflineObstacle] {
            policy.obstacles(
                proofs: [proof],
                locks: [.p2pk(lock)],
                terms: mint.terms(at: now),
                isTurnedOff: false,
                callSeconds: 60,
                now: now
            )
        }
        #expect(try check(P2PKLock(key: sellerKey(), requiredSignatures: 2)) == [.signatureCount])
        #expect(try check(P2PKLock(key: sellerKey(), bindsOutputs: true)) == [.signatureFlag])
        #expect(try check(P2PKLock(key: sellerKey())) == [])
    }

    @Test("CALL-6: wrong mint, unit, amount or lock is refused with its own code")
    func refusals() throws {
        let mint = try TestMint()
        let terms = mint.terms(at: now)
        let good = try mint.locked(2, to: sellerKey())
        let elsewhere = try MintURL("https://other.example")
        #expect(refusal { try assess(mint.token([good], mint: elsewhere), terms: terms) } == .mintNotAccepted)
        #expect(refusal { try assess(mint.token([good], unit: .usd), terms: terms) } == .wrongUnit)
        let dollars = try TestMint(unit: .usd, seed: 9)
        var mixed = terms
        mixed.keysets[dollars.keyset.keyset.id] = dollars.keyset.keyset
        #expect(
            refusal { try assess(mint.token([dollars.locked(2, to: sellerKey())]), terms: mixed) } == .wrongUnit
        )
        #expect(refusal { try assess(mint.token([mint.locked(1, to: sellerKey())]), terms: terms) } == .amountTooLow)
        let dear = try (0..<2).map { _ in try mint.locked(1 << 52, to: sellerKey()) }
        #expect(refusal { try assess(mint.token(dear), terms: terms) } == .amountTooHigh)
        #expect(try assess(mint.token([mint.locked(8, to: sellerKey())]), terms: terms).payment.overpaid == 6)
        #expect(refusal { try assess(mint.token([mint.locked(2, to: otherKey())]), terms: terms) } == .wrongLock)
        #expect(
            refusal { try assess(mint.token([mint.locked(2, to: sellerKey(), kind: "HTLC")]), terms: terms) }
                == .wrongLock
        )
        let both = [["pubkeys", Hex.encode(try otherKey())], ["n_sigs", "2"]]
        #expect(
            refusal { try assess(mint.token([mint.locked(2, to: sellerKey(), tags: both)]), terms: terms) }
                == .wrongLock
        )
        let all = [["sigflag", "SIG_ALL"]]
        #expect(
            refusal { try assess(mint.token([mint.locked(2, to: sellerKey(), tags: all)]), terms: terms) } == .wrongLock
        )
        let twice = [["sigflag", "SIG_INPUTS"], ["sigflag", "SIG_INPUTS"]]
        #expect(
            refusal { try assess(mint.token([mint.locked(2, to: sellerKey(), tags: twice)]), terms: terms) }
                == .wrongLock
        )
        let stranger = try TestMint(seed: 11)
        #expect(
            refusal { try assess(mint.token([stranger.locked(2, to: sellerKey())]), terms: terms) } == .unknownKeyset
        )
    }

    @Test("CALL-6: a proof that the mint did not sign is refused, whatever else holds")
    func forged() throws {
        let mint = try TestMint()
        let terms = mint.terms(at: now)
        let good = try mint.locked(2, to: sellerKey())
        let other = try mint.locked(2, to: sellerKey())
        var forged = good
        forged.signature = other.signature
        #expect(refusal { try assess(mint.token([forged]), terms: terms) } == .invalidProof)
        forged = good
        forged.secret = other.secret
        #expect(refusal { try assess(mint.token([forged]), terms: terms) } == .invalidProof)
        forged = good
        forged.amount = 4
        #expect(refusal { try assess(mint.token([forged]), terms: terms, price: 4, asked: 4) } == .invalidProof)
        forged = good
        forged.dleq = other.dleq
        #expect(refusal { try assess(mint.token([forged]), terms: terms) } == .invalidProof)
        forged = good
        forged.amount = 3
        #expect(refusal { try assess(mint.token([forged]), terms: terms, price: 3, asked: 3) } == .invalidProof)
    }

    @Test("CALL-7: the same proof twice in one token, and more proofs than a call takes, are refused")
    func duplicates() throws {
        let mint = try TestMint()
        let proof = try mint.locked(1, to: sellerKey())
        #expect(throws: CallRefusal.self) { try OfflineAcceptance.identity(of: mint.token([proof, proof])) }
        let many = try (0...OfflineAcceptance.maximumProofs).map { _ in
            try mint.proof(1, secret: Hex.encode(SecureRandom.bytes(8)))
        }
        #expect(throws: CallRefusal.self) { try OfflineAcceptance.identity(of: mint.token(many)) }
    }

    @Test("CALL-5: the amount asked for covers the price after the fee of its own split, and no more than needed")
    func grossUp() throws {
        for feePPK in [0, 100, 250, 999, 1000, 2500] as [UInt64] {
            let mint = try TestMint(feePPK: feePPK)
            let terms = mint.terms(at: now)
            for price in [1, 2, 3, 7, 21] as [UInt64] {
                let asked = try Fees.grossedUp(price: price, feePPK: feePPK)
                let proofs = try Amounts.split(asked).map { try mint.locked($0, to: sellerKey()) }
                let payment = try assess(mint.token(proofs), terms: terms, price: price, asked: asked).payment
                #expect(payment.total - payment.fee >= price)
                // One less would not do.
                let short = try Amounts.split(asked - 1).map { try mint.locked($0, to: sellerKey()) }
                if !short.isEmpty {
                    #expect(
                        refusal { try assess(mint.token(short), terms: terms, price: price, asked: asked) }
                            == .amountTooLow
                    )
                }
            }
        }
    }

    @Test("CALL-13: a witness that comes with a proof is dropped")
    func witness() throws {
        let mint = try TestMint()
        var proof = try mint.locked(2, to: sellerKey())
        proof.witness = "{\"signatures\":[]}"
        let payment = try assess(mint.token([proof]), terms: mint.terms(at: now)).payment
        #expect(payment.proofs[0].witness == nil)
    }
}
