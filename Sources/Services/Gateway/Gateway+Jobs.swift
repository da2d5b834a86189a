public import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import HTTPTypes
public import Market
internal import NIOCore
internal import Paywall

/// Services sold by escrow: the answer is sealed before it is paid for ([JOB-1]).
extension Gateway {
    /// What a call costs by escrow; nil where the service is not sold so, or not this call of it.
    ///
    /// - Parameter target: path and query below the service.
    public func jobOffer(_ name: String, method: String, target: String) -> JobOffer? {
        guard let service = service(name), let listing = service.listing, !listing.escrow.isEmpty,
            let path = try? RequestPath(target.prefix { $0 != "?" }),
            let rule = service.prices.rule(method: method, path: path), rule.metering == nil, rule.price.amount > 0
        else { return nil }
        return JobOffer(
            amount: rule.price.amount,
            unit: rule.price.unit,
            seconds: service.timeouts.totalSeconds,
            isIdempotent: service.isIdempotent,
            modes: listing.escrow,
            arbiters: listing.arbiters
        )
    }

    /// The service's listing as it would be told now, which quotes name; nil where it can't be told.
    public func promise(of name: String) -> JSONObject? { service(name).flatMap { try? listing(of: $0).body } }

    /// Calls the service for a job.
    /// - Throws: ``GatewayError`` `service-unknown`, `job-failed` where there is no answer, or one of 500 and above.
    public func perform(_ request: JobRequest, of name: String) async throws(GatewayError) -> JobResponse {
        guard let entry = registry.entry(name) else {
            throw GatewayError(.serviceUnknown, "There is no service \(name.prefix(63)) here.")
        }
        var headers = HTTPFields()
        if let type = request.contentType { headers[.contentType] = type }
        let body: IntakeBody =
            request.body.isEmpty ? .none : .whole(ByteBuffer(bytes: request.body), sha256: Hashing.sha256(request.body))
        let call = ProxiedRequest(
            method: request.method,
            target: request.target,
            headers: headers,
            added: [],
            body: body
        )
        do {
            let answer = try await entry.upstream.call(call)
            guard answer.status < 500 else {
                throw GatewayError(.jobFailed, "The service answered \(answer.status).")
            }
            let bytes = try await answer.collect(limitBytes: JobResponse.maximumBodyBytes)
            return try JobResponse(
                status: answer.status,
                contentType: answer.headers.first { $0.name.lowercased() == "content-type" }?.value,
                body: [UInt8](bytes.readableBytesView)
            )
        } catch let error as GatewayError {
            throw error
        } catch let error as UpstreamFailure {
            throw GatewayError(.jobFailed, error.refusal.message)
        } catch {
            throw GatewayError(.jobFailed, "The service's answer can't be delivered: \(error)")
        }
    }
}
