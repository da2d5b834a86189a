import Cryptography
import Encodings
import Libp2p
import Logging
import Storage
import TestSupport
import Testing

@testable import Peering

@Suite("The peers that are known, and whom of them to dial")
struct PeerBookTests {
    static func key(_ number: Int) throws -> PeerKey {
        PeerKey(
            try Ed25519.PrivateKey(seed: [UInt8](repeating: 0, count: 24) + withUnsafeBytes(of: number) { [UInt8]($0) })
        )
    }

    static func sealed(_ number: Int, _ addresses: [String], sequence: UInt64 = 1) throws -> SealedPeerRecord {
        let key = try key(number)
        let addresses = try addresses.map { try Multiaddr(parsing: $0) }
        let record = PeerRecord(peer: key.peerID, sequence: sequence, addresses: addresses)
        return try SealedPeerRecord(opening: try record.sealed(with: key).protobuf)
    }

    static func book() throws -> PeerBook { PeerBook(own: try key(0).peerID) }

    @Test("[GSP-4] Nobody on the internet leads a node to addresses of its own network or machine, or to names")
    func poisoning() throws {
        let teller = try Self.key(99).peerID
        let all = [
            "/ip4/10.0.0.1/tcp/22", "/ip4/127.0.0.1/tcp/8402", "/ip4/169.254.169.254/tcp/80", "/ip6/::1/tcp/1",
            "/dns/internal.example/tcp/1", "/ip4/0.0.0.0/tcp/1", "/ip6/::ffff:10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/0",
            "/ip4/8.8.8.8/tcp/4402",
        ]
        for (reach, expected) in [
            (IPReach.internet, ["/ip4/8.8.8.8/tcp/4402"]),
            (.network, ["/ip4/10.0.0.1/tcp/22", "/ip4/169.254.169.254/tcp/80", "/ip4/8.8.8.8/tcp/4402"]),
        ] {
            var book = try Self.book()
            let isNew1 = book.learn(try Self.sealed(1, all), .exchange, reach: reach, teller: teller, at: 0)
            #expect(isNew1)
            #expect(book.entry(try Self.key(1).peerID)?.addresses.map(\.address.description) == expected)
        }
        var book = try Self.book()
        let isNew2 = book.learn(
            try Self.sealed(1, ["/ip4/10.0.0.1/tcp/1"]),
            .exchange,
            reach: .internet,
            teller: teller,
            at: 0
        )
        #expect(!isNew2)
        // An address that names another peer is not this one's.
        let other = "/ip4/8.8.8.8/tcp/1/p2p/\(try Self.key(5).peerID)"
        let isNew3 = book.learn(try Self.sealed(1, [other]), .exchange, reach: .internet, teller: teller, at: 0)
        #expect(!isNew3)
        let isNew4 = book.learn(
            try Self.sealed(0, ["/ip4/8.8.8.8/tcp/1"]),
            .exchange,
            reach: .internet,
            teller: teller,
            at: 0
        )
        #expect(!isNew4)
        let isNew5 = book.learn(
            try Self.sealed(1, ["/ip4/8.8.8.8/tcp/1"]),
            .exchange,
            reach: nil,
            teller: teller,
            at: 0
        )
        #expect(!isNew5)
        #expect(book.count == 0)
    }

    @Test("[GSP-4] A record is replaced by a newer one and by no older, whoever brings it; what a person chose stays")
    func replayed() throws {
        var book = try Self.book()
        let peer = try Self.key(1).peerID
        book.choose(peer, try Multiaddr(parsing: "/dns/a.example/tcp/1"), .bootstrap, at: 0)
        let isNew6 = book.learn(
            try Self.sealed(1, ["/ip4/8.8.8.8/tcp/1"], sequence: 5),
            .told,
            reach: .internet,
            teller: nil,
            at: 0
        )
        #expect(isNew6)
        for sequence in [UInt64(4), 5] {
            let old = try Self.sealed(1, ["/ip4/9.9.9.9/tcp/1"], sequence: sequence)
            let isNew7 = book.learn(old, .exchange, reach: .internet, teller: try Self.key(9).peerID, at: 0)
            #expect(!isNew7)
        }
        let newer = try Self.sealed(1, ["/ip4/7.7.7.7/tcp/1"], sequence: 6)
        let isNew8 = book.learn(newer, .exchange, reach: .internet, teller: try Self.key(9).peerID, at: 0)
        #expect(isNew8)
        #expect(
            book.entry(peer)?.addresses.map(\.address.description) == ["/dns/a.example/tcp/1", "/ip4/7.7.7.7/tcp/1"]
        )
    }

    @Test("[GSP-3] A peer that was there lately and cannot be reached is tried soon; one that turns away is not")
    func soon() throws {
        var book = try Self.book()
        let peer = try Self.key(1).peerID
        let address = try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/1")
        book.choose(peer, address, .manual, at: 0)
        func wait(_ now: Int64, isUnreachable: Bool = true) throws -> Int64 {
            book.failed(peer, at: [address], now, jitter: 0.5, isUnreachable: isUnreachable)
            return try #require(book.entry(peer)).notBefore - now
        }
        // Never connected: as any other.
        #expect(try (0..<3).map { _ in try wait(0) } == [5_000, 10_000, 20_000])
        book.settled(peer, 1_000)
        book.left(peer, 1_000, jitter: 0)
        #expect(try [5_000, 9_000, 600_000, 801_000].map { try wait($0) } == [1_000, 1_000, 1_497, 2_000])
        // An hour later it is tried every nine seconds, and then as seldom as any other that a person chose.
        #expect(try wait(3_601_000) == 9_000)
        #expect(try wait(3_601_001) == 120_000)
        // Who answers and hangs up is tried as before.
        book.settled(peer, 4_000_000)
        #expect(try (0..<3).map { _ in try wait(4_000_001, isUnreachable: false) } == [5_000, 10_000, 20_000])
        // A clock that was set back makes nobody hurry.
        #expect(try wait(3_000_000) == 40_000)
    }

    @Test("[GSP-4] One peer tells of so many that nobody reached, and a flood of inventions crowds out none that was")
    func flood() throws {
        var book = try Self.book()
        let honest = try Self.key(1)
        book.learn(try Self.sealed(1, ["/ip4/8.8.8.8/tcp/1"]), .told, reach: .internet, teller: nil, at: 0)
        book.reached(honest.peerID, at: try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/1"), 1)
        book.settled(honest.peerID, 1)
        let liar = try Self.key(2).peerID
        for number in 10..<(10 + 2 * PeerBook.maximumUnprovenPerTeller) {
            book.learn(
                try Self.sealed(number, ["/ip4/9.9.9.9/tcp/1"]),
                .exchange,
                reach: .internet,
                teller: liar,
                at: 2
            )
        }
        #expect(book.count == 1 + PeerBook.maximumUnprovenPerTeller)
        for teller in 0..<20 {
            let liar = try Self.key(100_000 + teller).peerID
            for number in 0..<PeerBook.maximumUnprovenPerTeller {
                let record = try Self.sealed(1_000 + teller * 100 + number, ["/ip4/9.9.9.9/tcp/1"])
                book.learn(record, .exchange, reach: .internet, teller: liar, at: 3)
            }
        }
        #expect(book.count == PeerBook.maximumPeers && book.entry(honest.peerID) != nil)
    }

    @Test(
        "[GSP-3] A peer that does not answer is tried again later and later, one that a person chose every two minutes"
    )
    func backoff() throws {
        var book = try Self.book()
        let address = try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/1")
        let (told, chosen) = (try Self.key(1).peerID, try Self.key(2).peerID)
        book.learn(try Self.sealed(1, ["/ip4/8.8.8.8/tcp/1"]), .exchange, reach: .internet, teller: chosen, at: 0)
        book.choose(chosen, address, .bootstrap, at: 0)
        var waits: [[Int64]] = [[], []]
        var now: Int64 = 0
        for _ in 0..<12 {
            for (index, peer) in [told, chosen].enumerated() {
                book.failed(peer, at: [address], now, jitter: 0.5)
                waits[index].append(((book.entry(peer)?.notBefore ?? 0) - now) / 1_000)
            }
            now += 4_000_000
        }
        #expect(waits[0] == [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600])
        #expect(waits[1].prefix(6) == [5, 10, 20, 40, 80, 120] && waits[1].last == 120)
        // By chance between three and five quarters of it.
        book.failed(chosen, at: [address], now, jitter: 0)
        #expect((book.entry(chosen)?.notBefore ?? 0) - now == 90_000)
        book.failed(chosen, at: [address], now, jitter: 1)
        #expect((book.entry(chosen)?.notBefore ?? 0) - now == 150_000)
        // Who was not there for a week is forgotten, but not whom a person chose.
        book.failed(told, at: [address], now + 8 * 86_400_000, jitter: 0)
        book.failed(chosen, at: [address], now + 8 * 86_400_000, jitter: 0)
        #expect(book.entry(told) == nil && book.entry(chosen) != nil)
    }

    @Test(
        "[GSP-3] Who answers and hangs up before it says what it is, as one does that banned this node, did not answer"
    )
    func hangingUp() throws {
        var book = try Self.book()
        let peer = try Self.key(1).peerID
        let address = try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/1")
        book.learn(try Self.sealed(1, ["/ip4/8.8.8.8/tcp/1"]), .exchange, reach: .internet, teller: nil, at: 0)
        for count in 1...4 {
            book.reached(peer, at: address, 0)
            book.left(peer, 0, jitter: 0.5)
            #expect(book.entry(peer)?.failures == count && book.entry(peer)?.notBefore == 5_000 << Int64(count - 1))
        }
        book.reached(peer, at: address, 100_000)
        book.settled(peer, 100_000)
        book.left(peer, 200_000, jitter: 0.5)
        #expect(book.entry(peer)?.failures == 0 && book.entry(peer)?.notBefore == 202_000)
    }

    @Test("[GSP-3] Dialed are first those that were added, then those that were reached, then bootstrap, then the rest")
    func order() throws {
        var book = try Self.book()
        let peers = try (1...5).map { try Self.key($0).peerID }
        let address = try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/1")
        for number in 1...3 {
            book.learn(try Self.sealed(number, ["/ip4/8.8.8.8/tcp/1"]), .exchange, reach: .internet, teller: nil, at: 0)
        }
        book.reached(peers[1], at: address, 5)
        book.settled(peers[1], 5)
        book.choose(peers[3], address, .bootstrap, at: 0)
        book.choose(peers[4], address, .manual, at: 0)
        var random = SeededRandom(seed: 1)
        let all = book.candidates(at: 10, connected: [peers[2]], using: &random) { _, _ in true }
        #expect(all.map(\.peer) == [peers[4], peers[1], peers[3], peers[0]])
        let some = book.candidates(at: 10, connected: [], using: &random) { peer, _ in peer != peers[4] }
        #expect(!some.map(\.peer).contains(peers[4]) && some.count == 4)
    }

    @Test("Bootstrap peers that the configuration names no more are forgotten, others are not")
    func configured() throws {
        var book = try Self.book()
        let (one, two) = (try Self.key(1).peerID, try Self.key(2).peerID)
        for peer in [one, two] { book.choose(peer, try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/1"), .bootstrap, at: 0) }
        book.keepOnly([two], of: .bootstrap)
        #expect(book.entry(one) == nil && book.entry(two) != nil)
    }

    @Test("[GSP-3] Peers and bans are the same after a restart")
    func restart() async throws {
        let folder = try TemporaryFolder()
        let peer = try Self.key(1).peerID
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        func withStore(_ body: (PeerStore) async throws -> Void) async throws {
            let database = try Database(
                path: folder.path + "/cache.sqlite",
                migrations: PeerStore.migrations,
                logger: logger
            )
            do { try await body(PeerStore(database)) } catch {
                await database.close()
                throw error
            }
            await database.close()
        }
        try await withStore { store in
            var book = try Self.book()
            let record = try Self.sealed(1, ["/ip4/8.8.8.8/tcp/1"], sequence: .max)
            book.learn(record, .exchange, reach: .internet, teller: try Self.key(2).peerID, at: 7)
            book.reached(peer, at: try Multiaddr(parsing: "/ip4/8.8.8.8/tcp/1"), 9)
            book.settled(peer, 9)
            book.choose(try Self.key(3).peerID, try Multiaddr(parsing: "/dns/a.example/tcp/1"), .manual, at: 8)
            book.choose(try Self.key(4).peerID, try Multiaddr(parsing: "/dns/b.example/tcp/1"), .manual, at: 8)
            try await store.keep(book.takeChanges())
            book.forget(try Self.key(4).peerID)
            try await store.keep(book.takeChanges())
            var bans = BanBook()
            _ = bans.offended(peer, from: [8, 8, 8, 8], .violation, at: 5)
            _ = bans.ban(.place([9, 9, 9, 9]), seconds: nil, reason: "no\"\u{301}", at: 6)
            try await store.keep(bans.takeChanges())
        }
        try await withStore { store in
            let book = PeerBook(own: try Self.key(0).peerID, try await store.peers())
            let entry = try #require(book.entry(peer))
            #expect(book.count == 2 && entry.sequence == .max && entry.lastConnected == 9 && entry.addedAt == 7)
            let teller = try Self.key(2).peerID
            #expect(entry.addresses.map(\.lastSuccess) == [9] && entry.teller == teller)
            let record = try SealedPeerRecord(opening: try #require(entry.record))
            #expect(record.record.peer == peer)
            #expect(book.entry(try Self.key(3).peerID)?.isManual == true)
            var bans = BanBook(try await store.bans())
            #expect(bans.isBanned(.peer(peer), at: 6) && bans.ban(.place([9, 9, 9, 9]))?.reason == "no\"\u{301}")
            #expect(bans.strikes(.peer(peer), at: 5) == 1)
            _ = bans.unban(.peer(peer))
            try await store.keep(bans.takeChanges())
        }
        try await withStore { store in
            let kept = try await store.bans()
            #expect(kept.map { $0.subject } == [.place([9, 9, 9, 9])])
        }
    }
}
