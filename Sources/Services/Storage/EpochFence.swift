public import Encodings
internal import Foundation
internal import Synchronization

/// Tells whether the database beside it is the one that this data directory worked on last.
///
/// Each start, each minute and each clean stop is an epoch with a random id. It is written to the database first and
/// then to the file `epoch` beside it, so that a crash between the two leaves the database one step ahead, never
/// behind. A database that is behind, or on another branch, is an older copy that was put back: what was spent since
/// would be unspent in it. Then the fence is up, and stays up over restarts, until ``confirm()`` ([BAK-6] and on).
public final class EpochFence: Sendable {
    /// The file in the data directory.
    public static let fileName = "epoch"

    /// Why the fence is up, and what is known of the copy.
    public struct Raised: Sendable, Equatable {
        /// A word for machines: `restored`, `older-copy`, `other-branch`, `epoch-missing` or `database-missing`.
        public var reason: String
        /// When the copy was last at work, or was made; nil where nothing says so.
        public var copyAt: Timestamp?
        /// When this data directory was last at work with a later database; nil where nothing says so.
        public var lastAt: Timestamp?

        public init(reason: String, copyAt: Timestamp?, lastAt: Timestamp?) {
            self.reason = reason
            self.copyAt = copyAt
            self.lastAt = lastAt
        }
    }

    private struct State {
        var epoch: Epoch
        /// Whether the file has yet to be brought to `epoch`.
        var fileIsBehind: Bool
        var raised: Raised?
    }

    private let directory: DataDirectory
    private let database: Database
    private let clock: WallClock
    private let state: Mutex<State>
    private let turn = AsyncTurn()

    /// Whether the node may not move money now, and why.
    public var raised: Raised? { state.withLock { $0.raised } }

    private init(directory: DataDirectory, database: Database, clock: WallClock, state: State) {
        self.directory = directory
        self.database = database
        self.clock = clock
        self.state = Mutex(state)
    }

    /// Holds the database against the file and begins an epoch where they belong together.
    /// - Throws: `StorageError`; `corrupt` where the file cannot be read.
    public static func open(
        in directory: DataDirectory,
        database: Database,
        clock: WallClock
    ) async throws -> EpochFence {
        let file = try EpochFile.read(in: directory)
        let stored = try await Self.stored(in: database)
        var raised = stored.raised
        let now = clock.now()
        if raised == nil, let found = judge(stored.epoch, file) {
            raised = found
            // On the disk before anything else is: the fence outlives this process.
            try await database.write { try Self.keep(raised: found, in: $0) }
        }
        let current = stored.epoch ?? Epoch(number: 0, id: Epoch.newID(), previous: "", at: now)
        let fence = EpochFence(
            directory: directory,
            database: database,
            clock: clock,
            state: State(epoch: current, fileIsBehind: false, raised: raised)
        )
        // While the fence is up the file stays as it is: the right database, put back, is then known again.
        if raised == nil { try await fence.advance() }
        return fence
    }

    private static func judge(_ epoch: Epoch?, _ file: EpochFile?) -> Raised? {
        switch (epoch, file) {
        case (nil, nil): nil
        case (_, .restored(let copyAt)?): Raised(reason: "restored", copyAt: copyAt, lastAt: nil)
        case (nil, .epoch(let last)?): Raised(reason: "database-missing", copyAt: nil, lastAt: last.at)
        case (let epoch?, nil): Raised(reason: "epoch-missing", copyAt: epoch.at, lastAt: nil)
        case (let epoch?, .epoch(let last)?):
            if last.id == epoch.id || last.id == epoch.previous {
                nil
            } else {
                Raised(
                    reason: last.number > epoch.number ? "older-copy" : "other-branch",
                    copyAt: epoch.at,
                    lastAt: last.at
                )
            }
        }
    }

    /// Begins the next epoch. Does nothing while the fence is up.
    public func advance() async throws {
        try await turn.run { [self] in
            let (epoch, isBehind, isUp) = state.withLock { ($0.epoch, $0.fileIsBehind, $0.raised != nil) }
            guard !isUp else { return }
            // The database is never more than one step ahead of the file.
            if isBehind { return try write(epoch) }
            let next = epoch.next(at: clock.now())
            try await database.write { try Self.keep(next, in: $0) }
            state.withLock {
                $0.epoch = next
                $0.fileIsBehind = true
            }
            try write(next)
        }
    }

    private func write(_ epoch: Epoch) throws {
        try directory.replaceFile(Self.fileName, with: EpochFile.of(epoch).bytes)
        state.withLock { $0.fileIsBehind = false }
    }

    /// Puts the fence up for a reason that was found out later, such as by a witness of the log. It stays up over restarts.
    ///
    /// - Parameter reason: a word for machines, without spaces.
    public func raise(reason: String) async throws {
        try await turn.run { [self] in
            guard state.withLock({ $0.raised == nil }) else { return }
            let found = Raised(reason: reason, copyAt: state.withLock { $0.epoch.at }, lastAt: nil)
            // At once; on the disk before this returns.
            state.withLock { $0.raised = found }
            try await database.write { try Self.keep(raised: found, in: $0) }
        }
    }

    /// The operator has looked: goes on with this database. `body` runs in the transaction that takes the fence down.
    public func confirm(_ body: @escaping @Sendable (Connection) throws -> Void) async throws {
        try await turn.run { [self] in
            let next = state.withLock { $0.epoch }.next(at: clock.now())
            try await database.write { connection in
                try body(connection)
                try connection.execute("DELETE FROM storage_meta WHERE key = ?", .text(Self.raisedKey))
                try Self.keep(next, in: connection)
            }
            state.withLock { $0 = State(epoch: next, fileIsBehind: true, raised: $0.raised) }
            // The file first: were it left behind, the next start would put the fence up once more.
            try write(next)
            state.withLock { $0.raised = nil }
        }
    }

    // MARK: The database's side

    private static let epochKey = "epoch"
    private static let raisedKey = "epoch.fence"

    private static func stored(in database: Database) async throws -> (epoch: Epoch?, raised: Raised?) {
        let epoch = try await database.fact(epochKey).map { try Epoch(line: $0) }
        return (epoch, try await database.fact(raisedKey).map { try Raised(line: $0) })
    }

    private static func keep(_ epoch: Epoch, in connection: Connection) throws {
        try set(epochKey, epoch.line, in: connection)
    }

    private static func keep(raised: Raised, in connection: Connection) throws {
        try set(raisedKey, raised.line, in: connection)
    }

    private static func set(_ key: String, _ value: String, in connection: Connection) throws {
        try connection.execute(
            """
            INSERT INTO storage_meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value
            """,
            .text(key),
            .text(value)
        )
    }
}

/// One step in a database's life.
struct Epoch: Sendable, Equatable {
    var number: Int64
    /// 32 hex digits, random.
    var id: String
    /// The one before; empty for the first.
    var previous: String
    var at: Timestamp

    static func newID() -> String {
        Hex.encode((0..<16).map { _ in UInt8.random(in: .min ... .max) })
    }

    func next(at now: Timestamp) -> Epoch {
        Epoch(number: number + 1, id: Self.newID(), previous: id, at: now)
    }

    var line: String { "\(number) \(id) \(previous.isEmpty ? "-" : previous) \(at.millisecondsSince1970)" }

    init(number: Int64, id: String, previous: String, at: Timestamp) {
        self.number = number
        self.id = id
        self.previous = previous
        self.at = at
    }

    init(line: String) throws(StorageError) {
        let parts = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 4, let number = Int64(parts[0]), number >= 0, number < Int64.max,
            parts[1].utf8.count == 32, let milliseconds = Int64(parts[3])
        else {
            throw StorageError(.corrupt, "the epoch \"\(line.prefix(100))\" cannot be read")
        }
        self.number = number
        id = parts[1]
        previous = parts[2] == "-" ? "" : parts[2]
        at = Timestamp(millisecondsSince1970: milliseconds)
    }
}

extension EpochFence.Raised {
    var line: String {
        func text(_ time: Timestamp?) -> String { time.map { String($0.millisecondsSince1970) } ?? "-" }
        return "\(reason) \(text(copyAt)) \(text(lastAt))"
    }

    init(line: String) throws(StorageError) {
        let parts = line.split(separator: " ").map(String.init)
        guard parts.count == 3 else {
            throw StorageError(.corrupt, "the fence \"\(line.prefix(100))\" cannot be read")
        }
        func time(_ text: String) -> Timestamp? { Int64(text).map { Timestamp(millisecondsSince1970: $0) } }
        self.init(reason: parts[0], copyAt: time(parts[1]), lastAt: time(parts[2]))
    }
}

/// What the file `epoch` says.
public enum EpochFile: Sendable, Equatable {
    case epoch(EpochFacts)
    /// `mintmark restore` made this directory from a backup of that time.
    case restored(copyAt: Timestamp)

    /// The epoch that the directory was last at work in.
    public struct EpochFacts: Sendable, Equatable {
        public var number: Int64
        public var id: String
        public var at: Timestamp
    }

    static func of(_ epoch: Epoch) -> EpochFile {
        .epoch(EpochFacts(number: epoch.number, id: epoch.id, at: epoch.at))
    }

    /// The file's content: one line.
    public var bytes: [UInt8] {
        switch self {
        case .epoch(let facts): Array("epoch \(facts.number) \(facts.id) \(facts.at.millisecondsSince1970)\n".utf8)
        case .restored(let copyAt): Array("restored \(copyAt.millisecondsSince1970)\n".utf8)
        }
    }

    static func read(in directory: DataDirectory) throws(StorageError) -> EpochFile? {
        let path = directory.file(EpochFence.fileName)
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        guard let data = FileManager.default.contents(atPath: path), data.count <= 200 else {
            throw StorageError(.notPermitted, "\(path) cannot be read: check its owner and mode")
        }
        let parts = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(String.init)
        if parts.count == 4, parts[0] == "epoch", let number = Int64(parts[1]), let at = Int64(parts[3]) {
            let facts = EpochFacts(number: number, id: parts[2], at: Timestamp(millisecondsSince1970: at))
            return .epoch(facts)
        }
        if parts.count == 2, parts[0] == "restored", let at = Int64(parts[1]) {
            return .restored(copyAt: Timestamp(millisecondsSince1970: at))
        }
        throw StorageError(
            .corrupt,
            "\(path) is damaged: put it back, or remove it and confirm that the database beside it is the latest"
        )
    }
}

/// Runs pieces of work one after another.
actor AsyncTurn {
    private var last: Task<Void, Never>?

    func run(_ work: @escaping @Sendable () async throws -> Void) async throws {
        let before = last
        let mine = Task {
            await before?.value
            try await work()
        }
        last = Task { _ = try? await mine.value }
        try await mine.value
    }
}
