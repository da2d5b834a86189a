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

/// Fetches over HTTP, as ``GuardedFetch`` does: at most ``StatusListCredential/maximumBytes``.
public struct HTTPStatusListFetcher: StatusListFetching {
    private let guarded: GuardedFetch

    /// - Parameter allowsLocalLists: see ``IdentityConfiguration/allowsLocalLists``.
    public init(allowsLocalLists: Bool) { self.init(allowsLocalLists: allowsLocalLists, lookUp: nil) }

    init(allowsLocalLists: Bool, lookUp: GuardedFetch.LookUp?) {
        guarded = GuardedFetch(allowsLocal: allowsLocalLists, lookUp: lookUp)
    }

    public func fetch(_ url: String, etag: String?) async throws -> StatusListAnswer {
        var headers: HTTPHeaders = ["Accept": "application/vc, application/statuslist+jwt, application/json"]
        if let etag { headers.add(name: "If-None-Match", value: etag) }
        let answer = try await guarded.get(url, headers: headers, maximumBytes: StatusListCredential.maximumBytes)
        switch answer.status {
        case 200: return .document(bytes: answer.body, etag: answer.etag)
        case 304 where etag != nil: return .notModified
        default: throw FetchError(description: "\(url) answered \(answer.status)")
        }
    }
}
