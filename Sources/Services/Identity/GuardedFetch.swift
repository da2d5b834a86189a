import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import WebClient

/// Why something could not be fetched.
struct FetchError: Error, CustomStringConvertible {
    var description: String
}

/// Asks a URL that others named: no redirects, five seconds in all, bodies bounded. The host is looked up once, the address must
/// be one that ``ListURLPolicy`` allows, and the connection is made to that address: a name that changes its mind between
/// check and connection gains nothing.
struct GuardedFetch: Sendable {
    typealias LookUp = HostPin.LookUp

    struct Answer: Sendable {
        var status: UInt
        var etag: String?
        /// Empty unless the status is 200.
        var body: [UInt8]
    }

    static let timeoutMilliseconds: Int64 = 5_000

    let policy: ListURLPolicy
    private let pin: HostPin
    private let timeoutMilliseconds: Int64

    /// - Parameter timeoutMilliseconds: how long an answer may take in all, the look-up of the host included.
    init(
        allowsLocal: Bool,
        lookUp: LookUp? = nil,
        timeoutMilliseconds: Int64 = GuardedFetch.timeoutMilliseconds
    ) {
        policy = ListURLPolicy(allowsLocal: allowsLocal)
        pin = HostPin(lookUp: lookUp)
        self.timeoutMilliseconds = timeoutMilliseconds
    }

    func get(_ url: String, headers: HTTPHeaders, maximumBytes: Int) async throws -> Answer {
        if let refusal = policy.refusal(url) { throw FetchError(description: "\(url) is not fetched: \(refusal)") }
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout = .init(connect: .seconds(3), read: .seconds(5))
        configuration.decompression = .disabled
        let pinned = configuration
        return try await TimeLimit.within(milliseconds: timeoutMilliseconds) { deadline in
            var configuration = pinned
            configuration.dnsOverride = try await checkedAddress(url)
            let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
            do {
                let answer = try await Self.get(url, headers, client, deadline, maximumBytes)
                try await client.shutdown()
                return answer
            } catch {
                try? await client.shutdown()
                throw error
            }
        }
    }

    /// The address of the URL's host, by the host; none where the URL names an address itself, which the policy has seen.
    private func checkedAddress(_ url: String) async throws -> [String: String] {
        guard let (host, port) = ListURLPolicy.place(of: url) else {
            throw FetchError(description: "\(url) names no host and port")
        }
        do {
            return try await pin.override(host, port: port) { policy.allowsAddress($0) }
        } catch HostPin.Failure.noAddress {
            throw FetchError(description: "\(host) has no address")
        } catch HostPin.Failure.forbidden {
            throw FetchError(description: "\(host) leads to a private address")
        }
    }

    private static func get(
        _ url: String,
        _ headers: HTTPHeaders,
        _ client: HTTPClient,
        _ deadline: NIODeadline,
        _ maximumBytes: Int
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: url)
        request.headers = headers
        request.headers.add(name: "User-Agent", value: "mintmark")
        let response = try await client.execute(request, deadline: deadline)
        let etag = response.headers.first(name: "ETag").flatMap { $0.utf8.count <= 256 ? $0 : nil }
        guard response.status == .ok else { return Answer(status: response.status.code, etag: etag, body: []) }
        if let length = response.headers.first(name: "Content-Length").flatMap({ Int($0) }), length > maximumBytes {
            throw FetchError(description: "\(url) has \(length) bytes, the most are \(maximumBytes)")
        }
        let body = try await response.body.collect(upTo: maximumBytes)
        return Answer(status: response.status.code, etag: etag, body: Array(body.readableBytesView))
    }
}
