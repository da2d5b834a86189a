import Cashu
import Encodings
import Ledger
import Paywall

/// The gateway's accounts and the movements between them ([CALL-16]). One unit each, so the unit is not in the name.
enum GatewayAccounts {
    /// Ecash taken and not yet redeemed at one mint: an asset, and the figure held against the cap.
    static func unredeemed(_ mint: MintURL) -> Account {
        Account("gateway:unredeemed:\(mint.string.prefix(200))", .asset)
    }
    /// Value that passed over to the node's own wallet, or came from it for a refund.
    static let wallet = Account("gateway:wallet", .external)
    /// Paid for calls that are not settled: owed to buyers.
    static let escrow = Account("gateway:escrow", .liability)
    /// Earned with one service.
    static func revenue(_ service: String) -> Account { Account("gateway:revenue:\(service)", .liability) }
    /// Proofs of served calls that the mint refused.
    static let losses = Account("gateway:losses", .external)

    /// What came in over Lightning for calls.
    static let lightning = Account("gateway:lightning", .external)
    /// Paid over Lightning for calls that are not made yet: owed to whoever has the credential.
    static let prepaid = Account("gateway:prepaid", .liability)
    /// Grants are booked in this unit, whatever the price list says.
    static let grantUnit = "msat"

    /// The first use of a paid invoice: that it is used proves that it was paid.
    static func paid(_ grant: StoredGrant, at: Timestamp) -> Transfer {
        transfer(grant, "paid", debit: lightning, credit: prepaid, amount: grant.msat, at: at)
    }

    /// One call of a grant.
    static func taken(_ claim: NewClaim, of grant: StoredGrant) -> Transfer {
        Transfer(
            id: "call:\(claim.id):taken",
            debit: prepaid,
            credit: escrow,
            amount: claim.payment.total,
            unit: grantUnit,
            kind: "call-taken-grant",
            reference: claim.id,
            at: claim.at
        )
    }

    /// What is left of a grant when it ends is the service's.
    static func lapsed(_ grant: StoredGrant, at: Timestamp) -> Transfer {
        transfer(
            grant,
            "lapsed:\(at.millisecondsSince1970)",
            debit: prepaid,
            credit: revenue(grant.terms.service),
            amount: grant.prepaid,
            at: at
        )
    }

    private static func transfer(
        _ grant: StoredGrant,
        _ event: String,
        debit: Account,
        credit: Account,
        amount: UInt64,
        at: Timestamp
    ) -> Transfer {
        let hash = Hex.encode(grant.terms.paymentHash)
        return Transfer(
            id: "grant:\(hash):\(event)",
            debit: debit,
            credit: credit,
            amount: amount,
            unit: grantUnit,
            kind: "grant-\(event.prefix { $0 != ":" })",
            reference: hash,
            at: at
        )
    }

    /// A payment taken offline: the proofs are held, their worth is owed until the call is settled.
    static func taken(_ claim: NewClaim, _ payment: AssessedPayment) -> Transfer {
        Transfer(
            id: "call:\(claim.id):taken",
            debit: unredeemed(payment.mint),
            credit: escrow,
            amount: payment.total,
            unit: payment.unit.name,
            kind: "call-taken",
            reference: claim.id,
            at: claim.at
        )
    }

    /// A payment redeemed at the mint before the call: what is left after the mint's fee is owed.
    static func takenOnline(_ record: ClaimRecord, at: Timestamp) -> Transfer {
        Transfer(
            id: "call:\(record.call.id):taken",
            debit: wallet,
            credit: escrow,
            amount: held(record),
            unit: record.unit.name,
            kind: "call-taken-online",
            reference: record.call.id,
            at: at
        )
    }

    /// The call was served: what stood in escrow for it is the service's.
    static func earned(_ amount: UInt64, unit: String, service: String, claimID: String, at: Timestamp) -> Transfer {
        Transfer(
            id: "call:\(claimID):earned",
            debit: escrow,
            credit: revenue(service),
            amount: amount,
            unit: unit,
            kind: "call-earned",
            reference: claimID,
            at: at
        )
    }

    static func returned(_ record: ClaimRecord, at: Timestamp) -> Transfer {
        let source: Account =
            switch record.source {
            case .ecash(let mint): record.isOnline ? wallet : unredeemed(mint)
            case .grant: prepaid
            case .exact: record.isOnline ? exactPrepaid : exactReserved
            }
        return Transfer(
            id: "call:\(record.call.id):returned",
            debit: escrow,
            credit: source,
            amount: held(record),
            unit: record.unit.name,
            kind: "call-returned",
            reference: record.call.id,
            at: at
        )
    }

    /// What a call that cost less than was taken leaves of a payment in ecash: it goes out as a token.
    static func change(_ amount: UInt64, of record: ClaimRecord, at: Timestamp) -> Transfer {
        left(amount, "change", to: wallet, of: record, at: at)
    }

    /// The same of a credit: it is there for the next call.
    static func unused(_ amount: UInt64, of record: ClaimRecord, at: Timestamp) -> Transfer {
        left(amount, "unused", to: prepaid, of: record, at: at)
    }

    private static func left(
        _ amount: UInt64,
        _ event: String,
        to account: Account,
        of record: ClaimRecord,
        at: Timestamp
    ) -> Transfer {
        Transfer(
            id: "call:\(record.call.id):\(event)",
            debit: escrow,
            credit: account,
            amount: amount,
            unit: record.unit.name,
            kind: "call-\(event)",
            reference: record.call.id,
            at: at
        )
    }

    /// What stands in escrow for a claim: the proofs' worth, or what redeeming them brought.
    static func held(_ record: ClaimRecord) -> UInt64 {
        record.total
    }

    static func redeemed(_ amount: UInt64, batch: RedemptionBatch, at: Timestamp) -> Transfer {
        Transfer(
            id: "batch:\(batch.id):redeemed",
            debit: wallet,
            credit: unredeemed(batch.mint),
            amount: amount,
            unit: batch.unit.name,
            kind: "batch-redeemed",
            reference: batch.id,
            at: at
        )
    }

    static func lost(_ amount: UInt64, batch: RedemptionBatch, at: Timestamp) -> Transfer {
        Transfer(
            id: "batch:\(batch.id):lost",
            debit: losses,
            credit: unredeemed(batch.mint),
            amount: amount,
            unit: batch.unit.name,
            kind: "batch-lost",
            reference: batch.id,
            at: at
        )
    }
}
