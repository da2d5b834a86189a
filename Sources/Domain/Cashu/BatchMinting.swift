// Minting several quotes at once (NUT-29).
public import CanonicalJSON
import Cryptography
import Encodings

/// `POST /v1/mint/quote/{method}/check`. The answer is an array of ``MintQuote`` in the same order.
public struct MintQuoteCheckRequest: Hashable, Sendable {
    public var quotes: [QuoteID]

    public init(quotes: [QuoteID]) {
        self.quotes = quotes
    }

    /// - Throws: 11017 beyond ``CashuLimits/batchQuotes`` quotes.
    public init(json: JSONValue) throws {
        quotes = try json.batchQuotes()
    }

    public var json: JSONValue { .object(["quotes": .array(quotes.map { .string($0.string) })]) }

    /// The quotes of an answer.
    /// - Throws: ``CashuError/Code/answerMismatch`` where the mint told of other quotes than it was asked about.
    public func quotes(inAnswer answer: JSONValue) throws -> [MintQuote] {
        guard let values = answer.arrayValue, values.count == quotes.count else {
            throw CashuError(.answerMismatch, "the mint's answer isn't a list of \(quotes.count) quotes")
        }
        let told = try values.map(MintQuote.init(json:))
        guard told.map(\.quote) == quotes else {
            throw CashuError(.answerMismatch, "the mint told of other quotes than it was asked about")
        }
        return told
    }
}

/// `POST /v1/mint/{method}/batch`.
public struct BatchMintRequest: Hashable, Sendable {
    public var quotes: [QuoteID]
    /// What to mint of each quote, in the same order; bolt11 doesn't need it.
    public var amounts: [UInt64]?
    public var outputs: [BlindedMessage]
    /// For each quote, in the same order, the signature of its key (NUT-20) over all outputs; nil for quotes without a key.
    /// May be left out where no quote has a key.
    public var signatures: [[UInt8]?]?

    public init(
        quotes: [QuoteID],
        amounts: [UInt64]? = nil,
        outputs: [BlindedMessage],
        signatures: [[UInt8]?]? = nil
    ) {
        self.quotes = quotes
        self.amounts = amounts
        self.outputs = outputs
        self.signatures = signatures
    }

    /// - Throws: 11017 beyond ``CashuLimits/batchQuotes`` quotes; 11015 beyond ``CashuLimits/arrayLength`` outputs; 20008 for
    ///   a signature that isn't 64 bytes of hex.
    public init(json: JSONValue) throws {
        quotes = try json.batchQuotes()
        amounts = try json.optionalArray("quote_amounts").map { values in
            try values.map { value in
                guard let amount = value.uint64Value else {
                    throw CashuError(.malformed, "`quote_amounts` must be unsigned integers")
                }
                return amount
            }
        }
        outputs = try json.outputs()
        signatures = try json.optionalArray("signatures").map { values in
            try values.map { value in
                if value == .null { return nil }
                guard let text = value.stringValue else {
                    throw CashuError(.malformed, "`signatures` must be strings or null")
                }
                return try MintQuoteSignature.parse(hex: text)
            }
        }
    }

    public var json: JSONValue {
        var object: JSONObject = ["quotes": .array(quotes.map { .string($0.string) })]
        object["quote_amounts"] = amounts.map { .array($0.map { JSONValue($0) }) }
        object["outputs"] = .array(outputs.map(\.json))
        object["signatures"] = signatures.map { entries in
            .array(entries.map { $0.map { .string(Hex.encode($0)) } ?? .null })
        }
        return .object(object)
    }
}

/// What a mint says of batches in its info, under `29`.
public struct BatchMintSetting: Hashable, Sendable {
    /// The most quotes in one request; nil: the mint doesn't say.
    public var maximumBatch: UInt64?
    /// The methods that can be batched; nil: all that the mint has.
    public var methods: [PaymentMethod]?

    public init(maximumBatch: UInt64? = nil, methods: [PaymentMethod]? = nil) {
        self.maximumBatch = maximumBatch
        self.methods = methods
    }

    public init(json: JSONValue) throws {
        maximumBatch = try json.optionalUInt64("max_batch_size")
        methods = try json.optionalStrings("methods")?.prefix(100).map { try PaymentMethod($0) }
    }

    public var json: JSONValue {
        var object = JSONObject()
        object["max_batch_size"] = maximumBatch.map { JSONValue($0) }
        object["methods"] = methods.map { .array($0.map { .string($0.name) }) }
        return .object(object)
    }
}

extension JSONValue {
    /// The array of quote ids of a batch; too many answer 11017.
    fileprivate func batchQuotes() throws -> [QuoteID] {
        let values = try array("quotes")
        guard values.count <= CashuLimits.batchQuotes else {
            throw MintError(.maximumBatchExceeded, "at most \(CashuLimits.batchQuotes) quotes are taken at once")
        }
        return try values.map { value in
            guard let text = value.stringValue else {
                throw CashuError(.malformed, "`quotes` must be strings")
            }
            return try QuoteID(text)
        }
    }
}
