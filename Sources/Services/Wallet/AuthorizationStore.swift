internal import CanonicalJSON
internal import Encodings
internal import Ethereum
internal import Paywall
internal import Storage

/// An authorisation that the wallet has signed, from before its seller saw it (x402 `exact`, EIP-3009). Whoever has it may carry it
/// out once, until it ends: so it is money that is gone until the chain says that it was not used.
struct Authorization: Sendable {
    enum State: String, Sendable {
        /// It may be used still, or was, and nobody has said so yet.
        case open
        /// The seller or the chain says that it was used.
        case used
        /// It ended, and the chain says that it was not used.
        case lapsed
        /// It never left this machine.
        case unsent
        /// It ended, and there is nobody to ask.
        case unknown
    }

    var payment: String
    var version: X402.Version
    /// The header's value that carries it; the same at every attempt.
    var header: String
    var chainID: UInt256
    var contract: Address
    var payer: Address
    var payee: Address
    /// In the token's smallest unit.
    var value: UInt256
    /// Seconds since 1970.
    var validBefore: Int64
    /// 32 bytes.
    var nonce: [UInt8]
    var state = State.open
    /// As the seller names it.
    var transaction: String?

    /// What names the payment in a receipt ([XEX-4]): of the whole payment, as it is sent.
    func digest() throws -> [UInt8] {
        try PaymentDigest(x402: X402.PaymentPayload(json: X402.object(header: header))).bytes
    }
}

extension WalletTables {
    static let authorizations = """
        CREATE TABLE wallet_authorizations (
            payment TEXT PRIMARY KEY,
            version INTEGER NOT NULL CHECK (version IN (1, 2)),
            header TEXT NOT NULL,
            chain TEXT NOT NULL,
            contract BLOB NOT NULL,
            payer BLOB NOT NULL,
            payee BLOB NOT NULL,
            value TEXT NOT NULL,
            valid_before INTEGER NOT NULL,
            nonce BLOB NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'used', 'lapsed', 'unsent', 'unknown')),
            transaction_name TEXT,
            UNIQUE (chain, contract, payer, nonce)
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_authorizations_open ON wallet_authorizations (chain, contract) WHERE state = 'open';
        """
}

/// The table `wallet_authorizations`.
enum AuthorizationStore {
    private static let columns = """
        payment, version, header, chain, contract, payer, payee, value, valid_before, nonce, state, transaction_name
        """

    static func insert(_ authorization: Authorization, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO wallet_authorizations (\(columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            .text(authorization.payment),
            .integer(Int64(authorization.version.rawValue)),
            .text(authorization.header),
            .text(authorization.chainID.description),
            .blob(authorization.contract.bytes),
            .blob(authorization.payer.bytes),
            .blob(authorization.payee.bytes),
            .text(authorization.value.description),
            .integer(authorization.validBefore),
            .blob(authorization.nonce),
            .text(authorization.state.rawValue),
            .optional(authorization.transaction)
        )
    }

    static func find(_ payment: String, in connection: Connection) throws -> Authorization? {
        let row = try connection.first(
            "SELECT \(columns) FROM wallet_authorizations WHERE payment = ?",
            .text(payment)
        )
        guard let row else { return nil }
        guard let version = X402.Version(rawValue: try row.uint64(1)),
            let state = Authorization.State(rawValue: try row.text(10))
        else { throw WalletError(.corrupt, "an authorisation of the wallet is in an unknown state") }
        return Authorization(
            payment: try row.text(0),
            version: version,
            header: try row.text(2),
            chainID: try UInt256(decimal: row.text(3)),
            contract: try Address(bytes: row.blob(4)),
            payer: try Address(bytes: row.blob(5)),
            payee: try Address(bytes: row.blob(6)),
            value: try UInt256(decimal: row.text(7)),
            validBefore: try row.int64(8),
            nonce: try row.blob(9),
            state: state,
            transaction: try row.optionalText(11)
        )
    }

    /// What is authorised of a token and may still be taken, in its smallest unit.
    static func outstanding(_ asset: EVMAsset, in connection: Connection) throws -> UInt256 {
        let rows = try connection.rows(
            "SELECT value FROM wallet_authorizations WHERE state = 'open' AND chain = ? AND contract = ?",
            .text(asset.chainID.description),
            .blob(asset.contract.bytes)
        )
        return try rows.reduce(.zero) { sum, row in try sum.adding(UInt256(decimal: row.text(0))) }
    }

    static func set(
        _ state: Authorization.State,
        of payment: String,
        transaction: String? = nil,
        in connection: Connection
    ) throws {
        try connection.execute(
            """
            UPDATE wallet_authorizations SET state = ?, transaction_name = coalesce(?, transaction_name)
            WHERE payment = ? AND state IN ('open', 'unknown')
            """,
            .text(state.rawValue),
            .optional(transaction),
            .text(payment)
        )
    }

    /// Payments by authorisation for the very same call whose outcome is not known.
    static func open(for call: Call, in connection: Connection) throws -> [PaymentRecord] {
        guard let digest = call.bodyDigest else { return [] }
        let rows = try connection.rows(
            """
            SELECT id FROM wallet_payments
            WHERE state IN ('sent', 'pending') AND way = 'x402-exact' AND agent = ? AND method = ? AND url = ?
                AND body_digest = ? ORDER BY created_at LIMIT 10
            """,
            .text(call.request.agent),
            .text(call.request.method),
            .text(call.address.string),
            .blob(digest)
        )
        return try rows.compactMap { try PaymentStore.find($0.text(0), in: connection) }
    }
}
