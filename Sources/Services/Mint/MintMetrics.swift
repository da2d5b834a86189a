internal import Cashu
internal import Metrics

/// What the mint counts, for `/metrics`.
struct MintMetrics: Sendable {
    private let swaps = Counter(label: "mint_swaps_total")
    private let spent = Counter(label: "mint_proofs_spent_total")
    private let signed = Counter(label: "mint_outputs_signed_total")
    private let quotes = Counter(label: "mint_quotes_total", dimensions: [("kind", "mint")])
    private let meltQuotes = Counter(label: "mint_quotes_total", dimensions: [("kind", "melt")])
    private let issues = Counter(label: "mint_issues_total")
    private let meltsPaid = Counter(label: "mint_melts_total", dimensions: [("outcome", "paid")])
    private let meltsInside = Counter(label: "mint_melts_total", dimensions: [("outcome", "inside")])
    private let meltsFailed = Counter(label: "mint_melts_total", dimensions: [("outcome", "failed")])
    private let meltsUnknown = Counter(label: "mint_melts_total", dimensions: [("outcome", "unknown")])
    private let repeated = Counter(label: "mint_answers_repeated_total")
    private let meltsLate = Counter(label: "mint_melts_total", dimensions: [("outcome", "late")])
    private let overloads = Counter(label: "mint_overloaded_total")
    private let faults = Counter(label: "mint_faults_total")

    private let subscriptions = Counter(label: "mint_subscriptions_total")
    private let notifications = Counter(label: "mint_notifications_total")

    func subscribed() { subscriptions.increment() }
    func notified(_ count: Int) { notifications.increment(by: count) }

    func swapped(inputs: Int, outputs: Int) {
        swaps.increment()
        spent.increment(by: inputs)
        signed.increment(by: outputs)
    }

    func redeemed(held proofs: Int) { spent.increment(by: proofs) }

    func issued(outputs: Int) {
        issues.increment()
        signed.increment(by: outputs)
    }

    func answeredAgain() { repeated.increment() }
    func mintQuoted() { quotes.increment() }
    func meltQuoted() { meltQuotes.increment() }
    func meltPaid() { meltsPaid.increment() }
    func meltSettledInside() { meltsInside.increment() }
    func meltFailed() { meltsFailed.increment() }
    func meltUnknown() { meltsUnknown.increment() }
    func meltSettledLate() { meltsLate.increment() }

    func refused(_ failure: MintFailure) {
        switch failure.status {
        case 500: faults.increment()
        case 503: overloads.increment()
        default:
            // The codes are a fixed list, so the label cannot be made to grow by a client.
            Counter(label: "mint_refusals_total", dimensions: [("code", "\(failure.error.code.rawValue)")]).increment()
        }
    }
}
