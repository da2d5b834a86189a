import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Foundation
import Node

/// The end: five nodes on the gossip network, and a stolen agent that all of them refuse.
extension Demo {
    private static let shopCount = 3

    func meet() async throws {
        try await report.step(
            "meet",
            "Three more nodes start, and all five meet on the gossip network",
            command: "mintmark peers add /ip4/127.0.0.1/tcp/…/p2p/12D3Koo…"
        ) { [self] in
            for number in 1...Self.shopCount {
                let shop = try await DemoNode("shop-\(number)", in: folder, environment: environment)
                shops.append(shop)
                try shop.make()
                _ = try await shop.start()
                try await sellWeather(at: shop)
            }
            // All know the seller alone: of each other, and of the issuer, they hear through it.
            let address = try await seller.gossipAddress()
            // The buyer too: after its new start the seller listens elsewhere.
            for node in shops + [buyer] { _ = try await node.call(.post, "/api/peers", ["address": address]) }
            for node in shops + [buyer] {
                try await waitUntil("\(node.name) hears the seller") { try await node.isInMesh("status") }
            }
            return (
                ["nodes": JSONValue(shops.count + 2), "seller": address],
                "libp2p with GossipSub; the seller at \(address.stringValue ?? "")"
            )
        }
    }

    func end() async throws {
        let sellers = [seller] + shops
        let thief = try await StolenAgent(registeredAt: buyer)
        try await report.step(
            "stolen",
            "An agent's own key is stolen, and the thief calls four sellers in its name",
            command: "mintmark agent register scout --key scout.key --capability invoke"
        ) { [self] in
            for node in sellers {
                let url = "\(node.url)/s/weather/today"
                let answer = try await get(url, headers: try thief.headers(url))
                try require(
                    answer.status == 402,
                    "the \(node.name) answered the thief with \(answer.status): \(answer.body)"
                )
            }
            return (
                ["passport": .string(thief.passportID), "status": 402, "sellers": JSONValue(sellers.count)],
                "passport and signature are good, so all of them answer 402: only the money is missing"
            )
        }
        let clock = ContinuousClock()
        var revoked = clock.now
        try await report.step(
            "revoke",
            "Its passport is revoked",
            command: "mintmark passport revoke \(thief.passportID) --reason keyCompromise"
        ) { [self] in
            let id = thief.passportID.urlSegment
            _ = try await buyer.call(.post, "/api/passports/\(id)/revoke", ["reason": "keyCompromise"])
            revoked = clock.now
            return (
                ["passport": .string(thief.passportID)],
                "revoked for good, with every unexpired passport of that key; renewal stops"
            )
        }
        try await report.step("refused", "The thief's next calls are refused, everywhere") { [self] in
            let since = revoked
            let refusals = try await withThrowingTaskGroup(of: Refusal.self) { group in
                for node in sellers {
                    let (name, url) = (node.name, "\(node.url)/s/weather/today")
                    group.addTask { [http] in
                        try await Self.refusal(of: thief, at: url, since: since, name: name, http: http)
                    }
                }
                return try await group.reduce(into: [Refusal]()) { $0.append($1) }
            }.sorted { $0.milliseconds < $1.milliseconds }
            let last = refusals[refusals.count - 1]
            let each = refusals.map { "\($0.name) \(Int($0.milliseconds)) ms" }.joined(separator: ", ")
            return (
                [
                    "refusedAfterMilliseconds": .double(last.milliseconds.rounded(to: 1)), "code": .string(last.code),
                    "passedMeanwhile": JSONValue(refusals.reduce(0) { $0 + $1.passed }),
                    "sellers": .object(
                        JSONObject(refusals.map { ($0.name, .double($0.milliseconds.rounded(to: 1))) })
                    ),
                ],
                "403 (\(last.code)) after \(each)\n"
                    + "told by gossip, over the seller: each of them would take a status list that is 60 s old"
            )
        }
    }

    private struct Refusal: Sendable {
        var name: String
        var milliseconds: Double
        var code: String
        /// Calls that were still answered 402.
        var passed: Int
    }

    /// Calls until the thief is refused.
    private static func refusal(
        of thief: StolenAgent,
        at url: String,
        since: ContinuousClock.Instant,
        name: String,
        http: HTTPClient
    ) async throws -> Refusal {
        var passed = 0
        while true {
            let answer = try await get(url, headers: try thief.headers(url), by: http)
            let milliseconds = (ContinuousClock.now - since).milliseconds
            if answer.status == 403 {
                let code = (try? JSONValue.parse(Array(answer.body.utf8)))?.shown("code") ?? ""
                return Refusal(name: name, milliseconds: milliseconds, code: code, passed: passed)
            }
            passed += 1
            guard milliseconds < 5_000 else {
                throw Failure("5 s after the revocation the \(name) still answers the thief with \(answer.status)")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
