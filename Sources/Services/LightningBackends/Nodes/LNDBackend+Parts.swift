internal import CanonicalJSON
internal import Encodings
internal import Lightning

/// Paying a part of an invoice (BOLT 4, "Basic Multi-Part Payments").
///
/// `SendPaymentV2` pays whole invoices only, so a route for the part is asked for (`QueryRoutes`), told the invoice's total
/// and secret, and sent (`SendToRouteV2`). One route is tried after another; LND's mission control learns from each.
extension LNDBackend {
    private static var maximumRoutes: Int { 10 }

    func sendPart(
        _ invoice: BOLT11Invoice,
        amountMsat: UInt64,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> SendResult {
        let deadline = ContinuousClock.now + .milliseconds(connection.access.paymentTimeoutMilliseconds)
        var last = PaymentFailure(.noRoute, "LND found no route for this part within the fee limit")
        for attempt in 0..<Self.maximumRoutes {
            guard let route = try await route(invoice, amountMsat: amountMsat, maximumFeeMsat: maximumFeeMsat) else {
                return .answered(last)
            }
            let remaining = deadline - ContinuousClock.now
            guard remaining > .zero, !(Task.isCancelled && attempt > 0) else { return .answered(last) }
            let body: JSONObject = [
                "payment_hash": .string(Base64.encode(invoice.paymentHash)), "route": .object(route),
            ]
            let reply = try await connection.exchange(
                .post("/v2/router/route/send", body),
                timeoutMilliseconds: max(Int64(remaining / .milliseconds(1)), 1)
            )
            guard case .answered(let answer) = reply else { return .unknown }
            guard answer.isSuccess, let json = answer.json?.objectValue else { return result(answer) }
            guard let failure = Self.failure(json) else { return .answered(last) }
            last = failure.reason
            if failure.isFinal { return .answered(last) }
        }
        return .answered(last)
    }

    /// A route that carries the part, with the record that tells the payee of the whole.
    /// - Returns: nil where there is none.
    private func route(
        _ invoice: BOLT11Invoice,
        amountMsat: UInt64,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> JSONObject? {
        // The amount in the path is sat; 0 there stands for "not given", so that the body's msat counts.
        let path = "/v1/graph/routes/\(Hex.encode(invoice.payeeNodeID))/0"
        let body: JSONObject = [
            "amt_msat": .string(String(amountMsat)), "fee_limit": ["fixed_msat": .string(String(maximumFeeMsat))],
            "final_cltv_delta": .integer(Int64(clamping: invoice.finalCLTVExpiryDelta)), "use_mission_control": true,
            "route_hints": .array(invoice.contents.routeHints.map(Self.hint)),
        ]
        let answer = try await connection.ask(.post(path, body))
        guard answer.isSuccess else {
            if let status = LNDWire.status(answer.json), LNDWire.refusal(status.message).code == .noRoute { return nil }
            throw connection.refusal(answer)
        }
        let json = try connection.object(answer)
        return try connection.read { () throws -> JSONObject? in
            guard var route = try json.array("routes").first?.objectValue else { return nil }
            var hops = try route.array("hops")
            guard var final = hops.popLast()?.objectValue, let total = invoice.amountMsat,
                try LNDWire.integerOrZero(route, "total_fees_msat") <= maximumFeeMsat
            else { return nil }
            final["mpp_record"] = [
                "payment_addr": .string(Base64.encode(invoice.contents.paymentSecret)),
                "total_amt_msat": .string(String(total)),
            ]
            final["tlv_payload"] = true
            hops.append(.object(final))
            route["hops"] = .array(hops)
            return route
        }
    }

    private static func hint(_ hops: [RouteHop]) -> JSONValue {
        let hopHints = hops.map { hop -> JSONValue in
            [
                "node_id": .string(Hex.encode(hop.nodeID)), "chan_id": .string(String(hop.shortChannelID)),
                "fee_base_msat": .integer(Int64(hop.feeBaseMsat)),
                "fee_proportional_millionths": .integer(Int64(hop.feeProportionalMillionths)),
                "cltv_expiry_delta": .integer(Int64(hop.cltvExpiryDelta)),
            ]
        }
        return ["hop_hints": .array(hopHints)]
    }

    /// Why an `HTLCAttempt` failed, and whether other routes are of no use; nil where it did not fail.
    private static func failure(_ attempt: JSONObject) -> (reason: PaymentFailure, isFinal: Bool)? {
        guard attempt["status"]?.stringValue == "FAILED" else { return nil }
        let code = attempt["failure"]?["code"]?.stringValue ?? ""
        switch code {
        case "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS", "INCORRECT_PAYMENT_AMOUNT", "FINAL_INCORRECT_HTLC_AMOUNT":
            return (
                PaymentFailure(.unknownInvoice, "the payee does not know this payment, or asks another amount"), true
            )
        case "MPP_TIMEOUT":
            return (PaymentFailure(.rejected, "the other parts of the invoice did not arrive in time"), true)
        default:
            return (PaymentFailure(.noRoute, "no route carried this part (\(code.prefix(60)))"), false)
        }
    }
}
