public import Encodings
public import SignedDocuments

/// How much may be spent over all calls under a link.
public struct Budget: Hashable, Sendable {
    /// In `unit`; 1 to 2⁵³−1.
    public var amount: UInt64
    /// A Cashu unit, such as `sat`.
    public var unit: String
    /// Where given, the budget begins anew every so many seconds, counted from 1970; 60 to 366 days.
    public var periodSeconds: Int64?

    public static let periodBounds: ClosedRange<Int64> = 60...31_622_400

    /// - Throws: `DelegationError` with `.malformed`.
    public init(_ amount: UInt64, unit: String, periodSeconds: Int64? = nil) throws(DelegationError) {
        guard (1...PolicyNumber.maximumInteger).contains(amount), ProfileTerms.isUnit(unit),
            periodSeconds.map(Self.periodBounds.contains) ?? true
        else {
            throw DelegationError(
                .malformed,
                "a budget is an amount, a unit such as sat, and a period of a minute to a year"
            )
        }
        self.amount = amount
        self.unit = unit
        self.periodSeconds = periodSeconds
    }

    /// The number of the period that `time` falls in; 0 where there are none.
    public func window(at time: Timestamp) -> Int64 {
        periodSeconds.map { max(0, time.secondsSince1970) / $0 } ?? 0
    }
}

/// The node that keeps the account of a root delegation.
public struct AccountingNode: Hashable, Sendable {
    public static let maximumURLBytes = 256

    /// Whose tickets count.
    public var did: DIDKey
    /// Where it is asked for them: an http or https URL without a `/` at its end.
    public var url: String

    /// - Throws: `DelegationError` with `.malformed`.
    public init(did: DIDKey, url: String) throws(DelegationError) {
        let isWeb = url.hasPrefix("https://") || url.hasPrefix("http://")
        guard isWeb, url.utf8.count <= Self.maximumURLBytes, !url.hasSuffix("/"),
            url.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw DelegationError(.malformed, "the address of an accounting node is http(s) without a / at its end")
        }
        self.did = did
        self.url = url
    }
}

/// What our profile adds to a delegation, under `mintmark` in its `meta`: signed, and read by whoever knows it.
public struct ProfileTerms: Hashable, Sendable {
    public var budget: Budget?
    public var accounting: AccountingNode?
    /// A name for people, at most 128 bytes.
    public var label: String?

    public init(budget: Budget? = nil, accounting: AccountingNode? = nil, label: String? = nil) {
        self.budget = budget
        self.accounting = accounting
        self.label = label
    }

    static let member = "mintmark"

    static func isUnit(_ text: String) -> Bool {
        (1...16).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D }
    }

    /// Reads `meta`; what others put there is passed over, what stands under our name must be right.
    init(meta: CBOR?) throws(DelegationError) {
        guard let ours = meta?[text: Self.member] else { return }
        guard case .map(let pairs) = ours else { throw Self.malformed("`meta.mintmark` must be a map") }
        for pair in pairs {
            switch (pair.key, pair.value) {
            case (.text("budget"), .map): budget = try Self.budget(pair.value)
            case (.text("accounting"), .map): accounting = try Self.accounting(pair.value)
            case (.text("label"), .text(let text)) where (1...128).contains(text.utf8.count): label = text
            default: throw Self.malformed("`meta.mintmark` has `budget`, `accounting` and `label`, and nothing else")
            }
        }
    }

    private static func budget(_ value: CBOR) throws(DelegationError) -> Budget {
        guard case .map(let pairs) = value, case .unsigned(let amount)? = value[text: "amount"],
            case .text(let unit)? = value[text: "unit"]
        else { throw malformed("`budget` has `amount` and `unit`") }
        var period: Int64?
        if let seconds = value[text: "period"] {
            guard case .unsigned(let number) = seconds, let known = Int64(exactly: number) else {
                throw malformed("`budget.period` is seconds")
            }
            period = known
        }
        guard pairs.count == (period == nil ? 2 : 3) else { throw malformed("`budget` has members that are not known") }
        return try Budget(amount, unit: unit, periodSeconds: period)
    }

    private static func accounting(_ value: CBOR) throws(DelegationError) -> AccountingNode {
        guard case .map(let pairs) = value, pairs.count == 2, case .text(let did)? = value[text: "did"],
            case .text(let url)? = value[text: "url"], let key = try? DIDKey(parsing: did)
        else { throw malformed("`accounting` has a did:key and a `url`") }
        return try AccountingNode(did: key, url: url)
    }

    private static func malformed(_ message: String) -> DelegationError { DelegationError(.malformed, message) }

    /// The value of `meta`; nil where there is nothing to say.
    var meta: CBOR? {
        var ours: [CBORPair] = []
        if let budget {
            var members = [CBORPair("amount", .unsigned(budget.amount)), CBORPair("unit", .text(budget.unit))]
            if let period = budget.periodSeconds { members.append(CBORPair("period", .unsigned(UInt64(period)))) }
            ours.append(CBORPair("budget", .map(members)))
        }
        if let accounting {
            ours.append(
                CBORPair(
                    "accounting",
                    .map([CBORPair("did", .text(accounting.did.string)), CBORPair("url", .text(accounting.url))])
                )
            )
        }
        if let label { ours.append(CBORPair("label", .text(label))) }
        return ours.isEmpty ? nil : .map([CBORPair(Self.member, .map(ours))])
    }
}
