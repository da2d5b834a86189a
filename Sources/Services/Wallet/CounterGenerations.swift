internal import Cashu
public import Storage

/// NUT-13 counters after the database was set back to an older copy.
///
/// The counters in the copy were passed by then, nobody knows how far. So each keyset goes on in a generation of
/// counters that none was taken from: generations are 2^20 counters long, and the next but one is taken, so that up to
/// 2^20 secrets that were used since the copy stay behind ([BAK-12]). A restore from the words looks at the start of
/// each generation too.
enum CounterGenerations {
    static let length: UInt64 = 1 << 20
    private static let floorName = "counter-floor"

    /// Where a keyset's counters begin that has none yet: above zero once a copy was put back, because the keyset may
    /// have been used since the copy was made.
    static func floor(in connection: Connection) throws -> UInt64 {
        guard
            let bytes = try connection.first("SELECT value FROM wallet_meta WHERE name = ?", .text(floorName))?.blob(0)
        else { return 0 }
        return bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The first counter of the next but one generation after that of `counter`.
    static func start(after counter: UInt64) -> UInt64 { (counter / length + 2) * length }

    /// Moves every keyset's counter past what may have been used since the copy was made.
    static func skip(in connection: Connection) throws {
        let floor = start(after: try floor(in: connection))
        let bytes = (0..<8).reversed().map { UInt8(truncatingIfNeeded: floor >> (8 * UInt64($0))) }
        try connection.execute(
            "INSERT INTO wallet_meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            .text(floorName),
            .blob(bytes)
        )
        for row in try connection.rows("SELECT keyset, next FROM wallet_counters") {
            let keyset = try KeysetID(bytes: row.blob(0))
            try Counters.raise(to: max(start(after: try row.uint64(1)), floor), of: keyset, in: connection)
        }
    }
}

/// The way of a restore through a keyset's counters: on until some batches in a row are empty, then to the start of the
/// next generation, until some of those are empty too.
struct CounterWalk {
    /// As many generations that are empty at their start end the walk; a set-back leaves one unused.
    private static let emptyGenerations = 3

    /// The first counter of the batch to ask about; nil at the end.
    private(set) var next: UInt64? = 0
    private let size: UInt64
    private let emptyBatches: Int
    private var empty = 0
    private var emptyGenerationsSeen = 0
    private var foundInGeneration = false

    init(size: UInt64, emptyBatches: Int) {
        self.size = size
        self.emptyBatches = max(1, emptyBatches)
    }

    mutating func ended(found: Bool) {
        guard let current = next else { return }
        if found { (empty, foundInGeneration) = (0, true) } else { empty += 1 }
        let generation = current / CounterGenerations.length
        // Past the first, a generation is used from its start or not at all.
        let isOver = empty >= emptyBatches || (generation > 0 && !foundInGeneration)
        guard isOver else {
            next = current + size < 1 << 31 ? current + size : nil
            return
        }
        emptyGenerationsSeen = foundInGeneration || generation == 0 ? 0 : emptyGenerationsSeen + 1
        let start = (generation + 1) * CounterGenerations.length
        (empty, foundInGeneration) = (0, false)
        next = emptyGenerationsSeen < Self.emptyGenerations && start < 1 << 31 ? start : nil
    }
}

extension Wallet {
    /// Goes on in counters that no secret was ever made from, after the database was set back to an older copy. Runs in
    /// the transaction that lets the wallet work again.
    public static func skipCounters(in connection: Connection) throws {
        try CounterGenerations.skip(in: connection)
    }
}
