internal import CanonicalJSON

/// What a service asks for a session of the `Payment` scheme ([PAY-8]).
public struct SessionTerms: Sendable, Equatable {
    /// What a deposit is, in sat; nil: ``units`` times what a call costs at most.
    public var depositSats: UInt64?
    /// After how long without a call the seller ends a session and returns what is left, in seconds.
    public var idleSeconds: Int64

    /// The draft's recommendation: about so many calls before more is to be deposited.
    static let units: UInt64 = 20
    /// 10 BTC, the most that one invoice is made for.
    static let maximumSats: UInt64 = 1_000_000_000
    /// A minute to 31 days.
    static let idleBounds: ClosedRange<Int64> = 60...(31 * 86_400)

    public init(depositSats: UInt64? = nil, idleSeconds: Int64 = 3600) {
        self.depositSats = depositSats
        self.idleSeconds = idleSeconds
    }

    init(json object: JSONObject) throws {
        try ServiceDefinition.refuseUnknown(object, known: ["depositSats", "idleSeconds"], in: "a session")
        self.init()
        if object.contains("depositSats") { depositSats = try PriceJSON.number("depositSats", object) }
        idleSeconds = try object.optionalInt64("idleSeconds") ?? idleSeconds
    }

    var json: JSONObject {
        var object: JSONObject = ["idleSeconds": .integer(idleSeconds)]
        object["depositSats"] = depositSats.map { .string(String($0)) }
        return object
    }

    func validate() throws(GatewayError) {
        if let depositSats, !(1...Self.maximumSats).contains(depositSats) {
            throw GatewayError(.invalidService, "A session's deposit is 1 to \(Self.maximumSats) sat.")
        }
        guard Self.idleBounds.contains(idleSeconds) else {
            throw GatewayError(.invalidService, "A session ends after a minute to 31 days without a call.")
        }
    }

    /// What a deposit is for a call that may cost so much.
    /// - Returns: nil where the deposit could not pay for it, or is more than an invoice can be for.
    func deposit(unitSats: UInt64) -> UInt64? {
        let sats: UInt64
        if let depositSats {
            sats = depositSats
        } else {
            let (product, overflow) = unitSats.multipliedReportingOverflow(by: Self.units)
            guard !overflow else { return nil }
            sats = product
        }
        return sats >= unitSats && sats <= Self.maximumSats ? sats : nil
    }
}
