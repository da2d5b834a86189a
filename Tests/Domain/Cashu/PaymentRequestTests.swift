import CanonicalJSON
import Cashu
import Encodings
import TestSupport
import Testing

@Suite("Payment requests (NUT-18)")
struct PaymentRequestTests {
    /// The request that a vector's JSON describes.
    static func expected(_ json: JSONValue) throws -> PaymentRequest {
        func tags(_ value: JSONValue?) -> [[String]] {
            (value?.arrayValue ?? []).map { ($0.arrayValue ?? []).compactMap(\.stringValue) }
        }
        return try PaymentRequest(
            id: json.optionalString("i"),
            amount: json.optionalUInt64("a"),
            unit: json.optionalString("u").map { try CurrencyUnit($0) },
            isSingleUse: json.optionalBool("s"),
            mints: (json.optionalStrings("m") ?? []).map { try MintURL($0) },
            description: json.optionalString("d"),
            transports: (json.optionalArray("t") ?? []).map {
                PaymentTransport(kind: try $0.string("t"), target: try $0.string("a"), tags: tags($0["g"]))
            },
            lock: json["nut10"].map {
                RequestedLock(kind: try $0.string("k"), data: try $0.string("d"), tags: tags($0["t"]))
            }
        )
    }

    @Test("every published request is read, and comes back from our own text")
    func published() throws {
        let cases = try vectors("18").array("cases")
        #expect(cases.count == 6)
        for vector in cases {
            let request = try PaymentRequest(vector.string("text"))
            let name = try vector.string("name")
            #expect(try request == Self.expected(vector.value("json")), "\(name)")
            #expect(try PaymentRequest(request.serialized()) == request)
            #expect(!request.serialized().contains("="))
        }
    }

    @Test("all members survive, mp and sm among them, at the edge of 64 bits")
    func allMembers() throws {
        let request = try PaymentRequest(
            id: "id",
            amount: .max,
            unit: CurrencyUnit("usd"),
            isSingleUse: false,
            mints: [MintURL("https://a.example"), MintURL("https://b.example")],
            prefersMints: true,
            supportedMethods: [SupportedMethod(method: "bolt11", fee: 3), SupportedMethod(method: "bolt12")],
            description: "für 🥜",
            transports: [PaymentTransport(kind: "post", target: "https://p.example", tags: [["n", "17", "18"]])],
            lock: RequestedLock(kind: "P2PK", data: "02aa", tags: [["locktime", "5"], ["refund", "02bb"]])
        )
        #expect(try PaymentRequest(request.serialized()) == request)
        let empty = try PaymentRequest()
        #expect(try PaymentRequest(empty.serialized()) == empty)
    }

    @Test("an amount without a unit is refused on both sides")
    func amountNeedsUnit() throws {
        #expect(throws: CashuError.self) { try PaymentRequest(amount: 5) }
        #expect(throws: CashuError.self) { try Self.read([CBORPair("a", .unsigned(5))]) }
    }

    static func read(_ pairs: [CBORPair]) throws -> PaymentRequest {
        try PaymentRequest("creqA" + Base64URL.encode(CBOR.map(pairs).encoded()))
    }

    @Test("wrong types are refused, unknown members ignored")
    func hostile() throws {
        let bad: [CBORPair] = [
            CBORPair("i", .unsigned(1)), CBORPair("a", .negative(4)), CBORPair("a", .text("5")),
            CBORPair("u", .text("")),
            CBORPair("s", .unsigned(1)), CBORPair("m", .text("https://m.example")),
            CBORPair("m", .array([.text("nope")])),
            CBORPair("m", .array([.unsigned(1)])), CBORPair("t", .array([.map([])])), CBORPair("nut10", .text("P2PK")),
            CBORPair("nut10", .map([CBORPair("k", .text("P2PK"))])), CBORPair("sm", .array([.map([])])),
            CBORPair("mp", .text("yes")),
            CBORPair("m", .array(Array(repeating: .text("https://m.example"), count: 101))),
            CBORPair("d", .text(String(repeating: "x", count: 5000))),
        ]
        for pair in bad {
            #expect(throws: (any Error).self) { try Self.read([CBORPair("u", .text("sat")), pair].reversed()) }
        }
        #expect(try Self.read([CBORPair("zz", .bool(true)), CBORPair("i", .undefined)]).id == nil)
        for text in [
            "", "creqA", "creqB1", "creqA!!", "creqAoA=x", "cashuBaaaa",
            "creqA" + String(repeating: "a", count: 70_000),
        ] {
            #expect(throws: CashuError.self) { try PaymentRequest(text) }
        }
    }

    @Test("a payload carries proofs with their DLEQ")
    func payload() throws {
        var mint = try TestMint()
        let payload = PaymentRequestPayload(
            id: "b7a90176",
            memo: "thanks",
            mint: try MintURL("https://mint.example"),
            unit: .sat,
            proofs: [try mint.proof(2), try mint.proof(8)]
        )
        let read = try PaymentRequestPayload(json: parse(String(decoding: payload.json.serialized(), as: UTF8.self)))
        #expect(read == payload)
        #expect(read.proofs[0].dleq?.blindingFactor != nil)
    }
}
