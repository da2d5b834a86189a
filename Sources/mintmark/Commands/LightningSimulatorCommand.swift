import ArgumentParser
import CanonicalJSON
import Encodings
import Foundation
import LightningBackends
import Logging
import Node
import ServiceLifecycle
import Storage
import UnixSignals

struct LightningSimulatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lightning-simulator",
        abstract: "Run a Lightning network of TEST MONEY that nodes can reach.",
        discussion: """
            It holds balances, makes real signed invoices, and releases a preimage only to a payer that was debited. \
            Each node opens an account by itself and is given a million sat of TEST MONEY, which is worth nothing.
              mintmark lightning-simulator
              mintmark lightning-simulator --port 9735
            """
    )

    @Option(help: "The address to listen on.") var host = "127.0.0.1"
    @Option(help: "The port to listen on; 0 lets the system choose.") var port = 8499
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        do {
            var configuration = try NodeConfiguration.load(dataDirectory: "/nonexistent")
            configuration.logLevel = "warning"
            try NodeLogging.start(configuration)
            let folder = try DataDirectory(path: options.dataDirectory + "/lightning-simulator")
            let logger = Logger(label: "lightning-simulator")
            let database = try Database(
                path: folder.file("lightning.sqlite"),
                migrations: SimulatedNetwork.migrations,
                logger: logger
            )
            let network = SimulatedNetwork(database: database, clock: .system)
            let server = SimulatedNetworkServer(network, host: host, port: port, logger: logger)
            let host = host
            let json = options.json
            let service = SimulatorService(server: server) { port in
                if json {
                    Output.json(["ready": true, "url": .string("http://\(host):\(port)")])
                } else {
                    Output.line("Lightning simulator (TEST MONEY) is ready on http://\(host):\(port)")
                }
            }
            let group = ServiceGroup(
                services: [service],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger
            )
            try await group.run()
            await database.close()
        } catch {
            Failure.end(error, json: options.json)
        }
    }
}

/// Lets the simulator finish what is under way when it is told to stop.
private struct SimulatorService: Service {
    let server: SimulatedNetworkServer
    let onReady: @Sendable (Int) async -> Void

    func run() async throws {
        try await server.run(onReady: onReady)
    }
}
