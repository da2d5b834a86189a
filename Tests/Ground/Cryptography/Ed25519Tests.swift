import Cryptography
import Encodings
import TestSupport
import Testing

@Suite struct Ed25519Tests {
    struct SigningCase: Decodable {
        let seed: HexBytes
        let publicKey: HexBytes
        let message: HexBytes
        let signature: HexBytes
        let note: String
    }

    struct VerificationCase: Decodable {
        let key: HexBytes
        let message: HexBytes
        let signature: HexBytes
        let valid: Bool
        let note: String
    }

    @Test func signsAsTheRFC() throws {
        for vector in try Vectors<SigningCase>.read("rfc8032/ed25519.json") {
            let key = try Ed25519.PrivateKey(seed: vector.seed.bytes)
            #expect(key.seed == vector.seed.bytes)
            #expect(key.publicKey.bytes == vector.publicKey.bytes, "\(vector.note)")
            #expect(try key.sign(vector.message.bytes) == vector.signature.bytes, "\(vector.note)")
            let publicKey = try Ed25519.PublicKey(bytes: vector.publicKey.bytes)
            #expect(publicKey == key.publicKey)
            #expect(publicKey.isValid(signature: vector.signature.bytes, for: vector.message.bytes))
        }
    }

    @Test func verifiesAsWycheproofSays() throws {
        for vector in try Vectors<VerificationCase>.read("wycheproof/ed25519.json") {
            let key = try Ed25519.PublicKey(bytes: vector.key.bytes)
            #expect(
                key.isValid(signature: vector.signature.bytes, for: vector.message.bytes) == vector.valid,
                "\(vector.note)"
            )
        }
    }

    @Test func agreesWithOpenSSLBothWays() throws {
        var random = SeededRandom(seed: 10)
        for length in 0..<100 {
            let seed = random.bytes(32)
            let message = random.bytes(length * 3)
            let key = try Ed25519.PrivateKey(seed: seed)
            let signature = try key.sign(message)
            #expect(key.publicKey.bytes == OpenSSL.ed25519PublicKey(seed: seed))
            #expect(signature == OpenSSL.ed25519Sign(message, seed: seed))
            #expect(
                OpenSSL.ed25519IsValid(signature: signature, for: message, publicKey: key.publicKey.bytes)
            )
            #expect(key.publicKey.isValid(signature: OpenSSL.ed25519Sign(message, seed: seed), for: message))
        }
    }

    @Test func aChangedByteAnywhereIsNotValid() throws {
        var random = SeededRandom(seed: 11)
        let message = random.bytes(64)
        let key = try Ed25519.PrivateKey(seed: random.bytes(32))
        let signature = try key.sign(message)
        for changed in flips(of: signature) {
            #expect(!key.publicKey.isValid(signature: changed, for: message))
        }
        for changed in flips(of: message) {
            #expect(!key.publicKey.isValid(signature: signature, for: changed))
        }
        #expect(!key.publicKey.isValid(signature: Array(signature.dropLast()), for: message))
        #expect(!key.publicKey.isValid(signature: signature + [0], for: message))
        #expect(!key.publicKey.isValid(signature: [], for: message))
        #expect(!Ed25519.PrivateKey().publicKey.isValid(signature: signature, for: message))
    }

    @Test func refusesKeysOfAnotherLength() {
        for count in [0, 31, 33, 64] {
            let bytes = [UInt8](repeating: 7, count: count)
            #expect(throws: CryptographyError.self) { try Ed25519.PrivateKey(seed: bytes) }
            #expect(throws: CryptographyError.self) { try Ed25519.PublicKey(bytes: bytes) }
        }
    }

    /// The eight points of small order, in canonical form with either sign, and the same in the forms not reduced
    /// modulo p (RFC 8032, 5.1.3 refuses those).
    @Test(arguments: [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ])
    func refusesKeysThatWouldHoldForManyMessages(key: String) throws {
        let bytes = try hex(key)
        #expect { try Ed25519.PublicKey(bytes: bytes) } throws: { error in
            (error as? CryptographyError)?.code == .invalidKey
        }
    }

    @Test func keysThatAreOnNoPointVerifyNothing() throws {
        var random = SeededRandom(seed: 12)
        let key = try Ed25519.PrivateKey(seed: random.bytes(32))
        let signature = try key.sign([1])
        // y = 2 has no x on the curve.
        let stray = try Ed25519.PublicKey(bytes: [2] + [UInt8](repeating: 0, count: 31))
        #expect(!stray.isValid(signature: signature, for: [1]))
    }

    @Test func showsNoSecret() throws {
        let key = try Ed25519.PrivateKey(seed: [UInt8](repeating: 0xAB, count: 32))
        var dumped = ""
        dump(key, to: &dumped)
        for text in ["\(key)", String(reflecting: key), dumped] {
            #expect(!text.lowercased().contains("abab"))
            #expect(!text.contains("171"))
        }
    }
}
