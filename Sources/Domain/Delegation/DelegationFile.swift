public import CanonicalJSON
internal import Encodings

/// A chain as a JSON file, to be handed on and checked offline ([DLG-13]).
public struct DelegationFile: Sendable, Equatable {
    public static let maximumBytes = 131_072
    static let type: JSONValue = ["DelegationChain"]

    public var chain: DelegationChain
    /// What was done on the chain, where the file is of a call.
    public var invocation: Invocation?
    public var ticket: DelegationTicket?

    public init(_ chain: DelegationChain, invocation: Invocation? = nil, ticket: DelegationTicket? = nil) {
        self.chain = chain
        self.invocation = invocation
        self.ticket = ticket
    }

    /// Whether a document says that it is one.
    public static func isOne(_ document: JSONObject) -> Bool { document["type"] == type }

    /// - Throws: `DelegationError`.
    public init(document: JSONObject) throws(DelegationError) {
        guard Self.isOne(document), let items = document["links"]?.arrayValue,
            document.keys.allSatisfy(["type", "links", "invocation", "ticket"].contains),
            items.count <= DelegationChain.maximumLinks
        else {
            throw DelegationError(
                .malformed,
                "a file of a chain has `type` and `links`, at most \(DelegationChain.maximumLinks)"
            )
        }
        var links: [Delegation] = []
        for item in items {
            do {
                links.append(try Delegation(bytes: Self.envelope(item)))
            } catch {
                throw error.at(links.count, nil)
            }
        }
        chain = DelegationChain(links)
        if let item = document["invocation"] { invocation = try Invocation(bytes: Self.envelope(item)) }
        if let item = document["ticket"] {
            guard let object = item.objectValue else {
                throw DelegationError(.ticketMalformed, "a ticket is an object")
            }
            ticket = try DelegationTicket(document: object)
        }
    }

    /// Reads JSON of at most ``maximumBytes``.
    public init(bytes: [UInt8]) throws(DelegationError) {
        let limits = JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 8, maximumValues: 512)
        guard let object = (try? JSONValue.parse(bytes, limits: limits))?.objectValue else {
            throw DelegationError(
                .malformed,
                "a file of a chain is a JSON object of at most \(Self.maximumBytes) bytes"
            )
        }
        try self.init(document: object)
    }

    static func envelope(_ item: JSONValue) throws(DelegationError) -> [UInt8] {
        guard let text = item.stringValue, let bytes = try? Multibase.decode(text, maximumBytes: Envelope.maximumBytes)
        else {
            throw DelegationError(.malformed, "an envelope in a file is multibase, such as u… in base64url")
        }
        return bytes
    }

    public var document: JSONObject {
        var object = JSONObject()
        object["type"] = Self.type
        object["links"] = .array(chain.links.map { .string(Multibase.encode($0.bytes, as: .base64url)) })
        if let invocation { object["invocation"] = .string(Multibase.encode(invocation.bytes, as: .base64url)) }
        if let ticket { object["ticket"] = .object(ticket.document) }
        return object
    }
}
