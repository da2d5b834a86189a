internal import CanonicalJSON

/// What a seller gives back by itself of a call that breaks its promise ([SLA-11]).
public struct SLARefunds: Sendable, Hashable {
    /// How much of a call's price goes back.
    public enum Share: Sendable, Hashable {
        /// As much as the measure says ([SLA-7]).
        case measure
        /// So many of a million parts, 1 to 1,000,000, whatever the measure says.
        case ppm(Int64)
    }

    /// What goes back of a call that was answered after the deadline.
    public var late: Share?
    /// What goes back where the body is not as the listing's `output` says.
    public var schema: Share?

    public init(late: Share? = nil, schema: Share? = nil) {
        self.late = late
        self.schema = schema
    }

    var isEmpty: Bool { late == nil && schema == nil }

    private func share(for rule: SLABreach.Rule) -> Share? {
        switch rule {
        case .late: late
        case .schema: schema
        case .failed, .hash, .latency, .uptime, .errors: nil
        }
    }

    /// What goes back for one breach: a whole number, rounded up, never above what was paid.
    public func amount(for breach: SLABreach, paid: UInt64) -> UInt64 {
        switch share(for: breach.rule) {
        case nil: 0
        case .measure: SLARefund.amount(for: breach, paid: paid)
        case .ppm(let ppm): SLARefund.share(paid, ppm, of: 1_000_000)
        }
    }

    /// The breach that gives back the most, which is paid once however many there are; nil where none gives anything.
    public func greatest(of breaches: [SLABreach], paid: UInt64) -> (breach: SLABreach, amount: UInt64)? {
        breaches.map { ($0, amount(for: $0, paid: paid)) }.filter { $0.1 > 0 }.max { $0.1 < $1.1 }
    }
}

/// As it is written.
extension SLARefunds: CustomStringConvertible {
    static let members: Set<String> = ["late", "schema"]

    /// Reads what an operator writes: `late=50%,schema=100%`; a name alone, such as `late`, goes by the measure.
    /// - Returns: nil where the text is of another form.
    public init?(_ text: String) {
        self.init()
        guard text.utf8.count <= 128 else { return nil }
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map {
                $0.trimmingSpaces
            }
            var share = Share.measure
            if pair.count == 2 {
                guard let ppm = Listing.Promise.ppm(pair[1]), ppm > 0 else { return nil }
                share = .ppm(ppm)
            }
            switch pair[0] {
            case "late" where late == nil: late = share
            case "schema" where schema == nil: schema = share
            default: return nil
            }
        }
    }

    /// The text that ``init(_:)`` reads.
    public var description: String {
        [("late", late), ("schema", schema)].compactMap { name, share in
            switch share {
            case nil: nil
            case .measure: name
            case .ppm(let ppm): "\(name)=\(Self.percent(ppm))%"
            }
        }.joined(separator: ",")
    }

    private static func percent(_ ppm: Int64) -> String {
        var fraction = String(ppm % 10_000 + 10_000).dropFirst()
        while fraction.last == "0" { fraction.removeLast() }
        return "\(ppm / 10_000)" + (fraction.isEmpty ? "" : ".\(fraction)")
    }

    /// A share is parts of a million, or `"measure"`.
    var json: JSONObject {
        var json = JSONObject()
        json["late"] = late?.json
        json["schema"] = schema?.json
        return json
    }
}

extension SLARefunds.Share {
    var json: JSONValue {
        switch self {
        case .measure: "measure"
        case .ppm(let ppm): .integer(ppm)
        }
    }

    /// - Returns: nil where it is neither.
    init?(json: JSONValue) {
        switch json {
        case "measure": self = .measure
        case .integer(let ppm) where (1...1_000_000).contains(ppm): self = .ppm(ppm)
        default: return nil
        }
    }
}
