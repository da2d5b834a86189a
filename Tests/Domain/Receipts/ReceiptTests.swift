import CanonicalJSON
import Cryptography
import Encodings
import Receipts
import SignedDocuments
import TestSupport
import Testing

@Suite("Receipts")
struct ReceiptTests {
    private static let now = Timestamp(millisecondsSince1970: 1_795_219_200_145)
    private let seller: DocumentSigner
    private let buyer: DIDKey

    init() throws {
        seller = DocumentSigner(try Ed25519.PrivateKey(seed: [UInt8](repeating: 1, count: 32)))
        buyer = DIDKey(try Ed25519.PrivateKey(seed: [UInt8](repeating: 2, count: 32)).publicKey)
    }

    private func claims(_ change: (inout ReceiptClaims) -> Void = { _ in }) -> ReceiptClaims {
        var claims = ReceiptClaims(
            id: "7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01",
            seller: ReceiptParty(did: seller.did),
            buyer: ReceiptParty(
                did: buyer,
                agentID: "urn:uuid:00000000-0000-4000-8000-000000000001",
                passportID: "urn:uuid:00000000-0000-4000-8000-000000000002"
            ),
            service: "weather",
            method: "GET",
            target: "/today?city=Bern",
            requestDigest: Hashing.sha256([]),
            responseDigest: Hashing.sha256(Array("sunny".utf8)),
            status: 200,
            amount: 2,
            unit: "sat",
            paymentDigest: Hashing.sha256([9]),
            dialect: "nut24",
            requestedAt: Timestamp(millisecondsSince1970: 1_795_219_200_120),
            respondedAt: Self.now,
            outcome: .served
        )
        change(&claims)
        return claims
    }

    private func document(_ change: (inout ReceiptClaims) -> Void = { _ in }) throws -> JSONObject {
        try Receipt.issue(claims(change), by: seller, now: Self.now).document
    }

    @Test("[RCPT-7] what is issued comes back from bytes and from the header, with all its claims")
    func roundTrip() throws {
        let receipt = try Receipt.issue(claims(), by: seller, now: Self.now)
        for read in [receipt, try Receipt(bytes: receipt.bytes), try Receipt(header: receipt.encodedHeader)] {
            #expect(read == receipt)
            #expect(read.claims == claims())
            #expect(read.verdict(now: Self.now).isValid)
        }
        #expect(receipt.document["id"]?.stringValue == "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01")
        #expect(receipt.id == "7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01")
        #expect(receipt.document["payment"]?["amount"]?.stringValue == "2")
        #expect(!receipt.encodedHeader.contains("="))
        #expect(receipt.encodedHeader.utf8.count < 4_096)
    }

    @Test("[RCPT-9] what was quoted, measured and given back is signed with the rest, and read strictly")
    func settlement() throws {
        let settlement = ReceiptSettlement(
            quoted: 63,
            measures: ["responseBytes": 2048, "reported:x-tokens": 5],
            returned: 50,
            form: "fresh-token"
        )
        let receipt = try Receipt.issue(claims { $0.settlement = settlement }, by: seller, now: Self.now)
        let read = try Receipt(header: receipt.encodedHeader)
        #expect(read.claims.settlement == settlement)
        #expect(read.verdict(now: Self.now).isValid)
        #expect(receipt.document["payment"]?["returned"]?["amount"]?.stringValue == "50")
        try malformed("payment", "quoted", 63)
        try malformed("payment", "measures", ["responseBytes": 1])
        try malformed("payment", "measures", ["two words": "1"])
        try malformed("payment", "returned", ["amount": "-5", "form": "fresh-token"])
        try malformed("payment", "returned", ["amount": "5"])
        let many = Dictionary(uniqueKeysWithValues: (0..<9).map { ("m\($0)", UInt64(1)) })
        #expect(throws: ReceiptReason.self) {
            try Receipt.issue(claims { $0.settlement = .init(measures: many) }, by: seller, now: Self.now)
        }
    }

    @Test("[RCPT-12] what goes back for a promise that was not kept is signed with the rest, and read strictly")
    func breach() throws {
        for breach in [
            ReceiptBreach(rule: "late", promised: 500, refund: 3),
            ReceiptBreach(rule: "schema", promised: nil, refund: 5),
        ] {
            let settlement = ReceiptSettlement(returned: 5, form: "fresh-token", breach: breach)
            let receipt = try Receipt.issue(claims { $0.settlement = settlement }, by: seller, now: Self.now)
            let read = try Receipt(header: receipt.encodedHeader)
            #expect(read.claims.settlement == settlement && read.verdict(now: Self.now).isValid)
        }
        func returned(_ breach: JSONValue) -> JSONValue {
            ["amount": "5", "form": "fresh-token", "breach": breach]
        }
        for breach in [
            ["rule": "late"], ["refund": "3"], ["rule": "late", "refund": "6"], ["rule": "late", "refund": "0"],
            ["rule": "late", "refund": 3], ["rule": "too late", "refund": "3"], ["rule": "", "refund": "3"],
            ["rule": "late", "refund": "3", "promised": 500], ["rule": "late", "refund": "3", "more": 1], "late",
        ] as [JSONValue] {
            try malformed("payment", "returned", returned(breach))
        }
        let nothing = ReceiptSettlement(breach: ReceiptBreach(rule: "late", promised: nil, refund: 1))
        #expect(throws: ReceiptReason.self) {
            try Receipt.issue(claims { $0.settlement = nothing }, by: seller, now: Self.now)
        }
    }

    @Test("[RCPT-11] on whose authority a call was made is signed with the rest, and read strictly")
    func delegation() throws {
        let delegation = ReceiptDelegation(
            chain: ["bafyreigyftnzjf4rcu7glp5kfop53vqlopc3zcldauoqdxqlz7t4343gr4"],
            ticket: "7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f02",
            checked: "ticket"
        )
        let signed = try document { $0.delegation = delegation }
        #expect(try Receipt(document: signed).claims.delegation == delegation)
        #expect(Receipt.verify(document: signed, now: Self.now).isValid)
        for (key, value): (String, JSONValue) in [
            ("chain", []), ("ticket", "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f03"), ("checked", "chain"),
        ] {
            var changed = signed
            var member = try #require(changed["delegation"]?.objectValue)
            member[key] = value
            changed["delegation"] = .object(member)
            #expect(Receipt.verify(document: changed, now: Self.now).reasons.map(\.code) == [.badSignature])
            member["more"] = 1
            changed["delegation"] = .object(member)
            #expect(Receipt.verify(document: changed, now: Self.now).reasons.map(\.code) == [.malformed])
        }
        #expect(throws: ReceiptReason.self) {
            try document { $0.delegation = ReceiptDelegation(chain: [], ticket: "x", checked: "chain") }
        }
    }

    @Test("[RCPT-10] the promise to be in the log is signed with the rest; each field of it changed is refused")
    func promise() throws {
        let promise = InclusionPromise(
            log: "node.example/log",
            salt: [UInt8](0..<16),
            by: Self.now.adding(seconds: 60)
        )
        let receipt = try Receipt.issue(claims { $0.promise = promise }, by: seller, now: Self.now)
        let read = try Receipt(header: receipt.encodedHeader)
        #expect(read.claims.promise == promise && read.verdict(now: Self.now).isValid)
        for (member, value): (String, JSONValue) in [
            ("log", "other.example/log"), ("salt", "AQECAwQFBgcICQoLDA0ODw"), ("by", "2027-01-01T00:00:00Z"),
        ] {
            var changed = try #require(receipt.document["inclusionPromise"]?.objectValue)
            #expect(changed[member] != value)
            changed[member] = value
            var document = receipt.document
            document["inclusionPromise"] = .object(changed)
            #expect(Receipt.verify(document: document).reasons.map(\.code) == [.badSignature], "\(member)")
            changed.removeValue(forKey: member)
            document["inclusionPromise"] = .object(changed)
            #expect(Receipt.verify(document: document).reasons.map(\.code) == [.malformed], "\(member)")
        }
        var without = receipt.document
        without.removeValue(forKey: "inclusionPromise")
        #expect(Receipt.verify(document: without).reasons.map(\.code) == [.badSignature])
        try malformed(
            "inclusionPromise",
            nil,
            ["log": "a b", "salt": "AAECAwQFBgcICQoLDA0ODw", "by": "2027-01-01T00:00:00Z"]
        )
        try malformed("inclusionPromise", nil, ["log": "a", "salt": "AAEC", "by": "2027-01-01T00:00:00Z"])
        #expect(throws: ReceiptReason.self) {
            try Receipt.issue(
                claims { $0.promise = .init(log: "a", salt: [1], by: Self.now) },
                by: seller,
                now: Self.now
            )
        }
    }

    @Test("[RCPT-3] [RCPT-6] an anonymous buyer, a refund without a response, the largest amount")
    func variants() throws {
        let anonymous = try document { $0.buyer = nil }
        #expect(anonymous["buyer"] == nil)
        #expect(Receipt.verify(document: anonymous).receipt?.claims.buyer == nil)
        let refund = Receipt.verify(
            document: try document {
                $0.outcome = .refunded
                $0.responseDigest = nil
                $0.status = 502
                $0.amount = .max
            }
        )
        #expect(refund.isValid)
        #expect(refund.receipt?.claims.outcome == .refunded)
        #expect(refund.receipt?.claims.responseDigest == nil)
        #expect(refund.receipt?.claims.amount == .max)
        let agentSeller = try document { $0.seller.passportID = "urn:uuid:1" }
        #expect(Receipt.verify(document: agentSeller).receipt?.claims.seller.passportID == "urn:uuid:1")
    }

    @Test("[RCPT-2] [RCPT-8] a changed receipt, another signer, another seller than expected")
    func faults() throws {
        var changed = try document()
        changed["service"] = "other"
        #expect(Receipt.verify(document: changed).reasons.map(\.code) == [.badSignature])

        let stranger = DocumentSigner(Ed25519.PrivateKey())
        var unsigned = try document()
        unsigned["proof"] = nil
        let resigned = try DataIntegrity.sign(unsigned, by: stranger, created: Self.now)
        #expect(Receipt.verify(document: resigned).reasons.map(\.code) == [.wrongSeller])
        let authentication = try DataIntegrity.sign(unsigned, by: seller, purpose: .authentication, created: Self.now)
        #expect(Receipt.verify(document: authentication).reasons.map(\.code) == [.badSignature])
        #expect(throws: ReceiptReason.self) { try Receipt.issue(claims(), by: stranger, now: Self.now) }
        let verdict = Receipt.verify(document: try document(), expecting: .init(seller: stranger.did))
        #expect(verdict.reasons.map(\.code) == [.unexpectedSeller])
        #expect(!verdict.isValid && verdict.receipt != nil)
    }

    @Test("[RCPT-8] a receipt for another call than the one at hand says so, in every respect")
    func mismatches() throws {
        let good = Receipt.Expectation(
            seller: seller.did,
            buyer: buyer,
            requestDigest: Hashing.sha256([]),
            responseDigest: Hashing.sha256(Array("sunny".utf8)),
            paymentDigest: Hashing.sha256([9])
        )
        #expect(Receipt.verify(document: try document(), expecting: good).isValid)
        let other = Hashing.sha256([1, 2, 3])
        let bad = Receipt.Expectation(
            buyer: seller.did,
            requestDigest: other,
            responseDigest: other,
            paymentDigest: other
        )
        #expect(
            Receipt.verify(document: try document(), expecting: bad).reasons.map(\.code) == [
                .mismatch, .mismatch, .mismatch, .mismatch,
            ]
        )
        let late = Receipt.verify(document: try document(), now: Self.now.adding(milliseconds: -60_001))
        #expect(late.reasons.map(\.code) == [.fromFuture])
        #expect(Receipt.verify(document: try document(), now: Self.now.adding(seconds: -60)).isValid)
    }

    private func malformed(_ path: String, _ member: String? = nil, _ value: JSONValue?) throws {
        var document = try document()
        if let member {
            var object = try document.object(path)
            object[member] = value
            document[path] = .object(object)
        } else {
            document[path] = value
        }
        let verdict = Receipt.verify(document: document)
        #expect(verdict.reasons.map(\.code) == [.malformed], "\(path).\(member ?? "")")
        #expect(verdict.reasons.first?.message.contains(member ?? path) == true)
    }

    @Test("[RCPT-1] [RCPT-4] [RCPT-5] each member out of shape is refused by name")
    func shapes() throws {
        try malformed("extra", nil, 1)
        try malformed("@context", nil, ["https://w3id.org/security/data-integrity/v2"])
        try malformed("type", nil, "PaidCallReceipt")
        try malformed("proof", nil, [])
        for id: JSONValue in [
            "7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01", "urn:uuid:7F2C1C1E-8A6E-4A7E-9B1C-0A9D1D6A3F01", "urn:uuid:", 5,
        ] {
            try malformed("id", nil, id)
        }
        try malformed("seller", "id", "did:web:x")
        try malformed("seller", "agentId", "")
        try malformed("buyer", "id", nil)
        try malformed("buyer", "passport", "two words")
        try malformed("buyer", "agentId", 5)
        for service: JSONValue in ["", 5, .string(String(repeating: "s", count: 65)), "a b", "é"] {
            try malformed("service", nil, service)
        }
        try malformed("request", "method", "")
        try malformed("request", "target", .string("/" + String(repeating: "x", count: 2_048)))
        try malformed("request", "digest", nil)
        try malformed("request", "digest", "uEi")
        try malformed("response", "digest", "")
        for status: JSONValue in [99, 600, "200", 200.5] { try malformed("response", "status", status) }
        for amount: JSONValue in [2, "-2", "02", "", "2.0", "18446744073709551616"] {
            try malformed("payment", "amount", amount)
        }
        try malformed("payment", "unit", "")
        try malformed("payment", "digest", nil)
        try malformed("payment", "dialect", nil)
        try malformed("requestedAt", nil, "2026-11-21T00:00:01Z")  // after respondedAt
        try malformed("respondedAt", nil, "now")
        try malformed("outcome", nil, "lost")
    }

    @Test("claims that no reader would take are not signed")
    func badClaims() throws {
        let changes: [(inout ReceiptClaims) -> Void] = [
            { $0.id = "not-a-uuid" }, { $0.service = "" }, { $0.target = "/a b" }, { $0.requestDigest = [1] },
            { $0.paymentDigest = [] }, { $0.responseDigest = [UInt8](repeating: 0, count: 33) }, { $0.status = 700 },
            { $0.unit = "" }, { $0.respondedAt = Timestamp(secondsSince1970: 0) },
        ]
        for change in changes {
            #expect(throws: ReceiptReason.self) { try document(change) }
        }
    }

    @Test("[RCPT-1] hostile text is refused")
    func hostileText() throws {
        let text = String(decoding: try document().serialized(), as: UTF8.self)
        for bad in ["", "[]", text + "x", text + String(repeating: " ", count: 8_192), "{\"id\":1,\"id\":2}"] {
            #expect(throws: ReceiptReason.self) { try Receipt(bytes: Array(bad.utf8)) }
            #expect(throws: ReceiptReason.self) { try Receipt(header: Base64URL.encode(Array(bad.utf8))) }
        }
        for header in ["%", "a, b", String(repeating: "A", count: 20_000)] {
            #expect(throws: ReceiptReason.self) { try Receipt(header: header) }
        }
    }
}
