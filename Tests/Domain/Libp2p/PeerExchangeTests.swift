import Encodings
import Testing

@testable import Libp2p

@Suite("What peers tell of others, and dialing back")
struct PeerExchangeTests {
    static func sealed(_ number: UInt8, _ addresses: String..., sequence: UInt64 = 1) throws -> SealedPeerRecord {
        let key = try PeerKeyTests.key(number)
        let record = PeerRecord(
            peer: key.peerID,
            sequence: sequence,
            addresses: try addresses.map { try Multiaddr(parsing: $0) }
        )
        return try SealedPeerRecord(opening: try record.sealed(with: key).protobuf)
    }

    private static func body(_ delimited: [UInt8]) throws -> ArraySlice<UInt8> {
        var reader = DelimitedReader(maximumBytes: PeerExchange.maximumBytes)
        reader.append(delimited)
        return try #require(try reader.next())
    }

    @Test("[GSP-4] Records come through as they were signed; a forged one makes the whole answer void")
    func exchange() throws {
        let records = [try Self.sealed(1, "/ip4/8.8.8.8/tcp/1"), try Self.sealed(2, "/ip4/9.9.9.9/tcp/2")]
        let body = try Self.body(PeerExchange.answer(records.map(\.sealed)))
        #expect(try PeerExchange.records(in: body) == records)
        #expect(try PeerExchange.records(in: []) == [])
        var forged = records[1].sealed
        forged[forged.count - 1] ^= 1
        let bad = try Self.body(PeerExchange.answer([records[0].sealed, forged]))
        #expect(throws: Libp2pError.self) { try PeerExchange.records(in: bad) }
        // Not even an envelope.
        let unsigned = try Self.body(PeerExchange.answer([[0x0A, 0x03, 1, 2, 3]]))
        #expect(throws: Libp2pError.self) { try PeerExchange.records(in: unsigned) }
    }

    @Test("[GSP-4] Sixteen records are told, and more are not taken; nor one that is too long")
    func bounds() throws {
        let record = try Self.sealed(1, "/ip4/8.8.8.8/tcp/1").sealed
        let many = try Self.body(PeerExchange.answer([[UInt8]](repeating: record, count: 40)))
        #expect(try PeerExchange.records(in: many).count == PeerExchange.maximumRecords)
        var writer = ProtobufWriter()
        for _ in 0..<17 { writer.bytes(1, record) }
        #expect(throws: Libp2pError.self) { try PeerExchange.records(in: writer.bytes[...]) }
        writer = ProtobufWriter()
        writer.bytes(1, [UInt8](repeating: 0, count: PeerExchange.maximumRecordBytes + 1))
        #expect(throws: Libp2pError.self) { try PeerExchange.records(in: writer.bytes[...]) }
        #expect(throws: Libp2pError.self) {
            try PeerExchange.records(in: [UInt8](repeating: 0, count: PeerExchange.maximumBytes + 1)[...])
        }
    }

    @Test("Questions and answers of dialing back come through; too many addresses and unknown outcomes are refused")
    func dialBack() throws {
        let address = try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/4402")
        let question = try Self.body(DialBack.question([Multiaddr](repeating: address, count: 9)))
        #expect(try DialBack.addresses(in: question) == [Multiaddr](repeating: address, count: 4))
        for answer in [DialBack.Answer(.reachable, address: address), .init(.unreachable), .init(.refused)] {
            #expect(try DialBack.Answer(try Self.body(answer.delimited)) == answer)
        }
        #expect(throws: Libp2pError.self) { try DialBack.Answer([0x08, 0x09]) }
        #expect(throws: Libp2pError.self) { try DialBack.Answer([]) }
        var writer = ProtobufWriter()
        for _ in 0..<5 { writer.bytes(1, address.bytes) }
        #expect(throws: Libp2pError.self) { try DialBack.addresses(in: writer.bytes[...]) }
    }

    @Test(
        "[GSP-6] Only the asker's own IP address is dialed back, never a name, port 0 or another machine",
        arguments: [
            ("/ip4/8.8.8.8/tcp/4402", true), ("/ip4/8.8.8.8/tcp/22", true), ("/ip4/8.8.4.4/tcp/4402", false),
            ("/ip4/127.0.0.1/tcp/4402", false), ("/dns/8.8.8.8.example/tcp/4402", false), ("/ip4/8.8.8.8/tcp/0", false),
            ("/ip6/::ffff:8.8.8.8/tcp/4402", false), ("/ip4/8.8.8.8", false),
        ]
    )
    func amplifier(text: String, isAllowed: Bool) throws {
        let origin = try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/50000")
        let allowed = DialBack.allowed([try Multiaddr(parsing: text)], from: origin)
        #expect(allowed.isEmpty == !isAllowed)
        #expect(DialBack.allowed([try Multiaddr(parsing: text)], from: nil).isEmpty)
    }

    @Test("An address named twice is dialed once, and without the id that stands in it")
    func once() throws {
        let texts = ["/ip4/8.8.8.8/tcp/1", "/ip4/8.8.8.8/tcp/1/p2p/\(try PeerKeyTests.peer(1))", "/ip4/8.8.8.8/tcp/2"]
        let allowed = DialBack.allowed(
            try texts.map { try Multiaddr(parsing: $0) },
            from: try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/9")
        )
        #expect(allowed.map(\.description) == ["/ip4/8.8.8.8/tcp/1", "/ip4/8.8.8.8/tcp/2"])
    }

    @Test(
        "How far away an address can be reached from",
        arguments: [
            ("/ip4/127.0.0.1", .machine), ("/ip4/127.9.9.9", .machine), ("/ip6/::1", .machine),
            ("/ip4/10.1.2.3", .network),
            ("/ip4/172.16.0.1", .network), ("/ip4/172.31.255.1", .network), ("/ip4/172.32.0.1", .internet),
            ("/ip4/192.168.0.1", .network), ("/ip4/169.254.169.254", .network), ("/ip4/100.64.0.1", .network),
            ("/ip4/100.128.0.1", .internet), ("/ip6/fd00::1", .network), ("/ip6/2a00:1450::1", .internet),
            ("/ip4/0.0.0.0", nil), ("/ip4/224.0.0.251", nil), ("/ip4/255.255.255.255", nil), ("/ip6/::", nil),
            ("/ip6/fe80::1", nil), ("/ip6/ff02::fb", nil), ("/ip6/::ffff:10.0.0.1", nil), ("/ip6/2002:a00:1::1", nil),
            ("/ip6/64:ff9b::a00:1", nil), ("/dns/localhost", nil), ("/ip4/8.8.8.8", .internet),
        ] as [(String, IPReach?)]
    )
    func reach(text: String, reach: IPReach?) throws {
        #expect(try Multiaddr(parsing: text + "/tcp/1").reach == reach)
    }
}
