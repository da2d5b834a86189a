public import Encodings

/// One call as one side saw it.
public struct CallMeasure: Sendable, Hashable {
    /// Who measured, by whose clock.
    public enum Side: String, Sendable, CaseIterable {
        case buyer
        case seller
    }

    public var side: Side
    /// When it was asked and answered, by the clock of ``side``. The seller's stand signed in the receipt.
    public var requestedAt: Timestamp
    public var respondedAt: Timestamp
    public var outcome: CallOutcome

    public init(side: Side, requestedAt: Timestamp, respondedAt: Timestamp, outcome: CallOutcome) {
        self.side = side
        self.requestedAt = requestedAt
        self.respondedAt = respondedAt
        self.outcome = outcome
    }

    /// Not below 0, whatever the clock did.
    public var latencyMilliseconds: Int64 { max(0, respondedAt.milliseconds(since: requestedAt)) }

    /// Whether an answer came at all; one that was late or wrong shows that the service is up.
    public var isAnswered: Bool { outcome != .failed }
}

/// The calls of one service in a span of time, with nothing in it that grows with their number ([SLA-2]).
public struct SLAWindow: Sendable, Hashable {
    /// Parts of a window that are up or down: with an hour, a minute each.
    public static let slots: Int64 = 60

    public let start: Timestamp
    public let lengthSeconds: Int64
    public private(set) var calls: Int64 = 0
    public private(set) var failed: Int64 = 0
    public private(set) var late: Int64 = 0
    public private(set) var wrong: Int64 = 0
    /// Of calls that were answered.
    public private(set) var latency = LatencyHistogram()
    /// Bit n: a call was asked, or answered, in slot n.
    public private(set) var seenSlots: UInt64 = 0
    public private(set) var upSlots: UInt64 = 0

    public init(start: Timestamp, lengthSeconds: Int64) {
        self.start = start
        self.lengthSeconds = min(max(Self.slots, lengthSeconds), 366 * 86_400)
    }

    /// One that was kept.
    public init(
        start: Timestamp,
        lengthSeconds: Int64,
        calls: Int64,
        failed: Int64,
        late: Int64,
        wrong: Int64,
        latency: LatencyHistogram,
        seenSlots: UInt64,
        upSlots: UInt64
    ) {
        self.init(start: start, lengthSeconds: lengthSeconds)
        self.calls = max(0, calls)
        self.failed = min(max(0, failed), self.calls)
        self.late = min(max(0, late), self.calls)
        self.wrong = min(max(0, wrong), self.calls)
        self.latency = latency
        self.seenSlots = seenSlots
        self.upSlots = upSlots & seenSlots
    }

    public var end: Timestamp { start.adding(seconds: lengthSeconds) }

    /// - Returns: false where the call is of another time.
    @discardableResult
    public mutating func add(_ measure: CallMeasure) -> Bool {
        let offset = measure.requestedAt.milliseconds(since: start)
        guard offset >= 0, measure.requestedAt < end, calls < .max else { return false }
        calls += 1
        switch measure.outcome {
        case .good: break
        case .failed: failed += 1
        case .late: late += 1
        case .wrong: wrong += 1
        }
        let slot = UInt64(1) << UInt64(min(offset * Self.slots / (lengthSeconds * 1_000), Self.slots - 1))
        seenSlots |= slot
        if measure.isAnswered {
            upSlots |= slot
            latency.add(measure.latencyMilliseconds)
        }
        return true
    }

    /// Calls of a million that failed, were late or wrong, rounded up; nil without calls.
    public var errorsPPM: Int64? {
        SLAFigures.ppm(
            failed.addingReportingOverflow(late).partialValue.addingReportingOverflow(wrong).partialValue,
            of: calls
        )
    }

    /// Slots of a million that had an answer, of those in which somebody asked, rounded down; nil without calls.
    public var uptimePPM: Int64? {
        let (seen, up) = (Int64(seenSlots.nonzeroBitCount), Int64(upSlots.nonzeroBitCount))
        return seen == 0 ? nil : up * 1_000_000 / seen
    }

    public func latencyMilliseconds(atPercentile percentile: Int) -> Int64? {
        latency.milliseconds(atPercentile: percentile)
    }
}

/// What windows come to together.
public struct SLAFigures: Sendable, Hashable {
    public var calls: Int64 = 0
    public var failed: Int64 = 0
    public var late: Int64 = 0
    public var wrong: Int64 = 0
    public var latency = LatencyHistogram()
    private var seenSlots: Int64 = 0
    private var upSlots: Int64 = 0

    /// - Parameter windows: as many as are asked for, none twice.
    public init(_ windows: some Sequence<SLAWindow>) {
        for window in windows {
            let (sum, isTooMany) = calls.addingReportingOverflow(window.calls)
            if isTooMany { continue }
            calls = sum
            // Each is at most the calls, so it has room where they have.
            failed += window.failed
            late += window.late
            wrong += window.wrong
            latency.merge(window.latency)
            seenSlots += Int64(window.seenSlots.nonzeroBitCount)
            upSlots += Int64(window.upSlots.nonzeroBitCount)
        }
    }

    public var errorsPPM: Int64? {
        Self.ppm(
            failed.addingReportingOverflow(late).partialValue.addingReportingOverflow(wrong).partialValue,
            of: calls
        )
    }

    public var uptimePPM: Int64? { seenSlots == 0 ? nil : upSlots * 1_000_000 / seenSlots }

    /// Rounded up, at most a million; nil of nothing.
    static func ppm(_ part: Int64, of whole: Int64) -> Int64? {
        guard whole > 0 else { return nil }
        let (high, low) = UInt64(max(0, min(part, whole))).multipliedFullWidth(by: 1_000_000)
        let (quotient, rest) = UInt64(whole).dividingFullWidth((high, low))
        return Int64(quotient) + (rest > 0 ? 1 : 0)
    }
}
