import CanonicalJSON
import Cashu
import Paywall
import Storage

extension GatewayTables {
    /// On whose authority calls were made; each call of a chain buys one.
    static let delegationMigrations: [Migration] = [
        Migration(
            id: "gateway-delegation-1",
            sql: """
                CREATE TABLE gateway_delegations (
                    claim TEXT NOT NULL PRIMARY KEY,
                    key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
                    document TEXT NOT NULL
                ) WITHOUT ROWID, STRICT
                """
        )
    ]
}

extension SQLiteClaimStore {
    /// Keeps the authority that a claim is made on.
    /// - Returns: why it may not be; nil where it is kept, or there is none.
    static func keepDelegation(of claim: NewClaim, in connection: Connection) throws -> CallRefusal? {
        guard let delegation = claim.caller?.delegation else { return nil }
        guard delegation.unit == claim.payment.unit.name else {
            return CallRefusal(
                .wrongUnit,
                status: 403,
                "The invocation is for \(delegation.unit), the call costs \(claim.payment.unit.name). Nothing was taken."
            )
        }
        guard claim.price <= delegation.amount else {
            return CallRefusal(
                .amountTooLow,
                status: 403,
                "The call costs \(claim.price) \(delegation.unit), its invocation allows \(delegation.amount). Nothing was taken."
            )
        }
        let earlier = try connection.first("SELECT claim FROM gateway_delegations WHERE key = ?", .blob(delegation.key))
        guard earlier == nil else {
            return CallRefusal(
                .init(rawValue: "replayed"),
                status: 403,
                "This invocation bought a call already: make a new one for each call. Nothing was taken."
            )
        }
        try connection.execute(
            "INSERT INTO gateway_delegations (claim, key, document) VALUES (?, ?, ?)",
            .text(claim.id),
            .blob(delegation.key),
            .text(String(decoding: delegation.json.serialized(), as: UTF8.self))
        )
        return nil
    }

    /// A claim whose payment was not taken leaves its invocation unused.
    static func forgetDelegation(of claimID: String, in connection: Connection) throws {
        try connection.execute("DELETE FROM gateway_delegations WHERE claim = ?", .text(claimID))
    }
}
