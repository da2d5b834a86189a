import Encodings
import Foundation
import Lightning
import Storage
import TestSupport
import Testing

@testable import LightningBackends

@Suite("Simulated network: accounts, invoices, bounds")
struct SimulatedAccountTests {
    @Test("[SIM-1] a token opens one account, fills it once, and alone gives access")
    func tokens() async throws {
        let test = try SimulatedTestNetwork()
        let token = SimulatedNetwork.newToken()
        let first = try await test.network.openAccount(token: token, name: "planner")
        #expect(first.name == "TEST MONEY planner")
        #expect(first.nodeID.count == 33)
        try await test.crash()
        let again = try await test.network.openAccount(token: token, name: "another name")
        #expect(again == first)
        #expect(try await test.network.balanceMsat(of: again) == 1_000_000_000)
        #expect(try await test.network.account(token: token) == first)
        for wrong in [SimulatedNetwork.newToken(), "", token + "x", String(token.dropLast()), "a b", "é"] {
            let error = await #expect(throws: LightningError.self) { try await test.network.account(token: wrong) }
            #expect(error?.code == .unauthorized)
        }
        #expect(try await test.network.audit() == [])
    }

    @Test("[SIM-1] tokens are not in the database's files")
    func quietTokens() async throws {
        let test = try SimulatedTestNetwork()
        let token = try await test.account("quiet")
        for file in try FileManager.default.contentsOfDirectory(atPath: test.folder.path) {
            let bytes = try Data(contentsOf: URL(filePath: test.folder.path).appending(path: file))
            #expect(bytes.firstRange(of: Data(token.utf8)) == nil)
        }
    }

    @Test("names are short and printable", arguments: ["", "a\nb", "\u{1B}[2J", String(repeating: "x", count: 65)])
    func names(name: String) async throws {
        let test = try SimulatedTestNetwork()
        let error = await #expect(throws: LightningError.self) {
            try await test.network.openAccount(token: SimulatedNetwork.newToken(), name: name)
        }
        #expect(error?.code == .invalidRequest)
    }

    @Test("[SIM-11] the network has a number of accounts and no more")
    func accountLimit() async throws {
        var terms = SimulatedNetwork.Terms()
        terms.maximumAccounts = 2
        terms.faucetMsat = 0
        let test = try SimulatedTestNetwork(terms: terms)
        let token = try await test.account("one")
        _ = try await test.account("two")
        let error = await #expect(throws: LightningError.self) { try await test.account("three") }
        #expect(error?.code == .limitReached)
        _ = try await test.network.openAccount(token: token, name: "one")
        #expect(try await test.backend(token).balanceMsat() == 0)
    }

    @Test("[SIM-11] unpaid invoices have a limit; paid and forgotten ones make room")
    func invoiceLimit() async throws {
        var terms = SimulatedNetwork.Terms()
        terms.maximumUnpaidInvoices = 3
        let test = try SimulatedTestNetwork(terms: terms)
        let (payer, payee) = (try await test.account("payer"), try await test.account("payee"))
        func make() async throws -> BOLT11Invoice {
            try await test.backend(payee).createInvoice(amountMsat: 10, description: "", expirySeconds: 60)
        }
        let first = try await make()
        let second = try await make()
        _ = try await make()
        let error = await #expect(throws: LightningError.self) { try await make() }
        #expect(error?.code == .limitReached)

        _ = try await test.backend(payer).pay(invoice: first, maximumFeeMsat: 0)
        _ = try await make()
        let full = await #expect(throws: LightningError.self) { try await make() }
        #expect(full?.code == .limitReached)

        // Expired for a day and a minute: forgotten when the next one is made; the paid one never.
        test.clock.advance(milliseconds: (86_400 + 61) * 1000)
        for _ in 0..<3 { _ = try await make() }
        let gone = await #expect(throws: LightningError.self) {
            try await test.backend(payee).invoiceStatus(paymentHash: second.paymentHash)
        }
        #expect(gone?.code == .invoiceNotFound)
        guard case .paid = try await test.backend(payee).invoiceStatus(paymentHash: first.paymentHash) else {
            Issue.record("a paid invoice was forgotten")
            return
        }
        let stillFull = await #expect(throws: LightningError.self) { try await make() }
        #expect(stillFull?.code == .limitReached)
    }

    @Test("[SIM-11] failed payments are remembered up to a limit, and forgetting one never lets it pay for nothing")
    func failedLimit() async throws {
        var terms = SimulatedNetwork.Terms()
        terms.maximumFailedPayments = 2
        let test = try SimulatedTestNetwork(terms: terms)
        let (payer, payee) = (try await test.account("payer"), try await test.account("payee"))
        let account = try await test.network.account(token: payer)
        var invoices: [BOLT11Invoice] = []
        for _ in 0..<4 {
            let invoice = try await test.backend(payee).createInvoice(
                amountMsat: 10,
                description: "",
                expirySeconds: 600
            )
            invoices.append(invoice)
            // Money moves and comes back, so that the attempt stands in the ledger.
            try await test.network.setFault(.hang, for: account)
            #expect(try await test.backend(payer).pay(invoice: invoice, maximumFeeMsat: 0) == .pending)
            _ = try await test.network.resolve(paymentHash: invoice.paymentHash, of: account, settles: false)
            try await test.network.setFault(.fail, for: account)
            _ = try await test.backend(payer).pay(invoice: invoice, maximumFeeMsat: 0)
            test.clock.advance(milliseconds: 1)
        }
        #expect(try await test.backend(payer).paymentStatus(paymentHash: invoices[0].paymentHash) == nil)
        #expect(try await test.backend(payer).paymentStatus(paymentHash: invoices[3].paymentHash) != nil)
        try await test.network.setFault(.none, for: account)
        for (index, invoice) in invoices.enumerated() {
            guard case .settled = try await test.backend(payer).pay(invoice: invoice, maximumFeeMsat: 0) else {
                Issue.record("a forgotten payment cannot be made")
                return
            }
            #expect(try await test.backend(payer).balanceMsat() == 1_000_000_000 - UInt64(index + 1) * 10)
            #expect(try await test.backend(payee).balanceMsat() == 1_000_000_000 + UInt64(index + 1) * 10)
        }
        #expect(try await test.network.audit() == [])
    }

    @Test("[SIM-11] a full ledger takes no more payments, and says so")
    func ledgerLimit() async throws {
        var terms = SimulatedNetwork.Terms()
        terms.maximumTransfers = 2
        let test = try SimulatedTestNetwork(terms: terms)
        let (payer, payee) = (try await test.account("payer"), try await test.account("payee"))
        let invoice = try await test.backend(payee).createInvoice(amountMsat: 1, description: "", expirySeconds: 60)
        let error = await #expect(throws: LightningError.self) {
            try await test.backend(payer).pay(invoice: invoice, maximumFeeMsat: 0)
        }
        #expect(error?.code == .limitReached)
        #expect(try await test.backend(payer).paymentStatus(paymentHash: invoice.paymentHash) == nil)
    }

    @Test(
        "fees are base and parts per million, rounded up",
        arguments: [
            (0, 0, 1_000_000, 0), (5, 0, 1, 5), (0, 1_000, 1_000, 1), (0, 1_000, 1_001, 2), (0, 1, 1, 1),
            (1, 1_000_000, 2_100_000_000_000_000_000, 2_100_000_000_000_000_001),
            (0, 9_999_999, 3, 3),
        ] as [(UInt64, UInt64, UInt64, UInt64)]
    )
    func fees(base: UInt64, parts: UInt64, amount: UInt64, fee: UInt64) throws {
        var terms = SimulatedNetwork.Terms()
        terms.feeBaseMsat = base
        terms.feePartsPerMillion = parts
        #expect(try SimulatedNetwork.fee(for: amount, terms: terms) == fee)
    }

    @Test("[SIM-10] random payments among many accounts, with faults and crashes, conserve every msat")
    func conservation() async throws {
        var random = SeededRandom(seed: 402)
        var terms = SimulatedNetwork.Terms()
        terms.faucetMsat = 10_000
        terms.feeBaseMsat = 1
        terms.feePartsPerMillion = 10_000
        let test = try SimulatedTestNetwork(terms: terms)
        var tokens: [String] = []
        for index in 0..<5 { tokens.append(try await test.account("agent \(index)")) }
        let faults: [SimulatedFault] = [
            .none, .none, .none, .fail, .hang, .delay(milliseconds: 500), .settleAfterFailure(milliseconds: 300),
        ]
        var pending: [(token: String, hash: [UInt8])] = []
        for round in 0..<150 {
            let payer = tokens[Int.random(in: 0..<5, using: &random)]
            let payee = tokens[Int.random(in: 0..<5, using: &random)]
            let account = try await test.network.account(token: payer)
            try await test.network.setFault(faults.randomElement(using: &random) ?? .none, for: account)
            let invoice = try await test.backend(payee).createInvoice(
                amountMsat: UInt64.random(in: 1...4_000, using: &random),
                description: "round \(round)",
                expirySeconds: 2
            )
            for _ in 0..<Int.random(in: 1...2, using: &random) {
                if try await test.backend(payer).pay(invoice: invoice, maximumFeeMsat: 40) == .pending {
                    pending.append((payer, invoice.paymentHash))
                }
            }
            test.clock.advance(milliseconds: Int64.random(in: 0...700, using: &random))
            if round % 25 == 24 { try await test.crash() }
            if let last = pending.last, Bool.random(using: &random) {
                let owner = try await test.network.account(token: last.token)
                let settles = Bool.random(using: &random)
                _ = try await test.network.resolve(paymentHash: last.hash, of: owner, settles: settles)
                pending.removeLast()
            }
        }
        for (token, hash) in pending {
            let owner = try await test.network.account(token: token)
            _ = try await test.network.resolve(paymentHash: hash, of: owner, settles: false)
        }
        #expect(try await test.network.audit() == [])
        var total: UInt64 = 0
        for token in tokens { total += try await test.backend(token).balanceMsat() }
        #expect(total <= 50_000 && total > 0)
        // What is missing is fees, to the msat.
        let fees = try await test.network.feesMsat()
        #expect(fees > 0 && total + fees == 50_000)
    }
}
