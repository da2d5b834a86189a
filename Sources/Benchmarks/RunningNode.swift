internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Foundation
internal import Lightning
internal import LightningBackends
internal import NIOPosix
internal import Storage

/// A `mintmark serve` process beside this executable, its Lightning simulator, and an account there that pays.
struct RunningNode {
    let process: ChildProcess
    let http: HTTPClient
    let payer: SimulatedBackend
    let url: String
    /// Runs a command of the program on this node.
    let command: (_ arguments: [String]) throws -> Void
    var port: Int { URL(string: url)?.port ?? 0 }

    var mint: RemoteMint {
        let payer = payer
        return RemoteMint(http: http, url: url + "/mint") { invoice in
            _ = try await payer.pay(invoice: BOLT11Invoice(decoding: invoice), maximumFeeMsat: 100_000)
        }
    }

    /// Starts both, runs `work`, and ends them.
    /// - Returns: nil where `mintmark` was not built.
    static func with<T>(_ settings: [String] = [], _ work: (RunningNode) async throws -> T) async throws -> T? {
        guard let mintmark = executable else { return nil }
        let folder = FileManager.default.temporaryDirectory.appending(path: "mm-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func child(_ arguments: [String]) -> ChildProcess { ChildProcess(mintmark, arguments, folder: folder) }
        let lightning = child([
            "lightning-simulator", "--port", "0", "--json", "--data", folder.appending(path: "l").path,
        ])
        let networkURL = try await lightning.start().line["url"]?.stringValue ?? ""
        defer { lightning.stop() }
        let home = folder.appending(path: "n").path
        try child(["init", "--json", "--data", home]).finish()
        let node = child(
            [
                "serve", "--port", "0", "--json", "--data", home, "--set", "lightning.simulatedURL=\(networkURL)",
            ] + settings
        )
        let facts = try await node.start().line
        defer { node.stop() }
        let http = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        do {
            let payer = try SimulatedBackend(
                url: networkURL,
                token: SimulatedNetwork.newToken(),
                httpClient: http,
                clock: .system,
                logger: LocalServers.logger
            )
            try await payer.openAccount(name: "benchmark")
            let running = RunningNode(
                process: node,
                http: http,
                payer: payer,
                url: facts["publicURL"]?.stringValue ?? "",
                command: { try child($0 + ["--json", "--data", home]).finish() }
            )
            let result = try await work(running)
            try await http.shutdown()
            return result
        } catch {
            try? await http.shutdown()
            throw error
        }
    }

    /// `mintmark` beside this program; nil where it was not built.
    static var executable: URL? {
        guard let own = Bundle.main.executableURL?.resolvingSymlinksInPath() else { return nil }
        let mintmark = own.deletingLastPathComponent().appending(path: "mintmark")
        return FileManager.default.isExecutableFile(atPath: mintmark.path) ? mintmark : nil
    }

    static let missing = "mintmark is not beside this program: swift build -c release --product mintmark"
}
