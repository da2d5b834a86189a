import Cryptography
import TestSupport
import Testing

@Suite struct SchnorrTests {
    typealias Schnorr = Secp256k1.Schnorr

    struct Case: Decodable {
        let index: Int
        let secretKey: HexBytes
        let publicKey: HexBytes
        let auxiliary: HexBytes
        let message: HexBytes
        let signature: HexBytes
        let valid: Bool
        let note: String
    }

    @Test func holdsTheVectorsOfBIP340() throws {
        var signed = 0
        for vector in try Vectors<Case>.read("bip-0340/schnorr.json") {
            // The vectors from 15 on sign messages of other lengths; nothing here signs but digests, so those are refused.
            let ofOurLength = vector.message.bytes.count == 32
            #expect(
                Schnorr.isValid(
                    signature: vector.signature.bytes,
                    message: vector.message.bytes,
                    publicKeyX: vector.publicKey.bytes
                ) == (vector.valid && ofOurLength),
                "\(vector.index) \(vector.note)"
            )
            if vector.secretKey.bytes.isEmpty { continue }
            let key = try Secp256k1.Scalar(bytes: vector.secretKey.bytes)
            let pair = Schnorr.KeyPair(key)
            #expect(pair.publicKeyX == vector.publicKey.bytes)
            guard ofOurLength else {
                #expect(throws: CryptographyError.self) { try pair.sign(message: vector.message.bytes) }
                continue
            }
            let signature = try Schnorr.sign(
                message: vector.message.bytes,
                key: key,
                auxiliary: vector.auxiliary.bytes
            )
            #expect(signature == vector.signature.bytes, "\(vector.index) \(vector.note)")
            signed += 1
        }
        #expect(signed == 4)
    }

    @Test func signsAndVerifiesUnderEitherParity() throws {
        var random = SeededRandom(seed: 50)
        var odd = 0
        for _ in 0..<50 {
            let pair = Schnorr.KeyPair(try Secp256k1.Scalar(reducing: random.bytes(32)))
            let message = random.bytes(32)
            let signature = try pair.sign(message: message, auxiliary: random.bytes(32))
            #expect(Schnorr.isValid(signature: signature, message: message, publicKeyX: pair.publicKeyX))
            #expect(Schnorr.isValid(signature: signature, message: message, publicKey: pair.publicKey))
            #expect(Schnorr.isValid(signature: signature, message: message, publicKey: pair.publicKey.negated()))
            odd += pair.publicKey.hasEvenY ? 0 : 1
        }
        #expect((1..<50).contains(odd))
    }

    @Test func theNonceIsFreshWithoutAuxiliaryBytes() throws {
        let pair = Schnorr.KeyPair(.random())
        let message = SecureRandom.bytes(32)
        let (first, second) = (try pair.sign(message: message), try pair.sign(message: message))
        #expect(first != second)
        #expect(Schnorr.isValid(signature: first, message: message, publicKey: pair.publicKey))
        #expect(Schnorr.isValid(signature: second, message: message, publicKey: pair.publicKey))
    }

    @Test func aChangedByteAnywhereIsNotValid() throws {
        var random = SeededRandom(seed: 51)
        let pair = Schnorr.KeyPair(try Secp256k1.Scalar(reducing: random.bytes(32)))
        let message = random.bytes(32)
        let signature = try pair.sign(message: message, auxiliary: random.bytes(32))
        for changed in flips(of: signature) {
            #expect(!Schnorr.isValid(signature: changed, message: message, publicKey: pair.publicKey))
        }
        for changed in flips(of: message) {
            #expect(!Schnorr.isValid(signature: signature, message: changed, publicKey: pair.publicKey))
        }
        for changed in flips(of: pair.publicKeyX) {
            #expect(!Schnorr.isValid(signature: signature, message: message, publicKeyX: changed))
        }
    }

    @Test func otherLengthsAreRefused() throws {
        var random = SeededRandom(seed: 52)
        let pair = Schnorr.KeyPair(try Secp256k1.Scalar(reducing: random.bytes(32)))
        let message = random.bytes(32)
        let signature = try pair.sign(message: message, auxiliary: random.bytes(32))
        for wrong in [[], Array(signature.dropLast()), signature + [0]] {
            #expect(!Schnorr.isValid(signature: wrong, message: message, publicKey: pair.publicKey))
        }
        for wrong in [[], Array(message.dropLast()), message + [0]] {
            #expect(!Schnorr.isValid(signature: signature, message: wrong, publicKey: pair.publicKey))
            #expect(throws: CryptographyError.self) { try pair.sign(message: wrong) }
            #expect(throws: CryptographyError.self) { try pair.sign(message: message, auxiliary: wrong) }
        }
        for wrong in [[], pair.publicKey.compressed, Array(pair.publicKeyX.dropLast()), pair.publicKeyX + [0]] {
            #expect(!Schnorr.isValid(signature: signature, message: message, publicKeyX: wrong))
        }
    }
}
