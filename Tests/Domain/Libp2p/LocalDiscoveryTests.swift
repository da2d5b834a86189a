import Encodings
import Testing

@testable import Libp2p

/// libp2p's specification `discovery/mdns.md`, RFC 1035 and RFC 6762.
@Suite("Multicast DNS on the local network")
struct LocalDiscoveryTests {
    /// `_p2p._udp.local`, as RFC 1035 writes a name.
    static let service = [4] + [UInt8]("_p2p".utf8) + [4] + [UInt8]("_udp".utf8) + [5] + [UInt8]("local".utf8) + [0]
    static let name = "x1y2z3a4b5c6d7e8f9g0h1i2j3k4l5m6n7o8p9q0"
    static let sender: [UInt8] = [192, 168, 1, 7]

    static func discovery(_ number: UInt8, _ addresses: String...) throws -> LocalPeerDiscovery {
        LocalPeerDiscovery(
            peer: try PeerKeyTests.peer(number),
            addresses: try addresses.map { try Multiaddr(parsing: $0) },
            name: name
        )
    }

    static func header(_ flags: UInt16, _ counts: Int...) -> [UInt8] {
        ([0, Int(flags)] + counts).flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
    }

    static func text(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + [UInt8](text.utf8) }

    /// A response as zeroconf's libraries write it: names by pointers, TXT among the additional records, cache-flush set.
    static func response(_ texts: [String]) -> [UInt8] {
        var bytes = header(0x8400, 0, 1, 0, 1)
        bytes += service + [0, 12, 0, 1, 0, 0, 0, 120]
        let instance = [UInt8(name.utf8.count)] + [UInt8](name.utf8) + [0xC0, 12]
        bytes += [0, UInt8(instance.count)]
        let place = bytes.count
        bytes += instance
        let data = texts.flatMap(text)
        bytes += [0xC0, UInt8(place), 0, 16, 0x80, 1, 0, 0, 0, 120, UInt8(data.count >> 8), UInt8(data.count & 0xFF)]
        return bytes + data
    }

    @Test("The question is the one that libp2p asks, to the byte")
    func query() {
        #expect(LocalPeerDiscovery.query == Self.header(0, 1, 0, 0, 0) + Self.service + [0, 12, 0, 1])
    }

    @Test("[GSP-5] Who is asked tells its addresses, and who asked finds it by them")
    func answer() throws {
        var one = try Self.discovery(1, "/ip4/192.168.1.2/tcp/4402", "/ip4/10.0.0.2/tcp/4402")
        var two = try Self.discovery(2, "/ip4/192.168.1.3/tcp/4402")
        guard case .answer(let bytes)? = one.receive(LocalPeerDiscovery.query, from: Self.sender, at: 0).first else {
            Issue.record("no answer")
            return
        }
        let peer = try PeerKeyTests.peer(1)
        #expect(
            two.receive(bytes, from: Self.sender, at: 0) == [
                .found([
                    try Multiaddr(parsing: "/ip4/192.168.1.2/tcp/4402/p2p/\(peer)"),
                    try Multiaddr(parsing: "/ip4/10.0.0.2/tcp/4402/p2p/\(peer)"),
                ])
            ]
        )
        // It hears its own answer too, and finds nobody in it.
        #expect(one.receive(bytes, from: Self.sender, at: 0) == [])
        #expect(!bytes.contains(where: { _ in false }) && bytes.count < 500)
    }

    @Test("A response with compressed names is read; what is no peer's address in it is left out")
    func compressed() throws {
        let peer = try PeerKeyTests.peer(3)
        let good = "/ip4/192.168.1.9/tcp/4001/p2p/\(peer)"
        let texts = [
            "dnsaddr=/ip4/192.168.1.9/udp/4001/quic-v1/p2p/\(peer)", "dnsaddr=\(good)",
            "dnsaddr=/ip4/192.168.1.9/tcp/4001",
            "other=\(good)", "dnsaddr=", "dnsaddr=\(good)",
        ]
        var discovery = try Self.discovery(1)
        #expect(
            discovery.receive(Self.response(texts), from: Self.sender, at: 0) == [
                .found([try Multiaddr(parsing: good)])
            ]
        )
    }

    @Test("Broken messages do nothing: cut anywhere, pointing in circles or forward, longer than allowed, other kinds")
    func broken() throws {
        var discovery = try Self.discovery(1, "/ip4/192.168.1.2/tcp/4402")
        let whole = Self.response(["dnsaddr=/ip4/192.168.1.9/tcp/4001/p2p/\(try PeerKeyTests.peer(3))"])
        for count in 0..<whole.count {
            #expect(discovery.receive(Array(whole.prefix(count)), from: Self.sender, at: 0) == [])
        }
        let circle: [UInt8] = [0xC0, 12]
        let pair: [UInt8] = [1, 0x61, 0xC0, 12]
        let forward: [UInt8] = [0xC0, 40, 0, 12, 0, 1]
        for name in [circle, pair, forward, [0x80], [63]] {
            let bytes = Self.header(0, 1, 0, 0, 0) + name + [0, 12, 0, 1]
            #expect(throws: Libp2pError.self) { try DNSMessage(bytes) }
        }
        // Names of more than 255 bytes, by labels and by pointers to labels.
        let long = [UInt8]((0..<5).flatMap { _ in [63] + [UInt8](repeating: 0x61, count: 63) }) + [0]
        #expect(throws: Libp2pError.self) { try DNSMessage(Self.header(0, 1, 0, 0, 0) + long + [0, 12, 0, 1]) }
        #expect(throws: Libp2pError.self) { try DNSMessage([UInt8](repeating: 0, count: 9_001)) }
        #expect(throws: Libp2pError.self) { try DNSMessage(Self.header(0, 65, 0, 0, 0)) }
        #expect(throws: Libp2pError.self) { try DNSMessage(Self.header(0x8400, 0, 30, 30, 30)) }
        // An update (opcode 5) is no query.
        let update = Self.header(0x2800, 1, 0, 0, 0) + Self.service + [0, 12, 0, 1]
        #expect(discovery.receive(update, from: Self.sender, at: 0) == [])
        #expect(discovery.receive(LocalPeerDiscovery.query, from: Self.sender, at: 0).count == 1)
    }

    @Test("[GSP-5] A flood of questions gets one answer a second, a flood of addresses is taken to its bound")
    func flood() throws {
        var discovery = try Self.discovery(1, "/ip4/192.168.1.2/tcp/4402")
        let answers = (0..<1_000).reduce(0) { count, number in
            count + discovery.receive(LocalPeerDiscovery.query, from: Self.sender, at: Int64(number)).count
        }
        #expect(answers == 1)
        #expect(discovery.receive(LocalPeerDiscovery.query, from: Self.sender, at: 1_000).count == 1)

        func taken(_ senders: Int, at now: Int64) throws -> Int {
            var count = 0
            for sender in 0..<senders {
                for port in 0..<40 {
                    let peer = try PeerKeyTests.peer(UInt8(2 + sender % 200))
                    let text = "dnsaddr=/ip4/192.168.1.9/tcp/\(1_000 + port)/p2p/\(peer)"
                    let from: [UInt8] = [10, 0, 0, UInt8(sender)]
                    for case .found(let found) in discovery.receive(Self.response([text]), from: from, at: now) {
                        count += found.count
                    }
                }
            }
            return count
        }
        #expect(try taken(1, at: 120_000) == LocalPeerDiscovery.addressesPerSender)
        #expect(try taken(30, at: 180_000) == LocalPeerDiscovery.addressesPerMinute)
        // The next minute begins anew.
        #expect(try taken(1, at: 240_000) == LocalPeerDiscovery.addressesPerSender)
    }

    @Test("A node that listens nowhere on the network keeps silent, and a record of lifetime 0 is a goodbye")
    func silent() throws {
        var discovery = try Self.discovery(1)
        #expect(discovery.receive(LocalPeerDiscovery.query, from: Self.sender, at: 0) == [])
        var goodbye = Self.response(["dnsaddr=/ip4/192.168.1.9/tcp/4001/p2p/\(try PeerKeyTests.peer(3))"])
        let place = try #require(
            (0..<(goodbye.count - 8)).last { Array(goodbye[$0..<($0 + 8)]) == [0, 16, 0x80, 1, 0, 0, 0, 120] }
        )
        goodbye[place + 7] = 0
        #expect(discovery.receive(goodbye, from: Self.sender, at: 0) == [])
    }
}
