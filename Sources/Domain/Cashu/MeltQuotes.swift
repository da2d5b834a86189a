// Melting: quotes and requests (NUT-05), with the bolt11 method (NUT-23) and change (NUT-08).
public import CanonicalJSON
import Cryptography
import Encodings

/// `POST /v1/melt/quote/bolt11`.
public struct MeltQuoteRequest: Hashable, Sendable {
    /// The invoice to be paid, at most ``CashuLimits/invoiceBytes`` bytes.
    public var request: String
    public var unit: CurrencyUnit
    /// What to pay on an invoice that states no amount, in millisatoshi (`options.amountless.amount_msat`).
    public var amountlessMillisatoshi: UInt64?
    /// The part of the invoice that this mint is to pay, in millisatoshi (NUT-15, `options.mpp.amount`); nil: the whole.
    public var partialMillisatoshi: UInt64?

    public init(
        request: String,
        unit: CurrencyUnit,
        amountlessMillisatoshi: UInt64? = nil,
        partialMillisatoshi: UInt64? = nil
    ) {
        self.request = request
        self.unit = unit
        self.amountlessMillisatoshi = amountlessMillisatoshi
        self.partialMillisatoshi = partialMillisatoshi
    }

    public init(json: JSONValue) throws {
        request = try json.boundedString("request", maximumBytes: CashuLimits.invoiceBytes)
        unit = try CurrencyUnit(json.string("unit"))
        if let options = json["options"], options != .null, let amountless = options["amountless"], amountless != .null
        {
            amountlessMillisatoshi = try amountless.uint64("amount_msat")
        }
        if let options = json["options"], options != .null, let parts = options["mpp"], parts != .null {
            partialMillisatoshi = try parts.uint64("amount")
        }
    }

    public var json: JSONValue {
        var object: JSONObject = ["request": .string(request), "unit": .string(unit.name)]
        var options = JSONObject()
        options["amountless"] = amountlessMillisatoshi.map { .object(["amount_msat": JSONValue($0)]) }
        options["mpp"] = partialMillisatoshi.map { .object(["amount": JSONValue($0)]) }
        if !options.isEmpty { object["options"] = .object(options) }
        return .object(object)
    }
}

/// How far the payment of a melt quote is (NUT-05).
public enum MeltQuoteState: String, Hashable, Sendable {
    case unpaid = "UNPAID"
    /// Being paid; the inputs are locked.
    case pending = "PENDING"
    case paid = "PAID"
}

/// What the mint says of a melt quote, and its answer to a melt (NUT-05, NUT-23).
public struct MeltQuote: Hashable, Sendable {
    public var quote: QuoteID
    /// The invoice; nil from mints that leave it out.
    public var request: String?
    public var amount: UInt64
    public var unit: CurrencyUnit
    /// What inputs must cover beside `amount` and their own fees; what of it isn't used comes back as change.
    public var feeReserve: UInt64
    public var state: MeltQuoteState
    /// Seconds since 1970 until which the quote holds; nil: the mint doesn't say.
    public var expiry: UInt64?
    /// Proof of payment, 32 bytes in hex, once paid.
    public var paymentPreimage: String?
    /// Signatures on the first blank outputs, in order (NUT-08).
    public var change: [BlindSignature]?

    public init(
        quote: QuoteID,
        request: String?,
        amount: UInt64,
        unit: CurrencyUnit,
        feeReserve: UInt64,
        state: MeltQuoteState,
        expiry: UInt64?,
        paymentPreimage: String? = nil,
        change: [BlindSignature]? = nil
    ) {
        self.quote = quote
        self.request = request
        self.amount = amount
        self.unit = unit
        self.feeReserve = feeReserve
        self.state = state
        self.expiry = expiry
        self.paymentPreimage = paymentPreimage
        self.change = change
    }

    public init(json: JSONValue) throws {
        let text = try json.string("state")
        guard let state = MeltQuoteState(rawValue: text) else {
            throw CashuError(.malformed, "\"\(text.prefix(20))\" is no state of a melt quote")
        }
        var change: [BlindSignature]?
        if let given = json["change"], given != .null { change = try json.signatures("change") }
        self.init(
            quote: try QuoteID(json.string("quote")),
            request: try json.optionalBoundedString("request", maximumBytes: CashuLimits.invoiceBytes),
            amount: try json.uint64("amount"),
            unit: try CurrencyUnit(json.optionalString("unit") ?? "sat"),
            feeReserve: try json.optionalUInt64("fee_reserve") ?? 0,
            state: state,
            expiry: try json.optionalUInt64("expiry"),
            paymentPreimage: try json.optionalBoundedString("payment_preimage", maximumBytes: 256),
            change: change
        )
    }

    public var json: JSONValue {
        var object: JSONObject = ["quote": .string(quote.string)]
        object["request"] = request.map(JSONValue.string)
        object["amount"] = JSONValue(amount)
        object["unit"] = .string(unit.name)
        object["fee_reserve"] = JSONValue(feeReserve)
        object["state"] = .string(state.rawValue)
        object["expiry"] = expiry.map { JSONValue($0) } ?? .null
        object["payment_preimage"] = paymentPreimage.map(JSONValue.string) ?? .null
        object["change"] = change.map { .array($0.map(\.json)) }
        return .object(object)
    }

    /// Unblinds the change: the mint fills in the amounts and answers the first of the blank outputs, in order.
    ///
    /// - Parameter outputs: the blank outputs that went with the melt.
    /// - Throws: ``CashuError/Code/answerMismatch`` where the mint answered more than it was asked.
    public func changeProofs(
        for outputs: [BlindingSecret],
        requiresDLEQ: Bool = true,
        keyset: (KeysetID) -> Keyset?
    ) throws(CashuError) -> [Proof] {
        let change = change ?? []
        guard change.count <= outputs.count else {
            throw CashuError(.answerMismatch, "the mint gave \(change.count) signatures for \(outputs.count) outputs")
        }
        var proofs: [Proof] = []
        for (output, signature) in zip(outputs, change) {
            guard let keyset = keyset(output.keysetID) else {
                throw CashuError(.keysetUnknown, "the keys of keyset \(output.keysetID) aren't known")
            }
            proofs.append(
                try output.proof(
                    from: signature,
                    keyset: keyset,
                    requiresDLEQ: requiresDLEQ,
                    acceptsOtherAmount: true
                )
            )
        }
        return proofs
    }
}

/// `POST /v1/melt/bolt11`.
public struct MeltRequest: Hashable, Sendable {
    public var quote: QuoteID
    public var inputs: [Proof]
    /// Blank outputs for the change (NUT-08).
    public var outputs: [BlindedMessage]
    /// Asks the mint to answer at once with PENDING and pay in the background.
    public var prefersAsync: Bool

    public init(quote: QuoteID, inputs: [Proof], outputs: [BlindedMessage] = [], prefersAsync: Bool = false) {
        self.quote = quote
        self.inputs = inputs
        self.outputs = outputs
        self.prefersAsync = prefersAsync
    }

    public init(json: JSONValue) throws {
        quote = try QuoteID(json.string("quote"))
        inputs = try json.inputs()
        switch json["outputs"] {
        case nil, .null?: outputs = []
        default: outputs = try json.outputs()
        }
        prefersAsync = try json.optionalBool("prefer_async") ?? false
    }

    /// As it goes to the mint, without any DLEQ's `r`.
    public var json: JSONValue {
        var object: JSONObject = ["quote": .string(quote.string), "inputs": .array(inputs.map(\.jsonForMint))]
        if !outputs.isEmpty { object["outputs"] = .array(outputs.map(\.json)) }
        if prefersAsync { object["prefer_async"] = .bool(true) }
        return .object(object)
    }
}
