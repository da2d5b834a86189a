import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Gateway
import Lightning
import NIOCore
import Paywall
import Storage
import Synchronization
import TestSupport
import Testing

@Suite("A session that is added to while a call runs")
struct SessionTopUpTests {
    @Test("PAY-8, PAY-9: added in the middle of a call it counts at once; the call goes on, and each is charged once")
    func whileRunning() async throws {
        try await withSeller(
            sellsOverLightning: true,
            service: {
                $0.accepts = [.cashu, .paymentSession]
                $0.session = SessionTerms(depositSats: 6, idleSeconds: 3600)
            }
        ) { node, upstream, client, port in
            let session = try node.paySession(try await client.call(port))
            #expect(try await client.call(port, headers: try session.open()).status == 200)
            let bearer = try session.bearer()
            upstream.isHeld.withLock { $0 = true }
            let slow = Task { try await client.call(port, "/s/weather/slow", headers: bearer) }
            while upstream.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            // Two of six are the first call's, two are held for the one that runs, two are left.
            #expect(try await client.call(port, "/s/weather/x", headers: bearer).status == 200)
            let over = try await client.call(port, "/s/weather/y", headers: bearer)
            #expect(over.code == "credential-insufficient")
            let topUp = try node.topUp(session, over)
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<16 { group.addTask { try await client.call(port, headers: topUp) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.allSatisfy { $0.status == 200 })
            #expect(try await node.available() == 6000)
            // It pays for another one while the first still runs.
            #expect(try await client.call(port, "/s/weather/y", headers: bearer).status == 200)
            #expect(!slow.isCancelled)
            upstream.isHeld.withLock { $0 = false }
            #expect(try await slow.value.status == 200)
            #expect(try await node.available() == 4000)
            let closed = try await client.call(port, headers: try session.close())
            #expect(try closed.problem()["refundSats"]?.uint64Value == 4)
            #expect(try #require(node.lightning).paidOut.withLock { $0[session.returnInvoice.paymentHash] } == 4000)
            #expect(upstream.count == 4)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test(
        "PAY-8: a deposit that opened a session adds to no other; one shown to a closed session is not taken, and opens another"
    )
    func elsewhere() async throws {
        try await withSeller(
            sellsOverLightning: true,
            service: {
                $0.accepts = [.cashu, .paymentSession]
                $0.session = SessionTerms(depositSats: 6, idleSeconds: 3600)
            }
        ) { node, upstream, client, port in
            let asked = try await client.call(port)
            let first = try node.paySession(asked, seed: 1)
            #expect(try await client.call(port, headers: try first.open()).status == 200)
            let other = try node.paySession(try await client.call(port), seed: 2)
            #expect(try await client.call(port, headers: try other.open()).status == 200)
            #expect(try await node.available() == 8000)
            // What opened the first is shown to be added to the other.
            let stolen = try await client.call(port, headers: try node.topUp(other, asked))
            #expect(stolen.status == 402)
            #expect(stolen.code == "challenge-unknown")
            #expect(try await node.available() == 8000)
            // Closed: what is paid for it too late is not swallowed.
            #expect(try await client.call(port, headers: try first.close()).status == 200)
            let again = try await client.call(port)
            let late = try await client.call(port, headers: try node.topUp(first, again))
            #expect(late.code == "session-closed")
            let third = try node.paySession(again, seed: 3)
            #expect(try await client.call(port, headers: try third.open()).status == 200)
            #expect(try await node.available() == 8000)
            #expect(try await node.requireConservation() == [])
        }
    }
}
