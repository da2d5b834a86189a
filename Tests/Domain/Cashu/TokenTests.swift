import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import TestSupport
import Testing

@Suite("Tokens (NUT-00)")
struct TokenTests {
    @Test("the published V3 tokens are read, padded or not, and the damaged ones refused")
    func version3Vectors() throws {
        let vector = try vectors("00").value("v3")
        let json = try vector.value("json")
        let token = try Token(vector.string("text"))
        let entry = try json.array("token")[0]
        #expect(try token.mint.string == entry.string("mint"))
        #expect(try token.unit.name == json.string("unit"))
        #expect(try token.memo == json.string("memo"))
        let expected = try entry.array("proofs").map(Proof.init(json:))
        #expect(try token.proofs(knownKeysets: [KeysetID(hex: "009a1f293253e41e")]) == expected)
        #expect(try token.amount() == 10)
        let others = try vector.strings("alsoValid").map { try Token($0) }
        #expect(others.count == 2)
        #expect(others[0] == others[1])
        for text in try vector.strings("invalid") {
            #expect(throws: CashuError.self) { try Token(text) }
        }
    }

    @Test("the published V4 tokens are read and written byte for byte")
    func version4Vectors() throws {
        for vector in try vectors("00").array("v4") {
            let text = try vector.string("text")
            let token = try Token(text)
            #expect(try token.mint.string == vector.string("mint"))
            #expect(try token.unit.name == vector.string("unit"))
            #expect(try token.memo == vector.optionalString("memo"))
            let groups = try vector.array("groups")
            #expect(token.groups.count == groups.count)
            for (group, expected) in zip(token.groups, groups) {
                #expect(try group.keyset.description == expected.string("keyset"))
                for (proof, expectedProof) in try zip(group.proofs, expected.array("proofs")) {
                    #expect(try proof.amount == expectedProof.uint64("amount"))
                    #expect(try proof.secret == expectedProof.string("secret"))
                    #expect(try proof.signature == expectedProof.point("signature"))
                }
            }
            let unpadded = text.replacing("=", with: "")
            #expect(token.serialized() == unpadded)
            #expect(try Token(unpadded) == token)
            #expect(try Token("cashu:" + text) == token)
            #expect(try Token("cashu://" + text) == token)
        }
    }

    @Test("the published binary token")
    func binaryVector() throws {
        let vector = try vectors("00").value("binary")
        let bytes = try Hex.decode(vector.string("hex"))
        let token = try Token(binary: bytes)
        #expect(try token == Token(vector.string("token")))
        #expect(token.binary() == bytes)
        #expect(throws: CashuError.self) { try Token(binary: Array(bytes.dropLast())) }
        #expect(throws: CashuError.self) { try Token(binary: Array("crawC".utf8) + bytes.dropFirst(5)) }
        #expect(throws: CashuError.self) { try Token(binary: []) }
    }

    @Test("random tokens come back as they were, also with short keyset ids", arguments: 1...10)
    func roundTrip(seed: UInt64) throws {
        var mints = [try TestMint(seed: seed), try TestMint(seed: seed + 100, feePPK: 100)]
        var random = SeededRandom(seed: seed)
        var proofs: [Proof] = []
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            let which = Int.random(in: 0...1, using: &random)
            var proof = try mints[which].proof(1 << UInt64.random(in: 0...63, using: &random))
            if Bool.random(using: &random) { proof.witness = #"{"signatures":["é\#(random.hex())"]}"# }
            if Bool.random(using: &random) { proof.dleq = nil }
            proofs.append(proof)
        }
        let memo = Bool.random(using: &random) ? "für Δ 🥜" : nil
        let token = try Token(mint: MintURL("https://mint.example"), unit: .sat, memo: memo, proofs: proofs)
        let known = mints.map(\.keyset.id)
        for shortens in [false, true] {
            let read = try Token(token.serialized(shortensKeysetIDs: shortens))
            #expect(try Set(read.proofs(knownKeysets: known)) == Set(proofs))
            #expect(read.memo == memo && read.count == proofs.count)
        }
        #expect(try Token(token.serialized()) == token)
        #expect(try Token(binary: token.binary()) == token)
    }

    @Test("an ambiguous short id fails, an unknown one too")
    func ambiguousKeyset() throws {
        var mint = try TestMint()
        let token = try Token(mint: MintURL("https://mint.example"), unit: .sat, proofs: [mint.proof(1)])
        let read = try Token(token.serialized(shortensKeysetIDs: true))
        let twin = try KeysetID(bytes: mint.keyset.id.short + [UInt8](repeating: 0, count: 25))
        let error = #expect(throws: CashuError.self) { try read.proofs(knownKeysets: [mint.keyset.id, twin]) }
        #expect(error?.code == .keysetAmbiguous)
        #expect(throws: CashuError.self) { try read.proofs(knownKeysets: [] as [KeysetID]) }
    }

    @Test("a V3 token over two mints gives two tokens, and can't be taken for one")
    func severalMints() throws {
        let proof =
            #"{"amount":2,"id":"009a1f293253e41e","secret":"SECRET","C":"02bc9097997d81afb2cc7346b5e4345a9346bd2a506eb7958598a72f0cf85163ea"}"#
        let json = """
            {"token":[{"mint":"https://a.example/","proofs":[\(proof)]},{"mint":"https://b.example","proofs":[\(proof)]},
            {"mint":"https://a.example","proofs":[\(proof)]}]}
            """
        let text = "cashuA" + Base64URL.encode(Array(json.utf8))
        let tokens = try Token.all(in: text)
        #expect(tokens.map(\.mint.string) == ["https://a.example", "https://b.example"])
        #expect(tokens.map(\.count) == [2, 1])
        #expect(tokens.allSatisfy { $0.unit == .sat })
        #expect(throws: CashuError.self) { try Token(text) }
    }

    @Test("no prefix of a token, and no token with a byte changed, crashes the reader", arguments: 1...3)
    func damaged(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let binary = try Hex.decode(vectors("00").value("binary").string("hex"))
        for count in 0..<binary.count {
            #expect(throws: CashuError.self) { try Token(binary: Array(binary.prefix(count))) }
        }
        for _ in 0..<500 {
            var changed = binary
            changed[Int.random(in: 5..<changed.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            _ = try? Token(binary: changed)
        }
    }
}

@Suite("Hostile tokens")
struct HostileTokenTests {
    static let signature = "02bc9097997d81afb2cc7346b5e4345a9346bd2a506eb7958598a72f0cf85163ea"

    static func proof(
        amount: CBOR = .unsigned(1),
        secret: CBOR = .text("s"),
        signature: CBOR? = nil,
        extra: [CBORPair] = []
    ) throws -> CBOR {
        .map(
            [
                CBORPair("a", amount), CBORPair("s", secret),
                CBORPair("c", try signature ?? .bytes(Hex.decode(Self.signature))),
            ] + extra
        )
    }

    static func read(_ proofs: [CBOR], keyset: [UInt8] = [0, 1, 2, 3, 4, 5, 6, 7]) throws -> Token {
        try read(
            .map([
                CBORPair("t", .array([.map([CBORPair("i", .bytes(keyset)), CBORPair("p", .array(proofs))])])),
                CBORPair("m", .text("https://mint.example")), CBORPair("u", .text("sat")),
            ])
        )
    }

    static func read(_ value: CBOR) throws -> Token {
        try Token("cashuB" + Base64URL.encode(value.encoded()))
    }

    @Test("unknown members are ignored, undefined counts as absent")
    func tolerance() throws {
        let token = try Self.read([
            Self.proof(extra: [CBORPair("zz", .bytes([1])), CBORPair("w", .undefined), CBORPair("d", .null)])
        ])
        #expect(token.groups[0].proofs[0].witness == nil)
        #expect(token.groups[0].proofs[0].dleq == nil)
    }

    @Test("bounds: 1000 proofs are taken, 1001 not; secrets and witnesses of 1024 bytes, no more")
    func bounds() throws {
        let one = try Self.proof()
        #expect(try Self.read(Array(repeating: one, count: 1000)).count == 1000)
        #expect(throws: CashuError.self) { try Self.read(Array(repeating: one, count: 1001)) }
        #expect(throws: CashuError.self) { try Self.read([]) }
        let fits = String(repeating: "x", count: 1024)
        #expect(try Self.read([Self.proof(secret: .text(fits), extra: [CBORPair("w", .text(fits))])]).count == 1)
        #expect(throws: CashuError.self) { try Self.read([Self.proof(secret: .text(fits + "x"))]) }
        #expect(throws: CashuError.self) { try Self.read([Self.proof(secret: .text(""))]) }
        #expect(throws: CashuError.self) { try Self.read([Self.proof(extra: [CBORPair("w", .text(fits + "x"))])]) }
        let error = #expect(throws: CashuError.self) { try Token(String(repeating: "a", count: (4 << 20) + 1)) }
        #expect(error?.code == .tooLarge)
    }

    @Test("wrong types, points and lengths are refused with a message")
    func wrongShapes() throws {
        let bad: [CBOR] = try [
            Self.proof(amount: .text("1")), Self.proof(amount: .negative(0)), Self.proof(amount: .unsigned(0)),
            Self.proof(amount: .float(1)), Self.proof(secret: .bytes([1])), Self.proof(signature: .bytes([])),
            Self.proof(signature: .text(Self.signature)),
            Self.proof(signature: .bytes([2] + Array(repeating: 0xFF, count: 32))),
            Self.proof(signature: .bytes([0] + Array(repeating: 0, count: 32))),
            Self.proof(extra: [CBORPair("d", .map([]))]),
            Self.proof(extra: [CBORPair("d", .map([CBORPair("e", .bytes([1])), CBORPair("s", .bytes([1]))]))]),
            Self.proof(extra: [CBORPair("w", .unsigned(1))]), .map([]), .null, .array([]),
        ]
        for proof in bad {
            let error = #expect(throws: CashuError.self) { try Self.read([proof]) }
            #expect(error?.message.isEmpty == false)
        }
        let good = try Self.proof()
        for keyset in [[], [0], [0, 1, 2, 3, 4, 5, 6], [2, 1, 2, 3, 4, 5, 6, 7], [UInt8](repeating: 1, count: 34)] {
            #expect(throws: CashuError.self) { try Self.read([good], keyset: keyset) }
        }
        for value in [.null, .array([]), .map([]), .map([CBORPair("m", .text("https://m"))])] as [CBOR] {
            #expect(throws: CashuError.self) { try Self.read(value) }
        }
        for text in ["", "cashu", "cashuB", "cashuC" + "aaaa", "cashuB!!!!", "cashuA", "cashuAaaaa", "creqAaaaa"] {
            #expect(throws: (any Error).self) { try Token(text) }
        }
    }

    @Test("amounts that overflow together are an error when summed")
    func overflow() throws {
        let token = try Self.read(Array(repeating: Self.proof(amount: .unsigned(1 << 63)), count: 2))
        let error = #expect(throws: CashuError.self) { try token.amount() }
        #expect(error?.code == .amountOverflow)
    }

    @Test(
        "V3 amounts must be exact unsigned integers",
        arguments: ["-1", "0", "1.5", "18446744073709551616", "\"5\"", "null", "true", "1e400"]
    )
    func version3Amounts(amount: String) throws {
        let json =
            #"{"token":[{"mint":"https://m.example","proofs":[{"amount":AMOUNT,"id":"009a1f293253e41e","secret":"s","C":"KEY"}]}]}"#
            .replacing("AMOUNT", with: amount).replacing("KEY", with: Self.signature)
        #expect(throws: (any Error).self) { try Token("cashuA" + Base64URL.encode(Array(json.utf8))) }
    }
}
