import CanonicalJSON
import Cryptography
import Encodings
import Records
import SignedDocuments
import Testing

@testable import Market

enum Sample {
    static let now = Timestamp(secondsSince1970: 1_795_219_200)
    static let signer = DocumentSigner(key(1))

    /// A seed of 32 bytes always makes a key.
    static func key(_ byte: UInt8) -> Ed25519.PrivateKey {
        (try? Ed25519.PrivateKey(seed: [UInt8](repeating: byte, count: 32))) ?? Ed25519.PrivateKey()
    }

    /// A body with everything that one may have.
    static let body: JSONObject = [
        "title": "Weather", "description": "Weather of today für Zürich", "tags": ["weather", "forecast"],
        "urls": ["https://node.example/s/weather", "https://198.51.100.7:8402/s/weather"],
        "prices": [
            ["methods": ["GET", "HEAD"], "path": "/*", "amount": "2", "unit": "sat", "per": "call"],
            ["path": "/map", "amount": "100", "from": "1", "unit": "sat", "per": "call"],
        ],
        "dialects": ["cashu", "l402"], "mints": ["https://node.example/mint"],
        "input": ["type": "object", "properties": ["city": ["type": "string"]]], "output": ["type": "object"],
        "sla": [
            "percentile": 95, "latencyMilliseconds": 500, "uptimePPM": 995_000, "errorsPPM": 1_000,
            "deadlineMilliseconds": 30_000,
        ],
        "callers": ["issuers": [.string(signer.did.string)], "capability": "invoke"],
        "idempotent": true, "escrow": ["key", "arbiter"],
        "bond": ["amount": "1000", "unit": "sat", "mint": "https://node.example/mint"],
        "arbiters": [.string(signer.did.string)],
    ]

    static func record(
        _ body: JSONObject = body,
        name: String = "weather",
        sequence: UInt64 = 1,
        created: Timestamp = now,
        lifetimeSeconds: Int64? = nil
    ) throws -> Record {
        try .sign(
            body,
            of: Listing.kind,
            name: name,
            sequence: sequence,
            created: created,
            lifetimeSeconds: lifetimeSeconds,
            by: signer
        )
    }
}

/// What is said of a body, or nil where it is a listing.
private func refusal(_ body: JSONObject) -> RecordRefusal? {
    do throws(RecordRefusal) {
        _ = try Listing(body)
        return nil
    } catch {
        return error
    }
}

@Suite("Listings")
struct ListingTests {
    @Test("[LST-2] [LST-6] A listing with everything is read, and says the same again")
    func whole() throws {
        let listing = try Listing(Sample.record())
        #expect(listing.body == Sample.body)
        #expect(try Listing(listing.body) == listing)
        #expect(listing.prices[1] == Listing.Price(path: "/map", amount: 100, from: 1))
        #expect(listing.promise?.uptimePPM == 995_000)
        #expect(listing.escrow == [.key, .arbiter])
        #expect(listing.bond?.amount == 1_000)
        #expect(listing.arbiters == [Sample.signer.did])
        #expect(listing.callers?.capability == "invoke")
        #expect(listing.isIdempotent)
    }

    @Test("[LST-2] The least that a listing says is where and for how much")
    func least() throws {
        let body: JSONObject = ["urls": Sample.body["urls"] ?? .null, "prices": Sample.body["prices"] ?? .null]
        #expect(try Listing(body).body == body)
        for missing in ["urls", "prices"] {
            var less = body
            less.removeValue(forKey: missing)
            #expect(refusal(less)?.message.contains("`\(missing)`") == true)
        }
    }

    @Test("[LST-2] Every member with a value of another form is refused by its name", arguments: Sample.body.keys)
    func flipped(_ name: String) {
        let wrong: [JSONValue] = [
            .null, .integer(-1), .double(1.5), .string(""), .string("a\u{1B}[2J"), .array([]), .array([.integer(1)]),
            .array([["x": 1]]), .object(["x": 1]), .object([:]),
        ]
        for value in wrong {
            // An object is a schema, whatever it says.
            if ["input", "output"].contains(name), value.objectValue != nil { continue }
            var body = Sample.body
            body[name] = value
            let refusal = refusal(body)
            #expect(refusal?.code == .malformed, "\(name): \(value)")
            #expect(refusal?.message.contains("`\(name)") == true, "\(name): \(refusal?.message ?? "-")")
            #expect(refusal?.message.contains("\u{1B}") == false)
        }
        var body = Sample.body
        body[name] = name == "idempotent" ? "true" : true
        #expect(refusal(body)?.message.contains("`\(name)") == true)
    }

    @Test(
        "[LST-2] [LST-3] [LST-6] What breaks a bound is refused by its place",
        arguments: [
            ("title", JSONValue.string(String(repeating: "a", count: 129)), "title"),
            ("title", "weather\u{202E}", "title"), ("description", "a\nb", "description"),
            ("description", .string(String(repeating: "a", count: 4_097)), "description"),
            ("tags", .array((0..<17).map { .string("t\($0)") }), "tags"), ("tags", ["Weather"], "tags"),
            ("tags", ["a", "a"], "tags"), ("tags", [.string(String(repeating: "a", count: 33))], "tags"),
            ("urls", .array((0..<5).map { .string("https://a.example/\($0)") }), "urls"),
            ("mints", .array((0..<17).map { .string("https://a.example/\($0)") }), "mints"),
            ("prices", .array([["path": "/", "amount": "1", "unit": "sat"]]), "prices[0].per"),
            ("prices", .array([["path": "/", "amount": "01", "unit": "sat", "per": "call"]]), "prices[0].amount"),
            ("prices", .array([["path": "/", "amount": 1, "unit": "sat", "per": "call"]]), "prices[0].amount"),
            (
                "prices", .array([["path": "/", "amount": "9007199254740992", "unit": "sat", "per": "call"]]),
                "prices[0].amount"
            ),
            (
                "prices", .array([["path": "/", "amount": "1", "from": "2", "unit": "sat", "per": "call"]]),
                "prices[0].from"
            ),
            ("prices", .array([["path": "x", "amount": "1", "unit": "sat", "per": "call"]]), "prices[0].path"),
            ("prices", .array([["path": "/", "amount": "1", "unit": "s t", "per": "call"]]), "prices[0].unit"),
            (
                "prices", .array([["path": "/", "amount": "1", "unit": "sat", "per": "call", "maximun": "9"]]),
                "prices[0]"
            ),
            (
                "prices", .array([["path": "/", "amount": "1", "unit": "sat", "per": "call", "methods": ["get"]]]),
                "prices[0].methods"
            ),
            ("sla", ["percentile": 95], "sla.percentile"), ("sla", ["latencyMilliseconds": 5], "sla.percentile"),
            ("sla", ["percentile": 0, "latencyMilliseconds": 5], "sla.percentile"),
            ("sla", ["uptimePPM": 1_000_001], "sla.uptimePPM"), ("sla", ["errorsPPM": 0.5], "sla.errorsPPM"),
            ("sla", ["deadlineMilliseconds": 0], "sla.deadlineMilliseconds"), ("sla", ["price": 1], "sla"),
            ("callers", ["issuers": ["did:key:z6Mk"]], "callers.issuers"),
            ("callers", ["capability": "x"], "callers.issuers"),
            ("escrow", ["trust"], "escrow"), ("escrow", ["key", "key"], "escrow"),
            ("bond", ["amount": "0", "unit": "sat", "mint": "https://a.example"], "bond.amount"),
            ("bond", ["amount": "1", "unit": "sat", "mint": "http://a.example"], "bond.mint"),
            ("arbiters", ["did:web:a.example"], "arbiters"),
        ] as [(String, JSONValue, String)]
    )
    func bounds(_ name: String, _ value: JSONValue, _ place: String) {
        var body = Sample.body
        body[name] = value
        #expect(
            refusal(body)?.message.hasPrefix("`\(place)`") == true,
            "\(refusal(body)?.message ?? "it is a listing")"
        )
    }

    @Test("[LST-6] A schema is at most 8,192 bytes and 12 levels, and 10 MB are not read at all")
    func schemas() throws {
        func nested(_ levels: Int) -> JSONValue { (0..<levels).reduce(true) { value, _ in ["not": value] } }
        var body = Sample.body
        body["input"] = nested(12)
        #expect(refusal(body) == nil)
        body["input"] = nested(13)
        #expect(refusal(body)?.message.hasPrefix("`input`") == true)
        body["input"] = ["description": .string(String(repeating: "a", count: 8_192 - 18))]
        #expect(refusal(body) == nil)
        body["input"] = ["description": .string(String(repeating: "a", count: 8_192 - 17))]
        #expect(refusal(body)?.message.hasPrefix("`input`") == true)
        let huge = [UInt8](#"{"record":{"body":{"input":{"a":""#.utf8) + [UInt8](repeating: 0x61, count: 10 << 20)
        #expect(throws: RecordRefusal(.tooLarge, "at most \(RecordEnvelope.maximumBytes) bytes are read")) {
            try RecordEnvelope(bytes: huge)
        }
    }

    @Test("[LST-1] A listing is of a service's name, 24,576 bytes and 7 days at most")
    func record() throws {
        for name in ["Weather", "-a", "a/b", "a b", "", String(repeating: "a", count: 64)] {
            #expect(throws: RecordRefusal.self, "\(name)") { try Sample.record(name: name) }
        }
        #expect(throws: Never.self) { try Sample.record(name: String(repeating: "a", count: 63)) }
        var body = Sample.body
        for number in 0..<5 { body["more-\(number)"] = .string(String(repeating: "a", count: 5_000)) }
        #expect(throws: RecordRefusal(.tooLarge, "the body of a record of this kind has at most 24576 bytes")) {
            try Sample.record(body)
        }
        #expect(throws: Never.self) { try Sample.record(lifetimeSeconds: 7 * 86_400) }
        #expect(throws: RecordRefusal.self) { try Sample.record(lifetimeSeconds: 7 * 86_400 + 1) }
        #expect(Listing.kind.recordsPerAuthor == 1_024)
        // What is not known yet is left alone.
        body = Sample.body
        body["chain"] = ["anything": true]
        #expect(refusal(body) == nil)
    }

    @Test("[LST-6] [SLA-11] What goes back by itself is read strictly, and only of what is promised")
    func refunds() throws {
        func sla(_ refunds: JSONValue, deadline: Int64? = 500) -> JSONObject {
            var body = Sample.body
            var sla: JSONObject = ["refunds": refunds]
            sla["deadlineMilliseconds"] = deadline.map { .integer($0) }
            body["sla"] = .object(sla)
            return body
        }
        let good = sla(["late": "measure", "schema": 1_000_000])
        let listing = try Listing(good)
        #expect(listing.promise?.refunds == SLARefunds(late: .measure, schema: .ppm(1_000_000)))
        #expect(listing.body["sla"] == good["sla"])
        #expect(refusal(sla(["schema": 1], deadline: nil)) == nil)
        for refunds in [
            [:], ["late": 0], ["late": 1_000_001], ["late": "50%"], ["late": 0.5], ["failed": 1], "late",
            ["late": .null],
        ] as [JSONValue] {
            #expect(refusal(sla(refunds)) != nil, "\(refunds)")
        }
        #expect(refusal(sla(["late": 1], deadline: nil)) != nil)
    }

    @Test(
        "What an operator promises in words is read, or not at all",
        arguments: [
            ("p95=500ms,uptime=99.5", ["percentile": 95, "latencyMilliseconds": 500, "uptimePPM": 995_000]),
            ("uptime=100%, errors=0.1", ["uptimePPM": 1_000_000, "errorsPPM": 1_000]),
            ("p50=2s,deadline=1m", ["percentile": 50, "latencyMilliseconds": 2_000, "deadlineMilliseconds": 60_000]),
            ("fast", nil), ("p0=1ms", nil), ("p95=", nil), ("uptime=100.1", nil), ("uptime=99.99999", nil), ("", nil),
            ("p95=1ms,p99=2ms", nil), ("uptime=1.2.3", nil), ("deadline=99999999999999999999s", nil),
            ("p95=9223372036854775807h", nil), ("uptime=.", nil), ("errors=-1", nil),
        ] as [(String, JSONObject?)]
    )
    func promises(_ text: String, _ expected: JSONObject?) {
        #expect(Listing.Promise(text)?.json == expected)
    }
}
