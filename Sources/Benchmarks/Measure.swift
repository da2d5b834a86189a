internal import CanonicalJSON
internal import Foundation

/// One figure, printed as one JSON object on a line of its own.
struct Measure: Sendable {
    var name: String
    var value: Double?
    /// Of `value`, such as `1/s` or `ms`.
    var unit: String
    /// What the figure is to be held against, in the same unit; nil where there is nothing.
    var yardstick: Double?
    /// What else there is to say of it, such as why there is no value.
    var note: String?

    /// `value` over `yardstick`.
    var ratio: Double? {
        guard let value, let yardstick, yardstick > 0 else { return nil }
        return value / yardstick
    }

    var line: String {
        func number(_ value: Double?) -> JSONValue { value.map { .double(($0 * 1000).rounded() / 1000) } ?? .null }
        var object: JSONObject = [
            "name": .string(name), "value": number(value), "unit": .string(unit), "yardstick": number(yardstick),
            "ratio": number(ratio),
        ]
        object["note"] = note.map { .string($0) }
        return String(decoding: JSONValue.object(object).serialized(), as: UTF8.self)
    }

    /// So many a second, in the median round; what the quickest rounds reached stands beside it, because neighbours on the same
    /// machine can halve a core's speed for seconds.
    static func rate(_ name: String, each: Int, _ seconds: [Double], floor: [Double], perFloor: Double = 1) -> Measure {
        func rate(_ seconds: Double?) -> Double { seconds.map { Double(each) / $0 } ?? 0 }
        let quickest = (rate(seconds.min()), rate(floor.min()) / perFloor)
        return Measure(
            name: name,
            value: rate(Timing.median(seconds)),
            unit: "1/s",
            yardstick: rate(Timing.median(floor)) / perFloor,
            note: "quickest of \(seconds.count) rounds: \(Int(quickest.0)), of the yardstick: \(Int(quickest.1))"
        )
    }

    /// How busy the machine was before the first benchmark.
    static var machineLoad: Measure {
        var averages = [0.0, 0.0, 0.0]
        _ = getloadavg(&averages, 3)
        return Measure(
            name: "machine-load",
            value: averages[0],
            unit: "processes",
            yardstick: Double(ProcessInfo.processInfo.activeProcessorCount)
        )
    }
}

/// Time and its sums.
enum Timing {
    /// Seconds that `work` takes.
    static func seconds(_ work: () throws -> Void) rethrows -> Double {
        inSeconds(try ContinuousClock().measure(work))
    }

    static func inSeconds(_ duration: Duration) -> Double {
        let parts = duration.components
        return Double(parts.seconds) + Double(parts.attoseconds) / 1e18
    }

    /// What this process has used of all cores.
    static func processSeconds() -> Double {
        var usage = rusage()
        // RUSAGE_SELF, which Linux and Darwin import as different types.
        getrusage(0, &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
    }
}
