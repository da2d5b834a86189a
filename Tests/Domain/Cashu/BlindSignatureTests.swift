import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import TestSupport
import Testing

@Suite("Blind signatures (NUT-00)")
struct BlindSignatureTests {
    @Test("hash_to_curve gives the published points")
    func hashToCurveVectors() throws {
        for vector in try vectors("00").array("hashToCurve") {
            // Only these vectors decode the hex first; a wallet's secret is hashed as the text it is.
            let hashed = try BlindDH.hashToCurve(Hex.decode(vector.string("messageHex")))
            #expect(try hashed == vector.point("point"))
        }
    }

    @Test("a secret is hashed as its UTF-8, also when it is hex")
    func secretIsText() throws {
        let secret = String(repeating: "0", count: 64)
        #expect(try BlindDH.hashToCurve(secret: secret) == BlindDH.hashToCurve(Array(secret.utf8)))
        #expect(try BlindDH.hashToCurve(secret: secret) != BlindDH.hashToCurve(Hex.decode(secret)))
    }

    @Test("blinding gives the published outputs")
    func blindingVectors() throws {
        for vector in try vectors("00").array("blinding") {
            let hashed = try BlindDH.hashToCurve(Hex.decode(vector.string("messageHex")))
            let blinded = try BlindDH.blind(hashedSecret: hashed, blindingFactor: vector.scalar("blindingFactor"))
            #expect(try blinded == vector.point("blindedSecret"))
        }
    }

    @Test("signing gives the published signatures")
    func signingVectors() throws {
        for vector in try vectors("00").array("signing") {
            let signature = try BlindDH.sign(blindedSecret: vector.point("blindedSecret"), key: vector.scalar("key"))
            #expect(try signature == vector.point("blindedSignature"))
        }
    }

    @Test("what is blinded, signed and unblinded verifies, with its own key and secret only", arguments: 1...20)
    func roundTrip(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let key = random.scalar()
        let other = random.scalar()
        let factor = random.scalar()
        let secret = random.hex()
        let blinded = try BlindDH.blind(secret: secret, blindingFactor: factor)
        let signature = try BlindDH.unblind(
            blindedSignature: BlindDH.sign(blindedSecret: blinded, key: key),
            blindingFactor: factor,
            mintKey: Secp256k1.Point(multiplyingGeneratorBy: key)
        )
        let hashed = try BlindDH.hashToCurve(secret: secret)
        #expect(try BlindDH.isValid(signature: signature, hashedSecret: hashed, key: key))
        #expect(try !BlindDH.isValid(signature: signature, hashedSecret: hashed, key: other))
        #expect(try !BlindDH.isValid(signature: signature.negated(), hashedSecret: hashed, key: key))
        let otherHashed = try BlindDH.hashToCurve(secret: secret + "0")
        #expect(try !BlindDH.isValid(signature: signature, hashedSecret: otherHashed, key: key))
    }

    @Test("an output crafted to lead to infinity is an error, not a crash")
    func infinity() throws {
        var random = SeededRandom(seed: 7)
        let factor = random.scalar()
        let generatorMultiple = Secp256k1.Point(multiplyingGeneratorBy: factor)
        let error = #expect(throws: CashuError.self) {
            try BlindDH.blind(hashedSecret: generatorMultiple.negated(), blindingFactor: factor)
        }
        #expect(error?.code == .cryptography)
    }

    @Test("secrets that are canonically equivalent in Unicode are different proofs")
    func unicodeSecrets() throws {
        var mint = try TestMint()
        let composed = try mint.proof(1, secret: "caf\u{E9}")
        var decomposed = composed
        decomposed.secret = "cafe\u{301}"
        #expect(composed.secret == decomposed.secret)
        #expect(composed != decomposed)
        #expect(try composed.hashedSecret() != decomposed.hashedSecret())
    }
}

@Suite("The wallet's check of what the mint signed")
struct UnblindingTests {
    @Test("a mint's answer becomes a proof that the mint and Carol accept")
    func accepted() throws {
        var mint = try TestMint()
        for amount in [1, 2, 1 << 40, 1 << 63] as [UInt64] {
            let proof = try mint.proof(amount)
            #expect(try mint.keyset.verify(proof) == proof.hashedSecret())
            #expect(try proof.hasValidDLEQ(mintKey: mint.keyset.keyset.key(for: amount)))
        }
    }

    @Test("an answer with another amount, another keyset or no DLEQ is refused")
    func mismatches() throws {
        var mint = try TestMint()
        let output = mint.output(8)
        let answer = try mint.keyset.sign(output.output())
        func code(_ change: (inout BlindSignature) throws -> Void) rethrows -> CashuError.Code? {
            var copy = answer
            try change(&copy)
            do {
                _ = try output.proof(from: copy, keyset: mint.keyset.keyset)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code { _ in } == nil)
        #expect(code { $0.amount = 16 } == .answerMismatch)
        #expect(try code { $0.keysetID = try KeysetID(hex: "009a1f293253e41e") } == .answerMismatch)
        #expect(code { $0.dleq = nil } == .invalidDLEQ)
        #expect(code { $0.blindedSignature = $0.blindedSignature.negated() } == .invalidDLEQ)
    }

    @Test("a mint that signs with another key than it publishes is caught")
    func taggedKey() throws {
        var honest = try TestMint(seed: 1)
        let tagging = try TestMint(seed: 2)
        let output = honest.output(4)
        var request = try output.output()
        request.keysetID = tagging.keyset.id
        var answer = try tagging.keyset.sign(request)
        answer.keysetID = honest.keyset.id
        let error = #expect(throws: CashuError.self) {
            try output.proof(from: answer, keyset: honest.keyset.keyset)
        }
        #expect(error?.code == .invalidDLEQ)
    }

    @Test("the mint refuses forged, revalued and foreign proofs with 10001 or 12001")
    func forged() throws {
        var mint = try TestMint()
        let proof = try mint.proof(8)
        func code(_ change: (inout Proof) throws -> Void) rethrows -> MintErrorCode? {
            var copy = proof
            try change(&copy)
            do {
                _ = try mint.keyset.verify(copy)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code { _ in } == nil)
        #expect(code { $0.amount = 16 } == .proofVerificationFailed)
        #expect(code { $0.amount = 7 } == .proofVerificationFailed)
        #expect(code { $0.amount = 0 } == .proofVerificationFailed)
        #expect(code { $0.secret += "x" } == .proofVerificationFailed)
        #expect(code { $0.signature = $0.signature.negated() } == .proofVerificationFailed)
        #expect(try code { $0.keysetID = try KeysetID(hex: "009a1f293253e41e") } == .keysetUnknown)
    }

    @Test("the mint signs powers of two only", arguments: [0, 3, 5, 1 << 63 + 1, .max] as [UInt64])
    func oddAmounts(amount: UInt64) throws {
        var mint = try TestMint()
        let output = mint.output(amount)
        let error = #expect(throws: MintError.self) { try mint.keyset.sign(output.output()) }
        #expect(error?.code == .amountOutsideLimits)
    }
}
