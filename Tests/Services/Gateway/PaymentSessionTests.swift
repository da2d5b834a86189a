import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Gateway
import Hummingbird
import Ledger
import Lightning
import Paywall
import Receipts
import Storage
import Synchronization
import TestSupport
import Testing

/// A session as its payer holds it.
struct OpenSession: Sendable {
    var challenge: PaymentChallenge
    var preimage: [UInt8]
    var returnInvoice: BOLT11Invoice

    var id: String { Hex.encode(Hashing.sha256(preimage)) }
    private var shown: JSONValue { .string(Hex.encode(preimage)) }

    func open() throws -> [(String, String)] {
        try header(["action": "open", "preimage": shown, "returnInvoice": .string(returnInvoice.text)])
    }

    func bearer() throws -> [(String, String)] {
        try header(["action": "bearer", "sessionId": .string(id), "preimage": shown])
    }

    func close(returnInvoice: BOLT11Invoice? = nil) throws -> [(String, String)] {
        var payload: JSONObject = ["action": "close", "sessionId": .string(id), "preimage": shown]
        payload["returnInvoice"] = returnInvoice.map { .string($0.text) }
        return try header(payload)
    }

    private func header(_ payload: JSONObject) throws -> [(String, String)] {
        [("Authorization", try PaymentCredential(challenge: challenge, payload: payload).header())]
    }
}

extension Answer {
    var sessionChallenge: PaymentChallenge? {
        PaymentChallenge.read(wwwAuthenticate: wwwAuthenticate).first { $0.intent == "session" }
    }

    var paymentReceipt: PaymentReceipt? { header("Payment-Receipt").flatMap(PaymentReceipt.init(header:)) }
}

extension TestNode {
    /// An invoice of a payer's, without amount unless one is given.
    func returnInvoice(_ seed: UInt8, msat: UInt64? = nil, expirySeconds: UInt64 = 30 * 86_400) throws -> BOLT11Invoice
    {
        let contents = InvoiceContents(
            currency: LightningNetwork.simulated.currency,
            amountMsat: msat,
            timestamp: Timestamp(secondsSince1970: clock.now.secondsSince1970),
            paymentHash: Hashing.sha256([seed]),
            paymentSecret: [UInt8](repeating: 1, count: 32),
            purpose: .text("what is left"),
            expirySeconds: expirySeconds
        )
        return try BOLT11Invoice.sign(contents, key: try Secp256k1.Scalar(bytes: [UInt8](repeating: 6, count: 32)))
    }

    /// Pays the deposit of a 402.
    func paySession(_ answer: Answer, seed: UInt8 = 1) throws -> OpenSession {
        let challenge = try #require(answer.sessionChallenge)
        let preimage = try #require(lightning).pay(try LightningSessionWire.deposit(of: challenge))
        return OpenSession(challenge: challenge, preimage: preimage, returnInvoice: try returnInvoice(seed))
    }

    func topUp(_ session: OpenSession, _ answer: Answer) throws -> [(String, String)] {
        let challenge = try #require(answer.sessionChallenge)
        let preimage = try #require(lightning).pay(try LightningSessionWire.deposit(of: challenge))
        let payload: JSONObject = [
            "action": "topUp", "sessionId": .string(session.id), "topUpPreimage": .string(Hex.encode(preimage)),
        ]
        return [("Authorization", try PaymentCredential(challenge: challenge, payload: payload).header())]
    }

    func available() async throws -> Int64? {
        try await database.read { try $0.first("SELECT sum(prepaid) FROM gateway_grants")?.int64(0) }
    }

    func payoutState() async throws -> String? {
        try await database.read { try $0.first("SELECT payout FROM gateway_sessions")?.optionalText(0) }
    }
}

@Suite("Sessions of the Payment scheme")
struct PaymentSessionTests {
    /// Calls cost 2 sat, a deposit is 10.
    private func withSessions(
        deposit: UInt64? = 10,
        idleSeconds: Int64 = 3600,
        idempotent: Bool = false,
        _ body: @escaping @Sendable (TestNode, TestUpstream, HTTPClient, Int) async throws -> Void
    ) async throws {
        try await withSeller(
            idempotent: idempotent,
            sellsOverLightning: true,
            service: {
                $0.accepts = [.cashu, .paymentSession]
                $0.session = SessionTerms(depositSats: deposit, idleSeconds: idleSeconds)
            }
        ) { node, upstream, client, port in
            try await body(node, upstream, client, port)
            #expect(try await node.requireConservation() == [])
        }
    }

    private func paid(_ node: TestNode, _ session: OpenSession) throws -> UInt64? {
        try #require(node.lightning).paidOut.withLock { $0[session.returnInvoice.paymentHash] }
    }

    /// Closes a session.
    private func refund(
        _ session: OpenSession,
        _ client: HTTPClient,
        _ port: Int
    ) async throws -> (sats: UInt64?, status: String?) {
        let answer = try await client.call(port, headers: try session.close())
        let body = try answer.problem()
        return (body["refundSats"]?.uint64Value, body["refundStatus"]?.stringValue)
    }

    @Test("PAY-8, PAY-9: a deposit pays for calls, is added to, and what is left goes back, each once")
    func life() async throws {
        try await withSessions { node, upstream, client, port in
            let asked = try await client.call(port)
            #expect(try asked.problem()["ways"]?.arrayValue?.compactMap(\.stringValue) == ["cashu", "payment-session"])
            let request = try #require(asked.sessionChallenge?.requestObject)
            #expect(request["amount"]?.stringValue == "2")
            #expect(request["depositAmount"]?.stringValue == "10")
            #expect(request["idleTimeout"]?.stringValue == "3600")
            let session = try node.paySession(asked)
            for isAgain in [false, true] {
                let opened = try await client.call(port, headers: try session.open())
                #expect(opened.status == 200)
                #expect(opened.text == "answer 1")
                #expect((opened.header("Idempotent-Replayed") != nil) == isAgain)
                #expect(opened.paymentReceipt?.reference == session.id)
                #expect(opened.receipt?.claims.dialect == "payment-session")
                #expect(opened.receipt?.claims.amount == 2000)
                #expect(opened.receipt?.verdict().isValid == true)
            }
            // Any call of the service; each one is a new one.
            for number in 2...5 {
                let answer = try await client.call(port, "/s/weather/x", headers: try session.bearer())
                #expect(answer.text == "answer \(number)")
                #expect(answer.paymentReceipt?.spentSats == 2)
            }
            let over = try await client.call(port, headers: try session.bearer())
            #expect(over.status == 402)
            #expect(over.code == "credential-insufficient")
            let topUp = try node.topUp(session, over)
            for _ in 0..<2 {
                let added = try await client.call(port, headers: topUp)
                #expect(added.status == 200)
                #expect(try added.problem()["status"]?.stringValue == "ok")
                #expect(try await node.available() == 10_000)
            }
            try await node.restart()
            try await withServer(try node.router()) { port in
                #expect(try await client.call(port, headers: try session.bearer()).text == "answer 6")
                for _ in 0..<2 {
                    let closed = try await client.call(port, headers: try session.close())
                    #expect(closed.status == 200)
                    let body = try closed.problem()
                    #expect(body["status"]?.stringValue == "closed")
                    #expect(body["refundSats"]?.uint64Value == 8)
                    #expect(body["refundStatus"]?.stringValue == "succeeded")
                    #expect(closed.paymentReceipt?.refundSats == 8)
                    #expect(closed.paymentReceipt?.refund == .succeeded)
                    #expect(try self.paid(node, session) == 8000)
                }
                #expect(node.lightning?.payoutCalls.withLock { $0 } == 1)
                let late = try await client.call(port, headers: try session.bearer())
                #expect(late.status == 402)
                #expect(late.code == "session-closed")
                #expect(late.sessionChallenge != nil)
                #expect(try late.problem()["type"]?.stringValue?.hasSuffix("lightning/session-closed") == true)
                // What opened it is answered as before, and opens nothing anew.
                #expect(try await client.call(port, headers: try session.open()).text == "answer 1")
            }
            #expect(upstream.count == 6)
        }
    }

    @Test("PAY-9: 64 calls at once never take more than a session has")
    func race() async throws {
        try await withSessions(deposit: 20) { node, upstream, client, port in
            let session = try node.paySession(try await client.call(port))
            #expect(try await client.call(port, headers: try session.open()).status == 200)
            let bearer = try session.bearer()
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for index in 0..<64 {
                    group.addTask { try await client.call(port, "/s/weather/\(index)", headers: bearer) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count { $0.status == 200 } == 9)
            #expect(answers.count { $0.code == "credential-insufficient" } == 55)
            #expect(upstream.count == 10)
            #expect(try await node.available() == 0)
            #expect(try await self.refund(session, client, port).status == "skipped")
        }
    }

    @Test("PAY-8: one deposit opens one session, or adds to one, however many ask at once")
    func depositRace() async throws {
        try await withSessions { node, upstream, client, port in
            let session = try node.paySession(try await client.call(port))
            let headers = try session.open()
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<32 { group.addTask { try await client.call(port, "/s/weather/slow", headers: headers) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.allSatisfy { $0.status == 200 || $0.code == "call-running" })
            #expect(upstream.count == 1)
            #expect(try await node.available() == 8000)
            let topUp = try node.topUp(session, try await client.call(port))
            let added = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<32 { group.addTask { try await client.call(port, headers: topUp) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(added.allSatisfy { $0.status == 200 })
            #expect(try await node.available() == 18_000)
            // The same deposit for another session, or to open one.
            let other = try node.paySession(try await client.call(port), seed: 2)
            #expect(try await client.call(port, headers: try other.open()).status == 200)
            var stolen = other
            stolen.challenge = session.challenge
            #expect(try await client.call(port, headers: try stolen.open()).code == "credential-invalid")
        }
    }

    @Test(
        "PAY-9, CALL-14: a call that its upstream fails is the session's again; a measured one is charged what it cost"
    )
    func failedAndMeasured() async throws {
        try await withSessions { node, upstream, client, port in
            let session = try node.paySession(try await client.call(port))
            let opened = try await client.call(port, "/s/weather/fail", headers: try session.open())
            #expect(opened.status == 502)
            #expect(try await node.available() == 10_000)
            #expect(try await client.call(port, headers: try session.bearer()).status == 200)
            #expect(try await node.available() == 8000)
        }
        try await withMeteredSeller(
            sellsOverLightning: true,
            service: {
                $0.accepts = [.paymentSession]
                $0.session = SessionTerms(depositSats: 100)
            }
        ) { node, upstream, box, port in
            let session = try node.paySession(try await box.client.call(port, "/s/weather/x"))
            // 1 sat fixed and 10 for ten thousand bytes; 63 are set aside while it runs.
            let answer = try await box.client.call(port, "/s/weather/x?n=10000", headers: try session.open())
            #expect(answer.status == 200)
            #expect(answer.receipt?.claims.amount == 11_000)
            #expect(answer.paymentReceipt?.spentSats == 11)
            #expect(try await node.available() == 89_000)
            #expect(try await box.client.call(port, "/s/weather/x", headers: try session.bearer()).status == 200)
            let closed = try await box.client.call(port, "/s/weather/x", headers: try session.close())
            #expect(try closed.problem()["refundSats"]?.uint64Value == 88 - 1 - 0)
        }
    }

    @Test("PAY-9: while a call runs nothing is returned, and after it the rest is, without anybody asking")
    func closedWhileRunning() async throws {
        try await withSessions { node, upstream, client, port in
            let session = try node.paySession(try await client.call(port))
            #expect(try await client.call(port, headers: try session.open()).status == 200)
            let bearer = try session.bearer()
            upstream.isHeld.withLock { $0 = true }
            let slow = Task { try await client.call(port, "/s/weather/slow", headers: bearer) }
            while upstream.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            let closed = try await client.call(port, headers: try session.close())
            #expect(try closed.problem()["refundStatus"]?.stringValue == "pending")
            #expect(try await client.call(port, headers: try session.bearer()).code == "session-closed")
            #expect(try self.paid(node, session) == nil)
            upstream.isHeld.withLock { $0 = false }
            #expect(try await slow.value.status == 200)
            await (try node.gateway).housekeep()
            #expect(try self.paid(node, session) == 6000)
        }
    }

    @Test("PAY-10: a return whose outcome is not known is asked about until it is, over a restart, and made once")
    func unknownReturn() async throws {
        try await withSessions { node, upstream, client, port in
            let lightning = try #require(node.lightning)
            let session = try node.paySession(try await client.call(port))
            #expect(try await client.call(port, headers: try session.open()).status == 200)
            lightning.payout.withLock { $0 = .pending }
            #expect(try await self.refund(session, client, port).status == "pending")
            #expect(try await node.payoutState() == "sending")
            // A node that can't be asked now says nothing of what was begun.
            lightning.payout.withLock { $0 = .notStarted("away") }
            await (try node.gateway).housekeep()
            #expect(try await node.payoutState() == "sending")
            try await node.restart()
            lightning.payout.withLock { $0 = .paid(feeMsat: 100) }
            await (try node.gateway).housekeep()
            #expect(try await node.payoutState() == "paid")
            #expect(try self.paid(node, session) == 8000)
            let calls = lightning.payoutCalls.withLock { $0 }
            await (try node.gateway).housekeep()
            #expect(lightning.payoutCalls.withLock { $0 } == calls)
        }
    }

    @Test("PAY-10: however many ask while a return is under way, one pays its invoice, and after it failed none")
    func returnedAtOnce() async throws {
        try await withSessions { node, upstream, client, port in
            let lightning = try #require(node.lightning)
            let session = try node.paySession(try await client.call(port))
            #expect(try await client.call(port, headers: try session.open()).status == 200)
            lightning.payout.withLock { $0 = .failed("no route") }
            lightning.isPayingHeld.withLock { $0 = true }
            let gateway = try node.gateway
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try await client.call(port, headers: try session.close()) }
                while lightning.payoutCalls.withLock({ $0 }) == 0 { try await Task.sleep(for: .milliseconds(5)) }
                for _ in 0..<4 {
                    group.addTask { _ = try await client.call(port, headers: try session.close()) }
                    group.addTask { await gateway.housekeep() }
                }
                // They are in line by then, or come when it has failed: neither may try it again.
                try await Task.sleep(for: .milliseconds(200))
                lightning.isPayingHeld.withLock { $0 = false }
                try await group.waitForAll()
            }
            #expect(lightning.payoutCalls.withLock { $0 } == 1)
            #expect(try await node.payoutState() == "failed")
        }
    }

    @Test("PAY-10: a return that failed leaves the rest claimable, with another invoice, once")
    func failedReturn() async throws {
        try await withSessions { node, upstream, client, port in
            let lightning = try #require(node.lightning)
            var session = try node.paySession(try await client.call(port))
            #expect(try await client.call(port, headers: try session.open()).status == 200)
            lightning.payout.withLock { $0 = .failed("no route") }
            let failed = try await client.call(port, headers: try session.close())
            #expect(try failed.problem()["refundStatus"]?.stringValue == "failed")
            #expect(try failed.problem()["refundSats"]?.uint64Value == 8)
            lightning.payout.withLock { $0 = .paid(feeMsat: 0) }
            // Never tried again by itself, as the invoice may be paid elsewhere by then.
            await (try node.gateway).housekeep()
            #expect(try await self.refund(session, client, port).status == "failed")
            node.clock.advance(seconds: 40 * 86_400)
            await (try node.gateway).housekeep()
            for bad in [try node.returnInvoice(9, msat: 5000), try node.returnInvoice(1)] {
                let refused = try await client.call(port, headers: try session.close(returnInvoice: bad))
                #expect(refused.code == "return-invoice-invalid")
            }
            session.returnInvoice = try node.returnInvoice(7)
            for _ in 0..<2 {
                let answer = try await client.call(
                    port,
                    headers: try session.close(returnInvoice: session.returnInvoice)
                )
                #expect(try answer.problem()["refundStatus"]?.stringValue == "succeeded")
            }
            #expect(try self.paid(node, session) == 8000)
            #expect(lightning.paidOut.withLock { $0.count } == 1)
        }
    }

    @Test("PAY-9: a session that nobody used is closed by the seller and its rest returned, never while a call runs")
    func idle() async throws {
        try await withSessions(idleSeconds: 60) { node, upstream, client, port in
            let session = try node.paySession(try await client.call(port))
            #expect(try await client.call(port, headers: try session.open()).status == 200)
            node.clock.advance(seconds: 59)
            #expect(try await client.call(port, headers: try session.bearer()).status == 200)
            let bearer = try session.bearer()
            node.clock.advance(seconds: 59)
            await (try node.gateway).housekeep()
            #expect(try self.paid(node, session) == nil)
            upstream.isHeld.withLock { $0 = true }
            let slow = Task { try await client.call(port, "/s/weather/slow", headers: bearer) }
            while upstream.count < 3 { try await Task.sleep(for: .milliseconds(5)) }
            node.clock.advance(seconds: 61)
            await (try node.gateway).housekeep()
            upstream.isHeld.withLock { $0 = false }
            #expect(try await slow.value.status == 200)
            #expect(try self.paid(node, session) == nil)
            node.clock.advance(seconds: 61)
            await (try node.gateway).housekeep()
            #expect(try self.paid(node, session) == 4000)
            #expect(try await client.call(port, headers: try session.bearer()).code == "session-closed")
            // Kept against replays for as long as refunds are, then forgotten.
            node.clock.advance(seconds: 31 * 86_400)
            await (try node.gateway).housekeep()
            #expect(try await client.call(port, headers: try session.bearer()).code == "session-unknown")
        }
    }

    @Test("PAY-8: what is not proven, or returns to a wrong invoice, opens nothing and takes no deposit")
    func refused() async throws {
        try await withSessions { node, upstream, client, port in
            let session = try node.paySession(try await client.call(port))
            var wrong = session
            wrong.preimage = [UInt8](repeating: 4, count: 32)
            #expect(try await client.call(port, headers: try wrong.open()).code == "credential-invalid")
            #expect(try await client.call(port, headers: try wrong.bearer()).code == "session-unknown")
            let returns = [try node.returnInvoice(3, msat: 1000), try node.returnInvoice(3, expirySeconds: 1)]
            node.clock.advance(seconds: 2)
            for invoice in returns {
                wrong = session
                wrong.returnInvoice = invoice
                #expect(try await client.call(port, headers: try wrong.open()).code == "return-invoice-invalid")
            }
            #expect(try await client.call(port, headers: try session.bearer()).code == "session-unknown")
            #expect(upstream.count == 0)
            #expect(try await client.call(port, headers: try session.open()).status == 200)
            // Two sessions never return to one invoice: the second payment would be taken for the first.
            var twin = try node.paySession(try await client.call(port), seed: 1)
            #expect(try await client.call(port, headers: try twin.open()).code == "return-invoice-invalid")
            twin.returnInvoice = try node.returnInvoice(2)
            #expect(try await client.call(port, headers: try twin.open()).status == 200)
            // Of this service alone.
            var other = try #require(node.gateway.service("weather"))
            other.name = "maps"
            try await node.gateway.add(other)
            #expect(try await client.call(port, "/s/maps/x", headers: try session.bearer()).code == "challenge-unknown")
            var moved = session
            moved.challenge = try #require(try await client.call(port, "/s/maps/x").sessionChallenge)
            #expect(try await client.call(port, "/s/maps/x", headers: try moved.bearer()).code == "session-unknown")
            #expect(try await client.call(port, "/s/maps/x", headers: try moved.close()).code == "session-unknown")
            #expect(try await client.call(port, headers: try session.bearer()).status == 200)
        }
    }

    @Test("PAY-9: killed in the middle of a call: the session has its money again, or the call is charged, once")
    func killed() async throws {
        try await withSessions { first, upstream, client, port in
            let session = try first.paySession(try await client.call(port))
            #expect(try await client.call(port, headers: try session.open()).status == 200)
            let second = try TestNode(sellsOverLightning: true)
            let bearer = try session.bearer()
            upstream.isHeld.withLock { $0 = true }
            let slow = Task { try await client.call(port, "/s/weather/slow", headers: bearer) }
            while upstream.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            for file in ["node.sqlite", "node.sqlite-wal"] {
                try FileManager.default.copyItem(
                    atPath: first.folder.path + "/" + file,
                    toPath: second.folder.path + "/" + file
                )
            }
            upstream.isHeld.withLock { $0 = false }
            _ = try? await slow.value
            try await second.start()
            #expect(try await second.available() == 8000)
            try await withServer(try second.router()) { port in
                let refund = try await self.refund(session, client, port)
                #expect(refund.sats == 8)
            }
            #expect(second.lightning?.paidOut.withLock { $0[session.returnInvoice.paymentHash] } == 8000)
            #expect(try await second.requireConservation() == [])
            try await second.stop()
        }
    }

    @Test("PAY-8: what can't be sold by session is refused when it is put on sale, and says why")
    func unsellable() async throws {
        let node = try TestNode(sellsOverLightning: true)
        try await node.start()
        func refusal(_ change: (inout ServiceDefinition) throws -> Void) async throws -> String? {
            var service = try ServiceDefinition(
                name: "a",
                upstream: UpstreamAddress("http://127.0.0.1:9"),
                prices: PriceList([PriceRule(pathPattern: "/*", price: Price(amount: 2))])
            )
            service.accepts = [.cashu, .paymentSession]
            try change(&service)
            do {
                let read = try ServiceDefinition(json: service.json)
                #expect(read == service)
                try await node.gateway.add(read, replaces: true)
                return nil
            } catch let error as GatewayError {
                return error.message
            }
        }
        #expect(try await refusal { _ in } == nil)
        #expect(try await refusal { $0.session = SessionTerms(depositSats: 2, idleSeconds: 60) } == nil)
        #expect(try await refusal { $0.session = SessionTerms(depositSats: 1) }?.contains("at least") == true)
        #expect(try await refusal { $0.session = SessionTerms(depositSats: 0) } != nil)
        #expect(try await refusal { $0.session = SessionTerms(idleSeconds: 59) } != nil)
        #expect(
            try await refusal {
                $0.accepts = [.cashu]
                $0.session = SessionTerms()
            } != nil
        )
        node.lightning?.canPayOut.withLock { $0 = false }
        #expect(try await refusal { _ in }?.contains("without an amount") == true)
        try await node.stop()
    }
}
