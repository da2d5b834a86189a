import Encodings
import Ledger

/// The money of sessions ([PAY-9]).
extension GatewayAccounts {
    /// What is left of closed sessions and not paid out yet: owed to their payers.
    static let returning = Account("gateway:returning", .liability)
    /// What routes cost that remainders went over.
    static let routing = Account("gateway:routing", .external)

    /// A deposit that was proven.
    static func deposited(_ paymentHash: [UInt8], _ msat: UInt64, to session: [UInt8], at: Timestamp) -> Transfer {
        transfer("deposit:\(Hex.encode(paymentHash))", session, lightning, prepaid, msat, "session-deposit", at)
    }

    static func returning(_ session: [UInt8], _ msat: UInt64, at: Timestamp) -> Transfer {
        transfer("session:\(Hex.encode(session)):remainder", session, prepaid, returning, msat, "session-remainder", at)
    }

    /// A fraction of a sat, which can't be returned.
    static func kept(_ session: StoredSession, _ msat: UInt64, at: Timestamp) -> Transfer {
        let id = "session:\(Hex.encode(session.id)):kept"
        return transfer(id, session.id, prepaid, revenue(session.service), msat, "session-kept", at)
    }

    static func paidOut(_ session: [UInt8], _ msat: UInt64, at: Timestamp) -> Transfer {
        transfer("session:\(Hex.encode(session)):returned", session, returning, lightning, msat, "session-returned", at)
    }

    static func payoutFee(_ session: [UInt8], _ msat: UInt64, at: Timestamp) -> Transfer {
        transfer("session:\(Hex.encode(session)):fee", session, routing, lightning, msat, "session-fee", at)
    }

    private static func transfer(
        _ id: String,
        _ session: [UInt8],
        _ debit: Account,
        _ credit: Account,
        _ amount: UInt64,
        _ kind: String,
        _ at: Timestamp
    ) -> Transfer {
        Transfer(
            id: id,
            debit: debit,
            credit: credit,
            amount: amount,
            unit: grantUnit,
            kind: kind,
            reference: Hex.encode(session),
            at: at
        )
    }
}
