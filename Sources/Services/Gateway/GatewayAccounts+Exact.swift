import Cashu
import Encodings
import Ledger
import Paywall

/// The accounts of x402's `exact`, in the smallest unit of each token ([XEX-9]).
extension GatewayAccounts {
    /// What payments brought on their chains: the payee's account there, which the node does not hold.
    static let exactReceived = Account("gateway:x402:received", .external)
    /// Taken and not settled yet: what is at risk.
    static let exactReserved = Account("gateway:x402:reserved", .asset)
    /// Settled for calls that were given back: owed to their buyers.
    static let exactPrepaid = Account("gateway:x402:prepaid", .liability)

    private static func transfer(
        _ id: String,
        debit: Account,
        credit: Account,
        amount: UInt64,
        unit: String,
        kind: String,
        reference: String,
        at: Timestamp
    ) -> Transfer {
        Transfer(
            id: id,
            debit: debit,
            credit: credit,
            amount: amount,
            unit: unit,
            kind: kind,
            reference: reference,
            at: at
        )
    }

    static func reserved(_ claim: NewClaim, _ payment: ExactPayment) -> Transfer {
        transfer(
            "call:\(claim.id):taken",
            debit: exactReserved,
            credit: escrow,
            amount: payment.amount,
            unit: payment.unit.name,
            kind: "call-taken-reserved",
            reference: claim.id,
            at: claim.at
        )
    }

    static func takenAgain(_ claim: NewClaim, _ payment: ExactPayment) -> Transfer {
        transfer(
            "call:\(claim.id):taken",
            debit: exactPrepaid,
            credit: escrow,
            amount: payment.amount,
            unit: payment.unit.name,
            kind: "call-taken-again",
            reference: claim.id,
            at: claim.at
        )
    }

    static func settledFirst(_ record: ClaimRecord, at: Timestamp) -> Transfer {
        transfer(
            "call:\(record.call.id):taken",
            debit: exactReceived,
            credit: escrow,
            amount: record.total,
            unit: record.unit.name,
            kind: "call-taken-settled",
            reference: record.call.id,
            at: at
        )
    }

    static func settledAfter(_ found: StoredExact, at: Timestamp) -> Transfer {
        transfer(
            "x402:\(found.claimID):settled",
            debit: exactReceived,
            credit: exactReserved,
            amount: found.amount,
            unit: found.unit,
            kind: "x402-settled",
            reference: found.claimID,
            at: at
        )
    }

    static func lost(exact found: StoredExact, at: Timestamp) -> Transfer {
        transfer(
            "x402:\(found.claimID):lost",
            debit: losses,
            credit: exactReserved,
            amount: found.amount,
            unit: found.unit,
            kind: "x402-lost",
            reference: found.claimID,
            at: at
        )
    }

    /// A call that was given back and not made in time is the service's.
    static func lapsed(_ record: ClaimRecord, at: Timestamp) -> Transfer {
        transfer(
            "call:\(record.call.id):lapsed",
            debit: exactPrepaid,
            credit: revenue(record.service),
            amount: record.total,
            unit: record.unit.name,
            kind: "call-lapsed",
            reference: record.call.id,
            at: at
        )
    }
}
