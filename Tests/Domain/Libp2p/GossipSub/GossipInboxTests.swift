import Testing

@testable import Libp2p

@Suite("RPCs that come in pieces")
struct GossipInboxTests {
    /// Adds bytes and takes out what is whole.
    private static func take(_ bytes: [UInt8], at now: Int64, _ inbox: inout GossipInbox) throws -> [[UInt8]] {
        inbox.append(bytes[...], at: now)
        var whole: [[UInt8]] = []
        while let body = try inbox.next() { whole.append([UInt8](body)) }
        return whole
    }

    @Test("[GSP-2] an RPC's time runs from its first byte, and no byte that comes later gives it more")
    func trickle() throws {
        var inbox = GossipInbox()
        #expect(inbox.halfSince == nil && !inbox.isLate(at: .max, milliseconds: 1))
        #expect(try Self.take([100], at: 1_000, &inbox) == [])
        for second in Int64(2)...30 {
            #expect(try Self.take([7], at: second * 1_000, &inbox) == [])
            #expect(!inbox.isLate(at: second * 1_000, milliseconds: 30_000))
        }
        #expect(inbox.halfSince == 1_000 && inbox.halfCount == 30)
        #expect(!inbox.isLate(at: 30_999, milliseconds: 30_000) && inbox.isLate(at: 31_000, milliseconds: 30_000))
    }

    @Test("[GSP-2] one that comes whole in time makes room for the next; between two there is no hurry")
    func next() throws {
        var inbox = GossipInbox()
        #expect(try Self.take([2, 1], at: 0, &inbox) == [])
        #expect(try Self.take([2, 1, 9], at: 20_000, &inbox) == [[1, 2], [9]])
        #expect(inbox.halfSince == nil && inbox.halfCount == 0)
        #expect(!inbox.isLate(at: 1_000_000, milliseconds: 30_000))
        // The end of one and the beginning of the next in the same bytes, without end: each has its own time.
        #expect(try Self.take([2, 5], at: 1_000_000, &inbox) == [])
        for second in Int64(1)...100 {
            let now = 1_000_000 + second * 1_000
            #expect(try Self.take([6, 2, 5], at: now, &inbox) == [[5, 6]])
            #expect(inbox.halfSince == now)
        }
    }
}
