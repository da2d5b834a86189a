internal import CanonicalJSON
internal import Encodings
internal import Market
internal import SignedDocuments
internal import TransparencyLog

/// Why nothing, or no more, was gathered of a node.
struct GatheringFailure: Error, CustomStringConvertible {
    /// An extensible set of reasons.
    struct Code: RawRepresentable, Hashable, Sendable {
        let rawValue: String

        /// It can't be had now.
        static let unreachable = Code(rawValue: "unreachable")
        /// What was answered is no page, or not the one that was asked for.
        static let malformed = Code(rawValue: "malformed")
        /// More pages, bytes or time than one visit has.
        static let tooMuch = Code(rawValue: "too-much")
        /// It showed something else than it signed, or than it showed before.
        static let contradicted = Code(rawValue: "contradicted")
    }

    let code: Code
    let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    var description: String { "\(message) [\(code.rawValue)]" }
}

/// A page of what a node publishes, as it came ([RCPT-16]).
struct ReceiptsPage: Sendable {
    /// The most bytes that are read of one.
    static let maximumBytes = 1 << 20

    /// The edge of the tree of what comes before, as the node says.
    let edge: MerkleFrontier
    /// At least one.
    let rows: [Row]

    struct Row: Sendable {
        /// What stands in the tree.
        let entry: [UInt8]
        let document: Result<RatedReceipt, ReputationRefusal>
    }

    /// - Parameter from: what was asked for.
    /// - Throws: ``GatheringFailure`` `.malformed`.
    init(_ bytes: [UInt8], from: UInt64) throws(GatheringFailure) {
        let limits = JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 12)
        guard let json = try? JSONValue.parse(bytes, limits: limits),
            json["from"]?.int64Value.flatMap({ UInt64(exactly: $0) }) == from,
            let hashes = json["subtrees"]?.arrayValue, hashes.count <= 63,
            let edge = MerkleFrontier(size: from, subtrees: hashes.map(Self.hash)),
            let rows = json["receipts"]?.arrayValue, (1...ReceiptShelf.maximumRows).contains(rows.count)
        else { throw GatheringFailure(.malformed, "What it answered is no page of receipts from \(from).") }
        self.edge = edge
        var read: [Row] = []
        for row in rows {
            guard let entry = RatedReceipt.entry(of: row) else {
                throw GatheringFailure(.malformed, "A receipt came without a rating.")
            }
            read.append(Row(entry: entry, document: Result { () throws(ReputationRefusal) in try RatedReceipt(row) }))
        }
        self.rows = read
    }

    /// No bytes where it is no hash.
    private static func hash(_ json: JSONValue) -> [UInt8] { json.stringValue.flatMap { try? Hex.decode($0) } ?? [] }
}
