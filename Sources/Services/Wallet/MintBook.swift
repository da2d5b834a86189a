internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Logging
internal import Paywall
internal import Storage

/// The mints this wallet trusts, what they say of themselves, and their keysets. In memory for speed, on disk so that
/// coins stay readable when a mint is gone.
actor MintBook {
    /// How old terms may be before they are fetched again.
    static let usualAgeSeconds: Int64 = 3600
    private static let maximumMints = 100
    private static let maximumKeysets = 64

    private let database: Database
    private let connector: any MintConnector
    private let clock: WallClock
    private let logger: Logger
    private var terms: [MintURL: MintTerms] = [:]
    private var clients: [MintURL: any MintAPI] = [:]
    private var fetching: [MintURL: Task<MintTerms, any Error>] = [:]

    init(database: Database, connector: any MintConnector, clock: WallClock, logger: Logger) {
        self.database = database
        self.connector = connector
        self.clock = clock
        self.logger = logger
    }

    func client(_ mint: MintURL) -> any MintAPI {
        if let client = clients[mint] { return client }
        let client = connector.mint(at: mint)
        clients[mint] = client
        return client
    }

    /// The mints in the book, by address.
    func mints() async throws -> [MintURL] {
        try await database.read { connection in
            try connection.rows("SELECT url FROM wallet_mints ORDER BY url").map { try MintURL(stored: $0.text(0)) }
        }
    }

    /// What is known of a mint, fetched anew where it is older than `maximumAgeSeconds`.
    /// - Parameter acceptsStale: fall back on older terms where the mint does not answer.
    /// - Throws: `mintUnknown`, `mintUnreachable`, `mintDishonest`.
    func terms(
        _ mint: MintURL,
        maximumAgeSeconds: Int64 = usualAgeSeconds,
        acceptsStale: Bool = true
    ) async throws -> MintTerms {
        let known = try await storedTerms(mint)
        guard let known else {
            throw WalletError(.mintUnknown, "the mint \(mint) is not in this wallet: add it first if you trust it")
        }
        let age = clock.now().milliseconds(since: known.fetchedAt)
        if age >= 0, (age + 999) / 1000 <= maximumAgeSeconds { return known }
        do {
            return try await refresh(mint)
        } catch let error as WalletError where acceptsStale && error.code == .mintUnreachable {
            return known
        }
    }

    /// Fetches a mint's terms now and puts it into the book. Calls at the same time share one fetch.
    /// - Parameter trusts: whether a mint that is new to the book is trusted.
    func refresh(_ mint: MintURL, trusts: Bool = true) async throws -> MintTerms {
        if let running = fetching[mint] { return try await running.value }
        let task = Task { try await fetch(mint, trusts: trusts) }
        fetching[mint] = task
        defer { fetching[mint] = nil }
        return try await task.value
    }

    private func storedTerms(_ mint: MintURL) async throws -> MintTerms? {
        if let known = terms[mint] { return known }
        let loaded = try await database.read { connection in try Self.load(mint, in: connection) }
        if let loaded, terms[mint] == nil { terms[mint] = loaded }
        return loaded
    }

    private func fetch(_ mint: MintURL, trusts: Bool) async throws -> MintTerms {
        let client = client(mint)
        let info: MintInfo
        let listed: [KeysetInfo]
        let sentAt = clock.now()
        let heardAt: Timestamp
        do {
            info = try await client.info()
            heardAt = clock.now()
            listed = try await client.keysets()
        } catch {
            throw WalletError(error, mint: mint)
        }
        guard listed.count <= Self.maximumKeysets else {
            throw WalletError(
                .mintUnsuitable,
                "the mint \(mint) lists \(listed.count) keysets, which is more than \(Self.maximumKeysets)"
            )
        }
        let known = try await storedTerms(mint)?.keysets ?? [:]
        var keysets: [KeysetID: Keyset] = [:]
        for entry in listed {
            keysets[entry.id] = try await keyset(entry, known: known[entry.id], client: client)
        }
        // The mint wrote its time somewhere between our asking and our hearing.
        let middle = sentAt.adding(milliseconds: heardAt.milliseconds(since: sentAt) / 2)
        let offset = info.time.flatMap { Int64(exactly: $0) }.map {
            Timestamp(secondsSince1970: $0).milliseconds(since: middle)
        }
        let fresh = MintTerms(
            mint: mint,
            fetchedAt: sentAt,
            clockOffsetMilliseconds: offset,
            supportsSpendingConditions: info.supports(10),
            supportsP2PK: info.supports(11),
            supportsDLEQ: info.supports(12),
            keysets: keysets
        )
        try await database.write { connection in try Self.store(fresh, info: info, trusts: trusts, in: connection) }
        terms[mint] = fresh
        return fresh
    }

    /// The keys of one keyset. Keys never change under an id; what may change is whether the keyset is active.
    private func keyset(_ entry: KeysetInfo, known: Keyset?, client: any MintAPI) async throws -> Keyset {
        do {
            if let known { return try Keyset(info: entry, keys: known.keys) }
            return try await client.keys(of: entry)
        } catch let error as MintAPIError {
            throw WalletError(error, mint: client.url)
        } catch let error as CashuError {
            throw WalletError(.mintDishonest, "the mint \(client.url): \(error.message)", cause: error)
        }
    }

    private static func store(_ terms: MintTerms, info: MintInfo, trusts: Bool, in connection: Connection) throws {
        let now = terms.fetchedAt.millisecondsSince1970
        if try connection.first("SELECT 1 FROM wallet_mints WHERE url = ?", .text(terms.mint.string)) == nil {
            let count = try connection.first("SELECT count(*) FROM wallet_mints")?.int(0) ?? 0
            guard count < maximumMints else {
                throw WalletError(
                    .invalidArgument,
                    "the wallet holds \(maximumMints) mints, which is the most it takes"
                )
            }
        }
        try connection.execute(
            """
            INSERT INTO wallet_mints (url, info, fetched_at, clock_skew, added_at, trusted) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (url) DO UPDATE SET info = excluded.info, fetched_at = excluded.fetched_at,
                clock_skew = excluded.clock_skew
            """,
            .text(terms.mint.string),
            .text(String(decoding: info.json.serialized(), as: UTF8.self)),
            .integer(now),
            .optional(terms.clockOffsetMilliseconds),
            .integer(now),
            .bool(trusts)
        )
        try connection.execute("UPDATE wallet_keysets SET active = 0 WHERE mint = ?", .text(terms.mint.string))
        for keyset in terms.keysets.values {
            try refuseForeignKeys(keyset, mint: terms.mint, in: connection)
            try connection.execute(
                """
                INSERT INTO wallet_keysets (mint, id, unit, active, json) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (mint, id) DO UPDATE SET active = excluded.active, json = excluded.json
                """,
                .text(terms.mint.string),
                .blob(keyset.id.bytes),
                .text(keyset.unit.name),
                .bool(keyset.info.isActive),
                .text(String(decoding: keyset.json.serialized(), as: UTF8.self))
            )
        }
    }

    /// Refuses a mint that shows an id under which another mint has other keys: with ids of version 1 that is feasible
    /// to forge, and coins and counters would be mixed up (NUT-02, NUT-13).
    private static func refuseForeignKeys(_ keyset: Keyset, mint: MintURL, in connection: Connection) throws {
        let rows = try connection.rows(
            "SELECT mint, json FROM wallet_keysets WHERE id = ? AND mint <> ?",
            .blob(keyset.id.bytes),
            .text(mint.string)
        )
        for row in rows {
            let other = try Keyset(json: JSONValue.parse(Array(row.text(1).utf8), limits: .walletTable))
            guard other.keys == keyset.keys else {
                throw WalletError(
                    .mintDishonest,
                    "the mint \(mint) shows keyset \(keyset.id), which belongs to \(try row.text(0)) with other keys"
                )
            }
        }
    }

    /// What a mint said of itself when its terms were fetched last (NUT-06); nil where it is not in the book.
    func info(_ mint: MintURL) async throws -> MintInfo? {
        try await database.read { connection in
            let sql = "SELECT info FROM wallet_mints WHERE url = ?"
            guard let text = try connection.first(sql, .text(mint.string))?.text(0) else { return nil }
            return try MintInfo(json: JSONValue.parse(Array(text.utf8), limits: .walletTable))
        }
    }

    private static func load(_ mint: MintURL, in connection: Connection) throws -> MintTerms? {
        let sql = "SELECT info, fetched_at, clock_skew FROM wallet_mints WHERE url = ?"
        guard let row = try connection.first(sql, .text(mint.string)) else { return nil }
        let info = try MintInfo(json: JSONValue.parse(Array(row.text(0).utf8), limits: .walletTable))
        var keysets: [KeysetID: Keyset] = [:]
        for entry in try connection.rows("SELECT json, active FROM wallet_keysets WHERE mint = ?", .text(mint.string)) {
            let stored = try Keyset(json: JSONValue.parse(Array(entry.text(0).utf8), limits: .walletTable))
            var keysetInfo = stored.info
            keysetInfo.isActive = try entry.bool(1)
            keysets[stored.id] = try Keyset(info: keysetInfo, keys: stored.keys)
        }
        return MintTerms(
            mint: mint,
            fetchedAt: Timestamp(millisecondsSince1970: try row.int64(1)),
            clockOffsetMilliseconds: try row.optionalInt64(2),
            supportsSpendingConditions: info.supports(10),
            supportsP2PK: info.supports(11),
            supportsDLEQ: info.supports(12),
            keysets: keysets
        )
    }
}

extension MintTerms {
    /// The keyset for new coins: active, not about to expire, with the lowest fee.
    func keysetForNewCoins(unit: CurrencyUnit, at now: Timestamp) throws(WalletError) -> Keyset {
        let seconds = UInt64(max(0, now.secondsSince1970))
        let usable = keysets.values.filter { $0.unit == unit && $0.info.isActive && !$0.info.hasExpired(now: seconds) }
        let best = usable.min { ($0.info.inputFeePPK, $0.id) < ($1.info.inputFeePPK, $1.id) }
        guard let best else {
            throw WalletError(.mintUnsuitable, "the mint \(mint) has no active keyset for \(unit)")
        }
        return best
    }

    func keyset(_ id: KeysetID) throws(WalletError) -> Keyset {
        guard let keyset = keysets[id] else {
            throw WalletError(.invalidToken, "the mint \(mint) has no keyset \(id)")
        }
        return keyset
    }

    /// The mint's clock, in seconds, as far as it told.
    func mintSeconds(at now: Timestamp) -> Int64 {
        now.adding(milliseconds: clockOffsetMilliseconds ?? 0).secondsSince1970
    }
}

extension Keyset {
    /// The amounts that make `amount` with this keyset's keys, the fewest there are.
    func split(_ amount: UInt64) throws(WalletError) -> [UInt64] {
        var rest = amount
        var parts: [UInt64] = []
        for denomination in keys.keys.sorted(by: >) {
            while denomination <= rest {
                parts.append(denomination)
                rest -= denomination
                guard parts.count <= 256 else {
                    throw WalletError(.mintUnsuitable, "keyset \(id) has no keys large enough for \(amount)")
                }
            }
        }
        guard rest == 0 else {
            throw WalletError(.mintUnsuitable, "keyset \(id) has no keys that make \(amount)")
        }
        return parts.reversed()
    }
}
