public import CoreMetrics
internal import Encodings
internal import Foundation
internal import Synchronization

/// swift-metrics behind `/metrics`, in Prometheus' text format 0.0.4.
///
/// It holds at most `seriesLimit` series: a label that a stranger can vary never fills the memory; what comes
/// over the limit is counted in `mintmark_metrics_dropped_total`.
public final class PrometheusMetrics: MetricsFactory, Sendable {
    private struct SeriesKey: Hashable {
        let name: String
        let labels: String
    }

    private struct State {
        var series: [SeriesKey: Series] = [:]
        var dropped = 0
    }

    /// The process's own; swift-metrics takes one factory in a process.
    public static let shared: PrometheusMetrics = {
        let metrics = PrometheusMetrics()
        MetricsSystem.bootstrap(metrics)
        return metrics
    }()

    private let state = Mutex(State())
    private let seriesLimit: Int

    public init(seriesLimit: Int = 2000) {
        self.seriesLimit = seriesLimit
    }

    /// The page: families by name, series by labels.
    public func exposition() -> String {
        let (series, dropped) = state.withLock { ($0.series, $0.dropped) }
        var text = ""
        var family = ""
        for (key, value) in series.sorted(by: { ($0.key.name, $0.key.labels) < ($1.key.name, $1.key.labels) }) {
            if key.name != family {
                family = key.name
                text += "# TYPE \(family) \(value.kind.rawValue)\n"
            }
            text += value.lines(name: key.name, labels: key.labels)
        }
        text += "# TYPE mintmark_metrics_dropped_total counter\nmintmark_metrics_dropped_total \(dropped)\n"
        return text
    }

    private func series(_ label: String, _ dimensions: [(String, String)], _ kind: Series.Kind) -> Series {
        let key = SeriesKey(name: Self.name(label, kind), labels: Self.labels(dimensions))
        return state.withLock { state in
            if let found = state.series[key], found.kind == kind { return found }
            let series = Series(kind)
            if state.series.count < seriesLimit, state.series[key] == nil {
                state.series[key] = series
            } else {
                state.dropped += 1
            }
            return series
        }
    }

    private static func name(_ label: String, _ kind: Series.Kind) -> String {
        var name = String(label.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") ? $0 : "_" })
        if kind == .counter, !name.hasSuffix("_total") { name += "_total" }
        return name
    }

    private static func labels(_ dimensions: [(String, String)]) -> String {
        dimensions.sorted { $0.0 < $1.0 }.map { key, value in
            // By scalars: to `replacing`, the line feed of "\r\n" is no line feed.
            "\(key)=" + value.quoted.unicodeScalars.map { $0 == "\n" ? "\\n" : String($0) }.joined()
        }.joined(separator: ",")
    }

    // MARK: MetricsFactory

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions, .counter)
    }

    public func makeFloatingPointCounter(
        label: String,
        dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        series(label, dimensions, .counter)
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions, .gauge)
    }

    public func makeRecorder(
        label: String,
        dimensions: [(String, String)],
        aggregate: Bool
    ) -> any RecorderHandler {
        series(label, dimensions, aggregate ? .histogram : .gauge)
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions, .histogram)
    }

    // Series live as long as the node: their number is bounded, and a counter that went away would read as a reset.
    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    public func destroyMeter(_ handler: any MeterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}
}

/// One line of numbers. Timers are kept in seconds, as Prometheus wants them.
private final class Series: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler, TimerHandler,
    Sendable
{
    enum Kind: String { case counter, gauge, histogram }

    private static let bounds: [Double] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
    ]

    private struct Numbers {
        var value = 0.0
        var count: UInt64 = 0
        var buckets = [UInt64](repeating: 0, count: Series.bounds.count)
    }

    let kind: Kind
    private let numbers = Mutex(Numbers())

    init(_ kind: Kind) { self.kind = kind }

    func increment(by amount: Int64) { numbers.withLock { $0.value += Double(amount) } }
    func increment(by amount: Double) { numbers.withLock { $0.value += amount } }
    func decrement(by amount: Double) { numbers.withLock { $0.value -= amount } }
    func reset() { numbers.withLock { $0 = Numbers() } }
    func set(_ value: Int64) { numbers.withLock { $0.value = Double(value) } }
    func set(_ value: Double) { numbers.withLock { $0.value = value } }
    func record(_ value: Int64) { record(Double(value)) }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    func record(_ value: Double) {
        numbers.withLock { numbers in
            guard kind == .histogram else {
                numbers.value = value
                return
            }
            numbers.value += value
            numbers.count += 1
            if let index = Self.bounds.firstIndex(where: { value <= $0 }) { numbers.buckets[index] += 1 }
        }
    }

    func lines(name: String, labels: String) -> String {
        let numbers = numbers.withLock { $0 }
        let braced = labels.isEmpty ? "" : "{\(labels)}"
        guard kind == .histogram else { return "\(name)\(braced) \(Self.text(numbers.value))\n" }
        var text = ""
        var below: UInt64 = 0
        let comma = labels.isEmpty ? "" : ","
        for (bound, count) in zip(Self.bounds, numbers.buckets) {
            below += count
            text += "\(name)_bucket{\(labels)\(comma)le=\"\(Self.text(bound))\"} \(below)\n"
        }
        text += "\(name)_bucket{\(labels)\(comma)le=\"+Inf\"} \(numbers.count)\n"
        text += "\(name)_sum\(braced) \(Self.text(numbers.value))\n\(name)_count\(braced) \(numbers.count)\n"
        return text
    }

    private static func text(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }
}
