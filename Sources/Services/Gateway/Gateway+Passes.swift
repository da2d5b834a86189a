import Encodings
import Hummingbird
import Paywall

/// Calls of a pass for a time, after the first ([GRA-10]).
extension Gateway {
    /// Makes a call of an open pass: its time is paid for, so that nothing is claimed, debited or given back for the call.
    /// - Returns: nil where the call is to be claimed like any other.
    /// - Throws: ``CallRefusal`` where the pass does not allow it.
    func answerPass(
        _ call: IncomingCall,
        credential: L402Credential,
        known: Macaroon?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> Response? {
        guard !call.isMeasured else { return nil }
        let now = clock.now()
        let request = request(of: call)
        switch L402.judge(credential, keys: keys.ring, request: request, now: now, known: known) {
        case .refused(let refusal) where refusal.code == .credentialExpired:
            // A claimed call that was given back may still be made.
            return nil
        case .refused(let refusal):
            throw refusal
        case .accepted(let allowed):
            if let refusal = call.unavailable { throw refusal }
            // Of several, which one was good is not told: each is worked out anew.
            let macaroon = credential.macaroons.count == 1 ? credential.macaroons.first : nil
            guard try passes.take(allowed, by: macaroon, request: request, now: now) else { return nil }
            return try await passThrough(call, body: body, caller: caller)
        }
    }

    /// Writes down how many calls were made on passes.
    func countPasses() async throws {
        let calls = passes.unwritten()
        try await grants.count(calls)
        passes.written(calls, now: clock.now())
    }
}
