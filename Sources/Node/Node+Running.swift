internal import AsyncHTTPClient
internal import AuditLog
internal import Budgets
internal import Encodings
internal import Foundation
internal import Gateway
internal import Hummingbird
internal import Identity
internal import Logging
internal import Mint
internal import ServiceLifecycle
internal import Settlement
internal import Storage
internal import Synchronization
internal import Trading
internal import UnixSignals
internal import Wallet
internal import WebServer
internal import Workers

extension Node {
    /// Listens until told to stop (SIGTERM, SIGINT, or cancellation), then finishes what is under way and closes
    /// everything.
    /// - Parameter onReady: called once, when every door is open.
    /// - Throws: an error whose text says what to do where a door cannot be opened.
    public func run(_ doors: Doors, onReady: @escaping @Sendable (NodeFacts) async -> Void) async throws {
        do {
            try await serve(doors, onReady: onReady)
        } catch {
            await close()
            throw Servers.explain(error, configuration: configuration)
        }
        await close()
    }

    /// Runs `body` while the node can be reached, then stops it.
    public func whileRunning<T: Sendable>(_ doors: Doors, _ body: () async throws -> T) async throws -> T {
        let (ready, announce) = AsyncStream<Void>.makeStream()
        let running = Task {
            defer { announce.finish() }
            try await run(doors) { _ in announce.yield() }
        }
        var iterator = ready.makeAsyncIterator()
        guard await iterator.next() != nil else {
            try await running.value
            throw ConfigurationError("the node stopped before it was ready")
        }
        do {
            let result = try await body()
            running.cancel()
            _ = try? await running.value
            return result
        } catch {
            running.cancel()
            _ = try? await running.value
            throw error
        }
    }

    private func serve(_ doors: Doors, onReady: @escaping @Sendable (NodeFacts) async -> Void) async throws {
        if doors == .everything { try await Servers.requireFreeAddress(configuration) }
        if fence.raised == nil { try await gateway.start() } else { try await gateway.load() }
        // So that the first question for `/health` already finds an answer.
        try? await probe.check()
        let opened = DoorCount(doors == .everything ? (gossip == nil ? 2 : 3) : 1)
        let announce: @Sendable () async -> Void = { if opened.open() { await onReady(await self.currentFacts()) } }
        let router = Router()
        OperatorRoutes(node: self).add(to: router.group("api"))
        var services: [any Service] = [
            try Servers.operatorServer(
                router.buildResponder(),
                path: NodeFiles.socketPath(in: configuration.dataDirectory),
                logger: logger,
                onListening: announce
            )
        ]
        if doors == .everything {
            let certificate = try Servers.certificate(configuration)
            if let certificate { services.append(CertificateWatch(certificate, logger: logger)) }
            let token = try operatorToken()
            services.append(
                Servers.publicServer(
                    PublicResponder(self, operatorToken: token),
                    configuration: configuration,
                    webSockets: webSockets,
                    quickAnswers: [HealthRoutes.path: { [health = HealthRoutes(node: self)] in health.quickAnswer() }],
                    gateway: gateway,
                    certificate: certificate,
                    logger: logger,
                    onListening: { _ in await announce() }
                )
            )
            services += rounds
            if let gossip { services.append(gossip.service(onListening: announce)) }
        }
        var group = ServiceGroupConfiguration(
            services: services.map { .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup) },
            gracefulShutdownSignals: doors == .everything ? [.sigterm, .sigint] : [],
            logger: logger
        )
        group.maximumGracefulShutdownDuration = .seconds(20)
        do {
            try await ServiceGroup(configuration: group).run()
        } catch is CancellationError {
            // The end of a temporary node.
        }
        unlink(NodeFiles.socketPath(in: configuration.dataDirectory))
    }

    /// The mint's WebSocket, also without the mint's own path before it: nutshell's wallet (0.21.0) leaves that out.
    /// Behind the fence it would tell states that the copy knows nothing of.
    private var webSockets: [WebSocketRoute] {
        guard let mint else { return [] }
        let fence = fence
        let route = mint.subscriptionRoute(under: "/mint") { fence.raised == nil }
        var short = route
        short.path = "/v1/ws"
        return [route, short]
    }

    private func operatorToken() throws -> [UInt8] {
        let path = directory.file(NodeFiles.operatorToken)
        guard let data = FileManager.default.contents(atPath: path), data.count >= 32, data.count <= 256 else {
            throw ConfigurationError("\(path) cannot be read: put 32 or more random characters in it, mode 0600")
        }
        return Array(String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines).utf8)
    }

    var payRoutes: PayRoutes {
        PayRoutes(
            buyer: buyer,
            registry: identity.registry,
            keys: identity.keys,
            budgets: budgets,
            purse: delegatedPurse,
            clock: .system,
            spoolFolder: directory.file("spool")
        )
    }

    /// What the node does by itself, again and again.
    private var rounds: [any Service] {
        let wallet = wallet
        let logger = logger
        let fence = fence
        var rounds: [any Service] = [
            Round("identity", everySeconds: 30) { [identity] in await identity.maintain() },
            Round("epoch", everySeconds: 60) {
                do {
                    try await fence.advance()
                } catch {
                    logger.warning("the epoch cannot be written", metadata: ["error": "\(error)"])
                }
            },
            Round("gateway", everySeconds: 2) { [gateway] in
                if fence.raised == nil { await gateway.housekeep() }
            },
            logRound,
            Round("wallet", everySeconds: 30) {
                guard fence.raised == nil else { return }
                do {
                    try await wallet.recover()
                } catch {
                    logger.warning("the wallet's recovery goes on later", metadata: ["error": "\(error)"])
                }
            },
            Round("jobs", everySeconds: 2) { [sellerDesk, buyerDesk, arbiterDesk] in
                guard fence.raised == nil else { return }
                await sellerDesk.advance()
                await buyerDesk.advance()
                await arbiterDesk.advance()
            },
            Round("bonds", everySeconds: 2) { [bonds] in
                guard fence.raised == nil else { return }
                await bonds.keeper.advance()
                await bonds.desk.advance()
                await bonds.claims.advance()
            },
            Round("notices") {
                while fence.raised != nil, !Task.isCancelled { try? await Task.sleep(for: .seconds(1)) }
                await wallet.watch()
            },
            Round("payments", everySeconds: 10) { [payRoutes, buyer] in
                guard fence.raised == nil else { return }
                do {
                    _ = try await payRoutes.resume()
                    _ = try await buyer.resumeRequestPayments()
                } catch {
                    logger.warning("open payments are taken up later", metadata: ["error": "\(error)"])
                }
            },
            Round("change", everySeconds: 3) { [payRoutes] in
                if fence.raised == nil { await payRoutes.collectChange() }
            },
            Round("delegations", everySeconds: 5) { [payRoutes] in
                guard fence.raised == nil else { return }
                do {
                    try await payRoutes.settleDelegations()
                } catch {
                    logger.warning("debits of delegations are settled later", metadata: ["error": "\(error)"])
                }
            },
            // So that nobody who asks waits for what came since.
            Round("calls", everySeconds: 30) { [calls] in
                do {
                    try await calls.follow()
                } catch {
                    logger.warning("calls are judged later", metadata: ["error": "\(error)"])
                }
            },
            Round("debits-past", everySeconds: 60) { [budgets] in
                do {
                    try await budgets.maintain()
                } catch {
                    logger.warning("old debits are folded later", metadata: ["error": "\(error)"])
                }
            },
        ]
        if let mint {
            rounds.append(
                Round("mint") {
                    while fence.raised != nil, !Task.isCancelled { try? await Task.sleep(for: .seconds(1)) }
                    await mint.run()
                }
            )
        }
        if let settlement {
            rounds.append(
                Round("settlement") {
                    while fence.raised != nil, !Task.isCancelled { try? await Task.sleep(for: .seconds(1)) }
                    await settlement.settler.run()
                }
            )
            rounds.append(
                Round("settlements-past", everySeconds: 86_400) {
                    do {
                        try await settlement.settler.forget()
                    } catch {
                        logger.warning("old settlements could not be removed", metadata: ["error": "\(error)"])
                    }
                }
            )
        }
        if let anchor = anchor?.anchor {
            rounds.append(
                Round("anchors", everySeconds: 5) {
                    if fence.raised == nil { await anchor.maintain() }
                }
            )
        }
        if let lightning {
            // Opens what could not be opened at the start, when the simulator was not there yet.
            rounds.append(Round("lightning", everySeconds: 10) { await lightning.prepare() })
        }
        return rounds
    }

    /// Logs what waits, twice a second, and beside that has the witnesses cosign it, for which no entry waits. They are asked
    /// before the first entry is added: a node that was set back to an older copy must not go on from there ([LOG-8]).
    private var logRound: any Service {
        Round("log") { [log, cosigning, fence, logger] in
            // First the fence, then the halt: a crash between the two leaves no money moving.
            let stopMoney: @Sendable () async throws -> Void = { try await fence.raise(reason: "log-rewritten") }
            await cosigning?.collect(beforeHalt: stopMoney)
            let mayGoOn: @Sendable () -> Bool = { fence.raised == nil && log.halted == nil }
            await withDiscardingTaskGroup { group in
                if let cosigning {
                    group.addTask {
                        while (try? await Task.sleep(for: .seconds(5))) != nil {
                            if mayGoOn() { await cosigning.collect(beforeHalt: stopMoney) }
                        }
                    }
                }
                repeat {
                    if mayGoOn() {
                        do {
                            try await log.drain()
                        } catch {
                            logger.warning("the log goes on later", metadata: ["error": "\(error)"])
                        }
                    }
                } while (try? await Task.sleep(for: .milliseconds(500))) != nil
            }
        }
    }

    /// Closes in the order that loses nothing: first what still writes, then the store, then the lock with the process.
    private func close() async {
        await gossip?.close()
        await gateway.shutdown()
        try? await http.shutdown()
        await lightning?.shutdown()
        await settlement?.shutdown()
        await anchor?.shutdown()
        await chains.shutdown()
        await workers.stop()
        // A copy of the database that was made while it ran is older than what is left now.
        try? await fence.advance()
        await database.close()
        await identity.nodeKeys.close()
    }
}

/// Counts the doors that are open; says once that all are.
private final class DoorCount: Sendable {
    private let missing: Mutex<Int>

    init(_ count: Int) { missing = Mutex(count) }

    func open() -> Bool {
        missing.withLock { missing in
            missing -= 1
            return missing == 0
        }
    }
}

/// Work that is done at the start and then every so often, until the node stops.
struct Round: Service {
    let name: String
    private let work: @Sendable () async -> Void

    /// - Parameter work: goes on until its task is cancelled.
    init(_ name: String, _ work: @escaping @Sendable () async -> Void) {
        self.name = name
        self.work = work
    }

    init(_ name: String, everySeconds: Int64, _ once: @escaping @Sendable () async -> Void) {
        self.init(name) {
            while !Task.isCancelled {
                await once()
                try? await Task.sleep(for: .seconds(everySeconds))
            }
        }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown { await work() }
    }
}
