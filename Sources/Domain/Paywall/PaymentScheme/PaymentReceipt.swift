public import CanonicalJSON
public import Encodings

/// `Payment-Receipt`: that a payment was taken (draft-httpauth-payment, 5.3; [PAY-6]). Never a proof that opens anything.
public struct PaymentReceipt: Sendable, Equatable {
    public static let headerName = "Payment-Receipt"
    static let maximumBytes = 4096

    /// What became of a session's remainder.
    public enum Refund: String, Sendable, CaseIterable {
        case succeeded
        case failed
        /// There was nothing to give back.
        case skipped
        /// Under way, or a call still runs (ours: the draft has no word for it).
        case pending
    }

    public var method: String
    /// Of a Lightning payment the payment hash in hex, of ecash the payment digest.
    public var reference: String
    public var timestamp: Timestamp
    public var challengeID: String?
    /// Of a session's end: what was given back, or should have been, in sat.
    public var refundSats: UInt64?
    public var refund: Refund?
    /// Of a session's answer: what it cost, in sat.
    public var spentSats: UInt64?
    /// Of a session's answer: how many units were charged.
    public var units: UInt64?

    public init(
        method: String,
        reference: String,
        timestamp: Timestamp,
        challengeID: String? = nil,
        refundSats: UInt64? = nil,
        refund: Refund? = nil,
        spentSats: UInt64? = nil,
        units: UInt64? = nil
    ) {
        self.method = method
        self.reference = reference
        self.timestamp = timestamp
        self.challengeID = challengeID
        self.refundSats = refundSats
        self.refund = refund
        self.spentSats = spentSats
        self.units = units
    }

    public var json: JSONObject {
        var object: JSONObject = [
            "status": "success", "method": .string(method), "reference": .string(reference),
            "timestamp": .string(Timestamp(secondsSince1970: timestamp.secondsSince1970).rfc3339),
        ]
        object["challengeId"] = challengeID.map { .string($0) }
        object["refundSats"] = refundSats.map { JSONValue($0) }
        object["refundStatus"] = refund.map { .string($0.rawValue) }
        object["spent"] = spentSats.map { JSONValue($0) }
        object["units"] = units.map { JSONValue($0) }
        return object
    }

    /// The header's value.
    /// - Throws: ``PaymentChallengeError`` `bad-field` for a number that JSON can't hold exactly.
    public func header() throws(PaymentChallengeError) -> String {
        do {
            return Base64URL.encode(try json.canonicalized())
        } catch {
            throw PaymentChallengeError(.badField, "The receipt can't be written: \(error.message)")
        }
    }

    /// Reads the header's value; members that are not known are ignored.
    /// - Returns: nil where it is no receipt of a success.
    public init?(header value: String) {
        guard value.utf8.count <= Self.maximumBytes, let object = PaymentChallenge.decode(value),
            object["status"]?.stringValue == "success", let method = object["method"]?.stringValue,
            let reference = object["reference"]?.stringValue, let text = object["timestamp"]?.stringValue,
            let timestamp = try? Timestamp(rfc3339: text)
        else { return nil }
        self.init(
            method: method,
            reference: reference,
            timestamp: timestamp,
            challengeID: object["challengeId"]?.stringValue,
            refundSats: object["refundSats"]?.uint64Value,
            refund: object["refundStatus"]?.stringValue.flatMap(Refund.init),
            spentSats: object["spent"]?.uint64Value,
            units: object["units"]?.uint64Value
        )
    }
}
