package import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1

/// One bounded exchange over HTTP, for what asks no more of it than a status and a short body.
package struct HTTPExchange: Sendable {
    private let http: HTTPClient
    private let timeoutMilliseconds: Int64

    /// - Parameter timeoutMilliseconds: from the beginning to the body's last byte.
    package init(_ http: HTTPClient, timeoutMilliseconds: Int64 = 10_000) {
        self.http = http
        self.timeoutMilliseconds = timeoutMilliseconds
    }

    /// Sends a GET, or a POST where there is a body.
    ///
    /// - Parameter limit: the longest answer, in bytes.
    /// - Throws: what the client throws; `NIOTooManyBytesError` where the answer is longer.
    package func send(_ url: String, post body: [UInt8]? = nil, limit: Int) async throws -> (status: Int, body: [UInt8])
    {
        try await TimeLimit.within(milliseconds: timeoutMilliseconds) { [http] deadline in
            var request = HTTPClientRequest(url: url)
            request.headers.add(name: "Cache-Control", value: "no-cache")
            if let body {
                request.method = .POST
                request.body = .bytes(body)
            }
            let answer = try await http.execute(request, deadline: deadline)
            return (Int(answer.status.code), [UInt8](buffer: try await answer.body.collect(upTo: limit)))
        }
    }
}
