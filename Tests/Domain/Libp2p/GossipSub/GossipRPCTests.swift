import Encodings
import TestSupport
import Testing

@testable import Libp2p

@Suite("GossipSub's RPCs")
struct GossipRPCTests {
    @Test("What is written is read, field by field, as the specification numbers them")
    func roundTrip() throws {
        let id = GossipMessageID([9, 9])
        var rpc = GossipRPC()
        rpc.subscriptions = [.init(subscribes: true, topic: "a")]
        rpc.messages = [[1, 2]]
        rpc.have = [.init(topic: "a", ids: [id])]
        rpc.want = [id]
        rpc.graft = ["a"]
        rpc.prune = [.init(topic: "a", peers: [.init(peer: try PeerKeyTests.peer(1))], backoffSeconds: 60)]
        rpc.dontWant = [id]
        let bytes = rpc.delimited
        let hex = Hex.encode(bytes)
        #expect(hex.dropFirst(2).hasPrefix("0a050801120161120201021a"))
        let prune = "0a01611228" + "0a26" + Hex.encode(try PeerKeyTests.peer(1).bytes) + "183c"
        let control = ["0a070a016112020909", "12040a020909", "1a030a0161", "222f\(prune)", "2a040a020909"]
        for part in control { #expect(hex.contains(part)) }
        let read = try GossipRPC(bytes.dropFirst())
        #expect(read.subscriptions == rpc.subscriptions && read.messages.map(Array.init) == [[1, 2]])
        #expect(read.have == rpc.have && read.want == rpc.want && read.graft == rpc.graft)
        #expect(read.prune == rpc.prune && read.dontWant == rpc.dontWant)
        // go's extensions (Control 6, RPC 10) are skipped.
        let extended = bytes.dropFirst() + [0x1a, 0x04, 0x32, 0x02, 0x08, 0x01, 0x52, 0x00]
        #expect(try GossipRPC(extended).graft == ["a"])
    }

    @Test("An RPC that holds too much is refused whole")
    func bounds() throws {
        var many = GossipRPC()
        many.subscriptions = (0..<257).map { .init(subscribes: true, topic: "\($0)") }
        var ids = GossipRPC()
        ids.want = (0..<5_001).map { GossipMessageID([UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)]) }
        var grafts = GossipRPC()
        grafts.graft = (0..<1_025).map { "\($0)" }
        var messages = GossipRPC()
        messages.messages = Array(repeating: [], count: 1_025)
        for rpc in [many, ids, grafts, messages] {
            var reader = DelimitedReader(maximumBytes: 1 << 20)
            reader.append(rpc.delimited)
            let body = try #require(try reader.next())
            #expect(throws: Libp2pError.self) { try GossipRPC(body) }
        }
        #expect(throws: Libp2pError.self) { try GossipRPC([UInt8](repeating: 0, count: 1024 * 1024 + 1)[...]) }
    }

    @Test("A message is signed as StrictSign has it, by either kind of key")
    func signed() throws {
        for key in [try PeerKeyTests.key(1), try PeerKey(protobuf: try Hex.decode(PeerKeyTests.secp256k1Private))] {
            let message = try GossipMessage(signing: [1, 2], topic: "news", sequence: 0x0102_0304, key: key)
            #expect(message.isSigned && message.sequence == [0, 0, 0, 0, 1, 2, 3, 4])
            #expect(message.id.bytes == key.peerID.bytes + message.sequence)
            let tail: [UInt8] = [0x12, 2, 1, 2, 0x1a, 8, 0, 0, 0, 0, 1, 2, 3, 4, 0x22, 4] + [UInt8]("news".utf8)
            let signed: [UInt8] =
                [UInt8]("libp2p-pubsub:".utf8) + [0x0a, UInt8(key.peerID.bytes.count)] + key.peerID.bytes + tail
            #expect(key.publicKey.isValid(signature: message.signature, for: signed))
            let read = try GossipMessage(protobuf: message.protobuf[...])
            #expect(read == message && read.isSigned)
            // py sends the key along; another one's is refused.
            let own = key.publicKey.protobuf
            #expect(try GossipMessage(protobuf: (message.protobuf + [0x32, UInt8(own.count)] + own)[...]).isSigned)
            let other = try PeerKeyTests.key(3).publicKey.protobuf
            #expect(throws: Libp2pError.self) {
                try GossipMessage(protobuf: (message.protobuf + [0x32, UInt8(other.count)] + other)[...])
            }
        }
    }

    @Test("Messages without what StrictSign asks for, with a field twice or one that nobody signed, are refused")
    func malformed() throws {
        let good = try GossipMessage(signing: [1], topic: "a", sequence: 1, key: try PeerKeyTests.key(1)).protobuf
        for bytes in [
            [], Array(good.prefix(40)), good + [0x22, 1, 0x61], good + [0x3a, 1, 1], Array(good.dropFirst(40)),
        ] {
            #expect(throws: Libp2pError.self) { try GossipMessage(protobuf: bytes[...]) }
        }
    }

    @Test("Random bytes crash nothing")
    func random() throws {
        var random = SeededRandom(seed: 21)
        for _ in 0..<5_000 {
            _ = try? GossipRPC(random.bytes(Int(random.next() % 60))[...])
            _ = try? GossipMessage(protobuf: random.bytes(Int(random.next() % 60))[...])
        }
    }
}
