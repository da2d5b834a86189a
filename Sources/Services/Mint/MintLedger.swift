package import Cashu
package import Encodings
package import Ledger

/// The mint's accounts, each kept once per unit by the ledger.
///
/// | account | kind | what it holds |
/// |---|---|---|
/// | `mint:lightning` | asset | what came in over Lightning for quotes, less what melts paid out |
/// | `mint:unissued` | liability | paid quotes whose ecash was not asked for yet |
/// | `mint:ecash:<keyset id>` | liability | ecash of the keyset in circulation: issued less redeemed |
/// | `mint:fees` | liability | what the mint earned: input fees and what was paid above a melt's price |
/// | `mint:losses`, `mint:operator` | external | routing fees above a melt's reserve, paid by the operator |
///
/// Neither an asset nor a liability can go below zero, so that no more of a keyset is redeemed than was issued.
package enum MintAccounts {
    package static let lightning = Account("mint:lightning", .asset)
    package static let unissued = Account("mint:unissued", .liability)
    package static let fees = Account("mint:fees", .liability)
    package static let losses = Account("mint:losses", .external)
    package static let operatorFunds = Account("mint:operator", .external)

    package static func ecash(_ keyset: KeysetID) -> Account { Account("mint:ecash:\(keyset)", .liability) }
}

/// Builds the transfers of one domain transaction from who gives and who receives.
package struct TransferPlan {
    /// One side of a movement.
    package struct Leg {
        package var account: Account
        package var amount: UInt64

        package init(_ account: Account, _ amount: UInt64) {
            self.account = account
            self.amount = amount
        }
    }

    package var unit: String
    package var kind: String
    /// What it belongs to; with `kind` it makes the transfers' ids, so it must be unique for the kind.
    package var reference: String
    package var at: Timestamp

    package init(unit: String, kind: String, reference: String, at: Timestamp) {
        self.unit = unit
        self.kind = kind
        self.reference = reference
        self.at = at
    }

    /// Pairs the debited legs with the credited ones in order. What one account both gives and receives cancels
    /// out first, so that a swap inside one keyset without a fee moves nothing.
    /// - Throws: `LedgerError` `malformed` where the two sides do not add up to the same, `overflow` past 2^64−1.
    package func transfers(debit: [Leg], credit: [Leg]) throws(LedgerError) -> [Transfer] {
        var debits = try Self.merged(debit)
        var credits = try Self.merged(credit)
        guard try Self.sum(debits) == Self.sum(credits) else {
            throw LedgerError(.malformed, "the \(kind) \(reference) would not balance")
        }
        for position in debits.indices {
            guard let other = credits.firstIndex(where: { $0.account.name == debits[position].account.name }) else {
                continue
            }
            let common = min(debits[position].amount, credits[other].amount)
            debits[position].amount -= common
            credits[other].amount -= common
        }
        var result: [Transfer] = []
        var from = debits.filter { $0.amount > 0 }[...]
        var to = credits.filter { $0.amount > 0 }[...]
        while var giver = from.popFirst(), var receiver = to.popFirst() {
            let amount = min(giver.amount, receiver.amount)
            result.append(
                Transfer(
                    id: "mint:\(kind):\(reference):\(result.count)",
                    debit: giver.account,
                    credit: receiver.account,
                    amount: amount,
                    unit: unit,
                    kind: "mint-\(kind)",
                    reference: reference,
                    at: at
                )
            )
            giver.amount -= amount
            receiver.amount -= amount
            if giver.amount > 0 { from.insert(giver, at: from.startIndex) }
            if receiver.amount > 0 { to.insert(receiver, at: to.startIndex) }
        }
        return result
    }

    private static func merged(_ legs: [Leg]) throws(LedgerError) -> [Leg] {
        var result: [Leg] = []
        for leg in legs where leg.amount > 0 {
            if let known = result.firstIndex(where: { $0.account.name == leg.account.name }) {
                result[known].amount = try adding(result[known].amount, leg.amount)
            } else {
                result.append(leg)
            }
        }
        return result
    }

    private static func sum(_ legs: [Leg]) throws(LedgerError) -> UInt64 {
        var total: UInt64 = 0
        for leg in legs { total = try adding(total, leg.amount) }
        return total
    }

    private static func adding(_ left: UInt64, _ right: UInt64) throws(LedgerError) -> UInt64 {
        let (sum, overflow) = left.addingReportingOverflow(right)
        guard !overflow else { throw LedgerError(.overflow, "a sum in the mint's ledger would pass 2^64-1") }
        return sum
    }
}
