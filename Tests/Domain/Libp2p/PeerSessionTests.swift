import TestSupport
import Testing

@testable import Libp2p

@Suite("Peer sessions")
struct PeerSessionTests {
    /// Two sessions joined without a socket.
    struct Pair {
        var dialer: PeerSession
        var listener: PeerSession

        init(protocols: [String] = ["/a/1"], limits: Yamux.Limits = Yamux.Limits()) throws {
            let (one, two) = (try PeerKeyTests.key(1), try PeerKeyTests.key(2))
            dialer = PeerSession(isDialer: true, key: one, expecting: two.peerID, protocols: protocols, limits: limits)
            listener = PeerSession(isDialer: false, key: two, protocols: protocols, limits: limits)
        }

        mutating func carry(piece: Int = .max) throws -> (dialer: [PeerSession.Event], listener: [PeerSession.Event]) {
            var events: ([PeerSession.Event], [PeerSession.Event]) = ([], [])
            while dialer.hasOutput || listener.hasOutput {
                events.1 += try Self.move(from: &dialer, to: &listener, piece, &events.0)
                events.0 += try Self.move(from: &listener, to: &dialer, piece, &events.1)
            }
            return events
        }

        static func move(
            from sender: inout PeerSession,
            to receiver: inout PeerSession,
            _ piece: Int,
            _ senders: inout [PeerSession.Event]
        ) throws -> [PeerSession.Event] {
            let (bytes, writable) = try sender.takeOutput()
            senders += writable.map { .writable($0) }
            var events: [PeerSession.Event] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                events += try receiver.receive(rest.prefix(piece))
                rest = rest.dropFirst(piece)
            }
            return events
        }
    }

    @Test("From nothing to streams with agreed protocols, in pieces of any size", arguments: [1, 3, 100, .max])
    func whole(piece: Int) throws {
        var pair = try Pair(protocols: ["/a/1", "/b/1"])
        var events = try pair.carry(piece: piece)
        #expect(events.dialer == [.established(try PeerKeyTests.peer(2))])
        #expect(events.listener == [.established(try PeerKeyTests.peer(1))])
        let id = try pair.dialer.open(["/x/1", "/b/1"])
        events = try pair.carry(piece: piece)
        #expect(events.dialer == [.agreed(id, "/b/1")] && events.listener == [.accepted(id, "/b/1")])
        #expect(try pair.listener.send([1, 2], on: id) == 2)
        pair.listener.finish(id)
        #expect(try pair.carry().dialer == [.data(id, [1, 2]), .finished(id)])
        pair.dialer.consumed(2, on: id)
        pair.dialer.finish(id)
        _ = try pair.carry()
        #expect(pair.dialer.streamCount == 0 && pair.listener.streamCount == 0)
        let none = try pair.listener.open(["/x/1"])
        #expect(try pair.carry().listener == [.refused(none)])
        #expect(pair.dialer.streamCount == 0 && pair.listener.streamCount == 0)
    }

    @Test("[GSP-2] A part of a frame is no sign of life, however often more of it comes; the whole is one")
    func framesReceived() throws {
        var pair = try Pair()
        _ = try pair.carry()
        let before = pair.listener.framesReceived
        pair.dialer.ping(7)
        let bytes = try pair.dialer.takeOutput().bytes
        for byte in bytes.dropLast() { _ = try pair.listener.receive([byte]) }
        #expect(pair.listener.framesReceived == before && !pair.listener.hasOutput)
        _ = try pair.listener.receive(bytes.suffix(1))
        #expect(pair.listener.framesReceived == before + 1 && pair.listener.hasOutput)
    }

    @Test("A peer that does not name its muxer in the handshake negotiates it afterwards")
    func plainMuxer() throws {
        // The other side by hand: negotiation, Noise without extensions, negotiation, Yamux.
        let (one, two) = (try PeerKeyTests.key(1), try PeerKeyTests.key(2))
        var session = PeerSession(isDialer: false, key: two, protocols: ["/a/1"])
        var noise = NoiseChannel(isInitiator: true, key: one)
        var negotiation = ProtocolNegotiation(proposing: ["/noise"])
        _ = try session.receive(negotiation.start()[...])
        #expect(try negotiation.receive(try session.takeOutput().bytes).agreed == "/noise")
        _ = try session.receive(try noise.start()[...])
        _ = try session.receive(try noise.receive(try session.takeOutput().bytes[...]).send[...])
        #expect(session.peer?.id == one.peerID && session.peer?.muxer == nil)
        #expect(throws: Libp2pError.self) { try session.open(["/a/1"]) }
        var muxing = ProtocolNegotiation(proposing: ["/mplex/6.7.0", "/yamux/1.0.0"])
        var wire: [UInt8] = []
        try noise.seal(muxing.start()[...], to: &wire)
        _ = try session.receive(wire[...])
        let refusal = try noise.receive(try session.takeOutput().bytes[...]).plaintext.flatMap { $0 }
        wire = []
        try noise.seal(try muxing.receive(refusal).send[...], to: &wire)
        // The first frames of Yamux come with the proposal.
        try noise.seal(YamuxTests.frame(1, 1, 1, 0)[...], to: &wire)
        #expect(try session.receive(wire[...]) == [.established(one.peerID)])
        let answer = try noise.receive(try session.takeOutput().bytes[...]).plaintext.flatMap { $0 }
        let progress = try muxing.receive(answer)
        #expect(progress.agreed == "/yamux/1.0.0")
        #expect(Array(progress.rest) == YamuxTests.frame(1, 2, 1, 0))
    }

    @Test("Streams on which nothing is agreed are broken off in the second tick; the rest goes on")
    func ticks() throws {
        var pair = try Pair()
        _ = try pair.carry()
        let id = try pair.dialer.open(["/a/1"])
        // It is on its way and not answered.
        #expect(pair.dialer.tick() == [])
        #expect(pair.dialer.tick() == [.refused(id)])
        _ = try pair.carry()
        #expect(pair.dialer.streamCount == 0 && pair.listener.streamCount == 0)
        let other = try pair.dialer.open(["/a/1"])
        #expect(try pair.carry().dialer == [.agreed(other, "/a/1")])
        for _ in 0..<3 { #expect(pair.dialer.tick() == [] && pair.listener.tick() == []) }
        #expect(pair.dialer.streamCount == 1)
    }

    @Test("A stream that breaks the rules of negotiation breaks only itself")
    func badStream() throws {
        var pair = try Pair()
        _ = try pair.carry()
        let good = try pair.dialer.open(["/a/1"])
        let bad = try pair.dialer.open(["/with space"])
        let events = try pair.carry()
        #expect(events.dialer == [.agreed(good, "/a/1"), .refused(bad)])
        #expect(events.listener == [.accepted(good, "/a/1")])
    }

    @Test("A megabyte passes through windows and bounded output")
    func bulk() throws {
        var limits = Yamux.Limits()
        limits.outputBytes = 100_000
        var pair = try Pair(limits: limits)
        _ = try pair.carry()
        let id = try pair.dialer.open(["/a/1"])
        _ = try pair.carry()
        var random = SeededRandom(seed: 9)
        let sent = random.bytes(1_000_000)
        var rest = sent[...]
        var got: [UInt8] = []
        while got.count < sent.count {
            rest = rest.dropFirst(try pair.dialer.send(rest, on: id))
            let before = got.count
            for case .data(_, let bytes) in try pair.carry(piece: 7_919).listener {
                got += bytes
                pair.listener.consumed(bytes.count, on: id)
            }
            #expect(got.count > before)
        }
        #expect(got == sent)
    }

    @Test("Random changes of what passes crash nothing")
    func random() throws {
        var random = SeededRandom(seed: 31)
        for _ in 0..<150 {
            var pair = try Pair()
            if random.next().isMultiple(of: 2) { _ = try pair.carry() }
            _ = try? pair.dialer.open(["/a/1"])
            for _ in 0..<6 {
                guard var bytes = try? pair.dialer.takeOutput().bytes else { break }
                if !bytes.isEmpty { bytes[Int(random.next() % UInt64(bytes.count))] ^= UInt8(1 + random.next() % 255) }
                guard (try? pair.listener.receive((bytes + random.bytes(Int(random.next() % 40)))[...])) != nil,
                    let back = try? pair.listener.takeOutput().bytes,
                    (try? pair.dialer.receive(back[...])) != nil
                else { break }
            }
        }
    }
}
