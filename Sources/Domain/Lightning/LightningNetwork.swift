/// A network that Lightning payments run on. Its `currency` stands in every invoice, so that one network's
/// invoice can never be paid on another.
public enum LightningNetwork: String, Hashable, Sendable, CaseIterable {
    /// Bitcoin itself: real money.
    case mainnet
    case testnet
    case signet
    /// A developer's own chain, which lives on one machine.
    case regtest
    /// This project's simulated network: TEST MONEY in a database, no chain and no channels.
    ///
    /// Its invoices are real, signed BOLT 11 with the currency `bcrt` (`lnbcrt…`): every wallet and library can
    /// read them, and none takes them for money, because a regtest has no public network, no peers and no price,
    /// unlike testnet and signet, whose shared networks would try to route them.
    case simulated

    /// The BIP-173 prefix that follows `ln` in an invoice (BOLT 11, "Human-Readable Part").
    public var currency: InvoiceCurrency {
        switch self {
        case .mainnet: .bitcoin
        case .testnet: .testnet
        case .signet: .signet
        case .regtest, .simulated: .regtest
        }
    }

    /// Whether money of this network has a price.
    public var isRealMoney: Bool { self == .mainnet }

    /// The words that users must see beside every amount of this network; nil for real money.
    public var testMoneyNotice: String? {
        switch self {
        case .mainnet: nil
        case .simulated: "TEST MONEY (simulated Lightning network, worth nothing)"
        case .testnet, .signet, .regtest: "TEST MONEY (Bitcoin \(rawValue), worth nothing)"
        }
    }

    /// Refuses a backend on another network than the configuration says: test money must never stand where real
    /// money is meant, nor the other way round. Configuration calls this before anything starts.
    /// - Throws: `networkMismatch`, with what to change.
    public static func requireMatch(configured: LightningNetwork, backend: LightningNetwork) throws(LightningError) {
        guard configured != backend else { return }
        if backend == .simulated, configured.isRealMoney {
            throw LightningError(
                .networkMismatch,
                "the configuration says mainnet, but the Lightning backend is the simulated network, which deals in"
                    + " TEST MONEY: choose a real backend, or set the network to simulated"
            )
        }
        if backend.isRealMoney {
            throw LightningError(
                .networkMismatch,
                "the configuration says \(configured.rawValue), but the Lightning backend holds real money on mainnet:"
                    + " set the network to mainnet only if that is meant"
            )
        }
        throw LightningError(
            .networkMismatch,
            "the configuration says \(configured.rawValue), but the Lightning backend is on \(backend.rawValue):"
                + " make both the same"
        )
    }
}

/// The currency prefixes that an invoice may carry (BOLT 11, "Human-Readable Part").
public enum InvoiceCurrency: String, Hashable, Sendable, CaseIterable {
    case bitcoin = "bc"
    case testnet = "tb"
    case signet = "tbs"
    case regtest = "bcrt"
}
