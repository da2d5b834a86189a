import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import SignedDocuments
import Testing

/// The executor's word on what became of an invocation, against everything that it is of.
@Suite("Receipts of invocations")
struct InvocationReceiptTests {
    private static let seller = Sample.keys[4]

    private func receipt(
        _ links: [Delegation],
        by signer: Ed25519.PrivateKey = seller,
        _ change: (inout JSONObject) -> Void = { _ in }
    ) throws -> JSONObject {
        var document: JSONObject = [
            "@context": [
                "https://w3id.org/security/data-integrity/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
            ],
            "id": "urn:uuid:0190a1b2-0000-7000-8000-000000000001", "type": ["PaidCallReceipt"],
            "seller": ["id": .string(DIDKey(signer.publicKey).string)], "buyer": ["id": .string(Sample.dids[3].string)],
            "service": "weather",
            "request": [
                "method": "GET", "target": "/today", "digest": .string(MultihashDigest.encode(Sample.digest)),
            ],
            "response": ["status": 200], "payment": ["amount": "2", "unit": "sat", "dialect": "nut24"],
            "requestedAt": .string(Sample.now.rfc3339), "respondedAt": .string(Sample.now.adding(seconds: 1).rfc3339),
            "outcome": "served",
            "delegation": ["chain": .array(links.map { .string("\($0.cid)") }), "checked": "chain"],
        ]
        change(&document)
        return try DataIntegrity.sign(document, by: DocumentSigner(signer), created: Sample.now)
    }

    private func word(
        _ links: [Delegation],
        _ invocation: Invocation? = nil,
        by signer: Ed25519.PrivateKey = seller,
        _ change: (inout JSONObject) -> Void = { _ in }
    ) throws -> InvocationReceipt {
        try InvocationReceipt.issue(
            of: invocation ?? Sample.invocation(links),
            receipt: receipt(links, change),
            chain: DelegationChain(links),
            by: signer
        )
    }

    private func codes(_ word: InvocationReceipt, _ roots: Set<DIDKey>? = nil) -> [String] {
        word.problems(trustedRoots: roots).map(\.code.rawValue)
    }

    @Test("[DLG-16] an invocation of /ucan/assert by the executor to itself, which names the invocation")
    func form() throws {
        let links = try Sample.links()
        let invocation = try Sample.invocation(links)
        let made = try word(links)
        #expect(codes(made) == [] && codes(made, [Sample.dids[0]]) == [])
        let assertion = made.assertion
        #expect(assertion.command.text == "/ucan/assert" && assertion.proofs == [] && assertion.expires == nil)
        #expect(assertion.issuer == Sample.dids[4] && assertion.subject == Sample.dids[4])
        #expect(assertion.recipient == Sample.dids[4])
        #expect(made.says.about == invocation.cid && made.says.outcome == .served)
        #expect(made.says.amount == 2 && made.says.unit == "sat" && made.says.status == 200)
        let canonical = try receipt(links).canonicalized()
        #expect(made.says.receiptDigest == Hashing.sha256(canonical))
        // Made again, it is the same to the byte.
        #expect(try word(links).document == made.document)
        let read = try InvocationReceipt(bytes: JSONValue.object(made.document).serialized())
        #expect(read == made && read.problems() == [])
        let refunded = try word(links) {
            $0["outcome"] = "refunded"
            $0["response"] = ["status": 502]
        }
        #expect(refunded.says.outcome == .refunded && refunded.says.status == 502 && codes(refunded) == [])
        // An agent on its own authority has no links.
        let own = try Sample.invocation(by: 3, [], subject: 3)
        #expect(try codes(word([], own)) == [])
    }

    @Test("[DLG-16] of another call, seller, buyer, chain or amount, or beyond the invocation: each has its code")
    func mismatches() throws {
        let links = try Sample.links()
        #expect(try codes(word(links, by: Sample.keys[5])).contains("receipt-mismatch"))
        for change: (inout JSONObject) -> Void in [
            { $0["buyer"] = ["id": .string(Sample.dids[2].string)] }, { $0["buyer"] = nil },
            { $0["delegation"] = ["chain": [], "checked": "chain"] }, { $0["delegation"] = nil },
            {
                $0["request"] = [
                    "method": "POST", "target": "/today", "digest": .string(MultihashDigest.encode(Sample.digest)),
                ]
            },
            {
                $0["request"] = [
                    "method": "GET", "target": "/other", "digest": .string(MultihashDigest.encode(Sample.digest)),
                ]
            },
            {
                $0["request"] = [
                    "method": "GET", "target": "", "digest": .string(MultihashDigest.encode(Sample.digest)),
                ]
            },
            { $0["request"] = ["method": "GET", "target": "/today", "digest": .string(MultihashDigest.ofBytes([1]))] },
        ] {
            #expect(try codes(word(links, nil, change)) == ["receipt-mismatch"])
        }
        for payment: JSONValue in [["amount": "3", "unit": "sat"], ["amount": "2", "unit": "usd"]] {
            #expect(try codes(word(links) { $0["payment"] = payment }) == ["amount-too-low"])
        }
        let elsewhere = try Sample.invocation(links, recipient: 5)
        #expect(try codes(word(links, elsewhere)) == ["receipt-mismatch", "wrong-recipient"])
        #expect(try codes(word(links), [Sample.dids[5]]) == ["untrusted-root"])
        // By the dates of the call, not of today.
        let late = try word(links) { $0["requestedAt"] = .string(Sample.now.adding(seconds: 4000).rfc3339) }
        #expect(codes(late).contains("expired"))
    }

    @Test("[DLG-16] the pieces of two files put together, or one changed, are found out")
    func mixed() throws {
        let links = try Sample.links()
        let one = try word(links).document
        let other = try word(links, Sample.invocation(links, arguments: Sample.arguments(3))) {
            $0["id"] = "urn:uuid:0190a1b2-0000-7000-8000-000000000002"
        }.document
        for member in ["assertion", "invocation", "receipt"] {
            var document = one
            document[member] = other[member]
            let mixed = try InvocationReceipt(document: document)
            #expect(codes(mixed).contains("receipt-mismatch"), "\(member)")
        }
        var fewer = one
        fewer["links"] = .array([one["links"]?.arrayValue?[0] ?? .null])
        #expect(try codes(InvocationReceipt(document: fewer)) == ["receipt-mismatch"])
        fewer["links"] = nil
        #expect(try codes(InvocationReceipt(document: fewer)) == [])
        #expect(try codes(InvocationReceipt(document: fewer), [Sample.dids[0]]) == ["proof-unavailable"])
        // One bit of what is signed.
        let text = try #require(one["assertion"]?.stringValue)
        let bytes = try Multibase.decode(text, maximumBytes: 8192)
        for place in [5, 40, 66] {
            var changed = bytes
            changed[place] ^= 1
            var document = one
            document["assertion"] = .string(Multibase.encode(changed, as: .base64url))
            #expect(try codes(InvocationReceipt(document: document)) == ["receipt-forged"])
        }
        // The receipt's own proof is in the digest.
        var receipt = try #require(one["receipt"]?.objectValue)
        receipt["service"] = "other"
        var document = one
        document["receipt"] = .object(receipt)
        #expect(try codes(InvocationReceipt(document: document)) == ["receipt-mismatch"])
    }

    @Test("[DLG-16] an assertion says what it says and nothing else; what is no such file is refused")
    func shapes() throws {
        let links = try Sample.links()
        let good = try word(links)
        func refused(_ change: (inout JSONObject) -> Void) -> Bool {
            var document = good.document
            change(&document)
            return (try? InvocationReceipt(document: document)) == nil
        }
        #expect(!refused { _ in })
        #expect(refused { $0["more"] = 1 })
        #expect(refused { $0["type"] = ["DelegationChain"] })
        #expect(refused { $0["receipt"] = nil })
        #expect(refused { $0["assertion"] = nil })
        #expect(refused { $0["assertion"] = $0["invocation"] })
        #expect(refused { $0["links"] = .array([JSONValue](repeating: "u", count: 9)) })
        #expect(throws: DelegationError.self) {
            try InvocationReceipt(bytes: [UInt8](repeating: 0x20, count: InvocationReceipt.maximumBytes + 1))
        }
        // Signed well, of another shape.
        func assertion(
            command: String = "/ucan/assert",
            expires: Timestamp? = nil,
            proofs: [CID] = [],
            about: CBOR? = nil,
            facts other: CBOR? = nil,
            _ more: [CBORPair] = []
        ) throws -> JSONValue {
            let facts = other ?? good.assertion.arguments[text: "facts"] ?? .null
            let link = good.assertion.arguments[text: "about"] ?? .null
            let made = try Invocation.issue(
                by: Self.seller,
                subject: Sample.dids[4],
                recipient: Sample.dids[4],
                command: Command(command),
                arguments: [CBORPair("about", about ?? link), CBORPair("facts", facts)] + more,
                proofs: proofs,
                expires: expires
            )
            return .string(Multibase.encode(made.bytes, as: .base64url))
        }
        func with(
            out more: [CBORPair] = [],
            run: CBOR = .array([]),
            end: String = "ok",
            _ others: [CBORPair] = []
        ) -> CBOR {
            let out = good.assertion.arguments[text: "facts"]?[text: "out"]?[text: "ok"] ?? .null
            guard case .map(let members) = out else { return .null }
            return .map(
                [CBORPair("out", .map([CBORPair(end, .map(members + more))])), CBORPair("run", run)] + others
            )
        }
        let plain = try assertion(facts: with())
        #expect(!refused { $0["assertion"] = plain })
        let same = try assertion()
        #expect(!refused { $0["assertion"] = same })
        for other in [
            try assertion(command: "/ucan/revoke"), try assertion(expires: Sample.now),
            try assertion(proofs: [links[0].cid]), try assertion(about: .text("x")),
            try assertion([CBORPair("more", .null)]), try assertion(facts: with(out: [CBORPair("more", .null)])),
            try assertion(facts: with(run: .array([.null]))), try assertion(facts: with(end: "perhaps")),
            try assertion(facts: with([CBORPair("more", .null)])),
        ] {
            #expect(refused { $0["assertion"] = other })
        }
        #expect(throws: DelegationError.self) { try word(links) { $0["outcome"] = "perhaps" } }
        #expect(throws: DelegationError.self) { try word(links) { $0["respondedAt"] = nil } }
    }
}
