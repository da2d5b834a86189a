import Cryptography
import GossipSimulation
import TestSupport
import Testing

@testable import Libp2p

@Suite("GossipSub")
struct GossipSubTests {
    @Test("A message reaches every node once, by meshes that keep their size")
    func spread() throws {
        var world = try SimulatedNetwork(60)
        world.linkRandomly(degree: 20, seed: 1)
        try world.subscribeAll("news")
        try world.run(milliseconds: 5_000)
        // Between two heartbeats one or two may have gone.
        for node in world.nodes { #expect((3...12).contains(node.meshPeers(of: "news").count)) }
        world.resetCopies()
        var ids: [GossipMessageID] = []
        for number in 0..<10 {
            ids.append(
                try world.publish(number * 6, "news", [UInt8](repeating: 1, count: 100), sequence: UInt64(number))
            )
            try world.run(milliseconds: 200)
        }
        try world.run(milliseconds: 2_000)
        for (node, taken) in world.taken.enumerated() {
            let others = ids.enumerated().filter { $0.offset * 6 != node }.map(\.element)
            #expect(
                taken.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
                    == others.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
            )
        }
        // Degree 6 to 12 and a flood at the publisher: copies stay within that for each of the 59 deliveries.
        #expect(world.copies <= 10 * 59 * 8)
    }

    @Test("Two hundred nodes, 25 ms apart: all hear of all within 350 ms, with at most seven copies a delivery")
    func size() throws {
        var parameters = GossipParameters()
        // Nobody forges here, and signatures would be all of the time.
        parameters.checksSignatures = false
        var world = try SimulatedNetwork(200, parameters: parameters)
        world.linkRandomly(degree: 20, seed: 7)
        try world.subscribeAll("news")
        try world.run(milliseconds: 10_000)
        world.resetCopies()
        for number in 0..<50 {
            _ = try world.publish(number * 4, "news", [UInt8](repeating: 1, count: 500), sequence: UInt64(number))
            try world.run(milliseconds: 200)
        }
        try world.run(milliseconds: 3_000)
        #expect(world.latencies.count == 50 * 199)
        #expect(world.latencies.sorted()[world.latencies.count * 99 / 100] <= 350)
        #expect(world.copies <= 7 * 50 * 199)
    }

    @Test("The same seed gives the same run")
    func deterministic() throws {
        func run() throws -> [[GossipMessageID]] {
            var world = try SimulatedNetwork(20)
            world.linkRandomly(degree: 8, seed: 3)
            try world.subscribeAll("news")
            try world.run(milliseconds: 3_000)
            for number in 0..<5 { _ = try world.publish(number, "news", [1], sequence: UInt64(number)) }
            try world.run(milliseconds: 3_000)
            return world.taken
        }
        #expect(try run() == run())
    }

    @Test("What a mesh loses, gossip brings: IHAVE, IWANT")
    func recovery() throws {
        var world = try SimulatedNetwork(10)
        for one in 0..<10 { for other in 0..<one { world.link(one, other) } }
        try world.subscribeAll("news")
        try world.run(milliseconds: 3_000)
        // Node 9 gets no message by itself; only what it asks for.
        var asked = 0
        world.passes = { _, to, rpc in
            guard to == 9, !rpc.messages.isEmpty else { return true }
            asked += 1
            return asked > 9
        }
        let id = try world.publish(0, "news", [1, 2, 3], sequence: 1)
        try world.run(milliseconds: 500)
        #expect(!world.taken[9].contains(id))
        world.passes = { _, _, _ in true }
        try world.run(milliseconds: 3_000)
        #expect(world.taken[9].contains(id))
    }

    @Test("Leaving a topic prunes with a short backoff; a late subscriber joins at once")
    func topics() throws {
        var world = try SimulatedNetwork(3)
        world.link(0, 1)
        world.link(1, 2)
        world.link(0, 2)
        try world.subscribeAll("news")
        try world.run(milliseconds: 1_500)
        #expect(world.nodes[0].meshPeers(of: "news").count == 2)
        world.nodes[1].unsubscribe("news", at: world.now)
        try world.run(milliseconds: 1_500)
        #expect(world.nodes[0].meshPeers(of: "news").count == 1)
        #expect(world.nodes[1].topics.isEmpty)
        let id = try world.publish(0, "news", [1], sequence: 1)
        try world.run(milliseconds: 1_000)
        #expect(world.taken[2] == [id] && world.taken[1].isEmpty)
        try world.nodes[1].subscribe("news", at: world.now)
        // Ten seconds have to pass before those that were pruned take it back.
        try world.run(milliseconds: 5_000)
        #expect(!world.nodes[0].meshPeers(of: "news").contains(world.keys[1].peerID))
        try world.run(milliseconds: 12_000)
        #expect(world.nodes[0].meshPeers(of: "news").contains(world.keys[1].peerID))
        #expect(throws: Libp2pError.self) { try world.nodes[0].subscribe("", at: 0) }
        #expect(throws: Libp2pError.self) { try world.nodes[0].subscribe(String(repeating: "a", count: 257), at: 0) }
    }

    @Test("Who does not subscribe publishes to the same few peers, and forgets them after a minute")
    func fanout() throws {
        var parameters = GossipParameters()
        parameters.floodsPublished = false
        var world = try SimulatedNetwork(15, parameters: parameters)
        for other in 1..<15 { world.link(0, other) }
        for node in 1..<15 { try world.nodes[node].subscribe("news", at: 0) }
        try world.run(milliseconds: 1_500)
        _ = try world.publish(0, "news", [1], sequence: 1)
        let first = world.nodes[0].fanout["news"]?.peers
        #expect(first?.count == 6)
        try world.run(milliseconds: 30_000)
        _ = try world.publish(0, "news", [1], sequence: 2)
        #expect(world.nodes[0].fanout["news"]?.peers == first)
        try world.run(milliseconds: 61_500)
        #expect(world.nodes[0].fanout.isEmpty)
    }

    @Test("Large messages are told about first, and are not sent to who does not want them")
    func dontWant() throws {
        var world = try SimulatedNetwork(3)
        world.link(0, 1)
        world.link(0, 2)
        world.link(1, 2)
        try world.subscribeAll("news")
        try world.run(milliseconds: 2_000)
        var told = 0
        world.passes = { _, _, rpc in
            told += rpc.dontWant.count
            return true
        }
        world.resetCopies()
        let id = try world.publish(0, "news", [UInt8](repeating: 0, count: 1_000), sequence: 1)
        // Both get it from the publisher and tell each other.
        try world.run(milliseconds: 1_000)
        #expect(told == 2 && world.taken[1] == [id] && world.taken[2] == [id])
        _ = try world.publish(0, "news", [1], sequence: 2)
        try world.run(milliseconds: 1_000)
        #expect(told == 2)
        // Node 1 says so before node 0 publishes.
        let message = try GossipMessage(signing: [7], topic: "news", sequence: 3, key: world.keys[0])
        var rpc = GossipRPC()
        rpc.dontWant = [message.id]
        try world.forge(rpc, from: 1, to: 0)
        #expect(try world.nodes[0].publish(message, at: world.now) == 1)
        // A flood of such ids is bounded.
        rpc.dontWant = (0..<2_000).map {
            GossipMessageID([UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)])
        }
        try world.forge(rpc, from: 1, to: 0)
        #expect(world.nodes[0].peers[world.keys[1].peerID]?.dontWant.count == 1_000)
        try world.run(milliseconds: 4_000)
        #expect(world.nodes[0].peers[world.keys[1].peerID]?.dontWant.isEmpty == true)
    }

    @Test("What was published is not published again, nor what is too large")
    func publishing() throws {
        var world = try SimulatedNetwork(1)
        let message = try GossipMessage(signing: [1], topic: "news", sequence: 1, key: world.keys[0])
        try world.nodes[0].publish(message, at: 0)
        #expect(throws: Libp2pError.self) { try world.nodes[0].publish(message, at: 0) }
        let data = [UInt8](repeating: 0, count: 256 * 1024)
        let large = try GossipMessage(signing: data, topic: "news", sequence: 2, key: world.keys[0])
        #expect(throws: Libp2pError.self) { try world.nodes[0].publish(large, at: 0) }
    }
}
