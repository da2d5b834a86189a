internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Lightning
internal import Paywall

/// One way in which a seller can be paid for a call, read out of its 402. Pure.
enum PaymentOffer: Sendable {
    /// `X-Cashu`.
    case ecash(PaymentTerms)
    /// `Payment`, method cashu: the same coins, in a credential for this challenge.
    case charge(PaymentTerms, challenge: String)
    case invoice(InvoiceOffer)

    var way: PaymentWay {
        switch self {
        case .ecash: .cashu
        case .charge: .paymentCashu
        case .invoice(let offer): offer.way
        }
    }
}

/// An invoice that buys a call.
struct InvoiceOffer: Sendable {
    var way: PaymentWay
    var invoice: BOLT11Invoice
    /// Above zero.
    var amountMsat: UInt64
    /// The challenge as it stands in `WWW-Authenticate`, from which the credential is made.
    var challenge: String

    /// What it asks in a unit, rounded up; nil where the unit is not Lightning's.
    func amount(in unit: CurrencyUnit) -> UInt64? { LightningUnit(unit)?.rounded(up: amountMsat) }
}

/// A unit of ecash that Lightning counts in too.
struct LightningUnit: Sendable {
    /// Millisatoshi in one of it.
    let msat: UInt64

    init?(_ unit: CurrencyUnit) {
        switch unit {
        case .sat: msat = 1000
        case .msat: msat = 1
        default: return nil
        }
    }

    func rounded(up amountMsat: UInt64) -> UInt64 { amountMsat / msat + (amountMsat % msat == 0 ? 0 : 1) }
    /// Nil where it is more than any amount.
    func msat(of amount: UInt64) -> UInt64? {
        let (product, overflow) = amount.multipliedReportingOverflow(by: msat)
        return overflow ? nil : product
    }
}

/// Everything that a 402 offers, and what of it cannot be used.
struct PaymentOffers: Sendable {
    /// In the order of preference: ecash before Lightning, as it costs no route; a token that may be good for more calls
    /// before a proof that is good for one.
    private(set) var usable: [PaymentOffer] = []
    /// Why the others are out of the question.
    private(set) var obstacles: [WalletError] = []

    var isEmpty: Bool { usable.isEmpty && obstacles.isEmpty }

    init(_ answer: Answer, for call: Call, network: LightningNetwork, at now: Timestamp) {
        let reader = OfferReader(answer: answer, network: network, now: now)
        let lines = answer.headers.filter { $0.name.lowercased() == "www-authenticate" }.map(\.value)
        let payments = PaymentChallenge.read(wwwAuthenticate: lines)
        if let text = answer.header(NUT24.headerName) {
            add(.cashu, of: call) { () throws(WalletError) in .ecash(try PaymentTerms(challenge: text)) }
        }
        for challenge in payments where challenge.method == CashuCharge.method {
            add(.paymentCashu, of: call) { () throws(WalletError) in try reader.charge(challenge) }
        }
        // Sellers that know only the old name of the scheme get it back.
        let isNamed = HTTPChallenge.read(lines).contains { $0.isScheme(L402.scheme) }
        for challenge in L402.challenges(wwwAuthenticate: lines) {
            add(.l402, of: call) { () throws(WalletError) in
                .invoice(try reader.l402(challenge, scheme: isNamed ? L402.scheme : "LSAT"))
            }
        }
        for challenge in payments where challenge.method == LightningCharge.method {
            guard challenge.intent == LightningCharge.intent else { continue }
            add(.paymentLightning, of: call) { () throws(WalletError) in .invoice(try reader.lightning(challenge)) }
        }
    }

    private mutating func add(_ way: PaymentWay, of call: Call, _ read: () throws(WalletError) -> PaymentOffer) {
        guard call.request.via == nil || call.request.via == way.via else { return }
        do throws(WalletError) {
            if way.usesAuthorization, call.hasAuthorization {
                throw WalletError(
                    .challengeUnusable,
                    "the call has an Authorization header of its own, in whose place the payment would go"
                )
            }
            usable.append(try read())
        } catch {
            obstacles.append(error)
        }
    }
}

/// Reads the challenges of one answer.
private struct OfferReader: Sendable {
    let answer: Answer
    let network: LightningNetwork
    let now: Timestamp

    // MARK: Payment

    func charge(_ challenge: PaymentChallenge) throws(WalletError) -> PaymentOffer {
        guard challenge.intent == CashuCharge.intent,
            let text = challenge.requestObject?["methodDetails"]?["paymentRequest"]?.stringValue
        else { throw WalletError(.challengeUnusable, "the seller's Payment challenge holds no payment request") }
        do {
            _ = try CashuCharge.paymentRequest(of: challenge)
        } catch {
            throw WalletError(.challengeUnusable, "the seller's Payment challenge: \(error.message)", cause: error)
        }
        return .charge(try PaymentTerms(challenge: text), challenge: try kept(challenge))
    }

    func lightning(_ challenge: PaymentChallenge) throws(WalletError) -> InvoiceOffer {
        let invoice: BOLT11Invoice
        do {
            invoice = try LightningCharge.invoice(of: challenge)
        } catch {
            throw WalletError(.challengeUnusable, "the seller's Payment challenge: \(error.message)", cause: error)
        }
        let amount = try payable(invoice, calls: 1)
        let text = try kept(challenge)
        return InvoiceOffer(way: .paymentLightning, invoice: invoice, amountMsat: amount, challenge: text)
    }

    /// The challenge as it will be kept, where it can still be answered.
    private func kept(_ challenge: PaymentChallenge) throws(WalletError) -> String {
        if let text = challenge.expires {
            guard let expires = try? Timestamp(rfc3339: text), expires > now else {
                throw WalletError(.challengeUnusable, "the seller's Payment challenge has lapsed: ask again")
            }
        }
        do {
            return try challenge.header()
        } catch {
            throw WalletError(.challengeUnusable, "the seller's Payment challenge: \(error.message)", cause: error)
        }
    }

    // MARK: L402

    func l402(_ challenge: L402Challenge, scheme: String) throws(WalletError) -> InvoiceOffer {
        let invoice: BOLT11Invoice
        do {
            invoice = try BOLT11Invoice(decoding: challenge.invoice)
        } catch {
            throw WalletError(.challengeUnusable, "the seller's invoice cannot be read: \(error.message)", cause: error)
        }
        guard challenge.commits(to: invoice.paymentHash) != false else {
            throw WalletError(
                .challengeUnusable,
                "the seller's L402 token is for another payment than its invoice: paying would buy nothing"
            )
        }
        let terms = PassTerms(challenge)
        let amount = try payable(invoice, calls: terms.calls ?? 1)
        let text = "\(scheme) macaroon=\"\(challenge.token)\", invoice=\"\(challenge.invoice)\""
        return InvoiceOffer(way: .l402, invoice: invoice, amountMsat: amount, challenge: text)
    }

    // MARK: The invoice

    /// What an invoice asks, where it may be paid.
    /// - Parameter calls: how many calls it buys, by what comes with it.
    private func payable(_ invoice: BOLT11Invoice, calls: UInt64) throws(WalletError) -> UInt64 {
        let asked: UInt64
        do {
            asked = try invoice.requirePayable(on: network, at: now)
        } catch {
            throw WalletError(Self.code(error.code), "the seller's invoice: \(error.message)", cause: error)
        }
        guard asked > 0 else {
            throw WalletError(.invoiceWithoutAmount, "the seller's invoice is over nothing")
        }
        guard let price else { return asked }
        let (most, overflow) = price.multipliedReportingOverflow(by: max(1, calls))
        guard overflow || asked <= most else {
            let many = calls > 1 ? "\(calls) calls at \(price) msat" : "a price of \(price) msat"
            throw WalletError(
                .invoiceTooHigh,
                "the seller's invoice is over \(asked) msat for \(many): nothing was paid"
            )
        }
        return asked
    }

    private static func code(_ code: LightningError.Code) -> WalletError.Code {
        switch code {
        case .networkMismatch: .invoiceWrongNetwork
        case .amountRequired: .invoiceWithoutAmount
        case .expired: .invoiceExpired
        default: .challengeUnusable
        }
    }

    /// The price of one call in msat, as the same answer says it: in its problem document, else in its payment request;
    /// nil where it says none, or in another kind of money.
    private var price: UInt64? {
        var said: (amount: UInt64, unit: String)? = answer.price
        if said == nil, let text = answer.header(NUT24.headerName), let terms = try? PaymentTerms(challenge: text) {
            said = (terms.amount, terms.unit.name)
        }
        guard let said, let unit = try? CurrencyUnit(said.unit) else { return nil }
        return LightningUnit(unit)?.msat(of: said.amount)
    }
}

/// What a token says of itself, as far as a buyer can use it: a seller may mean something else, and has the last word.
struct PassTerms: Sendable, Equatable {
    /// The fewest calls that any caveat allows; nil: none speaks of it.
    var calls: UInt64?
    /// The earliest end, in seconds since 1970; nil: none speaks of it.
    var validUntil: Int64?

    init(_ challenge: L402Challenge) {
        for caveat in challenge.macaroon?.caveats ?? [] where !caveat.isThirdParty {
            let parts = String(decoding: caveat.identifier, as: UTF8.self).split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let name = parts[0].trimmed
            if name.hasSuffix("_calls"), let count = UInt64(parts[1].trimmed) {
                calls = min(calls ?? .max, count)
            } else if name.hasSuffix("_valid_until"), let seconds = Int64(parts[1].trimmed) {
                validUntil = min(validUntil ?? .max, seconds)
            }
        }
    }
}

extension Substring {
    fileprivate var trimmed: String {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        guard let end = lastIndex(where: { !isSpace($0) }) else { return "" }
        return String(self[...end].drop(while: isSpace))
    }
}
