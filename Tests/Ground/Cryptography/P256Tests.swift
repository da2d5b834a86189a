import Cryptography
import TestSupport
import Testing

@Suite struct P256Tests {
    @Test func verifiesAsWycheproofSays() throws {
        for vector in try Vectors<Ed25519Tests.VerificationCase>.read("wycheproof/ecdsa-p256.json") {
            let key = try P256.PublicKey(uncompressed: vector.key.bytes)
            #expect(
                key.isValid(signature: vector.signature.bytes, for: vector.message.bytes) == vector.valid,
                "\(vector.note)"
            )
        }
    }

    /// RFC 6979, A.2.5: P-256 with SHA-256, message "sample".
    @Test func verifiesTheSignatureOfRFC6979() throws {
        let key = try P256.PrivateKey(
            bytes: hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
        )
        #expect(
            try key.publicKey.uncompressed
                == hex(
                    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                        + "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
                )
        )
        let signature = try hex(
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                + "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
        )
        #expect(key.publicKey.isValid(signature: signature, for: Array("sample".utf8)))
        #expect(!key.publicKey.isValid(signature: signature, for: Array("simple".utf8)))
    }

    @Test func agreesWithOpenSSLBothWays() throws {
        let curve = OpenSSLCurve.p256
        var random = SeededRandom(seed: 20)
        for length in 0..<40 {
            let message = random.bytes(length)
            let scalar = random.bytes(32)
            let key = try P256.PrivateKey(bytes: scalar)
            #expect(key.bytes == scalar)
            #expect(key.publicKey.compressed == curve.multiply(scalar))
            #expect(key.publicKey.uncompressed == curve.uncompressed(key.publicKey.compressed))
            #expect(try P256.PublicKey(compressed: key.publicKey.compressed) == key.publicKey)
            #expect(try P256.PublicKey(uncompressed: key.publicKey.uncompressed) == key.publicKey)
            let digest = Hashing.sha256(message)
            let ours = try key.sign(message)
            #expect(curve.isValid(signature: ours, digest: digest, publicKey: key.publicKey.compressed))
            let theirs = curve.sign(digest: digest, key: scalar)
            #expect(key.publicKey.isValid(signature: theirs, for: message))
            var changed = theirs
            changed[Int.random(in: 0..<64, using: &random)] ^= 1
            #expect(!key.publicKey.isValid(signature: changed, for: message))
        }
    }

    @Test func refusesWhatIsNoKey() throws {
        let order = try hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
        for bytes in [[], [UInt8](repeating: 0, count: 32), order, [UInt8](repeating: 1, count: 31)] {
            #expect(throws: CryptographyError.self) { try P256.PrivateKey(bytes: bytes) }
        }
        let curve = OpenSSLCurve.p256
        var random = SeededRandom(seed: 21)
        for _ in 0..<100 {
            let candidate = [UInt8.random(in: 1...4, using: &random)] + random.bytes(32)
            #expect(((try? P256.PublicKey(compressed: candidate)) != nil) == curve.isPoint(candidate))
        }
        let key = P256.PrivateKey().publicKey
        #expect(throws: CryptographyError.self) { try P256.PublicKey(compressed: [0]) }
        #expect(throws: CryptographyError.self) { try P256.PublicKey(compressed: []) }
        #expect(throws: CryptographyError.self) { try P256.PublicKey(compressed: key.compressed + [0]) }
        #expect(throws: CryptographyError.self) { try P256.PublicKey(compressed: key.uncompressed) }
        for changed in flips(of: key.uncompressed) {
            #expect(throws: CryptographyError.self) { try P256.PublicKey(uncompressed: changed) }
        }
    }

    @Test func showsNoSecret() throws {
        let key = try P256.PrivateKey(bytes: [UInt8](repeating: 0xAB, count: 32))
        var dumped = ""
        dump(key, to: &dumped)
        for text in ["\(key)", String(reflecting: key), dumped] {
            #expect(!text.lowercased().contains("abab"))
            #expect(!text.contains("171"))
        }
    }
}
