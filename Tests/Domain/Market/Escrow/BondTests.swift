import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import SignedDocuments
import TestSupport
import Testing

@testable import Market

/// What a keeper of bonds is shown, and what of it proves anything.
@Suite("Bonds: evidence")
struct BondTests {
    private static let bond = [UInt8](repeating: 7, count: 32)
    private static let key = [UInt8](repeating: 6, count: 32)

    private static func promise(_ bond: [UInt8]? = bond, output: JSONObject? = ["type": "object"]) throws -> JSONObject
    {
        var listing = Listing(
            urls: [try #require(ListingURL("https://node.example/s/weather"))],
            prices: [Listing.Price(amount: 20)]
        )
        listing.output = output
        listing.bond = Listing.Bond(
            amount: 100,
            unit: "sat",
            mint: try #require(ListingURL("https://node.example/mint")),
            keeper: try bond.map {
                .init(did: TradeSample.arbiter.did, at: try #require(ListingURL("https://judge.example")), bond: $0)
            }
        )
        return listing.body
    }

    /// A job whose provider sealed `answer`, and signed that it is `said`.
    private static func evidence(
        _ answer: String = "{}",
        said: String? = nil,
        status: Int = 200,
        promise: JSONObject? = nil,
        mode: Listing.Escrow = .key,
        _ change: (inout Quote) -> Void = { _ in }
    ) throws -> JobEvidence {
        let sample = try TradeSample()
        let promise = try promise ?? Self.promise()
        let digest = try JobEvidence.digest(of: promise)
        let quote = try sample.quote(mode) {
            $0.sla = digest
            change(&$0)
        }
        let acceptance = try sample.acceptance(quote)
        let response = try JobResponse(status: status, contentType: nil, body: Array(answer.utf8)).bytes
        var (delivery, sealed) = try Delivery.sealing(
            response,
            key: key,
            by: TradeSample.provider.did,
            job: acceptance.digest,
            time: TradeSample.start + 10
        )
        if let said {
            delivery.response = Hashing.sha256(
                try JobResponse(status: status, contentType: nil, body: Array(said.utf8)).bytes
            )
        }
        return JobEvidence(
            quote: quote,
            acceptance: acceptance,
            delivery: try .sign(delivery, by: TradeSample.provider, now: TradeSample.stamp(TradeSample.start)),
            sealed: sealed,
            key: key,
            promise: promise
        )
    }

    @Test("[BND-5] Another answer than was signed, and one against the schema, are proven by what the provider signed")
    func proven() throws {
        let garbage = try Self.evidence(said: "{\"warm\": true}")
        let read = try JobEvidence(json: #require(try JSONValue.parse(garbage.json.serialized()).objectValue))
        for breach in [try garbage.proven(), try read.proven()] {
            #expect(breach.rule == .hash && breach.owed == 20 && breach.unit == "sat" && breach.bond == Self.bond)
            #expect(breach.provider == TradeSample.provider.did && breach.buyer == TradeSample.buyer.did)
            #expect(breach.subject == garbage.acceptance.digest && breach.agreedAt == TradeSample.start)
        }
        for answer in ["[]", "no JSON", ""] { #expect(try Self.evidence(answer).proven().rule == .schema) }
    }

    @Test("[BND-5] An honest answer, an error, a promise without a schema or a bond, and another mode prove nothing")
    func unproven() throws {
        #expect(code { _ = try Self.evidence().proven() } == .unproven)
        #expect(code { _ = try Self.evidence("[]", status: 404).proven() } == .unproven)
        #expect(code { _ = try Self.evidence("[]", promise: Self.promise(output: nil)).proven() } == .unproven)
        #expect(code { _ = try Self.evidence("[]", promise: Self.promise(nil)).proven() } == .unproven)
        // A schema that can't be checked is broken by nothing.
        let hard: JSONObject = ["type": "object", "patternProperties": ["^a": ["type": "string"]]]
        #expect(code { _ = try Self.evidence("[]", promise: Self.promise(output: hard)).proven() } == .unproven)
        #expect(code { _ = try Self.evidence("[]", mode: .arbiter).proven() } == .mismatch)
    }

    @Test(
        "[BND-5] [BND-6] Parts of other jobs, a promise of one's own, another key or seal, and what others signed are refused"
    )
    func forged() throws {
        let broken = try Self.evidence("[]")
        // What the buyer would like to have been promised.
        var own = broken
        own.promise = try Self.promise(output: ["type": "string"])
        #expect(code { _ = try own.proven() } == .mismatch)
        #expect(code { _ = try Self.evidence("[]", { $0.sla = nil }).proven() } == .mismatch)
        var other = broken
        other.delivery = try Self.evidence("[]", { $0.nonce = [UInt8](repeating: 4, count: 16) }).delivery
        #expect(code { _ = try other.proven() } == .mismatch)
        other = broken
        other.key = [UInt8](repeating: 5, count: 32)
        #expect(code { _ = try other.proven() } == .mismatch)
        other = broken
        other.sealed[0] ^= 1
        #expect(code { _ = try other.proven() } == .mismatch)
        // A delivery that a buyer signs itself is not the provider's.
        var forged = broken.delivery.content
        forged.provider = TradeSample.buyer.did
        other = broken
        other.delivery = try .sign(forged, by: TradeSample.buyer, now: TradeSample.stamp(TradeSample.start))
        #expect(code { _ = try other.proven() } == .mismatch)
        for name in JobEvidence.members {
            var json = broken.json
            _ = json.removeValue(forKey: name)
            #expect(code { _ = try JobEvidence(json: json) } == .malformed)
        }
        var tampered = broken.json
        var document = broken.quote.document
        document["price"] = "9000"
        tampered["quote"] = .object(document)
        #expect(code { _ = try JobEvidence(json: tampered) } == .badSignature)
        var larger = broken.json
        larger["more"] = true
        #expect(code { _ = try JobEvidence(json: larger) } == .malformed)
    }

    @Test("[BND-2] [BND-3] [BND-4] [BND-6] The documents of a bond are read as they were signed, by whom they name")
    func documents() throws {
        let now = TradeSample.stamp(TradeSample.start)
        let deposit = BondDeposit(
            provider: TradeSample.provider.did,
            keeper: TradeSample.arbiter.did,
            bond: Self.bond,
            until: TradeSample.start + 3_600,
            time: TradeSample.start
        )
        let bond = Bond(
            deposit,
            amount: 100,
            unit: .sat,
            mint: try MintURL("https://node.example/mint"),
            time: TradeSample.start
        )
        let breach = try Self.evidence("[]").proven()
        let claim = BondClaim(
            claimant: breach.buyer,
            bond: Self.bond,
            subject: breach.subject,
            key: TradeSample.point(try TradeSample().buyerKey),
            time: TradeSample.start
        )
        let ruling = BondRuling(keeper: bond.keeper, bond: Self.bond, of: breach, paid: 12, time: TradeSample.start)
        func check<Content: TradeContent>(_ content: Content, _ signer: DocumentSigner) throws {
            let signed = try Signed<Content>.sign(content, by: signer, now: now)
            #expect(try Signed<Content>(bytes: signed.bytes).content == content)
            #expect(code { _ = try Signed<Content>.sign(content, by: TradeSample.stranger, now: now) } == .wrongSigner)
        }
        try check(deposit, TradeSample.provider)
        try check(bond, TradeSample.arbiter)
        try check(claim, TradeSample.buyer)
        try check(ruling, TradeSample.arbiter)
        var more = ruling
        more.paid = 21
        #expect(code { _ = try Signed<BondRuling>.sign(more, by: TradeSample.arbiter, now: now) } == .malformed)
        // The name does not hang on the order of the coins.
        let ys = [[UInt8]](arrayLiteral: [2, 1], [2, 0], [3, 0])
        #expect(BondTerms.name(of: ys) == BondTerms.name(of: ys.reversed()))
    }

    @Test("[BND-8] [LST-2] A listing names its bond whole or not at all")
    func listed() throws {
        let body = try Self.promise()
        let listing = try Listing(body)
        #expect(listing.bond?.keeper?.bond == Self.bond && listing.body == body)
        let bond = try #require(body["bond"]?.objectValue)
        #expect(Set(bond.keys) == ["amount", "unit", "mint", "keeper", "at", "name"])
        for (name, value) in [
            ("keeper", nil), ("at", nil), ("name", nil), ("keeper", "did:key:zzz"), ("at", "https://judge.example/x"),
            ("name", "00"), ("name", .string(String(repeating: "A", count: 64))), ("more", true),
        ] as [(String, JSONValue?)] {
            var other = bond
            other[name] = value
            var listed = body
            listed["bond"] = .object(other)
            #expect(throws: (any Error).self, "\(name)") { _ = try Listing(listed) }
        }
    }
}
