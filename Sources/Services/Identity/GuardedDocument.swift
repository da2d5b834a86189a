import NIOHTTP1

/// Fetches a JSON document that the operator or others named, guardedly: no redirects, five seconds, a bounded body, and a host that
/// is looked up once.
package struct GuardedDocument: Sendable {
    private let guarded: GuardedFetch

    /// Private addresses are asked only where the URL itself says loopback.
    /// - Parameter url: the operator's own.
    package init(ownAddress url: String) {
        let host = ListURLPolicy.place(of: url)?.host ?? ""
        guarded = GuardedFetch(allowsLocal: ["localhost", "127.0.0.1", "[::1]"].contains(host))
    }

    /// For URLs that others named.
    /// - Parameter allowsLocal: whether loopback and private addresses are asked, plain http on loopback included.
    package init(allowsLocal: Bool) {
        guarded = GuardedFetch(allowsLocal: allowsLocal)
    }

    /// A sentence why a URL is never fetched; nil where it may be.
    package func refusal(_ url: String) -> String? { guarded.policy.refusal(url) }

    /// - Throws: where it can't be had whole, or is answered with another status than 200.
    package func get(_ url: String, maximumBytes: Int) async throws -> [UInt8] {
        let answer = try await guarded.get(url, headers: ["Accept": "application/json"], maximumBytes: maximumBytes)
        guard answer.status == 200 else { throw FetchError(description: "\(url) answered \(answer.status)") }
        return answer.body
    }
}
