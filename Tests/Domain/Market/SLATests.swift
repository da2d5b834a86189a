import CanonicalJSON
import Cryptography
import Encodings
import Receipts
import SignedDocuments
import TestSupport
import Testing

@testable import Market

/// Receipts of calls as they are needed.
enum Calls {
    static let seller = Sample.key(21)
    static let buyer = Sample.key(22)

    static func did(_ key: Ed25519.PrivateKey) -> DIDKey { DIDKey(key.publicKey) }

    static func receipt(
        by seller: Ed25519.PrivateKey = seller,
        buyer: DIDKey? = did(buyer),
        body: [UInt8]? = Array(#"{"temperature": 12}"#.utf8),
        status: Int = 200,
        amount: UInt64 = 10,
        milliseconds: Int64 = 100,
        outcome: ReceiptOutcome = .served,
        at: Timestamp = Sample.now,
        change: (inout ReceiptClaims) -> Void = { _ in }
    ) throws -> Receipt {
        var claims = ReceiptClaims(
            id: "0f4d2f6e-6f0f-4b8e-9a43-0d5a8f5f0001",
            seller: ReceiptParty(did: did(seller)),
            buyer: buyer.map { ReceiptParty(did: $0) },
            service: "weather",
            method: "GET",
            target: "/today",
            requestDigest: Hashing.sha256([]),
            responseDigest: body.map { Hashing.sha256($0) },
            status: status,
            amount: amount,
            unit: "sat",
            paymentDigest: Hashing.sha256([1]),
            dialect: "nut24",
            requestedAt: at,
            respondedAt: at.adding(milliseconds: milliseconds),
            outcome: outcome
        )
        change(&claims)
        return try Receipt.issue(claims, key: seller, now: at)
    }

    static func measure(_ milliseconds: Int64, _ outcome: CallOutcome = .good, at: Timestamp = Sample.now)
        -> CallMeasure
    {
        CallMeasure(
            side: .buyer,
            requestedAt: at,
            respondedAt: at.adding(milliseconds: milliseconds),
            outcome: outcome
        )
    }
}

@Suite("What is measured") struct SLAMeasureTests {
    @Test("[SLA-1] A clock that went back makes a call of no time")
    func clock() {
        #expect(Calls.measure(-5_000).latencyMilliseconds == 0)
        #expect(Calls.measure(120).latencyMilliseconds == 120)
    }

    @Test("[SLA-2] A time that is read from the histogram is at most a sixteenth too high, and never too low")
    func histogram() throws {
        var random = SeededRandom(seed: 7)
        for _ in 0..<2_000 {
            let time = Int64.random(
                in: 0...LatencyHistogram.maximumMilliseconds >> Int64.random(in: 0...26, using: &random),
                using: &random
            )
            var histogram = LatencyHistogram()
            histogram.add(time)
            let read = try #require(histogram.milliseconds(atPercentile: 50))
            #expect(read >= time && read <= time + time / 16, "\(time) \(read)")
            #expect(LatencyHistogram.bucket(of: time) < LatencyHistogram.maximumBuckets)
        }
        var histogram = LatencyHistogram()
        for time in [-1, 0, .max, .min] as [Int64] { histogram.add(time) }
        #expect(histogram.count == 4)
        #expect(histogram.milliseconds(atPercentile: 75) == 0)
        // What was kept and is no bucket is left out.
        #expect(LatencyHistogram(counts: [-1: 3, 10_000: 1, 5: -2, 6: 7]).counts == [6: 7])
    }

    @Test("[SLA-3] A percentile is that of the calls in order")
    func percentiles() {
        var histogram = LatencyHistogram()
        #expect(histogram.milliseconds(atPercentile: 95) == nil)
        for time in 1...20 { histogram.add(Int64(time)) }
        #expect([1, 50, 95, 96, 100].map { histogram.milliseconds(atPercentile: $0) } == [1, 10, 19, 20, 20])
        var other = LatencyHistogram()
        other.add(31)
        histogram.merge(other)
        #expect(histogram.milliseconds(atPercentile: 100) == 31)
    }

    @Test("[SLA-2] [SLA-3] A window counts what was asked in it, and which minutes had an answer")
    func window() {
        var window = SLAWindow(start: Sample.now, lengthSeconds: 3_600)
        #expect(window.uptimePPM == nil && window.errorsPPM == nil)
        let early = window.add(Calls.measure(1, at: Sample.now.adding(milliseconds: -1)))
        let late = window.add(Calls.measure(1, at: Sample.now.adding(seconds: 3_600)))
        #expect(!early && !late)
        for minute in 0..<3 { window.add(Calls.measure(50, at: Sample.now.adding(seconds: Int64(minute) * 60 + 59))) }
        // A minute with an answer and a failure is up; the one with a failure alone is not.
        window.add(Calls.measure(9_000, .failed, at: Sample.now.adding(seconds: 10)))
        window.add(Calls.measure(9_000, .failed, at: Sample.now.adding(seconds: 3_599)))
        window.add(Calls.measure(70, .late, at: Sample.now.adding(seconds: 130)))
        #expect((window.calls, window.failed, window.late, window.wrong) == (6, 2, 1, 0))
        #expect(window.uptimePPM == 750_000)
        #expect(window.errorsPPM == 500_000)
        #expect(window.latencyMilliseconds(atPercentile: 100) == 71)
        let figures = SLAFigures([window, SLAWindow(start: window.end, lengthSeconds: 3_600), window])
        #expect(figures.calls == 12 && figures.uptimePPM == 750_000 && figures.errorsPPM == 500_000)
        let kept = SLAWindow(
            start: window.start,
            lengthSeconds: 3_600,
            calls: window.calls,
            failed: window.failed,
            late: window.late,
            wrong: window.wrong,
            latency: LatencyHistogram(counts: window.latency.counts),
            seenSlots: window.seenSlots,
            upSlots: window.upSlots
        )
        #expect(kept == window)
    }
}

@Suite("Promises that are not kept") struct SLABreachTests {
    private var promise: Listing.Promise {
        var promise = Listing.Promise()
        promise.deadlineMilliseconds = 1_000
        promise.percentile = 95
        promise.latencyMilliseconds = 500
        promise.uptimePPM = 990_000
        promise.errorsPPM = 10_000
        return promise
    }

    private let schema: JSONObject = [
        "type": "object", "properties": ["temperature": ["type": "number"]], "required": ["temperature"],
    ]

    private func listing() throws -> Listing {
        var listing = try Listing(Sample.body)
        listing.promise = promise
        listing.output = schema
        return listing
    }

    private func breaches(_ receipt: Receipt?, _ body: String? = nil, _ measure: CallMeasure? = nil) -> [SLABreach] {
        SLARules.breaches(
            of: .init(receipt: receipt, body: body.map { Array($0.utf8) }, measure: measure),
            promise: promise,
            schema: schema
        )
    }

    @Test("[SLA-4] [SLA-5] What the seller signed is found and seen by others: late, failed, against the schema")
    func provable() throws {
        let good = #"{"temperature": 12}"#, bad = #"{"temperature": "warm"}"#
        #expect(breaches(try Calls.receipt(), good).isEmpty)
        let late = breaches(try Calls.receipt(milliseconds: 1_500), good)
        #expect(late.map(\.rule) == [.late])
        #expect(late.first?.measured == 1_500 && late.first?.promised == 1_000)
        let failed = breaches(try Calls.receipt(status: 502))
        let broken = breaches(try Calls.receipt(body: Array(bad.utf8)), bad)
        let noJSON = breaches(try Calls.receipt(body: Array("<html>".utf8)), "<html>")
        #expect(failed.map(\.rule) == [.failed] && broken.map(\.rule) == [.schema] && noJSON.map(\.rule) == [.schema])
        #expect(breaches(try Calls.receipt(body: nil)).map(\.rule) == [.failed])
        #expect(breaches(try Calls.receipt(outcome: .refunded)).map(\.rule) == [.failed])
        // An error of the caller's own is not held against the schema.
        #expect(breaches(try Calls.receipt(body: Array(bad.utf8), status: 404), bad).isEmpty)
        let (listing, seller) = (try listing(), Calls.did(Calls.seller))
        for breach in late + failed + broken + noJSON {
            #expect(breach.isProvable)
            #expect(SLARules.isProven(breach, by: listing, of: seller))
            #expect(!SLARules.isProven(breach, by: listing, of: Calls.did(Calls.buyer)))
        }
    }

    @Test("[SLA-5] A breach that says more than its evidence is not proven")
    func forged() throws {
        let (listing, seller) = (try listing(), Calls.did(Calls.seller))
        let good = try Calls.receipt()
        var invented = SLABreach(rule: .late, measured: 1_500, promised: 1_000, evidence: .init())
        invented.evidence.receipts = [good.document]
        #expect(!SLARules.isProven(invented, by: listing, of: seller))
        // A receipt that was changed after it was signed.
        var changed = try Calls.receipt(milliseconds: 1_500).document
        changed["respondedAt"] = .string(Sample.now.adding(seconds: 60).rfc3339)
        invented.evidence.receipts = [changed]
        invented.measured = 60_000
        #expect(!SLARules.isProven(invented, by: listing, of: seller))
        // A body that the receipt does not name, and a schema that was not promised.
        let broken = SLARules.breaches(
            of: .init(receipt: good, body: Array(#"{"temperature": 12}"#.utf8)),
            promise: promise,
            schema: ["type": "string"]
        )
        #expect(broken.map(\.rule) == [.schema])
        #expect(broken.allSatisfy { !SLARules.isProven($0, by: listing, of: seller) })
        var other = try #require(broken.first)
        other.evidence.body = Array("{}".utf8)
        #expect(!SLARules.isProven(other, by: listing, of: seller))
    }

    @Test("[SLA-5] What only the buyer saw is found, and proves nothing to others")
    func buyersWord() throws {
        let listing = try listing()
        let late = breaches(try Calls.receipt(), nil, Calls.measure(3_000))
        #expect(late.map(\.rule) == [.late] && late.allSatisfy { !$0.isProvable && $0.outcome == .late })
        let hash = breaches(try Calls.receipt(), #"{"temperature": 13}"#)
        #expect(hash.map(\.rule) == [.hash] && hash.allSatisfy { !$0.isProvable && $0.outcome == .wrong })
        let nothing = breaches(nil, nil, Calls.measure(30_000, .failed))
        #expect(nothing.map(\.rule) == [.failed] && nothing.allSatisfy { !$0.isProvable && $0.outcome == .failed })
        for breach in late + hash + nothing {
            #expect(!SLARules.isProven(breach, by: listing, of: Calls.did(Calls.seller)))
        }
        #expect(breaches(nil).isEmpty)
    }

    @Test("[SLA-6] Windows are held against the promise from twenty calls on")
    func windows() {
        func figures(_ calls: Int, _ milliseconds: Int64, failed: Int) -> SLAFigures {
            var window = SLAWindow(start: Sample.now, lengthSeconds: 3_600)
            for call in 0..<calls {
                let at = Sample.now.adding(seconds: Int64(call) * 60)
                window.add(Calls.measure(milliseconds, call < failed ? .failed : .good, at: at))
            }
            return SLAFigures([window])
        }
        #expect(SLARules.breaches(of: figures(19, 9_000, failed: 19), promise: promise).isEmpty)
        #expect(SLARules.breaches(of: figures(20, 400, failed: 0), promise: promise).isEmpty)
        // 505 ms lies in the bucket of 500 ms, 520 ms in the next.
        #expect(SLARules.breaches(of: figures(20, 505, failed: 0), promise: promise).isEmpty)
        let slow = SLARules.breaches(of: figures(20, 520, failed: 0), promise: promise)
        #expect(slow.map(\.rule) == [.latency])
        let down = SLARules.breaches(of: figures(20, 400, failed: 1), promise: promise)
        #expect(down.map(\.rule) == [.uptime, .errors])
        #expect((slow + down).allSatisfy { !$0.isProvable })
    }

    @Test("[SLA-7] A refund is a share of what was paid, rounded up, and never above it")
    func refunds() {
        func refund(_ rule: SLABreach.Rule, _ measured: Int64?, _ promised: Int64?, _ paid: UInt64) -> UInt64 {
            SLARefund.amount(
                for: SLABreach(rule: rule, measured: measured, promised: promised, evidence: .init()),
                paid: paid
            )
        }
        for rule in [SLABreach.Rule.failed, .schema, .hash] { #expect(refund(rule, nil, nil, 7) == 7) }
        #expect(refund(.late, 1_500, 1_000, 10) == 5)
        #expect(refund(.late, 1_001, 1_000, 10) == 1)
        #expect(refund(.late, 2_000, 1_000, 10) == 10)
        #expect(refund(.late, 1_000, 1_000, 10) == 0)
        #expect(refund(.late, .max, 1, .max) == .max)
        #expect(refund(.late, 2, .max, .max) == 0)
        #expect(refund(.latency, .max - 1, .max / 2 + 1, .max) < .max)
        #expect(refund(.late, .max, .min, 5) == 0)
        #expect(refund(.uptime, 495_000, 990_000, 100) == 50)
        #expect(refund(.errors, 60_000, 10_000, 1_000) == 50)
        #expect(refund(.errors, .max, .min, 1_000) == 1_000)
        let both = [
            SLABreach(rule: .late, measured: 1_500, promised: 1_000, evidence: .init()),
            SLABreach(rule: .failed, measured: nil, promised: nil, evidence: .init()),
        ]
        #expect(SLARefund.amount(for: both, paid: 10) == 10)
        #expect(SLARefund.amount(for: [], paid: 10) == 0)
    }

    @Test(
        "[SLA-11] What goes back by itself is read as it is written, or not at all",
        arguments: [
            ("late=50%,schema=100%", ["late": 500_000, "schema": 1_000_000]),
            ("late", ["late": "measure"]), (" schema , late=12.5 ", ["late": 125_000, "schema": "measure"]),
            ("late=0.0001%", ["late": 1]),
            ("", nil), ("late=", nil), ("late=0%", nil), ("late=100.0001%", nil), ("late=-1%", nil), ("late,late", nil),
            ("late,", nil), ("failed=50%", nil), ("late=50%=50%", nil), ("LATE", nil),
        ] as [(String, JSONObject?)]
    )
    func refundsInWords(_ text: String, _ expected: JSONObject?) throws {
        let refunds = SLARefunds(text)
        #expect(refunds?.json == expected)
        if let refunds { #expect(SLARefunds(refunds.description) == refunds) }
    }

    @Test(
        "[SLA-7] [SLA-11] Whatever the share and the price, what goes back is whole, rounded up, and never above what was paid"
    )
    func refundAmounts() throws {
        let late = SLABreach(rule: .late, measured: 1_500, promised: 1_000, evidence: .init())
        let wrong = SLABreach(rule: .schema, measured: nil, promised: nil, evidence: .init())
        let failed = SLABreach(rule: .failed, measured: nil, promised: nil, evidence: .init())
        let half = SLARefunds(late: .ppm(500_000), schema: .ppm(1_000_000))
        #expect([0, 1, 4, 5, .max].map { half.amount(for: late, paid: $0) } == [0, 1, 2, 3, 1 << 63])
        #expect(half.amount(for: wrong, paid: .max) == .max && half.amount(for: failed, paid: 7) == 0)
        #expect(SLARefunds(late: .measure).amount(for: late, paid: 10) == 5)
        #expect(SLARefunds(schema: .measure).amount(for: wrong, paid: 10) == 10)
        #expect(SLARefunds(schema: .measure).greatest(of: [late, failed], paid: 10) == nil)
        let greatest = try #require(half.greatest(of: [late, wrong], paid: 10))
        #expect(greatest.breach.rule == .schema && greatest.amount == 10)
        var random = SeededRandom(seed: 11)
        for _ in 0..<2_000 {
            let paid = UInt64.random(in: 0...(.max >> UInt64.random(in: 0...63, using: &random)), using: &random)
            let ppm = Int64.random(in: 1...1_000_000, using: &random)
            let back = SLARefunds(late: .ppm(ppm)).amount(for: late, paid: paid)
            // Held against exact arithmetic: the least whole number that is not below the share.
            let (high, low) = paid.multipliedFullWidth(by: UInt64(ppm))
            let exact = UInt64(1_000_000).dividingFullWidth((high, low))
            #expect(back == exact.quotient + (exact.remainder > 0 ? 1 : 0) && back <= paid)
        }
    }

    @Test(
        "[RCPT-12] [SLA-5] What the seller's own receipt says was broken is found without the listing, and the call went wrong"
    )
    func ownWord() throws {
        func receipt(_ rule: String, _ promised: UInt64? = nil, milliseconds: Int64 = 100) throws -> Receipt {
            try Calls.receipt(amount: 0, milliseconds: milliseconds) {
                $0.settlement = ReceiptSettlement(
                    returned: 10,
                    form: "fresh-token",
                    breach: ReceiptBreach(rule: rule, promised: promised, refund: 10)
                )
            }
        }
        func found(_ receipt: Receipt, _ body: String? = nil) -> [SLABreach] {
            SLARules.breaches(of: .init(receipt: receipt, body: body.map { Array($0.utf8) }), promise: nil)
        }
        let late = found(try receipt("late", 50))
        #expect(late.map(\.rule) == [.late] && late.first?.measured == 100 && late.first?.promised == 50)
        let wrong = found(try receipt("schema"))
        #expect(wrong.map(\.rule) == [.schema] && wrong.first?.outcome == .wrong)
        #expect(found(try receipt("manners")).isEmpty)
        // With the listing it is the same one breach.
        #expect(breaches(try receipt("late", 1_000, milliseconds: 1_500)).map(\.rule) == [.late])
        // All of it went back: it counts, and not as a good one.
        let given = try receipt("schema")
        #expect(given.claims.isPaid)
        #expect(throws: Never.self) { try SettledCall(given, outcome: .wrong, now: Sample.now) }
        #expect(throws: ReputationRefusal.self) { try SettledCall(given, outcome: .good, now: Sample.now) }
    }

    @Test("[SLA-8] A chart has the latest windows, a bar each, with the promise on it")
    func chart() {
        #expect(SLAChart([], promise: nil).text == "No calls were measured.\n")
        let windows = (0..<60).map { hour -> SLAWindow in
            let start = Sample.now.adding(seconds: Int64(hour) * 3_600)
            var window = SLAWindow(start: start, lengthSeconds: 3_600)
            window.add(Calls.measure(hour == 59 ? 990 : 250, hour == 58 ? .failed : .good, at: start))
            return window
        }
        let chart = SLAChart(windows, promise: promise)
        let lines = chart.text.split(separator: "\n")
        #expect(lines.count == 49)
        #expect(lines[0] == "p95 latency, scale 0 to 991 ms, | promised 500 ms")
        let bars = lines.map { $0.filter { $0 == "█" }.count }
        #expect(bars[1] == 9 && bars[48] == 31 && bars[47] == 0)
        #expect(lines.dropFirst().allSatisfy { $0.contains("|") })
        #expect(lines[47].contains("up 0.00 %, errors 100.00 %"))
        let svg = chart.svg
        #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
        #expect(svg.components(separatedBy: "<rect").count == 1 + 1 + 48)
        #expect(svg.components(separatedBy: "#c0392b").count == 2)
        #expect(svg.components(separatedBy: "#e67e22").count == 2)
    }
}

extension String {
    fileprivate func components(separatedBy text: String) -> [String] {
        var (parts, rest) = ([String](), Substring(self))
        while let range = rest.firstRange(of: text) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}
