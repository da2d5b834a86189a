import Encodings
import TestSupport
import Testing

@testable import Records

@Suite("Negentropy")
struct NegentropyTests {
    static func item(_ timestamp: UInt64, _ byte: UInt8) -> ReconciliationItem {
        ReconciliationItem(timestamp: timestamp, id: RecordID(padding: [UInt8](repeating: byte, count: 32)))
    }

    static func random(_ count: Int, times: ClosedRange<UInt64>, _ random: inout SeededRandom) -> [ReconciliationItem] {
        (0..<count).map { _ in
            ReconciliationItem(
                timestamp: .random(in: times, using: &random),
                id: RecordID(words: random.next(), random.next(), random.next(), random.next())
            )
        }
    }

    struct Run {
        var have: Set<RecordID> = []
        var need: Set<RecordID> = []
        var rounds = 0
        var bytes = 0
        var longest = 0
    }

    static func reconcile(
        _ ours: ReconciliationSet,
        _ theirs: ReconciliationSet,
        limits: Negentropy.Limits = Negentropy.Limits()
    ) throws -> Run {
        var initiator = Negentropy(ours, isInitiator: true, limits: limits)
        var responder = Negentropy(theirs, isInitiator: false, limits: limits)
        var run = Run()
        var message: [UInt8]? = initiator.start()
        while let query = message {
            guard let answer = try responder.receive(query) else {
                Issue.record("who answers has always an answer")
                break
            }
            run.rounds += 1
            run.bytes += query.count + answer.count
            run.longest = max(run.longest, query.count, answer.count)
            message = try initiator.receive(answer)
            let found = initiator.takeDifferences()
            run.have.formUnion(found.have)
            run.need.formUnion(found.need)
        }
        #expect(responder.takeDifferences() == ([], []))
        return run
    }

    @Test("The vector of two small sets: first message, answer, and what each lacks")
    func vector() throws {
        let ours = ReconciliationSet([Self.item(30, 0x33), Self.item(10, 0x11), Self.item(20, 0x22)])
        let theirs = ReconciliationSet([Self.item(10, 0x11), Self.item(30, 0x33), Self.item(40, 0x44)])
        func ids(_ bytes: [UInt8]) -> String { Hex.encode(bytes.flatMap { [UInt8](repeating: $0, count: 32) }) }
        var initiator = Negentropy(ours, isInitiator: true)
        var responder = Negentropy(theirs, isInitiator: false)
        let first = initiator.start()
        #expect(Hex.encode(first) == "6100000203" + ids([0x11, 0x22, 0x33]))
        let answer = try #require(try responder.receive(first))
        #expect(Hex.encode(answer) == "6100000203" + ids([0x11, 0x33, 0x44]))
        #expect(try initiator.receive(answer) == nil)
        let found = initiator.takeDifferences()
        #expect(found.have.map(\.bytes) == [[UInt8](repeating: 0x22, count: 32)])
        #expect(found.need.map(\.bytes) == [[UInt8](repeating: 0x44, count: 32)])
        #expect(Hex.encode(Negentropy(ReconciliationSet([]), isInitiator: true).start()) == "6100000200")
        #expect(initiator.takeDifferences() == ([], []))
    }

    @Test("Sums carry and go round: the fingerprint of a range is that of its elements, wherever it stands")
    func fingerprints() {
        var random = SeededRandom(seed: 1)
        let full = ReconciliationItem(timestamp: 5, id: RecordID(padding: [UInt8](repeating: 0xFF, count: 32)))
        let items = Self.random(200, times: 1...20, &random) + [full, Self.item(5, 0xFE), Self.item(6, 0xFF)]
        let set = ReconciliationSet(items + items)
        #expect(set.count == 203 && set.items == set.items.sorted())
        for _ in 0..<200 {
            let places = [Int.random(in: 0...203, using: &random), Int.random(in: 0...203, using: &random)].sorted()
            let alone = ReconciliationSet(set.items[places[0]..<places[1]])
            #expect(set.fingerprint(places[0]..<places[1]) == alone.fingerprint(0..<alone.count))
        }
        // By hand: 2^256-1 + 2 = 1.
        let two = RecordID(padding: [2])
        let sum = ReconciliationSet([full, ReconciliationItem(timestamp: 9, id: two)])
        #expect(sum.fingerprint(0..<2) != sum.fingerprint(0..<1))
        var carried = IDSum()
        carried.add(full.id)
        carried.add(two)
        #expect(carried.littleEndianBytes == [1] + [UInt8](repeating: 0, count: 31))
    }

    @Test(
        "Whatever two random sets are like, both sides learn exactly what they don't have in common",
        arguments: 0..<40
    )
    func property(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let times: ClosedRange<UInt64> = [1...1, 1...10, 1...100_000][Int(seed % 3)]
        let both = Self.random([0, 20, 300, 5_000][Int(seed % 4)], times: times, &random)
        let only = Self.random(Int.random(in: 0...400, using: &random), times: times, &random)
        let others = Self.random(seed % 5 == 0 ? 0 : Int.random(in: 0...400, using: &random), times: times, &random)
        var limits = Negentropy.Limits()
        if seed % 2 == 0 { limits.messageBytes = 4_096 }
        let run = try Self.reconcile(ReconciliationSet(both + only), ReconciliationSet(both + others), limits: limits)
        #expect(run.have == Set(only.map(\.id)) && run.need == Set(others.map(\.id)))
        #expect(run.longest <= limits.messageBytes)
    }

    @Test("Ids that begin alike at one instant are told apart by as much of them as it takes")
    func prefixes() throws {
        var random = SeededRandom(seed: 3)
        let items = (0..<2_000).map { _ in
            ReconciliationItem(timestamp: 7, id: RecordID(words: 1, 2, 3, random.next() & 0xFFFF))
        }
        let run = try Self.reconcile(ReconciliationSet(items.prefix(1_500)), ReconciliationSet(items.suffix(1_500)))
        let (left, right) = (Set(items.prefix(1_500).map(\.id)), Set(items.suffix(1_500).map(\.id)))
        #expect(run.have == left.subtracting(right) && run.need == right.subtracting(left))
    }

    @Test("100,000 elements, 1,000 of the last day missing: few rounds, and less than 50 KB besides their ids")
    func dayAway() throws {
        var random = SeededRandom(seed: 4)
        let old = Self.random(99_000, times: 1_000...30_000_000, &random)
        let missed = Self.random(1_000, times: 29_000_000...30_000_000, &random)
        let run = try Self.reconcile(ReconciliationSet(old), ReconciliationSet(old + missed))
        #expect(run.need == Set(missed.map(\.id)) && run.have.isEmpty)
        #expect(run.rounds <= 6)
        // Records of 500 bytes: what is missing is half a megabyte, and the whole may take twice that and 50 KB.
        #expect(run.bytes <= 500_000 + 50_000)
    }

    @Test("What is over the bound of differences is left for the next time, and found then")
    func resumes() throws {
        var random = SeededRandom(seed: 5)
        let all = Self.random(3_000, times: 1...1_000, &random)
        var mine: [ReconciliationItem] = []
        var limits = Negentropy.Limits()
        limits.differences = 1_000
        for _ in 0..<4 {
            var initiator = Negentropy(ReconciliationSet(mine), isInitiator: true, limits: limits)
            var responder = Negentropy(ReconciliationSet(all), isInitiator: false)
            var message: [UInt8]? = initiator.start()
            while let query = message, let answer = try responder.receive(query) {
                message = try initiator.receive(answer)
            }
            let found = Set(initiator.takeDifferences().need)
            #expect(found.count <= 1_000 && initiator.isTruncated == (mine.count < 2_000))
            mine += all.filter { found.contains($0.id) }
        }
        #expect(mine.count == 3_000)
    }
}

@Suite("Negentropy with those that lie")
struct NegentropyAttackTests {
    private func code(_ body: () throws -> Void) -> NegentropyError.Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? NegentropyError)?.code
        }
    }

    @Test(
        "Malformed messages are refused, whoever gets them",
        arguments: [
            "", "00", "70", "51", "61ff", "6100", "610021", "61000003", "6100000102", "610000020411",
            "61000002ffffffffffffffffff7f", "6180808080808080808080808000000200", "61ffffffffffffffffffff7f0000",
            "61050000000500000201", "6100ff0002", "610001ff00",
            "610021" + String(repeating: "11", count: 33) + "0200",
        ]
    )
    func malformed(hex: String) throws {
        let bytes = try Hex.decode(hex)
        for isInitiator in [true, false] {
            var engine = Negentropy(ReconciliationSet([]), isInitiator: isInitiator)
            #expect(code { _ = try engine.receive(bytes) } == .malformed, "\(hex)")
        }
    }

    @Test("A range that ends before it begins is refused")
    func backwards() throws {
        // Infinity, then 5: after infinity there is nothing, save infinity again.
        var engine = Negentropy(ReconciliationSet([]), isInitiator: false)
        #expect(code { _ = try engine.receive([0x61, 0, 0, 0, 5, 0, 0]) } == nil)
        // The same timestamp with a shorter beginning of an id.
        var other = Negentropy(ReconciliationSet([]), isInitiator: false)
        #expect(code { _ = try other.receive([0x61, 5, 1, 9, 0, 1, 1, 8, 0]) } == .malformed)
    }

    @Test("Another version is answered by ours, and not spoken by who began")
    func versions() throws {
        var responder = Negentropy(ReconciliationSet([]), isInitiator: false)
        #expect(try responder.receive([0x62, 1, 2, 3]) == [0x61])
        var initiator = Negentropy(ReconciliationSet([]), isInitiator: true)
        #expect(code { _ = try initiator.receive([0x60]) } == .unsupportedVersion)
    }

    @Test("Lying fingerprints: whoever answers always with others goes on no longer than the rounds that there may be")
    func lyingFingerprints() throws {
        var random = SeededRandom(seed: 9)
        let set = ReconciliationSet(NegentropyTests.random(10_000, times: 1...1_000, &random))
        var limits = Negentropy.Limits()
        limits.rounds = 50
        var initiator = Negentropy(set, isInitiator: true, limits: limits)
        _ = initiator.start()
        var rounds = 0
        let found = code {
            while true {
                // All there is, as one range with a fingerprint that is never right.
                let answer = try initiator.receive([0x61, 0, 0, 1] + random.bytes(16))
                rounds += 1
                #expect((answer?.count ?? 0) <= limits.messageBytes)
            }
        }
        #expect(found == .endless && rounds == 50)
        #expect(initiator.takeDifferences() == ([], []))
    }

    @Test(
        "Lying lists: ids that there are not, and sets that claim to be empty, are found up to the bound and no further"
    )
    func lyingLists() throws {
        var random = SeededRandom(seed: 10)
        let set = ReconciliationSet(NegentropyTests.random(5_000, times: 1...1_000, &random))
        var limits = Negentropy.Limits()
        limits.differences = 700
        var initiator = Negentropy(set, isInitiator: true, limits: limits)
        _ = initiator.start()
        #expect(try initiator.receive([0x61, 0, 0, 2, 0]) == nil)
        #expect(initiator.takeDifferences().have.count == 700 && initiator.isTruncated)
        var other = Negentropy(ReconciliationSet([]), isInitiator: true, limits: limits)
        _ = other.start()
        for _ in 0..<10 {
            var message: [UInt8] = [0x61, 0, 0, 2]
            NegentropyCoding.append(varint: 300, to: &message)
            _ = try other.receive(message + random.bytes(300 * 32))
        }
        #expect(other.takeDifferences().need.count == 700)
        // Also where they are taken in between.
        var taken = 0
        var third = Negentropy(ReconciliationSet([]), isInitiator: true, limits: limits)
        for _ in 0..<10 {
            var message: [UInt8] = [0x61, 0, 0, 2]
            NegentropyCoding.append(varint: 300, to: &message)
            _ = try third.receive(message + random.bytes(300 * 32))
            taken += third.takeDifferences().need.count
        }
        #expect(taken <= 1_400)
    }

    @Test("A message of nothing but ranges costs no more than its length, and its answer is no longer than may be")
    func manyRanges() throws {
        var random = SeededRandom(seed: 11)
        let set = ReconciliationSet(NegentropyTests.random(50_000, times: 1...60_000, &random))
        let limits = Negentropy.Limits()
        var message: [UInt8] = [0x61]
        // Ranges of one timestamp each, every one with a fingerprint that is wrong.
        while message.count < limits.messageBytes - 40 { message += [2, 0, 1] + random.bytes(16) }
        var responder = Negentropy(set, isInitiator: false)
        let answer = try #require(try responder.receive(message))
        #expect(answer.count <= limits.messageBytes)
        var skips: [UInt8] = [0x61]
        while skips.count < limits.messageBytes - 3 { skips += [2, 0, 0] }
        #expect(try responder.receive(skips) == [0x61])
        #expect(
            code { _ = try responder.receive([UInt8](repeating: 0x61, count: limits.messageBytes + 1)) } == .tooLarge
        )
    }

    @Test("Random bytes, and good messages with a byte changed, end in an answer within the bound or a refusal")
    func mutated() throws {
        var random = SeededRandom(seed: 12)
        let set = ReconciliationSet(NegentropyTests.random(2_000, times: 1...50, &random))
        let other = ReconciliationSet(NegentropyTests.random(2_000, times: 1...50, &random))
        let good = Negentropy(other, isInitiator: true).start()
        for round in 0..<600 {
            var bytes = round % 2 == 0 ? [0x61] + random.bytes(Int.random(in: 0...200, using: &random)) : good
            if round % 2 == 1 {
                bytes[Int.random(in: 1..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            var engine = Negentropy(set, isInitiator: round % 4 < 2)
            do {
                let answer = try engine.receive(bytes)
                #expect((answer?.count ?? 0) <= Negentropy.Limits().messageBytes)
            } catch {
                #expect([.malformed, .endless].contains(error.code))
            }
        }
    }
}
