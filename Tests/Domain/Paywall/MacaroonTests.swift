import CanonicalJSON
import Encodings
import Paywall
import TestSupport
import Testing

@Suite("Macaroons")
struct MacaroonTests {
    private let vectors: JSONValue

    init() throws {
        vectors = try JSONValue.parse(Fixtures.bytes("macaroons/libmacaroons.json"))
    }

    private func hex(_ text: String) throws -> [UInt8] { try Hex.decode(text) }

    @Test("LSAT-1: libmacaroons' vectors of both versions are accepted and refused as there")
    func verification() throws {
        let cases = try vectors.array("verification")
        #expect(cases.count == 16)
        for vector in cases {
            let macaroon = try Macaroon(serialized: hex(vector.string("macaroon")))
            let exact = try Set(vector.requireObject().strings("exact"))
            let isMade = try macaroon.isMade(with: Array(vector.string("key").utf8))
            let holds = macaroon.caveats.allSatisfy { exact.contains(String(decoding: $0.identifier, as: UTF8.self)) }
            let name = try vector.string("name")
            #expect(try (isMade && holds) == vector.bool("authorized"), "\(name)")
        }
    }

    @Test("LSAT-1: version 1 is read as version 2 is, and version 2 is written byte for byte")
    func serialization() throws {
        for vector in try vectors.array("serialization") {
            let second = try hex(vector.string("v2"))
            let read = try Macaroon(serialized: second)
            #expect(try Macaroon(serialized: hex(vector.string("v1"))) == read)
            #expect(try read.serialized() == second)
            let made = try read.caveats.reduce(
                Macaroon(
                    rootKey: Array("this is the key".utf8),
                    identifier: read.identifier,
                    location: read.location
                )
            ) { try $0.adding($1.identifier) }
            #expect(made == read)
        }
    }

    @Test("LSAT-1: a caveat for another party is chained as go-macaroon and libmacaroons chain it")
    func thirdParty() throws {
        let vector = try vectors.value("thirdParty")
        let bytes = try hex(vector.string("macaroon"))
        let macaroon = try Macaroon(serialized: bytes)
        #expect(macaroon.caveats.map(\.isThirdParty) == [false, true])
        #expect(try macaroon.isMade(with: Array(vector.string("key").utf8)))
        #expect(try macaroon.serialized() == bytes)
    }

    @Test("LSAT-1: the key is derived, which the L402 repository's own page leaves out")
    func derivedKey() throws {
        let macaroon = try Macaroon(
            rootKey: [UInt8](repeating: 0, count: 32),
            identifier: Array("test-id".utf8)
        ).adding("account=12345")
        #expect(
            Hex.encode(macaroon.signature) == "27682fa644ce1b94922b6d84d57d111a1d784093b548be9a9d6fdb809b06a001"
        )
    }

    @Test("LSAT-1: an empty location or verification id, as pymacaroons writes them, is none")
    func emptyFields() throws {
        let plain = try Macaroon(rootKey: [1], identifier: [2]).adding([3])
        let bytes = try plain.serialized()
        #expect(Array(bytes.prefix(8)) == [2, 2, 1, 2, 0, 2, 1, 3])
        let padded = [2, 1, 0, 2, 1, 2, 0, 1, 0, 2, 1, 3, 4, 0] + bytes.dropFirst(8)
        #expect(try Macaroon(serialized: padded) == plain)
    }

    @Test("LSAT-1: any flipped bit breaks the reading or the signature, and no cut is read")
    func damage() throws {
        let key = [UInt8](repeating: 7, count: 32)
        let macaroon = try Macaroon(rootKey: key, identifier: Array("id".utf8)).adding("a=1").adding("b=2")
        let bytes = try macaroon.serialized()
        #expect(macaroon.isMade(with: key))
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << UInt8(bit)
                guard let read = try? Macaroon(serialized: changed) else { continue }
                #expect(!read.isMade(with: key))
            }
            #expect(throws: MacaroonError.self) { try Macaroon(serialized: Array(bytes.prefix(index))) }
        }
        #expect(throws: MacaroonError.self) { try Macaroon(serialized: bytes + [0]) }
    }

    @Test("LSAT-1: fields out of order or twice, other formats, and what is too long are refused")
    func hostile() throws {
        let signature: [UInt8] = [6, 32] + [UInt8](repeating: 0, count: 32)
        let bad: [[UInt8]] = [
            [], [2], [3], Array("{\"v\":2}".utf8), [2, 2, 1, 9, 1, 1, 9, 0, 0] + signature,
            [2, 2, 1, 9, 2, 1, 9, 0, 0] + signature, [2, 1, 1, 9, 0, 0] + signature, [2, 0, 0] + signature,
            [2, 2, 1, 9, 4, 1, 9, 0, 0] + signature, [2, 2, 1, 9, 5, 1, 9, 0, 0] + signature,
            [2, 2, 1, 9, 0, 1, 1, 7, 2, 1, 9, 0, 0] + signature,
            [2, 2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
            [2, 2, 1, 9, 0, 0, 6, 31] + signature.dropFirst(3), Array("0003".utf8), Array("zzzz".utf8),
            Array("0005\n".utf8), Array("0fffidentifier x\n".utf8),
            [UInt8](repeating: 2, count: Macaroon.maximumBytes + 1),
        ]
        for bytes in bad { #expect(throws: MacaroonError.self) { try Macaroon(serialized: bytes) } }
        let long = [UInt8](repeating: 1, count: Macaroon.maximumFieldBytes + 1)
        #expect(throws: MacaroonError.self) { try Macaroon(rootKey: [1], identifier: long) }
        var full = try Macaroon(rootKey: [1], identifier: [1])
        for _ in 0..<Macaroon.maximumCaveats { full = try full.adding("x") }
        #expect(throws: MacaroonError.self) { try full.adding("x") }
        #expect(try Macaroon(serialized: full.serialized()) == full)
        let heavy = try (0..<5).reduce(Macaroon(rootKey: [1], identifier: [1])) { sum, _ in
            try sum.adding([UInt8](repeating: 1, count: 1000))
        }
        #expect(throws: MacaroonError.self) { try heavy.serialized() }
    }

    @Test("LSAT-1: random bytes never crash the reader")
    func fuzz() throws {
        var random = SeededRandom(seed: 402)
        let seeds = try vectors.array("verification").map { try hex($0.string("macaroon")) }
        for round in 0..<4000 {
            var bytes = seeds[round % seeds.count]
            for _ in 0...Int.random(in: 0...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
            }
            guard let read = try? Macaroon(serialized: bytes) else { continue }
            #expect(try Macaroon(serialized: read.serialized()) == read)
        }
    }

    @Test("A macaroon and a credential do not print themselves")
    func redaction() throws {
        let macaroon = try Macaroon(rootKey: [1], identifier: Array("public".utf8)).adding("secret=1")
        #expect("\(macaroon)" == "Macaroon(1 caveats, redacted)")
        #expect(!String(reflecting: macaroon).contains("signature"))
        let credential = try #require(
            L402Credential(macaroons: [macaroon], preimage: [UInt8](repeating: 0xab, count: 32))
        )
        #expect(!"\(credential)".contains("abab") && !String(reflecting: credential).contains("171"))
    }
}
