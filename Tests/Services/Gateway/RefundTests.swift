import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Foundation
import Gateway
import Hummingbird
import NIOCore
import Paywall
import Receipts
import Storage
import Synchronization
import Testing

@Suite("Calls that are not charged")
struct RefundTests {
    /// The refund's proofs are the ones paid, and the mint would let their holder spend them now.
    private func requireSpendable(_ text: String, paid: String, node: TestNode) throws {
        let refund = try Token(text)
        let original = try Token(paid)
        #expect(refund.mint == original.mint)
        #expect(
            refund.groups.flatMap(\.proofs).map { Array($0.secret.utf8) }
                == original.groups.flatMap(\.proofs).map { Array($0.secret.utf8) }
        )
        let proofs = try refund.proofs(knownKeysets: [node.mint.keyset.keyset.id])
        for proof in proofs {
            let witness = try P2PKWitness(try #require(proof.witness))
            guard case .conditional(let secret) = SecretKind(of: proof.secret) else {
                Issue.record("not locked")
                continue
            }
            let condition = try P2PKCondition(secret: secret)
            let isSigned = witness.signatures.contains { signature in
                Secp256k1.Schnorr.isValid(
                    signature: signature,
                    message: Hashing.sha256(SpendingMessage.inputs(proof)),
                    publicKeyX: condition.mainKey.xOnly
                )
            }
            #expect(isSigned)
        }
    }

    @Test("CALL-9: a key that is out of reach as a call ends: once it is back the call is refunded, without a restart")
    func keyAway() async throws {
        try await withSeller { node, upstream, client, port in
            let tokens = [try node.payment(2), try node.payment(2)]
            node.key.setAway(true)
            for token in tokens { #expect(try await client.call(port, payment: token).status >= 500) }
            // Rounds that come too early lose nothing of it.
            for _ in 0..<2 { try await node.gateway.housekeep() }
            #expect(try await SQLiteClaimStore(database: node.database).totals().claimsByState == [.running: 2])
            node.key.setAway(false)
            try await node.gateway.housekeep()
            #expect(try await SQLiteClaimStore(database: node.database).totals().claimsByState == [.refunded: 2])
            for token in tokens {
                let again = try await client.call(port, payment: token)
                try requireSpendable(try #require(again.header("X-Cashu")), paid: token, node: node)
            }
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-14: an upstream that answers 5xx, hangs, or dies before its answer is whole: the same proofs come back")
    func upstreamFails() async throws {
        try await withSeller(service: {
            $0.timeouts = CallTimeouts(connectSeconds: 1, idleSeconds: 1, totalSeconds: 20)
        }) {
            node,
            upstream,
            client,
            port in
            for (path, status, code) in [
                ("/fail", 502, "upstream-failed"), ("/hang", 504, "upstream-timeout"),
                ("/dies-short", 502, "upstream-failed"),
            ] {
                let token = try node.payment(2)
                let answer = try await client.call(port, "/s/weather" + path, payment: token, key: path)
                #expect(answer.status == status)
                let problem = try JSONValue.parse(answer.body)
                #expect(problem["code"]?.stringValue == code)
                #expect(problem["refund"]?["amount"]?.stringValue == "2")
                #expect(problem["refund"]?["form"]?.stringValue == "same-proofs-signed")
                let refund = try #require(answer.header("X-Cashu"))
                try requireSpendable(refund, paid: token, node: node)
                #expect(answer.receipt?.claims.outcome == .refunded)
                #expect(answer.receipt?.verdict().isValid == true)
                // Asked again: the same refund, no call.
                let calls = upstream.count
                let again = try await client.call(port, "/s/weather" + path, payment: token, key: path)
                #expect(again.status == status)
                #expect(again.header("X-Cashu") == refund)
                #expect(upstream.count == calls)
            }
            #expect(try await node.requireConservation() == [])
            // Never redeemed afterwards.
            await (try node.gateway).housekeep()
            #expect(node.purse.redeemedBatches.withLock { $0 }.isEmpty)
            #expect(node.mint.spent.withLock { $0 }.isEmpty)
        }
    }

    @Test("GWY-8: an upstream that can't be reached is found before anything is asked for or taken")
    func unreachable() async throws {
        try await withSeller(service: { service in
            if let nowhere = try? UpstreamAddress("http://127.0.0.1:1") { service.upstream = nowhere }
        }) { node, _, client, port in
            let unpaid = try await client.call(port)
            #expect(unpaid.status == 503)
            #expect(try JSONValue.parse(unpaid.body)["code"]?.stringValue == "upstream-unavailable")
            #expect(unpaid.header("X-Cashu") == nil)
            let token = try node.payment(2)
            let answer = try await client.call(port, payment: token)
            #expect(answer.status == 503)
            #expect(answer.header("X-Cashu") == nil)
            #expect(answer.header("Retry-After").flatMap { Int($0) } ?? 0 >= 1)
            #expect(!answer.text.contains("127.0.0.1:1"))
            let claims = try await node.database.read { try $0.first("SELECT count(*) FROM gateway_claims")?.int(0) }
            #expect(claims == 0)
        }
    }

    @Test("CALL-18: an upstream that dies in the middle of a long answer: the connection is cut and the call refunded")
    func diesStreaming() async throws {
        try await withSeller { node, upstream, client, port in
            let token = try node.payment(2)
            await #expect(throws: (any Error).self) { try await client.call(port, "/s/weather/dies", payment: token) }
            let again = try await client.call(port, "/s/weather/dies", payment: token)
            #expect(again.status == 502)
            try requireSpendable(try #require(again.header("X-Cashu")), paid: token, node: node)
            #expect(upstream.count == 1)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-13: what is not taken offline is redeemed first, then served")
    func onlineFirst() async throws {
        try await withSeller { node, upstream, client, port in
            let open = try node.mint.token([node.mint.proof(2)])
            let answer = try await client.call(port, payment: open)
            #expect(answer.status == 200)
            #expect(node.mint.spent.withLock { $0.count } == 1)
            // Spent elsewhere: refused, nothing claimed, and the call not made.
            let spentProof = try node.mint.proof(2)
            _ = try node.mint.spent.withLock { $0.insert(try spentProof.hashedSecret().compressed) }
            let spent = try await client.call(port, payment: node.mint.token([spentProof]))
            #expect(spent.status == 400)
            #expect(try JSONValue.parse(spent.body)["code"]?.stringValue == "already-spent")
            #expect(upstream.count == 1)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-14: a call redeemed online that fails is refunded with a fresh token, the same on every retry")
    func onlineRefund() async throws {
        try await withSeller(feePPK: 1000) { node, upstream, client, port in
            let open = try node.mint.token([node.mint.proof(4)])
            // Price 2, fee 1 a proof: 3 would do with one proof of 4.
            let answer = try await client.call(port, "/s/weather/fail", payment: open)
            #expect(answer.status == 502)
            let problem = try JSONValue.parse(answer.body)
            #expect(problem["refund"]?["form"]?.stringValue == "fresh-token")
            let refund = try Token(try #require(answer.header("X-Cashu")))
            #expect(try refund.amount() == 3)
            let again = try await client.call(port, "/s/weather/fail", payment: open)
            #expect(again.header("X-Cashu") == answer.header("X-Cashu"))
            #expect(upstream.count == 1)
            #expect(node.purse.refunds.withLock { $0.count } == 1)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-14: a refund that can't be made yet is pending, and made later without being asked")
    func refundLater() async throws {
        try await withSeller { node, upstream, client, port in
            let open = try node.mint.token([node.mint.proof(2)])
            let first = Task { try await client.call(port, "/s/weather/slow", payment: open) }
            _ = try await first.value
            let failing = try node.mint.token([node.mint.proof(2)])
            // The purse redeems, then goes away before the refund.
            let call = Task { try await client.call(port, "/s/weather/hang", payment: failing) }
            while upstream.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            node.purse.fault.withLock { $0 = .unreachable }
            let answer = try await call.value
            #expect(answer.status == 503)
            #expect(try JSONValue.parse(answer.body)["code"]?.stringValue == "payment-pending")
            #expect(answer.header("Retry-After") != nil)
            node.purse.fault.withLock { $0 = .none }
            node.clock.advance(seconds: 1)
            await (try node.gateway).housekeep()
            let again = try await client.call(port, "/s/weather/hang", payment: failing)
            #expect(again.status == 504)
            #expect(try Token(try #require(again.header("X-Cashu"))).amount() == 2)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-10: an outcome that is not known is 503 payment-pending, never a fresh 402, and resolves on retry")
    func pending() async throws {
        try await withSeller { node, upstream, client, port in
            let open = try node.mint.token([node.mint.proof(2)])
            node.purse.fault.withLock { $0 = .lostAnswer }
            for _ in 0..<2 {
                let answer = try await client.call(port, payment: open)
                #expect(answer.status == 503)
                #expect(try JSONValue.parse(answer.body)["code"]?.stringValue == "payment-pending")
                #expect(answer.header("X-Cashu") == nil)
            }
            #expect(upstream.count == 0)
            node.purse.fault.withLock { $0 = .none }
            let served = try await client.call(port, payment: open)
            #expect(served.status == 200)
            #expect(upstream.count == 1)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-14: a payment of which the mint takes only a part goes back in that part")
    func partly() async throws {
        try await withSeller { node, upstream, client, port in
            let open = try node.mint.token([node.mint.proof(1), node.mint.proof(1)])
            node.purse.fault.withLock { $0 = .refusesFirst }
            let answer = try await client.call(port, payment: open)
            #expect(answer.status == 400)
            #expect(try JSONValue.parse(answer.body)["code"]?.stringValue == "already-spent")
            #expect(try Token(try #require(answer.header("X-Cashu"))).amount() == 1)
            #expect(upstream.count == 0)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-13: over the cap a payment is redeemed first")
    func cap() async throws {
        try await withSeller(configure: { $0.unredeemedCap = 4 }) { node, upstream, client, port in
            for _ in 0..<2 { #expect(try await client.call(port, payment: node.payment(2)).status == 200) }
            #expect(node.mint.spent.withLock { $0.isEmpty })
            #expect(try await client.call(port, payment: node.payment(2)).status == 200)
            #expect(node.mint.spent.withLock { $0.count } == 1)
            await (try node.gateway).housekeep()
            #expect(try await client.call(port, payment: node.payment(2)).status == 200)
            #expect(node.mint.spent.withLock { $0.count } == 3)
            #expect(try await node.requireConservation() == [])
        }
    }
}

@Suite("Redemption in batches")
struct RedemptionTests {
    @Test("CALL-19: served calls are redeemed in batches, once")
    func batches() async throws {
        try await withSeller(configure: { $0.batchLimit = 3 }) { node, _, client, port in
            for _ in 0..<7 { #expect(try await client.call(port, payment: node.payment(2)).status == 200) }
            let gateway = try node.gateway
            await gateway.housekeep()
            await gateway.housekeep()
            #expect(node.purse.redeemedBatches.withLock { $0.map(\.count) } == [3, 3, 1])
            #expect(node.mint.spent.withLock { $0.count } == 7)
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-19: a lost answer and a crash in the middle: the same proofs again, nothing counted twice")
    func lostAnswer() async throws {
        try await withSeller { node, _, client, port in
            for _ in 0..<3 { #expect(try await client.call(port, payment: node.payment(2)).status == 200) }
            node.purse.fault.withLock { $0 = .lostAnswer }
            await (try node.gateway).housekeep()
            #expect(try await node.requireConservation() == [])
            node.purse.fault.withLock { $0 = .none }
            try await node.restart()
            await (try node.gateway).housekeep()
            let batches = node.purse.redeemedBatches.withLock { $0 }
            #expect(batches.count == 2)
            #expect(batches[0] == batches[1])
            let states = try await node.database.read {
                try $0.rows("SELECT state FROM gateway_proofs").map { try $0.text(0) }
            }
            #expect(states == ["redeemed", "redeemed", "redeemed"])
            #expect(try await node.requireConservation() == [])
        }
    }

    @Test("CALL-19: a refused proof turns offline acceptance off, durably, until the operator resumes")
    func refusedProof() async throws {
        try await withSeller { node, _, client, port in
            for _ in 0..<3 { #expect(try await client.call(port, payment: node.payment(2)).status == 200) }
            node.purse.fault.withLock { $0 = .refusesFirst }
            let gateway = try node.gateway
            await gateway.housekeep()
            #expect(gateway.offlineAcceptanceStop != nil)
            node.purse.fault.withLock { $0 = .none }
            // The next call asks the mint first.
            let before = node.mint.spent.withLock { $0.count }
            #expect(try await client.call(port, payment: node.payment(2)).status == 200)
            #expect(node.mint.spent.withLock { $0.count } == before + 1)
            let status = try JSONValue.parse(try await client.call(port, "/api/gateway").body)
            #expect(status["offlineAcceptance"]?.boolValue == false)
            #expect(status["failedProofs"]?.int64Value == 1)
            #expect(status["offlineStopReason"]?.stringValue?.contains(node.mint.url.string) == true)
            #expect(try await node.requireConservation() == [])
            let resumed = try await client.call(port, "/api/gateway/offline/resume", method: "POST")
            #expect(try JSONValue.parse(resumed.body)["offlineAcceptance"]?.boolValue == true)
            #expect(try await client.call(port, payment: node.payment(2)).status == 200)
            #expect(node.mint.spent.withLock { $0.count } == before + 1)
        }
    }

    @Test("CALL-19: the stop survives a restart")
    func stopSurvives() async throws {
        let node = try TestNode()
        try await node.start()
        try await node.gateway.stopOfflineAcceptance(reason: "restored from a backup")
        try await node.restart()
        #expect(try node.gateway.offlineAcceptanceStop as String? == "restored from a backup")
        try await node.stop()
    }
}
