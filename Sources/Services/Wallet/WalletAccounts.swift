internal import Cashu
internal import Encodings
internal import Ledger

/// The wallet's accounts. Each exists once a unit.
///
/// | account | kind | what it holds |
/// |---|---|---|
/// | `wallet:ecash:<mint>` | asset | coins that anyone with the secret can spend, held by us |
/// | `wallet:locked:<seller key>` | asset | coins locked to a seller that were not given out |
/// | `wallet:external` | external | the world: who pays us, whom we pay |
/// | `wallet:fees` | external | what mints took |
/// | `wallet:disputed` | external | what a mint took without giving a valid signature back |
enum WalletAccounts {
    static let external = Account("wallet:external", .external)
    static let fees = Account("wallet:fees", .external)
    static let disputed = Account("wallet:disputed", .external)

    static func ecash(_ mint: MintURL) -> Account { Account("wallet:ecash:\(mint.string)", .asset) }
    static func locked(_ seller: [UInt8]) -> Account { Account("wallet:locked:\(Hex.encode(seller))", .asset) }
}

/// The transfers of one transaction, numbered under the id of what moves.
struct Booking {
    let reference: String
    let kind: String
    let unit: String
    let at: Timestamp
    private(set) var transfers: [Transfer] = []

    init(reference: String, kind: String, unit: String, at: Timestamp) {
        self.reference = reference
        self.kind = kind
        self.unit = unit
        self.at = at
    }

    /// Moves `amount` from one account to another; nothing where it is 0 or both are one.
    mutating func move(_ amount: UInt64, from: Account, to: Account) {
        guard amount > 0, from != to else { return }
        transfers.append(
            Transfer(
                id: "wallet:\(kind):\(reference):\(transfers.count)",
                debit: to,
                credit: from,
                amount: amount,
                unit: unit,
                kind: "wallet-\(kind)",
                reference: reference,
                at: at
            )
        )
    }
}
