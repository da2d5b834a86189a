import CanonicalJSON
import Cryptography
import Encodings
import Passports
import Receipts
import Records
import SignedDocuments
import TestSupport
import Testing

@testable import Market

/// A receipt that the agent of a node countersigned.
private struct Deal {
    static let node = DocumentSigner(Sample.key(30))
    static let agent = DocumentSigner(Calls.buyer)
    static let now = Sample.now.adding(seconds: 10)
    static let passportID = "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01"
    static let agentID = "urn:uuid:00000000-0000-4000-8000-000000000001"

    static func passport(
        of subject: DIDKey = agent.did,
        by issuer: DocumentSigner = node,
        from: Timestamp = Sample.now.adding(seconds: -3_600),
        seconds: Int64 = 86_400
    ) throws -> Passport {
        try Passport.issue(
            PassportClaims(
                id: passportID,
                agentID: agentID,
                subject: subject,
                name: "planner",
                validFrom: from,
                validUntil: from.adding(seconds: seconds),
                status: [StatusEntry(purpose: .revocation, listURL: "https://node.example/status/1", index: 7)]
            ),
            by: issuer,
            now: from
        )
    }

    static func rated(
        _ receipt: Receipt? = nil,
        _ outcome: CallOutcome = .good,
        passport: Passport? = nil,
        by signer: DocumentSigner = agent,
        now: Timestamp = now
    ) throws -> RatedReceipt {
        try .sign(
            receipt ?? Calls.receipt(),
            outcome,
            passport: passport ?? Self.passport(),
            by: signer,
            now: now
        )
    }

    /// The code of what reading or counting throws, or nil.
    static func refusal(
        publishedBy publisher: DIDKey = node.did,
        now: Timestamp = now,
        _ make: () throws -> RatedReceipt
    ) throws -> ReputationRefusal.Code? {
        do {
            _ = try make().call(publishedBy: publisher, now: now)
            return nil
        } catch let error as ReputationRefusal {
            return error.code
        }
    }

    /// The same with a member changed after it was signed, or another document in its place.
    static func changed(_ rated: RatedReceipt, _ change: (inout JSONObject) -> Void) throws -> RatedReceipt {
        var json = rated.json
        change(&json)
        return try RatedReceipt(.object(json))
    }
}

@Suite("Countersigned receipts") struct RatedReceiptTests {
    @Test("[RCPT-13] [REP-17] What both sides signed is read as it was written, and the buyer's node judges the seller")
    func whole() throws {
        for outcome in CallOutcome.allCases {
            let rated = try Deal.rated(nil, outcome)
            let read = try RatedReceipt(JSONValue.parse(JSONValue.object(rated.json).serialized()))
            #expect(read.entry == rated.entry && read.rating == rated.rating)
            #expect(RatedReceipt.entry(of: .object(rated.json)) == rated.entry)
            let call = try read.call(publishedBy: Deal.node.did, now: Deal.now)
            #expect((call.judge, call.judged) == (Deal.node.did, Calls.did(Calls.seller)))
            #expect((call.role, call.outcome) == (.selling, outcome))
            #expect(call.at == rated.receipt.claims.respondedAt)
        }
    }

    @Test("[RCPT-13] A forged, a changed and another's countersignature hold for nothing")
    func forged() throws {
        let rated = try Deal.rated()
        let other = DocumentSigner(Sample.key(40))
        // Who is not the buyer that the receipt names can't rate it, be it in its own name or the buyer's.
        #expect(try Deal.refusal { try Deal.rated(by: other) } == .badRating)
        var inOthersName = rated.rating.document
        inOthersName.removeValue(forKey: "proof")
        let forged = try DataIntegrity.sign(inOthersName, by: other, created: Deal.now)
        #expect(try Deal.refusal { try Deal.changed(rated) { $0["rating"] = .object(forged) } } == .badRating)
        #expect(
            try Deal.refusal {
                try Deal.changed(rated) {
                    var rating = rated.rating.document
                    rating["outcome"] = "failed"
                    $0["rating"] = .object(rating)
                }
            } == .badRating
        )
        // A rating moved to another receipt, or put beside another passport.
        let second = try Calls.receipt { $0.id = "0f4d2f6e-6f0f-4b8e-9a43-0d5a8f5f0002" }
        #expect(
            try Deal.refusal { try Deal.changed(rated) { $0["receipt"] = .object(second.document) } } == .badRating
        )
        let renewed = try Deal.passport(seconds: 90_000)
        #expect(
            try Deal.refusal { try Deal.changed(rated) { $0["passport"] = .object(renewed.document) } } == .badRating
        )
        // Of a receipt that its seller did not sign so, a good countersignature makes nothing.
        var document = try Calls.receipt().document
        document["service"] = "other"
        let bent = try Receipt(document: document)
        #expect(try Deal.refusal { try Deal.rated(bent) } == .badReceipt)
        #expect(try Deal.refusal { try Deal.changed(rated) { $0["more"] = 1 } } == .badRating)
        #expect(try Deal.refusal { try Deal.changed(rated) { $0["rating"] = nil } } == .badRating)
        #expect(try Deal.refusal { try Deal.changed(rated) { $0["receipt"] = [:] } } == .badReceipt)
        #expect(try Deal.refusal { try Deal.changed(rated) { $0["passport"] = [:] } } == .badPassport)
    }

    @Test("[RCPT-13] Whatever byte of it is changed, it is never counted otherwise")
    func changed() throws {
        let bytes = JSONValue.object(try Deal.rated().json).serialized()
        var random = SeededRandom(seed: 3)
        for _ in 0..<200 {
            var changed = bytes
            let place = Int.random(in: 0..<changed.count, using: &random)
            changed[place] = UInt8.random(in: 0x20...0x7E, using: &random)
            guard changed != bytes, let json = try? JSONValue.parse(changed) else { continue }
            let code = try Deal.refusal { try RatedReceipt(json) }
            #expect(code != nil, "byte \(place) is \(changed[place])")
        }
    }

    @Test("[REP-17] The passport has to be of the node that shows the receipt, for the buyer, and in force at the call")
    func passports() throws {
        let stranger = DocumentSigner(Sample.key(41))
        #expect(try Deal.refusal(publishedBy: stranger.did) { try Deal.rated() } == .badPassport)
        func code(_ passport: Passport, _ receipt: Receipt? = nil) throws -> ReputationRefusal.Code? {
            try Deal.refusal { try Deal.rated(receipt, passport: passport) }
        }
        #expect(try code(Deal.passport(of: stranger.did)) == .badPassport)
        #expect(try code(Deal.passport(seconds: 3_600)) == .badPassport)
        #expect(try code(Deal.passport(seconds: 3_601)) == nil)
        #expect(try code(Deal.passport(from: Sample.now.adding(seconds: 61))) == .badPassport)
        // Signed by another than the issuer that it names.
        var document = try Deal.passport(by: stranger).document
        document["issuer"] = .string(Deal.node.did.string)
        #expect(try code(Passport(document: document)) == .badPassport)
        // The receipt names another passport, or another agent.
        func receipt(_ passport: String?, _ agent: String?) throws -> Receipt {
            try Calls.receipt { $0.buyer = ReceiptParty(did: Deal.agent.did, agentID: agent, passportID: passport) }
        }
        #expect(try code(Deal.passport(), receipt(Deal.passportID, Deal.agentID)) == nil)
        #expect(try code(Deal.passport(), receipt("urn:uuid:other", nil)) == .badPassport)
        #expect(try code(Deal.passport(), receipt(nil, "urn:uuid:other")) == .badPassport)
    }

    @Test("[REP-3] [REP-17] A wash trade within one operator counts for nothing, by whichever of its keys or passports")
    func washed() throws {
        // The node sells to its own agent.
        let own = try Calls.receipt(by: Sample.key(30))
        #expect(try Deal.refusal { try Deal.rated(own) } == .sameOperator)
        // The agent sells to itself.
        let alone = try Calls.receipt(by: Calls.buyer)
        #expect(try Deal.refusal { try Deal.rated(alone) } == .sameOperator)
        // One that sells with a passport of the same node: whose it is nobody else can tell.
        for change: (inout ReceiptClaims) -> Void in [
            { $0.seller.passportID = Deal.passportID }, { $0.seller.agentID = "urn:uuid:another" },
        ] {
            let passported = try Calls.receipt(change: change)
            #expect(try Deal.refusal { try Deal.rated(passported) } == .unknownOperator)
        }
    }

    @Test(
        "[REP-1] [REP-17] Nothing counts that was not paid, is from ahead, was rated before it was, or went otherwise"
    )
    func unsettled() throws {
        #expect(try Deal.refusal { try Deal.rated(Calls.receipt(amount: 0)) } == .notPaid)
        #expect(try Deal.refusal { try Deal.rated(now: Deal.now.adding(seconds: 61)) } == .fromFuture)
        #expect(try Deal.refusal { try Deal.rated(now: Sample.now.adding(seconds: -61)) } == .badRating)
        let early = Sample.now.adding(seconds: -100)
        #expect(try Deal.refusal(now: early) { try Deal.rated(now: early) } == .badRating)
        let refunded = try Calls.receipt(outcome: .refunded)
        #expect(try Deal.refusal { try Deal.rated(refunded) } == .badReceipt)
        #expect(try Deal.refusal { try Deal.rated(refunded, .failed) } == nil)
        #expect(try Deal.refusal { try Deal.rated(Calls.receipt(buyer: nil)) } == .badRating)
    }
}

@Suite("What nodes tell of their receipts") struct PublishedReceiptsTests {
    private static func body(_ change: (inout JSONObject) -> Void = { _ in }) throws -> JSONObject {
        var body = PublishedReceipts(
            count: 3,
            root: Hashing.sha256([1]),
            from: Sample.now.adding(seconds: -60),
            until: Sample.now,
            url: try #require(ListingURL("https://node.example/market/receipts"))
        ).body
        change(&body)
        return body
    }

    /// What the rules of the kind say, as whoever receives it asks.
    private static func refusal(_ body: JSONObject, name: String = PublishedReceipts.name) throws -> String? {
        let kind = PublishedReceipts.kind
        do {
            let record = try Record.sign(
                body,
                of: kind,
                name: name,
                sequence: 1,
                created: Sample.now,
                by: Sample.signer
            )
            _ = try RecordRules(RecordKinds([kind])).check(record, now: Sample.now)
            return nil
        } catch let refusal as RecordRefusal {
            return refusal.code == .malformed ? refusal.message : refusal.code.rawValue
        }
    }

    @Test("[RCPT-15] A record of receipts is read as it was written, and is a few hundred bytes")
    func whole() throws {
        let body = try Self.body()
        let record = try Record.sign(
            body,
            of: PublishedReceipts.kind,
            name: PublishedReceipts.name,
            sequence: 1,
            created: Sample.now,
            by: Sample.signer
        )
        #expect(try PublishedReceipts(record).body == body)
        #expect(record.bytes.count < 1_000)
        #expect(try Self.refusal(body) == nil)
        #expect(try Self.refusal(Self.body { $0["later"] = "members that are not known are left alone" }) == nil)
        #expect(PublishedReceipts.kind.authors == .issuers && PublishedReceipts.kind.recordsPerAuthor == 1)
    }

    @Test("[RCPT-15] What breaks a bound is malformed, and the error names the field")
    func strict() throws {
        let wrong: [(String, JSONValue?)] = [
            ("count", 0), ("count", "3"), ("count", nil), ("root", "00"), ("root", nil),
            ("root", .string(String(repeating: "A", count: 64))), ("from", "2030-01-01T00:00:00Z"), ("from", nil),
            ("until", "now"), ("until", nil), ("url", "http://node.example/x"), ("url", nil),
        ]
        for (name, value) in wrong {
            let message = try Self.refusal(Self.body { $0[name] = value })
            let told = name == "from" && value != nil ? "until" : name
            #expect(message?.contains("`\(told)`") == true, "\(name): \(message ?? "nothing")")
        }
        let ahead = try Self.body {
            $0["from"] = "2030-01-01T00:00:00Z"
            $0["until"] = "2030-01-01T00:00:00Z"
        }
        #expect(try Self.refusal(ahead)?.contains("`until`") == true)
        #expect(try Self.refusal(Self.body(), name: "other")?.contains("`name`") == true)
    }
}
