/// What is wrong with a reconciliation.
public struct NegentropyError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A stable, machine-readable reason.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Not a message of the protocol.
        public static let malformed = Code(rawValue: "malformed")
        /// Longer than is read.
        public static let tooLarge = Code(rawValue: "too-large")
        /// Of another version.
        public static let unsupportedVersion = Code(rawValue: "unsupported-version")
        /// More rounds than there may be: the other side does not come to an end.
        public static let endless = Code(rawValue: "endless")
    }

    public let code: Code
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) [\(code.rawValue)]" }
}

/// Where a range ends: before the first element that is not less than a timestamp and the beginning of an id.
struct NegentropyBound: Hashable {
    static let infinity = NegentropyBound(timestamp: .max, prefix: [])

    let timestamp: UInt64
    let prefix: [UInt8]

    init(timestamp: UInt64, prefix: [UInt8]) {
        self.timestamp = timestamp
        self.prefix = prefix
    }

    /// The shortest bound between two elements that follow each other.
    init(between before: ReconciliationItem, and after: ReconciliationItem) {
        timestamp = after.timestamp
        guard before.timestamp == after.timestamp else {
            prefix = []
            return
        }
        let (left, right) = (before.id.bytes, after.id.bytes)
        let shared = zip(left, right).prefix { $0 == $1 }.count
        prefix = [UInt8](right.prefix(shared + 1))
    }

    init(at item: ReconciliationItem) {
        timestamp = item.timestamp
        prefix = item.id.bytes
    }

    /// The least element that is not before it.
    var item: ReconciliationItem { ReconciliationItem(timestamp: timestamp, id: RecordID(padding: prefix)) }
}

/// The bytes of NIP-77's negentropy messages, version 1. Its varints have the most significant group first; timestamps are
/// differences within one message, plus one, and 0 is infinity.
enum NegentropyCoding {
    static let version: UInt8 = 0x61
    static let fingerprintBytes = 16

    enum Mode: UInt64 {
        case skip = 0
        case fingerprint = 1
        case idList = 2
    }

    static func append(varint value: UInt64, to output: inout [UInt8]) {
        var groups = 1
        while groups < 10, value >> UInt64(7 * groups) != 0 { groups += 1 }
        for group in (0..<groups).reversed() {
            let bits = UInt8(truncatingIfNeeded: value >> UInt64(7 * group)) & 0x7F
            output.append(group == 0 ? bits : bits | 0x80)
        }
    }

    /// Writes the ranges of one message.
    struct Writer {
        private(set) var bytes: [UInt8] = [NegentropyCoding.version]
        private var lastTimestamp: UInt64 = 0

        mutating func range(_ end: NegentropyBound, _ mode: Mode) {
            if end.timestamp == .max {
                NegentropyCoding.append(varint: 0, to: &bytes)
                lastTimestamp = .max
            } else {
                NegentropyCoding.append(varint: end.timestamp &- lastTimestamp &+ 1, to: &bytes)
                lastTimestamp = end.timestamp
            }
            NegentropyCoding.append(varint: UInt64(end.prefix.count), to: &bytes)
            bytes += end.prefix
            NegentropyCoding.append(varint: mode.rawValue, to: &bytes)
        }

        var count: Int { bytes.count }

        /// Where it stands, to come back to.
        var mark: (count: Int, lastTimestamp: UInt64) { (bytes.count, lastTimestamp) }

        mutating func cut(to mark: (count: Int, lastTimestamp: UInt64)) {
            bytes.removeLast(bytes.count - mark.count)
            lastTimestamp = mark.lastTimestamp
        }

        mutating func raw(_ more: [UInt8]) { bytes += more }
        mutating func varint(_ value: UInt64) { NegentropyCoding.append(varint: value, to: &bytes) }
        mutating func id(_ id: RecordID) { id.append(to: &bytes) }
    }

    /// Reads the ranges of one message.
    struct Reader {
        private let bytes: [UInt8]
        private var place = 1
        private var lastTimestamp: UInt64 = 0

        /// The version has been looked at.
        init(_ bytes: [UInt8]) {
            self.bytes = bytes
        }

        var isAtEnd: Bool { place >= bytes.count }

        mutating func varint() throws(NegentropyError) -> UInt64 {
            var value: UInt64 = 0
            for _ in 0..<10 {
                guard place < bytes.count else { throw Self.truncated }
                let byte = bytes[place]
                place += 1
                guard value <= UInt64.max >> 7 else {
                    throw NegentropyError(.malformed, "a number has more than 64 bits")
                }
                value = value << 7 | UInt64(byte & 0x7F)
                if byte & 0x80 == 0 { return value }
            }
            throw NegentropyError(.malformed, "a number has more than 64 bits")
        }

        mutating func take(_ count: Int) throws(NegentropyError) -> ArraySlice<UInt8> {
            guard count <= bytes.count - place else { throw Self.truncated }
            defer { place += count }
            return bytes[place..<(place + count)]
        }

        mutating func bound() throws(NegentropyError) -> NegentropyBound {
            let difference = try varint()
            if difference == 0 {
                lastTimestamp = .max
            } else {
                let (sum, overflow) = lastTimestamp.addingReportingOverflow(difference - 1)
                lastTimestamp = overflow ? .max : sum
            }
            let count = try varint()
            guard count <= UInt64(RecordID.byteCount) else {
                throw NegentropyError(.malformed, "the beginning of an id is longer than an id")
            }
            // Nothing stands at infinity; and a bound there that is not its own end leaves no way to say "all the rest" after it.
            guard lastTimestamp != .max || count == 0 else {
                throw NegentropyError(.malformed, "there is no id at infinity")
            }
            return NegentropyBound(timestamp: lastTimestamp, prefix: [UInt8](try take(Int(count))))
        }

        mutating func mode() throws(NegentropyError) -> Mode {
            guard let mode = Mode(rawValue: try varint()) else {
                throw NegentropyError(.malformed, "a range is of a mode that there is not")
            }
            return mode
        }

        /// The ids of a list; each has its 32 bytes in the message, which bounds their number.
        mutating func ids() throws(NegentropyError) -> ArraySlice<UInt8> {
            let count = try varint()
            guard count <= UInt64((bytes.count - place) / RecordID.byteCount) else { throw Self.truncated }
            return try take(Int(count) * RecordID.byteCount)
        }

        private static var truncated: NegentropyError {
            NegentropyError(.malformed, "the message ends inside a range")
        }
    }
}
