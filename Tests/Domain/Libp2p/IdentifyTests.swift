import Libp2p
import TestSupport
import Testing

@Suite("Identify")
struct IdentifyTests {
    @Test("What one tells, the other reads, also in two messages, and holds against who it is")
    func roundTrip() throws {
        let key = try PeerKeyTests.key(1)
        let address = try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/4402")
        var told = Identify()
        told.publicKey = key.publicKey
        told.listenAddresses = [address]
        told.protocols = ["/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"]
        told.observedAddress = address
        told.protocolVersion = "mintmark/1"
        told.agentVersion = "mintmark/0.1"
        var record = Identify()
        record.signedPeerRecord =
            try PeerRecord(peer: key.peerID, sequence: 1, addresses: [address]).sealed(with: key).protobuf
        var reader = DelimitedReader(maximumBytes: Identify.maximumBytes)
        reader.append(told.delimited + record.delimited)
        var read = Identify()
        while let message = try reader.next() { try read.merge(message) }
        told.signedPeerRecord = record.signedPeerRecord
        #expect(read == told)
        #expect(try read.verified(for: key.peerID)?.addresses == [address])
        let stranger = try PeerKeyTests.peer(2)
        #expect(throws: Libp2pError.self) { try read.verified(for: stranger) }
        read.publicKey = nil
        #expect(throws: Libp2pError.self) { try read.verified(for: stranger) }
    }

    @Test("Addresses not spoken here are left out, floods are cut, and random bytes crash nothing")
    func bounds() throws {
        var flood = Identify()
        flood.protocols = (0..<1_000).map { "/p/\($0)" }
        flood.listenAddresses = try (1...500).map { try Multiaddr(parsing: "/ip4/127.0.0.1/tcp/\($0)") }
        var reader = DelimitedReader(maximumBytes: Identify.maximumBytes)
        reader.append(flood.delimited)
        var read = Identify()
        try read.merge(try #require(try reader.next()))
        #expect(read.protocols.count == 256 && read.listenAddresses.count == 64)
        var quic = Identify()
        try quic.merge([0x12, 0x08, 0x04, 1, 2, 3, 4, 0x91, 0x02, 0x01])
        #expect(quic.listenAddresses.isEmpty)
        var random = SeededRandom(seed: 3)
        for _ in 0..<3_000 {
            var any = Identify()
            try? any.merge(random.bytes(Int(random.next() % 64))[...])
        }
    }
}
