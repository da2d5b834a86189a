internal import Cashu
internal import Foundation
internal import SignedDocuments

/// Stamps on records: whose count here, and where this node has its own stamped.
struct PostageSettings: Sendable {
    /// Whose stamps count.
    let entryNodes: Set<DIDKey>
    /// The least postage that a stamp has to name, by unit.
    let minimum: [String: UInt64]
    /// The priced service that stamps what this node publishes; nil: it publishes without.
    let entry: String?
    /// The most that one stamp may cost.
    let maximum: UInt64
    let unit: CurrencyUnit

    private static let maximumEntryNodes = 256

    /// - Throws: naming the setting that is wrong.
    init(_ values: ConfigurationValues) throws(ConfigurationError) {
        entryNodes = try values.nodes(.gossipEntryNodes, atMost: Self.maximumEntryNodes)
        var minimum: [String: UInt64] = [:]
        for text in values.list(.gossipMinimumPostage) where !text.isEmpty {
            let (amount, unit) = try Self.amount(text, .gossipMinimumPostage)
            minimum[unit.name] = amount
        }
        self.minimum = minimum.isEmpty ? ["sat": 1] : minimum
        (maximum, unit) = try Self.amount(values.text(.gossipEntryMaximum) ?? "5sat", .gossipEntryMaximum)
        entry = values.text(.gossipEntry)
        if let entry {
            guard let url = URL(string: entry), let scheme = url.scheme, ["http", "https"].contains(scheme),
                url.host?.isEmpty == false, entry.utf8.count <= 2_048
            else {
                throw ConfigurationError(
                    "gossip.entry is an address such as https://entry.example/s/postage, not \(entry)"
                )
            }
        }
    }

    private static func amount(
        _ text: String,
        _ key: ConfigurationKey
    ) throws(ConfigurationError) -> (UInt64, CurrencyUnit) {
        guard let (amount, name) = AmountText.read(text), amount > 0, let unit = try? CurrencyUnit(name)
        else { throw ConfigurationError("\(key.rawValue): \(text) is no amount such as 2sat") }
        return (amount, unit)
    }
}
