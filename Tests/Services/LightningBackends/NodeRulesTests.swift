import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Lightning
import Logging
import Synchronization
import Testing

@testable import LightningBackends

/// What only one of the programs does, and what is asked of their addresses and secrets.
@Suite("LightningBackend: the ways of each node")
struct NodeRulesTests {
    private let fee: UInt64 = 1_000_000

    private func isSettled(_ outcome: PaymentOutcome?) -> Bool {
        if case .settled? = outcome { true } else { false }
    }

    @Test("The fee limit goes to the node in its own words")
    func feeLimits() async throws {
        for program in [StandInProgram.lnd, .coreLightning] {
            let world = try StandInWorld(program)
            let (payer, payee) = (try await world.node(program, "payer"), try await world.node(program, "payee"))
            let invoice = try await payee.backend.createInvoice(amountMsat: 5000, description: "", expirySeconds: 60)
            _ = try await payer.backend.pay(invoice: invoice, maximumFeeMsat: 1234)
            let body = try #require(payer.server.requests(program.paying).first?.json)
            if program == .lnd {
                #expect(body["fee_limit_msat"] == "1234")
                #expect(body["timeout_seconds"] == 30)
            } else {
                #expect(body["maxfee"] == 1234)
            }
        }
    }

    @Test(
        "A node that sets its own fee is not asked to pay where that could be more than the limit",
        arguments: [StandInProgram.lnbits, .phoenixd]
    )
    func ownFees(program: StandInProgram) async throws {
        let world = try StandInWorld(program)
        let (payer, payee) = (try await world.node(program, "payer"), try await world.node(program, "payee"))
        let invoice = try await payee.backend.createInvoice(amountMsat: 1_000_000, description: "", expirySeconds: 60)
        // phoenixd: 4 sat and 0.4 %; LNbits: 1 %.
        let least: UInt64 = program == .phoenixd ? 8_004 : 10_000
        let made = payer.server.requests(program.paying).count
        guard case .failed(let failure) = try await payer.backend.pay(invoice: invoice, maximumFeeMsat: least - 1)
        else {
            Issue.record("it paid")
            return
        }
        #expect(failure.code == .feeTooHigh)
        #expect(payer.server.requests(program.paying).count == made)
        #expect(isSettled(try await payer.backend.pay(invoice: invoice, maximumFeeMsat: least)))
    }

    @Test("LNbits before 1.6 calls a payment failed whose answer it lost: that is asked about, and settles")
    func oldLNbits() async throws {
        let world = try StandInWorld(.lnbits)
        let payer = try await world.node(.lnbits, "payer", isOldLNbits: true)
        let payee = try await world.node(.lnbits, "payee")
        let old = try #require(payer.lnbits)
        let account = try await world.network.network.account(token: payer.token)
        for settles in [true, false] {
            try await world.network.network.setFault(.hang, for: account)
            old.losesAnswers.withLock { $0 = true }
            let invoice = try await payee.backend.createInvoice(amountMsat: 50_000, description: "", expirySeconds: 60)
            #expect(try await payer.backend.pay(invoice: invoice, maximumFeeMsat: fee) == .pending)
            #expect(try await payer.backend.paymentStatus(paymentHash: invoice.paymentHash) == .pending)
            _ = try await world.network.network.resolve(
                paymentHash: invoice.paymentHash,
                of: account,
                settles: settles
            )
            let outcome = try await payer.backend.paymentStatus(paymentHash: invoice.paymentHash)
            if settles {
                #expect(isSettled(outcome))
            } else if case .failed? = outcome {
            } else {
                Issue.record("the payment is \(String(describing: outcome)), not failed")
            }
        }
    }

    @Test("Core Lightning's failed record counts only once no call can still be trying routes")
    func quietTime() async throws {
        let world = try StandInWorld(.coreLightning)
        let payer = try await world.node(.coreLightning, "payer")
        let hash = [UInt8](repeating: 7, count: 32)
        let now = world.clock.now.secondsSince1970
        payer.server.fail(
            "POST /v1/listpays",
            .lie { _ in
                [
                    "pays": [
                        ["payment_hash": .string(Hex.encode(hash)), "status": "failed", "created_at": .integer(now)]
                    ]
                ]
            },
            times: 2
        )
        #expect(try await payer.backend.paymentStatus(paymentHash: hash) == .pending)
        world.clock.advance(milliseconds: 121_000)
        guard case .failed? = try await payer.backend.paymentStatus(paymentHash: hash) else {
            Issue.record("it is not failed")
            return
        }
    }

    @Test("Core Lightning's feed begins after what was paid before, however much")
    func feedBegins() async throws {
        let world = try StandInWorld(.coreLightning)
        let (payer, payee) = (
            try await world.node(.coreLightning, "payer"), try await world.node(.coreLightning, "payee")
        )
        for _ in 0..<11 {
            let invoice = try await payee.backend.createInvoice(amountMsat: 10, description: "", expirySeconds: 60)
            #expect(isSettled(try await payer.backend.pay(invoice: invoice, maximumFeeMsat: 1000)))
        }
        let ears = Task { for await _ in payee.backend.settledInvoices() {} }
        defer { ears.cancel() }
        for _ in 0..<200 {
            let asked = payee.server.requests("POST /v1/waitanyinvoice").compactMap { request -> UInt64? in
                guard request.json["timeout"] == 60 else { return nil }
                return request.json["lastpay_index"]?.uint64Value
            }
            if let first = asked.first {
                #expect(first == 11)
                return
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("the feed did not begin")
    }

    @Test("A text that is too long for phoenixd is cut, not refused")
    func longDescriptions() async throws {
        let world = try StandInWorld(.phoenixd)
        let payee = try await world.node(.phoenixd, "payee")
        let invoice = try await payee.backend.createInvoice(
            amountMsat: 1000,
            description: String(repeating: "😀", count: 100),
            expirySeconds: 60
        )
        guard case .text(let text) = invoice.contents.purpose else {
            Issue.record("no text")
            return
        }
        #expect(text.hasSuffix("😀…"))
        let sent = try #require(payee.server.requests("POST /createinvoice").first?.form["description"])
        #expect(sent.utf16.count <= 128)
    }

    @Test("A node's secret travels in the clear to this machine alone")
    func addresses() async throws {
        func access(_ url: String, _ secret: String = StandInLND.macaroon) throws -> NodeAccess {
            try NodeAccess(
                url: url,
                secret: secret,
                network: .regtest,
                httpClient: HTTPClient.shared,
                clock: .stopped(at: Timestamp(secondsSince1970: 0)),
                logger: Logger(label: "test")
            )
        }
        for url in ["https://node.example:8080", "http://127.0.0.1:8080", "http://[::1]:9740/", "http://localhost:1"] {
            #expect(throws: Never.self) { try access(url) }
        }
        let bad = [
            "http://node.example:8080", "http://10.0.0.1", "http://127.0.0.1.evil.example", "http://127.evil.a.b",
            "ftp://a",
            "https://:hunter2@node.example", "https://node.example/?x=1", "", "http://localhost.example",
        ]
        for url in bad {
            let error = #expect(throws: LightningError.self, "\(url)") { try access(url) }
            #expect(error?.code == .invalidRequest)
            #expect(error?.message.contains("hunter2") == false)
        }
        for secret in ["", "a\nb", String(repeating: "a", count: 8193), "ключ"] {
            #expect(throws: LightningError.self) { try access("https://a.example", secret) }
        }
        let macaroon = try access("https://a.example", "not hex")
        let error = #expect(throws: LightningError.self) { try LNDBackend(macaroon) }
        #expect(error?.message.contains("not hex") == false)
    }
}
