public import Cashu
internal import Encodings
public import Ledger
internal import Storage

/// Whether the mint's tables and its ledger say the same. Read in one snapshot, so it may run while the mint works.
public struct MintAudit: Sendable, Equatable {
    /// What one keyset's tables add up to, in whole units.
    public struct Keyset: Sendable, Equatable {
        public var id: KeysetID
        public var unit: CurrencyUnit
        /// Σ of all outputs ever signed.
        public var issued: UInt64
        /// Σ of all proofs spent.
        public var redeemed: UInt64
        /// Σ of proofs that payments under way hold; still owed.
        public var held: UInt64
        /// Issued less redeemed, as the ledger has it.
        public var outstanding: UInt64
    }

    /// Every account of the mint.
    public var accounts: [AccountBalance]
    public var keysets: [Keyset]
    /// A sentence for each thing that does not add up; empty where all is well.
    public var findings: [String]

    public var isSound: Bool { findings.isEmpty }
}

extension Mint {
    /// Adds up every table and holds the sums against the ledger: outstanding ecash per keyset, paid quotes not issued
    /// yet, what came in and went out over Lightning. Reads everything: seconds on a database of millions of proofs.
    public func audit() async throws -> MintAudit {
        try await store.audit()
    }
}

extension SQLiteMintStore {
    package func accounts() async throws -> [AccountBalance] {
        try await database.read { try LedgerStore.accounts(prefix: "mint:", in: $0) }
    }

    package func audit() async throws -> MintAudit {
        let keysets = allKeysets
        return try await database.read { connection in
            var findings = try LedgerStore.audit(in: connection)
            var result: [MintAudit.Keyset] = []
            for keyset in keysets {
                let sums = try Self.sums(of: keyset, in: connection)
                result.append(sums)
                findings += Self.findings(sums)
            }
            for unit in Set(keysets.map(\.unit)).sorted(by: { $0.name < $1.name }) {
                findings += try Self.quoteFindings(unit, in: connection)
            }
            findings += try Self.meltFindings(in: connection)
            let accounts = try LedgerStore.accounts(prefix: "mint:", in: connection)
            return MintAudit(accounts: accounts, keysets: result, findings: findings)
        }
    }

    private static func sums(of keyset: KeysetNumbers.Entry, in connection: Connection) throws -> MintAudit.Keyset {
        let number = SQLValue.integer(keyset.number)
        func sum(_ sql: String) throws -> UInt64 {
            try connection.first(sql, number)?.uint64(0) ?? 0
        }
        return MintAudit.Keyset(
            id: keyset.id,
            unit: keyset.unit,
            issued: try sum("SELECT coalesce(sum(amount), 0) FROM mint_promises WHERE keyset = ? AND c IS NOT NULL"),
            redeemed: try sum("SELECT coalesce(sum(amount), 0) FROM mint_proofs WHERE keyset = ? AND pending = 0"),
            held: try sum("SELECT coalesce(sum(amount), 0) FROM mint_proofs WHERE keyset = ? AND pending = 1"),
            outstanding: try LedgerStore.balance(
                of: MintAccounts.ecash(keyset.id),
                unit: keyset.unit.name,
                in: connection
            )
        )
    }

    private static func findings(_ keyset: MintAudit.Keyset) -> [String] {
        guard keyset.redeemed <= keyset.issued else {
            return ["keyset \(keyset.id) redeemed \(keyset.redeemed) but issued only \(keyset.issued) \(keyset.unit)"]
        }
        var findings: [String] = []
        let outstanding = keyset.issued - keyset.redeemed
        if outstanding != keyset.outstanding {
            findings.append(
                "keyset \(keyset.id) has \(outstanding) \(keyset.unit) outstanding by its tables,"
                    + " \(keyset.outstanding) by the ledger"
            )
        }
        if keyset.held > outstanding {
            findings.append("keyset \(keyset.id) holds \(keyset.held) for payments, more than is outstanding")
        }
        return findings
    }

    /// Paid quotes not issued, and Lightning's in less out, against the ledger.
    private static func quoteFindings(_ unit: CurrencyUnit, in connection: Connection) throws -> [String] {
        let name = SQLValue.text(unit.name)
        func sum(_ sql: String) throws -> UInt64 {
            try connection.first(sql, name)?.uint64(0) ?? 0
        }
        var findings: [String] = []
        let unissued = try sum("SELECT coalesce(sum(amount), 0) FROM mint_mint_quotes WHERE state = 1 AND unit = ?")
        let booked = try LedgerStore.balance(of: MintAccounts.unissued, unit: unit.name, in: connection)
        if unissued != booked {
            findings.append("paid quotes wait for \(unissued) \(unit) by their table, \(booked) by the ledger")
        }
        // What came in and was not settled inside, less what melts paid (amount and routing; change and fees stay).
        let quotes = try sum("SELECT coalesce(sum(amount), 0) FROM mint_mint_quotes WHERE state > 0 AND unit = ?")
        let inside = try sum(
            "SELECT coalesce(sum(amount), 0) FROM ledger_transfers WHERE kind = 'mint-inside' AND credit = 'mint:unissued' AND unit = ?"
        )
        let received = try sum(
            "SELECT coalesce(sum(amount), 0) FROM ledger_transfers WHERE debit = 'mint:lightning' AND unit = ?"
        )
        if quotes != inside + received {
            findings.append(
                "quotes were paid with \(quotes) \(unit); the ledger has \(received) over Lightning and \(inside) inside"
            )
        }
        let melted = try sum(
            """
            SELECT coalesce(sum(amount), 0) FROM mint_melt_quotes
            WHERE state = 2 AND preimage IS NOT NULL AND input_total > 0 AND unit = ?
            """
        )
        let paidOut = try sum(
            "SELECT coalesce(sum(amount), 0) FROM ledger_transfers WHERE credit = 'mint:lightning' AND unit = ?"
        )
        if melted > paidOut {
            findings.append("melts paid \(melted) \(unit) out over Lightning; the ledger has only \(paidOut)")
        }
        return findings
    }
}
