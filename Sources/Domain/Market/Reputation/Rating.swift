public import CanonicalJSON
internal import Encodings
public import SignedDocuments

/// A buyer's countersignature on a receipt ([RCPT-13]): how the call went, and whose passport the buyer had.
public struct Rating: TradeContent {
    public static let type = "MintmarkRating"
    public static let known: Set<String> = ["buyer", "receipt", "passport", "outcome", "time"]
    /// Of the whole document, canonical.
    public static let maximumBytes = 2_048

    public var buyer: DIDKey
    /// SHA-256 of the receipt's canonical bytes, proof and all.
    public var receipt: [UInt8]
    /// The same of the buyer's passport.
    public var passport: [UInt8]
    public var outcome: CallOutcome
    /// Seconds since 1970.
    public var time: UInt64

    public init(buyer: DIDKey, receipt: [UInt8], passport: [UInt8], outcome: CallOutcome, time: UInt64) {
        self.buyer = buyer
        self.receipt = receipt
        self.passport = passport
        self.outcome = outcome
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        buyer = try fields.did("buyer")
        receipt = try fields.digest("receipt")
        passport = try fields.digest("passport")
        outcome = try fields.outcome("outcome")
        time = try fields.time("time")
    }

    public var signer: DIDKey { buyer }

    public var members: JSONObject {
        [
            "buyer": .string(buyer.string), "receipt": .string(MultihashDigest.encode(receipt)),
            "passport": .string(MultihashDigest.encode(passport)), "outcome": .string(outcome.rawValue),
            "time": JSONValue(time),
        ]
    }
}
