internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Foundation
internal import NIOCore
internal import NIOPosix

/// A real `mintmark` beside this executable, as processes: how fast it is ready, what it holds idle, how long a fresh
/// buyer's first paid call takes. The yardstick for the first two is a bare proxy of the same libraries, also a process.
struct NodeBenchmark {
    var starts = 5

    func run() async throws -> [Measure] {
        guard let own = Bundle.main.executableURL?.resolvingSymlinksInPath() else {
            throw BenchmarkError("this program's own place is not known")
        }
        let mintmark = own.deletingLastPathComponent().appending(path: "mintmark")
        guard FileManager.default.isExecutableFile(atPath: mintmark.path) else {
            let note = "\(mintmark.path) is not there: swift build -c release --product mintmark"
            return [Measure(name: "node", value: nil, unit: "ms", note: note)]
        }
        let folder = FileManager.default.temporaryDirectory.appending(path: "mintmark-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try await NodeSetting(mintmark: mintmark, own: own, folder: folder).measure(starts: starts)
    }

    /// What `Benchmarks bare-proxy` runs: the yardstick's process. Says its port once it listens, and goes on until it is
    /// told to end.
    static func serveBareProxy() async throws {
        let client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        try await LocalServers.with(BareProxy(client: client, upstream: "http://127.0.0.1:9")) { port in
            FileHandle.standardOutput.write(Data("{\"port\":\(port)}\n".utf8))
            try await Task.sleep(for: .seconds(600))
        }
    }
}

private struct NodeSetting {
    let mintmark: URL
    let own: URL
    let folder: URL

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    func measure(starts: Int) async throws -> [Measure] {
        let lightning = child(["lightning-simulator", "--port", "0", "--json", "--data", path("lightning")])
        let (network, _) = try await lightning.start()
        defer { lightning.stop() }
        let networkURL = try string("url", in: network)
        for name in ["seller", "buyer"] { try child(["init", "--json", "--data", path(name)]).finish() }
        var ready: [Double] = []
        var bareReady: [Double] = []
        for _ in 0..<starts {
            let node = serve("seller", lightning: networkURL)
            ready.append(try await node.start().seconds)
            node.stop()
            let bare = ChildProcess(own, ["bare-proxy"], folder: folder)
            bareReady.append(try await bare.start().seconds)
            bare.stop()
        }
        let bare = ChildProcess(own, ["bare-proxy"], folder: folder)
        _ = try await bare.start()
        defer { bare.stop() }
        let seller = serve("seller", lightning: networkURL)
        let (facts, _) = try await seller.start()
        defer { seller.stop() }
        try await Task.sleep(for: .seconds(5))
        let idle = try seller.residentMegabytes()
        let bareIdle = try bare.residentMegabytes()
        let first = try await firstPaidCall(seller: try string("publicURL", in: facts), lightning: networkURL)
        return [
            Measure(
                name: "node-start-to-ready",
                value: Timing.median(ready) * 1000,
                unit: "ms",
                yardstick: Timing.median(bareReady) * 1000
            ),
            Measure(name: "node-idle-resident", value: idle, unit: "MB", yardstick: bareIdle),
            Measure(name: "node-after-first-call-resident", value: try seller.residentMegabytes(), unit: "MB"),
            Measure(name: "fresh-buyer-start-to-first-paid-call", value: first.whole * 1000, unit: "ms"),
            Measure(name: "fresh-buyer-first-paid-call", value: first.call * 1000, unit: "ms"),
        ]
    }

    /// A buyer's node that was never started before: from its start over filling its wallet to its first paid answer, as
    /// commands on a command line.
    private func firstPaidCall(seller: String, lightning: String) async throws -> (whole: Double, call: Double) {
        try await LocalServers.withUpstream(#"{"celsius":21}"#) { upstream in
            try child([
                "service", "add", "weather", "--upstream", "http://127.0.0.1:\(upstream)", "--price", "2sat", "--json",
                "--data", path("seller"),
            ]).finish()
            let clock = ContinuousClock()
            let began = clock.now
            let buyer = serve("buyer", lightning: lightning)
            _ = try await buyer.start()
            defer { buyer.stop() }
            try child(["wallet", "fund", "200sat", "--mint", seller + "/mint", "--json", "--data", path("buyer")])
                .finish()
            let call = try child(["pay", seller + "/s/weather/today", "--max", "5sat", "--data", path("buyer")])
                .finish()
            return (Timing.inSeconds(clock.now - began), call.seconds)
        }
    }

    private func serve(_ name: String, lightning: String) -> ChildProcess {
        child([
            "serve", "--port", "0", "--json", "--data", path(name), "--set", "lightning.simulatedURL=\(lightning)",
        ])
    }

    private func child(_ arguments: [String]) -> ChildProcess {
        ChildProcess(mintmark, arguments, folder: folder)
    }

    private func string(_ key: String, in line: JSONValue) throws -> String {
        guard let text = line[key]?.stringValue else { throw BenchmarkError("a process did not say its `\(key)`") }
        return text
    }
}
