public import CanonicalJSON

/// A promise that was not kept, with what shows it ([SLA-4]).
public struct SLABreach: Sendable, Equatable {
    public enum Rule: String, Sendable, CaseIterable {
        /// Answered after the deadline, by the seller's own times.
        case late
        /// No whole answer, or an error of the server's.
        case failed
        /// A body against the promised schema.
        case schema
        /// Another body than the seller's receipt names.
        case hash
        /// What only windows show.
        case latency
        case uptime
        case errors

        /// How a call went that broke it, for reputation.
        public var outcome: CallOutcome {
            switch self {
            case .late, .latency: .late
            case .failed, .uptime, .errors: .failed
            case .schema, .hash: .wrong
            }
        }
    }

    /// What a third party needs to see the same.
    public struct Evidence: Sendable, Equatable {
        /// The seller's receipts, as they were signed; at most ``maximumReceipts``.
        public var receipts: [JSONObject] = []
        /// The body that came, where the rule is about it; at most ``maximumBodyBytes``.
        public var body: [UInt8]?
        /// The schema that was promised.
        public var schema: JSONObject?

        public static let maximumReceipts = 16
        public static let maximumBodyBytes = 1 << 20

        public init() {}
    }

    public var rule: Rule
    /// What was measured and what was promised, in the rule's unit: milliseconds for `late` and `latency`, of a million for
    /// `uptime` and `errors`, nil else.
    public var measured: Int64?
    public var promised: Int64?
    public var evidence: Evidence

    public init(rule: Rule, measured: Int64? = nil, promised: Int64? = nil, evidence: Evidence = Evidence()) {
        self.rule = rule
        self.measured = measured
        self.promised = promised
        self.evidence = evidence
    }

    /// Whether the provider signed what shows it, so that an arbiter needs nobody's word ([SLA-5]). What only the buyer
    /// measured is not: it lowers reputation.
    public var isProvable: Bool {
        switch rule {
        case .late, .failed: !evidence.receipts.isEmpty
        case .schema: !evidence.receipts.isEmpty && evidence.body != nil && evidence.schema != nil
        case .hash: false
        case .latency, .uptime, .errors: false
        }
    }

    /// How the call went by this rule, for reputation.
    public var outcome: CallOutcome { rule.outcome }
}
