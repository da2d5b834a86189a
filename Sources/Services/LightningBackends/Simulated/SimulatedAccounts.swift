internal import Cryptography
internal import Encodings
internal import Ledger
public import Lightning
internal import Storage
internal import Synchronization

/// An account of the simulated network: a Lightning node with TEST MONEY. Once open it never changes and is never closed.
public struct SimulatedAccount: Hashable, Sendable {
    /// 32 hex digits.
    public let id: String
    /// `TEST MONEY`, and what its owner called it.
    public let name: String
    /// The node's public key, 33 bytes.
    public let nodeID: [UInt8]
    let nodeKey: [UInt8]
}

extension SimulatedNetwork {
    /// A new secret that gives access to one account: 32 random bytes in base64url. Make and store it before opening
    /// the account, and a crash in between costs nothing: opening twice with the same token gives the same account.
    public static func newToken() -> String { Base64URL.encode(SecureRandom.bytes(32)) }

    /// Opens an account and gives it the faucet's TEST MONEY, once. With a token that has an account, returns that
    /// account as it is.
    /// - Parameters:
    ///   - token: 32 to 128 characters of `A–Z a–z 0–9 - _`.
    ///   - name: 1 to 64 bytes; for people.
    /// - Throws: `invalidRequest`, or `limitReached` where the network is full.
    public func openAccount(token: String, name: String) async throws(LightningError) -> SimulatedAccount {
        let digest = try Self.digest(token)
        let printable = InvoicePurpose.text(name).printable
        guard !name.isEmpty, name.utf8.count <= 64, printable == name else {
            throw LightningError(.invalidRequest, "an account's name has 1 to 64 bytes and no control characters")
        }
        let (key, now, terms) = (Secp256k1.Scalar.random(), clock.now(), terms)
        let nodeID = Secp256k1.Point(multiplyingGeneratorBy: key).compressed
        let id = Hex.encode(SecureRandom.bytes(16))
        return try await write { connection in
            if let account = try Self.account(digest: digest, in: connection) { return account }
            let count = try connection.first("SELECT count(*) FROM simulated_accounts")?.int(0) ?? 0
            guard count < terms.maximumAccounts else {
                throw LightningError(
                    .limitReached,
                    "the \(Self.notice) network has its \(terms.maximumAccounts) accounts and opens no more"
                )
            }
            try connection.execute(
                """
                INSERT INTO simulated_accounts (id, token_digest, name, node_key, node_id, created_at)
                VALUES (?, ?, ?, ?, ?, ?)
                """,
                .text(id),
                .blob(digest),
                .text("\(Self.notice) \(name)"),
                .blob(key.bytes),
                .blob(nodeID),
                .integer(now.millisecondsSince1970)
            )
            if terms.faucetMsat > 0 {
                let gift = Transfer(
                    id: "faucet:\(id)",
                    debit: Self.issued,
                    credit: Self.holdings(id),
                    amount: terms.faucetMsat,
                    unit: Self.unit,
                    kind: "faucet",
                    reference: id,
                    at: now
                )
                try LedgerStore.post([gift], in: connection)
            }
            return try Self.requireAccount(digest: digest, in: connection)
        }
    }

    /// The account that a token gives access to.
    /// - Throws: `unauthorized` for a token without one.
    public func account(token: String) async throws(LightningError) -> SimulatedAccount {
        let digest = try Self.digest(token)
        if let known = accounts.withLock({ $0[digest] }) { return known }
        let account = try await read { try Self.requireAccount(digest: digest, in: $0) }
        accounts.withLock { $0[digest] = account }
        return account
    }

    /// What the account can spend, in msat. What its pending payments hold is not in it.
    public func balanceMsat(of account: SimulatedAccount) async throws(LightningError) -> UInt64 {
        try await settleDue()
        return try await read { try LedgerStore.balance(of: Self.holdings(account.id), unit: Self.unit, in: $0) }
    }

    /// Makes the account's own payments go wrong from now on, until set anew.
    public func setFault(_ fault: SimulatedFault, for account: SimulatedAccount) async throws(LightningError) {
        try await write { connection in
            try connection.execute(
                "UPDATE simulated_accounts SET fault = ?, fault_milliseconds = ? WHERE id = ?",
                .text(fault.name),
                .integer(fault.milliseconds),
                .text(account.id)
            )
        }
    }

    // MARK: Rows

    /// Tokens are random and stored by digest, so that the database gives nobody access, and looked up by digest, so
    /// that timing tells nothing.
    static func digest(_ token: String) throws(LightningError) -> [UInt8] {
        let isWellFormed = token.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        guard isWellFormed, (32...128).contains(token.utf8.count) else {
            throw LightningError(
                .unauthorized,
                "a token of the \(Self.notice) network has 32 to 128 letters, digits, - and _"
            )
        }
        return Hashing.sha256(Array("mintmark simulated account".utf8) + Array(token.utf8))
    }

    static func requireAccount(digest: [UInt8], in connection: Connection) throws -> SimulatedAccount {
        guard let account = try account(digest: digest, in: connection) else {
            throw LightningError(
                .unauthorized,
                "this token has no account at the \(Self.notice) network: open one first"
            )
        }
        return account
    }

    private static func account(digest: [UInt8], in connection: Connection) throws -> SimulatedAccount? {
        let row = try connection.first(
            "SELECT id, name, node_id, node_key FROM simulated_accounts WHERE token_digest = ?",
            .blob(digest)
        )
        guard let row else { return nil }
        return SimulatedAccount(
            id: try row.text(0),
            name: try row.text(1),
            nodeID: try row.blob(2),
            nodeKey: try row.blob(3)
        )
    }
}
