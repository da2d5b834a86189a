internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOPosix

/// nutshell's mint (PyPI: cashu 0.21.0, SQLite, its FakeWallet) under the load generator that ours is measured with, and
/// ours right after it.
struct NutshellBenchmark {
    var clients = 32
    var swaps = 600

    func run() async throws -> [Measure] {
        guard let program else {
            let note =
                "nutshell is not installed: `Tests/Interop/run nutshell` installs it; or name its `mint` in $NUTSHELL_MINT"
            return [Measure(name: "nutshell-swap-1-1", value: nil, unit: "1/s", note: note)]
        }
        let theirs = try await load(program)
        let ours = try await MintSetting.with { setting in
            try await setting.serving { mint, port in
                try await SwapBenchmark(swaps: 10_000).swap(mint, port: port)
            }
        }
        return [
            Measure(name: "nutshell-swap-1-1-\(clients)-clients", value: theirs.perSecond, unit: "1/s"),
            Measure(name: "nutshell-swap-1-1-p99", value: theirs.percentile(0.99), unit: "ms"),
            Measure(
                name: "swap-1-1-beside-nutshell",
                value: ours.perSecond,
                unit: "1/s",
                yardstick: theirs.perSecond
            ),
        ]
    }

    /// `$NUTSHELL_MINT`, else what the interop checks installed.
    private var program: URL? {
        if let named = ProcessInfo.processInfo.environment["NUTSHELL_MINT"] { return URL(filePath: named) }
        let installed = URL(filePath: ".build/interop-venv/bin/mint")
        return FileManager.default.isExecutableFile(atPath: installed.path) ? installed : nil
    }

    private func load(_ program: URL) async throws -> LoadGenerator.Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "nutshell-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let port = try await Self.freePort()
        let process = Process()
        process.executableURL = program
        process.environment = ProcessInfo.processInfo.environment.merging(Self.settings(folder, port: port)) { $1 }
        process.currentDirectoryURL = folder
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        let http = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        do {
            let mint = RemoteMint(http: http, url: "http://127.0.0.1:\(port)") { _ in }
            try await ready(mint, process)
            let requests = try await mint.swaps(swaps + clients, path: "/v1/swap")
            let generator = LoadGenerator(port: port, connections: clients)
            _ = try await generator.run(Array(requests.prefix(clients)))
            let result = try await generator.run(Array(requests.dropFirst(clients)))
            try await http.shutdown()
            return result
        } catch {
            try? await http.shutdown()
            throw error
        }
    }

    private static func settings(_ folder: URL, port: Int) -> [String: String] {
        [
            "MINT_PRIVATE_KEY": "benchmark", "MINT_BACKEND_BOLT11_SAT": "FakeWallet", "FAKEWALLET_BRR": "TRUE",
            "FAKEWALLET_DELAY_INCOMING_PAYMENT": "0", "FAKEWALLET_DELAY_OUTGOING_PAYMENT": "0",
            "MINT_LISTEN_HOST": "127.0.0.1", "MINT_LISTEN_PORT": String(port), "MINT_DATABASE": folder.path,
            "MINT_INPUT_FEE_PPK": "0", "MINT_RATE_LIMIT": "FALSE", "TOR": "FALSE", "CASHU_DIR": folder.path,
            "HOME": folder.path, "DEBUG": "FALSE", "LOG_LEVEL": "ERROR",
        ]
    }

    private func ready(_ mint: RemoteMint, _ process: Process) async throws {
        for _ in 0..<600 {
            if (try? await mint.get("/v1/info")) != nil { return }
            guard process.isRunning else {
                throw BenchmarkError("nutshell's mint ended with \(process.terminationStatus)")
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw BenchmarkError("nutshell's mint was not ready within a minute")
    }

    private static func freePort() async throws -> Int {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = channel.localAddress?.port ?? 0
        try await channel.close()
        return port
    }
}
