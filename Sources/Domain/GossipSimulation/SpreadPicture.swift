/// A report as a picture (SVG 1.1): the share of nodes reached over the time since publication.
package struct SpreadPicture: Sendable {
    private let report: SpreadReport
    private static let (width, height) = (760, 420)
    /// Where the curves are drawn.
    private static let (left, top, right, bottom) = (64, 64, 736, 372)
    private static let points = 120

    package init(_ report: SpreadReport) {
        self.report = report
    }

    package var svg: String {
        let end = horizon
        let curve = (0...Self.points).map { point -> (x: Double, least: Double, median: Double, most: Double) in
            let reached = report.reached(after: Int32(end * point / Self.points))
            let x = Double(Self.left) + Double(Self.right - Self.left) * Double(point) / Double(Self.points)
            return (x, reached.least, reached.median, reached.most)
        }
        let band = curve.map { Self.point($0.x, $0.most) } + curve.reversed().map { Self.point($0.x, $0.least) }
        let median = curve.map { Self.point($0.x, $0.median) }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(Self.width)" height="\(Self.height)" \
            viewBox="0 0 \(Self.width) \(Self.height)" font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="white"/>
            <text x="\(Self.left)" y="26" font-size="16">\(Self.escaped(title))</text>
            <text x="\(Self.left)" y="46" fill="#555">\(Self.escaped(summary))</text>
            \(grid(end).joined(separator: "\n"))
            <polygon points="\(band.joined(separator: " "))" fill="#4c78a8" fill-opacity="0.25"/>
            <polyline points="\(median.joined(separator: " "))" fill="none" stroke="#4c78a8" stroke-width="2"/>
            <text x="\((Self.left + Self.right) / 2)" y="408" text-anchor="middle">milliseconds since publication; \
            line: the median message, band: all messages</text>
            </svg>

            """
    }

    /// The last delivery, rounded up to hundreds.
    private var horizon: Int { max(100, (report.lastNodeMilliseconds(percentile: 100) + 99) / 100 * 100) }

    private var title: String {
        let scenario = report.scenario
        guard let attack = scenario.attack else { return "\(scenario.nodes) nodes, \(scenario.degree) links each" }
        return "\(scenario.nodes) honest nodes, \(scenario.sybils) attacking: \(attack.rawValue)"
    }

    private var summary: String {
        let share = Double(Int(report.deliveredShare * 100_000)) / 1_000
        return "\(report.spreads.count) messages, seed \(report.scenario.seed): \(share) % delivered, "
            + "p50 \(report.milliseconds(percentile: 50)) ms, p99 \(report.milliseconds(percentile: 99)) ms, "
            + "\(Double(Int(report.copiesPerDelivery * 100)) / 100) copies a delivery"
    }

    private func grid(_ end: Int) -> [String] {
        var lines: [String] = []
        for fifth in 0...5 {
            let share = Double(fifth) / 5
            let y = Self.y(share)
            lines.append(
                "<line x1=\"\(Self.left)\" x2=\"\(Self.right)\" y1=\"\(y)\" y2=\"\(y)\" stroke=\"#ddd\"/>"
                    + "<text x=\"\(Self.left - 8)\" y=\"\(y + 4)\" text-anchor=\"end\">\(fifth * 20) %</text>"
            )
            let x = Self.left + (Self.right - Self.left) * fifth / 5
            lines.append(
                "<line x1=\"\(x)\" x2=\"\(x)\" y1=\"\(Self.top)\" y2=\"\(Self.bottom)\" stroke=\"#ddd\"/>"
                    + "<text x=\"\(x)\" y=\"\(Self.bottom + 18)\" text-anchor=\"middle\">\(end * fifth / 5)</text>"
            )
        }
        return lines
    }

    private static func y(_ share: Double) -> Double { Double(bottom) - Double(bottom - top) * share }
    private static func point(_ x: Double, _ share: Double) -> String { "\(rounded(x)),\(rounded(y(share)))" }
    private static func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
    private static func escaped(_ text: String) -> String {
        String(text.flatMap { $0 == "&" ? "&amp;" : $0 == "<" ? "&lt;" : String($0) })
    }
}
