import Encodings

/// A Bitstring Status List (1.0, 3.3 and 3.4): one bit an entry, index 0 the left-most bit of the first byte.
public struct StatusBitmap: Hashable, Sendable {
    /// The least a list may hold, for the privacy of its members: 131,072 entries, 16 KiB.
    public static let minimumEntries = 131_072
    /// The most we read: 1,048,576 entries, 128 KiB. Bounds what a hostile list can inflate to.
    public static let maximumEntries = 1_048_576

    /// The bits, eight a byte.
    public private(set) var bytes: [UInt8]

    /// An empty list of the least size.
    public init() {
        bytes = [UInt8](repeating: 0, count: Self.minimumEntries / 8)
    }

    /// - Throws: `PassportReason` with `.statusInvalid` where the length is out of bounds
    ///   (`STATUS_LIST_LENGTH_ERROR` of the standard).
    public init(bytes: [UInt8]) throws(PassportReason) {
        guard (Self.minimumEntries / 8...Self.maximumEntries / 8).contains(bytes.count) else {
            throw PassportReason(
                .statusInvalid,
                "a status list holds \(Self.minimumEntries) to \(Self.maximumEntries) entries, this one \(bytes.count * 8)"
            )
        }
        self.bytes = bytes
    }

    /// Reads `encodedList`: `u`, then base64url without padding of the gzipped bits.
    public init(encoded: String) throws(PassportReason) {
        let limit = Self.maximumEntries / 8
        guard encoded.utf8.first == UInt8(ascii: "u"), encoded.utf8.count <= 2 * limit else {
            throw PassportReason(.statusInvalid, "`encodedList` must begin with `u` and stay below \(2 * limit) bytes")
        }
        let bits: [UInt8]
        do {
            let packed = try Multibase.decode(encoded, maximumBytes: 2 * limit)
            bits = try Gzip.decompress(packed, maximumBytes: limit)
        } catch {
            throw PassportReason(.statusInvalid, "`encodedList` is not base64url of gzip: \(error)")
        }
        try self.init(bytes: bits)
    }

    /// `u` and base64url of the gzipped bits.
    public func encoded() throws -> String {
        Multibase.encode(try Gzip.compress(bytes), as: .base64url)
    }

    /// How many entries the list has.
    public var count: Int { bytes.count * 8 }

    /// The bit at `index`, or `nil` where the list is shorter (`RANGE_ERROR` of the standard).
    public func isSet(_ index: Int) -> Bool? {
        guard index >= 0, index < count else { return nil }
        return bytes[index >> 3] & (0x80 >> UInt8(index & 7)) != 0
    }

    /// Sets or clears a bit; an index outside the list changes nothing and answers `false`.
    @discardableResult
    public mutating func set(_ index: Int, to value: Bool = true) -> Bool {
        guard index >= 0, index < count else { return false }
        let mask: UInt8 = 0x80 >> UInt8(index & 7)
        if value {
            bytes[index >> 3] |= mask
        } else {
            bytes[index >> 3] &= ~mask
        }
        return true
    }

    /// How many bits are set.
    public var population: Int { bytes.reduce(0) { $0 + $1.nonzeroBitCount } }
}
