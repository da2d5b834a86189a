import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import HTTPSignatures
import NIOCore
import NIOHTTP1
import Node
import Passports
import Receipts
import SignedDocuments
import Storage

/// The second half: paying, proving, a replay, a power cut, a revocation.
extension Demo {
    func payAndProve() async throws {
        let url = found.url + "/today"
        try await report.step(
            "pay",
            "The agent pays at the address that it found, and gets its answer",
            command: "mintmark pay \(url) --max 5sat --agent planner"
        ) { [self] in
            let first = try await pay(url)
            try require(
                first.payment.shown("amount") == String(found.amount),
                "\(first.payment.shown("amount")) was paid, not \(found.amount) as listed"
            )
            receiptID = first.payment.shown("receiptID")
            try Data((first.payment["receipt"] ?? .null).serialized()).write(
                to: URL(filePath: folder + "/receipt.json")
            )
            var times: [Double] = []
            for _ in 0..<20 { times.append(try await pay(url).milliseconds) }
            times.sort()
            let median = times[times.count / 2]
            return (
                [
                    "paidSat": .integer(found.amount), "firstMilliseconds": .double(first.milliseconds.rounded(to: 1)),
                    "medianMilliseconds": .double(median.rounded(to: 1)), "calls": JSONValue(times.count + 1),
                ],
                "\(first.body.trimmingCharacters(in: .newlines))\n"
                    + "\(found.amount) \(found.unit), as listed; the first call, with its 402 and a pool of coins locked to the seller: "
                    + "\(Int(first.milliseconds)) ms; 20 more: \(median.rounded(to: 1)) ms each (median)"
            )
        }
        try await report.step(
            "verify-receipt",
            "The signed receipt can be checked offline",
            command: "mintmark verify receipt.json --seller \(found.seller)"
        ) { [self] in
            let bytes = [UInt8](try Data(contentsOf: URL(filePath: folder + "/receipt.json")))
            let receipt = try Receipt(bytes: bytes)
            let expected = Receipt.Expectation(seller: try DIDKey(parsing: found.seller))
            let verdict = receipt.verdict(now: WallClock.system.now(), expecting: expected)
            try require(verdict.isValid, "the receipt does not verify: \(verdict.reasons)")
            return (
                ["receipt": .string(receipt.id), "bytes": JSONValue(bytes.count)],
                "receipt \(receipt.id): \(receipt.claims.amount) \(receipt.claims.unit) for "
                    + "\(receipt.claims.method) \(receipt.claims.target), both parties named, signed by the seller"
            )
        }
        try await report.step("replay", "The same payment, used again, buys nothing") { [self] in
            let key = try await seller.call(.get, "/api/node").string("sellerKey")
            let sent = try await buyer.call(
                .post,
                "/api/wallet/send",
                ["amount": "2", "unit": "sat", "mint": .string(seller.url + "/mint"), "lock": .string(key)]
            )
            let payment = [("X-Cashu", try sent.string("token"))]
            let open = "\(seller.url)/s/open"
            let first = try await get(open + "/today", headers: payment)
            try require(first.status == 200, "the payment was answered with \(first.status): \(first.body)")
            let again = try await get(open + "/today", headers: payment)
            try require(
                again.status == 200 && again.body == first.body
                    && again.headers.first(name: "Agent-Receipt-ID") == first.headers.first(name: "Agent-Receipt-ID"),
                "the repeated call was answered with \(again.status): \(again.body)"
            )
            let other = try await get(open + "/calls", headers: payment)
            try require(other.status == 400, "the payment for another call was answered with \(other.status)")
            return (
                ["sameRequestStatus": JSONValue(again.status), "otherRequestStatus": JSONValue(other.status)],
                "the same request again: the stored answer and the same receipt, nothing charged\n"
                    + "another request with that payment: 400, refused"
            )
        }
    }

    func survive() async throws {
        try await report.step("crash", "The seller is killed in the middle of a paid call and started again") {
            [self] in
            let before = try await buyer.holdings()
            let callsBefore = try await upstreamCalls()
            let url = "\(seller.url)/s/weather/slow"
            guard let client = buyer.client else { throw Failure("the buyer is not running") }
            let call = Task { try await Self.pay(url, through: client) }
            try await waitUntil("the weather service has the call") { try await upstreamCalls() > callsBefore }
            seller.process.kill()
            let restart = try await seller.start()
            let outcome = try? await call.value
            let payment = try await settledPayment(to: url)
            let after = try await buyer.holdings()
            let state = payment.shown("state")
            let charged = before - after
            try require(
                (state == "refunded" && charged == 0) || (state == "served" && charged == 2),
                "the call ended as \(state) and \(charged) sat are gone (\(outcome?.payment.shown("state") ?? "-"))"
            )
            for (name, node) in [("seller", seller), ("buyer", buyer)] {
                let findings = try await node.call(.post, "/api/audit", [:]).array("findings")
                try require(findings.isEmpty, "the \(name)'s books do not add up: \(findings)")
            }
            return (
                [
                    "restartMilliseconds": .double(restart.rounded(to: 1)), "outcome": .string(state),
                    "chargedSat": .integer(Int64(charged)),
                    "upstreamCalls": JSONValue(try await upstreamCalls() - callsBefore),
                ],
                "killed with the call at the weather service, ready again after \(Int(restart)) ms\n"
                    + "the buyer asked again with the same key and payment: \(state), \(charged) sat charged; "
                    + "the books of both nodes add up"
            )
        }
    }

    // MARK: Helpers

    /// What a call through the buyer's node came to.
    struct Paid: Sendable {
        let body: String
        let payment: JSONValue
        let milliseconds: Double
    }

    func pay(_ url: String) async throws -> Paid {
        guard let client = buyer.client else { throw Failure("the buyer is not running") }
        return try await Self.pay(url, through: client)
    }

    private static func pay(_ url: String, through client: NodeClient) async throws -> Paid {
        let clock = ContinuousClock()
        let begin = clock.now
        let response = try await client.stream(
            .post,
            "/api/pay",
            headers: [
                (PayHeader.url, url), (PayHeader.method, "GET"), (PayHeader.max, "5sat"), (PayHeader.agent, "planner"),
            ],
            body: nil,
            timeoutSeconds: 60
        )
        let body = try await response.body.collect(upTo: 1 << 20)
        let milliseconds = (clock.now - begin).milliseconds
        guard response.headers.first(name: PayHeader.status) != nil else {
            throw NodeClient.failure((try? JSONValue.parse([UInt8](buffer: body))) ?? .null, response.status)
        }
        let id = response.headers.first(name: PayHeader.payment) ?? ""
        return Paid(
            body: String(buffer: body),
            payment: try await client.call(.get, "/api/payments/\(id)"),
            milliseconds: milliseconds
        )
    }

    func upstreamCalls() async throws -> Int {
        let answer = try await get("http://127.0.0.1:\(servicePort)/calls")
        return Int(answer.body.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }

    func waitUntil(_ what: String, _ condition: () async throws -> Bool) async throws {
        for _ in 0..<500 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw Failure("after 5 s still not: \(what)")
    }

    /// The payment for a call, once its outcome is known.
    func settledPayment(to url: String) async throws -> JSONValue {
        for _ in 0..<100 {
            _ = try await buyer.call(.post, "/api/payments/resume", [:])
            let payments = try await buyer.call(.get, "/api/payments?limit=10").array("payments")
            if let payment = payments.first(where: { $0.shown("url") == url }),
                ["served", "refunded", "refused"].contains(payment.shown("state"))
            {
                return payment
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Failure("the outcome of the payment is still not known")
    }
}

/// What a thief has: an agent's key and its passport.
struct StolenAgent {
    let passportID: String
    private let passport: Passport
    private let key: Ed25519.PrivateKey

    /// Registers the agent with a key of its own, by proof of possession.
    init(registeredAt node: DemoNode) async throws {
        key = Ed25519.PrivateKey()
        let asked = try await node.call(.post, "/api/agents/challenge", [:])
        let challenge = try asked.string("challenge")
        let issuer = try DIDKey(parsing: try asked.string("node"))
        let signature = try PossessionProof.sign(.registration, challenge: challenge, node: issuer, key: key)
        let answer = try await node.call(
            .post,
            "/api/agents",
            [
                "name": "scout", "capabilities": ["invoke"], "did": .string(DIDKey(key.publicKey).string),
                "challenge": .string(challenge), "signature": .string(signature),
            ]
        )
        passport = try Passport(document: try answer.object("passport"))
        passportID = passport.id
    }

    /// What makes a GET of `url` the agent's.
    func headers(_ url: String) throws -> [(String, String)] {
        let now = WallClock.system.now()
        let header = ("Agent-Passport", passport.encodedHeader)
        let signed = try HTTPSignatures.sign(
            RequestFacts(method: "GET", targetURI: url, headers: [header]),
            key: key,
            created: now,
            expires: now.adding(seconds: 30)
        )
        return [header, ("Signature-Input", signed.signatureInput), ("Signature", signed.signature)]
    }
}
