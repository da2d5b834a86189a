import CanonicalJSON
import Encodings
import Lightning
import NIOHTTP1

@testable import LightningBackends

/// phoenixd's HTTP API, as far as the adapter uses it. Shapes and errors: ACINQ/phoenixd `Api.kt` and
/// `json/JsonSerializers.kt` (absent where null, fees in msat, the rest in sat), sentences of failures: ACINQ/lightning-kmp
/// `OutgoingPaymentFailure.kt` and `PaymentsDb.kt`; one payment a hash: `OutgoingPaymentHandler.kt`.
struct StandInPhoenixd: Sendable {
    static let password = "0f0e0d0c0b0a"
    let account: StandInAccount
    var network = "regtest"

    func answer(_ request: StandInRequest) async -> StandInAnswer {
        let expected = "Basic \(Base64.encode(Array(":\(Self.password)".utf8)))"
        guard request.headers.first(name: "Authorization") == expected else {
            return .text(401, "Invalid authentication (use basic auth with the http password set in phoenix.conf)")
        }
        let path = request.path
        switch (request.method, path) {
        case ("GET", "/getinfo"):
            return .json(
                200,
                [
                    "nodeId": .string(await account.nodeID()), "channels": [], "chain": .string(network),
                    "blockHeight": 850_000, "version": "0.7.0",
                ]
            )
        case ("GET", "/getbalance"):
            return .json(200, ["balanceSat": JSONValue(await account.balanceMsat() / 1000), "feeCreditSat": 0])
        case ("POST", "/createinvoice"): return await makeInvoice(request.form)
        case ("GET", "/payments/incoming"):
            let from = Int64(request.query["from"] ?? "") ?? 0
            let received = await account.settled().reversed().filter { $0.at.millisecondsSince1970 >= from }
            return .json(
                200,
                .array(received.prefix(Int(request.query["limit"] ?? "") ?? 20).map { incoming($0.made, $0) })
            )
        case ("POST", "/payinvoice"): return await pay(request.form)
        case ("GET", _) where path.hasPrefix("/payments/incoming/"):
            guard let hash = try? Hex.decode(String(path.dropFirst(19))), let made = account.made(hash) else {
                return .text(404, "Not found")
            }
            return .json(200, incoming(made, await account.settled(hash)))
        case ("GET", _) where path.hasPrefix("/payments/outgoingbyhash/"):
            return await outgoing((try? Hex.decode(String(path.dropFirst(25)))) ?? [])
        default: return .text(404, "Unknown endpoint (check api doc)")
        }
    }

    private func makeInvoice(_ form: [String: String]) async -> StandInAnswer {
        guard let description = form["description"] else {
            return .text(400, "Must provide either a description or descriptionHash")
        }
        guard description.utf16.count <= 128 else {
            return .text(400, "Request parameter description is too long (max 128 characters)")
        }
        do {
            let sat = form["amountSat"].map { UInt64($0) ?? 0 }
            let expiry = UInt64(form["expirySeconds"] ?? "") ?? 3600
            let invoice = try await account.make(sat.map { $0 * 1000 }, description, expiry)
            return .json(
                200,
                [
                    "amountSat": JSONValue(sat ?? 0), "paymentHash": .string(Hex.encode(invoice.paymentHash)),
                    "serialized": .string(invoice.text),
                ]
            )
        } catch {
            return .text(400, "\(error)")
        }
    }

    private func incoming(_ made: StandInAccount.Made, _ settled: StandInAccount.Settled?) -> JSONValue {
        var json: JSONObject = [
            "type": "incoming_payment", "subType": "lightning",
            "paymentHash": .string(Hex.encode(made.invoice.paymentHash)),
            "preimage": .string(String(repeating: "0", count: 64)), "description": .string(made.description),
            "invoice": .string(made.invoice.text), "isPaid": .bool(settled != nil),
            "isExpired": .bool(made.invoice.isExpired(at: account.clock.now())),
            "requestedSat": JSONValue((made.invoice.amountMsat ?? 0) / 1000),
            "receivedSat": JSONValue((settled?.amountMsat ?? 0) / 1000), "fees": 0,
            "expiresAt": .integer(made.invoice.expiresAt.millisecondsSince1970),
            "createdAt": .integer(made.invoice.contents.timestamp.millisecondsSince1970),
        ]
        if let settled { json["completedAt"] = .integer(settled.at.millisecondsSince1970) }
        return .object(json)
    }

    private func outgoing(_ hash: [UInt8]) async -> StandInAnswer {
        guard let found = await account.payment(hash) else { return .text(404, "Not found") }
        let now = account.clock.now().millisecondsSince1970
        var json: JSONObject = [
            "type": "outgoing_payment", "subType": "lightning", "paymentId": "0b9b0c8a-0000-4000-8000-000000000000",
            "paymentHash": .string(Hex.encode(hash)), "isPaid": false, "sent": 0, "fees": 0,
            "createdAt": .integer(now),
        ]
        switch found.outcome {
        case .pending: break
        case .failed: json["completedAt"] = .integer(now)
        case .settled(let preimage, let fee):
            json["isPaid"] = true
            json["preimage"] = .string(Hex.encode(preimage))
            json["fees"] = JSONValue(fee)
            json["sent"] = JSONValue((account.amountMsat(of: found.invoice) + fee) / 1000)
            json["completedAt"] = .integer(now)
        }
        return .json(200, .object(json))
    }

    private func pay(_ form: [String: String]) async -> StandInAnswer {
        guard let invoice = try? BOLT11Invoice(decoding: form["invoice"] ?? "") else {
            return .text(400, "Can't transform call parameter invoice to bolt11invoice")
        }
        let hash = invoice.paymentHash
        switch await account.payment(hash)?.outcome {
        case .settled?: return failed(hash, "this invoice has already been paid")
        case .pending?: return failed(hash, "another payment is in progress for that invoice")
        case .failed?, nil: break
        }
        // It takes no limit of the caller's.
        let open = form["amountSat"].flatMap { UInt64($0) }.map { $0 * 1000 }
        guard open != nil || (invoice.amountMsat ?? 0) > 0 else {
            return .text(400, "the invoice does not have an amount")
        }
        guard let first = try? await account.paid(invoice, .max / 2, openAmountMsat: open) else {
            return .text(500, "the call was lost")
        }
        switch first == .pending ? await account.end(of: hash) : first {
        case .pending: return .text(500, "timed out")
        case .settled(let preimage, let fee):
            return .json(
                200,
                [
                    "type": "payment_sent", "recipientAmountSat": JSONValue(account.amountMsat(of: invoice) / 1000),
                    "routingFeeSat": JSONValue(fee / 1000), "paymentId": "0b9b0c8a-0000-4000-8000-000000000000",
                    "paymentHash": .string(Hex.encode(hash)), "paymentPreimage": .string(Hex.encode(preimage)),
                ]
            )
        case .failed(let failure):
            switch failure.code {
            case .insufficientBalance: return failed(hash, "not enough funds in wallet to afford payment")
            case .unknownInvoice: return failed(hash, "recipient node rejected the payment")
            default: return failed(hash, "payment attempts exhausted without success")
            }
        }
    }

    private func failed(_ hash: [UInt8], _ reason: String) -> StandInAnswer {
        .json(200, ["type": "payment_failed", "paymentHash": .string(Hex.encode(hash)), "reason": .string(reason)])
    }
}
