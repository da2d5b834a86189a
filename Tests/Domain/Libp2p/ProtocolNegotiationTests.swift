import Libp2p
import TestSupport
import Testing

/// multistream-select 1.0.0 (https://github.com/multiformats/multistream-select).
@Suite("Protocol negotiation")
struct ProtocolNegotiationTests {
    static let header: [UInt8] = [0x13] + [UInt8]("/multistream/1.0.0\n".utf8)

    static func line(_ text: String) -> [UInt8] { [UInt8(text.utf8.count + 1)] + [UInt8](text.utf8) + [0x0A] }

    @Test("The first proposal goes with the header and is agreed on in one round trip; what follows is handed on")
    func agreed() throws {
        var dialer = ProtocolNegotiation(proposing: ["/noise"])
        let hello = dialer.start()
        #expect(hello == Self.header + Self.line("/noise"))
        var listener = ProtocolNegotiation(accepting: ["/tls/1.0.0", "/noise"])
        #expect(listener.start().isEmpty)
        let answer = try listener.receive(hello + [1, 2, 3])
        #expect(answer.agreed == "/noise")
        #expect(Array(answer.rest) == [1, 2, 3])
        #expect(answer.send == Self.header + Self.line("/noise"))
        let end = try dialer.receive(answer.send + [4])
        #expect(end.agreed == "/noise" && Array(end.rest) == [4] && end.send.isEmpty)
    }

    @Test("Byte by byte, and with a peer that waits for each answer")
    func slow() throws {
        var dialer = ProtocolNegotiation(proposing: ["/a/1", "/b/1"])
        var listener = ProtocolNegotiation(accepting: ["/b/1"])
        var toListener = dialer.start()
        var agreed: [String?] = [nil, nil]
        while !toListener.isEmpty {
            var toDialer: [UInt8] = []
            for byte in toListener {
                let progress = try listener.receive([byte])
                toDialer += progress.send
                agreed[1] = progress.agreed ?? agreed[1]
            }
            toListener = []
            for byte in toDialer {
                let progress = try dialer.receive([byte])
                toListener += progress.send
                agreed[0] = progress.agreed ?? agreed[0]
            }
        }
        #expect(agreed == ["/b/1", "/b/1"])
    }

    @Test("Nothing in common, and answers that were not asked for")
    func refused() throws {
        var dialer = ProtocolNegotiation(proposing: ["/a"])
        _ = dialer.start()
        var copy = dialer
        #expect(
            PeerKeyTests.code { () throws(Libp2pError) in _ = try copy.receive(Self.header + Self.line("na")) }
                == .notNegotiated
        )
        copy = dialer
        #expect(
            PeerKeyTests.code { () throws(Libp2pError) in _ = try copy.receive(Self.header + Self.line("/b")) }
                == .protocolViolation
        )
        copy = dialer
        #expect(
            PeerKeyTests.code { () throws(Libp2pError) in _ = try copy.receive(Self.line("/a")) } == .protocolViolation
        )
        var listener = ProtocolNegotiation(accepting: ["/b"])
        _ = try listener.receive(Self.header)
        for _ in 0..<32 { #expect(try listener.receive(Self.line("/x")).send == Self.line("na")) }
        #expect(
            PeerKeyTests.code { () throws(Libp2pError) in _ = try listener.receive(Self.line("/x")) } == .notNegotiated
        )
    }

    @Test("Lines that are too long, without an end, empty, or with other characters")
    func malformed() {
        for bytes: [UInt8] in [
            [0x00], [0x01, 0x41], [0x05] + [UInt8]("/abc ".utf8), [0xFF, 0x7F], [0x80, 0x80, 0x01], [0x81, 0x00, 0x0A],
            [0x03, 0xC3, 0xA4, 0x0A], [UInt8]("GET / HTTP/1.1\r\n\r\n".utf8) + [UInt8](repeating: 0x41, count: 80),
        ] {
            var listener = ProtocolNegotiation(accepting: ["/b"])
            #expect(throws: Libp2pError.self) { try listener.receive(bytes) }
        }
    }
}

@Suite("Delimited messages")
struct DelimitedReaderTests {
    @Test("Messages in any pieces; longer ones are refused by their length alone")
    func pieces() throws {
        var random = SeededRandom(seed: 5)
        let messages = [0, 1, 127, 128, 300, 16_383, 16_384, 20_000].map { random.bytes($0) }
        var wire: [UInt8] = []
        for message in messages {
            wire.append(varint: UInt64(message.count))
            wire += message
        }
        for piece in [1, 13, 4_000, wire.count] {
            var reader = DelimitedReader(maximumBytes: 20_000)
            var got: [[UInt8]] = []
            for start in stride(from: 0, to: wire.count, by: piece) {
                reader.append(wire[start..<min(start + piece, wire.count)])
                while let message = try reader.next() { got.append([UInt8](message)) }
            }
            #expect(got == messages)
            #expect(reader.isAtBoundary)
        }
        for bytes: [UInt8] in [[0xA1, 0x9C, 0x01], [0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [0x80, 0x00]] {
            var reader = DelimitedReader(maximumBytes: 20_000)
            reader.append(bytes)
            #expect(throws: Libp2pError.self) { try reader.next() }
        }
    }
}
