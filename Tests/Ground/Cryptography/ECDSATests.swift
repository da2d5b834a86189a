import Cryptography
import TestSupport
import Testing

@Suite struct ECDSATests {
    typealias ECDSA = Secp256k1.ECDSA
    typealias Scalar = Secp256k1.Scalar

    struct SigningCase: Decodable {
        let key: HexBytes
        let message: HexBytes
        let signature: HexBytes
    }

    private static func isHigh(_ s: ArraySlice<UInt8>) throws -> Bool {
        let half = try hex("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0")
        return half.lexicographicallyPrecedes(s)
    }

    /// The same signature with n − s.
    private static func twin(of signature: [UInt8]) throws -> [UInt8] {
        try signature.prefix(32) + Scalar(bytes: Array(signature.suffix(32))).negated().bytes
    }

    @Test func signsWithTheNonceOfRFC6979() throws {
        for vector in try Vectors<SigningCase>.read("secp256k1/ecdsa-rfc6979.json") {
            let key = try Scalar(bytes: vector.key.bytes)
            let digest = Hashing.sha256(vector.message.bytes)
            #expect(ECDSA.sign(digest: digest, key: key) == vector.signature.bytes)
        }
    }

    @Test func verifiesAsWycheproofSaysSaveForAHighS() throws {
        var high = 0
        for vector in try Vectors<Ed25519Tests.VerificationCase>.read("wycheproof/ecdsa-secp256k1.json") {
            let point = try Secp256k1.Point(uncompressed: vector.key.bytes)
            let digest = Hashing.sha256(vector.message.bytes)
            let signature = vector.signature.bytes
            let isHigh = try signature.count == 64 && Self.isHigh(signature[32...])
            #expect(
                ECDSA.isValid(signature: signature, digest: digest, publicKey: point) == (vector.valid && !isHigh),
                "\(vector.note)"
            )
            let low = try? ECDSA.lowS(signature: signature)
            if vector.valid {
                #expect(ECDSA.isValid(signature: try #require(low), digest: digest, publicKey: point))
                high += isHigh ? 1 : 0
            } else if let low {
                #expect(!ECDSA.isValid(signature: low, digest: digest, publicKey: point), "\(vector.note)")
            }
        }
        #expect(high > 10)
    }

    @Test func agreesWithOpenSSLBothWays() throws {
        let curve = OpenSSLCurve.secp256k1
        var random = SeededRandom(seed: 60)
        for _ in 0..<50 {
            let key = try Scalar(reducing: random.bytes(32))
            let point = Secp256k1.Point(multiplyingGeneratorBy: key)
            let digest = random.bytes(32)
            let ours = ECDSA.sign(digest: digest, key: key)
            #expect(try !Self.isHigh(ours[32...]))
            #expect(curve.isValid(signature: ours, digest: digest, publicKey: point.compressed))
            let theirs = curve.sign(digest: digest, key: key.bytes)
            #expect(try ECDSA.isValid(signature: ECDSA.lowS(signature: theirs), digest: digest, publicKey: point))
            var changed = ours
            changed[Int.random(in: 0..<64, using: &random)] ^= 1
            #expect(!curve.isValid(signature: changed, digest: digest, publicKey: point.compressed))
            #expect(!ECDSA.isValid(signature: changed, digest: digest, publicKey: point))
        }
    }

    @Test func recoversTheKeyThatSigned() throws {
        var random = SeededRandom(seed: 61)
        var seen: Set<UInt8> = []
        for _ in 0..<50 {
            let key = try Scalar(reducing: random.bytes(32))
            let point = Secp256k1.Point(multiplyingGeneratorBy: key)
            let digest = random.bytes(32)
            let (signature, recoveryID) = ECDSA.signRecoverable(digest: digest, key: key)
            seen.insert(recoveryID)
            #expect(signature == ECDSA.sign(digest: digest, key: key))
            #expect(
                try ECDSA.recover(signature: signature, recoveryID: recoveryID, digest: digest) == point
            )
            // A high s turns the recovery id's parity.
            let twin = try Self.twin(of: signature)
            #expect(try ECDSA.recover(signature: twin, recoveryID: recoveryID ^ 1, digest: digest) == point)
            #expect(!ECDSA.isValid(signature: twin, digest: digest, publicKey: point))
            #expect(try ECDSA.lowS(signature: twin) == signature)
            #expect(try ECDSA.lowS(signature: signature) == signature)
            let other = try? ECDSA.recover(signature: signature, recoveryID: recoveryID ^ 1, digest: digest)
            #expect(other != point)
        }
        #expect(seen == [0, 1])
    }

    @Test func refusesMalformedInput() throws {
        let key = try Scalar(bytes: hex(ScalarTests.orderMinusOne))
        let point = Secp256k1.Point(multiplyingGeneratorBy: key)
        let digest = Hashing.sha256([1, 2, 3])
        let (signature, recoveryID) = ECDSA.signRecoverable(digest: digest, key: key)
        let order = try hex(ScalarTests.order)
        let zero = [UInt8](repeating: 0, count: 32)
        let malformed = [
            [], Array(signature.dropLast()), signature + [0], zero + zero, order + order,
            signature.prefix(32) + zero, signature.prefix(32) + order, zero + signature.suffix(32),
        ]
        for bytes in malformed {
            #expect(!ECDSA.isValid(signature: bytes, digest: digest, publicKey: point))
            #expect { try ECDSA.recover(signature: bytes, recoveryID: recoveryID, digest: digest) } throws: { error in
                (error as? CryptographyError)?.code == .invalidSignature
            }
        }
        for bytes in [[], signature + [0], order + order] {
            #expect(throws: CryptographyError.self) { try ECDSA.lowS(signature: bytes) }
        }
        for identifier: UInt8 in [4, 5, 27, 255] {
            #expect(throws: CryptographyError.self) {
                try ECDSA.recover(signature: signature, recoveryID: identifier, digest: digest)
            }
        }
        // Ids 2 and 3 stand for an x above the order, which this r is far from.
        #expect(throws: CryptographyError.self) {
            try ECDSA.recover(signature: signature, recoveryID: recoveryID | 2, digest: digest)
        }
        for bytes in [[], digest + [0], Array(digest.dropLast())] {
            #expect(!ECDSA.isValid(signature: signature, digest: bytes, publicKey: point))
            #expect { try ECDSA.recover(signature: signature, recoveryID: recoveryID, digest: bytes) } throws: {
                error in
                (error as? CryptographyError)?.code == .invalidLength
            }
        }
    }
}
