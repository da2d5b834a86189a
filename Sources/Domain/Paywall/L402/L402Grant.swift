internal import Cryptography
public import Encodings

/// What one payment over L402 buys, as the seller stores it beside the payment hash when it makes the invoice ([LSAT-7]).
///
/// The macaroon says the same in caveats, so that whoever holds it can read and narrow it. The grant is what counts: other
/// verifiers skip caveats they do not know, a caveat that is absent restricts nothing, and calls can't be counted in a
/// macaroon at all.
public struct L402Grant: Sendable, Equatable {
    /// 32 bytes.
    public var paymentHash: [UInt8]
    /// The service's name, 1 to 63 of `a–z 0–9 -`.
    public var service: String
    /// 0 to 255; 0 where the seller has no tiers.
    public var tier: UInt8
    /// Upper-case method names; empty means any. HEAD may be called where GET may.
    public var methods: Set<String>
    public var path: PathPattern
    /// What was paid for one call: dearer ones are refused.
    public var price: Price
    /// How many calls, at least 1.
    public var calls: UInt64
    /// From this second on it is refused; nil for no end.
    public var validUntil: Timestamp?

    public init(
        paymentHash: [UInt8],
        service: String,
        tier: UInt8 = 0,
        methods: Set<String> = [],
        path: PathPattern,
        price: Price,
        calls: UInt64 = 1,
        validUntil: Timestamp? = nil
    ) {
        self.paymentHash = paymentHash
        self.service = service
        self.tier = tier
        self.methods = methods
        self.path = path
        self.price = price
        self.calls = calls
        self.validUntil = validUntil
    }

    /// The macaroon that states this grant.
    /// - Parameters:
    ///   - key: an active root key.
    ///   - nonce: 24 random bytes.
    ///   - location: a hint who made it, such as the node's host name.
    /// - Throws: ``MacaroonError`` `malformed` where a length is wrong or the key makes none any more, `too-large`.
    public func macaroon(key: L402RootKey, nonce: [UInt8], location: String = "") throws(MacaroonError) -> Macaroon {
        guard key.state == .active else {
            throw MacaroonError(
                .malformed,
                "The root key \(key.id) is \(key.state.rawValue): make macaroons with another."
            )
        }
        guard let identifier = L402Identifier(paymentHash: paymentHash, key: key.id, nonce: nonce) else {
            throw MacaroonError(.malformed, "A payment hash has 32 bytes and the nonce of a macaroon 24.")
        }
        var macaroon = try Macaroon(
            rootKey: key.macaroonKey(identifier),
            identifier: identifier.bytes,
            location: Array(location.utf8)
        )
        for caveat in caveats { macaroon = try macaroon.adding(caveat.text) }
        return macaroon
    }

    /// The conditions it is stated in, in the order in which they are added.
    public var caveats: [L402Caveat] {
        var caveats = [L402Caveat(L402Caveat.services, "\(service):\(tier)")]
        if !methods.isEmpty { caveats.append(L402Caveat("\(service)_method", methods.sorted().joined(separator: ","))) }
        caveats.append(L402Caveat("\(service)_path", path.text.isEmpty ? "/" : path.text))
        caveats.append(L402Caveat("\(service)_price", "\(price.amount)\(price.unit)"))
        caveats.append(L402Caveat("\(service)_calls", "\(calls)"))
        if let validUntil { caveats.append(L402Caveat("\(service)_valid_until", "\(validUntil.secondsSince1970)")) }
        return caveats
    }

    /// Whether the grant lets a call through that its macaroon let through: asked inside the transaction that counts it.
    /// - Parameters:
    ///   - allowed: what the credential came to.
    ///   - used: the calls counted against this payment hash so far, by whichever macaroon.
    /// - Returns: nil where it does.
    public func refusal(_ allowed: L402Allowance, request: L402Request, used: UInt64, now: Timestamp) -> CallRefusal? {
        guard ConstantTime.equal(paymentHash, allowed.identifier.paymentHash) else {
            return CallRefusal(.credentialInvalid, "This credential is for another payment.")
        }
        if let validUntil, now.secondsSince1970 >= validUntil.secondsSince1970 {
            return CallRefusal(.credentialExpired, "What was paid for ended at \(validUntil); pay anew.")
        }
        guard service == request.service, path.matches(request.path),
            methods.isEmpty || L402Caveats.allows(request.method, among: methods)
        else {
            return CallRefusal(.credentialInsufficient, "This call is not among those that were paid for; pay for it.")
        }
        guard price.unit == request.price.unit, request.price.amount <= price.amount else {
            return CallRefusal(
                .credentialInsufficient,
                "This call costs \(request.price), and \(price) was paid for one; pay for it."
            )
        }
        guard used < min(calls, allowed.calls ?? calls) else {
            return CallRefusal(.credentialUsedUp, "The calls that were paid for are used up; pay anew.")
        }
        return nil
    }
}

/// What a call asks for, as far as a credential restricts it.
public struct L402Request: Sendable, Equatable {
    public var service: String
    /// In capitals.
    public var method: String
    public var path: RequestPath
    /// What the call costs now.
    public var price: Price
    /// What the service calls the thing asked for, where it names capabilities.
    public var capability: String?

    public init(service: String, method: String, path: RequestPath, price: Price, capability: String? = nil) {
        self.service = service
        self.method = method
        self.path = path
        self.price = price
        self.capability = capability
    }
}

/// What an accepted credential allows; the rest is for the stored ``L402Grant`` to say.
public struct L402Allowance: Sendable, Equatable {
    public var identifier: L402Identifier
    /// The most calls that may be counted against the payment, where a caveat says.
    public var calls: UInt64?
    /// When it ends, where a caveat says.
    public var validUntil: Timestamp?
    public var tier: UInt8

    public init(identifier: L402Identifier, calls: UInt64? = nil, validUntil: Timestamp? = nil, tier: UInt8 = 0) {
        self.identifier = identifier
        self.calls = calls
        self.validUntil = validUntil
        self.tier = tier
    }
}
