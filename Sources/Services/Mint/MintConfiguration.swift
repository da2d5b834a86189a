public import Cashu
internal import Lightning
public import WebServer

/// What an operator decides about a mint. Amounts are in the unit they stand beside.
public struct MintConfiguration: Sendable {
    /// One unit the mint deals in, and what its new keysets are like.
    public struct Unit: Sendable, Equatable {
        public var unit: CurrencyUnit
        /// In thousandths of the unit per input spent (NUT-02), at most 1,000,000.
        public var inputFeePPK: UInt64
        /// Seconds since 1970 after which the keyset is not redeemed any more; nil: never.
        public var finalExpiry: UInt64?
        /// How long from its making a new keyset is redeemed, in seconds; nil: `finalExpiry` holds. With it, the
        /// configuration's `rotationSeconds` must be shorter, so that a unit always has a keyset that signs.
        public var lifetimeSeconds: Int64?
        /// What one unit is worth in millisatoshis, for units other than `sat` and `msat`; nil: Lightning does not settle
        /// it, so that it can be swapped but neither minted nor melted. For `usd` and `eur` a unit is a cent.
        public var msatPerUnit: UInt64?
        /// The least and most that one mint or melt may be for.
        public var minimumAmount: UInt64
        public var maximumAmount: UInt64

        public init(
            unit: CurrencyUnit,
            inputFeePPK: UInt64 = 0,
            finalExpiry: UInt64? = nil,
            lifetimeSeconds: Int64? = nil,
            msatPerUnit: UInt64? = nil,
            minimumAmount: UInt64 = 1,
            maximumAmount: UInt64 = 10_000_000
        ) {
            self.unit = unit
            self.inputFeePPK = inputFeePPK
            self.finalExpiry = finalExpiry
            self.lifetimeSeconds = lifetimeSeconds
            self.msatPerUnit = msatPerUnit
            self.minimumAmount = minimumAmount
            self.maximumAmount = maximumAmount
        }
    }

    /// What a melt sets aside for routing: the larger of a minimum and a share of the amount. What is not used goes
    /// back as change (NUT-08).
    public struct FeeReserve: Sendable, Equatable {
        /// Of the amount, in thousandths, rounded up.
        public var permille: UInt64
        /// In millisatoshis.
        public var minimumMsat: UInt64

        public init(permille: UInt64 = 10, minimumMsat: UInt64 = 2_000) {
            self.permille = permille
            self.minimumMsat = minimumMsat
        }
    }

    /// Bounds on what others can make the mint hold or do.
    public struct Limits: Sendable, Equatable {
        /// Inputs and outputs of one request, each; at most `CashuLimits.arrayLength`.
        public var inputs: Int
        public var outputs: Int
        /// Bytes of a request's body; more is answered 413.
        public var bodyBytes: Int
        /// Bytes of all bodies that are being read or worked on at once; more is answered 503.
        public var bodyBytesAtOnce: Int
        /// Quotes that are not paid yet and not forgotten, each kind; more is answered 503.
        public var openQuotes: Int
        /// Payments that one process waits for at once; more is answered 503.
        public var meltsAtOnce: Int
        /// Questions to the Lightning backend at once; more is answered 503.
        public var backendCallsAtOnce: Int
        /// Quotes of one batch (NUT-29), at most `CashuLimits.batchQuotes`; more is answered 11017.
        public var batchQuotes: Int
        /// Entries of one page of the proof of liabilities, at most 1,024.
        public var liabilityPageEntries: Int

        public init(
            inputs: Int = 1000,
            outputs: Int = 1000,
            bodyBytes: Int = 1 << 20,
            bodyBytesAtOnce: Int = 32 << 20,
            openQuotes: Int = 100_000,
            meltsAtOnce: Int = 256,
            backendCallsAtOnce: Int = 256,
            batchQuotes: Int = CashuLimits.batchQuotes,
            liabilityPageEntries: Int = 1024
        ) {
            self.inputs = inputs
            self.outputs = outputs
            self.bodyBytes = bodyBytes
            self.bodyBytesAtOnce = bodyBytesAtOnce
            self.openQuotes = openQuotes
            self.meltsAtOnce = meltsAtOnce
            self.backendCallsAtOnce = backendCallsAtOnce
            self.batchQuotes = batchQuotes
            self.liabilityPageEntries = liabilityPageEntries
        }
    }

    /// Bounds on subscriptions (NUT-17). A filter costs about 300 bytes, so that the bounds below are worth some 15 MB.
    public struct Subscriptions: Sendable, Equatable {
        /// Whether `/v1/info` says that there are subscriptions; true where the server opens the mint's WebSocket.
        public var areOn: Bool
        /// Subscriptions of one connection.
        public var perConnection: Int
        public var filtersPerSubscription: Int
        public var filtersPerConnection: Int
        /// Filters of all connections.
        public var filtersInAll: Int
        public var socket: WebSocketLimits

        public init(
            areOn: Bool = false,
            perConnection: Int = 100,
            filtersPerSubscription: Int = 1000,
            filtersPerConnection: Int = 2000,
            filtersInAll: Int = 50_000,
            socket: WebSocketLimits = WebSocketLimits()
        ) {
            self.areOn = areOn
            self.perConnection = perConnection
            self.filtersPerSubscription = filtersPerSubscription
            self.filtersPerConnection = filtersPerConnection
            self.filtersInAll = filtersInAll
            self.socket = socket
        }
    }

    public var name: String
    public var description: String
    /// `name/version` of the program (NUT-06).
    public var version: String
    /// Shown to every user by wallets; test money says so here.
    public var messageOfTheDay: String?
    /// Where the mint is reached, for NUT-06; without a trailing slash.
    public var urls: [String]
    public var units: [Unit]
    public var feeReserve: FeeReserve
    public var limits: Limits
    /// How long a quote's invoice can be paid, in seconds; at most a week.
    public var quoteLifetimeSeconds: UInt32
    /// How long an unpaid quote is remembered after that, so that a late payment still counts.
    public var quoteGraceSeconds: Int64
    /// How often pending melts are asked about and old quotes forgotten.
    public var recoveryIntervalSeconds: Int64
    /// How long a keyset signs before another takes its place; nil: until the operator rotates it.
    public var rotationSeconds: Int64?
    public var subscriptions: Subscriptions
    /// How long a swap that comes again gets the same answer (NUT-19), in seconds, at most a day; mints and melts do as long
    /// as their quotes are kept.
    public var answerLifetimeSeconds: Int64
    /// Of how many swaps that is remembered, about 30 bytes each; beyond it the oldest are forgotten early.
    public var answersKept: Int
    /// Who may use the mint; nil: everyone.
    public var authentication: Authentication?
    /// How long an epoch of the proof of liabilities lasts; nil: it ends when the operator ends it.
    public var epochSeconds: Int64?
    /// How long the answer to a melt waits for its payment, in seconds; then it is PENDING and the payment goes on.
    public var meltAnswerSeconds: Int64

    public init(
        name: String = "Mintmark",
        description: String = "",
        version: String = "Mintmark/0.1.0",
        messageOfTheDay: String? = nil,
        urls: [String] = [],
        units: [Unit] = [Unit(unit: .sat)],
        feeReserve: FeeReserve = FeeReserve(),
        limits: Limits = Limits(),
        quoteLifetimeSeconds: UInt32 = 3600,
        quoteGraceSeconds: Int64 = 86_400,
        recoveryIntervalSeconds: Int64 = 5,
        rotationSeconds: Int64? = nil,
        subscriptions: Subscriptions = Subscriptions(),
        answerLifetimeSeconds: Int64 = 3600,
        answersKept: Int = 5_000_000,
        epochSeconds: Int64? = nil,
        meltAnswerSeconds: Int64 = 60,
        authentication: Authentication? = nil
    ) {
        self.name = name
        self.description = description
        self.version = version
        self.messageOfTheDay = messageOfTheDay
        self.urls = urls
        self.units = units
        self.feeReserve = feeReserve
        self.limits = limits
        self.quoteLifetimeSeconds = quoteLifetimeSeconds
        self.quoteGraceSeconds = quoteGraceSeconds
        self.recoveryIntervalSeconds = recoveryIntervalSeconds
        self.rotationSeconds = rotationSeconds
        self.subscriptions = subscriptions
        self.answerLifetimeSeconds = answerLifetimeSeconds
        self.answersKept = answersKept
        self.authentication = authentication
        self.epochSeconds = epochSeconds
        self.meltAnswerSeconds = meltAnswerSeconds
    }

    /// Refuses what cannot work, with a sentence that names the setting.
    func validate() throws(MintSetupError) {
        try authentication?.validate()
        guard !units.isEmpty else {
            throw MintSetupError(.configuration, "a mint needs at least one unit, such as sat")
        }
        guard Set(units.map(\.unit)).count == units.count else {
            throw MintSetupError(.configuration, "a unit stands twice in the mint's configuration")
        }
        for unit in units { try validate(unit) }
        guard epochSeconds.map({ $0 > 0 }) ?? true, meltAnswerSeconds >= 0 else {
            throw MintSetupError(.configuration, "an epoch lasts at least a second, and no answer waits less than none")
        }
        guard rotationSeconds.map({ $0 > 0 }) ?? true else {
            throw MintSetupError(.configuration, "a keyset signs for at least a second before it is rotated")
        }
        let arrays = 1...CashuLimits.arrayLength
        guard arrays.contains(limits.inputs), arrays.contains(limits.outputs), limits.bodyBytes >= 1024,
            limits.bodyBytes <= 16 << 20, limits.openQuotes > 0, limits.meltsAtOnce > 0, limits.backendCallsAtOnce > 0,
            (1...CashuLimits.batchQuotes).contains(limits.batchQuotes)
        else {
            throw MintSetupError(
                .configuration,
                "the mint's limits must be positive, arrays at most \(CashuLimits.arrayLength), batches at most"
                    + " \(CashuLimits.batchQuotes), bodies 1 KiB to 16 MiB"
            )
        }
        guard (1...86_400).contains(answerLifetimeSeconds), answersKept >= 0 else {
            throw MintSetupError(
                .configuration,
                "answers are remembered for 1 second to a day, and none or more of them"
            )
        }
        guard (1...604_800).contains(quoteLifetimeSeconds), quoteGraceSeconds >= 0, recoveryIntervalSeconds > 0,
            feeReserve.permille <= 1000
        else {
            throw MintSetupError(
                .configuration,
                "a quote lives 1 second to a week, the recovery interval is at least a second, the reserve at most 1000 permille"
            )
        }
    }
}

extension MintConfiguration {
    private func validate(_ unit: Unit) throws(MintSetupError) {
        guard unit.unit != .auth else {
            throw MintSetupError(.configuration, "the unit auth is not money: it is set with blind authentication")
        }
        guard unit.inputFeePPK <= 1_000_000 else {
            throw MintSetupError(.configuration, "an input fee above 1,000,000 ppk is not sensible (\(unit.unit))")
        }
        if let rate = unit.msatPerUnit {
            guard UnitRate.fixed(unit.unit) == nil else {
                throw MintSetupError(.configuration, "\(unit.unit) is worth what it is: it takes no exchange rate")
            }
            guard (1...LightningLimits.maximumAmountMsat).contains(rate) else {
                throw MintSetupError(
                    .configuration,
                    "the rate of \(unit.unit) must be 1 to \(LightningLimits.maximumAmountMsat) msat a unit"
                )
            }
        }
        let most = UnitRate(unit.unit, set: unit.msatPerUnit)?.maximumAmount ?? UInt64(Int64.max)
        guard unit.minimumAmount > 0, unit.minimumAmount <= unit.maximumAmount, unit.maximumAmount <= most else {
            throw MintSetupError(.configuration, "the amounts for \(unit.unit) must be 1 to \(most), least first")
        }
        guard let lifetime = unit.lifetimeSeconds else { return }
        guard unit.finalExpiry == nil, let rotationSeconds, lifetime > rotationSeconds else {
            throw MintSetupError(
                .configuration,
                "keysets of \(unit.unit) that end by their age need a rotation that comes before, and no fixed expiry"
            )
        }
    }
}

/// Why a mint did not start.
public struct MintSetupError: Error, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// The configuration cannot work.
        public static let configuration = Code(rawValue: "configuration")
        /// The mint does not deal in that unit.
        public static let unitUnknown = Code(rawValue: "unit-unknown")
        /// The same is being done already.
        public static let busy = Code(rawValue: "busy")
        /// The seed is not the one that this database's keysets were made from.
        public static let wrongSeed = Code(rawValue: "wrong-seed")
        /// The OpenID issuer does not answer as it should.
        public static let issuer = Code(rawValue: "issuer")
    }

    public let code: Code
    /// A sentence the operator can act on.
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
