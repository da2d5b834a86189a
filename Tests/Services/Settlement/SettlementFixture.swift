import AsyncHTTPClient
import CanonicalJSON
import Encodings
import Ethereum
import Foundation
import Hummingbird
import Logging
import NIOCore
import Paywall
import Settlement
import Storage
import Synchronization
import TestSupport
import WebServer

/// A clock that a test sets.
final class SetClock: Sendable {
    private let seconds = Mutex<Int64>(1_790_000_000)

    var wall: WallClock { WallClock { [self] in Timestamp(secondsSince1970: seconds.withLock { $0 }) } }

    func advance(_ by: Int64) { seconds.withLock { $0 += by } }
}

/// A router on a port of the system's choice while `work` runs.
func serve(_ router: Router<BasicRequestContext>, _ work: @escaping @Sendable (String) async throws -> Void)
    async throws
{
    let (ports, port) = AsyncStream.makeStream(of: Int.self)
    let application = Application(
        router: router,
        server: .plain(),
        configuration: .init(address: .hostname("127.0.0.1", port: 0)),
        onServerRunning: { channel in
            if let bound = channel.localAddress?.port { port.yield(bound) }
        },
        logger: SettlementFixture.logger
    )
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await application.run() }
        for await bound in ports {
            do {
                try await work("http://127.0.0.1:\(bound)")
            } catch {
                group.cancelAll()
                throw error
            }
            break
        }
        group.cancelAll()
        while (try? await group.next()) != nil {}
    }
}

/// A chain behind a real socket, a node's database, an operator's account, and a payer who can sign.
struct SettlementFixture: Sendable {
    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    /// Lives as long as the tests' process.
    static let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: SettlementHTTP.configuration)
    static let network = "eip155:84532"

    let chain: StandInChain
    let url: String
    let clock = SetClock()
    let folder: TemporaryFolder
    let database: Storage.Database
    let operatorKey: EthereumKey
    let payer: EthereumKey
    let payee: Address

    /// Serves the stand-in while `work` runs.
    static func run(_ work: @escaping @Sendable (SettlementFixture) async throws -> Void) async throws {
        let chain = StandInChain()
        let router = Router()
        router.post("/") { request, _ -> Response in
            let body = try await request.body.collect(upTo: 1 << 20)
            let question = try JSONValue.parse(Array(body.readableBytesView)).requireObject()
            var json: JSONObject = ["jsonrpc": "2.0", "id": question["id"] ?? .null]
            switch try chain.answer(question.string("method"), question.array("params")) {
            case .result(let value): json["result"] = value
            case .error(let code, let words): json["error"] = ["code": .integer(code), "message": .string(words)]
            case .proxyError:
                return Response(status: .badGateway, body: ResponseBody(byteBuffer: ByteBuffer(string: "bad gateway")))
            case .silence: try await Task.sleep(for: .seconds(8))
            }
            return Response(
                status: .ok,
                headers: [.contentType: "application/json"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: json.serialized()))
            )
        }
        try await serve(router) { url in
            let fixture = try SettlementFixture(chain: chain, url: url)
            try await work(fixture)
            await fixture.database.close()
        }
    }

    private init(chain: StandInChain, url: String) throws {
        self.chain = chain
        self.url = url
        folder = try TemporaryFolder()
        database = try Database(
            path: folder.path + "/node.sqlite",
            migrations: SettlementTables.migrations,
            logger: Self.logger
        )
        operatorKey = try EthereumKey(bytes: [UInt8](repeating: 0x21, count: 32))
        payer = try EthereumKey(bytes: [UInt8](repeating: 0x22, count: 32))
        payee = try EthereumKey(bytes: [UInt8](repeating: 0x23, count: 32)).address
        let (account, holder) = (operatorKey.address, payer.address)
        chain.change {
            $0.ledger.coins[account] = UInt256(1_000_000_000_000_000)
            $0.ledger.tokens[holder] = UInt256(1_000_000)
        }
    }

    var configuration: SettlerConfiguration {
        SettlerConfiguration(
            tokens: [StandInChain.token.contract],
            payees: [payee],
            maximumFeePerGas: UInt256(100_000),
            waitMilliseconds: 10,
            pollMilliseconds: 1
        )
    }

    /// - Parameter timeoutMilliseconds: short only where an answer is meant not to come.
    /// - Parameter waiting: what happens while the settler waits for a block.
    func settler(
        _ configuration: SettlerConfiguration? = nil,
        timeoutMilliseconds: Int64 = 30_000,
        waiting: @escaping @Sendable () -> Void = {}
    ) throws -> ChainSettler {
        ChainSettler(
            chain: try JSONRPCChain(
                url: url,
                chainID: StandInChain.token.chainID,
                client: Self.client,
                timeoutMilliseconds: timeoutMilliseconds
            ),
            key: operatorKey,
            configuration: configuration ?? self.configuration,
            database: database,
            clock: clock.wall,
            logger: Self.logger,
            sleep: { _ in waiting() }
        )
    }

    func authorization(_ number: UInt8 = 1, value: UInt64 = 10_000, seconds: UInt64 = 600) throws
        -> TransferAuthorization
    {
        try TransferAuthorization(
            from: payer.address,
            to: payee,
            value: UInt256(value),
            validAfter: .zero,
            validBefore: UInt256(1_790_000_000 + seconds),
            nonce: [UInt8](repeating: number, count: 32)
        )
    }

    func requirements(_ value: UInt64 = 10_000) -> X402.Requirements {
        X402.Requirements(
            scheme: "exact",
            network: Self.network,
            amount: UInt256(value),
            asset: StandInChain.token.contract.description,
            payTo: payee.description,
            maxTimeoutSeconds: 600,
            extra: ["name": "USDC", "version": "2"]
        )
    }

    func request(_ authorization: TransferAuthorization, resource: String = "https://a.example/x")
        -> X402.FacilitatorRequest
    {
        let signature = authorization.sign(for: StandInChain.token, key: payer)
        let payload = X402.ExactEVM.Payload(authorization: authorization, signature: signature.bytes)
        let requirements = requirements(authorization.value.uint64Value ?? 0)
        return X402.FacilitatorRequest(
            payment: X402.PaymentPayload(
                accepted: requirements,
                payload: payload.json,
                resource: X402.Resource(url: resource)
            ),
            requirements: requirements
        )
    }

    /// Another account's transaction, as it comes to the chain from elsewhere.
    func elsewhere(_ data: [UInt8], key: EthereumKey? = nil, nonce: UInt64 = 0) throws -> SignedTransaction {
        let key = try key ?? EthereumKey(bytes: [UInt8](repeating: 0x31, count: 32))
        chain.change { $0.ledger.coins[key.address] = UInt256(1_000_000_000_000_000) }
        let signed = FeeMarketTransaction(
            chainID: StandInChain.token.chainID,
            nonce: nonce,
            maximumPriorityFeePerGas: UInt256(50_000),
            maximumFeePerGas: UInt256(90_000),
            gasLimit: 100_000,
            to: StandInChain.token.contract,
            data: data
        ).signed(by: key)
        chain.change { $0.pool.insert(signed, at: 0) }
        return signed
    }
}
