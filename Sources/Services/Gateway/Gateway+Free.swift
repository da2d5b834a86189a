import Encodings
import Hummingbird
import Logging
import Paywall

/// A call that costs nothing although its rule has a price: one of the free ones of the day, or one whose tier is at 0 ([PRC-4]).
struct FreeCall: Sendable {
    /// Names the call among those that run; nil where it is no free one of the day.
    var id: String?
    /// Whose use is counted.
    var holder: String
}

extension Gateway {
    /// A call without payment whose price depends on who asks: who that is comes first.
    func answerHolder(
        _ call: IncomingCall,
        key: String?,
        body: IntakeBody,
        caller: CallerIdentity?
    ) async throws -> (Response, outcome: String) {
        let call = try await quoted(call, body: body, caller: caller)
        guard let holder = call.holder else { return try await challenged(call, body: body) }
        if call.price.isFree {
            let free = FreeCall(id: nil, holder: holder)
            return (try await passThrough(call, body: body, caller: caller, free: free), "free")
        }
        if let limit = call.rule.freeCallsPerDay {
            let id = UUIDVersion7.make(at: call.at)
            let now = clock.now()
            if try await usage.takeFree(id: id, service: call.service.name, holder: holder, limit: limit, now: now) {
                let free = FreeCall(id: id, holder: holder)
                return (try await passThrough(call, body: body, caller: caller, free: free), "free-by-quota")
            }
        }
        return try await challenged(call, body: body)
    }

    private func challenged(_ call: IncomingCall, body: IntakeBody) async throws -> (Response, outcome: String) {
        await body.abandon()
        return (try await challenge(call), CallRefusal.Code.paymentRequired.rawValue)
    }

    /// Ends a free call. Where the disk fails, it stays counted: the next start gives it back.
    func end(_ free: FreeCall?, call: IncomingCall, isServed: Bool, measured: MeasuredCall?) async {
        guard let free else { return }
        let entries = measured.map { Self.usage(of: call, holder: free.holder, measured: $0) } ?? []
        do {
            try await usage.endFree(id: free.id ?? "", isServed: isServed, usage: entries, now: clock.now())
        } catch {
            logger.error("a free call can't be counted", metadata: ["error": "\(error)"])
        }
    }
}
