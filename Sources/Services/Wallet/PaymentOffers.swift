internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Lightning
internal import Paywall

/// One way in which a seller can be paid for a call, read out of its 402. Pure.
enum PaymentOffer: Sendable {
    case ecash(EcashOffer)
    case invoice(InvoiceOffer)
    case authorization(AuthorizationOffer)

    /// What it costs, without fees; nil where it cannot be told in this unit.
    func cost(in unit: CurrencyUnit, rates: PriceRates) -> UInt64? {
        switch self {
        case .ecash(let offer): offer.terms.unit == unit ? offer.terms.amount : nil
        case .invoice(let offer):
            if let session = offer.session {
                LightningUnit(unit)?.rounded(up: session.callMsat)
            } else {
                offer.amount(in: unit)
            }
        case .authorization(let offer): try? offer.asset.cost(of: offer.requirements.amount, in: unit, rates: rates)
        }
    }
}

/// Ecash that buys a call.
struct EcashOffer: Sendable {
    var way: PaymentWay
    var terms: PaymentTerms
    /// What the coins answer: a challenge of `Payment` as it stands in `WWW-Authenticate`, or one of x402 as JSON; nil: they go
    /// into `X-Cashu`.
    var challenge: String?
}

/// An invoice that buys a call.
struct InvoiceOffer: Sendable {
    var way: PaymentWay
    var invoice: BOLT11Invoice
    /// Above zero.
    var amountMsat: UInt64
    /// The challenge from which the credential is made: as it stands in `WWW-Authenticate`; of x402, as JSON.
    var challenge: String
    /// Where the invoice is a deposit of many calls.
    var session: SessionIntent?

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
    /// One offer, with what is known of it.
    struct Entry: Sendable {
        var description: OfferDescription
        /// Why it cannot be used, where it cannot.
        var offer: Result<PaymentOffer, WalletError>
    }

    /// What the answer holds, in the order of preference where two cost the same: ecash before Lightning, as it costs no
    /// route; a token that may be good for more calls before a proof that is good for one.
    let entries: [Entry]
    /// Offers in dialects that the caller does not want.
    let unwanted: [OfferDescription]
    /// Those that can be paid, the cheapest first.
    let usable: [PaymentOffer]
    /// Why the others are out of the question.
    var obstacles: [WalletError] {
        entries.compactMap { entry in
            if case .failure(let error) = entry.offer { error } else { nil }
        }
    }

    var isEmpty: Bool { entries.isEmpty }

    init(_ answer: Answer, for call: Call, configuration: BuyerConfiguration, at now: Timestamp) {
        var reading = OfferReading(call: call)
        reading.read(answer, configuration: configuration, at: now)
        entries = reading.entries
        unwanted = reading.unwanted
        // What costs the same stays in the order of preference.
        usable = reading.entries.compactMap { try? $0.offer.get() }.enumerated()
            .map { place, offer in
                (offer.cost(in: call.request.unit, rates: configuration.rates) ?? .max, place, offer)
            }
            .sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.2)
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
