internal import Encodings

/// How often an arbiter is asked: soon at first, then every half minute. It is shown the evidence once, as long as this process lives.
struct DisputePace: Sendable {
    private static let firstMilliseconds: Int64 = 1_000
    private static let longestMilliseconds: Int64 = 30_000

    private var known: [[UInt8]: (next: Timestamp, pause: Int64)] = [:]

    /// Whether the arbiter has been shown the job.
    func knows(_ job: [UInt8]) -> Bool { known[job] != nil }

    func isDue(_ job: [UInt8], at now: Timestamp) -> Bool { known[job].map { $0.next <= now } ?? true }

    /// It was asked, and there was nothing new.
    mutating func wait(_ job: [UInt8], at now: Timestamp) {
        let pause = min(Self.longestMilliseconds, known[job].map { $0.pause * 2 } ?? Self.firstMilliseconds)
        known[job] = (now.adding(milliseconds: pause), pause)
    }

    /// Something new is known: the next question is another one.
    mutating func restart(_ job: [UInt8]) { known[job] = nil }
}
