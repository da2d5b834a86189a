/// An instant: whole milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
public struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var millisecondsSince1970: Int64

    public init(millisecondsSince1970: Int64) {
        self.millisecondsSince1970 = millisecondsSince1970
    }

    /// Saturates at the ends of what 64-bit milliseconds hold (some 292 million years).
    public init(secondsSince1970: Int64) {
        let (product, overflow) = secondsSince1970.multipliedReportingOverflow(by: 1000)
        millisecondsSince1970 = overflow ? (secondsSince1970 < 0 ? .min : .max) : product
    }

    /// Whole seconds, rounded towards the past.
    public var secondsSince1970: Int64 { floorDivide(millisecondsSince1970, by: 1000).quotient }

    /// The instant `seconds` later (earlier where negative); saturates.
    public func adding(seconds: Int64) -> Timestamp {
        adding(milliseconds: Timestamp(secondsSince1970: seconds).millisecondsSince1970)
    }

    /// The instant `milliseconds` later (earlier where negative); saturates.
    public func adding(milliseconds: Int64) -> Timestamp {
        let (sum, overflow) = millisecondsSince1970.addingReportingOverflow(milliseconds)
        return Timestamp(millisecondsSince1970: overflow ? (milliseconds < 0 ? .min : .max) : sum)
    }

    /// How many milliseconds this is after `earlier` (negative where it is before); saturates.
    public func milliseconds(since earlier: Timestamp) -> Int64 {
        let (difference, overflow) =
            millisecondsSince1970.subtractingReportingOverflow(earlier.millisecondsSince1970)
        return overflow ? (self < earlier ? .min : .max) : difference
    }

    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.millisecondsSince1970 < right.millisecondsSince1970
    }

    public var description: String { rfc3339 }
}

/// Reads the time of day. Rooms take one as a parameter, so that tests and simulations set the time.
public struct WallClock: Sendable {
    public var now: @Sendable () -> Timestamp

    public init(now: @escaping @Sendable () -> Timestamp) {
        self.now = now
    }

    /// A clock that always shows the same instant.
    public static func stopped(at instant: Timestamp) -> WallClock {
        WallClock { instant }
    }
}

/// The quotient rounded towards negative infinity, and the remainder, which is never negative.
func floorDivide(_ value: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
}
