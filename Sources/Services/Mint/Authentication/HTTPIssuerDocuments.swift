public import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1

/// Fetches an issuer's documents over HTTP: five seconds in all, at most 256 KiB.
public struct HTTPIssuerDocuments: IssuerDocuments {
    private static let maximumBytes = 256 * 1024
    private static let timeout = TimeAmount.seconds(5)

    private let client: HTTPClient

    /// - Parameter client: one that follows no redirects.
    public init(client: HTTPClient) {
        self.client = client
    }

    public func fetch(_ url: String) async throws -> [UInt8] {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "Accept", value: "application/json")
        request.headers.add(name: "User-Agent", value: "mintmark")
        let response = try await client.execute(request, timeout: Self.timeout)
        guard response.status == .ok else {
            throw MintSetupError(.issuer, "\(url) answered \(response.status.code)")
        }
        return [UInt8](try await response.body.collect(upTo: Self.maximumBytes).readableBytesView)
    }
}
