import CanonicalJSON
import Encodings
import Foundation
import Node

/// A call bought through the market, by escrow: from the words to the answer.
extension Demo {
    private static let words = "climate almanac"

    func buyByEscrow() async throws {
        try await report.step(
            "escrow",
            "A call is bought through the market, by escrow",
            command: "mintmark market buy \(Self.words) --path /today --budget 20sat"
        ) { [self] in
            try await sellClimate()
            let clock = ContinuousClock()
            let begin = clock.now
            let job = try await buy("/today")
            let milliseconds = (clock.now - begin).milliseconds
            try require(job.shown("ending") == "claimed", "the job is \(job.shown("state")): \(job.shown("note"))")
            let answer = try Base64URL.decode(job.object("answer").string("body"))
            let price = job.shown("price")
            return (
                ["milliseconds": .double(milliseconds.rounded(to: 1)), "paidSat": .integer(Int64(price) ?? 0)],
                "\(String(decoding: answer, as: UTF8.self).trimmingCharacters(in: .newlines))\n"
                    + "found by words, a firm quote, the answer sealed, \(price) sat locked for it, the key for the money: "
                    + "\(Int(milliseconds)) ms in all"
            )
        }
        try await report.step(
            "no-delivery",
            "A seller that delivers nothing gets nothing",
            command: "mintmark market buy \(Self.words) --path /broken --budget 20sat"
        ) { [self] in
            let before = try await buyer.holdings()
            let job = try await buy("/broken")
            let after = try await buyer.holdings()
            try require(
                job.shown("ending") == "refunded" && before == after,
                "the job is \(job.shown("state")), and of \(before) sat there are \(after)"
            )
            return (
                ["chargedSat": .integer(Int64(before - after))],
                "the service failed, so the seller had nothing to seal, and the buyer locked no money: \(after) sat as before"
            )
        }
    }

    private func sellClimate() async throws {
        _ = try await seller.call(
            .post,
            "/api/services",
            [
                "name": "climate", "upstream": .string("http://127.0.0.1:\(servicePort)"),
                "prices": [["path": "/*", "amount": "5", "unit": "sat"]],
                "summary": "Climate almanac of a city, as JSON", "listing": ["escrow": ["key"]],
            ]
        )
        let query = Self.words.replacingOccurrences(of: " ", with: "%20")
        try await waitUntil("the buyer has heard of it") {
            try await !buyer.call(.get, "/api/market/search?q=\(query)").array("listings").isEmpty
        }
    }

    private func buy(_ path: String) async throws -> JSONValue {
        try await buyer.call(
            .post,
            "/api/market/buy",
            ["words": .string(Self.words), "path": .string(path), "budget": "20sat", "waitMilliseconds": 20_000]
        )
    }
}
