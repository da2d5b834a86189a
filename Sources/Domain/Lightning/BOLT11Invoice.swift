public import Encodings

/// A Lightning invoice (BOLT 11): a signed request for one payment, which the preimage of its payment hash proves.
///
/// A value of this type has passed every check that BOLT 11 asks of a reader, the signature among them. What depends
/// on the moment or the payer (expiry, network, amount) is the payer's to check: `requirePayable`.
public struct BOLT11Invoice: Hashable, Sendable, CustomStringConvertible {
    /// Characters of text that are looked at: what the largest QR code holds, many times a usual invoice.
    public static let maximumLength = 7089
    /// Where the invoice has no `x` field.
    public static let defaultExpirySeconds: UInt64 = 3600
    /// Where the invoice has no `c` field, in blocks.
    public static let defaultFinalCLTVExpiryDelta: UInt64 = 18

    /// The invoice itself, in lower case.
    public let text: String
    public let contents: InvoiceContents
    /// The public key of the node to be paid, 33 bytes, compressed: from the `n` field, or recovered from the signature.
    public let payeeNodeID: [UInt8]
    /// `r‖s`, 64 bytes.
    public let signature: [UInt8]
    /// 0 to 3.
    public let recoveryID: UInt8

    public var description: String { text }
    public var currency: InvoiceCurrency { contents.currency }
    /// Nil where the payer may choose.
    public var amountMsat: UInt64? { contents.amountMsat }
    public var paymentHash: [UInt8] { contents.paymentHash }
    public var expirySeconds: UInt64 { contents.expirySeconds ?? Self.defaultExpirySeconds }
    public var finalCLTVExpiryDelta: UInt64 { contents.finalCLTVExpiryDelta ?? Self.defaultFinalCLTVExpiryDelta }
    /// From this instant on the invoice must not be paid.
    public var expiresAt: Timestamp {
        contents.timestamp.adding(seconds: Int64(clamping: expirySeconds))
    }

    public func isExpired(at now: Timestamp) -> Bool { now >= expiresAt }

    public static func == (left: BOLT11Invoice, right: BOLT11Invoice) -> Bool { left.text == right.text }
    public func hash(into hasher: inout Hasher) { hasher.combine(text) }

    /// Whether the preimage is the one that proves payment of this invoice.
    public func isPaid(by preimage: [UInt8]) -> Bool {
        LightningPreimage(preimage).proves(paymentHash)
    }

    /// Refuses an invoice that must not be paid now on this network.
    /// - Parameter openAmountMsat: what one that names no amount is paid; nil: such a one is refused.
    /// - Returns: its amount in msat.
    /// - Throws: `networkMismatch`, `amountRequired` or `expired`.
    @discardableResult
    public func requirePayable(
        on network: LightningNetwork,
        at now: Timestamp,
        openAmountMsat: UInt64? = nil
    ) throws(LightningError) -> UInt64 {
        guard currency == network.currency else {
            throw LightningError(
                .networkMismatch,
                "the invoice is for ln\(currency.rawValue), but this node's Lightning network is \(network.rawValue)"
                    + " (ln\(network.currency.rawValue)): ask the payee for an invoice of that network"
            )
        }
        let named = (amountMsat ?? 0) == 0 ? openAmountMsat : amountMsat
        guard let amountMsat = named else {
            throw LightningError(
                .amountRequired,
                "the invoice names no amount, and this node pays only those that do: ask the payee for one with an amount"
            )
        }
        guard !isExpired(at: now) else {
            throw LightningError(.expired, "the invoice expired at \(expiresAt): ask the payee for a new one")
        }
        return amountMsat
    }
}

/// What a payee says about the purpose of a payment.
public enum InvoicePurpose: Hashable, Sendable {
    /// Text for people, at most 639 bytes of UTF-8. It comes from whoever made the invoice: show `printable`.
    case text(String)
    /// SHA-256 of a longer text that travels elsewhere.
    case hash([UInt8])

    /// The text with everything that could steer a terminal or reorder a line (control and format characters,
    /// line ends) replaced by U+FFFD; for a hash, its hex.
    public var printable: String {
        switch self {
        case .hash(let hash):
            return "description hash \(Hex.encode(hash))"
        case .text(let text):
            var printable = String.UnicodeScalarView()
            for scalar in text.unicodeScalars {
                switch scalar.properties.generalCategory {
                case .control, .format, .surrogate, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
                    printable.append("\u{FFFD}")
                default:
                    printable.append(scalar)
                }
            }
            return String(printable)
        }
    }
}

/// What an invoice says, without its signature: to be signed, or as it was read.
public struct InvoiceContents: Hashable, Sendable {
    public var currency: InvoiceCurrency
    /// Nil, or 1 to 21 million bitcoin in msat.
    public var amountMsat: UInt64?
    /// Whole seconds; 35 bits of them.
    public var timestamp: Timestamp
    /// SHA-256 of the preimage, 32 bytes (`p`).
    public var paymentHash: [UInt8]
    /// Keeps nodes on the way from probing the payee, 32 bytes (`s`).
    public var paymentSecret: [UInt8]
    /// `d` or `h`.
    public var purpose: InvoicePurpose
    /// Nil for the default of 3600 (`x`).
    public var expirySeconds: UInt64?
    /// In blocks; nil for the default of 18 (`c`).
    public var finalCLTVExpiryDelta: UInt64?
    /// `9`.
    public var features: InvoiceFeatures
    /// To be handed back to the payee with the payment, at most 639 bytes (`m`).
    public var metadata: [UInt8]?
    /// In the payee's order of preference (`f`).
    public var fallbackAddresses: [FallbackAddress]
    /// In the payee's order of preference, each 1 to 12 hops (`r`).
    public var routeHints: [[RouteHop]]
    /// Whether the payee's key stands in the invoice (`n`), rather than being recovered from the signature.
    public var namesPayee: Bool

    public init(
        currency: InvoiceCurrency,
        amountMsat: UInt64?,
        timestamp: Timestamp,
        paymentHash: [UInt8],
        paymentSecret: [UInt8],
        purpose: InvoicePurpose,
        expirySeconds: UInt64? = nil,
        finalCLTVExpiryDelta: UInt64? = nil,
        features: InvoiceFeatures = .standard,
        metadata: [UInt8]? = nil,
        fallbackAddresses: [FallbackAddress] = [],
        routeHints: [[RouteHop]] = [],
        namesPayee: Bool = false
    ) {
        self.currency = currency
        self.amountMsat = amountMsat
        self.timestamp = timestamp
        self.paymentHash = paymentHash
        self.paymentSecret = paymentSecret
        self.purpose = purpose
        self.expirySeconds = expirySeconds
        self.finalCLTVExpiryDelta = finalCLTVExpiryDelta
        self.features = features
        self.metadata = metadata
        self.fallbackAddresses = fallbackAddresses
        self.routeHints = routeHints
        self.namesPayee = namesPayee
    }
}
