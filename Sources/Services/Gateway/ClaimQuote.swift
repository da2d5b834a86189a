internal import CanonicalJSON
public import Paywall
public import Receipts

/// What was quoted for a claim of whose payment some may come back: a metered price, or one that was overpaid ([PRC-5], [CHG-1]).
public struct ClaimQuote: Sendable, Equatable {
    /// What was quoted, in the price's unit; no charge is above it.
    public var quoted: UInt64
    /// Whether the call may turn out to cost less.
    public var isMaximum: Bool
    /// What was paid beyond what was asked, in the claim's unit.
    public var overpaid: UInt64
    /// What the mint takes for making change, in the claim's unit: it comes out of the change.
    public var makingFee: UInt64
    /// How much of the claim's unit one unit of the price is; 1 for ecash, which is paid in the price's own.
    public var perUnit: UInt64
    /// What was used in the period of each meter with tiers, as it was at the quote.
    public var used: [PriceMeasure: UInt64]
    /// Whose use is counted; nil where nobody's is.
    public var holder: String?
    /// Whether a part of the price goes back where the call breaks its promise ([SLA-11]).
    public var givesBack: Bool

    public init(
        quoted: UInt64,
        isMaximum: Bool,
        overpaid: UInt64 = 0,
        makingFee: UInt64 = 0,
        perUnit: UInt64 = 1,
        used: [PriceMeasure: UInt64] = [:],
        holder: String? = nil,
        givesBack: Bool = false
    ) {
        self.quoted = quoted
        self.isMaximum = isMaximum
        self.overpaid = overpaid
        self.makingFee = makingFee
        self.perUnit = perUnit
        self.used = used
        self.holder = holder
        self.givesBack = givesBack
    }

    /// What the call's price leaves of an ecash payment: what was quoted and is not charged, and what was overpaid, less what
    /// making it costs; never more than the payment is worth beyond the price.
    /// - Parameters:
    ///   - price: what the call cost, at most ``quoted``.
    ///   - total: what was paid; `fee` of it is the mint's.
    func change(price: UInt64, total: UInt64, fee: UInt64) -> UInt64 {
        let (back, overflow) = (quoted - min(price, quoted)).addingReportingOverflow(overpaid)
        let (kept, tooMuch) = price.addingReportingOverflow(fee)
        guard !overflow, !tooMuch, total > kept else { return 0 }
        let most = min(back, total - kept)
        return most > makingFee ? most - makingFee : 0
    }

    /// What a price comes to in the claim's unit, at most `total`.
    func worth(_ price: UInt64, total: UInt64) -> UInt64 {
        let (worth, overflow) = price.multipliedReportingOverflow(by: perUnit)
        return overflow ? total : min(worth, total)
    }
}

/// What a call with a quote cost in the end.
public struct SettledCharge: Sendable, Equatable {
    /// In the claim's unit.
    public var charged: UInt64
    /// What goes back to the buyer, in the claim's unit: as a token, or to the credit that it was taken from.
    public var change: UInt64
    /// What was used, to be added up for tiers.
    public var usage: [UsageEntry]
    /// What of ``change`` goes back for a promise that was not kept; nil where none does.
    public var breach: ReceiptBreach?

    public init(charged: UInt64, change: UInt64, usage: [UsageEntry] = [], breach: ReceiptBreach? = nil) {
        self.charged = charged
        self.change = change
        self.usage = usage
        self.breach = breach
    }
}

/// So much of a measure, used by one holder of a passport in one period.
public struct UsageEntry: Sendable, Equatable {
    public var service: String
    public var holder: String
    /// A name of ``PriceMeasure/key``.
    public var measure: String
    public var period: PricePeriod
    public var quantity: UInt64

    public init(service: String, holder: String, measure: String, period: PricePeriod, quantity: UInt64) {
        self.service = service
        self.holder = holder
        self.measure = measure
        self.period = period
        self.quantity = quantity
    }
}

/// Change that a served call leaves, to be given as a token ([CHG-1]).
public struct StoredChange: Sendable, Equatable {
    public var claimID: String
    public var amount: UInt64
    /// nil until the seller's wallet has made it.
    public var token: String?

    public init(claimID: String, amount: UInt64, token: String?) {
        self.claimID = claimID
        self.amount = amount
        self.token = token
    }
}

extension PriceMeasure {
    /// A name without spaces: `responseBytes`, or `reported:x-tokens`.
    public var key: String {
        if case .reported(let name) = self { return "reported:\(name)" }
        return description
    }

    /// - Returns: nil for a name that is none of ``key``'s.
    public init?(key: String) {
        switch key {
        case "calls": self = .calls
        case "requestBytes": self = .requestBytes
        case "responseBytes": self = .responseBytes
        case "seconds": self = .seconds
        default:
            guard key.hasPrefix("reported:") else { return nil }
            self = .reported(String(key.dropFirst("reported:".count)))
        }
    }
}

extension ClaimQuote {
    /// The quantities used, as they stand in a row.
    var usedText: String {
        var object = JSONObject()
        for (measure, quantity) in used.sorted(by: { $0.key.key < $1.key.key }) {
            object[measure.key] = .string(String(quantity))
        }
        return String(decoding: JSONValue.object(object).serialized(), as: UTF8.self)
    }

    static func used(_ text: String) throws -> [PriceMeasure: UInt64] {
        guard let object = try JSONValue.parse(Array(text.utf8)).objectValue else {
            throw GatewayError(.corrupt, "what was used before a call can't be read")
        }
        var used: [PriceMeasure: UInt64] = [:]
        for (key, value) in object {
            guard let measure = PriceMeasure(key: key), let quantity = value.stringValue.flatMap({ UInt64($0) }) else {
                throw GatewayError(.corrupt, "what was used before a call can't be read")
            }
            used[measure] = quantity
        }
        return used
    }
}
