internal import CanonicalJSON
public import Encodings
public import Lightning

/// A way to pay for a call, as services name what they accept.
public enum PaymentDialect: String, Sendable, Hashable, CaseIterable {
    /// Ecash in `X-Cashu` (NUT-24).
    case cashu
    /// A macaroon and a Lightning invoice.
    case l402
    /// One Lightning invoice under the `Payment` scheme.
    case paymentLightning = "payment-lightning"
    /// A Lightning deposit for many calls under the `Payment` scheme.
    case paymentSession = "payment-session"
    /// Ecash under the `Payment` scheme.
    case paymentCashu = "payment-cashu"
    /// `PAYMENT-REQUIRED` and `PAYMENT-SIGNATURE`, whatever stands in them: a line of a 402, no way that a service takes.
    case x402
    /// A signed token transfer on an EVM chain, over x402.
    case x402Exact = "x402-exact"
    /// Ecash over x402 (`Specs/x402-cashu.md`).
    case x402Cashu = "x402-cashu"
    /// Lightning over x402 (`Specs/x402-lightning.md`).
    case x402Lightning = "x402-lightning"

    /// The ways that come over x402.
    public static let overX402: Set<PaymentDialect> = [.x402Exact, .x402Cashu, .x402Lightning]

    /// Whether a call can be sold whose price is a maximum: what was taken too much must go back, or not be taken ([PRC-5]).
    /// Ecash goes back as ecash, a session is charged afterwards; one Lightning payment can't be taken in part.
    public var givesDifferenceBack: Bool {
        switch self {
        case .cashu, .paymentCashu, .paymentSession: true
        case .l402, .paymentLightning, .x402, .x402Exact, .x402Cashu, .x402Lightning: false
        }
    }

    /// Method and intent under the `Payment` scheme; nil where it is another.
    var methodAndIntent: (method: String, intent: String)? {
        switch self {
        case .paymentLightning: (LightningCharge.method, LightningCharge.intent)
        case .paymentSession: (LightningSessionWire.method, LightningSessionWire.intent)
        case .paymentCashu: (CashuCharge.method, CashuCharge.intent)
        case .cashu, .l402, .x402, .x402Exact, .x402Cashu, .x402Lightning: nil
        }
    }
}

/// What one 402 is made from. Each part may be absent: what can't be offered now is left out.
public struct ChallengeTerms: Sendable {
    /// Ecash: the value that `X-Cashu` will have, see ``NUT24``.
    public var cashu: String?
    /// The invoice for this call, shared by L402 and a Lightning charge: its payment hash is claimed once, by either.
    public var invoice: BOLT11Invoice?
    /// What the invoice must be for, in msat: the price beforehand of all calls of the grant.
    public var invoiceMsat: UInt64
    /// Whether the price is a maximum of which the difference goes back: then only dialects that can do that are offered.
    public var isMaximum: Bool
    /// What L402 sells for the invoice, its key and 24 random bytes.
    public var l402: L402Offer?
    public var session: SessionOffer?
    /// The value of `PAYMENT-REQUIRED`, made elsewhere.
    public var x402: String?
    /// The same with less in it, the richest first: taken where all lines together would be too long.
    public var x402Leaner: [String] = []
    public var realm: String
    public var secrets: PaymentSecrets
    public var scope: PaymentScope
    /// SHA-256 of the body, 32 bytes, where it was read.
    public var bodyDigest: [UInt8]?
    /// Until when the challenges are good.
    public var expires: Timestamp

    public struct L402Offer: Sendable {
        public var grant: L402Grant
        public var key: L402RootKey
        public var nonce: [UInt8]
        public var location: String

        public init(grant: L402Grant, key: L402RootKey, nonce: [UInt8], location: String = "") {
            self.grant = grant
            self.key = key
            self.nonce = nonce
            self.location = location
        }
    }

    public struct SessionOffer: Sendable {
        /// Another invoice than the call's.
        public var deposit: BOLT11Invoice
        /// What one unit costs, in sat.
        public var unitSats: UInt64
        public var unitName: String?
        public var idleSeconds: UInt64?

        public init(deposit: BOLT11Invoice, unitSats: UInt64, unitName: String? = nil, idleSeconds: UInt64? = nil) {
            self.deposit = deposit
            self.unitSats = unitSats
            self.unitName = unitName
            self.idleSeconds = idleSeconds
        }
    }

    public init(
        cashu: String? = nil,
        invoice: BOLT11Invoice? = nil,
        invoiceMsat: UInt64 = 0,
        isMaximum: Bool = false,
        l402: L402Offer? = nil,
        session: SessionOffer? = nil,
        x402: String? = nil,
        realm: String,
        secrets: PaymentSecrets,
        scope: PaymentScope,
        bodyDigest: [UInt8]? = nil,
        expires: Timestamp
    ) {
        self.cashu = cashu
        self.invoice = invoice
        self.invoiceMsat = invoiceMsat
        self.isMaximum = isMaximum
        self.l402 = l402
        self.session = session
        self.x402 = x402
        self.realm = realm
        self.secrets = secrets
        self.scope = scope
        self.bodyDigest = bodyDigest
        self.expires = expires
    }
}

/// All challenges of one 402 ([CHS-1], [CHS-2]).
public struct ChallengeSet: Sendable {
    /// The most bytes of all its header lines together: common clients give up at 16 KiB for the whole head.
    public static let maximumBytes = 8192
    /// The longest value taken for `PAYMENT-REQUIRED`, in bytes.
    public static let maximumX402Bytes = 6144
    public static let x402HeaderName = "PAYMENT-REQUIRED"

    /// Lines in the order in which they are sent, the dialect of each.
    public private(set) var lines: [(dialect: PaymentDialect, name: String, value: String)] = []
    /// What the service accepts and this answer does not offer, and why.
    public private(set) var omitted: [(dialect: PaymentDialect, reason: String)] = []

    /// Every header of the 402, with `Cache-Control: no-store`: a challenge is for one caller and one moment.
    public var headers: [(name: String, value: String)] {
        [("Cache-Control", "no-store")] + lines.map { ($0.name, $0.value) }
    }

    /// In the order in which lines are given up where they are too long together: first what another line offers too.
    private static let spared: [PaymentDialect] = [
        .paymentCashu, .paymentLightning, .paymentSession, .x402, .l402, .cashu,
    ]

    /// - Parameters:
    ///   - accepted: what the service takes.
    ///   - preference: the request's `Accept-Payment`, which orders and filters the lines of the `Payment` scheme.
    /// - Throws: ``CallRefusal`` `mint-unavailable` where nothing can be offered: the call can't be paid for now.
    public init(
        _ terms: ChallengeTerms,
        accepted: Set<PaymentDialect>,
        preference: AcceptPayment? = nil
    ) throws(CallRefusal) {
        let maker = ChallengeMaker(terms: terms)
        for dialect in Self.order(accepted, preference) {
            do {
                lines.append((dialect, Self.headerName(dialect), try maker.value(dialect)))
            } catch {
                omitted.append((dialect, error.reason))
            }
        }
        for leaner in terms.x402Leaner where byteCount > Self.maximumBytes {
            guard let index = lines.firstIndex(where: { $0.dialect == .x402 }) else { break }
            lines[index].value = leaner
        }
        for dialect in Self.spared where byteCount > Self.maximumBytes {
            guard let index = lines.firstIndex(where: { $0.dialect == dialect }) else { continue }
            lines.remove(at: index)
            omitted.append((dialect, "the challenges together would be longer than \(Self.maximumBytes) bytes"))
        }
        guard !lines.isEmpty else {
            throw CallRefusal(
                .mintUnavailable,
                "There is no way to take a payment for this call at the moment; try again shortly.",
                retryAfterSeconds: 5
            )
        }
    }

    /// The bytes of all lines with names, separators and ends.
    public var byteCount: Int {
        headers.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
    }

    /// L402 before `Payment`: clients that know only the first line of `WWW-Authenticate` are those of L402.
    private static func order(_ accepted: Set<PaymentDialect>, _ preference: AcceptPayment?) -> [PaymentDialect] {
        var accepted = accepted
        if !accepted.isDisjoint(with: PaymentDialect.overX402) { accepted.insert(.x402) }
        accepted.subtract(PaymentDialect.overX402)
        let offered = PaymentDialect.allCases.filter { accepted.contains($0) }
        guard let preference else { return offered }
        let chosen = preference.chosen(offered.filter { $0.methodAndIntent != nil })
        return offered.filter { $0.methodAndIntent == nil } + chosen
    }

    private static func headerName(_ dialect: PaymentDialect) -> String {
        switch dialect {
        case .cashu: NUT24.headerName
        case .x402, .x402Exact, .x402Cashu, .x402Lightning: x402HeaderName
        case .l402, .paymentLightning, .paymentSession, .paymentCashu: "WWW-Authenticate"
        }
    }
}

/// Makes each line of a 402.
private struct ChallengeMaker {
    let terms: ChallengeTerms

    struct Omission: Error {
        var reason: String
    }

    func value(_ dialect: PaymentDialect) throws(Omission) -> String {
        guard !terms.isMaximum || dialect.givesDifferenceBack else {
            throw Omission(reason: "the price is a maximum, and the difference can't go back this way")
        }
        do {
            switch dialect {
            case .cashu: return try present(terms.cashu, "no ecash can be taken")
            case .x402: return try x402()
            case .x402Exact, .x402Cashu, .x402Lightning:
                throw Omission(reason: "it stands in the line of x402")
            case .l402: return try l402()
            case .paymentLightning:
                // A charge buys one call: an invoice for several is L402's alone.
                guard (terms.l402?.grant.calls ?? 1) == 1 else {
                    throw Omission(reason: "the invoice is for several calls")
                }
                return try payment(dialect, LightningCharge.request(invoice: invoice()), terms.scope.opaqueForCall)
            case .paymentSession:
                let offer = try present(terms.session, "there is no deposit invoice")
                let request = try LightningSessionWire.request(
                    unitSats: offer.unitSats,
                    unitName: offer.unitName,
                    deposit: offer.deposit,
                    idleSeconds: offer.idleSeconds
                )
                return try payment(
                    dialect,
                    request,
                    terms.scope.opaqueForSession,
                    end: offer.deposit.expiresAt,
                    bindsBody: false
                )
            case .paymentCashu:
                let text = try present(terms.cashu, "no ecash can be taken")
                return try payment(dialect, CashuCharge.request(paymentRequest: text), terms.scope.opaqueForCall)
            }
        } catch let omission as Omission {
            throw omission
        } catch {
            throw Omission(reason: "\(error)")
        }
    }

    private func present<Value>(_ value: Value?, _ reason: String) throws(Omission) -> Value {
        guard let value else { throw Omission(reason: reason) }
        return value
    }

    /// The call's invoice, which must be for exactly the price: what the challenge asks is what the buyer pays.
    private func invoice() throws(Omission) -> BOLT11Invoice {
        let invoice = try present(terms.invoice, "there is no invoice")
        guard invoice.amountMsat == terms.invoiceMsat, terms.invoiceMsat > 0 else {
            throw Omission(reason: "the invoice is not for the price")
        }
        return invoice
    }

    private func l402() throws -> String {
        let offer = try present(terms.l402, "there is no root key or grant")
        let invoice = try invoice()
        guard offer.grant.paymentHash == invoice.paymentHash else {
            throw Omission(reason: "the grant is for another invoice")
        }
        let macaroon = try offer.grant.macaroon(key: offer.key, nonce: offer.nonce, location: offer.location)
        return try L402.challenge(macaroon: macaroon, invoice: invoice.text)
    }

    private func x402() throws(Omission) -> String {
        let value = try present(terms.x402, "x402 is not set up")
        guard value.utf8.count <= ChallengeSet.maximumX402Bytes, !value.isEmpty,
            value.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw Omission(reason: "the x402 challenge is no header value, or too long") }
        return value
    }

    private func payment(
        _ dialect: PaymentDialect,
        _ request: JSONObject,
        _ opaque: [String: String],
        end: Timestamp? = nil,
        bindsBody: Bool = true
    ) throws -> String {
        let (method, intent) = try present(dialect.methodAndIntent, "it is no method of the Payment scheme")
        let invoiceEnd = end ?? (dialect == .paymentLightning ? terms.invoice?.expiresAt : nil)
        return try PaymentChallenge(
            realm: terms.realm,
            method: method,
            intent: intent,
            request: request,
            expires: min(terms.expires, invoiceEnd ?? terms.expires),
            digest: bindsBody ? terms.bodyDigest.map(PaymentContext.digestField) : nil,
            opaque: opaque,
            secrets: terms.secrets
        ).header()
    }
}
