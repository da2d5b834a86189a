import Cryptography
import Encodings
import TestSupport
import Testing

@Suite struct HashingTests {
    struct DigestCase: Decodable {
        let message: HexBytes
        let times: Int
        let sha256: HexBytes?
        let sha512: HexBytes?
        let digest: HexBytes?

        var repeated: [UInt8] {
            Array(repeatElement(message.bytes, count: times).joined())
        }
    }

    struct MACCase: Decodable {
        let key: HexBytes
        let message: HexBytes
        let sha256: HexBytes
        let sha512: HexBytes
    }

    struct WycheproofMAC: Decodable {
        let key: HexBytes
        let message: HexBytes
        let tag: HexBytes
        let valid: Bool
        let note: String
    }

    /// Lengths around the block of SHA-256 (64), of SHA-512 (128) and of Keccak-256 (136).
    static let lengths = Array(0...9) + Array(54...66) + Array(110...145) + [271, 272, 273, 1000, 4096]

    @Test func sha2GivesThePublishedDigests() throws {
        for vector in try Vectors<DigestCase>.read("fips180/sha2.json") {
            #expect(Hashing.sha256(vector.repeated) == vector.sha256?.bytes)
            #expect(Hashing.sha512(vector.repeated) == vector.sha512?.bytes)
        }
    }

    @Test func keccakGivesThePublishedDigests() throws {
        for vector in try Vectors<DigestCase>.read("keccak/keccak256.json") {
            #expect(Hashing.keccak256(vector.repeated) == vector.digest?.bytes)
        }
    }

    @Test func digestsAgreeWithOpenSSLAtEveryBlockBoundary() {
        var random = SeededRandom(seed: 1)
        for length in Self.lengths {
            let message = random.bytes(length)
            #expect(Hashing.sha256(message) == OpenSSL.digest("SHA256", message))
            #expect(Hashing.sha256(message[...]) == OpenSSL.digest("SHA256", message))
            #expect(Hashing.sha512(message) == OpenSSL.digest("SHA512", message))
            // OpenSSL 3.0 has no Keccak, but SHA3-256 is the same sponge with another padding byte.
            #expect(Keccak256.hash(message, padding: 0x06) == OpenSSL.digest("SHA3-256", message))
            #expect(Keccak256.hash(message) != OpenSSL.digest("SHA3-256", message))
        }
    }

    @Test func hmacGivesThePublishedCodes() throws {
        for vector in try Vectors<MACCase>.read("rfc4231/hmac.json") {
            #expect(Hashing.hmacSHA256(key: vector.key.bytes, vector.message.bytes) == vector.sha256.bytes)
            #expect(Hashing.hmacSHA512(key: vector.key.bytes, vector.message.bytes) == vector.sha512.bytes)
        }
    }

    @Test func hmacHoldsWycheproof() throws {
        for vector in try Vectors<WycheproofMAC>.read("wycheproof/hmac-sha256.json") {
            let code = Hashing.hmacSHA256(key: vector.key.bytes, vector.message.bytes)
            #expect(ConstantTime.equal(code, vector.tag.bytes) == vector.valid, "\(vector.note)")
        }
        for vector in try Vectors<WycheproofMAC>.read("wycheproof/hmac-sha512.json") {
            let code = Hashing.hmacSHA512(key: vector.key.bytes, vector.message.bytes)
            #expect(ConstantTime.equal(code, vector.tag.bytes) == vector.valid, "\(vector.note)")
        }
    }

    @Test func hmacAgreesWithOpenSSL() {
        var random = SeededRandom(seed: 2)
        for length in Self.lengths {
            let key = random.bytes(length)
            let message = random.bytes(length)
            #expect(Hashing.hmacSHA256(key: key, message) == OpenSSL.hmac("SHA256", key: key, message))
            #expect(Hashing.hmacSHA512(key: key, message) == OpenSSL.hmac("SHA512", key: key, message))
        }
    }

    @Test func theStreamGivesTheDigestOfTheWholeHoweverItIsCut() {
        var random = SeededRandom(seed: 3)
        for _ in 0..<50 {
            let message = random.bytes(Int.random(in: 0...600, using: &random))
            var stream = SHA256Stream()
            var rest = message[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 0...150, using: &random))
                if Bool.random(using: &random) {
                    stream.update(Array(piece))
                } else {
                    piece.withUnsafeBytes { stream.update($0) }
                }
                rest = rest.dropFirst(piece.count)
            }
            #expect(stream.finalize() == Hashing.sha256(message))
        }
    }

    @Test func theStreamGoesOnAfterADigest() {
        var stream = SHA256Stream()
        stream.update(Array("ab".utf8))
        let before = stream.finalize()
        let copy = stream
        stream.update(Array("c".utf8))
        #expect(before == Hashing.sha256(Array("ab".utf8)))
        #expect(stream.finalize() == Hashing.sha256(Array("abc".utf8)))
        #expect(copy.finalize() == before)
    }

    @Test func constantTimeEqualityIsEquality() {
        var random = SeededRandom(seed: 4)
        let bytes = random.bytes(40)
        #expect(ConstantTime.equal(bytes, bytes))
        #expect(ConstantTime.equal([], []))
        for changed in flips(of: bytes) {
            #expect(!ConstantTime.equal(bytes, changed))
        }
        #expect(!ConstantTime.equal(bytes, Array(bytes.dropLast())))
        #expect(!ConstantTime.equal(bytes, bytes + [0]))
    }

    @Test func randomBytesComeInEveryLengthAndNeverRepeat() {
        #expect(SecureRandom.bytes(0).isEmpty)
        #expect(SecureRandom.bytes(-1).isEmpty)
        for count in [1, 31, 32, 255, 256, 257, 1000] {
            #expect(SecureRandom.bytes(count).count == count)
        }
        let drawn = Set((0..<1000).map { _ in SecureRandom.bytes(16) })
        #expect(drawn.count == 1000)
        // A part that was not filled would stay zero: the chance of 16 random zeros in a row is 2^-128.
        var long = [UInt8](repeating: 0, count: 1024)
        long.withUnsafeMutableBytes { SecureRandom.fill($0) }
        for start in stride(from: 0, to: 1024, by: 16) {
            #expect(long[start..<start + 16].contains { $0 != 0 })
        }
    }
}
