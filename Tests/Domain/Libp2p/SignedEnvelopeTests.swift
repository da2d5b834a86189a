import Cryptography
import Encodings
import Libp2p
import Testing

extension PeerKeyTests {
    static func key(_ number: UInt8) throws -> PeerKey {
        PeerKey(try Ed25519.PrivateKey(seed: [UInt8](repeating: number, count: 32)))
    }

    static func peer(_ number: UInt8) throws -> PeerID { try key(number).peerID }
}

/// libp2p RFC 0002 and 0003; go-libp2p's core/record/envelope_test.go tries the same.
@Suite("Signed envelopes and peer records")
struct SignedEnvelopeTests {
    @Test("An envelope holds for its purpose, type and payload only", arguments: [false, true])
    func envelope(secp256k1: Bool) throws {
        let key =
            secp256k1 ? PeerKey(try Secp256k1.Scalar(bytes: [UInt8](repeating: 7, count: 32))) : try PeerKeyTests.key(1)
        let sealed = try SignedEnvelope(
            sealing: [UInt8]("hello world!".utf8),
            type: [UInt8]("/libp2p/testdata".utf8),
            domain: "libp2p-testing",
            key: key
        )
        let bytes = sealed.protobuf
        #expect(try SignedEnvelope(opening: bytes, domain: "libp2p-testing") == sealed)
        #expect(throws: Libp2pError.self) { try SignedEnvelope(opening: bytes, domain: "libp2p-testin") }
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 1
            #expect(throws: Libp2pError.self) { try SignedEnvelope(opening: changed, domain: "libp2p-testing") }
        }
        for count in 0..<bytes.count {
            #expect(throws: Libp2pError.self) {
                try SignedEnvelope(opening: bytes.prefix(count), domain: "libp2p-testing")
            }
        }
        #expect(throws: Libp2pError.self) { try SignedEnvelope(opening: bytes + bytes, domain: "libp2p-testing") }
    }

    @Test("An envelope without a purpose or a type is not sealed")
    func empty() throws {
        let key = try PeerKeyTests.key(1)
        #expect(throws: Libp2pError.self) { try SignedEnvelope(sealing: [], type: [1], domain: "", key: key) }
        #expect(throws: Libp2pError.self) { try SignedEnvelope(sealing: [], type: [], domain: "a", key: key) }
        let large = [UInt8](repeating: 0, count: SignedEnvelope.maximumBytes)
        #expect(throws: Libp2pError.self) { try SignedEnvelope(sealing: large, type: [1], domain: "a", key: key) }
    }

    @Test("The bytes of a peer record are those that others make")
    func record() throws {
        let key = try PeerKeyTests.key(1)
        let address = try Multiaddr(parsing: "/ip4/192.0.2.0/tcp/42")
        let sealed = try PeerRecord(peer: key.peerID, sequence: 1_570_215_229, addresses: [address]).sealed(with: key)
        #expect(sealed.payloadType == [0x03, 0x01])
        let record = "0a26" + Hex.encode(key.peerID.bytes) + "10bdaadeec05" + "1a0a0a0804c000020006002a"
        #expect(Hex.encode(sealed.payload) == record)
        let read = try PeerRecord(opening: sealed.protobuf)
        #expect(read.peer == key.peerID)
        #expect(read.sequence == 1_570_215_229)
        #expect(read.addresses == [address])
    }

    @Test("A record of somebody else, or of unknown addresses")
    func wrongPeer() throws {
        let key = try PeerKeyTests.key(1)
        let record = PeerRecord(peer: try PeerKeyTests.peer(2), sequence: 1, addresses: [])
        #expect(throws: Libp2pError.self) { try record.sealed(with: key) }
        let stranger: [UInt8] = [0x0a, 0x26] + (try PeerKeyTests.peer(2)).bytes
        let forged = try SignedEnvelope(sealing: stranger, type: [3, 1], domain: "libp2p-peer-record", key: key)
        #expect(
            PeerKeyTests.code { () throws(Libp2pError) in _ = try PeerRecord(opening: forged.protobuf) } == .wrongPeer
        )
        // A QUIC address (udp is 273) is skipped, the TCP one kept.
        let quic: [UInt8] = [0x1a, 0x0a, 0x0a, 0x08, 0x04, 1, 2, 3, 4, 0x91, 0x02, 0x01]
        let tcp: [UInt8] = [0x1a, 0x0a, 0x0a, 0x08, 0x04, 1, 2, 3, 4, 0x06, 0x00, 0x01]
        let mixed = [0x0a, 0x26] + key.peerID.bytes + quic + tcp
        let sealed = try SignedEnvelope(sealing: mixed, type: [3, 1], domain: "libp2p-peer-record", key: key)
        #expect(try PeerRecord(opening: sealed.protobuf).addresses.map(\.description) == ["/ip4/1.2.3.4/tcp/1"])
        let other = try SignedEnvelope(sealing: mixed, type: [3, 2], domain: "libp2p-peer-record", key: key)
        #expect(throws: Libp2pError.self) { try PeerRecord(opening: other.protobuf) }
    }
}
