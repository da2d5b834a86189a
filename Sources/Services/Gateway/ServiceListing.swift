public import CanonicalJSON
internal import Market
internal import Paywall
internal import Records
internal import SignedDocuments

/// How a service is told to other nodes, besides what is known of it anyway ([LST-7]).
public struct ServiceListing: Sendable, Equatable {
    /// Whether other nodes are told of the service at all.
    public var isListed = true
    /// One line for people.
    public var title: String?
    /// Words that it is found by.
    public var tags: [String] = []
    /// JSON Schemas of what a call is given and answers.
    public var input: JSONObject?
    public var output: JSONObject?
    /// The modes of escrow that it is sold by, besides the ways of paying: `key` (`Specs/escrow.md`).
    public var escrow: [String] = []

    public init() {}

    /// - Throws: ``GatewayError`` `invalid-service`, or a `JSONError`.
    init(json: JSONObject) throws {
        try ServiceDefinition.refuseUnknown(
            json,
            known: ["listed", "title", "tags", "input", "output", "escrow"],
            in: "a service's listing"
        )
        isListed = try json.optionalBool("listed") ?? true
        title = try json.optionalString("title")
        tags = try json.optionalStrings("tags") ?? []
        input = try json.optionalObject("input")
        output = try json.optionalObject("output")
        escrow = try json.optionalStrings("escrow") ?? []
    }

    var json: JSONObject {
        var object = JSONObject()
        if !isListed { object["listed"] = false }
        object["title"] = title.map { .string($0) }
        if !tags.isEmpty { object["tags"] = JSONValue(tags) }
        object["input"] = input.map { .object($0) }
        object["output"] = output.map { .object($0) }
        if !escrow.isEmpty { object["escrow"] = JSONValue(escrow) }
        return object
    }

    /// By the bounds of a listing, with the field's name.
    func validate() throws(GatewayError) {
        guard escrow.isEmpty || escrow == [Listing.Escrow.key.rawValue] else {
            throw GatewayError(.invalidService, "By escrow a service is sold in the mode key, once.")
        }
        guard let url = ListingURL("https://seller.example/s/x") else { return }
        var listing = Listing(urls: [url], prices: [Listing.Price(amount: 0)])
        write(to: &listing)
        do throws(RecordRefusal) {
            _ = try Listing(listing.body)
        } catch {
            throw GatewayError(.invalidService, "The service's listing: \(error.message).")
        }
    }

    func write(to listing: inout Listing) {
        listing.title = title
        listing.tags = tags
        listing.input = input
        listing.output = output
        listing.escrow = escrow.compactMap { Listing.Escrow(rawValue: $0) }
    }
}
