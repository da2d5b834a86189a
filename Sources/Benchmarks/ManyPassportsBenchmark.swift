internal import Cryptography
internal import Encodings
internal import Foundation
internal import Identity
internal import Logging
internal import Passports
internal import SignedDocuments
internal import Storage

/// A node with very many passports in force: issuing them, revoking one in ten, building its status lists, starting again;
/// and what the check of a passport costs that was seen before.
struct ManyPassportsBenchmark {
    var passports = 50_000
    private static let agents = 1_000
    private static let clients = 64

    func run() async throws -> [Measure] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "many-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var (service, database) = try await Self.open(folder)
        var measures = try await issue(service)
        measures.append(try await revoke(service))
        measures.append(try Self.lists(service, name: "many-passports-lists"))
        measures.append(try await Self.cached(service))
        await database.close()
        let start = ContinuousClock.now
        (service, database) = try await Self.open(folder)
        measures.append(
            Measure(
                name: "many-passports-restart",
                value: Timing.inSeconds(ContinuousClock.now - start),
                unit: "s",
                yardstick: 3,
                note: "\(passports) passports"
            )
        )
        measures.append(try Self.lists(service, name: "many-passports-lists-after-restart"))
        measures.append(Measure(name: "many-passports-memory", value: Self.peakMB(), unit: "MB", yardstick: 300))
        await database.close()
        return measures
    }

    private static func open(_ folder: URL) async throws -> (IdentityService, Database) {
        let logger = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
        let database = try Database(
            path: folder.path + "/node.sqlite",
            migrations: IdentitySchema.migrations,
            logger: logger
        )
        let service = try await IdentityService(
            database: database,
            nodeKeys: try NodeKeys.of(words: try Mnemonic(entropy: [UInt8](repeating: 7, count: 16))),
            configuration: IdentityConfiguration(publicURL: "https://node.example"),
            clock: .system,
            logger: logger
        )
        return (service, database)
    }

    /// Runs `body` for each of `0..<count` by some clients at once.
    private static func each(_ count: Int, _ body: @escaping @Sendable (Int) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 0..<clients {
                group.addTask {
                    for index in stride(from: client, to: count, by: clients) { try await body(index) }
                }
            }
            try await group.waitForAll()
        }
    }

    private func issue(_ service: IdentityService) async throws -> [Measure] {
        try await Self.each(Self.agents) { index in
            _ = try await service.registry.register(AgentDescription(name: "a\(index)", capabilities: ["pay"]))
        }
        let rest = passports - Self.agents
        let start = ContinuousClock.now
        try await Self.each(rest) { _ = try await service.registry.renew("a\($0 % Self.agents)") }
        return [
            Measure(
                name: "many-passports-issue-durable",
                value: Double(rest) / Timing.inSeconds(ContinuousClock.now - start),
                unit: "1/s",
                note: "signed, logged and on the disk, \(Self.clients) at once"
            )
        ]
    }

    /// One agent in ten, with all its passports.
    private func revoke(_ service: IdentityService) async throws -> Measure {
        let start = ContinuousClock.now
        for index in stride(from: 0, to: Self.agents, by: 10) {
            let agent = try await service.registry.agent("a\(index)")
            guard let passport = try await service.office.passports(agent: agent.id).first?.passport else {
                throw BenchmarkError("an agent without a passport")
            }
            try await service.office.revoke(passport.id, reason: .keyCompromise)
        }
        return Measure(
            name: "many-passports-revoke",
            value: Double(passports / 10) / Timing.inSeconds(ContinuousClock.now - start),
            unit: "1/s"
        )
    }

    private static func lists(_ service: IdentityService, name: String) throws -> Measure {
        var count = 0
        let seconds = try Timing.seconds {
            var number: Int64 = 1
            while try service.office.publishedList(number) != nil {
                number += 1
                count += 1
            }
        }
        return Measure(name: name, value: seconds, unit: "s", yardstick: 1, note: "\(count) lists, each signed")
    }

    private static func cached(_ service: IdentityService) async throws -> Measure {
        let agent = try await service.registry.agent("a1")
        guard let passport = try await service.office.passports(agent: agent.id).first?.passport else {
            throw BenchmarkError("an agent without a passport")
        }
        let header = passport.encodedHeader
        let rules = CallerRules(
            requiresPassport: true,
            trustedIssuers: [service.office.issuer],
            requiredCapabilities: ["pay"],
            maximumStatusAgeSeconds: 60
        )
        let count = 10_000
        var micros: [Double] = []
        for _ in 0..<25 {
            let start = ContinuousClock.now
            for _ in 0..<count {
                let reasons = await service.gate.passportReasons(header, rules: rules)
                guard reasons.isEmpty else { throw BenchmarkError("\(reasons)") }
            }
            micros.append(Timing.inSeconds(ContinuousClock.now - start) * 1e6 / Double(count))
        }
        return Measure(
            name: "passport-check-cached",
            value: Timing.median(micros),
            unit: "µs",
            yardstick: 5,
            note: "quickest of \(micros.count) rounds: \(((micros.min() ?? 0) * 100).rounded() / 100)"
        )
    }

    /// The most resident memory so far, in MB (10^6 bytes).
    private static func peakMB() -> Double {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        let kilobytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) }
        return (kilobytes ?? 0) * 1024 / 1e6
    }
}
