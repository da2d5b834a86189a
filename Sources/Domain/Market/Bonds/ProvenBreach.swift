public import CanonicalJSON
internal import Cryptography
internal import Encodings
public import SignedDocuments

/// A breach that the provider's own signatures prove, so that a stranger rules on it without hearing anybody ([BND-5]).
public struct ProvenBreach: Sendable, Equatable {
    public let rule: SLABreach.Rule
    /// What it gives back ([SLA-7]), in `unit`.
    public let owed: UInt64
    public let unit: String
    public let provider: DIDKey
    public let buyer: DIDKey
    /// The bond that the provider named for it beforehand.
    public let bond: [UInt8]
    /// The job's name: it is paid for once.
    public let subject: [UInt8]
    /// When it was agreed on, seconds since 1970.
    public let agreedAt: UInt64
}

/// What a buyer shows of a job in mode `key` that it paid for ([BND-5]).
public struct JobEvidence: Sendable {
    public var quote: Signed<Quote>
    public var acceptance: Signed<Acceptance>
    public var delivery: Signed<Delivery>
    public var sealed: [UInt8]
    /// That the buyer has it shows that the provider took the money: it is shown by nothing else.
    public var key: [UInt8]
    /// The listing's body that the quote names.
    public var promise: JSONObject

    public init(
        quote: Signed<Quote>,
        acceptance: Signed<Acceptance>,
        delivery: Signed<Delivery>,
        sealed: [UInt8],
        key: [UInt8],
        promise: JSONObject
    ) {
        self.quote = quote
        self.acceptance = acceptance
        self.delivery = delivery
        self.sealed = sealed
        self.key = key
        self.promise = promise
    }

    public static let members: Set<String> = ["quote", "acceptance", "delivery", "sealed", "key", "promise"]

    /// Reads what a stranger shows; all signatures are checked.
    /// - Throws: `TradeRefusal`.
    public init(json: JSONObject) throws(TradeRefusal) {
        guard json.keys.allSatisfy(Self.members.contains), let quote = json["quote"]?.objectValue,
            let acceptance = json["acceptance"]?.objectValue, let delivery = json["delivery"]?.objectValue,
            let shown = Delivery.shown(in: json), let promise = json["promise"]?.objectValue
        else { throw TradeRefusal(.malformed, "the evidence is no job's") }
        self.init(
            quote: try Signed(document: quote),
            acceptance: try Signed(document: acceptance),
            delivery: try Signed(document: delivery),
            sealed: shown.sealed,
            key: shown.key,
            promise: promise
        )
    }

    public var json: JSONObject {
        [
            "quote": .object(quote.document), "acceptance": .object(acceptance.document),
            "delivery": .object(delivery.document), "sealed": .string(Base64URL.encode(sealed)),
            "key": .string(Hex.encode(key)), "promise": .object(promise),
        ]
    }

    /// What the evidence proves.
    /// - Throws: `TradeRefusal` with `.unproven` where it proves nothing, `.mismatch` where its parts do not belong together.
    public func proven() throws(TradeRefusal) -> ProvenBreach {
        let terms = try EscrowTerms(quote: quote, acceptance: acceptance)
        guard terms.mode == .key, delivery.content.provider == quote.content.provider,
            delivery.content.job == acceptance.digest
        else { throw TradeRefusal(.mismatch, "the delivery is of another provider or job, or of another mode") }
        guard let named = quote.content.sla, try named == Self.digest(of: promise) else {
            throw TradeRefusal(.mismatch, "the promise is not the one that the quote names")
        }
        guard let listing = try? Listing(promise), let keeper = listing.bond?.keeper else {
            throw TradeRefusal(.unproven, "the promise is backed by no bond")
        }
        return ProvenBreach(
            rule: try broken(listing),
            owed: terms.price,
            unit: terms.unit,
            provider: quote.content.provider,
            buyer: quote.content.buyer,
            bond: keeper.bond,
            subject: acceptance.digest,
            agreedAt: acceptance.content.time
        )
    }

    private func broken(_ listing: Listing) throws(TradeRefusal) -> SLABreach.Rule {
        let answer: [UInt8]
        do {
            answer = try delivery.content.open(sealed, key: key)
        } catch  where error.code == .wrongDelivery {
            return .hash
        }
        guard let response = try? JobResponse(bytes: answer), (200...299).contains(response.status),
            let output = listing.output, let schema = try? JSONSchema(.object(output)),
            SLARules.breaks(response.body, schema)
        else { throw TradeRefusal(.unproven, "the answer is the one that was signed, and keeps to the promise") }
        return .schema
    }

    /// What a quote names of a listing's body: SHA-256 of its canonical form (RFC 8785).
    public static func digest(of promise: JSONObject) throws(TradeRefusal) -> [UInt8] {
        guard let bytes = try? promise.canonicalized(), bytes.count <= Listing.maximumBodyBytes else {
            throw TradeRefusal(.malformed, "the promise has no canonical form within its bounds")
        }
        return Hashing.sha256(bytes)
    }
}
