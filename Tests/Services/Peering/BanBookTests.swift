import Cryptography
import Libp2p
import Testing

@testable import Peering

@Suite("Bans grow, fade, and end")
struct BanBookTests {
    static func peer(_ number: UInt8) throws -> PeerID {
        PeerKey(try Ed25519.PrivateKey(seed: [UInt8](repeating: number, count: 32))).peerID
    }

    static let hour: Int64 = 3_600_000
    static let day: Int64 = 86_400_000

    @Test(
        "[GSP-9] A ban ends, each further one is twice as long, up to a day; with good behaviour they are short again"
    )
    func growth() throws {
        var book = BanBook()
        let peer = try Self.peer(1)
        var now: Int64 = 1_000_000
        var lengths: [Int64] = []
        for _ in 0..<12 {
            let isNew = book.offended(peer, from: nil, .graylisted, at: now)
            #expect(isNew && book.isBanned(.peer(peer), at: now))
            let until = try #require(book.ban(.peer(peer))?.until)
            lengths.append((until - now) / 1_000)
            #expect(book.isBanned(.peer(peer), at: until - 1) && !book.isBanned(.peer(peer), at: until))
            now = until
        }
        #expect(lengths[0] == 600)
        // A little less than twice, since strikes fade all the time.
        #expect(lengths[1] > 1_150 && lengths[1] <= 1_200 && lengths[2] > 2_000 && lengths[2] <= 2_400)
        #expect(lengths.allSatisfy { $0 <= BanBook.maximumSeconds } && lengths[4] > lengths[3])
        now += 5 * Self.day
        _ = book.offended(peer, from: nil, .graylisted, at: now)
        #expect(try #require(book.ban(.peer(peer))?.until) - now < 601_000)
        // What is over and has faded is forgotten.
        book.tidy(at: now + 5 * Self.day)
        #expect(book.ban(.peer(peer)) == nil)
    }

    @Test("While somebody is banned, what he does no more tells nobody anew")
    func again() throws {
        var book = BanBook()
        let peer = try Self.peer(1)
        let areNew = (0..<2).map { book.offended(peer, from: nil, .violation, at: $0) }
        #expect(areNew == [true, false])
    }

    @Test("[GSP-11] The operator's ban holds until it is taken back, or for the time that it was made for")
    func manual() throws {
        var book = BanBook()
        let (one, two) = (BanBook.Subject.peer(try Self.peer(1)), BanBook.Subject.place([8, 8, 8, 8]))
        let areMade = [
            book.ban(one, seconds: nil, reason: "spam", at: 0), book.ban(two, seconds: 60, reason: "", at: 0),
        ]
        #expect(areMade == [true, true])
        #expect(book.isBanned(one, at: 1_000 * Self.day) && !book.isBanned(two, at: 60_000))
        // Nothing that is done by itself makes it shorter.
        _ = book.offended(try Self.peer(1), from: nil, .violation, at: 10)
        book.tidy(at: 900 * Self.day)
        #expect(book.isBanned(one, at: 1_000 * Self.day) && book.ban(one)?.reason == "spam")
        let (once, twice) = (book.unban(one), book.unban(one))
        #expect(once && !twice && !book.isBanned(one, at: 0))
    }

    @Test("[GSP-10] A place is banned for many that came from it, not for one; slowly it is not banned at all")
    func places() throws {
        var book = BanBook()
        let place: [UInt8] = [8, 8, 8, 8]
        let isNew = book.offended(try Self.peer(1), from: place, .graylisted, at: 0)
        #expect(isNew)
        #expect(!book.isBanned(.place(place), at: 1))
        _ = book.offended(try Self.peer(2), from: place, .graylisted, at: 1)
        _ = book.offended(try Self.peer(3), from: place, .graylisted, at: 2)
        #expect(book.isBanned(.place(place), at: 3))

        var slow = BanBook()
        for number in 0..<1_000 {
            let isNew = slow.offended(from: place, .handshake, at: Int64(number) * 30_000)
            #expect(!isNew)
        }
        var quick = BanBook()
        let news = (0..<8).map { _ in quick.offended(from: place, .handshake, at: 0) }
        #expect(news == [Bool](repeating: false, count: 7) + [true])
    }

    @Test("Floods of offenders from everywhere leave the book within its bounds, and the operator's bans in it")
    func bounded() throws {
        var book = BanBook()
        let mine = BanBook.Subject.place([1, 1, 1, 1])
        let isMade = book.ban(mine, seconds: nil, reason: "", at: 0)
        #expect(isMade)
        for number in 0..<9_000 {
            let place = [9, UInt8(number >> 8 & 0xFF), UInt8(number & 0xFF), 1]
            for _ in 0..<8 { _ = book.offended(from: place, .handshake, at: Int64(number)) }
        }
        #expect(book.inForce(at: 0).count <= BanBook.maximumBans + BanBook.maximumManual)
        #expect(book.isBanned(mine, at: 0))
        for number in 0..<BanBook.maximumManual {
            _ = book.ban(.place([2, UInt8(number >> 8), UInt8(number & 0xFF), 1]), seconds: nil, reason: "", at: 0)
        }
        let isRoom = book.ban(.place([3, 3, 3, 3]), seconds: nil, reason: "", at: 0)
        #expect(!isRoom)
    }
}
