import CanonicalJSON
import Foundation
import Node

/// A service as its seller lists it.
struct FoundService {
    var name: String
    var seller: String
    var url: String
    var amount: Int64
    var unit: String
}

/// The seller is found: by words, in the buyer's own index of what it was told by gossip.
extension Demo {
    private static let words = "weather forecast"

    func search() async throws -> [JSONValue] {
        let query = Self.words.replacingOccurrences(of: " ", with: "%20")
        return try await buyer.call(.get, "/api/market/search?q=\(query)&max=5sat&dialect=cashu").array("listings")
    }

    func find() async throws {
        try await report.step(
            "find",
            "The buyer finds the seller, by what it was told by gossip",
            command: "mintmark market search \(Self.words) --max-price 5sat --dialect cashu"
        ) { [self] in
            let clock = ContinuousClock()
            let begin = clock.now
            let listings = try await search()
            let milliseconds = (clock.now - begin).milliseconds
            guard listings.count == 1, let best = listings.first, let url = try best.array("urls").first?.stringValue,
                let price = try best.object("listing").array("prices").first,
                let amount = Int64(try price.string("amount"))
            else { throw Failure("the search found \(listings.count) listings") }
            found = FoundService(
                name: try best.string("name"),
                seller: try best.string("author"),
                url: url,
                amount: amount,
                unit: try price.string("unit")
            )
            try require(found.seller == seller.did, "the listing is by \(found.seller)")
            return (
                [
                    "foundAfterMilliseconds": .double(foundMilliseconds.rounded(to: 1)),
                    "searchMilliseconds": .double(milliseconds.rounded(to: 1)), "url": .string(found.url),
                    "seller": .string(found.seller), "amount": .integer(found.amount), "unit": .string(found.unit),
                ],
                "\(found.name) at \(found.url), \(found.amount) \(found.unit) a call, by \(found.seller)\n"
                    + "signed by its seller, told by gossip, found \(Int(foundMilliseconds)) ms after `service add`; "
                    + "the search took \(milliseconds.rounded(to: 1)) ms, in the buyer's own index"
            )
        }
    }
}
