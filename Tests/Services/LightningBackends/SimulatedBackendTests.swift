import AsyncHTTPClient
import Cryptography
import Encodings
import Lightning
import NIOCore
import NIOHTTP1
import Testing

@testable import LightningBackends

@Suite("SimulatedBackend: what is known after each kind of answer")
struct SimulatedBackendTests {
    private let clock = TestClock()

    private func invoice() throws -> BOLT11Invoice {
        try LightningConformance.foreign(currency: .regtest, amountMsat: 1_000, at: clock.now)
    }

    private static let settledByNobody =
        #"{"state":"settled","feeMsat":0,"preimage":"\#(String(repeating: "00", count: 32))"}"#
    private static let notOurProblem = #"{"type":"about:blank","title":"Not here","status":404}"#

    /// Each of these may stand before a payment that was made after all.
    @Test(
        "[SIM-8] an answer that settles nothing is pending, never failed and never an error",
        arguments: [
            .hangUp, .hangUpHalfway, .silence,
            .response(status: 200, type: "application/json", body: ""),
            .response(status: 200, type: "application/json", body: "{}"),
            .response(status: 200, type: "application/json", body: "[]"),
            .response(status: 200, type: "text/html", body: "<html>"),
            .response(status: 200, type: "application/json", body: #"{"state":"unheard-of"}"#),
            .response(status: 200, type: "application/json", body: #"{"state":"failed"}"#),
            .response(status: 200, type: "application/json", body: #"{"state":"settled"}"#),
            .response(status: 200, type: "application/json", body: #"{"state":"pending","state":"failed"}"#),
            .response(status: 200, type: "application/json", body: settledByNobody),
            .response(status: 200, type: "application/json", body: String(repeating: " ", count: 20_000) + "{}"),
            .response(status: 302, type: "application/json", body: "{}"),
            .response(status: 404, type: "application/json", body: notOurProblem),
            .response(status: 404, type: "text/plain", body: "no"),
            .response(status: 408, type: "application/json", body: "{}"),
            .response(status: 500, type: "application/problem+json", body: #"{"code":"backend-failure"}"#),
            .response(status: 502, type: "text/html", body: "<html>bad gateway</html>"),
            .response(status: 503, type: "application/problem+json", body: "{}"),
        ] as [HostileServer.Answer]
    )
    func pending(answer: HostileServer.Answer) async throws {
        let server = try await HostileServer(answer)
        let backend = try httpBackend(server.url, SimulatedNetwork.newToken(), clock, timeoutMilliseconds: 300)
        #expect(try await backend.pay(invoice: try invoice(), maximumFeeMsat: 0) == .pending)
        try await server.close()
    }

    @Test("[SIM-8] the network's own refusal started nothing, and says why")
    func refused() async throws {
        let body =
            #"{"type":"urn:mintmark:problem:amount-required","title":"x","status":400,"#
            + #""detail":"no amount","code":"amount-required"}"#
        let server = try await HostileServer(.response(status: 400, type: "application/problem+json", body: body))
        let backend = try httpBackend(server.url, SimulatedNetwork.newToken(), clock)
        let error = await #expect(throws: LightningError.self) {
            try await backend.pay(invoice: try invoice(), maximumFeeMsat: 0)
        }
        #expect(error?.code == .amountRequired && error?.message == "no amount")
        try await server.close()
    }

    @Test("where nothing listens, nothing was sent, and the error says what to start")
    func unreachable() async throws {
        // A port that was free a moment ago.
        let server = try await HostileServer(.silence)
        let url = server.url
        try await server.close()
        let backend = try httpBackend(url, SimulatedNetwork.newToken(), clock, timeoutMilliseconds: 2_000)
        let error = await #expect(throws: LightningError.self) {
            try await backend.pay(invoice: try invoice(), maximumFeeMsat: 0)
        }
        #expect(error?.code == .unreachable)
        #expect(error?.message.contains(url) == true)
        let other = await #expect(throws: LightningError.self) { try await backend.balanceMsat() }
        #expect(other?.code == .unreachable)
    }

    @Test("a cancelled payment is pending")
    func cancelled() async throws {
        let server = try await HostileServer(.silence)
        let backend = try httpBackend(server.url, SimulatedNetwork.newToken(), clock)
        let invoice = try invoice()
        let task = Task { try await backend.pay(invoice: invoice, maximumFeeMsat: 0) }
        task.cancel()
        #expect(try await task.value == .pending)
        try await server.close()
    }

    @Test("questions without an answer are errors, never a state")
    func questions() async throws {
        let hash = [UInt8](repeating: 1, count: 32)
        let answers: [HostileServer.Answer] = [
            .hangUp, .silence, .response(status: 200, type: "application/json", body: "{}"),
            .response(status: 404, type: "application/json", body: Self.notOurProblem),
            .response(status: 500, type: "application/json", body: "{}"),
            .response(status: 200, type: "application/json", body: Self.settledByNobody),
        ]
        for answer in answers {
            let server = try await HostileServer(answer)
            let backend = try httpBackend(server.url, SimulatedNetwork.newToken(), clock, timeoutMilliseconds: 300)
            await #expect(throws: LightningError.self) { try await backend.paymentStatus(paymentHash: hash) }
            await #expect(throws: LightningError.self) { try await backend.invoiceStatus(paymentHash: hash) }
            await #expect(throws: LightningError.self) { try await backend.nodeID() }
            await #expect(throws: LightningError.self) { try await backend.balanceMsat() }
            await #expect(throws: LightningError.self) {
                try await backend.createInvoice(amountMsat: 1, description: "", expirySeconds: 60)
            }
            try await server.close()
        }
    }

    @Test("an invoice that is not the one asked for is refused")
    func wrongInvoice() async throws {
        let body = #"{"invoice":"\#(try invoice().text)"}"#
        let server = try await HostileServer(.response(status: 201, type: "application/json", body: body))
        let backend = try httpBackend(server.url, SimulatedNetwork.newToken(), clock)
        let error = await #expect(throws: LightningError.self) {
            try await backend.createInvoice(amountMsat: 999, description: "", expirySeconds: 60)
        }
        #expect(error?.code == .invalidAnswer)
        #expect(
            try await backend.createInvoice(amountMsat: 1_000, description: "", expirySeconds: 60)
                == (try invoice2(body))
        )
        try await server.close()
    }

    private func invoice2(_ body: String) throws -> BOLT11Invoice {
        try BOLT11Invoice(decoding: String(body.dropFirst(12).dropLast(2)))
    }

    @Test("payments that take long keep no invoice waiting")
    func slowPayments() async throws {
        let test = try SimulatedTestNetwork()
        let (payer, payee) = (try await test.account("payer"), try await test.account("payee"))
        let account = try await test.network.account(token: payer)
        try await test.network.setFault(.hang, for: account)
        var invoices: [BOLT11Invoice] = []
        for _ in 0..<32 {
            invoices.append(
                try await test.backend(payee).createInvoice(amountMsat: 1, description: "", expirySeconds: 600)
            )
        }
        try await withServer(test.network) { [invoices] url in
            let backend = try httpBackend(url, payer, test.clock, timeoutMilliseconds: 120_000)
            let payments = invoices.map { invoice in
                Task { try await backend.pay(invoice: invoice, maximumFeeMsat: 0) }
            }
            let held = UInt64(invoices.count)
            for _ in 0..<1000 where try await test.network.balanceMsat(of: account) > 1_000_000_000 - held {
                try await Task.sleep(for: .milliseconds(20))
            }
            // All are under way, and each waits for its answer.
            #expect(try await test.network.balanceMsat(of: account) == 1_000_000_000 - held)
            _ = try await backend.createInvoice(amountMsat: 1, description: "", expirySeconds: 600)
            for (invoice, payment) in zip(invoices, payments) {
                _ = try await test.network.resolve(paymentHash: invoice.paymentHash, of: account, settles: true)
                _ = try await payment.value
                guard case .settled? = try await backend.paymentStatus(paymentHash: invoice.paymentHash) else {
                    Issue.record("a payment that was settled is not")
                    return
                }
            }
        }
    }

    @Test(
        "an address is http or https, with a host and nothing secret in it",
        arguments: [
            "", "127.0.0.1:80", "ftp://a", "http://", "http://u:p@a", "http://a?x=1", "http://a#f", "file:///a",
        ]
    )
    func addresses(url: String) {
        let error = #expect(throws: LightningError.self) {
            try httpBackend(url, SimulatedNetwork.newToken(), clock)
        }
        #expect(error?.code == .invalidRequest)
    }
}

@Suite("SimulatedNetworkServer: faults and hostile requests over HTTP")
struct SimulatedServerTests {
    private struct Reply: Sendable {
        var status: UInt
        var type: String?
        var text: String
    }

    private static func request(
        _ method: String,
        _ url: String,
        token: String? = nil,
        _ body: String? = nil
    ) async throws -> Reply {
        var request = HTTPClientRequest(url: url)
        request.method = .init(rawValue: method)
        if let token { request.headers.add(name: "Authorization", value: token) }
        if let body { request.body = .bytes(Array(body.utf8)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        let bytes = Array(buffer: try await response.body.collect(upTo: 1 << 20))
        return Reply(
            status: response.status.code,
            type: response.headers.first(name: "content-type"),
            text: String(decoding: bytes, as: UTF8.self)
        )
    }

    @Test("[SIM-3] every answer says TEST MONEY, and every refusal is a problem with its reason")
    func answers() async throws {
        let test = try SimulatedTestNetwork()
        let token = try await test.account("me")
        let bearer = "Bearer \(token)"
        let hash = String(repeating: "ab", count: 32)
        let deep = String(repeating: "[", count: 100)
        let cases: [(UInt, String, String, String?, String?)] = [
            (200, "GET", "/health", nil, nil),
            (201, "POST", "/accounts", nil, nil),
            (201, "POST", "/accounts", nil, #"{"name":"x"}"#),
            (200, "GET", "/accounts/me", bearer, nil),
            (201, "POST", "/invoices", bearer, #"{"amountMsat":1,"description":"","expirySeconds":1}"#),
            (200, "PUT", "/accounts/me/fault", bearer, #"{"fault":"delay","milliseconds":1}"#),
            (401, "GET", "/accounts/me", nil, nil),
            (401, "GET", "/accounts/me", "Basic abc", nil),
            (401, "GET", "/accounts/me", "Bearer ", nil),
            (401, "GET", "/accounts/me", "Bearer \(SimulatedNetwork.newToken())", nil),
            (401, "POST", "/payments", nil, "{}"),
            (404, "GET", "/nowhere", nil, nil),
            (404, "GET", "/invoices/\(hash)", bearer, nil),
            (404, "GET", "/payments/\(hash)", bearer, nil),
            (404, "POST", "/payments/\(hash)/resolution", bearer, #"{"settles":true}"#),
            (400, "GET", "/payments/abc", bearer, nil),
            (400, "GET", "/invoices/\(hash)00", bearer, nil),
            (400, "POST", "/invoices", bearer, nil),
            (400, "POST", "/invoices", bearer, "{"),
            (400, "POST", "/invoices", bearer, "[]"),
            (400, "POST", "/invoices", bearer, deep),
            (400, "POST", "/invoices", bearer, #"{"amountMsat":-1,"description":"","expirySeconds":1}"#),
            (400, "POST", "/invoices", bearer, #"{"amountMsat":1.5,"description":"","expirySeconds":1}"#),
            (400, "POST", "/invoices", bearer, #"{"amountMsat":"1","description":"","expirySeconds":1}"#),
            (
                400, "POST", "/invoices", bearer,
                #"{"amountMsat":1,"description":"","expirySeconds":18446744073709551615}"#
            ),
            (400, "POST", "/invoices", bearer, #"{"amountMsat":1,"amountMsat":2,"description":"","expirySeconds":1}"#),
            (400, "POST", "/accounts", nil, #"{"name":"\u001b[2J"}"#),
            (400, "POST", "/accounts", nil, String(repeating: " ", count: 20_000)),
            (400, "PUT", "/accounts/me/fault", bearer, #"{"fault":"meteor"}"#),
            (400, "PUT", "/accounts/me/fault", bearer, #"{"fault":"delay","milliseconds":600001}"#),
            (400, "PUT", "/accounts/me/fault", bearer, #"{"fault":"delay","milliseconds":-1}"#),
            (400, "POST", "/payments", bearer, #"{"invoice":"lnbc1","maximumFeeMsat":0}"#),
            (400, "POST", "/payments", bearer, #"{"invoice":"x","maximumFeeMsat":0,"startBefore":"soon"}"#),
        ]
        try await withServer(test.network) { url in
            for (status, method, path, token, body) in cases {
                let reply = try await Self.request(method, url + path, token: token, body)
                #expect(reply.status == status, "\(method) \(path) \(body ?? "")")
                #expect(reply.text.contains("TEST MONEY"), "\(method) \(path) \(body ?? "")")
                let type = status < 300 ? "application/json" : "application/problem+json"
                #expect(reply.type == type, "\(method) \(path)")
                if let token { #expect(!reply.text.contains(token.dropFirst(7)) || token.count < 10) }
            }
        }
    }

    @Test("a payer that stops waiting finds the payment where it stands")
    func clientTimeOut() async throws {
        let test = try SimulatedTestNetwork()
        let (payer, payee) = (try await test.account("payer"), try await test.account("payee"))
        let account = try await test.network.account(token: payer)
        try await withServer(test.network) { url in
            let impatient = try httpBackend(url, payer, test.clock, timeoutMilliseconds: 3000)
            let seller = try httpBackend(url, payee, test.clock)
            let invoice = try await seller.createInvoice(amountMsat: 500, description: "tea", expirySeconds: 600)
            try await test.network.setFault(.hang, for: account)
            #expect(try await impatient.pay(invoice: invoice, maximumFeeMsat: 0) == .pending)
            #expect(try await impatient.paymentStatus(paymentHash: invoice.paymentHash) == .pending)
            #expect(try await seller.invoiceStatus(paymentHash: invoice.paymentHash) == .unpaid)
            _ = try await test.network.resolve(paymentHash: invoice.paymentHash, of: account, settles: true)
            guard case .settled(let preimage, 0)? = try await impatient.paymentStatus(paymentHash: invoice.paymentHash)
            else {
                Issue.record("the payment did not settle")
                return
            }
            #expect(invoice.isPaid(by: preimage))
            #expect(try await impatient.balanceMsat() == 1_000_000_000 - 500)
        }
    }

    @Test("an error of the network after it took the payment is pending, and settles once")
    func settleAfterFailure() async throws {
        let test = try SimulatedTestNetwork()
        let (payer, payee) = (try await test.account("payer"), try await test.account("payee"))
        try await withServer(test.network) { url in
            let buyer = try httpBackend(url, payer, test.clock)
            let seller = try httpBackend(url, payee, test.clock)
            let reply = try await Self.request(
                "PUT",
                url + "/accounts/me/fault",
                token: "Bearer \(payer)",
                #"{"fault":"settle-after-failure","milliseconds":1000}"#
            )
            #expect(reply.status == 200)
            let invoice = try await seller.createInvoice(amountMsat: 500, description: "tea", expirySeconds: 600)
            let lost = try await Self.request(
                "POST",
                url + "/payments",
                token: "Bearer \(payer)",
                #"{"invoice":"\#(invoice.text)","maximumFeeMsat":0}"#
            )
            #expect(lost.status == 500 && lost.text.contains("not known"))
            #expect(try await buyer.paymentStatus(paymentHash: invoice.paymentHash) == .pending)
            let second = try await seller.createInvoice(amountMsat: 1, description: "tea", expirySeconds: 600)
            #expect(try await buyer.pay(invoice: second, maximumFeeMsat: 0) == .pending)
            test.clock.advance(milliseconds: 1_000)
            guard case .settled = try await buyer.pay(invoice: invoice, maximumFeeMsat: 0) else {
                Issue.record("the payment did not settle")
                return
            }
            #expect(try await buyer.balanceMsat() == 1_000_000_000 - 501)
            #expect(try await seller.balanceMsat() == 1_000_000_000 + 501)
        }
        #expect(try await test.network.audit() == [])
    }

    @Test("a delayed payment is answered when it has settled")
    func delayed() async throws {
        let test = try SimulatedTestNetwork()
        let (payer, payee) = (try await test.account("payer"), try await test.account("payee"))
        let account = try await test.network.account(token: payer)
        try await test.network.setFault(.delay(milliseconds: 60_000), for: account)
        try await withServer(test.network) { url in
            let buyer = try httpBackend(url, payer, test.clock)
            let seller = try httpBackend(url, payee, test.clock)
            let invoice = try await seller.createInvoice(amountMsat: 500, description: "tea", expirySeconds: 600)
            async let outcome = buyer.pay(invoice: invoice, maximumFeeMsat: 0)
            while try await buyer.paymentStatus(paymentHash: invoice.paymentHash) == nil { await Task.yield() }
            test.clock.advance(milliseconds: 60_000)
            guard case .settled = try await outcome else {
                Issue.record("the payment did not settle")
                return
            }
        }
    }

    @Test("the server ends between two steps; the payment goes on with the next one")
    func serverRestart() async throws {
        let test = try SimulatedTestNetwork()
        let (payer, payee) = (try await test.account("payer"), try await test.account("payee"))
        let account = try await test.network.account(token: payer)
        try await test.network.setFault(.hang, for: account)
        let invoice = try await withServer(test.network) { url in
            let seller = try httpBackend(url, payee, test.clock)
            let invoice = try await seller.createInvoice(amountMsat: 500, description: "tea", expirySeconds: 600)
            let buyer = try httpBackend(url, payer, test.clock, timeoutMilliseconds: 2000)
            #expect(try await buyer.pay(invoice: invoice, maximumFeeMsat: 0) == .pending)
            return invoice
        }
        try await test.crash()
        try await withServer(test.network) { url in
            let buyer = try httpBackend(url, payer, test.clock)
            #expect(try await buyer.paymentStatus(paymentHash: invoice.paymentHash) == .pending)
            let reply = try await Self.request(
                "POST",
                url + "/payments/\(Hex.encode(invoice.paymentHash))/resolution",
                token: "Bearer \(payer)",
                #"{"settles":true}"#
            )
            #expect(reply.status == 200)
            guard case .settled(let preimage, 0) = try await buyer.pay(invoice: invoice, maximumFeeMsat: 0) else {
                Issue.record("the payment did not settle")
                return
            }
            #expect(invoice.isPaid(by: preimage))
            #expect(try await buyer.balanceMsat() == 1_000_000_000 - 500)
        }
    }
}
