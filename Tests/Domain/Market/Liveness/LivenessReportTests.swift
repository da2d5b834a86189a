import CanonicalJSON
import Cryptography
import Encodings
import Records
import SignedDocuments
import TestSupport
import Testing

@testable import Market

@Suite("What nodes tell each other of liveness")
struct LivenessReportTests {
    private static let now = Sample.now
    private static let seller = DocumentSigner(Sample.key(9)).did

    private static func entry(
        _ service: String = "weather",
        _ state: LivenessState = .alive,
        seller: DIDKey = seller,
        lastAgo: Int64 = 60
    ) -> LivenessReport.Entry {
        .init(
            seller: seller,
            service: service,
            state: state,
            good: state == .alive ? 3 : 0,
            failed: state == .alive ? 1 : 4,
            latencyMilliseconds: state == .alive ? 40 : nil,
            last: now.adding(seconds: -lastAgo)
        )
    }

    private static func record(_ body: JSONObject, name: String = LivenessReport.name) throws -> Record {
        try .sign(body, of: LivenessReport.kind, name: name, sequence: 1, created: now, by: Sample.signer)
    }

    /// What the rules of the kind say, as whoever receives it asks.
    private static func refusal(_ body: JSONObject, name: String = LivenessReport.name) throws -> String? {
        do {
            _ = try RecordRules(RecordKinds([LivenessReport.kind])).check(record(body, name: name), now: now)
            return nil
        } catch let refusal as RecordRefusal {
            return refusal.code == .malformed ? refusal.message : refusal.code.rawValue
        }
    }

    @Test("[LIV-8] A record of results is read as it was written, and never tells what is not known")
    func whole() throws {
        let report = try #require(
            LivenessReport(telling: [Self.entry(), Self.entry("chess", .dead), Self.entry("go", .unknown)])
        )
        #expect(report.entries.map(\.service).sorted() == ["chess", "weather"])
        let record = try Self.record(report.body)
        #expect(try LivenessReport(record) == report)
        #expect(try Self.refusal(report.body) == nil)
        #expect(LivenessReport(telling: [Self.entry("go", .unknown)]) == nil)
        #expect(LivenessReport(telling: []) == nil)
    }

    @Test("[LIV-8] The latest 96 are told, and the largest record is within the bounds")
    func most() throws {
        let name = String(repeating: "n", count: 60)
        let entries = (0..<300).map { Self.entry("\(name)\($0)", lastAgo: Int64($0)) }
        let report = try #require(LivenessReport(telling: entries.reversed()))
        #expect(report.entries.count == 96)
        #expect(report.entries.map(\.last) == entries.prefix(96).map(\.last))
        #expect(try report.body.canonicalized().count <= LivenessReport.maximumBodyBytes)
        #expect(try Self.refusal(report.body) == nil)
    }

    @Test("[LIV-8] What breaks a bound is malformed, and the error names the field")
    func strict() throws {
        let good = try #require(LivenessReport(telling: [Self.entry()])).body
        func changed(_ member: String, _ value: JSONValue?) throws -> JSONObject {
            var entry = try #require(try JSONValue.object(good).array("results").first?.objectValue)
            entry[member] = value
            return ["results": [.object(entry)]]
        }
        let wrong: [(String, JSONValue?)] = [
            ("seller", "did:web:example"), ("seller", nil), ("service", "No"), ("service", nil), ("state", "unknown"),
            ("state", nil), ("state", "dead-ish"), ("ok", 0), ("ok", -1), ("ok", 1_001), ("ok", "3"), ("ok", nil),
            ("failed", nil), ("failed", 1_001), ("latencyMilliseconds", -1), ("latencyMilliseconds", 86_400_001),
            ("last", "yesterday"), ("last", nil), ("last", .string(Self.now.adding(milliseconds: -5).rfc3339)),
            ("last", .string(Self.now.adding(seconds: 1).rfc3339)), ("seller", .string(Sample.signer.did.string)),
        ]
        for (member, value) in wrong {
            let refusal = try Self.refusal(changed(member, value))
            #expect(
                refusal?.contains(member) == true || refusal?.contains("state") == true,
                "\(member) \(refusal ?? "")"
            )
        }
        #expect(try Self.refusal(changed("more", 1)) != nil)
        #expect(try Self.refusal([:]) != nil)
        #expect(try Self.refusal(["results": []]) != nil)
        #expect(try Self.refusal(good, name: "others") != nil)
        let entry = try #require(try JSONValue.object(good).array("results").first)
        #expect(try Self.refusal(["results": [entry, entry]])?.contains("twice") == true)
        let many = (0..<97).map { number -> JSONValue in
            var one = entry.objectValue ?? [:]
            one["service"] = .string("s\(number)")
            return .object(one)
        }
        #expect(try Self.refusal(["results": .array(many)]) != nil)
        var more = good
        more["later"] = "left alone"
        #expect(try Self.refusal(more) == nil)
    }

    // MARK: Voices

    private static let raters = (UInt8(20)...40).map { DocumentSigner(Sample.key($0)).did }
    private static let listing = RecordKey(author: seller, kind: "listing", name: "weather")

    private static func voices(_ text: String) -> LivenessVoices {
        var voices = LivenessVoices(own: Sample.signer.did)
        for (place, mark) in text.enumerated() {
            guard let report = LivenessReport(telling: [entry("weather", mark == "." ? .alive : .dead)]) else {
                continue
            }
            voices.hear(report, by: raters[place], created: now)
        }
        return voices
    }

    @Test(
        "[LIV-9] Two nodes, and two of three, are needed to say that it is dead; more than half that it is alive",
        arguments: [
            ("", LivenessState.unknown), ("x", .unknown), (".", .alive), ("xx", .dead), ("xx.", .dead),
            ("xx..", .unknown), ("xxxx..", .dead), ("xxx..", .unknown), ("x..", .alive),
        ]
    )
    func majority(_ text: String, _ state: LivenessState) {
        #expect(Self.voices(text).tally(of: Self.listing, now: Self.now).state == state)
    }

    @Test(
        "[LIV-9] One node has one voice, its latest; none on itself, and none here on what this node itself said elsewhere"
    )
    func oneVoice() throws {
        var voices = LivenessVoices(own: Sample.signer.did)
        let dead = try #require(LivenessReport(telling: [Self.entry("weather", .dead)]))
        let alive = try #require(LivenessReport(telling: [Self.entry()]))
        for second in 0..<50 {
            voices.hear(dead, by: Self.raters[0], created: Self.now.adding(seconds: Int64(second)))
        }
        #expect(voices.tally(of: Self.listing, now: Self.now).dead == 1)
        voices.hear(alive, by: Self.raters[0], created: Self.now)
        #expect(voices.tally(of: Self.listing, now: Self.now).dead == 1, "an older record")
        voices.hear(alive, by: Self.raters[0], created: Self.now.adding(seconds: 60))
        voices.hear(alive, by: Self.seller, created: Self.now)
        voices.hear(alive, by: Sample.signer.did, created: Self.now)
        let tally = voices.tally(of: Self.listing, now: Self.now)
        #expect(tally.alive == 1 && tally.dead == 0 && tally.latencyMilliseconds == 40)
        let later = Self.now.adding(seconds: LivenessVoices.windowSeconds)
        #expect(voices.tally(of: Self.listing, now: later).alive == 0)
    }

    @Test("[LIV-9] Of any number of nodes 256 are listened to, those that spoke last")
    func bounded() throws {
        var voices = LivenessVoices(own: Sample.signer.did)
        let dead = try #require(LivenessReport(telling: [Self.entry("weather", .dead)]))
        for number in 0..<600 {
            var seed = [UInt8](repeating: 7, count: 32)
            (seed[0], seed[1]) = (UInt8(number % 256), UInt8(number / 256))
            let rater = DocumentSigner(try Ed25519.PrivateKey(seed: seed)).did
            voices.hear(dead, by: rater, created: Self.now.adding(seconds: Int64(number)))
            #expect(voices.count <= LivenessVoices.maximumRaters)
        }
        #expect(voices.tally(of: Self.listing, now: Self.now).dead == 256)
    }

    @Test("[LIV-7] [LIV-9] Own results win over what others say; points go with the share of own tries")
    func standing() {
        let dead = Self.voices("xxxxx").tally(of: Self.listing, now: Self.now)
        let good = LivenessVerdict([.init(at: Self.now, outcome: .good)], now: Self.now)
        let half = LivenessVerdict(
            [.init(at: Self.now, outcome: .good), .init(at: Self.now, outcome: .failed)],
            now: Self.now
        )
        let nothing = LivenessVerdict([], now: Self.now)
        #expect(LivenessStanding(own: good, others: dead).state == .alive)
        #expect(LivenessStanding(own: good, others: dead).points == 300)
        #expect(LivenessStanding(own: half, others: .init()).points == 150)
        #expect(LivenessStanding(own: nothing, others: dead).state == .dead)
        #expect(LivenessStanding(own: nothing, others: dead).points == 0)
        let alive = Self.voices("..").tally(of: Self.listing, now: Self.now)
        #expect(LivenessStanding(own: nothing, others: alive).points == 150)
        #expect(LivenessStanding(own: nothing, others: .init()).points == 0)
        let sunk = LivenessVerdict(
            (0..<3).map { .init(at: Self.now.adding(seconds: $0 * -600), outcome: .failed) },
            now: Self.now
        )
        #expect(LivenessStanding(own: sunk, others: alive).state == .dead)
    }
}
