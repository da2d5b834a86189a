import AsyncHTTPClient
import Cashu
import Encodings
import Foundation
import Lightning
import LightningBackends
import Logging
import Storage
import Synchronization
import TestSupport
import Wallet

/// A node's mint under the load of many wallets, killed at random moments, and the sums that must come out.
///
/// The wallets run in the test's process, each with a database and a Lightning account of its own, so that they live
/// through the kills as customers on other machines would.
final class MintKillRun: Sendable {
    /// One customer.
    private struct Client: Sendable {
        let name: String
        let wallet: Wallet
        let lightning: SimulatedBackend
        let database: Storage.Database
    }

    private struct State {
        var random: SeededRandom
        /// Tokens that were sent and that somebody still has to claim.
        var tokens: [String] = []
        var done: [String: Int] = [:]
        var refused: [String: Int] = [:]
        var problems: [String] = []
        var isOver = false
    }

    private let world: World
    private let mint: MintURL
    private let http: HTTPClient
    private let clients: [Client]
    private let state: Mutex<State>
    private let seed: UInt64
    private let began = ContinuousClock.now

    init(_ world: World, clients count: Int, seed: UInt64) async throws {
        self.world = world
        self.seed = seed
        mint = try MintURL(world.seller.url + "/mint")
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
        let logger = Logger(label: "client") { _ in SwiftLogNoOpLogHandler() }
        var clients: [Client] = []
        for number in 0..<count {
            let name = "client-\(number)"
            let database = try Database(
                path: world.folder.path + "/\(name).sqlite",
                migrations: Wallet.migrations,
                logger: logger
            )
            let lightning = try SimulatedBackend(
                url: world.simulatorURL,
                token: SimulatedNetwork.newToken(),
                httpClient: http,
                clock: .system,
                logger: logger
            )
            try await lightning.openAccount(name: name)
            let wallet = try await Wallet(
                database: database,
                seed: (0..<64).map { _ in UInt8(truncatingIfNeeded: number + 1) },
                mints: HTTPMintConnector(client: http),
                lightning: lightning,
                clock: .system,
                configuration: WalletConfiguration(attempts: 2),
                logger: logger
            )
            try await wallet.addMint(mint.string)
            clients.append(Client(name: name, wallet: wallet, lightning: lightning, database: database))
        }
        self.clients = clients
        state = Mutex(State(random: SeededRandom(seed: seed)))
    }

    // MARK: The load and the kills

    /// Kills the node so often while the clients go on; then sees every operation to its end.
    /// - Returns: what does not add up.
    func run(kills: Int) async throws -> [String] {
        try await withThrowingTaskGroup(of: Void.self) { group in
            // Also where something fails here: the clients would go on for ever.
            defer { state.withLock { $0.isOver = true } }
            for (number, client) in clients.enumerated() {
                group.addTask { await self.work(client, number: number) }
            }
            // Some coins first, so that every kind of work is under way at the first kill.
            try await Task.sleep(for: .milliseconds(500))
            for _ in 0..<kills {
                // Not before something was done since the last start, and then at any moment.
                await waitForProgress(of: random(1...20))
                try await Task.sleep(for: .microseconds(random(0...30_000)))
                await world.seller.kill()
                // Sometimes once more while it recovers.
                if random(0...9) == 0 {
                    let starting = Task { try await self.world.seller.start() }
                    try await Task.sleep(for: .microseconds(random(0...400_000)))
                    await world.seller.kill()
                    // On a slow machine the kill may have come before the process did.
                    if (try? await starting.value) != nil { await world.seller.kill() }
                }
                try await world.seller.start()
            }
            state.withLock { $0.isOver = true }
            try await group.waitForAll()
        }
        try await settle()
        return try await compare()
    }

    /// - Parameter count: operations that end well; on a slow machine as many as end in time.
    private func waitForProgress(of count: Int) async {
        func done() -> Int { state.withLock { $0.done.values.reduce(0, +) } }
        let target = done() + count
        let deadline = ContinuousClock.now + .seconds(8)
        while done() < target, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(1)) }
    }

    private func random(_ range: ClosedRange<Int>) -> Int {
        state.withLock { Int.random(in: range, using: &$0.random) }
    }

    /// One customer's day: funds, sends, claims others' tokens, pays invoices, each with what the seed says.
    private func work(_ client: Client, number: Int) async {
        var random = SeededRandom(seed: seed &+ UInt64(number) &* 7919)
        do {
            try await fund(client, 512)
        } catch {
            // Its round collects it where it was paid for.
        }
        while !state.withLock({ $0.isOver }) {
            // What lies about unclaimed stays little, so that the coins go round.
            let isFull = state.withLock { $0.tokens.count > 32 }
            let choice = isFull ? 5 : Int.random(in: 0..<10, using: &random)
            let amount = UInt64.random(in: 1...40, using: &random)
            do {
                switch choice {
                case 0...1: try await fund(client, amount * 8)
                case 2...4: try await send(client, amount)
                case 5...7: try await claim(client)
                default: try await pay(client, amount)
                }
            } catch let error as WalletError {
                await failed(client, error)
            } catch {
                note("\(client.name): \(error)")
            }
        }
    }

    private func fund(_ client: Client, _ amount: UInt64) async throws {
        _ = try await client.wallet.fund(amount, at: mint)
        count("minted")
    }

    private func send(_ client: Client, _ amount: UInt64) async throws {
        let token = try await client.wallet.send(amount, at: mint)
        state.withLock { $0.tokens.append(token.token) }
        count("sent")
    }

    private func claim(_ client: Client) async throws {
        let token = state.withLock { $0.tokens.isEmpty ? nil : $0.tokens.removeFirst() }
        guard let token else { return try await Task.sleep(for: .milliseconds(5)) }
        do {
            _ = try await client.wallet.receive(token)
            count("claimed")
        } catch let error as WalletError {
            // Nothing was sent, or the wallet goes on with it by itself: in both cases another try tells.
            if error.code != .tokenSpent { state.withLock { $0.tokens.append(token) } }
            throw error
        }
    }

    private func pay(_ client: Client, _ amount: UInt64) async throws {
        let payee = clients[((clients.firstIndex { $0.name == client.name } ?? 0) + 1) % clients.count]
        let invoice: BOLT11Invoice
        do {
            invoice = try await payee.lightning.createInvoice(
                amountMsat: amount * 1000,
                description: "melt",
                expirySeconds: 3600
            )
        } catch {
            return note("the simulator failed: \(error)")
        }
        _ = try await client.wallet.payInvoice(invoice.text, from: mint, maximumFee: 100)
        count("melted")
    }

    /// What may happen to a customer while the mint goes up and down; anything else is a finding.
    private func failed(_ client: Client, _ error: WalletError) async {
        count("refused: \(error.code.rawValue)", refused: true)
        switch error.code {
        case .mintUnreachable, .outcomeUnknown, .insufficientFunds, .invoiceUnpaid, .tokenSpent: break
        case .mintRefused where error.mintCode == nil || error.mintCode == 11002: break
        case .paymentFailed: break
        default: note("\(client.name): \(error.code.rawValue): \(error.message)")
        }
        if error.code == .outcomeUnknown { _ = try? await client.wallet.recover() }
        // No use in asking a mint that is down as fast as can be; nor without coins.
        if error.code != .tokenSpent { try? await Task.sleep(for: .milliseconds(50)) }
    }

    private func count(_ what: String, refused: Bool = false) {
        state.withLock { state in
            if refused { state.refused[what, default: 0] += 1 } else { state.done[what, default: 0] += 1 }
        }
    }

    private func note(_ problem: String) {
        state.withLock { if $0.problems.count < 20 { $0.problems.append(problem) } }
    }

    // MARK: What became of it

    /// Every wallet recovers until nothing is open; then every token that still lies about is claimed.
    private func settle() async throws {
        let deadline = ContinuousClock.now + .seconds(90)
        while ContinuousClock.now < deadline {
            for client in clients { _ = try? await client.wallet.recover() }
            let open = try clients.reduce(0) { try $0 + openWork(of: $1) }
            let unissued = try Books(world.seller).sums().unissued
            if open == 0, unissued == 0 { break }
            try await Task.sleep(for: .milliseconds(50))
        }
        // Those too that came of a send whose caller was told that the outcome is not known.
        var tokens = Set(state.withLock { $0.tokens })
        for client in clients { tokens.formUnion(try await client.wallet.sentTokens().map(\.token)) }
        for token in tokens.sorted() {
            do {
                _ = try await clients[0].wallet.receive(token)
            } catch let error as WalletError where error.code == .tokenSpent {
                // An attempt whose answer was lost has claimed it.
            }
        }
    }

    private func openWork(of client: Client) throws -> Int64 {
        try Books(path: client.database.path).number(
            """
            SELECT (SELECT count(*) FROM wallet_operations WHERE state = 'planned')
                + (SELECT count(*) FROM wallet_fundings WHERE state = 'paying')
            """
        )
    }

    /// Σ issued − Σ redeemed = Σ held; what Lightning saw is what the mint booked; each proof and quote once.
    private func compare() async throws -> [String] {
        var problems = state.withLock { $0.problems }
        func equal(_ what: String, _ left: Int64, _ right: Int64) {
            if left != right { problems.append("\(what): \(left) and \(right)") }
        }
        let books = Books(world.seller)
        var held: Int64 = 0
        var owned: Set<String> = []
        for client in clients {
            let own = Books(path: client.database.path)
            equal("\(client.name)'s open work", try openWork(of: client), 0)
            equal("\(client.name)'s disputes", try own.sums(of: ["wallet:disputed"]), 0)
            held += try own.number("SELECT coalesce(sum(amount), 0) FROM wallet_proofs WHERE state = 'unspent'")
            let coins = try own.texts("SELECT hex(y) FROM wallet_proofs WHERE state = 'unspent'")
            for coin in coins where !owned.insert(coin).inserted { problems.append("two wallets hold \(coin)") }
            problems += try await client.wallet.audit().map { "\(client.name): \($0)" }
        }
        let spent = Set(try books.texts("SELECT hex(y) FROM mint_proofs WHERE pending = 0"))
        if !owned.isDisjoint(with: spent) { problems.append("wallets hold coins that the mint says are spent") }
        equal(
            "held proofs of melts without an end",
            try books.number("SELECT count(*) FROM mint_proofs WHERE pending = 1"),
            0
        )
        let sums = try books.sums()
        equal("in circulation, and held by the wallets", sums.circulating, held)
        let promised = try books.number("SELECT coalesce(sum(amount), 0) FROM mint_promises WHERE c IS NOT NULL")
        let redeemed = try books.number("SELECT coalesce(sum(amount), 0) FROM mint_proofs WHERE pending = 0")
        equal("issued − redeemed, and held", promised - redeemed, held)
        let issued = try books.number("SELECT coalesce(sum(amount), 0) FROM mint_mint_quotes WHERE state = 2")
        let lightning = Books(path: world.folder.path + "/lightning-simulator/lightning.sqlite")
        let paid = try world.paidOverLightning()
        let melted = try books.number("SELECT coalesce(sum(amount), 0) FROM mint_melt_quotes WHERE state = 2")
        equal("paid over Lightning to the mint and by it, and its quotes", paid, issued + melted)
        let twice = try lightning.number(
            "SELECT count(*) FROM (SELECT payment_hash FROM simulated_payments WHERE state = 1 GROUP BY 1 HAVING count(*) > 1)"
        )
        equal("invoices paid twice", twice, 0)
        let audit = try await world.seller.command("status", "--audit", "--json")
        if audit.status != 0 { problems.append("audit: \(audit)") }
        return problems
    }

    func report() -> String {
        let seconds = Int((ContinuousClock.now - began) / .seconds(1))
        return state.withLock { state in
            "\(seconds) s, \(state.done.sorted { $0.key < $1.key }), \(state.refused.sorted { $0.key < $1.key })"
        }
    }

    func end() async {
        for client in clients { await client.database.close() }
        try? await http.shutdown()
    }
}
