// Payment requests (NUT-18): what a payee asks for, as `creqA…` or `creqb1…`, and the payload that answers it.
public import CanonicalJSON
import Encodings

/// The lock that a payee asks for (NUT-18 `NUT10Option`).
public struct RequestedLock: Hashable, Sendable {
    /// The kind of NUT-10 secret, such as `P2PK`.
    public var kind: String
    /// The secret's data; for P2PK a public key in hex.
    public var data: String
    public var tags: [[String]]

    public init(kind: String, data: String, tags: [[String]] = []) {
        self.kind = kind
        self.data = data
        self.tags = tags
    }
}

/// A way to deliver the payment (NUT-18 `Transport`).
public struct PaymentTransport: Hashable, Sendable {
    /// `nostr`, `post` or another.
    public var kind: String
    public var target: String
    public var tags: [[String]]

    public init(kind: String, target: String, tags: [[String]] = []) {
        self.kind = kind
        self.target = target
        self.tags = tags
    }
}

/// A payment method by which the payee takes money out of the payer's mint (`sm` of cashubtc/nuts#381).
public struct SupportedMethod: Hashable, Sendable {
    /// Such as `bolt11`.
    public var method: String
    /// What the payer adds when it pays from a mint that isn't on the list, in the request's unit.
    public var fee: UInt64?

    public init(method: String, fee: UInt64? = nil) {
        self.method = method
        self.fee = fee
    }
}

/// A request for payment (NUT-18).
public struct PaymentRequest: Hashable, Sendable {
    /// Comes back in the payload.
    public var id: String?
    /// What the payee wants to have after input fees; `unit` is set where this is.
    public var amount: UInt64?
    public var unit: CurrencyUnit?
    public var isSingleUse: Bool?
    /// The mints whose ecash is taken; empty: any.
    public var mints: [MintURL]
    /// Whether `mints` is a preference only (`mp`).
    public var prefersMints: Bool?
    public var supportedMethods: [SupportedMethod]
    public var description: String?
    /// In order of preference; empty: the payment goes in band, as with `X-Cashu`.
    public var transports: [PaymentTransport]
    public var lock: RequestedLock?

    /// - Throws: ``CashuError/Code/malformed`` for an amount without unit.
    public init(
        id: String? = nil,
        amount: UInt64? = nil,
        unit: CurrencyUnit? = nil,
        isSingleUse: Bool? = nil,
        mints: [MintURL] = [],
        prefersMints: Bool? = nil,
        supportedMethods: [SupportedMethod] = [],
        description: String? = nil,
        transports: [PaymentTransport] = [],
        lock: RequestedLock? = nil
    ) throws(CashuError) {
        guard amount == nil || unit != nil else {
            throw CashuError(.malformed, "a payment request with an amount must name its unit")
        }
        self.id = id
        self.amount = amount
        self.unit = unit
        self.isSingleUse = isSingleUse
        self.mints = mints
        self.prefersMints = prefersMints
        self.supportedMethods = supportedMethods
        self.description = description
        self.transports = transports
        self.lock = lock
    }

    /// Reads `creqA…`, in either base64 alphabet, padded or not, and `creqb1…` (NUT-26) in either case.
    public init(_ text: String) throws {
        guard text.utf8.count <= CashuLimits.paymentRequestCharacters else {
            throw CashuError(
                .tooLarge,
                "a payment request has at most \(CashuLimits.paymentRequestCharacters) characters"
            )
        }
        let start = text.prefix(6).lowercased()
        guard start != "creqb1" else {
            try self.init(bech32: text)
            return
        }
        guard start.hasPrefix("creqa") else {
            throw CashuError(.malformed, "a payment request starts with creqA or creqb1, not \"\(text.prefix(12))\"")
        }
        let value: CBOR
        do {
            value = try CBOR.decode(Base64URL.decode(urlAlphabet(text.dropFirst(5))))
        } catch {
            throw CashuError(.malformed, "the payment request is damaged: part of it may be missing", cause: error)
        }
        self = try PaymentRequest(cbor: value)
    }

    /// `creqA` and base64url without padding.
    public func serialized() -> String {
        "creqA" + Base64URL.encode(cbor.encoded())
    }
}

/// The answer to a payment request, as JSON (NUT-18 "Payment payload").
public struct PaymentRequestPayload: Hashable, Sendable {
    /// The `i` of the request.
    public var id: String?
    public var memo: String?
    public var mint: MintURL
    public var unit: CurrencyUnit
    public var proofs: [Proof]

    public init(id: String? = nil, memo: String? = nil, mint: MintURL, unit: CurrencyUnit, proofs: [Proof]) {
        self.id = id
        self.memo = memo
        self.mint = mint
        self.unit = unit
        self.proofs = proofs
    }

    /// At most ``CashuLimits/arrayLength`` proofs.
    public init(json: JSONValue) throws {
        id = try json.optionalBoundedString("id", maximumBytes: CashuLimits.memoBytes)
        memo = try json.optionalBoundedString("memo", maximumBytes: CashuLimits.memoBytes)
        mint = try MintURL(json.string("mint"))
        unit = try CurrencyUnit(json.string("unit"))
        proofs = try json.boundedArray("proofs", maximum: CashuLimits.arrayLength).map(Proof.init(json:))
    }

    public var json: JSONValue {
        var object = JSONObject()
        object["id"] = id.map(JSONValue.string)
        object["memo"] = memo.map(JSONValue.string)
        object["mint"] = .string(mint.string)
        object["unit"] = .string(unit.name)
        object["proofs"] = .array(proofs.map(\.json))
        return .object(object)
    }
}
