internal import CanonicalJSON
internal import Encodings
internal import Lightning

/// What LND's REST gateway says (lightning.proto and routerrpc/router.proto): 64-bit integers as strings, bytes as
/// base64, an enumeration by its name, fields by their names in the proto.
enum LNDWire {
    /// gRPC's status code NOT_FOUND.
    static let notFound: Int64 = 5

    /// A 64-bit integer, which older gateways wrote as a number.
    static func integer(_ object: JSONObject, _ name: String) throws(JSONError) -> UInt64 {
        guard let value = object[name] else { throw JSONError(.missing, "`\(name)` is missing") }
        if let number = value.uint64Value { return number }
        guard let text = value.stringValue, let number = UInt64(text) else {
            throw JSONError(.type, "`\(name)` must be a non-negative integer, as text or number")
        }
        return number
    }

    static func integerOrZero(_ object: JSONObject, _ name: String) throws(JSONError) -> UInt64 {
        guard let value = object[name], !value.isNull else { return 0 }
        return try integer(object, name)
    }

    static func bytes(_ object: JSONObject, _ name: String) throws -> [UInt8] {
        try Base64.decode(try object.string(name))
    }

    /// The gRPC status of an error: at the top of a plain answer, under `error` in a stream.
    static func status(_ json: JSONValue?) -> (code: Int64, message: String)? {
        guard let json else { return nil }
        let error = json["error"]?.objectValue.map(JSONValue.object) ?? json
        let code = error["code"]?.int64Value ?? error["grpc_code"]?.int64Value
        guard let code else { return nil }
        return (code, String((error["message"]?.stringValue ?? "").prefix(300)))
    }

    /// A `Payment`.
    static func record(_ payment: JSONObject) throws -> PaymentRecord {
        switch try payment.string("status") {
        case "SUCCEEDED":
            .settled(
                preimage: try Hex.decode(try payment.string("payment_preimage")),
                feeMsat: try integerOrZero(payment, "fee_msat")
            )
        case "FAILED":
            .failed(failure(try payment.optionalString("failure_reason") ?? ""))
        default:
            // IN_FLIGHT, INITIATED, and whatever later versions add.
            .pending
        }
    }

    /// A `PaymentFailureReason`.
    static func failure(_ reason: String) -> PaymentFailure {
        switch reason {
        case "FAILURE_REASON_INSUFFICIENT_BALANCE":
            PaymentFailure(.insufficientBalance, "LND's channels do not hold enough for the payment and its fees")
        case "FAILURE_REASON_NO_ROUTE":
            PaymentFailure(.noRoute, "LND found no route to the payee within the fee limit")
        case "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS":
            PaymentFailure(.unknownInvoice, "the payee does not know this payment, or asks another amount")
        case "FAILURE_REASON_TIMEOUT":
            PaymentFailure(.noRoute, "LND found no working route in time")
        default:
            PaymentFailure(.rejected, "LND gave the payment up (\(reason.prefix(60)))")
        }
    }

    /// Why a call to pay was refused, for when LND has no record of it.
    static func refusal(_ message: String) -> PaymentFailure {
        let text = message.lowercased()
        if text.contains("self-payment") { return PaymentFailure(.selfPayment, "LND does not pay itself") }
        if text.contains("expired") { return PaymentFailure(.expired, "LND says that the invoice has expired") }
        if text.contains("insufficient") {
            return PaymentFailure(
                .insufficientBalance,
                "LND's channels do not hold enough for the payment and its fees"
            )
        }
        if text.contains("unable to find a path") || text.contains("no route") || text.contains("no_route") {
            return PaymentFailure(.noRoute, "LND found no route to the payee within the fee limit")
        }
        return PaymentFailure(.rejected, "LND refused the payment: \(message)")
    }
}
