internal import Gossip
internal import Metrics
internal import Synchronization

/// What `/metrics` shows of records and their repair.
final class RecordsMetrics: Sendable {
    /// What the counters were set to last.
    private let before = Mutex<(intake: RecordIntake.Counts, repair: RepairService.Counts)?>(nil)

    func set(_ totals: [RecordTotals], _ intake: RecordIntake.Counts, _ repair: RepairService.Counts) {
        for total in totals {
            Gauge(label: "mintmark_records", dimensions: [("kind", total.kind)]).record(total.records)
            Gauge(label: "mintmark_records_bytes", dimensions: [("kind", total.kind)]).record(total.bytes)
        }
        let last = before.withLock { before in
            defer { before = (intake, repair) }
            return before
        }
        add("mintmark_records_accepted_total", [], intake.accepted, last?.intake.accepted)
        for (code, count) in intake.refused {
            add("mintmark_records_refused_total", [("code", code)], count, last?.intake.refused[code])
        }
        for (outcome, now, old) in [
            ("completed", repair.completed, last?.repair.completed), ("failed", repair.failed, last?.repair.failed),
            ("served", repair.served, last?.repair.served), ("turned-away", repair.turnedAway, last?.repair.turnedAway),
            ("fault", repair.faults, last?.repair.faults),
        ] {
            add("mintmark_repair_sessions_total", [("outcome", outcome)], now, old)
        }
        for (outcome, now, old) in [
            ("taken", repair.taken, last?.repair.taken), ("refused", repair.refused, last?.repair.refused),
            ("sent", repair.sent, last?.repair.sent),
        ] {
            add("mintmark_repair_records_total", [("outcome", outcome)], now, old)
        }
        add("mintmark_repair_bytes_total", [("direction", "in")], repair.bytesRead, last?.repair.bytesRead)
        add("mintmark_repair_bytes_total", [("direction", "out")], repair.bytesWritten, last?.repair.bytesWritten)
    }

    func set(equivocations: Int) { Gauge(label: "mintmark_status_equivocations").record(equivocations) }

    private func add(_ label: String, _ dimensions: [(String, String)], _ now: Int, _ before: Int?) {
        Counter(label: label, dimensions: dimensions).increment(by: now - (before ?? 0))
    }
}
