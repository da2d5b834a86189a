internal import Encodings

/// Windows drawn for people: as lines of text, and as SVG ([SLA-8]).
public struct SLAChart: Sendable {
    public let windows: [SLAWindow]
    public let promise: Listing.Promise?

    /// The latest that are drawn.
    public static let maximumWindows = 48
    static let width = 32

    /// - Parameter windows: in order of time.
    public init(_ windows: [SLAWindow], promise: Listing.Promise?) {
        self.windows = windows.suffix(Self.maximumWindows)
        self.promise = promise
    }

    private var percentile: Int { promise?.percentile ?? 95 }

    private func latency(_ window: SLAWindow) -> Int64 { window.latencyMilliseconds(atPercentile: percentile) ?? 0 }

    /// The longest bar's time: what was promised is always on it.
    private var top: Int64 {
        max(1, promise?.latencyMilliseconds ?? 1, windows.map(latency).max() ?? 1)
    }

    /// A line each window: time, latency as a bar with `|` where the promise ends, uptime and errors.
    public var text: String {
        if windows.isEmpty { return "No calls were measured.\n" }
        var lines = [
            "p\(percentile) latency, scale 0 to \(top) ms"
                + (promise?.latencyMilliseconds.map { ", | promised \($0) ms" } ?? "")
        ]
        for window in windows {
            let time = String(window.start.rfc3339.prefix(16)).replacingT
            let figure = "\(latency(window)) ms"
            let notes = [
                "\(window.calls) calls", window.uptimePPM.map { "up \(Self.percent($0)) %" },
                window.errorsPPM.map { "errors \(Self.percent($0)) %" },
            ].compactMap { $0 }.joined(separator: ", ")
            lines.append("\(time) \(bar(latency(window))) \(figure)\(Self.spaces(max(0, 10 - figure.count))) \(notes)")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func place(_ milliseconds: Int64) -> Int {
        // Bounded by a day, so there is no overflow.
        Int((milliseconds * Int64(Self.width) + top - 1) / top)
    }

    private func bar(_ milliseconds: Int64) -> String {
        var cells = [Character](repeating: " ", count: Self.width)
        for cell in 0..<min(Self.width, place(milliseconds)) { cells[cell] = "█" }
        if let promised = promise?.latencyMilliseconds {
            cells[min(Self.width, max(1, place(promised))) - 1] = "|"
        }
        return String(cells)
    }

    private static func spaces(_ count: Int) -> String { String(repeating: " ", count: count) }

    /// Of a million, as per cent with two places.
    static func percent(_ ppm: Int64) -> String {
        let hundredths = (ppm + 50) / 100
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }

    /// A picture of its own, with nothing in it but numbers and times of ours.
    public var svg: String {
        let (step, height) = (16, 160)
        let count = max(1, windows.count)
        let wide = count * step + 80
        var parts = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(wide)\" height=\"\(height + 48)\" font-family=\"sans-serif\" font-size=\"10\">",
            "<title>p\(percentile) latency in ms</title>",
            "<rect width=\"\(wide)\" height=\"\(height + 48)\" fill=\"white\"/>",
            "<text x=\"4\" y=\"20\">\(top) ms</text><text x=\"4\" y=\"\(height + 10)\">0</text>",
        ]
        for (number, window) in windows.enumerated() {
            let value = latency(window)
            let tall = Int(value * Int64(height - 10) / top)
            let isOver = promise?.latencyMilliseconds.map { value > $0 } ?? false
            let color = window.failed > 0 ? "#c0392b" : isOver ? "#e67e22" : "#2e86c1"
            parts.append(
                "<rect x=\"\(60 + number * step)\" y=\"\(height + 10 - tall)\" width=\"\(step - 4)\" height=\"\(tall)\" fill=\"\(color)\">"
                    + "<title>\(window.start.rfc3339): \(value) ms, \(window.calls) calls</title></rect>"
            )
        }
        if let promised = promise?.latencyMilliseconds {
            let line = height + 10 - Int(promised * Int64(height - 10) / top)
            parts.append(
                "<line x1=\"56\" y1=\"\(line)\" x2=\"\(wide - 8)\" y2=\"\(line)\" stroke=\"black\" stroke-dasharray=\"4 2\"/>"
            )
        }
        if let first = windows.first, let last = windows.last {
            parts.append(
                "<text x=\"60\" y=\"\(height + 30)\">\(first.start.rfc3339) to \(last.end.rfc3339)</text>"
            )
        }
        return (parts + ["</svg>"]).joined(separator: "\n") + "\n"
    }
}

extension String {
    /// A date's `T` as a space.
    fileprivate var replacingT: String { String(map { $0 == "T" ? " " : $0 }) }
}
