internal import Encodings

/// A condition of a macaroon in the form of L402: `name=value` ([LSAT-5]).
public struct L402Caveat: Sendable, Hashable {
    public static let services = "services"

    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// Reads a condition. Spaces around the name and the value do not count: a holder who writes them means the caveat, and
    /// skipping it would widen what he handed on.
    /// - Returns: nil where it has no `=` or is no UTF-8, so is none that anybody here knows.
    public init?(_ condition: [UInt8]) {
        guard let equals = condition.firstIndex(of: UInt8(ascii: "=")),
            let name = Self.trimmed(condition[..<equals]), let value = Self.trimmed(condition[(equals + 1)...])
        else { return nil }
        self.name = name
        self.value = value
    }

    public var text: String { "\(name)=\(value)" }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> String? {
        let start = bytes.drop { $0 == UInt8(ascii: " ") }
        guard let end = start.lastIndex(where: { $0 != UInt8(ascii: " ") }) else { return "" }
        return String(validating: start[...end], as: UTF8.self)
    }
}

/// Judges the caveats of one macaroon for one call. Every value of a known caveat must hold, and each repeat must be at most
/// as wide as the one before it; caveats of other names are skipped ([LSAT-5], [LSAT-6]).
struct L402Caveats {
    private let request: L402Request
    private let now: Timestamp
    private var services: [String: UInt8]?
    private var capabilities: Set<String>?
    private var methods: Set<String>?
    private var path: PathPattern?
    private var price: Price?
    private var calls: UInt64?
    private var validUntil: UInt64?

    init(request: L402Request, now: Timestamp) {
        self.request = request
        self.now = now
    }

    /// - Throws: ``CallRefusal`` `credential-insufficient` or `credential-expired`.
    mutating func add(_ caveat: L402Caveat) throws(CallRefusal) {
        if caveat.name == L402Caveat.services { return try addServices(caveat) }
        switch ownName(caveat) {
        case "capabilities": try addCapabilities(caveat)
        case "method": try addMethods(caveat)
        case "path": try addPath(caveat)
        case "price": try addPrice(caveat)
        case "calls": try addCalls(caveat)
        case "valid_until": try addEnd(caveat)
        default: break
        }
    }

    /// What follows the service's name and `_`; nil for caveats of others.
    private func ownName(_ caveat: L402Caveat) -> Substring? {
        let (name, service) = (caveat.name.utf8, request.service.utf8)
        guard name.starts(with: service) else { return nil }
        let rest = name.dropFirst(service.count)
        return rest.first == UInt8(ascii: "_") ? Substring(rest.dropFirst()) : nil
    }

    /// What they come to. A macaroon without `services` is for nothing here: ours always have it.
    /// - Throws: ``CallRefusal`` `credential-insufficient`.
    func allowance(_ identifier: L402Identifier) throws(CallRefusal) -> L402Allowance {
        guard let tier = services?[request.service] else {
            throw CallRefusal(.credentialInsufficient, "This credential names no service it is for; pay anew.")
        }
        return L402Allowance(
            identifier: identifier,
            calls: calls,
            validUntil: validUntil.map { Timestamp(secondsSince1970: Int64(clamping: $0)) },
            tier: tier
        )
    }

    static func allows(_ method: String, among methods: Set<String>) -> Bool {
        methods.contains(method) || (method == "HEAD" && methods.contains("GET"))
    }

    private mutating func addServices(_ caveat: L402Caveat) throws(CallRefusal) {
        var named: [String: UInt8] = [:]
        for part in caveat.value.split(separator: ",", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: ":", omittingEmptySubsequences: false)
            guard pieces.count == 2, !pieces[0].isEmpty, let tier = Self.number(pieces[1]),
                let tier = UInt8(exactly: tier)
            else { throw Self.unreadable(caveat) }
            named[String(pieces[0])] = tier
        }
        if let services {
            // A tier is what was bought: another one is another thing, not a narrower one.
            guard named.allSatisfy({ services[$0.key] == $0.value }) else { throw Self.wider(caveat) }
        }
        guard named[request.service] != nil else {
            throw CallRefusal(
                .credentialInsufficient,
                "This credential is for another service than \(request.service); pay for this one."
            )
        }
        services = named
    }

    private mutating func addCapabilities(_ caveat: L402Caveat) throws(CallRefusal) {
        let named = try Self.list(caveat)
        if let capabilities, !named.isSubset(of: capabilities) { throw Self.wider(caveat) }
        guard let asked = request.capability, named.contains(asked) else { throw Self.notAllowed(caveat) }
        capabilities = named
    }

    private mutating func addMethods(_ caveat: L402Caveat) throws(CallRefusal) {
        let named = try Self.list(caveat)
        if let methods, !named.allSatisfy({ Self.allows($0, among: methods) }) { throw Self.wider(caveat) }
        guard Self.allows(request.method, among: named) else { throw Self.notAllowed(caveat) }
        methods = named
    }

    private mutating func addPath(_ caveat: L402Caveat) throws(CallRefusal) {
        let named: PathPattern
        do {
            named = try PathPattern(caveat.value)
        } catch {
            throw Self.unreadable(caveat)
        }
        guard !caveat.value.isEmpty else { throw Self.unreadable(caveat) }
        if let path, !path.contains(named) { throw Self.wider(caveat) }
        guard named.matches(request.path) else { throw Self.notAllowed(caveat) }
        path = named
    }

    private mutating func addPrice(_ caveat: L402Caveat) throws(CallRefusal) {
        let digits = caveat.value.prefix { $0.isASCII && $0.isNumber }
        let unit = caveat.value[digits.endIndex...]
        guard let amount = Self.number(digits), (1...16).contains(unit.utf8.count) else {
            throw Self.unreadable(caveat)
        }
        let named = Price(amount: amount, unit: String(unit))
        if let price {
            guard named.unit == price.unit, named.amount <= price.amount else { throw Self.wider(caveat) }
        }
        guard request.price.unit == named.unit, request.price.amount <= named.amount else {
            throw CallRefusal(
                .credentialInsufficient,
                "This call costs \(request.price), and the credential is good for \(named); pay for it."
            )
        }
        price = named
    }

    private mutating func addCalls(_ caveat: L402Caveat) throws(CallRefusal) {
        guard let named = Self.number(Substring(caveat.value)) else { throw Self.unreadable(caveat) }
        if let calls, named > calls { throw Self.wider(caveat) }
        calls = named
    }

    private mutating func addEnd(_ caveat: L402Caveat) throws(CallRefusal) {
        guard let named = Self.number(Substring(caveat.value)) else { throw Self.unreadable(caveat) }
        if let validUntil, named > validUntil { throw Self.wider(caveat) }
        guard now.secondsSince1970 < Int64(clamping: named) else {
            throw CallRefusal(.credentialExpired, "This credential has expired; pay anew.")
        }
        validUntil = named
    }

    private static func list(_ caveat: L402Caveat) throws(CallRefusal) -> Set<String> {
        let parts = caveat.value.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty }) else { throw unreadable(caveat) }
        return Set(parts.map(String.init))
    }

    /// A whole number in plain digits, at most 2^53 − 1.
    private static func number(_ text: Substring) -> UInt64? {
        guard (1...16).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }),
            let value = UInt64(text), value <= Price.maximumAmount
        else { return nil }
        return value
    }

    private static func unreadable(_ caveat: L402Caveat) -> CallRefusal {
        CallRefusal(.credentialInsufficient, "The caveat \(caveat.name.prefix(80)) of the credential can't be read.")
    }

    private static func wider(_ caveat: L402Caveat) -> CallRefusal {
        CallRefusal(
            .credentialInsufficient,
            "A later caveat \(caveat.name.prefix(80)) of the credential allows more than an earlier one."
        )
    }

    private static func notAllowed(_ caveat: L402Caveat) -> CallRefusal {
        CallRefusal(
            .credentialInsufficient,
            "This call is not among those that the credential is for (\(caveat.name.prefix(80))); pay for it."
        )
    }
}
