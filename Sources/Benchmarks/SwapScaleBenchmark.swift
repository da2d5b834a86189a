internal import Cryptography
internal import Foundation
internal import Storage

/// What a long life costs the mint: swaps a second with many spent proofs in the database beside those with none.
struct SwapScaleBenchmark {
    var spent: Int
    var swaps = 10_000
    /// Where the filled database is kept, and taken from where it is there; nil: in a folder that is taken away again.
    var folder: URL?

    func run() async throws -> [Measure] {
        if let folder { return try await run(try MintSetting(keptIn: folder)) }
        return try await MintSetting.with { try await run($0) }
    }

    private func run(_ setting: MintSetting) async throws -> [Measure] {
        let fill = try await fill(setting)
        let swaps = swaps
        let empty = try await MintSetting.with { setting in
            // The first time makes the tables and the keyset.
            _ = try await setting.secondsToOpen()
            let open = try await setting.secondsToOpen()
            let result = try await setting.serving { mint, port in
                try await SwapBenchmark(swaps: swaps).swap(mint, port: port)
            }
            return (open: open, result: result)
        }
        let open = try await setting.secondsToOpen()
        // The books know nothing of the proofs that were put in past the mint: no audit.
        let result = try await setting.serving(isAudited: false) { mint, port in
            try await SwapBenchmark(swaps: swaps).swap(mint, port: port)
        }
        let name = "swap-with-\(spent)-spent"
        return fill + [
            Measure(name: name, value: result.perSecond, unit: "1/s", yardstick: empty.result.perSecond),
            Measure(
                name: name + "-p99",
                value: result.percentile(0.99),
                unit: "ms",
                yardstick: empty.result.percentile(0.99)
            ),
            Measure(name: name + "-open", value: open * 1000, unit: "ms", yardstick: empty.open * 1000),
        ]
    }

    /// Puts the spent proofs in, unless they are there from an earlier run.
    private func fill(_ setting: MintSetting) async throws -> [Measure] {
        // The mint makes its tables and its keyset first.
        _ = try await setting.secondsToOpen()
        let database = try setting.openDatabase()
        let found = try await database.read { try $0.first("SELECT count(*) FROM mint_proofs")?.int(0) ?? 0 }
        await database.close()
        guard found < spent else { return [] }
        guard found == 0 else {
            throw BenchmarkError("\(setting.databasePath) holds \(found) proofs, neither none nor \(spent): remove it")
        }
        let filled = try await insertAll(setting)
        let name = "swap-with-\(spent)-spent"
        return [
            Measure(name: name + "-bytes-a-proof", value: filled.proofBytes, unit: "B"),
            Measure(name: name + "-bytes-a-proof-and-its-promise", value: filled.pairBytes, unit: "B"),
            Measure(name: name + "-fill", value: filled.rowsPerSecond, unit: "1/s"),
        ]
    }

    private struct Filled {
        var proofBytes: Double
        var pairBytes: Double
        var rowsPerSecond: Double
    }

    /// A swap leaves a spent proof and a promise: as many of each. The keys are spread evenly and put in in ascending
    /// order, over and over between those that are there, so that the pages are split and filled about as by chance.
    private func insertAll(_ setting: MintSetting) async throws -> Filled {
        let clock = ContinuousClock()
        let began = clock.now
        let before = setting.databaseBytes()
        try await insert("INSERT INTO mint_proofs (y, keyset, amount, pending) VALUES (?, 1, 1, 0)", setting) { key in
            [.blob(key)]
        }
        let proofs = setting.databaseBytes()
        try await insert(
            "INSERT INTO mint_promises (b, keyset, amount, c, e, s) VALUES (?, 1, 1, ?, ?, ?)",
            setting
        ) { key in
            [.blob(key), .blob(key), .blob(Array(key.dropFirst())), .blob(Array(key.dropFirst()))]
        }
        let pairs = setting.databaseBytes()
        let seconds = Timing.inSeconds(clock.now - began)
        return Filled(
            proofBytes: (proofs - before) / Double(spent),
            pairBytes: (pairs - before) / Double(spent),
            rowsPerSecond: 2 * Double(spent) / seconds
        )
    }

    /// Closes the database in the end, so that the log is in the file and the file's size tells.
    private func insert(
        _ sql: String,
        _ setting: MintSetting,
        _ row: @escaping @Sendable (_ key: [UInt8]) -> [SQLValue]
    ) async throws {
        let database = try setting.openDatabase()
        let passes = 4
        let step = UInt64.max / UInt64(max(spent, 1))
        for pass in 0..<passes {
            var index = pass
            while index < spent {
                let first = index
                let last = min(first + 20_000 * passes, spent)
                try await database.write { connection in
                    for index in stride(from: first, to: last, by: passes) {
                        try connection.execute(sql, arguments: row(Self.key(UInt64(index) * step)))
                    }
                }
                index = first + (last - first + passes - 1) / passes * passes
            }
        }
        await database.close()
    }

    /// 33 bytes: a point's prefix, the place in the key space, and noise.
    private static func key(_ place: UInt64) -> [UInt8] {
        [2] + (0..<8).reversed().map { UInt8(truncatingIfNeeded: place >> (8 * UInt64($0))) } + SecureRandom.bytes(24)
    }
}
