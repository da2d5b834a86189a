internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Records
internal import Wallet

/// Has an entry node stamp what this node publishes, so that it counts also with those that trust that node and not this one
/// ([PST-3]).
struct Postage: Sendable {
    let buyer: Buyer
    /// The priced service that stamps.
    let entry: String
    /// The most that one stamp may cost.
    let maximum: UInt64
    let unit: CurrencyUnit

    private static let maximumAnswerBytes = 16 * 1_024

    /// Pays for the stamp of one record. Asked again for the same record it pays nothing more.
    /// - Throws: `WalletError` where it can't be paid; `RecordRefusal` where what comes back is no stamp for the record.
    func stamp(_ record: Record) async throws -> Stamp {
        let request = PaidRequest(
            method: "POST",
            url: entry,
            headers: [("Content-Type", "application/json")],
            body: .bytes(RecordEnvelope(record: record).bytes),
            maximum: maximum,
            unit: unit,
            idempotencyKey: "stamp-\(Hex.encode(record.id.bytes))"
        )
        let answer = try await buyer.pay(request)
        let bytes = try await answer.body.collect(upTo: Self.maximumAnswerBytes)
        guard (200..<300).contains(answer.status), let document = (try? JSONValue.parse(bytes))?["stamp"]?.objectValue
        else {
            let code = (try? JSONValue.parse(bytes))?["code"]?.stringValue ?? "status \(answer.status)"
            throw RecordRefusal(.notAdmitted, "the entry node did not stamp the record (\(code.prefix(64)))")
        }
        let stamp = try Stamp(document: document)
        guard stamp.record == record.id, stamp.author == record.author, stamp.isSigned else {
            throw RecordRefusal(.notAdmitted, "what the entry node sent is no stamp for the record")
        }
        return stamp
    }
}
