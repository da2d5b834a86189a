import CanonicalJSON
import Cryptography
import Encodings
import Lightning
import Testing

@testable import LightningBackends

@Suite("LightningBackend: parts of an invoice (BOLT 4, NUT-15)")
struct PartialPaymentTests {
    /// An invoice of a payee whom both payers reach.
    private func payee(_ world: StandInWorld, waitSeconds: Double = 60) throws -> StandInParts {
        let preimage = SecureRandom.bytes(32)
        let invoice = try BOLT11Invoice.sign(
            InvoiceContents(
                currency: .regtest,
                amountMsat: 1_000_001,
                timestamp: Timestamp(secondsSince1970: world.clock.now.secondsSince1970),
                paymentHash: Hashing.sha256(preimage),
                paymentSecret: SecureRandom.bytes(32),
                purpose: .text("a large one"),
                routeHints: [
                    [
                        RouteHop(
                            nodeID: Secp256k1.Point(multiplyingGeneratorBy: .random()).compressed,
                            shortChannelID: 0x0102_0304_0506_0708,
                            feeBaseMsat: 1,
                            feeProportionalMillionths: 2,
                            cltvExpiryDelta: 3
                        )
                    ]
                ]
            ),
            key: .random()
        )
        return StandInParts(invoice: invoice, preimage: preimage, waitSeconds: waitSeconds)
    }

    @Test("LND and Core Lightning each pay a part, and both settle")
    func bothPay() async throws {
        let world = try StandInWorld(.lnd)
        let parts = try payee(world)
        let lnd = try await world.node(.lnd, "lnd", parts: parts)
        let cln = try await world.node(.coreLightning, "cln", parts: parts)
        async let first = lnd.backend.payPart(of: parts.invoice, amountMsat: 400_001, maximumFeeMsat: 10)
        async let second = cln.backend.payPart(of: parts.invoice, amountMsat: 600_000, maximumFeeMsat: 10)
        for outcome in [try await first, try await second] {
            guard case .settled(let preimage, let fee) = outcome else {
                Issue.record("a part is \(outcome)")
                continue
            }
            #expect(parts.invoice.isPaid(by: preimage))
            #expect(fee <= 10)
        }
        #expect(parts.arrivedMsat == 1_000_001)
        let route = try #require(lnd.server.requests("POST /v1/graph/routes/").first?.json)
        #expect(route["amt_msat"] == "400001")
        #expect(route["route_hints"]?[0]?["hop_hints"]?[0]?["chan_id"] == "72623859790382856")
        // Again: the same outcome, and nothing is sent.
        let again = try await lnd.backend.payPart(of: parts.invoice, amountMsat: 400_001, maximumFeeMsat: 10)
        #expect(again == (try await first))
        #expect(lnd.server.requests("POST /v2/router/route/send").count == 1)
    }

    @Test(
        "A part whose others do not come fails, and may be tried again",
        arguments: [StandInProgram.lnd, .coreLightning]
    )
    func alone(program: StandInProgram) async throws {
        let world = try StandInWorld(program)
        let parts = try payee(world, waitSeconds: 0.2)
        let node = try await world.node(program, "payer", parts: parts)
        for _ in 0..<2 {
            guard
                case .failed = try await node.backend.payPart(
                    of: parts.invoice,
                    amountMsat: 400_000,
                    maximumFeeMsat: 10
                )
            else {
                Issue.record("the part did not fail")
                return
            }
        }
        #expect(parts.arrivedMsat == 0)
    }

    @Test(
        "A part whose answer is lost is pending until the node says how it ended",
        arguments: [StandInProgram.lnd, .coreLightning]
    )
    func lost(program: StandInProgram) async throws {
        let world = try StandInWorld(program)
        let parts = try payee(world)
        let node = try await world.node(program, "payer", parts: parts)
        let other = try await world.node(program, "other", parts: parts)
        let hasty = try world.backend(program, node.server.url, paymentTimeoutMilliseconds: 3000)
        #expect(
            try await hasty.payPart(of: parts.invoice, amountMsat: 400_001, maximumFeeMsat: 10) == .pending
        )
        #expect(try await hasty.paymentStatus(paymentHash: parts.invoice.paymentHash) == .pending)
        guard
            case .settled = try await other.backend.payPart(
                of: parts.invoice,
                amountMsat: 600_000,
                maximumFeeMsat: 10
            )
        else {
            Issue.record("the other part did not settle")
            return
        }
        for _ in 0..<100 {
            if case .settled? = try await hasty.paymentStatus(paymentHash: parts.invoice.paymentHash) { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("the part did not settle")
    }

    @Test("No route within the fee limit: nothing is sent")
    func feeLimit() async throws {
        let world = try StandInWorld(.lnd)
        let parts = try payee(world)
        let node = try await world.node(.lnd, "payer", parts: parts)
        guard
            case .failed(let failure) = try await node.backend.payPart(
                of: parts.invoice,
                amountMsat: 400_000,
                maximumFeeMsat: 2
            )
        else {
            Issue.record("it was paid")
            return
        }
        #expect(failure.code == .noRoute)
        #expect(node.server.requests("POST /v2/router/route/send").isEmpty)
    }
}
