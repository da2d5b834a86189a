import TestSupport
import Testing

@testable import Libp2p

/// Two sessions joined without a wire between them.
struct YamuxPair {
    var dialer: Yamux
    var listener: Yamux

    init(_ limits: Yamux.Limits = Yamux.Limits()) {
        dialer = Yamux(isDialer: true, limits: limits)
        listener = Yamux(isDialer: false, limits: limits)
    }

    /// Carries what each has to send to the other, in pieces, until both are silent.
    mutating func carry(piece: Int = .max) throws -> (dialer: [Yamux.Event], listener: [Yamux.Event]) {
        var events: ([Yamux.Event], [Yamux.Event]) = ([], [])
        while dialer.outputCount > 0 || listener.outputCount > 0 {
            events.1 += try Self.feed(dialer.takeOutput(), piece, &listener)
            events.0 += dialer.drainedStreams().map { .writable($0) }
            events.0 += try Self.feed(listener.takeOutput(), piece, &dialer)
            events.1 += listener.drainedStreams().map { .writable($0) }
        }
        return events
    }

    private static func feed(_ bytes: [UInt8], _ piece: Int, _ session: inout Yamux) throws -> [Yamux.Event] {
        var events: [Yamux.Event] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            events += try session.receive(rest.prefix(piece))
            rest = rest.dropFirst(piece)
        }
        return events
    }
}

/// https://github.com/hashicorp/yamux/blob/master/spec.md
@Suite("Yamux")
struct YamuxTests {
    static func frame(_ kind: UInt8, _ flags: UInt8, _ stream: UInt32, _ length: UInt32) -> [UInt8] {
        func bytes(_ number: UInt32) -> [UInt8] {
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
        }
        return [0, kind, 0, flags] + bytes(stream) + bytes(length)
    }

    static func code(_ session: inout Yamux, _ bytes: [UInt8]) -> Libp2pError.Code? {
        do {
            _ = try session.receive(bytes[...])
            return nil
        } catch {
            return error.code
        }
    }

    @Test("The frames are those of the specification")
    func frames() throws {
        var session = Yamux(isDialer: true)
        let id = try session.open()
        #expect(id == 1)
        #expect(session.takeOutput() == Self.frame(1, 1, 1, 0))
        #expect(try session.send([7, 8], on: 1) == 2)
        session.finish(1)
        #expect(session.takeOutput() == Self.frame(0, 0, 1, 2) + [7, 8] + Self.frame(0, 4, 1, 0))
        session.ping(0x0102_0304)
        session.goAway()
        #expect(session.takeOutput() == Self.frame(2, 1, 0, 0x0102_0304) + Self.frame(3, 0, 0, 0))
        var listener = Yamux(isDialer: false)
        #expect(try listener.open() == 2)
        #expect(try listener.receive((Self.frame(2, 1, 0, 9) + Self.frame(2, 2, 0, 5))[...]) == [.pong(5)])
        #expect(listener.takeOutput() == Self.frame(1, 1, 2, 0) + Self.frame(2, 2, 0, 9))
    }

    @Test("Streams both ways, in pieces of any size", arguments: [1, 5, 11, 1_000, .max])
    func streams(piece: Int) throws {
        var pair = YamuxPair()
        let (one, two) = (try pair.dialer.open(), try pair.dialer.open())
        #expect(try pair.dialer.send([1, 2, 3], on: one) == 3)
        #expect(try pair.dialer.send([4], on: two) == 1)
        pair.dialer.finish(one)
        var got: [UInt32: [UInt8]] = [:]
        var others: [Yamux.Event] = []
        for event in try pair.carry(piece: piece).listener {
            if case .data(let id, let bytes) = event { got[id, default: []] += bytes } else { others.append(event) }
        }
        #expect(got == [1: [1, 2, 3], 3: [4]])
        #expect(others == [.opened(1), .opened(3), .finished(1)])
        #expect(try pair.listener.send([9], on: one) == 1)
        pair.listener.consumed(3, on: one)
        pair.listener.finish(one)
        #expect(try pair.carry(piece: piece).dialer == [.data(1, [9]), .finished(1)])
        #expect(pair.listener.streamCount == 1)
        #expect(pair.dialer.streamCount == 2)
        // What was read last lets the finished stream go.
        pair.dialer.consumed(1, on: one)
        #expect(pair.dialer.streamCount == 1)
        pair.dialer.reset(two)
        #expect(try pair.carry().listener == [.reset(3)])
        #expect(pair.listener.streamCount == 0 && pair.dialer.streamCount == 0)
    }

    @Test("A reader that stops stops its sender at the window; reading half of it lets it go on")
    func backpressure() throws {
        var limits = Yamux.Limits()
        limits.outputBytes = 4 * 1024 * 1024
        var pair = YamuxPair(limits)
        let id = try pair.dialer.open()
        let window = Int(Yamux.initialWindowBytes)
        let all = [UInt8](repeating: 1, count: window + 1_000)
        #expect(try pair.dialer.send(all[...], on: id) == window)
        #expect(try pair.dialer.send([1], on: id) == 0)
        _ = try pair.carry()
        pair.listener.consumed(window / 2 - 1, on: id)
        #expect(try pair.carry().dialer == [])
        pair.listener.consumed(1, on: id)
        #expect(try pair.carry().dialer == [.writable(id)])
        #expect(try pair.dialer.send(all[...], on: id) == window / 2)
    }

    @Test("Output that is not taken stops the senders, and lets them go on once it is; nobody is forgotten")
    func outputBound() throws {
        var limits = Yamux.Limits()
        limits.outputBytes = 1_000
        var pair = YamuxPair(limits)
        let ids = [try pair.dialer.open(), try pair.dialer.open()]
        _ = try pair.carry()
        let bytes = [UInt8](repeating: 1, count: 2_000)
        #expect(try pair.dialer.send(bytes[...], on: ids[0]) == 1_000)
        #expect(try pair.dialer.send(bytes[...], on: ids[1]) == 0)
        #expect(pair.dialer.drainedStreams() == [])
        _ = pair.dialer.takeOutput()
        #expect(pair.dialer.drainedStreams() == ids)
        #expect(pair.dialer.drainedStreams() == [])
    }

    @Test("Credit that comes while the output is full wakes the sender once it is taken")
    func creditWhileFull() throws {
        var limits = Yamux.Limits()
        limits.outputBytes = Int(Yamux.initialWindowBytes) + 100
        var session = Yamux(isDialer: true, limits: limits)
        let id = try session.open()
        let other = try session.open()
        let window = [UInt8](repeating: 0, count: Int(Yamux.initialWindowBytes) + 1)
        #expect(try session.send(window[...], on: id) == window.count - 1)
        _ = try session.send([UInt8](repeating: 0, count: 60)[...], on: other)
        #expect(try session.receive(Self.frame(1, 0, id, 500)[...]) == [])
        _ = session.takeOutput()
        #expect(session.drainedStreams() == [id])
    }

    @Test("Attacks on the window: more than its credit, credit that overflows, data after the end")
    func windowAttacks() throws {
        var session = Yamux(isDialer: false)
        #expect(Self.code(&session, Self.frame(0, 1, 1, 256 * 1024 + 1)) == .protocolViolation)
        session = Yamux(isDialer: false)
        #expect(Self.code(&session, Self.frame(1, 1, 1, .max - 256 * 1024)) == nil)
        #expect(Self.code(&session, Self.frame(1, 0, 1, 1)) == .protocolViolation)
        session = Yamux(isDialer: false)
        #expect(Self.code(&session, Self.frame(0, 5, 1, 0) + Self.frame(0, 0, 1, 1)) == .protocolViolation)
        session = Yamux(isDialer: false)
        #expect(Self.code(&session, Self.frame(0, 0, 1, .max)) == .protocolViolation)
        // The peer is told why.
        #expect(session.takeOutput() == Self.frame(3, 0, 0, 1))
    }

    @Test("Frames that no version has, of wrong streams, opened twice or by the wrong side")
    func malformed() {
        for bytes in [
            [1] + Self.frame(0, 1, 1, 0).dropFirst(), Self.frame(4, 0, 1, 0), Self.frame(0, 16, 1, 0),
            Self.frame(0, 1, 0, 0), Self.frame(1, 1, 0, 0), Self.frame(2, 1, 1, 0), Self.frame(3, 0, 1, 0),
            Self.frame(1, 1, 2, 0), Self.frame(1, 1, 1, 0) + Self.frame(1, 1, 1, 0),
        ] {
            var session = Yamux(isDialer: false)
            #expect(Self.code(&session, bytes) == .protocolViolation)
        }
    }

    @Test("A flood of streams is refused one by one, then the peer is cut off; memory stays flat")
    func streamFlood() throws {
        var session = Yamux(isDialer: false)
        var id: UInt32 = 1
        var opened = 0
        var code: Libp2pError.Code?
        while code == nil, id < 20_000 {
            do {
                opened += try session.receive(Self.frame(1, 1, id, 0)[...]).count
            } catch {
                code = error.code
            }
            _ = session.takeOutput()
            id += 2
        }
        #expect(opened == 256)
        #expect(code == .limitExceeded)
        #expect(id == 2 * (256 + 1_025) + 1)
        #expect(session.streamCount == 256)
    }

    @Test("A peer that pings and does not read is cut off")
    func pingFlood() throws {
        var limits = Yamux.Limits()
        limits.outputBytes = 10_000
        var session = Yamux(isDialer: false, limits: limits)
        var code: Libp2pError.Code?
        for _ in 0..<3_000 where code == nil { code = Self.code(&session, Self.frame(2, 1, 0, 1)) }
        #expect(code == .limitExceeded)
        #expect(session.outputCount < 20_100)
    }

    @Test("Bytes that nobody reads are bounded over all streams: the stream over it is reset, the others go on")
    func unread() throws {
        var limits = Yamux.Limits()
        limits.unreadBytes = 1_000
        var pair = YamuxPair(limits)
        let (one, two) = (try pair.dialer.open(), try pair.dialer.open())
        _ = try pair.dialer.send([UInt8](repeating: 0, count: 900)[...], on: one)
        _ = try pair.dialer.send([UInt8](repeating: 0, count: 200)[...], on: two)
        let events = try pair.carry()
        #expect(events.listener.last == .reset(two))
        #expect(events.dialer == [.reset(two)])
        pair.listener.consumed(900, on: one)
        _ = try pair.dialer.send([UInt8](repeating: 0, count: 900)[...], on: one)
        #expect(try pair.carry().listener == [.data(one, [UInt8](repeating: 0, count: 900)[...])])
    }

    @Test("Streams that are not answered, and too many, are not opened; after a go-away none is")
    func openLimits() throws {
        var limits = Yamux.Limits()
        limits.unacknowledgedStreams = 2
        limits.outboundStreams = 3
        var pair = YamuxPair(limits)
        _ = try pair.dialer.open()
        let second = try pair.dialer.open()
        #expect(throws: Libp2pError.self) { try pair.dialer.open() }
        _ = try pair.carry()
        _ = try pair.dialer.open()
        _ = try pair.carry()
        #expect(throws: Libp2pError.self) { try pair.dialer.open() }
        pair.dialer.reset(second)
        _ = try pair.dialer.open()
        pair.listener.goAway()
        #expect(try pair.carry().dialer.contains(.goneAway(0)))
        pair.dialer.reset(1)
        #expect(throws: Libp2pError.self) { try pair.dialer.open() }
        // Streams that are open go on.
        #expect(try pair.dialer.send([1], on: 5) == 1)
    }

    @Test("What arrives for a stream that was reset is dropped, without an error")
    func lateData() throws {
        var pair = YamuxPair()
        let id = try pair.dialer.open()
        _ = try pair.carry()
        pair.listener.reset(id)
        _ = try pair.dialer.send([1, 2, 3], on: id)
        let late = pair.dialer.takeOutput()
        #expect(try pair.listener.receive(late.prefix(13)) == [])
        #expect(try pair.listener.receive(late.dropFirst(13) + Self.frame(2, 2, 0, 1)[...]) == [.pong(1)])
    }

    @Test("Random frames crash nothing, and what is kept stays within its bounds")
    func random() {
        var random = SeededRandom(seed: 12)
        for _ in 0..<200 {
            var session = Yamux(isDialer: false)
            for _ in 0..<200 {
                let length = UInt32(truncatingIfNeeded: random.next() % 300)
                var bytes = Self.frame(
                    UInt8(random.next() % 4),
                    UInt8(random.next() % 16),
                    UInt32(random.next() % 9),
                    length
                )
                if random.next().isMultiple(of: 16) {
                    bytes[Int(random.next() % 12)] = UInt8(truncatingIfNeeded: random.next())
                }
                if bytes[1] == 0 { bytes += random.bytes(Int(length)) }
                guard let events = try? session.receive(bytes[...]) else { break }
                for case .data(let id, let part) in events { session.consumed(part.count, on: id) }
                _ = session.takeOutput()
            }
            #expect(session.streamCount <= 256)
        }
    }
}
