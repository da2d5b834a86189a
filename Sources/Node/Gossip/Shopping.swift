internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Foundation
internal import Gateway
internal import Market
internal import Records
internal import SignedDocuments
internal import Trading

/// Whom a buyer's node asks for quotes: services that are named, or what words find in the market.
struct Shopping: Sendable {
    let market: JudgedMarket
    /// This node: it does not buy of itself where words decide.
    let own: DIDKey
    let arbiters: ArbiterLookup

    /// How many sellers are asked that words find, where nothing else is said.
    private static let sellers: Int64 = 5

    /// What the sellers are trusted ([QUO-10]).
    var trustPPM: @Sendable ([DIDKey]) async throws -> [DIDKey: UInt64] {
        { try await market.calls.trustPPM(of: $0) }
    }

    /// The orders of a request, one for each seller: `{"budget", "sellers": [SELLER/NAME or URL] or "words", "most", "reputation",
    /// "path", "method", "type", "body", "deadlineSeconds", "mode", "arbiters": [URL], "review"}`.
    ///
    /// - Throws: ``JobError``, ``MarketError``.
    func orders(_ body: JSONObject) async throws -> [JobOrder] {
        guard let budget = try AmountText.read(body.string("budget")), !budget.unit.isEmpty else {
            throw JobError(.invalid, "\"budget\" is an amount with its unit, such as 20sat.")
        }
        let bytes = try body.optionalString("body").map { try Base64URL.decode($0) } ?? []
        guard bytes.count <= JobRequest.maximumBodyBytes else {
            throw JobError(.invalid, "A job's request has at most \(JobRequest.maximumBodyBytes) bytes.")
        }
        let deadline = try body.optionalInt64("deadlineSeconds") ?? 120
        guard (1...86_400).contains(deadline) else { throw JobError(.invalid, "A deadline is 1 to 86400 seconds.") }
        let method = try body.optionalString("method") ?? (bytes.isEmpty ? "GET" : "POST")
        let type = try body.optionalString("type")
        guard let mode = Listing.Escrow(rawValue: try body.optionalString("mode") ?? "key"), mode != .stream else {
            throw JobError(.invalid, "The modes of escrow are key and arbiter.")
        }
        let named = try await arbiters(body, mode)
        let isReviewed = try body.optionalBool("review") ?? false
        return try await places(body, budget, mode).map { place in
            var order = JobOrder(
                origin: place.origin,
                service: place.service,
                request: JobRequest(method: method, target: place.target, contentType: type, body: bytes),
                budget: budget.amount,
                unit: try CurrencyUnit(budget.unit)
            )
            order.provider = place.provider
            order.deadlineSeconds = UInt64(deadline)
            order.mode = mode
            order.arbiters = named
            order.isReviewed = isReviewed
            return order
        }
    }

    private func arbiters(_ body: JSONObject, _ mode: Listing.Escrow) async throws -> [NamedArbiter] {
        let urls = try body.optionalStrings("arbiters") ?? []
        guard (mode == .arbiter) == !urls.isEmpty, urls.count <= 8 else {
            throw JobError(.invalid, "In the mode arbiter name 1 to 8 arbiters by the URLs of their nodes.")
        }
        var named: [NamedArbiter] = []
        for url in urls { named.append(try await arbiters.named(url)) }
        return named
    }

    /// Where a service is sold.
    struct Place: Equatable {
        var origin: String
        var service: String
        var target: String
        /// Of its listing; nil where only the URL is known.
        var provider: DIDKey?
    }

    private func places(
        _ body: JSONObject,
        _ budget: (amount: UInt64, unit: String),
        _ mode: Listing.Escrow
    ) async throws -> [Place] {
        let path = try body.optionalString("path") ?? ""
        guard let named = body["sellers"] else { return try await found(body, budget, path, mode) }
        guard let names = named.arrayValue?.compactMap(\.stringValue), names.count == named.arrayValue?.count,
            (1...BuyerDesk.maximumSellers).contains(names.count)
        else { throw JobError(.invalid, "\"sellers\" are 1 to \(BuyerDesk.maximumSellers) SELLER/NAME or URLs.") }
        var places: [Place] = []
        for name in names {
            let place = try await name.contains("://") ? Self.named(name + path) : listed(name, path, mode)
            if !places.contains(place) { places.append(place) }
        }
        return places
    }

    private static func named(_ url: String) throws(JobError) -> Place {
        guard let place = place(url) else {
            throw JobError(
                .invalid,
                "A service's URL is https (http on the machine itself), such as https://node.example/s/weather/today."
            )
        }
        return place
    }

    private func listed(_ name: String, _ path: String, _ mode: Listing.Escrow) async throws -> Place {
        let parts = name.split(separator: "/", maxSplits: 1).map(String.init)
        guard parts.count == 2, let author = try? DIDKey(parsing: parts[0]) else {
            throw JobError(.invalid, "A listing is named by SELLER/NAME, with the seller's did:key.")
        }
        let found = try await market.part().index.listing(of: author, named: parts[1])
        guard found.listing.escrow.contains(mode) else {
            throw JobError(
                .notSold,
                "That service is not sold by escrow in the mode \(mode.rawValue); `mintmark pay` calls it."
            )
        }
        guard let place = Self.place(of: found, path) else {
            throw JobError(.notSold, "The listing names no URL of a service of a Mintmark node.")
        }
        return place
    }

    /// Of each seller the best that has all of the words, is sold by escrow and is not dearer than the budget.
    private func found(
        _ body: JSONObject,
        _ budget: (amount: UInt64, unit: String),
        _ path: String,
        _ mode: Listing.Escrow
    ) async throws -> [Place] {
        let words = try body.string("words")
        var query = ListingQuery(words)
        query.maximumPrice = budget
        query.count = ListingQuery.maximumCount
        let least = try body.optionalInt64("reputation") ?? 0
        let most = try body.optionalInt64("most") ?? Self.sellers
        guard (0...100).contains(least), (1...Int64(BuyerDesk.maximumSellers)).contains(most) else {
            throw MarketError(
                .invalidQuery,
                "A reputation is 0 to 100, and 1 to \(BuyerDesk.maximumSellers) sellers are asked."
            )
        }
        // Whoever does not answer is asked where nobody else is left.
        let found = try await market.search(query, atLeast: Int(least))
        var places: [Place] = []
        for listing in found.matchesSomeWords ? [] : found.listings {
            guard places.count < Int(most), listing.listing.escrow.contains(mode), listing.record.author != own,
                !places.contains(where: { $0.provider == listing.record.author }),
                let place = Self.place(of: listing, path)
            else { continue }
            places.append(place)
        }
        guard !places.isEmpty else {
            throw MarketError(
                .unknownListing,
                "Nobody is known who sells \"\(words)\" by escrow for \(budget.amount) \(budget.unit) or less."
            )
        }
        return places
    }

    private static func place(of found: FoundListing, _ path: String) -> Place? {
        for url in found.urls {
            guard var place = place(url.text + path) else { continue }
            place.provider = found.record.author
            return place
        }
        return nil
    }

    /// `https://node.example/s/weather/today?x=1` is `https://node.example`, `weather`, `/today?x=1`.
    static func place(_ text: String) -> Place? {
        let path = text.prefix { $0 != "?" }
        guard ListingURL(String(path)) != nil, let scheme = path.range(of: "://"),
            let slash = path[scheme.upperBound...].firstIndex(of: "/"), path[slash...].hasPrefix(Gateway.mountPath)
        else { return nil }
        let rest = text[text.index(slash, offsetBy: Gateway.mountPath.count)...]
        let name = rest.prefix { $0 != "/" && $0 != "?" }
        guard ServiceDefinition.isName(String(name)) else { return nil }
        let tail = rest.dropFirst(name.count)
        let target = tail.hasPrefix("/") ? String(tail) : "/" + tail
        return Place(origin: String(text[..<slash]), service: String(name), target: target, provider: nil)
    }
}
