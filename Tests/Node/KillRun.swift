import CanonicalJSON
import Foundation
import NIOHTTP1
import Synchronization
import TestSupport

/// One world, killed again and again, with what it must add up to.
final class KillRun: Sendable {
    private static let prices =
        [("/now/*", 2), ("/held/*", 2), ("/long/*", 4), ("/late-fail/*", 2)] + dear.map { ("/now/dear-\($0)", $0) }
    /// Prices for which the buyer's pool may hold no coin, so that a call has to fill it first.
    private static let dear = [512, 256, 128, 64, 32, 16, 8]

    /// How a call with one key ended.
    private enum Ending: Sendable, Equatable {
        case served(body: String, receiptID: String?)
        case refunded
    }

    private struct State {
        var random: SeededRandom
        var calls = 0
        var kills = 0
        /// Charged by the keys that were served.
        var charged: Int64 = 0
        /// Times it went so, by what was found on disk.
        var outcomes: [String: Int] = [:]
        var missed: [String] = []
        var slowestSeconds = 0.0
    }

    private let world: World
    private let state: Mutex<State>
    private let began = ContinuousClock.now

    init(_ world: World, seed: UInt64) async throws {
        self.world = world
        state = Mutex(State(random: SeededRandom(seed: seed)))
        for isIdempotent in [false, true] { try await sell(isIdempotent ? "steady" : "weather", isIdempotent) }
        _ = try await fundFully(2048)
    }

    /// Puts the upstream on sale; where it may be called twice, an interrupted call goes on with the retry.
    private func sell(_ name: String, _ isIdempotent: Bool) async throws {
        let service: JSONValue = [
            "name": .string(name), "idempotent": .bool(isIdempotent),
            "upstream": .string("http://127.0.0.1:\(world.upstreamPort)"),
            "prices": .array(
                Self.prices.map { path, price in ["path": .string(path), "amount": .string(String(price))] }
            ),
        ]
        let added = try await world.seller.call(.POST, "/api/services", service)
        guard added.status == 201 else { throw ServerProcess.NotReady(description: "\(added)") }
    }

    // MARK: One kill

    /// Makes calls, kills, starts again, and sees every call to its end.
    /// - Returns: what does not add up.
    func kill(at moment: KillMoment) async throws -> [String] {
        let start = ContinuousClock.now
        if moment.isRefill { _ = try await fundFully(1024) }
        let path = moment.isRefill ? try dearPath() : moment.path
        let main = newKey()
        var keys = [main]
        // Others at the same time, sometimes.
        if !moment.isFunding { for _ in 0..<random(0...2) { keys.append(newKey()) } }
        world.upstream.hold()
        let calls = keys.map { key in
            let path = key == main ? path : "/now/call"
            return Task { [self] in
                if moment.isFunding {
                    _ = try? await world.fund(64)
                } else {
                    _ = try? await world.buyer.pay(url(path, key), key: key)
                }
            }
        }
        if moment == .sellerDuringRefund || moment == .buyerDuringRefund { world.upstream.release() }
        let hit = try await wait(for: moment, key: main)
        if !hit { state.withLock { $0.missed.append(moment.rawValue) } }
        try await Task.sleep(for: .microseconds(random(0...moment.maximumDelay)))
        try await strike(moment, key: main, hit: hit)
        world.upstream.release()
        try await restart(moment)
        for call in calls { await call.value }

        var problems: [String] = []
        if moment.isFunding {
            problems += try await collectFundings()
        } else {
            for key in keys { problems += try await settle(key, path: key == main ? path : "/now/call") }
        }
        problems += try await balance()
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        state.withLock { $0.slowestSeconds = max($0.slowestSeconds, seconds) }
        return problems
    }

    /// A path whose price the coins in the pool cannot make.
    private func dearPath() throws -> String {
        let held = try Books(world.buyer).texts(
            "SELECT DISTINCT CAST(amount AS TEXT) FROM wallet_proofs WHERE seller IS NOT NULL AND state = 'unspent'"
        )
        return "/now/dear-\(Self.dear.first { !held.contains(String($0)) } ?? Self.dear[0])"
    }

    private func random(_ range: ClosedRange<Int>) -> Int {
        state.withLock { Int.random(in: range, using: &$0.random) }
    }

    /// A call's idempotency key; its first word is the service that is called.
    private func newKey() -> String {
        state.withLock { state in
            state.calls += 1
            let service = Bool.random(using: &state.random) ? "steady" : "weather"
            return "\(service)-\(state.calls)-\(UInt32.random(in: .min ... .max, using: &state.random))"
        }
    }

    /// The key stands in the query too, so that the seller's tables can be asked for it.
    private func url(_ path: String, _ key: String) -> String {
        "\(world.seller.url)/s/\(key.prefix { $0 != "-" })\(path)?key=\(key)"
    }

    private func wait(for moment: KillMoment, key: String) async throws -> Bool {
        switch moment.trigger {
        case .buyerRow(let sql):
            return try await Books(world.buyer).waits(forRow: sql, [key], timeoutSeconds: 8)
        case .sellerRow(let sql):
            return try await Books(world.seller).waits(forRow: sql, [key], timeoutSeconds: 8)
        case .upstreamHasCall:
            return try await waits { self.world.upstream.calls(key) > 0 }
        case .upstreamHasAnswered:
            return try await waits { self.world.upstream.hasAnswered(key) }
        }
    }

    private func waits(_ condition: () -> Bool) async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(8)
        while ContinuousClock.now < deadline {
            if condition() { return true }
            try await Task.sleep(for: .microseconds(200))
        }
        return false
    }

    private func strike(_ moment: KillMoment, key: String, hit: Bool) async throws {
        let victims: [TestedNode] =
            switch moment.victim {
            case .buyer: [world.buyer]
            case .seller: [world.seller]
            case .both: [world.buyer, world.seller]
            }
        for victim in victims { victim.process.signal(SIGKILL) }
        for victim in victims { await victim.kill() }
        let claim = try Books(world.seller).text("SELECT state FROM gateway_claims WHERE instr(target, ?) > 0", [key])
        let payment = try Books(world.buyer).text("SELECT state FROM wallet_payments WHERE idempotency_key = ?", [key])
        var found =
            "\(moment.rawValue)\(hit ? "" : " (missed)"): claim \(claim ?? "none"), payment \(payment ?? "none")"
        if moment.isFunding {
            let funding = try Books(world.buyer).text(
                "SELECT state FROM wallet_fundings ORDER BY created_at DESC LIMIT 1"
            )
            found = "\(moment.rawValue): funding \(funding ?? "none")"
        }
        state.withLock { state in
            state.kills += victims.count
            state.outcomes[found, default: 0] += 1
        }
    }

    private func restart(_ moment: KillMoment) async throws {
        switch moment.victim {
        case .buyer: try await world.buyer.start()
        case .seller: try await world.seller.start()
        case .both:
            async let buyer: Void = world.buyer.start()
            async let seller: Void = world.seller.start()
            _ = try await (buyer, seller)
        }
        guard moment == .sellerTwice else { return }
        try await Task.sleep(for: .microseconds(random(0...150_000)))
        await world.seller.kill()
        state.withLock { $0.kills += 1 }
        try await world.seller.start()
    }

    // MARK: What became of it

    /// Asks with the same key until the call has an end; then once more.
    private func settle(_ key: String, path: String) async throws -> [String] {
        guard let first = try await ending(key, path: path) else { return ["\(key): no end within 60 s"] }
        var problems: [String] = []
        let calls = world.upstream.calls(key)
        if calls > 1, key.hasPrefix("weather") { problems.append("\(key): the upstream was called \(calls) times") }
        let receipts = try Books(world.buyer).number(
            "SELECT count(*) FROM wallet_payments WHERE idempotency_key = ? AND state IN ('served', 'sent', 'pending')",
            [key]
        )
        switch first {
        case .served(let body, _):
            let rule = Self.prices.first { $0.0 == path } ?? Self.prices.first { path.hasPrefix($0.0.dropLast()) }
            let price = Int64(rule?.1 ?? 0)
            state.withLock { $0.charged += price }
            if receipts != 1 { problems.append("\(key): \(receipts) payments for one key") }
            if body != world.upstream.answer(key) {
                problems.append("\(key): the answer is not the upstream's: \(body.prefix(100))")
            }
            let again = try await ending(key, path: path)
            if again != first {
                problems.append("\(key): the retry got another answer: \(String(describing: again).prefix(200))")
            }
        case .refunded:
            if receipts != 0 { problems.append("\(key): refunded and paid") }
        }
        state.withLock { state in
            let name = if case .served = first { "served" } else { "refunded" }
            state.outcomes["ended as \(name)", default: 0] += 1
        }
        return problems
    }

    private func ending(_ key: String, path: String) async throws -> Ending? {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            let paid = try? await world.buyer.pay(url(path, key), key: key)
            let state = try Books(world.buyer).text(
                "SELECT state FROM wallet_payments WHERE idempotency_key = ? AND state <> 'refused'",
                [key]
            )
            if state == "refunded" { return .refunded }
            if state == "served", let paid, paid.status == 200 {
                return .served(body: paid.body, receiptID: paid.receiptID)
            }
            if state == "refunding" { _ = try? await world.buyer.call(.POST, "/api/payments/resume", [:]) }
            try await Task.sleep(for: .milliseconds(20))
        }
        return nil
    }

    /// Fetches the coins of every invoice that was paid.
    private func collectFundings() async throws -> [String] {
        let deadline = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < deadline {
            for quote in try Books(world.buyer).texts(
                "SELECT quote FROM wallet_fundings WHERE state IN ('open', 'paying')"
            ) {
                _ = try? await world.buyer.call(.POST, "/api/wallet/fund/\(quote)")
            }
            let seller = try Books(world.seller).sums()
            if seller.unissued == 0, try world.paidOverLightning() == seller.circulating { return [] }
            try await Task.sleep(for: .milliseconds(50))
        }
        return ["coins that were paid for did not come within 30 s"]
    }

    private func fundFully(_ amount: UInt64) async throws -> Bool {
        let reply = try await world.fund(amount)
        guard reply.json["state"]?.stringValue == "issued" else {
            throw ServerProcess.NotReady(description: "funding: \(reply)")
        }
        return true
    }

    // MARK: Adding up

    /// Compares the books of both nodes with each other, with the Lightning network's, and with what was charged.
    private func balance(timeoutSeconds: Double = 45) async throws -> [String] {
        let deadline = ContinuousClock.now + .seconds(timeoutSeconds)
        var problems: [String] = []
        // Two databases cannot be read at one instant; coins on their way to the mint stand in both for a moment, and an
        // exchange that was given up while the mint was down is taken up every 30 s.
        repeat {
            problems = try mismatches()
            if problems.isEmpty { break }
            try await Task.sleep(for: .milliseconds(25))
        } while ContinuousClock.now < deadline
        for node in [world.seller, world.buyer] {
            let audit = try await node.call(.POST, "/api/audit", [:])
            if audit.json["findings"]?.arrayValue?.isEmpty != true { problems.append("\(node.name)'s audit: \(audit)") }
        }
        return problems
    }

    private func mismatches() throws -> [String] {
        let seller = try Books(world.seller).sums()
        let buyer = try Books(world.buyer).sums()
        let funded = try world.paidOverLightning()
        let charged = state.withLock { $0.charged }
        var problems: [String] = []
        func equal(_ what: String, _ left: Int64, _ right: Int64) {
            if left != right { problems.append("\(what): \(left) is not \(right) (seller \(seller); buyer \(buyer))") }
        }
        equal("ecash circulating, and paid over Lightning", seller.circulating + seller.unissued, funded)
        equal(
            "what all hold, and ecash circulating",
            buyer.wallet + seller.wallet + seller.unredeemed,
            seller.circulating
        )
        equal("what the buyer lost, and what its served keys cost", funded - seller.unissued - buyer.wallet, charged)
        equal("the seller's revenue, and what served keys cost", seller.revenue, charged)
        equal("owed for open calls", seller.escrow, 0)
        equal("losses", seller.losses + buyer.losses, 0)
        equal("open calls and exchanges", seller.open + buyer.open, 0)
        return problems
    }

    /// After the last kill: everything is redeemed, a clean stop and start change nothing, and both audits are clean.
    func end() async throws -> [String] {
        var problems: [String] = []
        let deadline = ContinuousClock.now + .seconds(20)
        while try Books(world.seller).sums().unredeemed != 0, ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(50))
        }
        if try Books(world.seller).sums().unredeemed != 0 { problems.append("proofs are not redeemed within 20 s") }
        for node in [world.buyer, world.seller] {
            let status = await node.process.stop()
            if status != 0 {
                problems.append("\(node.name) stopped with status \(status): \(node.process.log().suffix(2000))")
            }
        }
        for node in [world.seller, world.buyer] { try await node.start() }
        problems += try await balance()
        for node in [world.seller, world.buyer] {
            let audit = try await node.command("status", "--audit", "--json")
            if audit.status != 0 { problems.append("\(node.name): \(audit)") }
        }
        return problems
    }

    func report() -> String {
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        return state.withLock { state in
            let lines = state.outcomes.sorted { $0.key < $1.key }.map { "  \($0.value) × \($0.key)" }
            return """
                \(state.kills) kills, \(state.calls) calls, \(state.charged) sat charged, \(Int(seconds)) s, \
                slowest \((state.slowestSeconds * 10).rounded() / 10) s, missed: \(state.missed)
                \(lines.joined(separator: "\n"))
                """
        }
    }
}
