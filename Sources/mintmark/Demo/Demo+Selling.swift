import CanonicalJSON
import Encodings
import Foundation
import NIOHTTP1
import Node
import Passports
import SignedDocuments
import Storage

/// The first half: keys, nodes, an agent, a service for sale.
extension Demo {
    func setUp() async throws {
        try await report.step("keys", "Two nodes get their keys", command: "mintmark init") { [self] in
            try seller.make()
            try buyer.make()
            try buyer.trust(seller.did)
            return (
                ["seller": .string(seller.did), "buyer": .string(buyer.did)],
                "seller \(seller.did)\nbuyer  \(buyer.did)"
            )
        }
        try await report.step("start", "Both nodes start", command: "mintmark serve") { [self] in
            try await lightning.start(untilLine: "Lightning simulator")
            let line = try await service.start(untilLine: "listening on")
            servicePort = Int(line.split(separator: " ").last ?? "") ?? 0
            let sellerReady = try await seller.start()
            let buyerReady = try await buyer.start()
            _ = try await buyer.call(.post, "/api/peers", ["address": try await seller.gossipAddress()])
            try await waitUntil("the two hear each other") {
                let (one, two) = (try await buyer.isInMesh("listing"), try await seller.isInMesh("listing"))
                return one && two
            }
            let megabytes = Double(seller.process.residentBytes) / 1_048_576
            return (
                [
                    "sellerReadyMilliseconds": .double(sellerReady.rounded(to: 1)),
                    "buyerReadyMilliseconds": .double(buyerReady.rounded(to: 1)),
                    "sellerResidentMegabytes": .double(megabytes.rounded(to: 1)),
                ],
                "seller \(seller.url) (ready in \(Int(sellerReady)) ms, \(Int(megabytes)) MB), "
                    + "buyer \(buyer.url) (\(Int(buyerReady)) ms)\n"
                    + "they meet on the gossip network (mintmark peers add …), and the buyer hears what the seller tells "
                    + "(gossip.trustedIssuers)\n"
                    + "a Lightning simulator (TEST MONEY), and a weather service on port \(servicePort) that knows "
                    + "nothing of money"
            )
        }
        try await report.step(
            "register",
            "The buyer's node registers an agent",
            command: "mintmark agent register planner --capability pay,invoke --spend-limit 5000sat/day"
        ) { [self] in
            let answer = try await buyer.call(
                .post,
                "/api/agents",
                [
                    "name": "planner", "capabilities": ["pay", "invoke"],
                    "spendLimit": ["currency": "XBT", "amountMinor": "5000", "period": "P1D"],
                ]
            )
            let passport = answer["passport"] ?? .null
            passportID = try passport.string("id")
            try Data(passport.serialized()).write(to: URL(filePath: folder + "/passport.json"))
            return (
                ["passport": .string(passportID), "agent": answer["agent"]?["id"] ?? .null],
                "planner has passport \(passportID), valid until \(passport.shown("validUntil"))"
            )
        }
        try await report.step(
            "verify-passport",
            "Anybody can check that passport offline",
            command: "mintmark verify passport.json --issuer \(buyer.did)"
        ) { [self] in
            let bytes = [UInt8](try Data(contentsOf: URL(filePath: folder + "/passport.json")))
            let passport = try Passport(bytes: bytes)
            let verifier = PassportVerifier(
                trustedIssuers: [try DIDKey(parsing: buyer.did)],
                statusPolicy: .skipped
            )
            let clock = ContinuousClock()
            let begin = clock.now
            let verdict = verifier.verify(passport, now: WallClock.system.now(), statusLists: [:])
            let microseconds = (clock.now - begin).milliseconds * 1000
            try require(verdict.isValid, "the passport does not verify: \(verdict.reasons)")
            return (
                ["microseconds": .double(microseconds.rounded(to: 1)), "bytes": JSONValue(bytes.count)],
                "signature, issuer, dates and capabilities hold (\(Int(microseconds)) µs, \(bytes.count) bytes)"
            )
        }
    }

    private static let prices: JSONValue = [["path": "/*", "amount": "2", "unit": "sat"]]
    private var upstream: String { "http://127.0.0.1:\(servicePort)" }

    /// To agents of the buyer's node that may `invoke`.
    func sellWeather(at node: DemoNode) async throws {
        _ = try await node.call(
            .post,
            "/api/services",
            [
                "name": "weather", "upstream": .string(upstream), "prices": Self.prices,
                "passport": ["trustedIssuers": [.string(buyer.did)], "capability": "invoke"],
                "summary": "Weather of today for a city, as JSON", "sla": "p95=500ms,uptime=99.5",
                "listing": ["tags": ["weather", "forecast"]],
            ]
        )
    }

    func sell() async throws {
        try await report.step(
            "sell",
            "The seller puts the weather service on sale",
            command: "mintmark service add weather --upstream http://127.0.0.1:\(servicePort) --price 2sat"
                + " --trust \(buyer.did) --capability invoke --summary 'Weather of today for a city, as JSON'"
                + " --tag weather,forecast"
        ) { [self] in
            let begin = ContinuousClock.now
            try await sellWeather(at: seller)
            // Asked at once, so that the next step can tell how long it took.
            try await waitUntil("the buyer has heard of it") { try await !search().isEmpty }
            foundMilliseconds = (ContinuousClock.now - begin).milliseconds
            _ = try await seller.call(
                .post,
                "/api/services",
                ["name": "open", "upstream": .string(upstream), "prices": Self.prices]
            )
            return (
                ["priceSat": 2],
                "\(seller.url)/s/weather/: 2 sat a call, for agents of the buyer's node that may `invoke`\n"
                    + "\(seller.url)/s/open/: the same for anybody who pays"
            )
        }
        try await report.step("unpaid", "A call without payment is answered with 402") { [self] in
            let answer = try await get("\(seller.url)/s/open/today")
            try require(answer.status == 402, "the answer was \(answer.status): \(answer.body)")
            let request = answer.headers.first(name: "X-Cashu") ?? ""
            try require(request.hasPrefix("creq"), "the 402 has no X-Cashu payment request")
            return (
                ["status": 402, "headerBytes": JSONValue(request.utf8.count)],
                "402 Payment Required, X-Cashu: \(request.prefix(40))… (NUT-24)"
            )
        }
        try await report.step(
            "fund",
            "The buyer's wallet is filled at the seller's mint",
            command: "mintmark wallet fund 200sat --mint \(seller.url)/mint"
        ) { [self] in
            let answer = try await buyer.call(
                .post,
                "/api/wallet/fund",
                ["amount": "200", "unit": "sat", "mint": .string(seller.url + "/mint")]
            )
            try require(answer.shown("state") == "issued", "the funding is \(answer.shown("state"))")
            return (["amountSat": 200], "200 sat of TEST MONEY, paid over (simulated) Lightning, turned into ecash")
        }
    }
}
