import Encodings
import Lightning
import Testing

@testable import LightningBackends

/// The same rules for every adapter. Against the real LNbits they are checked in `Tests/Interop/lnbits.py`.
@Suite("LightningBackend: conformance of the adapters to real nodes, over stand-ins")
struct NodeConformanceTests {
    @Test("all rules", arguments: StandInProgram.allCases)
    func all(program: StandInProgram) async throws {
        let world = try StandInWorld(program)
        let (payer, payee) = (try await world.node(program, "payer"), try await world.node(program, "payee"))
        var suite = LightningConformance(
            payer: payer.backend,
            payee: payee.backend,
            clock: world.clock.wall,
            advance: { world.clock.advance(milliseconds: $0 * 1000) }
        )
        if program.step > 1 { suite.maximumFeeMsat = 20_000_000 }
        suite.tellsSettled = true
        try await suite.run()
        #expect(try await world.network.network.audit() == [])
        try await payer.server.close()
        try await payee.server.close()
    }
}
