internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Foundation
internal import Lightning
internal import LightningBackends
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Node
internal import Storage
internal import Synchronization

/// A `mintmark serve` process on the gossip network, which sells one service; spoken to over its socket and its port.
struct TradingNode: Sendable {
    let name: String
    let home: String
    let url: String
    let did: String
    let http: HTTPClient
    var serviceURL: String { url + "/s/weather/today" }

    /// Calls the operator's API.
    func call(_ method: HTTPMethod, _ path: String, _ body: JSONValue? = nil) async throws -> JSONValue {
        guard let socket = URL(httpURLWithSocketPath: NodeFiles.socketPath(in: home), uri: path) else {
            throw BenchmarkError("\(home) is no place for a socket")
        }
        var request = HTTPClientRequest(url: socket.absoluteString)
        request.method = method
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(body.serialized())
        }
        let response = try await http.execute(request, timeout: .seconds(60))
        let bytes = [UInt8](buffer: try await response.body.collect(upTo: 1 << 20))
        guard (200..<300).contains(response.status.code) else {
            throw BenchmarkError("\(name): \(path): \(String(decoding: bytes.prefix(300), as: UTF8.self))")
        }
        return try JSONValue.parse(bytes)
    }

    /// Where other nodes dial it.
    func gossipAddress() async throws -> String {
        guard let address = try await call(.GET, "/api/node").object("gossip").array("addresses").first?.stringValue
        else {
            throw BenchmarkError("\(name) is not on the gossip network")
        }
        return address
    }

    /// Calls the service that it sells.
    /// - Returns: the status, and the code of what was wrong.
    func visit(_ headers: [(String, String)]) async throws -> (status: UInt, code: String) {
        var request = HTTPClientRequest(url: serviceURL)
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        let response = try await http.execute(request, timeout: .seconds(30))
        let bytes = [UInt8](buffer: try await response.body.collect(upTo: 1 << 20))
        let code = (try? JSONValue.parse(bytes))?["code"]?.stringValue ?? ""
        return (response.status.code, code)
    }

    /// Tokens of one sat of the node's own mint, locked to it as seller.
    func tokens(_ count: Int, paidBy payer: SimulatedBackend) async throws -> [String] {
        let mint = RemoteMint(http: http, url: url + "/mint") { invoice in
            _ = try await payer.pay(invoice: BOLT11Invoice(decoding: invoice), maximumFeeMsat: 100_000)
        }
        let key = try await call(.GET, "/api/node").string("sellerKey")
        let address = try MintURL(url + "/mint")
        return try await mint.proofs(try await mint.keyset(), count) {
            try SpendingSecret(
                kind: SpendingSecret.p2pk,
                nonce: Hex.encode(SecureRandom.bytes(16)),
                data: key,
                tags: []
            ).serialized()
        }.map { try Token(mint: address, unit: .sat, proofs: [$0]).serialized() }
    }
}

/// Nodes on this machine that sell to the agents of the first of them, and know each other by gossip through it.
final class TradingNodes: Sendable {
    let nodes: [TradingNode]
    let payer: SimulatedBackend
    private let http: HTTPClient
    private let lightning: String
    private let processes: ChildProcesses
    var issuer: TradingNode { nodes[0] }

    private init(
        _ nodes: [TradingNode],
        _ payer: SimulatedBackend,
        _ http: HTTPClient,
        _ lightning: String,
        _ processes: ChildProcesses
    ) {
        self.nodes = nodes
        self.payer = payer
        self.http = http
        self.lightning = lightning
        self.processes = processes
    }

    /// The status of what anybody may ask.
    func get(_ url: String) async throws -> UInt {
        let response = try await http.execute(HTTPClientRequest(url: url), timeout: .seconds(30))
        _ = try await response.body.collect(upTo: 1 << 20)
        return response.status.code
    }

    /// Starts so many, measures with them, and ends them.
    /// - Returns: one measure of that name that says what is missing, where `mintmark` was not built.
    static func measures(
        _ name: String,
        _ unit: String,
        with count: Int,
        _ work: (TradingNodes) async throws -> [Measure]
    ) async throws -> [Measure] {
        guard let mintmark = RunningNode.executable else {
            return [Measure(name: name, value: nil, unit: unit, note: RunningNode.missing)]
        }
        let folder = FileManager.default.temporaryDirectory.appending(path: "mm-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let http = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
        let processes = ChildProcesses(mintmark, folder)
        defer { processes.stop() }
        do {
            let lightning = try await processes.start([
                "lightning-simulator", "--port", "0", "--json", "--data", folder.appending(path: "l").path,
            ]).string("url")
            let payer = try SimulatedBackend(
                url: lightning,
                token: SimulatedNetwork.newToken(),
                httpClient: http,
                clock: .system,
                logger: LocalServers.logger
            )
            try await payer.openAccount(name: "benchmark")
            var nodes: [TradingNode] = []
            for number in 0..<count {
                nodes.append(try await start("node \(number)", processes, lightning, http))
            }
            let market = TradingNodes(nodes, payer, http, lightning, processes)
            let result = try await LocalServers.withUpstream(#"{"celsius":21}"#) { upstream in
                try await market.open(upstream: upstream)
                return try await work(market)
            }
            try await http.shutdown()
            return result
        } catch {
            try? await http.shutdown()
            throw error
        }
    }

    private static func start(
        _ name: String,
        _ processes: ChildProcesses,
        _ lightning: String,
        _ http: HTTPClient,
        settings: [String] = []
    ) async throws -> TradingNode {
        let home = processes.folder.appending(path: name.replacing(" ", with: "-")).path
        try processes.finish(["init", "--json", "--data", home])
        let all = [
            "lightning.simulatedURL=\(lightning)", "gossip.listen=/ip4/127.0.0.1/tcp/0", "ecash.offlineCap=10000000",
            // All are on this machine.
            "gossip.connectionsPerAddress=64",
        ]
        let facts = try await processes.start(
            ["serve", "--port", "0", "--json", "--data", home] + (all + settings).flatMap { ["--set", $0] }
        )
        return TradingNode(
            name: name,
            home: home,
            url: try facts.string("publicURL"),
            did: try facts.string("did"),
            http: http
        )
    }

    /// Starts one more, which trusts the first node's issuer and begins with one of the others as its only peer.
    func join(_ name: String, at peer: TradingNode) async throws -> TradingNode {
        let address = try await peer.gossipAddress()
        return try await Self.start(
            name,
            processes,
            lightning,
            http,
            settings: ["gossip.trustedIssuers=\(issuer.did)", "gossip.bootstrap=\(address)"]
        )
    }

    /// Puts the service on sale at each, and waits until all hear the first.
    private func open(upstream: Int) async throws {
        for node in nodes {
            _ = try await node.call(
                .POST,
                "/api/services",
                [
                    "name": "weather", "upstream": .string("http://127.0.0.1:\(upstream)"),
                    "prices": [["path": "/*", "amount": "1", "unit": "sat"]],
                    "passport": ["trustedIssuers": [.string(issuer.did)], "capability": "invoke"],
                ]
            )
        }
        let address = try await issuer.gossipAddress()
        for node in nodes.dropFirst() {
            _ = try await node.call(.POST, "/api/peers", ["address": .string(address)])
            for attempt in 1... {
                let meshes = try await node.call(.GET, "/api/node").object("gossip").object("meshes")
                if try meshes.int64("mintmark/records/1/status") > 0 { break }
                guard attempt < 500 else { throw BenchmarkError("\(node.name) does not hear the first") }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    /// Runs `mintmark …` on the first node, as a person would, and waits for its end on a thread of its own.
    func command(_ arguments: [String]) async throws {
        let (processes, home) = (processes, issuer.home)
        try await NIOThreadPool.singleton.runIfActive {
            try processes.finish(arguments + ["--json", "--data", home])
        }
    }
}

/// `mintmark` processes, ended together.
private final class ChildProcesses: Sendable {
    let mintmark: URL
    let folder: URL
    private let running = Mutex<[Child]>([])

    /// Handed on, but used by nobody else.
    private struct Child: @unchecked Sendable {
        var process: ChildProcess
    }

    init(_ mintmark: URL, _ folder: URL) {
        self.mintmark = mintmark
        self.folder = folder
    }

    /// Starts one that goes on running.
    /// - Returns: its first line.
    func start(_ arguments: [String]) async throws -> JSONValue {
        let process = ChildProcess(mintmark, arguments, folder: folder)
        let child = Child(process: process)
        running.withLock { $0.append(child) }
        return try await process.start().line
    }

    /// Runs one to its end.
    func finish(_ arguments: [String]) throws {
        _ = try ChildProcess(mintmark, arguments, folder: folder).finish()
    }

    /// Ends those that were started, the last one first.
    func stop() {
        for child in running.withLock({ $0 }).reversed() { child.process.stop() }
    }
}
