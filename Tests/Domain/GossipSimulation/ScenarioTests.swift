import Libp2p
import Testing

@testable import GossipSimulation

/// Small networks; `Tests/Simulation/run` plays the large ones, and the attacks, with the release build.
@Suite("The simulated gossip network")
struct ScenarioTests {
    private static func scenario(_ change: (inout GossipScenario) -> Void = { _ in }) -> GossipScenario {
        var scenario = GossipScenario()
        scenario.nodes = 40
        scenario.degree = 10
        scenario.messages = 20
        scenario.warmUpMilliseconds = 5_000
        change(&scenario)
        return scenario
    }

    @Test("All nodes hear of all messages, and the same seed gives the same run")
    func same() throws {
        let first = try Self.scenario().run()
        #expect(first.deliveredShare == 1 && first.expected == 20 * 39)
        #expect(first.copiesPerDelivery >= 1 && first.copiesPerDelivery < 9)
        // Nobody hears of it before a link's least latency has passed.
        #expect(first.spreads.allSatisfy { ($0.first ?? 0) >= 22 })
        let again = try Self.scenario().run()
        #expect(again.spreads == first.spreads && again.copies == first.copies)
        #expect(try Self.scenario { $0.seed = 2 }.run().spreads != first.spreads)
    }

    @Test("What is lost on the way comes by gossip, and who comes later misses nothing that is published then")
    func lossAndChurn() throws {
        let lossy = try Self.scenario { $0.loss = 0.05 }.run()
        #expect(lossy.deliveredShare >= 0.999)
        let churning = try Self.scenario {
            $0.churnPerMinute = 3
            $0.intervalMilliseconds = 500
            $0.settleMilliseconds = 15_000
        }.run()
        // Forty nodes, three times a minute, for ten seconds: twenty have gone.
        #expect(churning.audiences.contains { $0 < 30 })
        #expect(churning.deliveredShare >= 0.999)
    }

    @Test("Halves that hear nothing of each other miss each other's messages, and no later ones")
    func partition() throws {
        let report = try Self.scenario {
            $0.degree = 16
            $0.isPartitioned = true
            $0.intervalMilliseconds = 1_000
        }.run()
        // Of what gossip still remembers when they meet again some comes late; the first are gone.
        #expect(report.spreads[..<5].allSatisfy { $0.count == 19 })
        #expect(report.spreads[10...].allSatisfy { $0.count == 39 })
    }

    @Test(
        "Attackers that outnumber the honest keep hardly anything from them",
        arguments: GossipScenario.Attack.allCases
    )
    func attacks(attack: GossipScenario.Attack) throws {
        let report = try Self.scenario {
            $0.attack = attack
            $0.sybils = 80
        }.run()
        #expect(report.expected == 20 * 39)
        #expect(report.deliveredShare >= 0.995, "\(attack): \(report.deliveredShare)")
    }

    @Test("Numbers that make no network are refused")
    func refused() {
        let changes: [(inout GossipScenario) -> Void] = [
            { $0.nodes = 1 }, { $0.degree = 1 }, { $0.degree = 40 }, { $0.latency = 0 }, { $0.loss = 1 },
            { $0.jitter = 2 }, { $0.churnPerMinute = -1 }, { $0.messages = 0 }, { $0.messageBytes = 100_000 },
            { $0.intervalMilliseconds = 0 }, { $0.sybils = 3 }, { $0.attack = .censor },
            { $0.nodes = .max },
        ]
        for change in changes {
            #expect(throws: GossipScenarioError.self) { try Self.scenario(change).run() }
        }
    }

    @Test("The picture names its numbers and draws both curves")
    func picture() throws {
        let report = try Self.scenario().run()
        let svg = SpreadPicture(report).svg
        #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
        #expect(svg.contains("<polygon ") && svg.contains("<polyline ") && svg.contains("100.0 % delivered"))
        #expect(report.reached(after: 0).most == 0 && report.reached(after: 10_000).least == 1)
    }
}
