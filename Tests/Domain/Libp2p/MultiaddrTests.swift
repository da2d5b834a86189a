import Encodings
import Libp2p
import TestSupport
import Testing

@Suite("Multiaddr")
struct MultiaddrTests {
    @Test(
        "Text and bytes, as https://github.com/multiformats/go-multiaddr has them",
        arguments: [
            ("/ip4/127.0.0.1/tcp/4321", "047f0000010610e1"),
            ("/ip4/1.2.3.4", "0401020304"),
            ("/tcp/65535", "06ffff"),
            ("/ip6/2601:9:4f81:9700:803e:ca65:66e8:c21", "29260100094f819700803eca6566e80c21"),
            ("/ip6/::1/tcp/0", "2900000000000000000000000000000001060000"),
            (
                "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC/tcp/1234",
                "a503221220d52ebb89d85b02a284948203a62ff28389c57c9f42beec4ec20db76a68911c0b0604d2"
            ),
            (
                "/ip4/127.0.0.1/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC",
                "047f000001a503221220d52ebb89d85b02a284948203a62ff28389c57c9f42beec4ec20db76a68911c0b"
            ),
            ("/dns4/example.com/tcp/80", "360b6578616d706c652e636f6d060050"),
            ("/dns/a.b/tcp/1", "3503612e62060001"),
            ("/dns6/a/tcp/1", "370161060001"),
        ]
    )
    func vectors(text: String, hex: String) throws {
        let address = try Multiaddr(parsing: text)
        #expect(Hex.encode(address.bytes) == hex)
        #expect(address.description == text)
        #expect(try Multiaddr(bytes: try Hex.decode(hex)) == address)
    }

    @Test(
        "RFC 5952 writes an address in one way",
        arguments: [
            ("2001:0db8:0:0:0:0:0:1", "2001:db8::1"), ("::", "::"), ("1::", "1::"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"), ("::ffff:102:304", "::ffff:1.2.3.4"),
            ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"), ("FE80::A", "fe80::a"),
        ]
    )
    func ip6(text: String, canonical: String) throws {
        #expect(try Multiaddr(parsing: "/ip6/\(text)").description == "/ip6/\(canonical)")
    }

    @Test(
        "What is no address here",
        arguments: [
            "", "/", "//", "ip4/1.2.3.4", "/ip4", "/ip4/", "/ip4/::1", "/ip4/1.2.3", "/ip4/1.2.3.256", "/ip4/01.2.3.4",
            "/ip4/1.2.3.4.5", "/ip4/1.2.3.+4", "/ip4/1.2.3.4/", "/ip6", "/ip6/1.2.3.4", "/ip6/:::", "/ip6/1::2::3",
            "/ip6/1:2:3:4:5:6:7", "/ip6/1:2:3:4:5:6:7:8:9", "/ip6/12345::", "/ip6/1:2:3:4:5:6:7::8", "/ip6/::1%eth0",
            "/ip6/1.2.3.4::", "/ip6/:1", "/ip6/1:", "/tcp", "/tcp/65536", "/tcp/-1", "/tcp/007", "/tcp/x", "/p2p/tcp",
            "/dns/",
            "/dns/a..b", "/dns/a b", "/dns/é", "/unix/a", "/ip4/1.2.3.4/udp/1/quic-v1",
            "/tcp/1/tcp/1/tcp/1/tcp/1/tcp/1/tcp/1/tcp/1/tcp/1/tcp/1",
            "/dns/\(String(repeating: "a", count: 64))", "/dns/\(String(repeating: "a.", count: 300))b",
        ]
    )
    func refused(text: String) {
        #expect(throws: Libp2pError.self) { try Multiaddr(parsing: text) }
    }

    @Test("Where to dial")
    func endpoint() throws {
        let peer = "12D3KooWD3bfmNbuuuVCYwkjnFt3ukm3qaB3hDED3peHHXawvRAi"
        let full = try Multiaddr(parsing: "/ip4/10.0.0.1/tcp/4402/p2p/\(peer)")
        #expect(full.tcpEndpoint?.port == 4402)
        #expect(full.tcpEndpoint?.peer?.description == peer)
        #expect(try Multiaddr(parsing: "/dns4/a.example/tcp/1").tcpEndpoint?.host == .dns4("a.example"))
        for text in ["/ip4/1.2.3.4", "/tcp/1", "/tcp/1/tcp/2", "/ip4/1.2.3.4/tcp/1/tcp/2", "/p2p/\(peer)/tcp/1"] {
            #expect(try Multiaddr(parsing: text).tcpEndpoint == nil)
        }
        let other = try PeerKeyTests.peer(2)
        #expect(try full.naming(other).tcpEndpoint?.peer == other)
        #expect(try Multiaddr(parsing: "/ip4/1.2.3.4").naming(other).parts.count == 2)
    }

    @Test("Random bytes crash nothing, and what is read is written the same")
    func random() throws {
        var random = SeededRandom(seed: 61)
        let good = try Multiaddr(parsing: "/dns4/ab.cd/tcp/80/p2p/\(try PeerKeyTests.peer(1))").bytes
        for _ in 0..<5_000 {
            var bytes = random.next().isMultiple(of: 2) ? good : random.bytes(Int(random.next() % 40))
            for _ in 0..<(random.next() % 3) where !bytes.isEmpty {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            guard let address = try? Multiaddr(bytes: bytes) else { continue }
            #expect(address.bytes == bytes)
            #expect(try Multiaddr(parsing: address.description) == address)
        }
    }
}
