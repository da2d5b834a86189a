public import CanonicalJSON
public import Market
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
    /// The modes of escrow that it is sold by, besides the ways of paying: `key`, `arbiter` (`Specs/escrow.md`).
    public var escrow: [Listing.Escrow] = []
    /// Of mode `arbiter`: who may decide.
    public var arbiters: [NamedArbiter] = []

    /// As many as a quote names.
    public static let maximumArbiters = 8

    public init() {}

    /// - Throws: ``GatewayError`` `invalid-service`, or a `JSONError`.
    init(json: JSONObject) throws {
        try ServiceDefinition.refuseUnknown(
            json,
            known: ["listed", "title", "tags", "input", "output", "escrow", "arbiters"],
            in: "a service's listing"
        )
        isListed = try json.optionalBool("listed") ?? true
        title = try json.optionalString("title")
        tags = try json.optionalStrings("tags") ?? []
        input = try json.optionalObject("input")
        output = try json.optionalObject("output")
        escrow = try (json.optionalStrings("escrow") ?? []).map { text in
            guard let mode = Listing.Escrow(rawValue: text), mode != .stream else {
                throw GatewayError(.invalidService, "By escrow a service is sold in the modes key and arbiter.")
            }
            return mode
        }
        arbiters = try (json["arbiters"]?.arrayValue ?? []).map { entry in
            guard let object = entry.objectValue, let origin = object["at"]?.stringValue,
                let arbiter = try? NamedArbiter(json: object, origin: origin)
            else { throw GatewayError(.invalidService, "An arbiter is what its node tells at /market/arbiter.") }
            return arbiter
        }
    }

    var json: JSONObject {
        var object = JSONObject()
        if !isListed { object["listed"] = false }
        object["title"] = title.map { .string($0) }
        if !tags.isEmpty { object["tags"] = JSONValue(tags) }
        object["input"] = input.map { .object($0) }
        object["output"] = output.map { .object($0) }
        if !escrow.isEmpty { object["escrow"] = JSONValue(escrow.map(\.rawValue)) }
        if !arbiters.isEmpty {
            object["arbiters"] = .array(
                arbiters.map { arbiter in
                    var json = arbiter.json
                    json["at"] = .string(arbiter.origin)
                    return .object(json)
                }
            )
        }
        return object
    }

    /// By the bounds of a listing, with the field's name.
    func validate() throws(GatewayError) {
        guard Set(escrow).count == escrow.count else {
            throw GatewayError(.invalidService, "A mode of escrow stands twice.")
        }
        guard escrow.contains(.arbiter) == !arbiters.isEmpty, arbiters.count <= Self.maximumArbiters,
            Set(arbiters.map(\.arbiter.did)).count == arbiters.count
        else {
            throw GatewayError(
                .invalidService,
                "The mode arbiter has 1 to \(Self.maximumArbiters) arbiters, each once; other modes have none."
            )
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
        listing.escrow = escrow
        listing.arbiters = arbiters.map(\.arbiter.did)
    }
}
