internal import AsyncHTTPClient
internal import Budgets
internal import NIOCore
internal import NIOHTTP1

/// Reaches other nodes' accounts over HTTP: https, or http on this machine and on hosts that the operator named.
struct HTTPAccountingLine: AccountingLine {
    let client: HTTPClient
    let plainHTTPHosts: Set<String>

    func post(_ url: String, _ body: [UInt8], limit: Int) async throws -> (status: Int, body: [UInt8]) {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: body))
        return try await answer(request, seconds: 10, limit: limit)
    }

    func get(_ url: String, limit: Int) async throws -> (status: Int, body: [UInt8]) {
        try await answer(HTTPClientRequest(url: url), seconds: 5, limit: limit)
    }

    private func answer(_ request: HTTPClientRequest, seconds: Int64, limit: Int) async throws -> (
        status: Int, body: [UInt8]
    ) {
        guard request.url.hasPrefix("https://") || isPlainAllowed(request.url) else {
            throw BudgetError(.unreachable, "another node is reached over https")
        }
        var request = request
        request.headers.add(name: "User-Agent", value: "mintmark")
        let response = try await client.execute(request, timeout: .seconds(seconds))
        let answer = try await response.body.collect(upTo: limit)
        return (Int(response.status.code), Array(answer.readableBytesView))
    }

    private func isPlainAllowed(_ url: String) -> Bool {
        guard url.hasPrefix("http://") else { return false }
        let authority = url.dropFirst(7).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard !authority.contains("@") else { return false }
        let host = authority.hasPrefix("[") ? authority.prefix { $0 != "]" } + "]" : authority.prefix { $0 != ":" }
        return ["127.0.0.1", "localhost", "[::1]"].contains(String(host)) || plainHTTPHosts.contains(String(host))
    }
}
