import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import HTTPSignatures
import Identity
import NIOHTTP1
import Passports
import SignedDocuments
import Storage
import TestSupport
import Testing

/// A seller that asks for a passport, called by those who should not get in. Nothing but the money is missing where the
/// answer is 402; each refusal has its own code.
@Suite("Who asks, over the wire", .serialized)
struct CallerTests {
    private func expect(
        _ status: Int,
        _ code: String,
        _ world: World,
        _ agent: ShownAgent,
        _ headers: [(String, String)],
        location: SourceLocation = #_sourceLocation
    ) async throws {
        let answer = try await world.get(agent.url, headers: headers)
        #expect(answer.status == status, "\(answer.text)", sourceLocation: location)
        #expect(answer.code == code, "\(answer.text)", sourceLocation: location)
    }

    @Test("A replayed, altered, foreign or old signature is refused, each with its code")
    func signatures() async throws {
        try await World.with { world in
            let agent = try await world.shownAgent()
            // Signatures older than the seller's process are not taken; let that second pass.
            try await Task.sleep(for: .milliseconds(1100))
            // The challenge is for anybody; who asks is looked at once a payment or a key is shown.
            let key = [("Idempotency-Key", "k-1")]
            let good = try agent.headers(more: key)
            try await expect(402, "payment-required", world, agent, good)
            try await expect(401, "signature-replayed", world, agent, good)

            var changed = try agent.headers(more: key)
            changed[1].1 = "k-2"
            try await expect(401, "signature-invalid", world, agent, changed)
            // A header that must be covered, added after signing.
            let added = try agent.headers() + key
            try await expect(401, "signature-not-covering", world, agent, added)
            let elsewhere = try ShownAgent(key: agent.key, passport: agent.passport, url: agent.url + "0").headers(
                more: key
            )
            try await expect(401, "signature-invalid", world, agent, elsewhere)
            try await expect(
                401,
                "signature-key-mismatch",
                world,
                agent,
                try agent.headers(key: Ed25519.PrivateKey(), more: key)
            )
            try await expect(401, "signature-expired", world, agent, try agent.headers(age: 31, more: key))
            try await expect(401, "signature-from-future", world, agent, try agent.headers(age: -20, more: key))
            let unsigned = try agent.headers(more: key).filter { !$0.0.hasPrefix("Signature") }
            try await expect(401, "signature-missing", world, agent, unsigned)
            #expect(world.upstream.total == 0)

            // A restart forgets which signatures were seen: what was signed before it is not taken.
            let early = try agent.headers(more: key)
            try await Task.sleep(for: .milliseconds(1100))
            await world.seller.kill()
            try await world.seller.start()
            try await expect(401, "signature-predates-start", world, agent, early)
        }
    }

    @Test("A forged, expired or foreign passport is refused, each with its code")
    func passports() async throws {
        try await World.with { world in
            let issuer = Ed25519.PrivateKey()
            let agent = try await world.shownAgent(trusting: [DIDKey(issuer.publicKey).string])
            try await Task.sleep(for: .milliseconds(1100))
            let key = [("Idempotency-Key", "k-1")]
            func refused(_ status: Int, _ code: String, _ passport: JSONObject) async throws {
                let header = Base64URL.encode(JSONValue.object(passport).serialized())
                try await expect(status, code, world, agent, try agent.headers(passport: header, more: key))
            }
            var forged = agent.passport.document
            forged["validUntil"] = "2099-01-01T00:00:00Z"
            try await refused(401, "bad-signature", forged)
            try await refused(401, "malformed", ["type": "passport"])

            let now = WallClock.system.now()
            func issued(by key: Ed25519.PrivateKey, from: Int64, until: Int64, _ capabilities: [String]) throws
                -> JSONObject
            {
                try Passport.issue(
                    PassportClaims(
                        id: "urn:uuid:" + UUID().uuidString.lowercased(),
                        agentID: agent.passport.agentID,
                        subject: DIDKey(agent.key.publicKey),
                        name: "scout",
                        capabilities: capabilities,
                        validFrom: now.adding(seconds: from),
                        validUntil: now.adding(seconds: until),
                        status: agent.passport.status
                    ),
                    key: key,
                    now: now
                ).document
            }
            try await refused(401, "expired", issued(by: issuer, from: -7200, until: -3600, ["invoke"]))
            try await refused(401, "not-yet-valid", issued(by: issuer, from: 3600, until: 7200, ["invoke"]))
            try await refused(403, "capability-missing", issued(by: issuer, from: -60, until: 3600, ["pay"]))
            let stranger = Ed25519.PrivateKey()
            try await refused(403, "untrusted-issuer", issued(by: stranger, from: -60, until: 3600, ["invoke"]))
            // The buyer's lists say nothing of another issuer's passports.
            try await refused(403, "status-invalid", issued(by: issuer, from: -60, until: 3600, ["invoke"]))
            #expect(world.upstream.total == 0)
        }
    }

    @Test("Revoked, suspended, and a status list too old: the next call is refused")
    func status() async throws {
        try await World.with { world in
            let agent = try await world.shownAgent(maximumAgeSeconds: 2)
            try await Task.sleep(for: .milliseconds(1100))
            let key = [("Idempotency-Key", "k-1")]
            func call() async throws -> PlainAnswer {
                try await world.get(agent.url, headers: agent.headers(more: key))
            }
            /// Calls until the answer is this, for as long as an older list may be used and a little more.
            func becomes(_ status: Int, _ code: String) async throws {
                let deadline = ContinuousClock.now + .seconds(10)
                var last = try await call()
                while last.code != code, ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(100))
                    last = try await call()
                }
                #expect(last.status == status)
                #expect(last.code == code, "\(last.text)")
            }
            #expect(try await call().status == 402)
            #expect(try await world.buyer.command("passport", "suspend", "scout").status == 0)
            try await becomes(403, "suspended")
            #expect(try await world.buyer.command("passport", "restore", "scout").status == 0)
            try await becomes(402, "payment-required")

            // The issuer is gone: within the list's age calls go on, after it they are refused.
            await world.buyer.kill()
            try await becomes(403, "status-stale")
            try await world.buyer.start()
            try await becomes(402, "payment-required")

            #expect(try await world.buyer.command("passport", "revoke", "scout", "--yes").status == 0)
            try await becomes(403, "revoked")
            #expect(world.upstream.total == 0)
        }
    }

    @Test("A node's agent pays with its passport; once revoked it is refused, and nothing is charged")
    func paying() async throws {
        try await World.with { world in
            _ = try await world.shownAgent(maximumAgeSeconds: 1)
            #expect(
                try await world.buyer.command("agent", "register", "planner", "--capability", "invoke,pay").status == 0
            )
            #expect(try await world.fund(100).status == 200)
            let url = world.seller.url + "/s/weather/now/2"
            // On a slow machine a list can be older than a second when it comes; nothing is taken then.
            var paid = try await world.buyer.command("pay", url, "--max", "5sat", "--agent", "planner", "--json")
            for _ in 0..<20 where paid.output.contains("status-stale") {
                paid = try await world.buyer.command("pay", url, "--max", "5sat", "--agent", "planner", "--json")
            }
            #expect(paid.status == 0, "\(paid)")
            let anonymous = try await world.buyer.command("pay", url, "--max", "5sat", "--json")
            #expect(anonymous.status != 0 && anonymous.output.contains("passport"), "\(anonymous)")
            let calls = world.upstream.total
            #expect(try await world.buyer.command("passport", "revoke", "planner", "--yes").status == 0)
            let revoked = try await world.buyer.command("pay", url, "--max", "5sat", "--agent", "planner", "--json")
            #expect(revoked.status != 0, "\(revoked)")
            #expect(world.upstream.total == calls)
            let sums = try Books(world.buyer).sums()
            #expect(sums.wallet == 98 && sums.open == 0, "\(sums)")
        }
    }
}
