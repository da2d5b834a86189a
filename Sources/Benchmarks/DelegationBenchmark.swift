internal import Budgets
internal import Cryptography
internal import Delegation
internal import Encodings
internal import Foundation
internal import Identity
internal import Logging
internal import SignedDocuments
internal import Storage

/// How many chains of three links one core verifies in a second, beside what their signatures alone would allow; and how
/// many debits fifty leaves of one tree make at once, durable.
struct DelegationBenchmark {
    var chains = 5_000
    var rounds = 25
    var seconds = 10.0
    var leaves = 50
    /// Calls that one leaf makes at once.
    var lanes = 4

    private static let target = "http://127.0.0.1:8402/s/weather/today"

    /// Three links: the root, a branch, a leaf.
    private struct Tree {
        let keys: [Ed25519.PrivateKey]
        let now: Timestamp

        func link(_ from: Int, _ to: Int, budget: UInt64?) throws -> Delegation {
            try Delegation.issue(
                by: keys[from],
                to: DIDKey(keys[to].publicKey),
                subject: DIDKey(keys[0].publicKey),
                command: Command("/pay"),
                policy: PaymentLimits(perCall: 100, unit: "sat", depth: 3).policy(),
                expires: now.adding(seconds: 86_400),
                terms: ProfileTerms(
                    budget: try budget.map { try Budget($0, unit: "sat") },
                    accounting: from == 0
                        ? try AccountingNode(did: DIDKey(keys[0].publicKey), url: "http://127.0.0.1:8402") : nil
                )
            )
        }

        func invocation(_ actor: Int, _ links: [Delegation], call: UInt64) throws -> Invocation {
            let arguments = CallArguments(
                amount: 1,
                unit: "sat",
                depth: links.count,
                method: "GET",
                target: DelegationBenchmark.target,
                digest: Hashing.sha256([]),
                call: Hashing.sha256(Array("\(actor) \(call)".utf8))
            )
            return try Invocation.issue(
                by: keys[actor],
                subject: DIDKey(keys[0].publicKey),
                command: .paidCall,
                arguments: arguments.pairs,
                proofs: links.map(\.cid),
                expires: now.adding(seconds: 600)
            )
        }
    }

    func run() async throws -> [Measure] { try verifying() + (try await debiting()) }

    /// From the envelopes' bytes, as a verifier that saw none of them before.
    private func verifying() throws -> [Measure] {
        let now = WallClock.system.now()
        let tree = Tree(keys: (0..<4).map { _ in Ed25519.PrivateKey() }, now: now)
        let links = [
            try tree.link(0, 1, budget: 1000), try tree.link(1, 2, budget: 500), try tree.link(2, 3, budget: nil),
        ]
        let envelopes = links.map(\.bytes)
        let invocation = try tree.invocation(3, links, call: 1).bytes
        let rules = ChainRules(now: now, trustedRoots: [DIDKey(tree.keys[0].publicKey)])
        let message = SecureRandom.bytes(64)
        let signature = try tree.keys[0].sign(message)
        let each = chains / rounds
        var chain: [Double] = []
        var called: [Double] = []
        var floor: [Double] = []
        for _ in 0..<rounds {
            floor.append(
                try Timing.seconds {
                    for _ in 0..<each where !tree.keys[0].publicKey.isValid(signature: signature, for: message) {
                        throw BenchmarkError("a good signature did not verify")
                    }
                }
            )
            chain.append(
                try Timing.seconds {
                    for _ in 0..<each { try DelegationChain(envelopes.map { try Delegation(bytes: $0) }).verify(rules) }
                }
            )
            called.append(
                try Timing.seconds {
                    for _ in 0..<each {
                        let links = try envelopes.map { try Delegation(bytes: $0) }
                        try DelegationChain(links).verify(Invocation(bytes: invocation), rules)
                    }
                }
            )
        }
        return [
            Measure.rate("delegation-verify-three-links-one-core", each: each, chain, floor: floor, perFloor: 3),
            Measure.rate(
                "delegation-verify-three-links-and-call-one-core",
                each: each,
                called,
                floor: floor,
                perFloor: 4
            ),
        ]
    }

    /// Fifty leaves under five branches of one root, verified and debited through the office, on a disk.
    private func debiting() async throws -> [Measure] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mintmark-budgets-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let database = try Database(
            path: folder.path + "/node.sqlite",
            migrations: IdentitySchema.migrations + BudgetTables.migrations,
            logger: Logger(label: "benchmark")
        )
        let now = WallClock.system.now()
        let tree = Tree(keys: (0..<(6 + leaves)).map { _ in Ed25519.PrivateKey() }, now: now)
        let office = BudgetOffice(database: database, signer: DocumentSigner(tree.keys[0]), clock: .system) { _ in
            RootAuthority()
        }
        let root = try tree.link(0, 1, budget: 1 << 50)
        let branches = try (0..<4).map { try tree.link(1, 2 + $0, budget: 1 << 40) }
        let seconds = seconds
        let lanes = lanes
        let began = ContinuousClock.now
        let deadline = began + .seconds(seconds)
        let count = try await withThrowingTaskGroup(of: Int.self) { group in
            for leaf in 0..<leaves {
                let actor = 6 + leaf
                let links = [root, branches[leaf % 4], try tree.link(2 + leaf % 4, actor, budget: nil)]
                for lane in 0..<lanes {
                    group.addTask {
                        var made = 0
                        while ContinuousClock.now < deadline {
                            let call = try tree.invocation(actor, links, call: UInt64(lane * 1_000_000 + made))
                            _ = try await office.ticket(call, chain: DelegationChain(links))
                            made += 1
                        }
                        return made
                    }
                }
            }
            return try await group.reduce(0, +)
        }
        let took = Timing.inSeconds(ContinuousClock.now - began)
        let findings = try await office.audit()
        await database.close()
        guard findings.isEmpty else { throw BenchmarkError(findings.joined(separator: "; ")) }
        return [Measure(name: "budget-debits-50-leaves", value: Double(count) / took, unit: "1/s", yardstick: 2000)]
    }
}
