import CanonicalJSON
import Encodings
import Lightning
import NIOHTTP1

@testable import LightningBackends

/// LND's REST gateway, as far as the adapter uses it. Shapes and errors: lightningnetwork/lnd `lnrpc/lightning.proto`,
/// `lnrpc/routerrpc/router.proto`, `router_server.go` (SendPaymentV2, TrackPaymentV2, SendToRouteV2), `rpcserver.go`
/// (LookupInvoice); grpc-gateway's JSON with `UseProtoNames` and `EmitUnpopulated`.
struct StandInLND: Sendable {
    static let macaroon = "0201036c6e6402f801030a10deadbeef"
    let account: StandInAccount
    let parts: StandInParts?
    /// As `chains[0].network` says it.
    var network = "regtest"

    func answer(_ request: StandInRequest) async -> StandInAnswer {
        guard request.headers.first(name: "Grpc-Metadata-macaroon") == Self.macaroon else {
            return .json(500, ["code": 2, "message": "verification failed: signature mismatch", "details": []])
        }
        let path = request.path
        switch (request.method, path) {
        case ("GET", "/v1/getinfo"):
            return .json(
                200,
                [
                    "version": "0.20.0-beta", "identity_pubkey": .string(await account.nodeID()), "alias": "stand-in",
                    "chains": [["chain": "bitcoin", "network": .string(network)]], "synced_to_chain": true,
                ]
            )
        case ("GET", "/v1/balance/channels"):
            let balance = await account.balanceMsat()
            return .json(
                200,
                [
                    "balance": .string(String(balance / 1000)), "pending_open_balance": "0",
                    "local_balance": ["sat": .string(String(balance / 1000)), "msat": .string(String(balance))],
                ]
            )
        case ("POST", "/v1/invoices"): return await makeInvoice(request.json)
        case ("GET", "/v1/invoices/subscribe"): return subscribe(UInt64(request.query["settle_index"] ?? "") ?? 0)
        case ("POST", "/v2/router/send"): return await send(request.json)
        case ("POST", "/v2/router/route/send"): return await sendToRoute(request.json)
        case ("POST", _) where path.hasPrefix("/v1/graph/routes/"): return routes(path, request.json)
        case ("GET", _) where path.hasPrefix("/v1/invoice/"): return await lookUp(String(path.dropFirst(12)))
        case ("GET", _) where path.hasPrefix("/v2/router/track/"):
            return await track((try? Base64URL.decode(String(path.dropFirst(17)))) ?? [])
        default: return Self.error(404, 5, "Not Found")
        }
    }

    private static func error(_ status: UInt, _ code: Int64, _ message: String) -> StandInAnswer {
        .json(status, ["code": .integer(code), "message": .string(message), "details": []])
    }

    private static func streamError(_ status: UInt, _ code: Int64, _ message: String) -> StandInAnswer {
        .json(status, ["error": ["code": .integer(code), "message": .string(message), "details": []]])
    }

    // MARK: Invoices

    private func makeInvoice(_ body: JSONObject) async -> StandInAnswer {
        do {
            let value = try LNDWire.integer(body, "value_msat")
            let invoice = try await account.make(
                value == 0 ? nil : value,
                try body.string("memo"),
                try LNDWire.integer(body, "expiry")
            )
            return .json(
                200,
                [
                    "r_hash": .string(Base64.encode(invoice.paymentHash)), "payment_request": .string(invoice.text),
                    "add_index": "1", "payment_addr": .string(Base64.encode(invoice.contents.paymentSecret)),
                ]
            )
        } catch {
            return Self.error(500, 2, "\(error)")
        }
    }

    private func invoice(_ made: StandInAccount.Made, _ settled: StandInAccount.Settled?) -> JSONValue {
        [
            "memo": .string(made.description), "r_hash": .string(Base64.encode(made.invoice.paymentHash)),
            "value_msat": .string(String(made.invoice.amountMsat ?? 0)), "settled": .bool(settled != nil),
            "payment_request": .string(made.invoice.text), "state": settled == nil ? "OPEN" : "SETTLED",
            "settle_date": .string(String(settled?.at.secondsSince1970 ?? 0)),
            "settle_index": .string(String(settled?.index ?? 0)),
            "amt_paid_msat": .string(String(settled?.amountMsat ?? 0)),
        ]
    }

    private func lookUp(_ hex: String) async -> StandInAnswer {
        guard let hash = try? Hex.decode(hex), let made = account.made(hash) else {
            return Self.error(404, 5, "unable to locate invoice")
        }
        return .json(200, invoice(made, await account.settled(hash)))
    }

    private func subscribe(_ from: UInt64) -> StandInAnswer {
        .lines(
            AsyncStream { continuation in
                let task = Task {
                    // 0 asks for what comes from now on.
                    var index = from
                    if index == 0 { index = await account.settled().last?.index ?? 0 }
                    while !Task.isCancelled {
                        guard let next = await account.settled(after: index, waitSeconds: 1) else { continue }
                        index = next.index
                        continuation.yield(["result": invoice(next.made, next)])
                    }
                }
                continuation.onTermination = { _ in task.cancel() }
            }
        )
    }

    // MARK: Payments

    private func payment(_ hash: [UInt8], _ invoice: BOLT11Invoice?, _ outcome: PaymentOutcome) -> JSONValue {
        var json: JSONObject = [
            "payment_hash": .string(Hex.encode(hash)), "payment_request": .string(invoice?.text ?? ""),
            "value_msat": .string(String(account.amountMsat(of: invoice))), "fee_msat": "0", "fee_sat": "0",
            "payment_preimage": .string(String(repeating: "0", count: 64)), "failure_reason": "FAILURE_REASON_NONE",
        ]
        switch outcome {
        case .pending: json["status"] = "IN_FLIGHT"
        case .settled(let preimage, let fee):
            json["status"] = "SUCCEEDED"
            json["payment_preimage"] = .string(Hex.encode(preimage))
            json["fee_msat"] = .string(String(fee))
        case .failed(let failure):
            json["status"] = "FAILED"
            switch failure.code {
            case .insufficientBalance: json["failure_reason"] = "FAILURE_REASON_INSUFFICIENT_BALANCE"
            case .unknownInvoice: json["failure_reason"] = "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS"
            case .noRoute, .feeTooHigh: json["failure_reason"] = "FAILURE_REASON_NO_ROUTE"
            default: json["failure_reason"] = "FAILURE_REASON_ERROR"
            }
        }
        return .object(json)
    }

    private func send(_ body: JSONObject) async -> StandInAnswer {
        guard let text = body["payment_request"]?.stringValue, let invoice = try? BOLT11Invoice(decoding: text),
            let limit = try? LNDWire.integer(body, "fee_limit_msat")
        else { return Self.streamError(500, 2, "invalid request") }
        let hash = invoice.paymentHash
        switch await account.payment(hash)?.outcome {
        case .settled?: return Self.streamError(409, 6, "invoice is already paid")
        case .pending?: return Self.streamError(409, 6, "payment is in transition")
        case .failed?, nil: break
        }
        if Hex.encode(invoice.payeeNodeID) == (await account.nodeID()) {
            return Self.streamError(500, 2, "self-payments not allowed")
        }
        let open = try? LNDWire.integer(body, "amt_msat")
        guard (open == nil) == ((invoice.amountMsat ?? 0) > 0) else {
            let which =
                open == nil ? "must be specified when paying a zero" : "must not be specified when paying a non-zero"
            return Self.streamError(500, 2, "amount \(which) amount invoice")
        }
        do {
            _ = try await account.paid(invoice, limit, openAmountMsat: open)
        } catch {
            return Self.streamError(500, 2, "invoice expired. Valid until \(invoice.expiresAt)")
        }
        return .lines(
            AsyncStream { continuation in
                let task = Task {
                    let outcome = await account.end(of: hash)
                    continuation.yield(["result": payment(hash, invoice, outcome)])
                    continuation.finish()
                }
                continuation.onTermination = { _ in task.cancel() }
            }
        )
    }

    private func track(_ hash: [UInt8]) async -> StandInAnswer {
        if let outcome = parts?.outcome(hash, of: account) {
            return .lines(Self.once(["result": payment(hash, nil, outcome)]))
        }
        guard let found = await account.payment(hash) else {
            return Self.streamError(404, 5, "payment isn't initiated")
        }
        let first = payment(hash, found.invoice, found.outcome)
        return .lines(
            AsyncStream { continuation in
                continuation.yield(["result": first])
                guard found.outcome == .pending else { return continuation.finish() }
                let task = Task {
                    let outcome = await account.end(of: hash)
                    continuation.yield(["result": payment(hash, found.invoice, outcome)])
                    continuation.finish()
                }
                continuation.onTermination = { _ in task.cancel() }
            }
        )
    }

    private static func once(_ value: JSONValue) -> AsyncStream<JSONValue> {
        AsyncStream { continuation in
            continuation.yield(value)
            continuation.finish()
        }
    }

    // MARK: Parts

    private func routes(_ path: String, _ body: JSONObject) -> StandInAnswer {
        let names = path.split(separator: "/")
        guard names.count == 5, names[4] == "0", let amount = try? LNDWire.integer(body, "amt_msat") else {
            return Self.error(500, 2, "amt and amt_msat are mutually exclusive")
        }
        guard let parts, let limit = body["fee_limit"]?["fixed_msat"]?.stringValue.flatMap(UInt64.init),
            parts.feeMsat <= limit
        else { return Self.error(500, 2, "unable to find a path to destination") }
        return .json(
            200,
            [
                "routes": [
                    [
                        "total_time_lock": 850_000, "total_fees_msat": .string(String(parts.feeMsat)),
                        "total_amt_msat": .string(String(amount + parts.feeMsat)),
                        "hops": [
                            ["chan_id": "1", "pub_key": "02aa", "amt_to_forward_msat": .string(String(amount))],
                            [
                                "chan_id": "2", "pub_key": .string(String(names[3])),
                                "amt_to_forward_msat": .string(String(amount)), "fee_msat": "0",
                            ],
                        ],
                    ]
                ], "success_prob": 0.9,
            ]
        )
    }

    private func sendToRoute(_ body: JSONObject) async -> StandInAnswer {
        guard let parts, let hash = try? LNDWire.bytes(body, "payment_hash"),
            let hops = body["route"]?["hops"]?.arrayValue, let final = hops.last?.objectValue,
            let record = final["mpp_record"]?.objectValue,
            let amount = try? LNDWire.integer(final, "amt_to_forward_msat"),
            let total = try? LNDWire.integer(record, "total_amt_msat"),
            let secret = try? LNDWire.bytes(record, "payment_addr")
        else { return Self.error(500, 2, "invalid route") }
        switch await parts.pay(hash, secret: secret, amountMsat: amount, totalMsat: total, from: account) {
        case .settled(let preimage, _):
            return .json(200, ["status": "SUCCEEDED", "preimage": .string(Base64.encode(preimage)), "failure": .null])
        case .failed(let failure):
            let code = failure.code == .rejected ? "MPP_TIMEOUT" : "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS"
            return .json(200, ["status": "FAILED", "preimage": "", "failure": ["code": .string(code)]])
        case .pending:
            return Self.error(500, 2, "still in flight")
        }
    }
}
