internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Gossip
internal import Libp2p
internal import Logging
internal import Market
internal import Records
internal import SignedDocuments
internal import Storage
internal import Trading

/// Searches over many listings, beside the same words asked of a plain FTS5 table that holds the same texts and nothing else.
struct ListingBenchmark {
    var listings = 100_000
    var authors = 1_000
    var searches = 2_000

    private static let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
    private static let plainTable = Migration(
        id: "plain-1",
        sql: """
            CREATE VIRTUAL TABLE plain USING fts5 (
                name, title, tags, description, tokenize = 'porter unicode61 remove_diacritics 2'
            )
            """
    )

    /// Words as often as words are: the n-th a n-th as often as the first.
    private struct Vocabulary {
        private var random = SplitMix(seed: 1)
        private let sums: [Double]

        init(_ count: Int) {
            var sum = 0.0
            sums = (1...count).map { number in
                sum += 1 / Double(number)
                return sum
            }
        }

        mutating func word() -> String {
            let point = Double.random(in: 0..<sums[sums.count - 1], using: &random)
            var (low, high) = (0, sums.count - 1)
            while low < high {
                let middle = (low + high) / 2
                if sums[middle] > point { high = middle } else { low = middle + 1 }
            }
            return "w\(low)x"
        }

        mutating func words(_ count: Int) -> [String] { (0..<count).map { _ in word() } }

        mutating func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }
    }

    func run() async throws -> [Measure] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mintmark-listings-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let database = try Database(
            path: folder.appending(path: "cache.sqlite").path,
            migrations: RecordStore.migrations + ListingIndex.migrations + [Self.plainTable],
            logger: Self.logger,
            readers: 2,
            isRebuildable: true
        )
        let store = RecordStore(database: database, kinds: RecordKinds([Listing.kind]), clock: .system)
        let index = ListingIndex(database: database, clock: .system, allowsLocal: false)
        var vocabulary = Vocabulary(20_000)
        var texts: [[String]] = []
        let signers = (0..<authors).map { _ in DocumentSigner(Ed25519.PrivateKey()) }
        var reading = 0.0
        for start in stride(from: 0, to: listings, by: 1_000) {
            let made = try (start..<min(start + 1_000, listings)).map { try listing($0, &vocabulary, signers) }
            _ = try await store.insert(made.map { .init(RecordEnvelope(record: $0.record), .issuer) })
            let begin = ContinuousClock.now
            try await index.follow()
            reading += (begin.duration(to: .now)).seconds
            texts += made.map(\.words)
            try await database.write { connection in
                for entry in made {
                    try connection.execute(
                        "INSERT INTO plain (name, title, tags, description) VALUES (?, ?, ?, ?)",
                        .text(entry.record.key.name),
                        .text(entry.words.prefix(3).joined(separator: " ")),
                        .text(entry.words[3]),
                        .text(entry.words.dropFirst(4).joined(separator: " "))
                    )
                }
            }
        }
        // Two or three words of some listing, as one who knows what he wants asks.
        let asked = (0..<searches).map { _ in
            let words = texts[vocabulary.number(0..<texts.count)]
            return (0..<vocabulary.number(2..<4)).map { _ in words[vocabulary.number(0..<words.count)] }
        }
        let ours = try await times(asked) { words in
            var query = ListingQuery(words.joined(separator: " "))
            query.maximumPrice = (50, "sat")
            query.dialect = "cashu"
            _ = try await index.search(query)
        }
        let plain = try await times(asked) { words in
            let expression = words.map { "\"\($0)\"" }.joined(separator: " AND ")
            _ = try await database.read { connection in
                try connection.rows(
                    "SELECT rowid, name FROM plain WHERE plain MATCH ? ORDER BY rank LIMIT 20",
                    .text(expression)
                )
            }
        }
        await database.close()
        return [
            Measure(name: "listings-search-p50", value: ours.p50, unit: "ms", yardstick: plain.p50),
            Measure(
                name: "listings-search-p99",
                value: ours.p99,
                unit: "ms",
                yardstick: plain.p99,
                note: "\(listings) listings of \(authors) sellers; the goal is 20 ms"
            ),
            Measure(name: "listings-index", value: Double(listings) / reading, unit: "listings/s"),
        ]
    }

    private func listing(
        _ number: Int,
        _ vocabulary: inout Vocabulary,
        _ signers: [DocumentSigner]
    ) throws -> (record: Record, words: [String]) {
        guard let url = ListingURL("https://node-\(number).example/s/x") else { throw BenchmarkError("no URL") }
        let words = vocabulary.words(20)
        var listing = Listing(
            urls: [url],
            prices: [Listing.Price(amount: UInt64(vocabulary.number(1..<100)))]
        )
        listing.title = words.prefix(3).joined(separator: " ")
        listing.tags = [words[3]]
        listing.description = words.dropFirst(4).joined(separator: " ")
        listing.dialects = vocabulary.number(0..<2) == 0 ? ["cashu"] : ["cashu", "l402"]
        let record = try Record.sign(
            listing.body,
            of: Listing.kind,
            name: "s\(number)",
            sequence: 1,
            created: WallClock.system.now(),
            by: signers[number % signers.count]
        )
        return (record, words)
    }

    private func times(
        _ asked: [[String]],
        _ search: ([String]) async throws -> Void
    ) async throws -> (p50: Double, p99: Double) {
        for words in asked.prefix(50) { try await search(words) }
        var times: [Double] = []
        for words in asked {
            let begin = ContinuousClock.now
            try await search(words)
            times.append(begin.duration(to: .now).seconds * 1_000)
        }
        times.sort()
        return (times[times.count / 2], times[times.count * 99 / 100])
    }
}

extension Duration {
    fileprivate var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
