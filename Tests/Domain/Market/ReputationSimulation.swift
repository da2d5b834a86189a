import Cryptography
import Encodings
import SignedDocuments
import TestSupport

@testable import Market

/// A hundred nodes buy of each other three thousand times; a share of them is bad in some way. Honest buyers choose by the engine
/// itself, a tenth of the time at random. What is counted is how often they were served badly.
struct ReputationSimulation {
    enum Attack: CaseIterable {
        /// They serve badly, and say the contrary of what they got.
        case individual
        /// They serve badly, tell the truth of honest nodes, and praise each other for calls that they pay among themselves.
        case collective
        /// As a collective, but every other call is served well.
        case camouflage
        /// Half serve perfectly and praise the other half, who serve badly.
        case spies
        /// They serve well until half of the run is over; what comes after is counted.
        case traitors
        /// As a collective, with one of the three seeds.
        case badSeed
    }

    struct Row: CustomStringConvertible {
        var attack: Attack
        var badNodes: Int
        /// Per cent of honest buyers' calls that failed in the simulation that the formula was chosen by.
        var known: Double
        var description: String { "\(attack) \(badNodes) %" }
    }

    static let rows = [
        Row(attack: .individual, badNodes: 30, known: 8.6), Row(attack: .individual, badNodes: 70, known: 14.3),
        Row(attack: .collective, badNodes: 30, known: 8.6), Row(attack: .collective, badNodes: 70, known: 14.3),
        Row(attack: .camouflage, badNodes: 27, known: 7.5), Row(attack: .spies, badNodes: 40, known: 6.3),
        Row(attack: .traitors, badNodes: 30, known: 14.7), Row(attack: .badSeed, badNodes: 30, known: 11.9),
    ]

    static let count = 100
    static let calls = 3_000
    /// Calls that a collective pays within itself, for each call of the others.
    static let washed = 5
    /// A period is a hundred calls: each node buys once in it on average.
    static let periodSeconds: Int64 = 100

    /// Always the same.
    static let dids: [DIDKey] = (0..<count).compactMap { number in
        let seed = [UInt8](repeating: 0, count: 30) + [UInt8(number >> 8), UInt8(number & 0xFF)]
        return (try? Ed25519.PrivateKey(seed: seed)).map { DIDKey($0.publicKey) }
    }
    static let numbers = Dictionary(uniqueKeysWithValues: dids.enumerated().map { ($1, $0) })

    let row: Row
    private var random: SeededRandom
    private var reputation: Reputation
    private let seeds: Set<Int>
    private let honest: [Int]

    init(_ row: Row, seed: UInt64) {
        self.row = row
        random = SeededRandom(seed: seed)
        // The bad ones are the first, the seeds the last; or one is bad.
        seeds = row.attack == .badSeed ? [0, 98, 99] : [97, 98, 99]
        honest = Array(row.badNodes..<Self.count)
        var parameters = Reputation.Parameters()
        parameters.periodSeconds = Self.periodSeconds
        reputation = Reputation(
            viewers: honest.map { Self.dids[$0] },
            seeds: seeds.sorted().map { Self.dids[$0] },
            parameters: parameters
        )
    }

    private func isBad(_ node: Int) -> Bool { node < row.badNodes }

    private func isSpy(_ node: Int) -> Bool { row.attack == .spies && node < row.badNodes && node >= row.badNodes / 2 }

    private mutating func serves(_ node: Int, at step: Int) -> Bool {
        let chance = Double.random(in: 0..<1, using: &random)
        guard isBad(node) else { return chance >= 0.05 }
        switch row.attack {
        case .individual, .collective, .badSeed: return false
        case .camouflage: return chance >= 0.5
        case .spies: return isSpy(node)
        case .traitors: return step < Self.calls / 2 && chance >= 0.05
        }
    }

    private mutating func record(_ judge: Int, _ judged: Int, _ isGood: Bool, at step: Int) {
        let call = SettledCall(
            role: .selling,
            judge: Self.dids[judge],
            judged: Self.dids[judged],
            outcome: isGood ? .good : .failed,
            at: Timestamp(secondsSince1970: Int64(step))
        )
        try? reputation.add(call, settles: false)
    }

    private mutating func anyOther(than node: Int) -> Int {
        let other = Int.random(in: 0..<(Self.count - 1), using: &random)
        return other < node ? other : other + 1
    }

    /// The best by the engine; any where it knows none.
    private mutating func choice(of buyer: Int, at step: Int) -> Int {
        if Double.random(in: 0..<1, using: &random) < 0.1 { return anyOther(than: buyer) }
        let now = Timestamp(secondsSince1970: Int64(step))
        reputation.settle(viewer: buyer - row.badNodes)
        let best = reputation.ranking(for: buyer - row.badNodes, at: now, most: 1).first
        return best.flatMap { Self.numbers[$0.did] } ?? anyOther(than: buyer)
    }

    /// The share of honest buyers' calls that failed, in per cent.
    mutating func run() -> Double {
        var (bought, failed) = (0, 0)
        for step in 0..<Self.calls {
            let buyer = Int.random(in: 0..<Self.count, using: &random)
            if isBad(buyer) && row.attack != .traitors {
                buyBadly(buyer, at: step)
            } else {
                let seller = isBad(buyer) ? anyOther(than: buyer) : choice(of: buyer, at: step)
                let isServed = serves(seller, at: step)
                record(buyer, seller, isServed, at: step)
                if !isBad(buyer) && (row.attack != .traitors || step >= Self.calls / 2) {
                    bought += 1
                    if !isServed { failed += 1 }
                }
            }
            washTrade(at: step)
        }
        return Double(failed) * 100 / Double(max(1, bought))
    }

    private mutating func buyBadly(_ buyer: Int, at step: Int) {
        let seller = anyOther(than: buyer)
        let isServed = serves(seller, at: step)
        let says = row.attack == .individual ? !isServed : isServed || isBad(seller)
        record(buyer, seller, says, at: step)
    }

    private mutating func washTrade(at step: Int) {
        let raised: Range<Int>
        switch row.attack {
        case .individual, .traitors: return
        case .spies: raised = 0..<(row.badNodes / 2)
        case .collective, .camouflage, .badSeed: raised = 0..<row.badNodes
        }
        for _ in 0..<Self.washed {
            let judge = Int.random(in: 0..<row.badNodes, using: &random)
            let judged = Int.random(in: raised, using: &random)
            if judge != judged { record(judge, judged, true, at: step) }
        }
    }
}
