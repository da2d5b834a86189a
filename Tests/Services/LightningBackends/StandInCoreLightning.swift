import CanonicalJSON
import Encodings
import Lightning
import NIOHTTP1

@testable import LightningBackends

/// Core Lightning's `clnrest`, as far as the adapter uses it. Shapes: ElementsProject/lightning `doc/schemas/*.json`;
/// errors `common/jsonrpc_errors.h`; statuses `plugins/rest-plugin/src` (201 on success, 401 for a rune, 500 with
/// `{code, message}` for an error of the call).
struct StandInCoreLightning: Sendable {
    static let rune = "tU-RLjMiDpY2U0o3W1oFowar36RFGpWloPbW9-RuZdo9MyZpZD0wMjRiOWExZmE4ZTAwNmYx"
    let account: StandInAccount
    let parts: StandInParts?
    var network = "regtest"

    func answer(_ request: StandInRequest) async -> StandInAnswer {
        guard request.headers.first(name: "Rune") == Self.rune else {
            return Self.error(401, 1501, "Not authorized: Not derived from master")
        }
        let body = request.json
        switch (request.method, request.path) {
        case ("POST", "/v1/getinfo"):
            return .json(
                201,
                [
                    "id": .string(await account.nodeID()), "alias": "STAND-IN", "network": .string(network),
                    "version": "v25.09", "blockheight": 850_000,
                ]
            )
        case ("POST", "/v1/listfunds"):
            return .json(
                201,
                [
                    "outputs": [],
                    "channels": [
                        ["state": "CHANNELD_NORMAL", "our_amount_msat": JSONValue(await account.balanceMsat())],
                        ["state": "ONCHAIN", "our_amount_msat": 5_000_000],
                    ],
                ]
            )
        case ("POST", "/v1/invoice"): return await makeInvoice(body)
        case ("POST", "/v1/listinvoices"): return await listInvoices(body)
        case ("POST", "/v1/waitanyinvoice"):
            let index = (try? body.optionalUInt64("lastpay_index")) ?? 0
            let seconds = Double((try? body.optionalUInt64("timeout")) ?? 0)
            guard let next = await account.settled(after: index, waitSeconds: seconds) else {
                return Self.error(500, 904, "Timed out while waiting for invoice to be paid")
            }
            return .json(201, invoice(next.made, next))
        case ("POST", "/v1/listpays"): return await listPays(body)
        case ("POST", "/v1/xpay"): return await xpay(body)
        default: return Self.error(404, -32601, "Unknown command")
        }
    }

    private static func error(_ status: UInt, _ code: Int64, _ message: String) -> StandInAnswer {
        .json(status, ["code": .integer(code), "message": .string(message)])
    }

    private func makeInvoice(_ body: JSONObject) async -> StandInAnswer {
        do {
            _ = try body.string("label")
            let isOpen = body["amount_msat"]?.stringValue == "any"
            let invoice = try await account.make(
                isOpen ? nil : try body.uint64("amount_msat"),
                try body.string("description"),
                try body.uint64("expiry")
            )
            return .json(
                201,
                [
                    "payment_hash": .string(Hex.encode(invoice.paymentHash)), "bolt11": .string(invoice.text),
                    "expires_at": .integer(invoice.expiresAt.secondsSince1970),
                    "payment_secret": .string(Hex.encode(invoice.contents.paymentSecret)), "created_index": 1,
                ]
            )
        } catch {
            return Self.error(500, -32602, "\(error)")
        }
    }

    private func invoice(_ made: StandInAccount.Made, _ settled: StandInAccount.Settled?) -> JSONValue {
        let isExpired = made.invoice.isExpired(at: account.clock.now())
        var json: JSONObject = [
            "label": "mintmark", "bolt11": .string(made.invoice.text), "description": .string(made.description),
            "payment_hash": .string(Hex.encode(made.invoice.paymentHash)), "created_index": 1,
            "status": settled != nil ? "paid" : isExpired ? "expired" : "unpaid",
            "expires_at": .integer(made.invoice.expiresAt.secondsSince1970),
        ]
        if let settled {
            json["pay_index"] = JSONValue(settled.index)
            json["amount_received_msat"] = JSONValue(settled.amountMsat)
            json["paid_at"] = .integer(settled.at.secondsSince1970)
        }
        return .object(json)
    }

    private func listInvoices(_ body: JSONObject) async -> StandInAnswer {
        guard let hash = try? Hex.decode(try body.string("payment_hash")), let made = account.made(hash) else {
            return .json(201, ["invoices": []])
        }
        return .json(201, ["invoices": [invoice(made, await account.settled(hash))]])
    }

    private func listPays(_ body: JSONObject) async -> StandInAnswer {
        guard let hash = try? Hex.decode(try body.string("payment_hash")) else {
            return Self.error(500, -32602, "payment_hash: should be a 32 byte hex value")
        }
        let partly = parts?.outcome(hash, of: account).map { (invoice: parts?.invoice, outcome: $0) }
        let whole = await account.payment(hash)
        guard let found = partly ?? whole else { return .json(201, ["pays": []]) }
        var pay: JSONObject = [
            "payment_hash": .string(Hex.encode(hash)), "created_index": 1,
            "created_at": .integer(account.clock.now().secondsSince1970),
        ]
        let amount = account.amountMsat(of: found.invoice)
        switch found.outcome {
        case .pending: pay["status"] = "pending"
        case .settled(let preimage, let fee):
            pay["status"] = "complete"
            pay["preimage"] = .string(Hex.encode(preimage))
            pay["amount_msat"] = JSONValue(amount)
            pay["amount_sent_msat"] = JSONValue(amount + fee)
        case .failed(let failure):
            // What finds no route sends nothing, and leaves no record.
            if failure.code == .insufficientBalance || failure.code == .noRoute { return .json(201, ["pays": []]) }
            pay["status"] = "failed"
            pay["amount_sent_msat"] = 0
        }
        return .json(201, ["pays": [.object(pay)]])
    }

    private func xpay(_ body: JSONObject) async -> StandInAnswer {
        guard let invoice = try? BOLT11Invoice(decoding: try body.string("invstring")),
            let limit = try? body.uint64("maxfee")
        else { return Self.error(500, -32602, "invstring: invalid") }
        let hash = invoice.paymentHash
        if let part = try? body.optionalUInt64("partial_msat"), let parts {
            let outcome = await parts.pay(
                hash,
                secret: invoice.contents.paymentSecret,
                amountMsat: part,
                totalMsat: invoice.amountMsat ?? 0,
                from: account
            )
            return answer(outcome, amountMsat: part)
        }
        if case .settled? = await account.payment(hash)?.outcome {
            return Self.error(500, 219, "Already paid this invoice successfully")
        }
        if invoice.isExpired(at: account.clock.now()) { return Self.error(500, 207, "Invoice expired") }
        let open = try? body.optionalUInt64("amount_msat")
        guard (open == nil) == ((invoice.amountMsat ?? 0) > 0) else {
            return Self.error(500, -32602, open == nil ? "amount_msat required" : "unnecessary amount_msat")
        }
        guard let first = try? await account.paid(invoice, limit, openAmountMsat: open) else {
            return Self.error(500, -1, "the call was lost")
        }
        let amount = account.amountMsat(of: invoice)
        return answer(first == .pending ? await account.end(of: hash) : first, amountMsat: amount)
    }

    private func answer(_ outcome: PaymentOutcome, amountMsat: UInt64) -> StandInAnswer {
        switch outcome {
        case .settled(let preimage, let fee):
            return .json(
                201,
                [
                    "payment_preimage": .string(Hex.encode(preimage)), "amount_msat": JSONValue(amountMsat),
                    "amount_sent_msat": JSONValue(amountMsat + fee), "failed_parts": 0, "successful_parts": 1,
                ]
            )
        case .pending: return Self.error(500, 209, "Timed out after 60 seconds")
        case .failed(let failure):
            switch failure.code {
            case .insufficientBalance, .noRoute, .feeTooHigh:
                return Self.error(500, 205, "Failed: We could not find a usable set of paths.")
            case .unknownInvoice, .alreadyPaid:
                return Self.error(
                    500,
                    203,
                    "Destination said it doesn't know invoice: incorrect_or_unknown_payment_details"
                )
            default: return Self.error(500, 209, "Failed: \(failure.message)")
            }
        }
    }
}
