public import Encodings

/// The arguments of an invocation of `/pay/call`: the one request that is to be paid for ([DLG-3]).
public struct CallArguments: Hashable, Sendable {
    /// The most that is paid, in `unit`; 0 to 2⁵³−1.
    public var amount: UInt64
    /// A Cashu unit, such as `sat`.
    public var unit: String
    /// How many delegations the invocation rests on.
    public var depth: Int
    /// The HTTP method.
    public var method: String
    /// The absolute URI of the request, as it is signed over (`@target-uri`).
    public var target: String
    /// SHA-256 of the body, of no bytes where there is none: 32 bytes.
    public var digest: [UInt8]
    /// Names the payment, so that it is debited once however often it is asked for: 16 to 32 bytes.
    public var call: [UInt8]

    public static let maximumTargetBytes = 4096

    public init(
        amount: UInt64,
        unit: String,
        depth: Int,
        method: String,
        target: String,
        digest: [UInt8],
        call: [UInt8]
    ) {
        self.amount = amount
        self.unit = unit
        self.depth = depth
        self.method = method
        self.target = target
        self.digest = digest
        self.call = call
    }

    /// Reads the arguments; there are these and no others.
    /// - Throws: `DelegationError` with `.malformed`.
    public init(_ arguments: CBOR) throws(DelegationError) {
        guard case .map(let pairs) = arguments, pairs.count == 7,
            case .unsigned(let amount)? = arguments[text: "amount"], amount <= PolicyNumber.maximumInteger,
            case .text(let unit)? = arguments[text: "unit"], ProfileTerms.isUnit(unit),
            case .unsigned(let depth)? = arguments[text: "depth"], depth <= 1000,
            case .text(let method)? = arguments[text: "method"], (1...20).contains(method.utf8.count),
            case .text(let target)? = arguments[text: "target"],
            (1...Self.maximumTargetBytes).contains(target.utf8.count),
            case .bytes(let digest)? = arguments[text: "digest"], digest.count == 32,
            case .bytes(let call)? = arguments[text: "call"], (16...32).contains(call.count)
        else {
            throw DelegationError(
                .malformed,
                "the arguments of a paid call are amount, unit, depth, method, target, digest and call"
            )
        }
        self.init(
            amount: amount,
            unit: unit,
            depth: Int(depth),
            method: method,
            target: target,
            digest: digest,
            call: call
        )
    }

    public var pairs: [CBORPair] {
        [
            CBORPair("amount", .unsigned(amount)), CBORPair("unit", .text(unit)),
            CBORPair("depth", .unsigned(UInt64(max(0, depth)))), CBORPair("method", .text(method)),
            CBORPair("target", .text(target)), CBORPair("digest", .bytes(digest)), CBORPair("call", .bytes(call)),
        ]
    }

    /// Whether the arguments are of the request at hand.
    /// - Throws: `.wrongRequest`.
    public func expect(method: String, target: String, digest: [UInt8]) throws(DelegationError) {
        var other: [String] = []
        if self.method != method { other.append("method") }
        if !self.target.hasSameCodeUnits(as: target) { other.append("target") }
        if self.digest != digest { other.append("body") }
        guard other.isEmpty else {
            throw DelegationError(
                .wrongRequest,
                "the invocation is for a request of another \(other.joined(separator: " and "))"
            )
        }
    }
}

/// The limits of one delegation for payments, as our profile writes them into UCAN's policy language ([DLG-2]).
public struct PaymentLimits: Hashable, Sendable {
    /// What one call may cost at most, in `unit`.
    public var perCall: UInt64?
    /// Amounts in other units are refused; nil: any unit.
    public var unit: String?
    /// The longest chain.
    public var depth: Int?
    /// What the request's target must be like, with `*` for anything; nil: any.
    public var target: String?

    public init(perCall: UInt64? = nil, unit: String? = nil, depth: Int? = nil, target: String? = nil) {
        self.perCall = perCall
        self.unit = unit
        self.depth = depth
        self.target = target
    }

    /// - Throws: `DelegationError` with `.malformed` where a limit is none.
    public func policy() throws(DelegationError) -> Policy {
        var statements: [CBOR] = []
        if let unit { statements.append(.array([.text("=="), .text(".unit"), .text(unit)])) }
        if let perCall {
            guard unit != nil, perCall <= PolicyNumber.maximumInteger else {
                throw DelegationError(.malformed, "a limit for one call is an amount of a unit")
            }
            statements.append(.array([.text("<="), .text(".amount"), .unsigned(perCall)]))
        }
        if let depth {
            guard (1...DelegationChain.maximumLinks).contains(depth) else {
                throw DelegationError(.malformed, "a depth is 1 to \(DelegationChain.maximumLinks)")
            }
            statements.append(.array([.text("<="), .text(".depth"), .unsigned(UInt64(depth))]))
        }
        if let target { statements.append(.array([.text("like"), .text(".target"), .text(target)])) }
        return try Policy(.array(statements))
    }

    /// Reads back what ``policy()`` writes; statements of another kind are passed over.
    public init(of policy: Policy) {
        for statement in policy.statements {
            switch statement {
            case .compare(.equal, let selector, let value) where selector.text == ".unit": unit = value.cbor.textValue
            case .compare(.atMost, let selector, let value) where selector.text == ".amount":
                if let limit = value.cbor.unsignedValue { perCall = min(perCall ?? limit, limit) }
            case .compare(.atMost, let selector, let value) where selector.text == ".depth":
                if let limit = value.cbor.unsignedValue { depth = min(depth ?? .max, Int(clamping: limit)) }
            case .like(let selector, let pattern) where selector.text == ".target": target = pattern.text
            default: continue
            }
        }
    }
}
