import AsyncHTTPClient
import Encodings
import Lightning
import Logging
import Testing

@testable import LightningBackends

@Suite("LightningBackend: conformance of the adapters")
struct SimulatedConformanceTests {
    private func terms(feePartsPerMillion: UInt64) -> SimulatedNetwork.Terms {
        var terms = SimulatedNetwork.Terms()
        terms.faucetMsat = LightningConformance.startingBalanceMsat
        terms.feePartsPerMillion = feePartsPerMillion
        return terms
    }

    @Test("in one process", arguments: [0, 150] as [UInt64])
    func embedded(feePartsPerMillion: UInt64) async throws {
        let test = try SimulatedTestNetwork(terms: terms(feePartsPerMillion: feePartsPerMillion))
        let suite = LightningConformance(
            payer: test.backend(try await test.account("payer")),
            payee: test.backend(try await test.account("payee")),
            clock: test.clock.wall,
            advance: { test.clock.advance(milliseconds: $0 * 1000) }
        )
        try await suite.run()
        #expect(try await test.network.audit() == [])
    }

    @Test("over HTTP")
    func http() async throws {
        let test = try SimulatedTestNetwork(terms: terms(feePartsPerMillion: 100))
        try await withServer(test.network) { url in
            let nodes = try ["payer", "payee"].map { name in
                (name, try httpBackend(url, SimulatedNetwork.newToken(), test.clock))
            }
            for (name, node) in nodes {
                try await node.openAccount(name: name)
                try await node.openAccount(name: name)
            }
            let suite = LightningConformance(
                payer: nodes[0].1,
                payee: nodes[1].1,
                clock: test.clock.wall,
                advance: { test.clock.advance(milliseconds: $0 * 1000) }
            )
            try await suite.run()
        }
        #expect(try await test.network.audit() == [])
    }
}

/// Kept for the whole run, as a node keeps its own.
private let client = HTTPClient(configuration: SimulatedBackend.httpConfiguration)

func httpBackend(
    _ url: String,
    _ token: String,
    _ clock: TestClock,
    timeoutMilliseconds: Int64 = 15_000
) throws -> SimulatedBackend {
    try SimulatedBackend(
        url: url,
        token: token,
        httpClient: client,
        clock: clock.wall,
        logger: Logger(label: "test"),
        timeoutMilliseconds: timeoutMilliseconds
    )
}
