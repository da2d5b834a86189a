import Cryptography
import TestSupport
import Testing

@Suite struct ScalarTests {
    typealias Scalar = Secp256k1.Scalar

    static let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
    static let orderMinusOne = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140"
    static let orderPlusOne = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364142"
    static let zero = String(repeating: "0", count: 64)
    static let one = String(repeating: "0", count: 63) + "1"
    static let largest = String(repeating: "f", count: 64)

    @Test func readsExactlyTheNumbersBelowTheOrder() throws {
        for valid in [Self.one, Self.orderMinusOne] {
            #expect(try Scalar(bytes: hex(valid)).bytes == hex(valid))
        }
        for invalid in [Self.zero, Self.order, Self.orderPlusOne, Self.largest, "", Self.one + "00", "01"] {
            #expect { try Scalar(bytes: hex(invalid)) } throws: { error in
                (error as? CryptographyError)?.code == .invalidScalar
            }
        }
    }

    @Test func reducesModuloTheOrder() throws {
        #expect(try Scalar(reducing: hex(Self.orderPlusOne)).bytes == hex(Self.one))
        #expect(try Scalar(reducing: hex(Self.orderMinusOne)).bytes == hex(Self.orderMinusOne))
        #expect(
            try Scalar(reducing: hex(Self.largest)).bytes
                == hex("000000000000000000000000000000014551231950b75fc4402da1732fc9bebe")
        )
        for refused in [Self.zero, Self.order, "", "01", Self.one + "00"] {
            #expect { try Scalar(reducing: hex(refused)) } throws: { error in
                (error as? CryptographyError)?.code == .invalidScalar
            }
        }
    }

    @Test func reducingAgreesWithOpenSSL() throws {
        var random = SeededRandom(seed: 30)
        let (order, zero) = (try hex(Self.order), try hex(Self.zero))
        for round in 0..<500 {
            // Half of the numbers lie close to the order, where each limb's borrow matters.
            var bytes = round.isMultiple(of: 2) ? random.bytes(32) : order
            bytes[Int.random(in: 0..<32, using: &random)] = .random(in: .min ... .max, using: &random)
            if bytes == order { continue }
            let expected = OpenSSL.Modular.add(bytes, zero, modulo: order)
            #expect(try Scalar(reducing: bytes).bytes == expected)
        }
    }

    @Test func arithmeticAgreesWithOpenSSL() throws {
        var random = SeededRandom(seed: 31)
        let order = try hex(Self.order)
        for _ in 0..<200 {
            let (first, second) = (random.bytes(32), random.bytes(32))
            let (a, b) = (try Scalar(reducing: first), try Scalar(reducing: second))
            #expect(try a.adding(b).bytes == OpenSSL.Modular.add(first, second, modulo: order))
            #expect(try a.multiplied(by: b).bytes == OpenSSL.Modular.multiply(first, second, modulo: order))
            #expect(try a.subtracting(b).adding(b) == a)
            #expect(a.negated().negated() == a)
            #expect(OpenSSL.Modular.add(a.bytes, a.negated().bytes, modulo: order).allSatisfy { $0 == 0 })
            #expect(a == (try Scalar(bytes: a.bytes)))
            #expect(a != b)
        }
    }

    @Test func aSumOfZeroIsRefused() throws {
        let scalar = try Scalar(bytes: hex(Self.orderMinusOne))
        #expect(throws: CryptographyError.self) { try scalar.adding(scalar.negated()) }
        #expect(throws: CryptographyError.self) { try scalar.subtracting(scalar) }
    }

    @Test func everyByteCountsInEquality() throws {
        var random = SeededRandom(seed: 32)
        let bytes = random.bytes(32)
        let scalar = try Scalar(bytes: bytes)
        for changed in flips(of: bytes) {
            #expect(try Scalar(bytes: changed) != scalar)
        }
    }

    @Test func randomScalarsDiffer() {
        #expect(Set((0..<200).map { _ in Scalar.random().bytes }).count == 200)
    }

    @Test func showsNoSecret() throws {
        let scalar = try Scalar(bytes: [UInt8](repeating: 0xAB, count: 32))
        let pair = Secp256k1.Schnorr.KeyPair(scalar)
        for secret in [scalar, pair] as [any CustomStringConvertible] {
            var dumped = ""
            dump(secret, to: &dumped)
            for text in ["\(secret)", String(reflecting: secret), dumped] {
                #expect(!text.lowercased().contains("abab"))
                #expect(!text.contains("171"))
            }
        }
    }
}
