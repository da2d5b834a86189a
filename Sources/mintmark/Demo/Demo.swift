import ArgumentParser
import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import NIOCore
import NIOHTTP1
import Node
import Passports
import Receipts

/// The main job, told step by step: an agent registered, a service sold, paid per call, revoked, refused.
final class Demo {
    let report: DemoReport
    let folder: String
    let seller: DemoNode
    let buyer: DemoNode
    let lightning: DemoProcess
    let service: DemoProcess
    let http = HTTPClient(eventLoopGroupProvider: .singleton)
    /// Three more that sell to the buyer's agents, to see how soon each of them hears of a revocation.
    var shops: [DemoNode] = []
    let environment: [String: String]
    private let keeps: Bool
    var servicePort = 0
    var passportID = ""
    var receiptID = ""
    /// From the moment when the service was put on sale.
    var foundMilliseconds = 0.0
    /// What the buyer found in its own index of what is for sale.
    var found = FoundService(name: "", seller: "", url: "", amount: 0, unit: "")

    init(json: Bool, keeps: Bool) async throws {
        report = DemoReport(json: json)
        self.keeps = keeps
        folder = NSTemporaryDirectory() + "mintmark-demo-\(getpid())"
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700]
        )
        let lightningPort = try await DemoProcess.freePort()
        environment = [
            "MINTMARK_LIGHTNING_SIMULATED_URL": "http://127.0.0.1:\(lightningPort)",
            "MINTMARK_GOSSIP_LISTEN": "/ip4/127.0.0.1/tcp/0",
        ]
        lightning = DemoProcess(
            "the Lightning simulator",
            ["lightning-simulator", "--port", String(lightningPort), "--data", folder],
            environment: [:],
            logPath: folder + "/lightning.log"
        )
        service = DemoProcess(
            "the weather service",
            ["demo-service"],
            environment: [:],
            logPath: folder + "/service.log"
        )
        seller = try await DemoNode("seller", in: folder, environment: environment)
        buyer = try await DemoNode("buyer", in: folder, environment: environment)
    }

    /// - Returns: whether every step went well.
    func run() async -> Bool {
        report.opening(
            "Mintmark: two nodes on this machine, and three more at the end. All money is TEST MONEY, worth nothing.\nData: \(folder)"
        )
        do {
            try await setUp()
            try await sell()
            try await find()
            try await payAndProve()
            try await buyByEscrow()
            try await survive()
            try await meet()
            try await end()
        } catch {
            if !report.failed { report.closing("The demonstration could not go on: \(error)") }
        }
        await stop()
        report.closing(
            report.failed
                ? "A step failed. The nodes' logs were in \(folder)\(keeps ? "" : " (run with --keep to look at them)")."
                : "Done. Next, the same by hand: mintmark --help"
        )
        return !report.failed
    }

    private func stop() async {
        for process in (shops + [seller, buyer]).map(\.process) + [service, lightning] { process.stop() }
        for client in (shops + [seller, buyer]).map(\.client) { try? await client?.shutdown() }
        try? await http.shutdown()
        if !keeps { try? FileManager.default.removeItem(atPath: folder) }
    }

    /// A call without a wallet, as any HTTP client makes it.
    func get(_ url: String, headers: [(String, String)] = []) async throws -> (
        status: Int, headers: HTTPHeaders, body: String
    ) {
        try await Self.get(url, headers: headers, by: http)
    }

    static func get(_ url: String, headers: [(String, String)], by http: HTTPClient) async throws -> (
        status: Int, headers: HTTPHeaders, body: String
    ) {
        var request = HTTPClientRequest(url: url)
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        let response = try await http.execute(request, timeout: .seconds(30))
        let body = try await response.body.collect(upTo: 1 << 20)
        return (Int(response.status.code), response.headers, String(buffer: body))
    }

    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        if !condition { throw Failure(message()) }
    }
}

/// One of the demonstration's nodes: its process, and the socket it is spoken to through.
final class DemoNode {
    let name: String
    let directory: String
    let port: Int
    let process: DemoProcess
    var did = ""
    var client: NodeClient?
    var url: String { "http://127.0.0.1:\(port)" }

    init(_ name: String, in folder: String, environment: [String: String]) async throws {
        self.name = name
        directory = "\(folder)/\(name)"
        port = try await DemoProcess.freePort()
        process = DemoProcess(
            "the \(name)",
            ["serve", "--data", directory, "--port", String(port)],
            environment: environment,
            logPath: "\(folder)/\(name).log"
        )
    }

    /// Makes the keys.
    func make() throws {
        did = try NodeMaking.make(in: directory, words: Mnemonic(), asksForPassphrase: false).did
    }

    /// Has it hear what an issuer tells by gossip, from its next start on.
    func trust(_ issuer: String) throws {
        let settings: JSONValue = ["gossip": ["trustedIssuers": [.string(issuer)]]]
        try Data(settings.serialized()).write(to: URL(filePath: directory + "/config.json"))
    }

    /// Where others reach it on the gossip network.
    func gossipAddress() async throws -> JSONValue {
        let gossip = try await call(.get, "/api/node").object("gossip")
        guard let address = try gossip.array("addresses").first else {
            throw Failure("the \(name) is not on the gossip network")
        }
        return address
    }

    /// Waits until it passes on what it hears of a topic to some peer.
    func isInMesh(_ kind: String) async throws -> Bool {
        let meshes = try await call(.get, "/api/node").object("gossip").object("meshes")
        return try meshes.optionalInt64("mintmark/records/1/\(kind)") ?? 0 > 0
    }

    /// - Returns: how long it took until the node was ready, in milliseconds.
    func start() async throws -> Double {
        let clock = ContinuousClock()
        let begin = clock.now
        try await process.start(untilLine: "mintmark \(NodeFacts.version) is ready")
        if client == nil { client = NodeClient(directory: directory) }
        return (clock.now - begin).milliseconds
    }

    func call(_ method: Verb, _ path: String, _ body: JSONValue? = nil) async throws -> JSONValue {
        guard let client else { throw Failure("the \(name) is not running") }
        return try await client.call(method, path, body)
    }

    /// What the wallet holds, wherever it lies: free, locked to sellers, or on its way.
    func holdings() async throws -> UInt64 {
        try await call(.get, "/api/wallet/balance").array("mints").reduce(0) { sum, mint in
            sum + ["available", "locked", "pending"].reduce(0) { $0 + (UInt64(mint.shown($1)) ?? 0) }
        }
    }
}
