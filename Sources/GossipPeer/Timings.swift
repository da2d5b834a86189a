internal import Foundation

/// How long numbered messages took, by the machine's monotonic clock, which all processes on it share.
struct Timings: Sendable {
    private var microseconds: [(number: UInt32, value: Int64)] = []

    /// Nanoseconds of the clock, which counts from the start of the machine.
    private static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// A message of so many bytes, at least twelve, that says its number and when it was made.
    static func data(number: UInt32, count: Int) -> [UInt8] {
        let time = now
        let head =
            (0..<8).map { UInt8(truncatingIfNeeded: time >> (56 - 8 * $0)) }
            + (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * UInt32($0))) }
        return head + [UInt8](repeating: 7, count: max(0, count - head.count))
    }

    mutating func take(_ data: [UInt8]) {
        guard data.count >= 12 else { return }
        let time = data[..<8].reduce(Int64(0)) { $0 << 8 | Int64($1) }
        let number = data[8..<12].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        microseconds.append((number, (Self.now - time) / 1_000))
    }

    /// `number:microseconds` of each, by commas.
    var told: String { microseconds.map { "\($0.number):\($0.value)" }.joined(separator: ",") }
}
