// Minting: quotes and requests (NUT-04), with the bolt11 method (NUT-23), and quotes that belong to a key (NUT-20).
public import CanonicalJSON
public import Cryptography
import Encodings

/// `POST /v1/mint/quote/bolt11`.
public struct MintQuoteRequest: Hashable, Sendable {
    public var amount: UInt64
    public var unit: CurrencyUnit
    /// For the invoice; at most ``CashuLimits/memoBytes`` bytes.
    public var description: String?
    /// The key whose signature minting will need (NUT-20); a fresh one for each quote, or the mint can link them.
    public var publicKey: Secp256k1.Point?

    public init(
        amount: UInt64,
        unit: CurrencyUnit,
        description: String? = nil,
        publicKey: Secp256k1.Point? = nil
    ) {
        self.amount = amount
        self.unit = unit
        self.description = description
        self.publicKey = publicKey
    }

    /// - Throws: 20009 for a `pubkey` that is no compressed point; anything else is malformed.
    public init(json: JSONValue) throws {
        amount = try json.uint64("amount")
        unit = try CurrencyUnit(json.string("unit"))
        description = try json.optionalBoundedString("description", maximumBytes: CashuLimits.memoBytes)
        guard let given = json["pubkey"], given != .null else { return }
        guard let text = given.stringValue, let key = try? Points.parse(hex: text, as: "`pubkey`") else {
            throw MintError(.mintPublicKeyRequired, "`pubkey` must be a compressed point of secp256k1: 66 hex digits")
        }
        publicKey = key
    }

    public var json: JSONValue {
        var object: JSONObject = ["amount": JSONValue(amount), "unit": .string(unit.name)]
        object["description"] = description.map(JSONValue.string)
        object["pubkey"] = publicKey.map { .string(Hex.encode($0.compressed)) }
        return .object(object)
    }
}

/// The deprecated `state` of a mint quote (NUT-23).
public enum MintQuoteState: String, Hashable, Sendable {
    case unpaid = "UNPAID"
    case paid = "PAID"
    case issued = "ISSUED"
}

/// What the mint says of a mint quote. `amountPaid − amountIssued` is what can be minted now; `state` says the same in
/// the older way (cashubtc/nuts#377).
public struct MintQuote: Hashable, Sendable {
    public var quote: QuoteID
    /// The invoice to pay.
    public var request: String
    public var amount: UInt64
    public var unit: CurrencyUnit
    /// Seconds since 1970 until which `request` can be paid.
    public var expiry: UInt64?
    public var amountPaid: UInt64
    public var amountIssued: UInt64
    /// Seconds since 1970 of the last change; nil from older mints.
    public var updatedAt: UInt64?
    /// The key that must sign for the ecash (NUT-20); nil: whoever knows the quote's id can mint.
    public var publicKey: Secp256k1.Point?

    public init(
        quote: QuoteID,
        request: String,
        amount: UInt64,
        unit: CurrencyUnit,
        expiry: UInt64?,
        amountPaid: UInt64 = 0,
        amountIssued: UInt64 = 0,
        updatedAt: UInt64? = nil,
        publicKey: Secp256k1.Point? = nil
    ) {
        self.quote = quote
        self.request = request
        self.amount = amount
        self.unit = unit
        self.expiry = expiry
        self.amountPaid = amountPaid
        self.amountIssued = amountIssued
        self.updatedAt = updatedAt
        self.publicKey = publicKey
    }

    public var state: MintQuoteState {
        if amountIssued > 0, amountIssued >= amountPaid { return .issued }
        return amountPaid > 0 ? .paid : .unpaid
    }

    /// What can be minted now.
    public var amountMintable: UInt64 {
        amountPaid > amountIssued ? amountPaid - amountIssued : 0
    }

    /// Reads either way of saying the state; where both are there, the amounts count.
    public init(json: JSONValue) throws {
        let amount = try json.uint64("amount")
        self.init(
            quote: try QuoteID(json.string("quote")),
            request: try json.boundedString("request", maximumBytes: CashuLimits.invoiceBytes),
            amount: amount,
            unit: try CurrencyUnit(json.optionalString("unit") ?? "sat"),
            expiry: try json.optionalUInt64("expiry"),
            updatedAt: try json.optionalUInt64("updated_at"),
            // nutshell 0.21 writes the key of a quote that has none as an empty text.
            publicKey: try json.optionalString("pubkey").flatMap { text in
                text.isEmpty ? nil : try Points.parse(hex: text, as: "`pubkey`")
            }
        )
        if let paid = try json.optionalUInt64("amount_paid"), let issued = try json.optionalUInt64("amount_issued") {
            guard issued <= paid else {
                throw CashuError(.malformed, "the mint says it issued \(issued) for a payment of \(paid)")
            }
            amountPaid = paid
            amountIssued = issued
            return
        }
        let text = try json.string("state")
        switch MintQuoteState(rawValue: text) {
        case .unpaid?: break
        case .paid?: amountPaid = amount
        case .issued?: (amountPaid, amountIssued) = (amount, amount)
        // Nutshell's word for a quote that is being minted right now: paid, but nothing to mint.
        case nil where text == "PENDING": break
        case nil: throw CashuError(.malformed, "\"\(text.prefix(20))\" is no state of a mint quote")
        }
    }

    public var json: JSONValue {
        var object: JSONObject = [
            "quote": .string(quote.string),
            "request": .string(request),
            "amount": JSONValue(amount),
            "unit": .string(unit.name),
            "state": .string(state.rawValue),
            "expiry": expiry.map { JSONValue($0) } ?? .null,
            "amount_paid": JSONValue(amountPaid),
            "amount_issued": JSONValue(amountIssued),
        ]
        object["updated_at"] = updatedAt.map { JSONValue($0) }
        object["pubkey"] = publicKey.map { .string(Hex.encode($0.compressed)) }
        return .object(object)
    }
}

/// `POST /v1/mint/bolt11`.
public struct MintRequest: Hashable, Sendable {
    public var quote: QuoteID
    public var outputs: [BlindedMessage]
    /// For a quote with a key: see ``MintQuoteSignature`` (NUT-20).
    public var signature: [UInt8]?

    public init(quote: QuoteID, outputs: [BlindedMessage], signature: [UInt8]? = nil) {
        self.quote = quote
        self.outputs = outputs
        self.signature = signature
    }

    /// - Throws: 20008 for a signature that isn't 64 bytes of hex.
    public init(json: JSONValue) throws {
        quote = try QuoteID(json.string("quote"))
        outputs = try json.outputs()
        signature = try json.optionalString("signature").map { try MintQuoteSignature.parse(hex: $0) }
    }

    public var json: JSONValue {
        var object: JSONObject = ["quote": .string(quote.string), "outputs": .array(outputs.map(\.json))]
        object["signature"] = signature.map { .string(Hex.encode($0)) }
        return .object(object)
    }
}
