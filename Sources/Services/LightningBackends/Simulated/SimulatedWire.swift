internal import CanonicalJSON
internal import Encodings
internal import Lightning

/// What the simulated network's HTTP API says and reads. Amounts are JSON integers in msat; hashes, preimages and keys
/// are lower-case hex; times are RFC 3339. Each object has a `notice` that says TEST MONEY.
enum SimulatedWire {
    /// Requests and answers are small; more is refused.
    static let maximumBodyBytes = 16_384
    static let limits = JSONLimits(
        maximumBytes: maximumBodyBytes,
        maximumDepth: 4,
        maximumValues: 64,
        acceptsUInt64: true
    )
    static let notice = "TEST MONEY: simulated Lightning network, worth nothing"
    /// The `code` of the answer to a payment that is not there.
    static let paymentNotFound = "payment-not-found"

    static func object(_ members: JSONObject) -> [UInt8] {
        var object: JSONObject = ["notice": .string(notice)]
        for (key, value) in members { object[key] = value }
        return object.serialized()
    }

    static func parse(_ bytes: [UInt8], _ name: String) throws(JSONError) -> JSONObject {
        try JSONValue.parse(bytes, limits: limits).requireObject(name)
    }

    static func hash(_ text: String) throws(LightningError) -> [UInt8] {
        guard let bytes = try? Hex.decode(text), bytes.count == 32 else {
            throw LightningError(.invalidRequest, "a payment hash is 64 hex digits")
        }
        return bytes
    }

    // MARK: Payments

    static func payment(_ outcome: PaymentOutcome) -> JSONObject {
        switch outcome {
        case .pending:
            ["state": "pending"]
        case .settled(let preimage, let feeMsat):
            ["state": "settled", "preimage": .string(Hex.encode(preimage)), "feeMsat": JSONValue(feeMsat)]
        case .failed(let failure):
            [
                "state": "failed",
                "failure": ["code": .string(failure.code.rawValue), "message": .string(failure.message)],
            ]
        }
    }

    /// - Throws: where the answer is none that the API gives.
    static func outcome(_ json: JSONObject) throws -> PaymentOutcome {
        switch try json.string("state") {
        case "pending":
            return .pending
        case "settled":
            return .settled(preimage: try Hex.decode(try json.string("preimage")), feeMsat: try json.uint64("feeMsat"))
        case "failed":
            let failure = try json.object("failure")
            let code = PaymentFailure.Code(rawValue: try failure.string("code"))
            return .failed(PaymentFailure(code, try failure.string("message")))
        case let state:
            throw LightningError(.invalidAnswer, "the payment's state is \(state.prefix(20)), which is not known")
        }
    }

    // MARK: Invoices

    static func invoice(_ status: InvoiceStatus) -> JSONObject {
        switch status {
        case .unpaid: ["state": "unpaid"]
        case .expired: ["state": "expired"]
        case .paid(let amountMsat, let at):
            ["state": "paid", "amountMsat": JSONValue(amountMsat), "paidAt": .string(at.rfc3339)]
        }
    }

    static func status(_ json: JSONObject) throws -> InvoiceStatus {
        switch try json.string("state") {
        case "unpaid": return .unpaid
        case "expired": return .expired
        case "paid":
            return .paid(
                amountMsat: try json.uint64("amountMsat"),
                at: try Timestamp(rfc3339: try json.string("paidAt"))
            )
        case let state:
            throw LightningError(.invalidAnswer, "the invoice's state is \(state.prefix(20)), which is not known")
        }
    }

    // MARK: Errors

    /// The answer to a request that was not done. Below 500 with a code of ours means that nothing was started.
    static func problem(_ error: any Error) -> ProblemDetails {
        switch error {
        case let error as LightningError:
            let (status, title) = statusAndTitle(error.code)
            return ProblemDetails(
                code: error.code.rawValue,
                title: title,
                status: status,
                detail: error.message,
                extensions: ["notice": .string(notice)]
            )
        case let error as JSONError:
            return ProblemDetails(
                code: LightningError.Code.invalidRequest.rawValue,
                title: "Bad request",
                status: 400,
                detail: "the request body cannot be read: \(error.message)",
                extensions: ["notice": .string(notice)]
            )
        default:
            return ProblemDetails(
                code: LightningError.Code.backendFailure.rawValue,
                title: "The network failed",
                status: 500,
                detail: "the TEST MONEY network failed; whether a payment was made is not known: ask for its state",
                extensions: ["notice": .string(notice)]
            )
        }
    }

    private static func statusAndTitle(_ code: LightningError.Code) -> (Int, String) {
        switch code {
        case .unauthorized: (401, "No account for this token")
        case .invoiceNotFound: (404, "No such invoice")
        case .timedOut: (408, "Too late")
        case .limitReached: (429, "The network is full")
        case .backendFailure, .invalidAnswer: (500, "The network failed")
        default: (400, "Bad request")
        }
    }
}
