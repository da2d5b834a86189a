// The inside of a payment request: CBOR with one-letter keys (NUT-18 "Encoded Request").
import Encodings

extension PaymentRequest {
    /// Absent, null and `undefined` (which two of the published vectors hold) read alike. Unknown members are ignored.
    init(cbor value: CBOR) throws {
        guard case .map = value else {
            throw CashuError(.malformed, "a payment request must be a CBOR map")
        }
        try self.init(
            id: CBORMember.text(value, "i"),
            amount: CBORMember.unsigned(value, "a"),
            unit: CBORMember.text(value, "u").map { try CurrencyUnit($0) },
            isSingleUse: CBORMember.bool(value, "s"),
            mints: CBORMember.array(value, "m").map { entry in
                guard let text = entry.textValue else {
                    throw CashuError(.malformed, "`m` of a payment request must be texts")
                }
                return try MintURL(text)
            },
            prefersMints: CBORMember.bool(value, "mp"),
            supportedMethods: CBORMember.array(value, "sm").map { entry in
                guard let method = try CBORMember.text(entry, "mn") else {
                    throw CashuError(.malformed, "each `sm` of a payment request needs a method `mn`")
                }
                return SupportedMethod(method: method, fee: try CBORMember.unsigned(entry, "mf"))
            },
            description: CBORMember.text(value, "d"),
            transports: CBORMember.array(value, "t").map { entry in
                guard let kind = try CBORMember.text(entry, "t"), let target = try CBORMember.text(entry, "a") else {
                    throw CashuError(.malformed, "each transport of a payment request needs `t` and `a`")
                }
                return PaymentTransport(kind: kind, target: target, tags: try CBORMember.tags(entry, "g"))
            },
            lock: PaymentRequest.lock(CBORMember.given(value, "nut10"))
        )
    }

    private static func lock(_ value: CBOR?) throws -> RequestedLock? {
        guard let value else { return nil }
        guard let kind = try CBORMember.text(value, "k"), let data = try CBORMember.text(value, "d") else {
            throw CashuError(.malformed, "`nut10` of a payment request needs `k` and `d`")
        }
        return RequestedLock(kind: kind, data: data, tags: try CBORMember.tags(value, "t"))
    }

    var cbor: CBOR {
        var pairs: [CBORPair] = []
        func add(_ key: String, _ value: CBOR?) {
            if let value { pairs.append(CBORPair(key, value)) }
        }
        add("i", id.map(CBOR.text))
        add("a", amount.map(CBOR.unsigned))
        add("u", unit.map { .text($0.name) })
        add("s", isSingleUse.map(CBOR.bool))
        if !mints.isEmpty { add("m", .array(mints.map { .text($0.string) })) }
        add("mp", prefersMints.map(CBOR.bool))
        if !supportedMethods.isEmpty {
            add(
                "sm",
                .array(
                    supportedMethods.map { method in
                        var members = [CBORPair("mn", .text(method.method))]
                        if let fee = method.fee { members.append(CBORPair("mf", .unsigned(fee))) }
                        return .map(members)
                    }
                )
            )
        }
        add("d", description.map(CBOR.text))
        if !transports.isEmpty {
            add(
                "t",
                .array(
                    transports.map { transport in
                        var members = [
                            CBORPair("t", .text(transport.kind)),
                            CBORPair("a", .text(transport.target)),
                        ]
                        if !transport.tags.isEmpty {
                            members.append(CBORPair("g", CBORMember.tags(transport.tags)))
                        }
                        return .map(members)
                    }
                )
            )
        }
        if let lock {
            var members = [CBORPair("k", .text(lock.kind)), CBORPair("d", .text(lock.data))]
            if !lock.tags.isEmpty { members.append(CBORPair("t", CBORMember.tags(lock.tags))) }
            add("nut10", .map(members))
        }
        return .map(pairs)
    }
}

/// Optional members of a CBOR map with a message that names them.
private enum CBORMember {
    static let maximumEntries = 100

    static func given(_ value: CBOR, _ key: String) -> CBOR? {
        guard let member = value[text: key], member != .null, member != .undefined else { return nil }
        return member
    }

    static func text(_ value: CBOR, _ key: String) throws -> String? {
        guard let member = given(value, key) else { return nil }
        guard let text = member.textValue, text.utf8.count <= CashuLimits.memoBytes else {
            throw CashuError(
                .malformed,
                "`\(key)` of a payment request must be text of at most \(CashuLimits.memoBytes) bytes"
            )
        }
        return text
    }

    static func unsigned(_ value: CBOR, _ key: String) throws -> UInt64? {
        guard let member = given(value, key) else { return nil }
        guard let number = member.unsignedValue else {
            throw CashuError(.malformed, "`\(key)` of a payment request must be an unsigned integer")
        }
        return number
    }

    static func bool(_ value: CBOR, _ key: String) throws -> Bool? {
        guard let member = given(value, key) else { return nil }
        guard let flag = member.boolValue else {
            throw CashuError(.malformed, "`\(key)` of a payment request must be true or false")
        }
        return flag
    }

    /// Empty where absent.
    static func array(_ value: CBOR, _ key: String) throws -> [CBOR] {
        guard let member = given(value, key) else { return [] }
        guard let items = member.arrayValue, items.count <= maximumEntries else {
            throw CashuError(.malformed, "`\(key)` of a payment request must be an array of at most \(maximumEntries)")
        }
        return items
    }

    static func tags(_ value: CBOR, _ key: String) throws -> [[String]] {
        try array(value, key).map { tag in
            guard let items = tag.arrayValue, !items.isEmpty, items.count <= maximumEntries else {
                throw CashuError(.malformed, "each tag of a payment request must be an array of texts")
            }
            return try items.map { item in
                guard let text = item.textValue, text.utf8.count <= CashuLimits.memoBytes else {
                    throw CashuError(.malformed, "each tag of a payment request must be an array of texts")
                }
                return text
            }
        }
    }

    static func tags(_ tags: [[String]]) -> CBOR {
        .array(tags.map { .array($0.map(CBOR.text)) })
    }
}
