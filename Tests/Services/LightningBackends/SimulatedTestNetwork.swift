import AsyncHTTPClient
import Encodings
import Foundation
import Lightning
import Logging
import Storage
import Synchronization
import TestSupport
import Testing

@testable import LightningBackends

/// A clock that tests set.
final class TestClock: Sendable {
    private let instant = Mutex(Timestamp(secondsSince1970: 1_795_000_000))

    var now: Timestamp { instant.withLock { $0 } }
    var wall: WallClock { WallClock { self.now } }

    func advance(milliseconds: Int64) {
        instant.withLock { $0 = $0.adding(milliseconds: milliseconds) }
    }
}

/// A simulated network in a folder of its own, which can be killed and opened again.
final class SimulatedTestNetwork: Sendable {
    let folder: TemporaryFolder
    let clock = TestClock()
    private let terms: SimulatedNetwork.Terms
    private let current: Mutex<SimulatedNetwork>
    private let crashes = Mutex(0)

    init(terms: SimulatedNetwork.Terms = SimulatedNetwork.Terms()) throws {
        folder = try TemporaryFolder()
        self.terms = terms
        current = Mutex(try Self.open(folder.path, clock, terms))
    }

    var network: SimulatedNetwork { current.withLock { $0 } }

    private static func open(
        _ folder: String,
        _ clock: TestClock,
        _ terms: SimulatedNetwork.Terms
    ) throws -> SimulatedNetwork {
        try SimulatedNetwork(
            path: folder + "/simulated.sqlite",
            clock: clock.wall,
            logger: Logger(label: "test"),
            terms: terms
        )
    }

    /// Ends the process, as far as the database can tell: what stands in its files at this moment, with the log not
    /// folded in, is all that the next one finds.
    func crash() async throws {
        let number = crashes.withLock { count in
            count += 1
            return count
        }
        let old = network
        let next = folder.path + "/after-crash-\(number)"
        try FileManager.default.createDirectory(atPath: next, withIntermediateDirectories: false)
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(
                atPath: old.database.path + suffix,
                toPath: next + "/simulated.sqlite" + suffix
            )
        }
        let fresh = try Self.open(next, clock, terms)
        current.withLock { $0 = fresh }
        await old.close()
    }

    /// A new account's token.
    func account(_ name: String) async throws -> String {
        let token = SimulatedNetwork.newToken()
        _ = try await network.openAccount(token: token, name: name)
        return token
    }

    func backend(_ token: String) -> EmbeddedBackend { EmbeddedBackend(network, token: token) }
}

/// Runs `body` against a server on a port of the system's choice.
func withServer<Result: Sendable>(
    _ network: SimulatedNetwork,
    _ body: @escaping @Sendable (_ url: String) async throws -> Result
) async throws -> Result {
    let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
    var logger = Logger(label: "test server")
    logger.logLevel = .error
    let server = SimulatedNetworkServer(network, logger: logger)
    return try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask {
            try await server.run { port in
                continuation.yield(port)
                continuation.finish()
            }
            return nil
        }
        group.addTask {
            var found: Int?
            for await port in ports { found = port }
            return try await body("http://127.0.0.1:\(try #require(found))")
        }
        defer { group.cancelAll() }
        while let finished = try await group.next() {
            if let result = finished { return result }
        }
        throw LightningError(.backendFailure, "the server ended before the test")
    }
}
