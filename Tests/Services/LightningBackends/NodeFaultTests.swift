import CanonicalJSON
import Encodings
import Lightning
import Synchronization
import Testing

@testable import LightningBackends

/// What goes wrong between an adapter and its node, and what must hold all the same: what is not known is pending, one
/// payment is sent once, and nothing is called settled or failed on anybody's word but the node's record.
@Suite("LightningBackend: faults between the adapters and their nodes")
struct NodeFaultTests {
    private static let fee: UInt64 = 20_000

    private struct Pair {
        var world: StandInWorld
        var payer: StandInNode
        var payee: StandInNode
        /// An adapter to the payer's node that waits little for a payment.
        var hasty: any LightningBackend

        func invoice(_ amount: UInt64 = 50, expirySeconds: UInt32 = 600) async throws -> BOLT11Invoice {
            try await payee.backend.createInvoice(
                amountMsat: amount * payer.program.step,
                description: "tea",
                expirySeconds: expirySeconds
            )
        }

        func close() async throws {
            try await payer.server.close()
            try await payee.server.close()
        }
    }

    private func pair(_ program: StandInProgram) async throws -> Pair {
        let world = try StandInWorld(program)
        let payer = try await world.node(program, "payer")
        return Pair(
            world: world,
            payer: payer,
            payee: try await world.node(program, "payee"),
            hasty: try world.backend(
                program,
                payer.server.url,
                timeoutMilliseconds: 30_000,
                paymentTimeoutMilliseconds: 400
            )
        )
    }

    private func isSettled(_ outcome: PaymentOutcome?) -> Bool {
        if case .settled? = outcome { true } else { false }
    }

    /// Asks until the payment is no longer pending.
    private func end(_ invoice: BOLT11Invoice, _ backend: any LightningBackend) async throws -> PaymentOutcome? {
        for _ in 0..<200 {
            let outcome = try await backend.paymentStatus(paymentHash: invoice.paymentHash)
            if outcome != .pending { return outcome }
            try await Task.sleep(for: .milliseconds(20))
        }
        return .pending
    }

    private func fault(_ pair: Pair, _ fault: SimulatedFault) async throws {
        let network = pair.world.network.network
        try await network.setFault(fault, for: try await network.account(token: pair.payer.token))
    }

    @Test(
        "A payment whose answer never comes, comes late or is cut is pending, then settled; it is sent once",
        arguments: StandInProgram.allCases
    )
    func lostAnswers(program: StandInProgram) async throws {
        let pair = try await pair(program)
        let before = try await pair.payer.backend.balanceMsat()
        let faults: [StandInFault] = [.silence, .late(milliseconds: 900), .cut, .cutHalfway]
        for fault in faults {
            let invoice = try await pair.invoice()
            let sent = pair.payer.server.requests(program.paying).count
            pair.payer.server.fail(program.paying, fault)
            let outcome = try await pair.hasty.pay(invoice: invoice, maximumFeeMsat: Self.fee)
            // The node's record may say at once that it settled; nothing else is allowed.
            #expect(outcome == .pending || isSettled(outcome))
            #expect(isSettled(try await end(invoice, pair.hasty)))
            #expect(isSettled(try await pair.hasty.pay(invoice: invoice, maximumFeeMsat: Self.fee)))
            #expect(pair.payer.server.requests(program.paying).count == sent + 1)
        }
        let after = try await pair.payer.backend.balanceMsat()
        let each = 50 * program.step
        #expect(before - after >= 4 * each && before - after < 4 * each + 4 * Self.fee)
        #expect(try await pair.world.network.network.audit() == [])
        try await pair.close()
    }

    @Test(
        "A payment under way is pending for everybody who asks, and is not sent again",
        arguments: StandInProgram.allCases
    )
    func underWay(program: StandInProgram) async throws {
        let pair = try await pair(program)
        try await fault(pair, .hang)
        let invoice = try await pair.invoice()
        #expect(try await pair.hasty.pay(invoice: invoice, maximumFeeMsat: Self.fee) == .pending)
        // As after a restart: nothing is remembered here.
        let again = try pair.world.backend(program, pair.payer.server.url, paymentTimeoutMilliseconds: 400)
        #expect(try await again.paymentStatus(paymentHash: invoice.paymentHash) == .pending)
        #expect(try await again.pay(invoice: invoice, maximumFeeMsat: Self.fee) == .pending)
        #expect(pair.payer.server.requests(program.paying).count == 1)
        let account = try await pair.world.network.network.account(token: pair.payer.token)
        _ = try await pair.world.network.network.resolve(
            paymentHash: invoice.paymentHash,
            of: account,
            settles: program != .lnd
        )
        let outcome = try await again.paymentStatus(paymentHash: invoice.paymentHash)
        if program == .lnd {
            guard case .failed? = outcome else {
                Issue.record("the payment is \(String(describing: outcome)), not failed")
                return
            }
        } else {
            #expect(isSettled(outcome))
        }
        try await pair.close()
    }

    @Test("A server's error in front of the node starts nothing and ends nothing", arguments: StandInProgram.allCases)
    func serverErrors(program: StandInProgram) async throws {
        let pair = try await pair(program)
        let invoice = try await pair.invoice()
        let before = try await pair.payer.backend.balanceMsat()
        for (status, text) in [(502, "<html>Bad Gateway</html>"), (500, ""), (200, "not json")] as [(UInt, String)] {
            pair.payer.server.fail(program.paying, .instead(status, text))
            let outcome = try await pair.payer.backend.pay(invoice: invoice, maximumFeeMsat: Self.fee)
            #expect(outcome == .pending)
            #expect(try await pair.payer.backend.paymentStatus(paymentHash: invoice.paymentHash) == nil)
        }
        #expect(try await pair.payer.backend.balanceMsat() == before)
        #expect(isSettled(try await pair.payer.backend.pay(invoice: invoice, maximumFeeMsat: Self.fee)))
        try await pair.close()
    }

    @Test("A refusal whose record cannot be read is pending", arguments: StandInProgram.allCases)
    func refusalWithoutRecord(program: StandInProgram) async throws {
        let pair = try await pair(program)
        let all = try await pair.payer.backend.balanceMsat()
        // More than the payer has.
        let invoice = try await pair.payee.backend.createInvoice(
            amountMsat: all + 1000,
            description: "too much",
            expirySeconds: 600
        )
        // The questions before paying are answered (LNbits' are two); those after it are not.
        let tracking = program == .lnbits ? program.tracking + Hex.encode(invoice.paymentHash) : program.tracking
        pair.payer.server.fail(tracking, .late(milliseconds: 0), times: program == .lnbits ? 2 : 1)
        pair.payer.server.fail(tracking, .instead(503, "overloaded"), times: 50)
        let fee = all
        #expect(try await pair.payer.backend.pay(invoice: invoice, maximumFeeMsat: fee) == .pending)
        pair.payer.server.heal()
        guard case .failed = try await pair.payer.backend.pay(invoice: invoice, maximumFeeMsat: fee) else {
            Issue.record("the payment did not fail")
            return
        }
        try await pair.close()
    }

    @Test("A preimage that proves nothing settles nothing", arguments: StandInProgram.allCases)
    func lyingPreimage(program: StandInProgram) async throws {
        let pair = try await pair(program)
        let invoice = try await pair.invoice()
        #expect(isSettled(try await pair.payer.backend.pay(invoice: invoice, maximumFeeMsat: Self.fee)))
        pair.payer.server.fail(program.tracking, .lie { Self.forged($0) }, times: 10)
        let error = await #expect(throws: LightningError.self) {
            try await pair.payer.backend.paymentStatus(paymentHash: invoice.paymentHash)
        }
        #expect(error?.code == .invalidAnswer)
        pair.payer.server.heal()

        let other = try await pair.invoice()
        pair.payer.server.fail(program.tracking, .late(milliseconds: 0))
        pair.payer.server.fail(program.tracking, .lie { Self.forged($0) }, times: 10)
        #expect(try await pair.payer.backend.pay(invoice: other, maximumFeeMsat: Self.fee) == .pending)
        pair.payer.server.heal()
        #expect(isSettled(try await end(other, pair.payer.backend)))
        try await pair.close()
    }

    /// The same with every preimage of the wrong bytes.
    private static func forged(_ value: JSONValue) -> JSONValue {
        switch value {
        case .object(let object):
            var forged = JSONObject()
            for (name, member) in object {
                let isPreimage = name == "preimage" || name == "payment_preimage"
                forged[name] = isPreimage ? .string(String(repeating: "ab", count: 32)) : self.forged(member)
            }
            return .object(forged)
        case .array(let items): return .array(items.map(forged))
        default: return value
        }
    }

    @Test(
        "A node that is not there is unreachable; one that is back goes on; a read is asked again",
        arguments: StandInProgram.allCases
    )
    func comingAndGoing(program: StandInProgram) async throws {
        let pair = try await pair(program)
        let invoice = try await pair.invoice()
        _ = try await pair.hasty.nodeID()
        try await pair.payer.server.close()
        let error = await #expect(throws: LightningError.self) {
            try await pair.hasty.pay(invoice: invoice, maximumFeeMsat: Self.fee)
        }
        #expect(error?.code == .unreachable)
        #expect(error?.message.contains(pair.payer.server.url) == true)
        try await pair.payer.server.open()
        pair.payer.server.fail(program.tracking, .cut)
        #expect(try await pair.hasty.paymentStatus(paymentHash: invoice.paymentHash) == nil)
        #expect(isSettled(try await pair.payer.backend.pay(invoice: invoice, maximumFeeMsat: Self.fee)))
        try await pair.close()
    }

    @Test("A wrong secret is refused, named, and told to nobody", arguments: StandInProgram.allCases)
    func wrongSecret(program: StandInProgram) async throws {
        let pair = try await pair(program)
        let secret = "00112233445566778899aabbccddeeff"
        let stranger = try pair.world.backend(program, pair.payer.server.url, secret: secret)
        let invoice = try await pair.invoice()
        let refused: [LightningError?] = [
            await #expect(throws: LightningError.self) {
                try await stranger.pay(invoice: invoice, maximumFeeMsat: Self.fee)
            },
            await #expect(throws: LightningError.self) { try await stranger.balanceMsat() },
            await #expect(throws: LightningError.self) {
                try await stranger.createInvoice(amountMsat: 5000, description: "", expirySeconds: 60)
            },
            await #expect(throws: LightningError.self) {
                try await stranger.invoiceStatus(paymentHash: invoice.paymentHash)
            },
        ]
        for error in refused {
            #expect(error?.code == .unauthorized)
            #expect(error?.message.contains(secret) == false)
        }
        // LNbits makes invoices by the call that pays.
        #expect(pair.payer.server.requests(program.paying).isEmpty || program == .lnbits)
        try await pair.close()
    }

    @Test(
        "A node on another network than the configuration says is refused before money moves",
        arguments: StandInProgram.allCases
    )
    func networkMismatch(program: StandInProgram) async throws {
        let pair = try await pair(program)
        let mainnet = try pair.world.backend(program, pair.payer.server.url, network: .mainnet)
        let check = await #expect(throws: LightningError.self) { try await mainnet.checkNetwork() }
        #expect(check?.code == .networkMismatch)
        let create = await #expect(throws: LightningError.self) {
            try await mainnet.createInvoice(amountMsat: 1000, description: "", expirySeconds: 60)
        }
        #expect(create?.code == .networkMismatch)
        let invoice = try await pair.invoice()
        let pay = await #expect(throws: LightningError.self) {
            try await mainnet.pay(invoice: invoice, maximumFeeMsat: Self.fee)
        }
        #expect(pay?.code == .networkMismatch)
        try await pair.close()
    }

    @Test("The feed of settled invoices goes on after lost connections", arguments: StandInProgram.allCases)
    func feedReconnects(program: StandInProgram) async throws {
        let pair = try await pair(program)
        let heard = Mutex<Set<[UInt8]>>([])
        let ears = Task {
            for await hash in pair.payee.backend.settledInvoices() { heard.withLock { _ = $0.insert(hash) } }
        }
        defer { ears.cancel() }
        for round in 0..<3 {
            var isHeard = false
            for _ in 0..<30 where !isHeard {
                let invoice = try await pair.invoice(20)
                #expect(isSettled(try await pair.payer.backend.pay(invoice: invoice, maximumFeeMsat: Self.fee)))
                for _ in 0..<60 where !isHeard {
                    try await Task.sleep(for: .milliseconds(20))
                    isHeard = heard.withLock { $0.contains(invoice.paymentHash) }
                }
            }
            #expect(isHeard, "round \(round)")
            pair.payee.server.dropConnections()
        }
        try await pair.close()
    }
}
