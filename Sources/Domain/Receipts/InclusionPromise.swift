public import CanonicalJSON
public import Encodings

/// A seller's promise, under the receipt's own signature, that its log will hold the receipt ([RCPT-10]).
///
/// With the salt whoever holds the receipt works the entry out alone: it needs nobody to find it in the log, and a log
/// without it after ``by`` is a broken promise that the receipt itself proves.
public struct InclusionPromise: Hashable, Sendable {
    public static let saltLength = 16
    /// How long after the answer a seller promises it for, in seconds. The log takes a second; a node that was killed just
    /// then comes back within this.
    public static let withinSeconds: Int64 = 60

    /// The log's origin: its address without the scheme.
    public var log: String
    /// 16 random bytes; the log's entry is SHA-256(salt ‖ JCS(receipt)).
    public var salt: [UInt8]
    /// When the log holds it at the latest.
    public var by: Timestamp

    public init(log: String, salt: [UInt8], by: Timestamp) {
        self.log = log
        self.salt = salt
        self.by = by
    }

    /// The promise of a receipt document; nil where it has none that can be read.
    public init?(document: JSONValue) {
        guard let value = document["inclusionPromise"], let log = value["log"]?.stringValue,
            let salt = value["salt"]?.stringValue.flatMap({ try? Base64URL.decode($0) }), salt.count == Self.saltLength,
            let by = value["by"]?.stringValue.flatMap({ try? Timestamp(rfc3339: $0) })
        else { return nil }
        self.init(log: log, salt: salt, by: by)
    }

    var json: JSONValue {
        ["log": .string(log), "salt": .string(Base64URL.encode(salt)), "by": .string(by.rfc3339)]
    }
}
