import Cryptography
import Encodings
import Foundation
import TestSupport
import Testing

@testable import Libp2p

@Suite("Noise")
struct NoiseTests {
    struct Vectors: Decodable {
        struct Vector: Decodable, CustomTestStringConvertible {
            struct Message: Decodable {
                let payload: String
                let ciphertext: String
            }

            let name: String
            let initPrologue: String
            let initStatic: String
            let initEphemeral: String
            let respStatic: String
            let respEphemeral: String
            let handshakeHash: String?
            let messages: [Message]

            var testDescription: String { name }
        }

        let vectors: [Vector]
    }

    static func vectors() throws -> [Vectors.Vector] {
        let bytes = try Fixtures.bytes("noise/xx_25519_chachapoly_sha256.json")
        return try JSONDecoder().decode(Vectors.self, from: Data(bytes)).vectors
    }

    @Test("Published vectors of XX, handshake and transport", arguments: try vectors())
    func published(vector: Vectors.Vector) throws {
        let prologue = try Hex.decode(vector.initPrologue)
        var sides = [
            try NoiseHandshake(
                isInitiator: true,
                staticKey: try Hex.decode(vector.initStatic),
                ephemeralKey: try Hex.decode(vector.initEphemeral),
                prologue: prologue
            ),
            try NoiseHandshake(
                isInitiator: false,
                staticKey: try Hex.decode(vector.respStatic),
                ephemeralKey: try Hex.decode(vector.respEphemeral),
                prologue: prologue
            ),
        ]
        for (index, message) in vector.messages.prefix(3).enumerated() {
            let sender = index % 2
            #expect(sides[sender].isOursToSend && !sides[1 - sender].isOursToSend)
            let written = try sides[sender].write(try Hex.decode(message.payload))
            #expect(Hex.encode(written) == message.ciphertext)
            #expect(Hex.encode(try sides[1 - sender].read(written[...])) == message.payload)
        }
        #expect(sides[0].isComplete && sides[1].isComplete)
        #expect(sides[0].hash == sides[1].hash)
        if let hash = vector.handshakeHash { #expect(Hex.encode(sides[0].hash) == hash) }
        var ciphers = sides.map { $0.ciphers() }
        for (index, message) in vector.messages.enumerated().dropFirst(3) {
            let sender = index % 2
            var sealed: [UInt8] = []
            try ciphers[sender].sending.seal(try Hex.decode(message.payload)[...], to: &sealed)
            #expect(Hex.encode(sealed) == message.ciphertext)
            #expect(Hex.encode(try ciphers[1 - sender].receiving.open(sealed[...])) == message.payload)
        }
    }

    /// Two channels, joined byte by byte in pieces of a given size.
    struct Pair {
        var dialer: NoiseChannel
        var listener: NoiseChannel
        var peers: [NoiseChannel.Peer?] = [nil, nil]

        init(
            _ dialerKey: PeerKey,
            _ listenerKey: PeerKey,
            expecting: PeerID? = nil,
            muxers: ([String], [String]) = ([], [])
        ) {
            dialer = NoiseChannel(isInitiator: true, key: dialerKey, expecting: expecting, muxers: muxers.0)
            listener = NoiseChannel(isInitiator: false, key: listenerKey, muxers: muxers.1)
        }

        mutating func shake(piece: Int = 7) throws {
            var toListener = try dialer.start()
            while !toListener.isEmpty {
                var toDialer: [UInt8] = []
                for start in stride(from: 0, to: toListener.count, by: piece) {
                    let received = try listener.receive(toListener[start..<min(start + piece, toListener.count)])
                    toDialer += received.send
                    peers[1] = received.peer ?? peers[1]
                }
                toListener = []
                for start in stride(from: 0, to: toDialer.count, by: piece) {
                    let received = try dialer.receive(toDialer[start..<min(start + piece, toDialer.count)])
                    toListener += received.send
                    peers[0] = received.peer ?? peers[0]
                }
            }
        }
    }

    @Test(
        "Two peers know each other, whatever the kinds of their keys and the pieces of the bytes",
        arguments: [1, 7, 4096]
    )
    func handshake(piece: Int) throws {
        let ed = try PeerKeyTests.key(1)
        let secp = PeerKey(try Secp256k1.Scalar(bytes: [UInt8](repeating: 9, count: 32)))
        var pair = Pair(ed, secp, expecting: secp.peerID, muxers: (["/a", "/yamux/1.0.0"], ["/yamux/1.0.0", "/a"]))
        try pair.shake(piece: piece)
        #expect(pair.peers[0] == NoiseChannel.Peer(id: secp.peerID, key: secp.publicKey, muxer: "/a"))
        #expect(pair.peers[1] == NoiseChannel.Peer(id: ed.peerID, key: ed.publicKey, muxer: "/a"))
        var random = SeededRandom(seed: 1)
        for count in [1, 100, 65_519, 65_520, 200_000] {
            let sent = random.bytes(count)
            var wire: [UInt8] = []
            try pair.dialer.seal(sent[...], to: &wire)
            var got: [UInt8] = []
            for start in stride(from: 0, to: wire.count, by: 10_001) {
                got += try pair.listener.receive(wire[start..<min(start + 10_001, wire.count)]).plaintext.flatMap { $0 }
            }
            #expect(got == sent)
        }
    }

    @Test("A muxer is left to negotiation where one side names none; none in common fails")
    func muxers() throws {
        let (one, two) = (try PeerKeyTests.key(1), try PeerKeyTests.key(2))
        var silent = Pair(one, two, muxers: (["/yamux/1.0.0"], []))
        try silent.shake()
        #expect(silent.peers.map { $0?.muxer } == [nil, nil])
        var apart = Pair(one, two, muxers: (["/yamux/1.0.0"], ["/mplex/6.7.0"]))
        #expect(throws: Libp2pError.self) { try apart.shake() }
    }

    @Test("Another peer than the one dialed, and this one itself, are refused")
    func wrongPeer() throws {
        let (one, two) = (try PeerKeyTests.key(1), try PeerKeyTests.key(2))
        var other = Pair(one, two, expecting: try PeerKeyTests.peer(3))
        #expect(throws: Libp2pError(.wrongPeer, "another peer answered than the one that was dialed")) {
            try other.shake()
        }
        var own = Pair(one, one)
        #expect(throws: Libp2pError.self) { try own.shake() }
    }

    @Test("A byte changed anywhere in a handshake, and a payload signed for another key, are refused")
    func tampered() throws {
        let (one, two) = (try PeerKeyTests.key(1), try PeerKeyTests.key(2))
        var base = Pair(one, two)
        let first = try base.dialer.start()
        let second = try base.listener.receive(first[...]).send
        for index in second.indices {
            var dialer = base.dialer
            var changed = second
            changed[index] ^= 1
            // A shorter length is refused; a longer one waits for bytes that never come.
            let received = try? dialer.receive(changed[...])
            #expect(received?.peer == nil && received?.send.isEmpty != false)
        }
        var replayed = NoiseChannel(isInitiator: true, key: one)
        _ = try replayed.start()
        #expect(throws: Libp2pError.self) { try replayed.receive(second[...]) }
        let payload = try NoisePayload.encode(key: one, staticKey: [UInt8](repeating: 1, count: 32), muxers: [])
        #expect(throws: Libp2pError.self) {
            try NoisePayload(payload, staticKey: [UInt8](repeating: 2, count: 32))
        }
        // A low-order ephemeral key would make the shared secret known to everybody.
        var listener = NoiseChannel(isInitiator: false, key: two)
        #expect(throws: Libp2pError.self) {
            _ = try listener.receive(([0, 32] + [UInt8](repeating: 0, count: 32))[...])
        }
    }

    @Test("Frames changed, repeated, dropped or in another order do not open; then nothing does")
    func transport() throws {
        var pair = Pair(try PeerKeyTests.key(1), try PeerKeyTests.key(2))
        try pair.shake()
        var frames: [[UInt8]] = []
        for byte in UInt8(1)...3 {
            var wire: [UInt8] = []
            try pair.dialer.seal([byte], to: &wire)
            frames.append(wire)
        }
        var replay = pair.listener
        _ = try replay.receive(frames[0][...])
        #expect(throws: Libp2pError.self) { try replay.receive(frames[0][...]) }
        #expect(throws: Libp2pError.self) { try replay.receive(frames[1][...]) }
        var dropped = pair.listener
        #expect(throws: Libp2pError.self) { try dropped.receive(frames[1][...]) }
        for index in 2..<frames[0].count {
            var changed = frames[0]
            changed[index] ^= 0x80
            var listener = pair.listener
            #expect(throws: Libp2pError.self) { try listener.receive(changed[...]) }
        }
        var short = pair.listener
        #expect(throws: Libp2pError.self) { try short.receive([0, 15] + [UInt8](repeating: 0, count: 15)) }
    }

    @Test("A message of the handshake that is too long is refused before it has come")
    func tooLong() throws {
        var listener = NoiseChannel(isInitiator: false, key: try PeerKeyTests.key(2))
        #expect(throws: Libp2pError.self) { try listener.receive([0x10, 0x01]) }
    }

    @Test("Random bytes crash nothing")
    func random() throws {
        var random = SeededRandom(seed: 77)
        for round in 0..<300 {
            var channel = NoiseChannel(isInitiator: round.isMultiple(of: 2), key: try PeerKeyTests.key(1))
            _ = try channel.start()
            for _ in 0..<4 {
                var bytes = random.bytes(Int(random.next() % 200))
                if bytes.count > 2 { bytes[0] = 0 }
                guard (try? channel.receive(bytes[...])) != nil else { break }
            }
        }
    }
}
