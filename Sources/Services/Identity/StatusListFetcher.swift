import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Passports

/// What a server answered to a request for a status list.
public enum StatusListAnswer: Sendable {
    case document(bytes: [UInt8], etag: String?)
    /// The list is the one of the ETag that was sent.
    case notModified
}

/// Fetches status lists.
public protocol StatusListFetching: Sendable {
    /// - Parameter etag: of the copy at hand.
    /// - Throws: where there was no answer in time, or none that is a list. The error's text reaches the caller's log.
    func fetch(_ url: String, etag: String?) async throws -> StatusListAnswer
}

/// Why a status list could not be fetched.
struct StatusListFetchError: Error, CustomStringConvertible {
    var description: String
}

/// Fetches over HTTP: no redirects, five seconds in all, at most ``StatusListCredential/maximumBytes``.
public final class HTTPStatusListFetcher: StatusListFetching {
    private let client: HTTPClient
    private let policy: ListURLPolicy
    private static let timeout = TimeAmount.seconds(5)

    /// - Parameter allowsLocalLists: see ``IdentityConfiguration/allowsLocalLists``.
    public init(allowsLocalLists: Bool) {
        policy = ListURLPolicy(allowsLocal: allowsLocalLists)
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout = .init(connect: .seconds(3), read: .seconds(5))
        configuration.decompression = .disabled
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// Call once, when no fetch is under way.
    public func shutdown() async throws {
        try await client.shutdown()
    }

    public func fetch(_ url: String, etag: String?) async throws -> StatusListAnswer {
        if let refusal = policy.refusal(url) {
            throw StatusListFetchError(description: "\(url) is not fetched: \(refusal)")
        }
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "Accept", value: "application/vc, application/statuslist+jwt, application/json")
        request.headers.add(name: "User-Agent", value: "mintmark")
        if let etag { request.headers.add(name: "If-None-Match", value: etag) }
        let response = try await client.execute(request, timeout: Self.timeout)
        switch response.status.code {
        case 200:
            let body = try await response.body.collect(upTo: StatusListCredential.maximumBytes)
            let tag = response.headers.first(name: "ETag").flatMap { $0.utf8.count <= 256 ? $0 : nil }
            return .document(bytes: Array(body.readableBytesView), etag: tag)
        case 304 where etag != nil:
            return .notModified
        default:
            throw StatusListFetchError(description: "\(url) answered \(response.status.code)")
        }
    }
}
