import Cashu
import Encodings
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Paywall
import Synchronization

/// WebSockets that are paid for: by the connection ([GWY-10]), or by the second ([GWY-14]).
extension Gateway {
    /// Opens the WebSocket of a claimed call.
    /// - Throws: ``UpstreamFailure`` where the upstream does not take it.
    func open(
        _ socket: WebSocketAttempt,
        of claim: ActiveClaim,
        lease: CallLease,
        call: IncomingCall,
        request: ProxiedRequest
    ) async throws -> Response {
        guard claim.quote?.isMaximum == true else {
            let seconds = call.service.proxy.webSockets?.paidSeconds
            return try await open(socket, for: call, request: request, paidSeconds: seconds) { headers in
                let charge = charge(claim, call: call, measured: nil)
                let receipt = try await settle(
                    claim,
                    answer: nil,
                    status: 101,
                    digest: IntakeBody.emptyDigest,
                    charge: charge,
                    settlement: Self.settlement(charge, of: claim, call: call, measured: nil)
                )
                lease.close()
                headers[.agentReceipt] = Base64URL.encode(receipt)
                headers[.agentReceiptID] = claim.id
                if let charge { headers[.xCashu] = await change(of: claim, amount: charge.change) }
            }
        }
        // The claim stays open as long as the connection: what it costs is known at its end.
        let sale = OpenSale(sockets)
        return try await open(
            socket,
            for: call,
            request: request,
            paidSeconds: call.socketSeconds,
            onEnd: { [self] time in
                Task {
                    await end(claim, lease: lease, call: call, after: time)
                    withExtendedLifetime(sale) {}
                }
            },
            settle: { $0[.agentReceiptID] = claim.id }
        )
    }

    /// Charges a WebSocket for the time it was open; the rest goes back ([GWY-14]). Where the disk fails, the claim is
    /// abandoned and refunded.
    private func end(_ claim: ActiveClaim, lease: CallLease, call: IncomingCall, after time: TimeAmount) async {
        var milliseconds = max(0, time.nanoseconds) / 1_000_000
        // The timer that ends it comes a little late; that is not sold.
        if let seconds = call.socketSeconds { milliseconds = min(milliseconds, seconds * 1000) }
        let measured = MeasuredCall(requestBytes: 0, responseBytes: 0, milliseconds: UInt64(milliseconds))
        let charge = charge(claim, call: call, measured: measured)
        do {
            _ = try await settle(
                claim,
                answer: nil,
                status: 101,
                digest: IntakeBody.emptyDigest,
                charge: charge,
                settlement: Self.settlement(charge, of: claim, call: call, measured: measured)
            )
            lease.close()
        } catch {
            return logger.error(
                "a WebSocket can't be charged",
                metadata: ["claim": "\(claim.id)", "error": "\(error)"]
            )
        }
        // So that it is there when it is asked for.
        if let charge { _ = await change(of: claim, amount: charge.change) }
    }

    /// What a rule of a service with WebSockets may count: time, and the connection itself.
    /// - Returns: what is wrong with it; nil where nothing is.
    static func webSocketFault(_ rule: PriceRule, rules: WebSocketRules) -> String? {
        guard rule.freeCallsPerDay == nil else { return "a service with WebSockets has no free calls." }
        guard let metering = rule.metering else { return nil }
        guard metering.meters.allSatisfy({ $0.period == nil && ($0.measure == .seconds || $0.measure == .calls) })
        else {
            return "a WebSocket is sold by the connection or by the second (1sat/s,max=600sat), without tiers."
        }
        guard rule.quote().isMaximum else { return nil }
        guard rules.paidSeconds == nil else {
            return "what is sold by the second has no --websocket-seconds: it is closed when the maximum is used up."
        }
        guard let seconds = rule.secondsPaid(by: metering.maximum), seconds > 0 else {
            return "the maximum must buy one second at least, and a second must cost something."
        }
        return nil
    }
}

extension IncomingCall {
    /// The longest that a WebSocket is sold for, in seconds; some ten years.
    private static let longestSeconds: UInt64 = 315_360_000

    /// How long a WebSocket that is sold by the second may be open for what was quoted; nil for any other call.
    var socketSeconds: Int64? {
        guard socket != nil, let quote, quote.isMaximum else { return nil }
        return Int64(min(rule.secondsPaid(by: quote.amount) ?? 0, Self.longestSeconds))
    }
}

/// How many WebSockets by the second have not been charged yet.
final class OpenSales: Sendable {
    private let count = Mutex(0)

    fileprivate func enter() { count.withLock { $0 += 1 } }
    fileprivate func leave() { count.withLock { $0 -= 1 } }

    /// Waits until all have been charged, or for some seconds: what is left then is refunded at the next start.
    func ended(withinSeconds seconds: Int64) async {
        let deadline = NIODeadline.now() + .seconds(seconds)
        while count.withLock({ $0 > 0 }), NIODeadline.now() < deadline {
            try? await Task.sleep(for: .milliseconds(20))
        }
    }
}

/// One of ``OpenSales``, as long as somebody holds it.
private final class OpenSale: Sendable {
    private let sales: OpenSales

    init(_ sales: OpenSales) {
        self.sales = sales
        sales.enter()
    }

    deinit { sales.leave() }
}
