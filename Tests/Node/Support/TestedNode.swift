import AsyncHTTPClient
import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Node
import TestSupport
import Testing

/// A node of the tests: a `mintmark serve` process, its data directory, and the socket it is spoken to through.
final class TestedNode: Sendable {
    /// What the operator's API said.
    struct Reply: Sendable, CustomStringConvertible {
        var status: Int
        var json: JSONValue
        var code: String? { json["code"]?.stringValue }
        var description: String { "\(status) \(String(decoding: json.serialized(), as: UTF8.self))" }
    }

    /// What a call through the node's wallet came to.
    struct Paid: Sendable, CustomStringConvertible {
        /// The service's own status; nil where the node answered with a problem instead.
        var status: Int?
        var body: String
        var receiptID: String?
        /// The problem's code.
        var code: String?
        var description: String { "\(status.map(String.init) ?? "-") \(code ?? "-") \(body.prefix(200))" }
    }

    let name: String
    let directory: String
    let port: Int
    let process: ServerProcess
    private let http: HTTPClient

    var url: String { "http://127.0.0.1:\(port)" }

    init(_ name: String, directory: String, port: Int, http: HTTPClient, settings: [String]) {
        self.name = name
        self.directory = directory
        self.port = port
        self.http = http
        process = ServerProcess(
            name,
            ["serve", "--json", "--data", directory] + settings.flatMap { ["--set", $0] },
            logPath: directory + ".log"
        )
    }

    /// Makes the keys and writes the settings that a command needs too.
    /// - Returns: what `init --json` printed.
    @discardableResult
    func make(simulatorURL: String) async throws -> JSONValue {
        let made = try await Program.run(["init", "--json", "--data", directory])
        guard made.status == 0 else { throw ServerProcess.NotReady(description: "init: \(made)") }
        let settings: JSONValue = [
            "http": ["port": .integer(Int64(port))], "lightning": ["simulatedURL": .string(simulatorURL)],
        ]
        try Data(settings.serialized()).write(to: URL(filePath: directory + "/config.json"))
        return made.json
    }

    /// Runs a command on this node's data directory, whether or not the node runs.
    func command(_ arguments: String..., input: String = "") async throws -> Program.Outcome {
        try await Program.run(arguments + ["--data", directory], input: input)
    }

    /// What of a delegation's budget is spent, as the node lists it.
    func spent(of cid: String) async throws -> String? {
        try await command("delegations", "list", "--json").json.array("delegations")
            .first { $0["cid"]?.stringValue == cid }?["spent"]?.stringValue
    }

    /// Calls the operator's API on the socket.
    func call(
        _ method: HTTPMethod,
        _ path: String,
        _ body: JSONValue? = nil,
        timeoutSeconds: Int64 = 90
    ) async throws -> Reply {
        var request = try request(method, path)
        if let body { request.body = .bytes(body.serialized()) }
        let response = try await http.execute(request, timeout: .seconds(timeoutSeconds))
        let bytes = [UInt8](buffer: try await response.body.collect(upTo: 16 << 20))
        let limits = JSONLimits(maximumBytes: 16 << 20, acceptsUInt64: true)
        return Reply(
            status: Int(response.status.code),
            json: bytes.isEmpty ? .null : try JSONValue.parse(bytes, limits: limits)
        )
    }

    private func request(_ method: HTTPMethod, _ path: String) throws -> HTTPClientRequest {
        guard let url = URL(httpURLWithSocketPath: NodeFiles.socketPath(in: directory), uri: path) else {
            throw ServerProcess.NotReady(description: "\(directory) is no place for a socket")
        }
        var request = HTTPClientRequest(url: url.absoluteString)
        request.method = method
        return request
    }

    /// Makes a paid call, as `mintmark pay` does.
    /// - Throws: where the node went away in the middle.
    func pay(_ url: String, key: String, maximum: UInt64 = 1000, agent: String? = nil) async throws -> Paid {
        var request = try request(.POST, "/api/pay")
        request.headers.add(name: PayHeader.url, value: url)
        request.headers.add(name: PayHeader.max, value: "\(maximum)sat")
        request.headers.add(name: "Idempotency-Key", value: key)
        if let agent { request.headers.add(name: PayHeader.agent, value: agent) }
        let response = try await http.execute(request, timeout: .seconds(90))
        let bytes = [UInt8](buffer: try await response.body.collect(upTo: 16 << 20))
        let text = String(decoding: bytes, as: UTF8.self)
        guard let status = response.headers.first(name: PayHeader.status).flatMap({ Int($0.prefix(3)) }) else {
            return Paid(status: nil, body: text, code: (try? JSONValue.parse(bytes))?["code"]?.stringValue)
        }
        let receipt = response.headers[PayHeader.header].first { $0.lowercased().hasPrefix("agent-receipt-id:") }
        return Paid(
            status: status,
            body: text,
            receiptID: receipt.map { $0.dropFirst("agent-receipt-id:".count).trimmingCharacters(in: .whitespaces) }
        )
    }

    func start() async throws {
        try await process.start()
    }

    func kill() async { await process.kill() }
}

/// A Lightning simulator, a node that sells, a node that buys, and the plain service that is sold.
struct World: Sendable {
    let folder: TemporaryFolder
    let simulator: ServerProcess
    let simulatorURL: String
    let seller: TestedNode
    let buyer: TestedNode
    let upstream: PlainUpstream
    let upstreamPort: Int
    let http: HTTPClient

    /// Makes it, runs `body`, and takes everything away again, also after a failure.
    static func with<T: Sendable>(
        sellerSettings: [String] = [],
        starts: Bool = true,
        _ body: @escaping @Sendable (World) async throws -> T
    ) async throws -> T {
        let upstream = PlainUpstream()
        return try await upstream.whileServing { upstreamPort in
            var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
            configuration.timeout.connect = .seconds(5)
            let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
            let world = try await World(upstream, upstreamPort, http, sellerSettings)
            do {
                try await world.simulator.start()
                try await world.seller.make(simulatorURL: world.simulatorURL)
                try await world.buyer.make(simulatorURL: world.simulatorURL)
                if starts {
                    async let seller: Void = world.seller.start()
                    async let buyer: Void = world.buyer.start()
                    _ = try await (seller, buyer)
                }
                let result = try await body(world)
                await world.end()
                return result
            } catch {
                await world.end()
                throw error
            }
        }
    }

    private init(_ upstream: PlainUpstream, _ upstreamPort: Int, _ http: HTTPClient, _ sellerSettings: [String])
        async throws
    {
        folder = try TemporaryFolder()
        self.upstream = upstream
        self.upstreamPort = upstreamPort
        self.http = http
        let ports = try await FreePorts.some(3)
        simulatorURL = "http://127.0.0.1:\(ports[0])"
        simulator = ServerProcess(
            "simulator",
            ["lightning-simulator", "--json", "--port", String(ports[0]), "--data", folder.path],
            logPath: folder.path + "/simulator.log"
        )
        seller = TestedNode(
            "seller",
            directory: folder.path + "/s",
            port: ports[1],
            http: http,
            settings: sellerSettings
        )
        buyer = TestedNode("buyer", directory: folder.path + "/b", port: ports[2], http: http, settings: [])
    }

    private func end() async {
        await seller.kill()
        await buyer.kill()
        await simulator.kill()
        try? await http.shutdown()
    }

    /// Buys ecash of the seller's mint.
    /// - Parameter node: whose wallet it is for; nil: the buyer's.
    func fund(_ amount: UInt64, _ node: TestedNode? = nil) async throws -> TestedNode.Reply {
        try await (node ?? buyer).call(
            .POST,
            "/api/wallet/fund",
            ["amount": .string(String(amount)), "mint": .string(seller.url + "/mint")]
        )
    }

    /// Puts the plain service on sale at the seller.
    /// - Parameter more: of `service add`.
    @discardableResult
    func sell(
        _ more: String...,
        named name: String = "weather",
        price: String = "2sat"
    ) async throws -> Program.Outcome {
        let added = try await Program.run(
            ["service", "add", name, "--json", "--upstream", "http://127.0.0.1:\(upstreamPort)", "--price", price]
                + more
                + ["--data", seller.directory]
        )
        #expect(added.status == 0, "\(added)")
        return added
    }

    /// Calls as any HTTP client does, without a wallet.
    func get(_ url: String, headers: [(String, String)] = []) async throws -> PlainAnswer {
        var request = HTTPClientRequest(url: url)
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        let response = try await http.execute(request, timeout: .seconds(30))
        let body = [UInt8](buffer: try await response.body.collect(upTo: 16 << 20))
        return PlainAnswer(status: Int(response.status.code), headers: response.headers, body: body)
    }
}

struct PlainAnswer: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var body: [UInt8]
    var text: String { String(decoding: body, as: UTF8.self) }
    var code: String? { (try? JSONValue.parse(body))?["code"]?.stringValue }
}

/// Ports for servers that are stopped and started again: below the range that the system takes outgoing connections'
/// ports from, so that none is taken while its server is down.
enum FreePorts {
    static func some(_ count: Int) async throws -> [Int] {
        var found: [Int] = []
        for _ in 0..<1000 where found.count < count {
            let port = Int.random(in: 15_000..<32_000)
            if !found.contains(port), await isFree(port) { found.append(port) }
        }
        guard found.count == count else { throw ServerProcess.NotReady(description: "no free ports") }
        return found
    }

    static func isFree(_ port: Int) async -> Bool {
        guard
            let channel = try? await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .bind(host: "127.0.0.1", port: port).get()
        else { return false }
        return (try? await channel.close()) != nil
    }
}
