internal import CanonicalJSON
internal import Encodings
internal import SignedDocuments

/// What a service asks of the chains of delegations that its callers show ([DLG-11]).
public struct DelegationRequirement: Sendable, Equatable {
    /// The `did:key`s that a chain may begin with; none: any, as who pays pays with its own money.
    public var trustedRoots: [String]
    /// Whether a chain with a budget needs its accounting node's ticket.
    public var requiresTicket: Bool
    /// Whether who shows no chain is refused.
    public var isRequired: Bool

    public init(trustedRoots: [String] = [], requiresTicket: Bool = false, isRequired: Bool = false) {
        self.trustedRoots = trustedRoots
        self.requiresTicket = requiresTicket
        self.isRequired = isRequired
    }

    func validate() throws(GatewayError) {
        guard trustedRoots.count <= 64 else {
            throw GatewayError(.invalidService, "A service trusts at most 64 roots of delegations.")
        }
        for root in trustedRoots where (try? DIDKey(parsing: root)) == nil {
            throw GatewayError(.invalidService, "The trusted root \"\(root.prefix(80))\" is no did:key.")
        }
        guard !isRequired || !trustedRoots.isEmpty else {
            throw GatewayError(
                .invalidService,
                "A service that asks for delegations says whose count: \"trustedRoots\"."
            )
        }
    }

    init(_ object: JSONObject) throws {
        try ServiceDefinition.refuseUnknown(
            object,
            known: ["trustedRoots", "requiresTicket", "required"],
            in: "a required delegation"
        )
        trustedRoots = try object.optionalStrings("trustedRoots") ?? []
        requiresTicket = try object.optionalBool("requiresTicket") ?? false
        isRequired = try object.optionalBool("required") ?? false
    }

    var json: JSONValue {
        [
            "trustedRoots": JSONValue(trustedRoots), "requiresTicket": .bool(requiresTicket),
            "required": .bool(isRequired),
        ]
    }
}

/// On whose authority a caller acts, as far as the seller could check it.
public struct CallerDelegation: Sendable, Equatable {
    /// The CIDs from the root to the leaf.
    public var chain: [String]
    /// The id of the accounting node's ticket, a UUID.
    public var ticket: String?
    /// `ticket`, `chain` or `call-limit` ([DLG-11]).
    public var checked: String
    /// The most that the call may cost.
    public var amount: UInt64
    public var unit: String
    /// What makes it that one call, 32 bytes.
    public var key: [UInt8]
    /// The invocation as it was signed; empty where it was not kept.
    public var invocation: [UInt8]

    public init(
        chain: [String],
        ticket: String?,
        checked: String,
        amount: UInt64,
        unit: String,
        key: [UInt8],
        invocation: [UInt8] = []
    ) {
        self.chain = chain
        self.ticket = ticket
        self.checked = checked
        self.amount = amount
        self.unit = unit
        self.key = key
        self.invocation = invocation
    }

    /// What is kept with the claim.
    var json: JSONValue {
        var object: JSONObject = ["chain": JSONValue(chain), "checked": .string(checked)]
        object["ticket"] = ticket.map { .string($0) }
        object["amount"] = .string(String(amount))
        object["unit"] = .string(unit)
        if !invocation.isEmpty { object["invocation"] = .string(Base64URL.encode(invocation)) }
        return .object(object)
    }

    /// - Parameter stored: what ``json`` wrote.
    init(stored text: String) throws {
        let object = try JSONValue.parse(Array(text.utf8)).requireObject()
        self.init(
            chain: try object.strings("chain"),
            ticket: try object.optionalString("ticket"),
            checked: try object.string("checked"),
            amount: UInt64(try object.string("amount")) ?? 0,
            unit: try object.string("unit"),
            key: [],
            invocation: try object.optionalString("invocation").map { try Base64URL.decode($0) } ?? []
        )
    }
}
