internal import Foundation

/// `Benchmarks [NAME…]`: prints one JSON object a measure.
@main
enum Main {
    static let benchmarks: [Benchmark] = [
        Benchmark("passport", "Passports a second on one core: issuing, and verifying from the header's text.") {
            try PassportBenchmark().run() + PassportBenchmark().runForms()
        },
        Benchmark(
            "delegation",
            "Chains of three delegations verified a second on one core; debits a second of fifty leaves of one tree."
        ) {
            try await DelegationBenchmark().run()
        },
        Benchmark(
            "log",
            "Documents a second into the transparency log, durable; a write beside that; from a passport to its proof; an"
                + " inclusion proof out of a million entries (--entries N: 10000000 takes a minute and 700 MB of disk)."
        ) {
            try await LogBenchmark(entries: Options.number("--entries") ?? 1_000_000).run()
        },
        Benchmark(
            "many-passports",
            "50000 passports in force (--passports N: 1000000 takes some minutes and 4 GB of disk): issuing, revoking one in"
                + " ten, building the lists, starting again, memory; the check of one that was seen before."
        ) {
            try await ManyPassportsBenchmark(passports: Options.number("--passports") ?? 50_000).run()
        },
        Benchmark(
            "gossip",
            "10, 50 and 100 GossipPeer processes (--nodes N: one size alone): how long a message takes to all, CPU, bytes and"
                + " memory, beside go-libp2p's; two nodes' messages a second. Build the product GossipPeer first."
        ) {
            var benchmark = GossipBenchmark()
            if let nodes = Options.number("--nodes") { benchmark.settings.removeAll { $0.nodes != nodes } }
            return try await benchmark.run()
        },
        Benchmark(
            "gossip-flood",
            "A GossipPeer process that peers flood with invalid messages: heartbeats until each is cut off, the process's memory,"
                + " and what is delivered between two honest peers through it meanwhile. Build the product GossipPeer first."
        ) {
            try await FloodBenchmark().run()
        },
        Benchmark("swap", "Swaps a second at the mint over HTTP, durable, 32 clients: 1→1 and 8→8, with DLEQ.") {
            try await SwapBenchmark().run() + SwapBenchmark(width: 8, swaps: 1_500).run()
        },
        Benchmark(
            "vault",
            "Swaps a second with the mint's keys in a `mintmark vault` process, beside the same with keys in the mint's"
                + " process; and a receipt's signature over the vault's socket."
        ) {
            try await VaultBenchmark().run()
        },
        Benchmark(
            "swap-scale",
            "Swaps a second with spent proofs in the database (--spent N, 200000 without it; --folder PATH keeps it for"
                + " the next run) beside none, bytes a proof, and the time to open it."
        ) {
            try await SwapScaleBenchmark(
                spent: Options.number("--spent") ?? 200_000,
                folder: Options.text("--folder").map { URL(filePath: $0) }
            ).run()
        },
        Benchmark(
            "overload",
            "A node with more clients than it lets in: /health's p99, memory, how many swaps got 503 and were done after it."
        ) {
            try await OverloadBenchmark().run()
        },
        Benchmark("quotes", "Mint and melt quotes a second at a node with the simulated Lightning backend.") {
            try await QuoteBenchmark().run()
        },
        Benchmark("nutshell", "Swaps a second at nutshell's mint, by the same load generator, and at ours.") {
            try await NutshellBenchmark().run()
        },
        Benchmark(
            "paid-call",
            "Calls a second through the gateway, 32 clients (--clients N): paid with one proof locked beforehand, unpriced,"
                + " and through a bare proxy of Hummingbird and AsyncHTTPClient."
        ) {
            try await PaidCallBenchmark(clients: Options.number("--clients") ?? 32).run()
        },
        Benchmark(
            "own-mint",
            "Calls a second sold for ecash of the node's own mint, 32 clients (--clients N): locked beforehand, and redeemed"
                + " before each call."
        ) {
            try await OwnMintBenchmark(clients: Options.number("--clients") ?? 32).run()
        },
        Benchmark(
            "gateway-cost",
            "What an unpriced call through a node's gateway takes longer than a direct one, one client."
        ) {
            try await GatewayBenchmark().cost()
        },
        Benchmark("stream", "A gigabyte through the gateway: the node's peak memory.") {
            try await GatewayBenchmark().stream()
        },
        Benchmark("sse", "2000 clients of a server-sent event stream through the gateway: the node's memory.") {
            try await GatewayBenchmark().events()
        },
        Benchmark(
            "x402",
            "Calls a second paid over x402's exact, 16 clients: verified, reserved and served; beside the official Python"
                + " server where the interop checks installed it."
        ) {
            try await X402Benchmark().run()
        },
        Benchmark(
            "l402-return",
            "Calls a second of a returning L402 credential (an hour's pass, a bundle), 32 clients, beside unpriced ones."
        ) {
            try await ReturningBenchmark().run()
        },
        Benchmark(
            "repair",
            "Seconds and bytes until two nodes have the same records: 100,000 of which one missed 1,000, and 10,000 new on each side."
        ) {
            try await RepairBenchmark().run()
        },
        Benchmark(
            "revocation",
            "Five `mintmark serve` processes that sell, with paid calls at all of them (--rate N a second: 50): how soon the last"
                + " refuses an agent that the first revokes, over 40 revocations (--revocations N)."
        ) {
            var benchmark = RevocationBenchmark()
            if let count = Options.number("--revocations") { benchmark.revocations = count }
            if let rate = Options.number("--rate") { benchmark.callsPerSecond = Double(rate) }
            return try await benchmark.run()
        },
        Benchmark(
            "listings",
            "Searches over 100,000 listings (--listings N), with a price and a dialect, beside a plain FTS5 query of the same words."
        ) {
            try await ListingBenchmark(listings: Options.number("--listings") ?? 100_000).run()
        },
        Benchmark(
            "listing-spread",
            "20 `mintmark serve` processes (--nodes N): how soon the last finds a listing that is new at the first, and how soon a"
                + " node that joins then finds it."
        ) {
            var benchmark = SpreadBenchmark()
            if let nodes = Options.number("--nodes") { benchmark.nodes = nodes }
            return try await benchmark.run()
        },
        Benchmark(
            "reputation",
            "What a node thinks of 1,000 others by 100,000 receipts (--receipts N): one more counted, and all worked out from nothing."
        ) {
            try ReputationBenchmark(receipts: Options.number("--receipts") ?? 100_000).run()
        },
        Benchmark(
            "jobs",
            "Six `mintmark serve` processes: a round of firm quotes of five sellers, a job by escrow alone, and 1000 at 16 at a time."
        ) {
            try await JobBenchmark().run()
        },
        Benchmark("node", "A `mintmark serve` process: start to ready, idle memory, a fresh buyer's first paid call.") {
            try await NodeBenchmark().run()
        },
    ]

    static func main() async {
        let names = Options.names
        if names.contains("--help") || names.contains("-h") { return print(help) }
        if names == ["bare-proxy"] { return await serveBareProxy() }
        if let unknown = names.first(where: { name in !benchmarks.contains { $0.name == name } }) {
            complain("there is no benchmark named \(unknown)\n\(help)")
            exit(64)
        }
        show(.machineLoad)
        for benchmark in benchmarks where names.isEmpty || names.contains(benchmark.name) {
            do {
                for measure in try await benchmark.run() { show(measure) }
            } catch {
                complain("\(benchmark.name): \(error)")
                exit(1)
            }
        }
    }

    /// The process that the node is held against.
    private static func serveBareProxy() async {
        do {
            try await NodeBenchmark.serveBareProxy()
        } catch {
            complain("bare-proxy: \(error)")
            exit(1)
        }
    }

    private static var help: String {
        """
        Usage: Benchmarks [NAME…] [--spent N] [--folder PATH] [--entries N] [--passports N] [--listings N]
                          [--clients N]    (all without a name; about three minutes)

        Prints one JSON object a measure: name, value, unit, yardstick (taken in the same run) and ratio, which is
        value ÷ yardstick. Servers, upstream and load generator share this machine's cores, so run it on a quiet one:
        `machine-load` is the one-minute load average at the start, its yardstick the number of cores.

        """
            + benchmarks.map { "  \($0.name.padding(toLength: 13, withPad: " ", startingAt: 0)) \($0.summary)" }
            .joined(separator: "\n")
    }

    private static func show(_ measure: Measure) {
        FileHandle.standardOutput.write(Data((measure.line + "\n").utf8))
    }

    private static func complain(_ sentence: String) {
        FileHandle.standardError.write(Data((sentence + "\n").utf8))
    }
}

struct Benchmark: Sendable {
    var name: String
    var summary: String
    var run: @Sendable () async throws -> [Measure]

    init(_ name: String, _ summary: String, _ run: @escaping @Sendable () async throws -> [Measure]) {
        self.name = name
        self.summary = summary
        self.run = run
    }
}

/// What stands on the command line besides the benchmarks' names.
enum Options {
    private static let known: Set<String> = [
        "--spent", "--folder", "--entries", "--passports", "--nodes", "--revocations", "--rate", "--listings",
        "--clients",
    ]

    static var names: [String] {
        var names: [String] = []
        var arguments = CommandLine.arguments.dropFirst()
        while let argument = arguments.popFirst() {
            if known.contains(argument) { _ = arguments.popFirst() } else { names.append(argument) }
        }
        return names
    }

    /// The whole number that follows an option.
    static func number(_ option: String) -> Int? { text(option).flatMap { Int($0) } }

    static func text(_ option: String) -> String? {
        guard let place = CommandLine.arguments.firstIndex(of: option), place + 1 < CommandLine.arguments.count else {
            return nil
        }
        return CommandLine.arguments[place + 1]
    }
}

struct BenchmarkError: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
