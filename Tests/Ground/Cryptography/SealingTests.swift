import Cryptography
import TestSupport
import Testing

@Suite struct SealingTests {
    struct SealedCase: Decodable {
        let key: HexBytes
        let nonce: HexBytes
        let context: HexBytes
        let plaintext: HexBytes
        let sealed: HexBytes
        let valid: Bool
        let note: String
    }

    struct DerivationCase: Decodable {
        let secret: HexBytes
        let salt: HexBytes
        let info: HexBytes
        let output: HexBytes
        let note: String
    }

    struct ScryptCase: Decodable {
        let password: HexBytes
        let salt: HexBytes
        let n: Int
        let r: Int
        let p: Int
        let output: HexBytes
    }

    struct PBKDF2Case: Decodable {
        let password: HexBytes
        let salt: HexBytes
        let rounds: Int
        let output: HexBytes
        let note: String
    }

    private func expectFailure(_ body: () throws -> [UInt8]) {
        #expect { try body() } throws: { ($0 as? CryptographyError)?.code == .authenticationFailed }
    }

    @Test(arguments: ["rfc8439/chacha20-poly1305.json", "wycheproof/chacha20-poly1305.json"])
    func sealsAndOpensAsPublished(path: String) throws {
        for vector in try Vectors<SealedCase>.read(path) {
            let (key, nonce, context) = (vector.key.bytes, vector.nonce.bytes, vector.context.bytes)
            let box = nonce + vector.sealed.bytes
            if vector.valid {
                #expect(
                    try Sealing.seal(vector.plaintext.bytes, key: key, nonce: nonce, context: context) == box,
                    "\(vector.note)"
                )
                #expect(try Sealing.open(box, key: key, context: context) == vector.plaintext.bytes, "\(vector.note)")
            } else {
                expectFailure { try Sealing.open(box, key: key, context: context) }
            }
        }
    }

    @Test func agreesWithOpenSSL() throws {
        var random = SeededRandom(seed: 70)
        for length in 0..<140 {
            let (key, nonce) = (random.bytes(32), random.bytes(12))
            let (plaintext, context) = (random.bytes(length), random.bytes(length % 37))
            let theirs = nonce + OpenSSL.chachaSeal(plaintext, key: key, nonce: nonce, context: context)
            #expect(try Sealing.seal(plaintext, key: key, nonce: nonce, context: context) == theirs)
            #expect(try Sealing.open(theirs, key: key, context: context) == plaintext)
        }
    }

    @Test func opensOnlyUnchangedWithTheSameKeyAndContext() throws {
        let (key, context) = (SecureRandom.bytes(32), Array("vault".utf8))
        let secret = Array("twelve words".utf8)
        let box = try Sealing.seal(secret, key: key, context: context)
        #expect(box.count == secret.count + Sealing.overhead)
        #expect(try Sealing.open(box, key: key, context: context) == secret)
        for changed in flips(of: box) {
            expectFailure { try Sealing.open(changed, key: key, context: context) }
        }
        for changed in flips(of: key) {
            expectFailure { try Sealing.open(box, key: changed, context: context) }
        }
        for other in [[], Array("vaulT".utf8), context + [0]] {
            expectFailure { try Sealing.open(box, key: key, context: other) }
        }
        for length in 0..<box.count {
            expectFailure { try Sealing.open(Array(box.prefix(length)), key: key, context: context) }
        }
        expectFailure { try Sealing.open(box + [0], key: key, context: context) }
        let empty = try Sealing.seal([], key: key, context: [])
        #expect(try Sealing.open(empty, key: key, context: []).isEmpty)
    }

    @Test func everyBoxHasItsOwnNonce() throws {
        let key = SecureRandom.bytes(32)
        let nonces = try Set((0..<500).map { _ in try Sealing.seal([1], key: key, context: []).prefix(12) })
        #expect(nonces.count == 500)
    }

    @Test func refusesKeysOfAnotherLength() {
        for count in [0, 16, 31, 33, 64] {
            let key = [UInt8](repeating: 1, count: count)
            #expect(throws: CryptographyError.self) { try Sealing.seal([1], key: key, context: []) }
            #expect { try Sealing.open([UInt8](repeating: 0, count: 40), key: key, context: []) } throws: { error in
                (error as? CryptographyError)?.code == .invalidKey
            }
        }
    }

    @Test(arguments: ["rfc5869/hkdf-sha256.json", "wycheproof/hkdf-sha256.json"])
    func derivesAsPublished(path: String) throws {
        for vector in try Vectors<DerivationCase>.read(path) {
            let output = Sealing.hkdf(
                vector.secret.bytes,
                salt: vector.salt.bytes,
                info: vector.info.bytes,
                count: vector.output.bytes.count
            )
            #expect(output == vector.output.bytes, "\(vector.note)")
        }
    }

    @Test func derivationAgreesWithOpenSSL() {
        var random = SeededRandom(seed: 71)
        for length in 1..<60 {
            let (secret, salt, info) = (random.bytes(length), random.bytes(length), random.bytes(length))
            #expect(
                Sealing.hkdf(secret, salt: salt, info: info, count: length * 5)
                    == OpenSSL.hkdfSHA256(secret, salt: salt, info: info, count: length * 5)
            )
        }
    }

    @Test func aDerivedKeyDependsOnSecretAndLabel() {
        let secret = [UInt8](repeating: 9, count: 32)
        let key = Sealing.deriveKey(from: secret, label: "mint")
        #expect(key.count == 32)
        #expect(key == Sealing.hkdf(secret, salt: [], info: Array("mint".utf8), count: 32))
        #expect(key != Sealing.deriveKey(from: secret, label: "wallet"))
        #expect(key != Sealing.deriveKey(from: [UInt8](repeating: 8, count: 32), label: "mint"))
        #expect(Sealing.deriveKey(from: secret, label: "mint", count: 64).prefix(32) == key[...])
        #expect(Sealing.deriveKey(from: secret, label: "é", count: 8160).count == 8160)
    }

    @Test func scryptGivesThePublishedKeys() throws {
        for vector in try Vectors<ScryptCase>.read("rfc7914/scrypt.json") {
            let key = try Sealing.scrypt(
                vector.password.bytes,
                salt: vector.salt.bytes,
                n: vector.n,
                r: vector.r,
                p: vector.p,
                count: vector.output.bytes.count
            )
            #expect(key == vector.output.bytes)
        }
    }

    @Test func passphraseKeysAgreeWithOpenSSL() throws {
        var random = SeededRandom(seed: 72)
        for _ in 0..<6 {
            let passphrase = random.bytes(Int.random(in: 1...80, using: &random))
            let parameters = try Sealing.PassphraseParameters(
                salt: random.bytes(16),
                n: 1024 << Int.random(in: 0...1, using: &random),
                r: Int.random(in: 1...8, using: &random),
                p: Int.random(in: 1...3, using: &random)
            )
            #expect(
                try Sealing.key(passphrase: passphrase, parameters: parameters)
                    == OpenSSL.scrypt(
                        passphrase,
                        salt: parameters.salt,
                        n: parameters.n,
                        r: parameters.r,
                        p: parameters.p,
                        count: 32
                    )
            )
        }
    }

    @Test func parametersAreBounded() throws {
        let salt = [UInt8](repeating: 1, count: 16)
        let refused: [(salt: [UInt8], n: Int, r: Int, p: Int)] = [
            ([], 1024, 8, 1), ([UInt8](repeating: 1, count: 7), 1024, 8, 1),
            ([UInt8](repeating: 1, count: 65), 1024, 8, 1),
            (salt, 0, 8, 1), (salt, 512, 8, 1), (salt, 1023, 8, 1), (salt, 1025, 8, 1), (salt, 1536, 8, 1),
            (salt, 1 << 21, 8, 1), (salt, -1024, 8, 1),
            (salt, .min, 8, 1), (salt, 1024, 0, 1), (salt, 1024, 33, 1), (salt, 1024, -1, 1), (salt, 1024, .max, 1),
            (salt, 1024, 8, 0), (salt, 1024, 8, 17), (salt, 1 << 20, 8, 1), (salt, 1 << 18, 9, 1),
        ]
        for (salt, n, r, p) in refused {
            #expect { try Sealing.PassphraseParameters(salt: salt, n: n, r: r, p: p) } throws: { error in
                (error as? CryptographyError)?.code == .invalidParameters
            }
        }
        let largest = try Sealing.PassphraseParameters(salt: salt, n: 1 << 18, r: 8, p: 1)
        #expect(largest.memoryBytes == Sealing.PassphraseParameters.maximumMemoryBytes)
        let (fresh, other) = (Sealing.PassphraseParameters(), Sealing.PassphraseParameters())
        #expect(fresh.salt != other.salt)
        #expect(try Sealing.PassphraseParameters(salt: fresh.salt, n: fresh.n, r: fresh.r, p: fresh.p) == fresh)
        #expect(fresh.memoryBytes == 32 << 20)
    }

    @Test func pbkdf2HoldsWycheproofAndOpenSSL() throws {
        for vector in try Vectors<PBKDF2Case>.read("wycheproof/pbkdf2-hmac-sha512.json") {
            let (password, salt) = (vector.password.bytes, vector.salt.bytes)
            let count = vector.output.bytes.count
            #expect(
                Sealing.pbkdf2SHA512(password, salt: salt, rounds: vector.rounds, count: count) == vector.output.bytes,
                "\(vector.note)"
            )
        }
        var random = SeededRandom(seed: 73)
        for rounds in 1..<20 {
            let (password, salt) = (random.bytes(rounds * 7), random.bytes(rounds * 3))
            #expect(
                Sealing.pbkdf2SHA512(password, salt: salt, rounds: rounds, count: 64)
                    == OpenSSL.pbkdf2SHA512(password, salt: salt, rounds: rounds, count: 64)
            )
        }
    }
}
