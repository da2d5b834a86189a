internal import CanonicalJSON
internal import Market

/// What a service gives back by itself of calls that break its promise, made ready for every call ([SLA-11]).
struct CallPromise: Sendable {
    private let deadlineMilliseconds: Int64?
    private let output: JSONSchema?
    private let refunds: SLARefunds

    /// - Returns: nil where the service gives nothing back by itself.
    init?(_ service: ServiceDefinition) {
        guard let refunds = service.refunds else { return nil }
        self.refunds = refunds
        deadlineMilliseconds = refunds.late == nil ? nil : service.promise?.deadlineMilliseconds
        output = refunds.schema == nil ? nil : service.listing?.output.flatMap { try? JSONSchema(.object($0)) }
    }

    /// What an answer broke of the promise. Only what the seller answers for is looked at: nothing that its buyer can bring about
    /// ([SLA-12]).
    ///
    /// - Parameters:
    ///   - milliseconds: from the claim to the answer; nil where the buyer may have had a part in it.
    ///   - body: nil where it was passed on as it came.
    func breaches(_ answer: UpstreamAnswer, method: String, milliseconds: Int64?, body: [UInt8]?) -> [SLABreach] {
        var breaches: [SLABreach] = []
        if let deadlineMilliseconds, let milliseconds, milliseconds > deadlineMilliseconds {
            breaches.append(
                SLABreach(rule: .late, measured: milliseconds, promised: deadlineMilliseconds)
            )
        }
        // Of a part, or of a coded body, the caller chose the bytes; HEAD, 204 and 205 have none.
        if let output, let body, method != "HEAD", [200, 201, 202, 203].contains(answer.status),
            answer.headers.allSatisfy({ $0.name.lowercased() != "content-encoding" || $0.value == "identity" }),
            SLARules.breaks(body, output)
        {
            breaches.append(SLABreach(rule: .schema))
        }
        return breaches
    }

    /// The breach that gives back the most of a price, and how much.
    func refund(for breaches: [SLABreach], of price: UInt64) -> (breach: SLABreach, amount: UInt64)? {
        refunds.greatest(of: breaches, paid: price)
    }
}

extension ServiceDefinition {
    /// What is promised of calls, as other nodes are told; nil where nothing is that others can read.
    var promise: Listing.Promise? {
        let said = sla.flatMap { Listing.Promise($0) }
        guard let refunds else { return said }
        var promise = said ?? Listing.Promise()
        promise.refunds = refunds
        return promise
    }

    /// What is given back by itself must be of a promise that is made, and that can be checked.
    func validateRefunds() throws(GatewayError) {
        guard let refunds else { return }
        guard refunds.late == nil || promise?.deadlineMilliseconds != nil else {
            throw GatewayError(
                .invalidService,
                "To give something back for late answers, promise a deadline: --sla deadline=500ms."
            )
        }
        guard refunds.schema != nil else { return }
        guard let output = listing?.output else {
            throw GatewayError(
                .invalidService,
                "To give something back for answers against the schema, say the schema: --schema FILE with \"output\"."
            )
        }
        do {
            _ = try JSONSchema(.object(output))
        } catch {
            throw GatewayError(
                .invalidService,
                "The schema of answers can't be checked: \(error.message).",
                cause: error
            )
        }
    }
}
