import Cryptography
import GossipSimulation
import TestSupport
import Testing

@testable import Libp2p

/// Issue 6 names these attacks; each is tried on an engine that has one honest neighbour besides.
@Suite("GossipSub under attack")
struct GossipAttackTests {
    /// Node 0 is attacked by node 1; node 2 is honest.
    static func world(_ change: (inout GossipParameters) -> Void = { _ in }) throws -> SimulatedNetwork {
        var parameters = GossipParameters()
        change(&parameters)
        var world = try SimulatedNetwork(3, parameters: parameters)
        world.link(1, 0)
        world.link(2, 0)
        try world.subscribeAll("news")
        try world.run(milliseconds: 2_000)
        return world
    }

    static func rpc(_ messages: [[UInt8]]) -> GossipRPC {
        var rpc = GossipRPC()
        rpc.messages = messages.map { $0[...] }
        return rpc
    }

    @Test("Forged authors and changed messages are not taken, and do not keep the true message out")
    func forged() throws {
        var world = try Self.world()
        let good = try GossipMessage(signing: [1, 2, 3], topic: "news", sequence: 9, key: world.keys[2])
        let bytes = good.protobuf
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 1
            try world.forge(Self.rpc([changed]), from: 1, to: 0)
            // Its standing aside, so that each change is looked at.
            world.nodes[0].scores = GossipScores(GossipScoreParameters())
        }
        #expect(world.validations[0] == 0)
        try world.forge(Self.rpc([bytes]), from: 2, to: 0)
        #expect(world.taken[0] == [good.id])
        // Replayed, it is not taken again.
        for from in [1, 2] { try world.forge(Self.rpc([bytes, bytes]), from: from, to: 0) }
        #expect(world.taken[0] == [good.id])
    }

    @Test("Our own message that comes back, and one for a topic that is not ours, are not taken")
    func notOurs() throws {
        var world = try Self.world()
        let own = try GossipMessage(signing: [1], topic: "news", sequence: 77, key: world.keys[0])
        let other = try GossipMessage(signing: [1], topic: "else", sequence: 1, key: world.keys[1])
        try world.forge(Self.rpc([own.protobuf, other.protobuf]), from: 1, to: 0)
        #expect(world.validations[0] == 0)
    }

    @Test("Ten thousand invalid messages: a few are looked at, then the peer is cut off, before the next heartbeat")
    func invalidFlood() throws {
        var world = try Self.world()
        var bad = try GossipMessage(signing: [1], topic: "news", sequence: 1, key: world.keys[1]).protobuf
        bad[bad.count - 1] ^= 1
        let time = world.now
        for _ in 0..<20 { try world.forge(Self.rpc(Array(repeating: bad, count: 500)), from: 1, to: 0) }
        #expect(world.cutOff[0] == [1] && world.now == time)
        #expect(world.nodes[0].counts.rejected == 6 && world.nodes[0].counts.received == 6)
        #expect(world.nodes[0].score(of: world.keys[1].peerID, at: world.now) < -2_500)
        #expect(world.nodes[0].score(of: world.keys[1].peerID, at: world.now) > -10_000)
        try world.run(milliseconds: 1_000)
        #expect(world.cutOff[0] == [1])
        #expect(!world.nodes[0].meshPeers(of: "news").contains(world.keys[1].peerID))
        // Leaving and coming again does not wash it off.
        world.nodes[0].removePeer(world.keys[1].peerID, at: world.now)
        try world.run(milliseconds: 10_000)
        world.link(1, 0)
        #expect(world.nodes[0].score(of: world.keys[1].peerID, at: world.now) < -2_500)
    }

    @Test("Messages that the owner rejects cost their sender, those it ignores cost nobody")
    func verdicts() throws {
        var world = try Self.world()
        world.verdict = { $1.data == [1] ? .reject : .ignore }
        let before = world.nodes[0].score(of: world.keys[1].peerID, at: world.now)
        let ignored = try GossipMessage(signing: [2], topic: "news", sequence: 1, key: world.keys[1])
        try world.forge(Self.rpc([ignored.protobuf]), from: 1, to: 0)
        #expect(world.nodes[0].score(of: world.keys[1].peerID, at: world.now) == before)
        let rejected = try GossipMessage(signing: [1], topic: "news", sequence: 2, key: world.keys[1])
        try world.forge(Self.rpc([rejected.protobuf]), from: 1, to: 0)
        #expect(world.nodes[0].score(of: world.keys[1].peerID, at: world.now) <= before - 99)
        world.resetCopies()
        try world.run(milliseconds: 500)
        #expect(world.copies == 0)
    }

    @Test("GRAFT for invented topics leaves nothing and is not answered; within the backoff it costs")
    func graft() throws {
        var world = try Self.world()
        var rpc = GossipRPC()
        rpc.graft = (0..<1_000).map { "invented \($0)" }
        var answers = 0
        world.passes = { from, to, _ in
            if from == 0, to == 1 { answers += 1 }
            return true
        }
        try world.forge(rpc, from: 1, to: 0)
        try world.run(milliseconds: 100)
        #expect(answers == 0 && world.nodes[0].mesh.count == 1 && world.nodes[0].subscribers.count == 1)
        let peer = world.keys[1].peerID
        world.nodes[0].prune(peer, "news", at: world.now)
        rpc.graft = ["news"]
        for _ in 0..<10 { try world.forge(rpc, from: 1, to: 0) }
        #expect(!world.nodes[0].meshPeers(of: "news").contains(peer))
        #expect(world.nodes[0].score(of: peer, at: world.now) < -500)
    }

    @Test("Subscriptions of one peer are bounded")
    func subscriptionFlood() throws {
        var world = try Self.world()
        for start in stride(from: 0, to: 2_000, by: 200) {
            var rpc = GossipRPC()
            rpc.subscriptions = (start..<(start + 200)).map { .init(subscribes: true, topic: "t\($0)") }
            try world.forge(rpc, from: 1, to: 0)
        }
        #expect(world.nodes[0].subscribers.count <= 256)
        world.nodes[0].removePeer(world.keys[1].peerID, at: world.now)
        #expect(world.nodes[0].subscribers.count == 1)
    }

    @Test(
        "IHAVE spam is answered so often, for so many ids; promises that are not kept cost",
        arguments: [(1_000, 5_000), (100, 1_000)]
    )
    func haveSpam(idsPerMessage: Int, asked: Int) throws {
        var world = try Self.world()
        var wanted = 0
        world.passes = { from, to, rpc in
            if from == 0, to == 1 { wanted += rpc.want.count }
            return true
        }
        for message in 0..<40 {
            var rpc = GossipRPC()
            let ids = (0..<idsPerMessage).map {
                GossipMessageID([UInt8(message), UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)])
            }
            rpc.have = [.init(topic: "news", ids: ids)]
            try world.forge(rpc, from: 1, to: 0)
        }
        try world.run(milliseconds: 500)
        #expect(wanted == asked)
        #expect(world.nodes[0].promises.count <= 10)
        try world.run(milliseconds: 4_000)
        #expect(world.nodes[0].promises.isEmpty)
        #expect(world.nodes[0].score(of: world.keys[1].peerID, at: world.now) < 0)
        #expect(world.nodes[0].score(of: world.keys[2].peerID, at: world.now) >= 0)
    }

    @Test("IWANT spam gets each message three times")
    func wantSpam() throws {
        var world = try Self.world()
        let id = try world.publish(0, "news", [1], sequence: 1)
        try world.run(milliseconds: 100)
        world.resetCopies()
        var rpc = GossipRPC()
        rpc.want = Array(repeating: id, count: 1_000)
        for _ in 0..<5 { try world.forge(rpc, from: 1, to: 0) }
        try world.run(milliseconds: 100)
        #expect(world.copies == 3)
    }

    @Test("PX is taken from who stands well, for records that the peers themselves signed")
    func exchange() throws {
        var world = try Self.world()
        let (sender, honest) = (world.keys[1].peerID, try PeerKeyTests.key(9))
        let address = try Multiaddr(parsing: "/ip4/192.0.2.1/tcp/1")
        let record = try PeerRecord(peer: honest.peerID, sequence: 1, addresses: [address]).sealed(with: honest)
            .protobuf
        var forged = record
        forged[forged.count - 1] ^= 1
        let other = try PeerKeyTests.peer(8)
        var rpc = GossipRPC()
        rpc.prune = [
            .init(
                topic: "news",
                peers: [
                    .init(peer: honest.peerID, signedRecord: forged), .init(peer: other, signedRecord: record),
                    .init(peer: honest.peerID, signedRecord: nil), .init(peer: honest.peerID, signedRecord: record),
                ]
            )
        ]
        try world.forge(rpc, from: 1, to: 0)
        #expect(world.connects.isEmpty)
        world.nodes[0].setApplicationScore(50, of: sender)
        try world.forge(rpc, from: 1, to: 0)
        #expect(world.connects[0]?.map(\.peer) == [honest.peerID])
        // A prune that asks for a thousand years is held to the longest backoff.
        rpc.prune = [.init(topic: "news", backoffSeconds: .max)]
        try world.forge(rpc, from: 1, to: 0)
        #expect(world.nodes[0].backoff["news"]?[sender] == world.now + 3_600_000)
    }

    @Test("Many peers on one address lose their standing")
    func colocation() throws {
        var world = try SimulatedNetwork(10)
        for other in 1..<10 {
            world.nodes[0].addPeer(
                world.keys[other].peerID,
                address: [1],
                isOutbound: false,
                speaksDontWant: true,
                at: 0
            )
        }
        #expect(world.nodes[0].score(of: world.keys[1].peerID, at: 0) == -250)
        for other in 5..<10 { world.nodes[0].removePeer(world.keys[other].peerID, at: 0) }
        #expect(world.nodes[0].score(of: world.keys[1].peerID, at: 0) == 0)
    }

    @Test("A mesh peer that brings nothing owes, and keeps its debt when it is pruned (P3, P3b)")
    func deliveries() throws {
        var scoring = GossipScoreParameters()
        scoring.meshDeliveryWeight = -1
        scoring.meshFailureWeight = -1
        var scores = GossipScores(scoring)
        let peer = try PeerKeyTests.peer(1)
        scores.add(peer, address: nil)
        scores.graft(peer, "news", at: 0)
        #expect(scores.score(of: peer, at: 10_000) >= 0)
        #expect(scores.score(of: peer, at: 10_001) < -390)
        for _ in 0..<10 { scores.deliveredFirst(peer, "news") }
        #expect(scores.score(of: peer, at: 10_001) > -90)
        scores.prune(peer, "news", at: 10_001)
        #expect(scores.score(of: peer, at: 10_001) == -90)
        scores.decay(at: 11_000)
        #expect(scores.score(of: peer, at: 11_000) == -45)
    }

    @Test("Messages waiting for a verdict, and the history, are bounded")
    func bounds() throws {
        var world = try Self.world {
            $0.maximumValidating = 10
            $0.historyBytes = 2_000
        }
        let key = world.keys[1]
        for number in 0..<50 {
            let message = try GossipMessage(signing: [1], topic: "news", sequence: UInt64(number), key: key)
            var rpc = DelimitedReader(maximumBytes: 10_000)
            rpc.append(GossipRPC.delimited(message: message.protobuf))
            let body = try #require(try rpc.next())
            try world.nodes[0].receive(body, from: key.peerID, at: world.now)
        }
        #expect(world.nodes[0].validating.count == 10)
        for number in 0..<100 { _ = try world.publish(0, "news", [UInt8(number)], sequence: UInt64(number)) }
        #expect(world.nodes[0].cache.ids(of: "news", windows: 3).count < 15)
        #expect(world.nodes[0].cache.ids(of: "news", windows: 3).count > 3)
    }
}
