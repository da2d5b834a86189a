import Foundation
import Gateway
import HTTPTypes
import Hummingbird
import NIOCore
import Paywall
import Synchronization
import Testing

/// An upstream that answers what its query asks for: `n` bytes, `x` reported in a field (each time it is named), `t` in a
/// trailer, cut off after `die` bytes, after `ms` milliseconds.
final class MeteredUpstream: Sendable {
    let calls = Mutex(0)

    var count: Int { calls.withLock { $0 } }

    func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        router.add(middleware: Answering(upstream: self))
        return router
    }

    struct Answering: RouterMiddleware {
        let upstream: MeteredUpstream

        func handle(
            _ request: Request,
            context: BasicRequestContext,
            next: (Request, BasicRequestContext) async throws -> Response
        ) async throws -> Response {
            upstream.calls.withLock { $0 += 1 }
            let query = request.uri.queryParameters
            func number(_ name: String) -> Int? { query.get(name).flatMap { Int($0) } }
            if request.uri.path == "/fail" { return Response(status: .internalServerError) }
            if let wait = number("ms") { try await Task.sleep(for: .milliseconds(wait)) }
            _ = try await request.body.collect(upTo: 1 << 24)
            var headers = HTTPFields()
            let name = try #require(HTTPField.Name("X-Tokens"))
            for value in query.getAll("x") { headers.append(HTTPField(name: name, value: value)) }
            let length = number("n") ?? 10
            let cut = number("die")
            let trailer = query.get("t")
            if let trailer {
                headers[.trailer] = "X-Tokens"
                return Response(
                    status: .ok,
                    headers: headers,
                    body: ResponseBody { writer in
                        try await writer.write(ByteBuffer(repeating: 0x61, count: length))
                        try await writer.finish([name: trailer])
                    }
                )
            }
            return Response(
                status: .ok,
                headers: headers,
                body: ResponseBody(contentLength: length) { writer in
                    var left = cut ?? length
                    while left > 0 {
                        let piece = min(left, 10_000)
                        try await writer.write(ByteBuffer(repeating: 0x61, count: piece))
                        left -= piece
                    }
                    if cut != nil {
                        // So that what was written has left before the connection is cut.
                        try await Task.sleep(for: .milliseconds(1000))
                        throw CancellationError()
                    }
                    try await writer.finish(nil)
                }
            )
        }
    }
}

/// A seller of metered calls: 1 sat per 1000 bytes of the answer and 2 for each token reported, 1 sat fixed, at most 63; under
/// `/day` free calls and tiers.
func withMeteredSeller(
    sellsOverLightning: Bool = false,
    feePPK: UInt64 = 0,
    service change: @escaping @Sendable (inout ServiceDefinition) throws -> Void = { _ in },
    _ body: @escaping @Sendable (TestNode, MeteredUpstream, HTTPClientBox, Int) async throws -> Void
) async throws {
    let node = try TestNode(feePPK: feePPK, sellsOverLightning: sellsOverLightning)
    let upstream = MeteredUpstream()
    try await node.start()
    do {
        try await withServer(upstream.router()) { upstreamPort in
            var service = try meteredService(port: upstreamPort)
            try change(&service)
            try await node.gateway.add(service, replaces: true)
            try await withServer(try node.router()) { port in
                try await withClient { client in try await body(node, upstream, HTTPClientBox(client), port) }
            }
        }
    } catch {
        try await node.stop()
        throw error
    }
    #expect(try await node.requireConservation() == [])
    try await node.stop()
}

func meteredService(port: Int) throws -> ServiceDefinition {
    try ServiceDefinition(
        name: "weather",
        upstream: UpstreamAddress("http://127.0.0.1:\(port)"),
        prices: PriceList([
            PriceRule(
                pathPattern: "/*",
                price: Price(amount: 1),
                metering: PriceMetering(
                    meters: [
                        PriceMeter(.responseBytes, per: 1000, tiers: [.init(amount: 1)]),
                        PriceMeter(.reported("x-tokens"), tiers: [.init(amount: 2)]),
                    ],
                    maximum: 63
                )
            ),
            PriceRule(
                pathPattern: "/seconds",
                price: Price(amount: 0),
                metering: PriceMetering(meters: [PriceMeter(.seconds, tiers: [.init(amount: 3)])], maximum: 31)
            ),
            PriceRule(
                pathPattern: "/upload",
                price: Price(amount: 0),
                metering: PriceMetering(
                    meters: [PriceMeter(.requestBytes, per: 100, tiers: [.init(amount: 1)])],
                    maximum: 15
                )
            ),
            PriceRule(pathPattern: "/fixed", price: Price(amount: 2)),
        ]),
        timeouts: CallTimeouts(connectSeconds: 2, idleSeconds: 10, totalSeconds: 20)
    )
}
