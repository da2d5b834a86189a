import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Foundation
import Gateway
import Hummingbird
import Lightning
import Paywall
import Receipts
import Storage
import TestSupport
import Testing

@Suite("Calls that are paid over Lightning and not served")
struct GrantRefundTests {
    private func requireRestored(_ answer: Answer, status: Int = 502) throws {
        #expect(answer.status == status)
        let refund = try answer.problem()["refund"]
        #expect(refund?["form"]?.stringValue == "call-restored")
        #expect(refund?["amount"]?.stringValue == "2000")
        #expect(refund?["unit"]?.stringValue == "msat")
        #expect(answer.header("X-Cashu") == nil)
        #expect(answer.header("Payment-Receipt") == nil)
        #expect(answer.receipt?.claims.outcome == .refunded)
        #expect(answer.receipt?.verdict().isValid == true)
    }

    @Test("CALL-14, GRA-5: an upstream that fails gives the call back: the credential is good for it once more")
    func restored() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            for way in ["l402", "payment-lightning"] {
                let asked = try await client.call(port, "/s/weather/fail")
                let value = way == "l402" ? try node.payL402(asked) : try node.payCharge(asked)
                let headers = [("Authorization", value)]
                let before = upstream.count
                for _ in 0..<2 {
                    let answer = try await client.call(port, "/s/weather/fail", headers: headers)
                    try requireRestored(answer)
                    #expect(answer.receipt?.claims.dialect == way)
                }
                // Each time a call was tried, none was charged.
                #expect(upstream.count == before + 2)
                // Under a key the same call stays the same call.
                for _ in 0..<2 {
                    try requireRestored(try await client.call(port, "/s/weather/fail", key: way, headers: headers))
                }
                #expect(upstream.count == before + 3)
                #expect(try await node.requireConservation() == [])
                guard way == "l402" else { continue }
                #expect(try await client.call(port, "/s/weather/good", headers: headers).status == 200)
                #expect(try await client.call(port, "/s/weather/else", headers: headers).code == "credential-used-up")
            }
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GRA-5: a call that was given back can be made for 30 days, whatever the credential says of its end")
    func restoredForLong() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let asked = try await client.call(port, "/s/weather/fail")
            let l402 = [("Authorization", try node.payL402(asked))]
            let other = try await client.call(port, "/s/weather/fail?b")
            let charge = [("Authorization", try node.payCharge(other))]
            try requireRestored(try await client.call(port, "/s/weather/fail", headers: l402))
            try requireRestored(try await client.call(port, "/s/weather/fail?b", headers: charge))
            node.clock.advance(seconds: 29 * 86_400)
            await (try node.gateway).housekeep()
            try requireRestored(try await client.call(port, "/s/weather/fail?b", headers: charge))
            #expect(try await client.call(port, "/s/weather/good", headers: l402).status == 200)
            #expect(try await client.call(port, "/s/weather/more", headers: l402).code == "credential-used-up")
            // The charge's was given back once more; at the end of its time it is the seller's.
            node.clock.advance(seconds: 30 * 86_400)
            #expect(try await client.call(port, "/s/weather/fail?b", headers: charge).code == "credential-expired")
            await (try node.gateway).housekeep()
            #expect(try await client.call(port, "/api/gateway").problem()["prepaidMsat"]?.stringValue == "0")
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("GRA-5: of a pass whose time is over, only the calls that were given back are left")
    func restoredOfPass() async throws {
        try await withSeller(sellsOverLightning: true, service: { $0.pass = .seconds(60) }) {
            node,
            upstream,
            client,
            port in
            let headers = [("Authorization", try node.payL402(try await client.call(port)))]
            #expect(try await client.call(port, "/s/weather/fail", headers: headers).status == 502)
            node.clock.advance(seconds: 3600)
            #expect(try await client.call(port, headers: headers).status == 200)
            #expect(try await client.call(port, headers: headers).code == "credential-expired")
            #expect(try await node.requireConservation() == [])
        }
    }

    /// Leaves a call as a process does that is killed while the upstream works, and starts anew on a copy of its files.
    private func killed(
        idempotent: Bool,
        pays: @escaping @Sendable (TestNode, Answer) throws -> String,
        _ check: @escaping @Sendable (TestNode, TestUpstream, HTTPClient, Int, [(String, String)]) async throws -> Void
    ) async throws {
        let upstream = TestUpstream()
        try await withServer(upstream.router()) { upstreamPort in
            let first = try TestNode(sellsOverLightning: true)
            try await first.start()
            try await first.sell(upstream: upstreamPort, idempotent: idempotent)
            let second = try TestNode(sellsOverLightning: true)
            let headers = try await withServer(try first.router()) { port in
                try await withClient { client in
                    let value = try pays(first, try await client.call(port, "/s/weather/slow"))
                    let headers = [("Authorization", value)]
                    let call = Task { try await client.call(port, "/s/weather/slow", headers: headers) }
                    while upstream.count == 0 { try await Task.sleep(for: .milliseconds(5)) }
                    for file in ["node.sqlite", "node.sqlite-wal"] {
                        try FileManager.default.copyItem(
                            atPath: first.folder.path + "/" + file,
                            toPath: second.folder.path + "/" + file
                        )
                    }
                    call.cancel()
                    _ = try? await call.value
                    return headers
                }
            }
            try await first.stop()
            try await second.start()
            try await withServer(try second.router()) { port in
                try await withClient { client in try await check(second, upstream, client, port, headers) }
            }
            #expect(try await second.requireConservation() == [])
            try await second.stop()
        }
    }

    @Test(
        "GRA-5, CALL-9: killed in the middle of the call: given back, told once, then good for a new call",
        arguments: [true, false]
    )
    func crash(byL402: Bool) async throws {
        try await killed(idempotent: false, pays: { byL402 ? try $0.payL402($1) : try $0.payCharge($1) }) {
            node,
            upstream,
            client,
            port,
            headers in
            let told = try await client.call(port, "/s/weather/slow", headers: headers)
            try requireRestored(told)
            #expect(upstream.count == 1)
            let again = try await client.call(port, "/s/weather/slow", headers: headers)
            #expect(again.status == 200)
            #expect(upstream.count == 2)
            let replayed = try await client.call(port, "/s/weather/slow", headers: headers)
            #expect(replayed.header("Idempotent-Replayed") == "true")
            #expect(replayed.receipt?.claims.id != told.receipt?.claims.id)
            #expect(upstream.count == 2)
        }
    }

    @Test("GRA-5, CALL-9: killed in the middle of an idempotent call: it is called again on retry, and charged once")
    func crashIdempotent() async throws {
        try await killed(idempotent: true, pays: { try $0.payL402($1) }) { node, upstream, client, port, headers in
            for _ in 0..<2 {
                let answer = try await client.call(port, "/s/weather/slow", headers: headers)
                #expect(answer.text == "answer 2")
            }
            let other = try await client.call(port, "/s/weather/x", headers: headers)
            #expect(other.code == "credential-used-up")
            #expect(upstream.count == 2)
        }
    }

    @Test("GRA-5, CALL-9: an interrupted call that nobody asks for again is given back after a while")
    func nobodyAsks() async throws {
        try await killed(idempotent: true, pays: { try $0.payL402($1) }) { node, upstream, client, port, headers in
            node.clock.advance(seconds: 601)
            await (try node.gateway).housekeep()
            #expect(try await client.call(port, "/s/weather/x", headers: headers).status == 200)
            #expect(upstream.count == 2)
        }
    }

    @Test("GRA-4: a credential and its call outlive the process: the stored answer comes after a restart")
    func restart() async throws {
        try await withSeller(sellsOverLightning: true) { node, upstream, client, port in
            let asked = try await client.call(port)
            let headers = [("Authorization", try node.payL402(asked))]
            let unused = [("Authorization", try node.payCharge(try await client.call(port, "/s/weather/b")))]
            #expect(try await client.call(port, headers: headers).status == 200)
            try await node.restart()
            try await withServer(try node.router()) { port in
                let again = try await client.call(port, headers: headers)
                #expect(again.header("Idempotent-Replayed") == "true")
                let late = try await client.call(port, "/s/weather/b", headers: unused)
                #expect(late.text == "answer 2")
            }
            #expect(upstream.count == 2)
            #expect(try await node.requireConservation() == [])
        }
    }
}
