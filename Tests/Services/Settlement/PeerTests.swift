import AsyncHTTPClient
import Ethereum
import Foundation
import Hummingbird
import Paywall
import Settlement
import Storage
import TestSupport
import Testing

/// What `Tests/Interop/x402_peer.py` tells of itself.
private enum PeerSettings {
    static let rpc = ProcessInfo.processInfo.environment["MINTMARK_PEER_RPC"]
    static let portFile = ProcessInfo.processInfo.environment["MINTMARK_PEER_PORT_FILE"] ?? ""
}

/// Our facilitator for `Tests/Interop/x402_peer.py`, on a real EVM that the script brings; without it there is nothing to do.
@Suite("The facilitator for the reference implementation", .enabled(if: PeerSettings.rpc != nil))
struct PeerTests {
    @Test("serves until the script removes the file that names the address")
    func serves() async throws {
        let folder = try TemporaryFolder()
        let database = try Database(
            path: folder.path + "/node.sqlite",
            migrations: SettlementTables.migrations,
            logger: SettlementFixture.logger
        )
        let settler = ChainSettler(
            chain: try JSONRPCChain(
                url: try #require(PeerSettings.rpc),
                chainID: StandInChain.token.chainID,
                client: SettlementFixture.client
            ),
            key: try EthereumKey(bytes: [UInt8](repeating: 0x21, count: 32)),
            configuration: SettlerConfiguration(
                tokens: [StandInChain.token.contract],
                payees: nil,
                maximumFeePerGas: UInt256(100_000_000_000),
                pollMilliseconds: 20
            ),
            database: database,
            clock: .system,
            logger: SettlementFixture.logger
        )
        let router = Router()
        FacilitatorRoutes(settler, logger: SettlementFixture.logger).add(to: router.group("x402"))
        try await serve(router) { url in
            try Data((url + "/x402").utf8).write(to: URL(filePath: PeerSettings.portFile), options: .atomic)
            while FileManager.default.fileExists(atPath: PeerSettings.portFile) {
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        await database.close()
    }
}
