/// `Accept-Payment`: which methods and intents of the `Payment` scheme a client prefers (draft-httpauth-payment, 6.4).
public struct AcceptPayment: Sendable, Equatable {
    struct Range: Sendable, Equatable {
        /// nil for any.
        var method: String?
        var intent: String?
        /// 0 to 1000.
        var weight: Int

        var specificity: Int { (method == nil ? 0 : 2) + (intent == nil ? 0 : 1) }
    }

    let ranges: [Range]

    /// The longest value read, in bytes.
    public static let maximumBytes = 2048

    /// - Returns: nil where there is none, or it can't be read: then it is ignored, as the draft allows.
    public init?(headerValues: [String]) {
        let text = headerValues.joined(separator: ",")
        guard !text.isEmpty, text.utf8.count <= Self.maximumBytes else { return nil }
        var ranges: [Range] = []
        for part in text.split(separator: ",") {
            let pieces = part.split(separator: ";", omittingEmptySubsequences: false).map(Self.trimmed)
            let names = pieces[0].split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard names.count == 2, !names[0].isEmpty, !names[1].isEmpty, pieces.count <= 2 else { return nil }
            var weight = 1000
            if pieces.count == 2 {
                guard let read = Self.weight(pieces[1]) else { return nil }
                weight = read
            }
            ranges.append(
                Range(
                    method: names[0] == "*" ? nil : names[0],
                    intent: names[1] == "*" ? nil : names[1],
                    weight: weight
                )
            )
        }
        guard !ranges.isEmpty else { return nil }
        self.ranges = ranges
    }

    /// What the client wants of these, best first, in our order where it has no preference; all where it wants none of them.
    func chosen(_ dialects: [PaymentDialect]) -> [PaymentDialect] {
        let weighed = dialects.enumerated().compactMap { index, dialect in
            weight(dialect).map { (dialect, $0, index) }
        }
        .filter { $0.1 > 0 }
        .sorted { ($1.1, $0.2) < ($0.1, $1.2) }
        return weighed.isEmpty ? dialects : weighed.map(\.0)
    }

    private func weight(_ dialect: PaymentDialect) -> Int? {
        guard let (method, intent) = dialect.methodAndIntent else { return nil }
        return ranges.filter { ($0.method ?? method) == method && ($0.intent ?? intent) == intent }
            .max { $0.specificity < $1.specificity }?.weight
    }

    /// `q=0.5` in thousandths.
    private static func weight(_ text: String) -> Int? {
        guard text.lowercased().hasPrefix("q=") else { return nil }
        let digits = text.dropFirst(2).split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(digits.count), digits[0] == "0" || digits[0] == "1" else { return nil }
        let fraction = digits.count == 2 ? digits[1] : ""
        guard fraction.utf8.count <= 3, fraction.utf8.allSatisfy({ (48...57).contains($0) }),
            let whole = Int(digits[0]), let parts = Int(fraction + String(repeating: "0", count: 3 - fraction.count))
        else { return nil }
        let weight = whole * 1000 + parts
        return weight <= 1000 ? weight : nil
    }

    private static func trimmed(_ text: Substring) -> String {
        let start = text.drop { $0 == " " || $0 == "\t" }
        guard let end = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return String(start[...end])
    }
}
