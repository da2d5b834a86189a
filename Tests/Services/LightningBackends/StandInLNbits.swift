import CanonicalJSON
import Encodings
import Lightning
import NIOHTTP1
import Synchronization

@testable import LightningBackends

/// LNbits' payments API, as far as the adapter uses it, over a node of its own. Shapes and errors: lnbits/lnbits
/// `core/views/payment_api.py`, `core/services/payments.py`, `core/models/payments.py`; PaymentError is answered with 520
/// and `{detail, status}`. The real program is checked against in `Tests/Interop/lnbits.py`.
final class StandInLNbits: Sendable {
    static let key = "5f0c1b6a7e4d4a0e9a2f3b1c5d6e7f80"
    let account: StandInAccount
    /// Before 1.6, a call without an answer from the node is called failed.
    let isOld: Bool
    /// Whether its node's answers are lost, upon which an old version calls a payment failed.
    let losesAnswers = Mutex(false)
    private let recorded = Mutex<[[UInt8]: String]>([:])

    init(account: StandInAccount, isOld: Bool = false) {
        self.account = account
        self.isOld = isOld
    }

    func answer(_ request: StandInRequest) async -> StandInAnswer {
        let path = request.path
        let isKnown = request.headers.first(name: "X-Api-Key") == Self.key
        if request.method == "GET", path.hasPrefix("/api/v1/payments/"), path.count == 17 + 64 {
            return await status((try? Hex.decode(String(path.dropFirst(17)))) ?? [], isKnown: isKnown)
        }
        if path == "/api/v1/payments/fee-reserve" {
            guard let invoice = try? BOLT11Invoice(decoding: request.query["invoice"] ?? "") else {
                return Self.detail(400, "Invoice has no amount.")
            }
            return .json(200, ["fee_reserve": JSONValue(max(2000, (invoice.amountMsat ?? 0) / 100))])
        }
        guard isKnown else { return Self.detail(404, "Wallet not found.") }
        switch (request.method, path) {
        case ("GET", "/api/v1/wallet"):
            return .json(200, ["name": "mint", "balance": JSONValue(await account.balanceMsat())])
        case ("GET", "/api/v1/payments/stats/breakdown"):
            return isOld ? Self.detail(404, "Not Found") : .json(200, [])
        case ("GET", "/api/v1/payments"):
            let list = await account.settled().reversed().map { details(incoming: $0.made, $0) }
            return .json(200, .array(Array(list)))
        case ("POST", "/api/v1/payments"):
            let body = request.json
            return body["out"]?.boolValue == true ? await pay(body) : await makeInvoice(body)
        default: return Self.detail(404, "Not Found")
        }
    }

    private static func detail(_ status: UInt, _ text: String) -> StandInAnswer {
        .json(status, ["detail": .string(text)])
    }

    private static func failure(_ text: String, _ status: String = "failed") -> StandInAnswer {
        .json(520, ["detail": .string(text), "status": .string(status)])
    }

    // MARK: Invoices

    private func makeInvoice(_ body: JSONObject) async -> StandInAnswer {
        do {
            guard try body.string("unit") == "sat" else { return Self.failure("unit") }
            let invoice = try await account.make(
                try body.uint64("amount") * 1000,
                try body.string("memo"),
                try body.uint64("expiry")
            )
            guard let made = account.made(invoice.paymentHash) else { return Self.detail(500, "lost") }
            return .json(201, details(incoming: made, nil))
        } catch {
            return Self.failure("\(error)")
        }
    }

    private func details(incoming made: StandInAccount.Made, _ settled: StandInAccount.Settled?) -> JSONValue {
        details(
            made.invoice,
            amount: .integer(Int64(made.invoice.amountMsat ?? 0)),
            fee: 0,
            status: settled == nil ? "pending" : "success",
            preimage: .null,
            at: settled?.at ?? made.invoice.contents.timestamp
        )
    }

    private func details(
        _ invoice: BOLT11Invoice,
        amount: JSONValue,
        fee: Int64,
        status: String,
        preimage: JSONValue,
        at: Timestamp
    ) -> JSONValue {
        [
            "checking_id": .string(Hex.encode(invoice.paymentHash)), "wallet_id": "ab12",
            "payment_hash": .string(Hex.encode(invoice.paymentHash)), "amount": amount, "fee": .integer(fee),
            "bolt11": .string(invoice.text), "status": .string(status), "memo": "", "preimage": preimage,
            "expiry": .string(invoice.expiresAt.rfc3339), "time": .string(at.rfc3339),
            "created_at": .string(at.rfc3339), "updated_at": .string(at.rfc3339), "extra": [:],
        ]
    }

    private func status(_ hash: [UInt8], isKnown: Bool) async -> StandInAnswer {
        if let made = account.made(hash) {
            let settled = await account.settled(hash)
            guard isKnown else { return .json(200, ["paid": .bool(settled != nil)]) }
            return .json(200, ["paid": .bool(settled != nil), "details": details(incoming: made, settled)])
        }
        guard isKnown, let found = await outgoing(hash) else { return Self.detail(404, "Payment does not exist.") }
        return .json(200, ["paid": .bool(found["status"]?.stringValue == "success"), "details": found])
    }

    // MARK: Payments

    /// A payment on record: nothing is recorded of what the wallet could not afford.
    private func outgoing(_ hash: [UInt8]) async -> JSONValue? {
        guard let (invoice, outcome) = await account.payment(hash), let invoice else { return nil }
        var status = "pending"
        var fee: UInt64 = 0
        var preimage = JSONValue.null
        switch outcome {
        case .pending: break
        case .settled(let bytes, let feeMsat):
            (status, fee, preimage) = ("success", feeMsat, .string(Hex.encode(bytes)))
        case .failed(let failure):
            if failure.code == .insufficientBalance { return nil }
            status = "failed"
        }
        if let said = recorded.withLock({ $0[hash] }) { status = said }
        return details(
            invoice,
            amount: .integer(-Int64(invoice.amountMsat ?? 0)),
            fee: -Int64(fee),
            status: status,
            preimage: preimage,
            at: account.clock.now()
        )
    }

    private func pay(_ body: JSONObject) async -> StandInAnswer {
        guard let invoice = try? BOLT11Invoice(decoding: body["bolt11"]?.stringValue ?? "") else {
            return Self.failure("Bolt11 decoding failed.")
        }
        let hash = invoice.paymentHash
        if let old = await outgoing(hash) {
            switch old["status"]?.stringValue {
            case "pending": return Self.failure("Payment is still pending.", "pending")
            case "success": return Self.failure("Payment already paid.", "success")
            default:
                // Nothing is sent again: its node is asked.
                switch await account.payment(hash)?.outcome {
                case .failed?, nil: return Self.failure("Payment is failed node, retrying is not possible.")
                case .pending?: return .json(201, old)
                case .settled?:
                    recorded.withLock { $0[hash] = nil }
                    return Self.failure("Failed payment was already paid on the fundingsource.", "success")
                }
            }
        }
        let limit = max(2000, (invoice.amountMsat ?? 0) / 100)
        guard let first = try? await account.paid(invoice, limit) else {
            return Self.failure("Payment failed: Invoice expired.")
        }
        if losesAnswers.withLock({ $0 }) {
            recorded.withLock { $0[hash] = "failed" }
            return Self.failure("Payment failed: Unable to connect to the node.")
        }
        switch first {
        case .settled, .pending:
            return .json(201, (await outgoing(hash)) ?? .null)
        case .failed(let failure):
            switch failure.code {
            case .insufficientBalance: return Self.failure("Insufficient balance.")
            case .unknownInvoice: return Self.failure("Payment failed: FAILURE_REASON_INCORRECT_PAYMENT_DETAILS")
            case .noRoute: return Self.failure("Payment failed: FAILURE_REASON_NO_ROUTE")
            default: return Self.failure("Payment failed: \(failure.message)")
            }
        }
    }
}
