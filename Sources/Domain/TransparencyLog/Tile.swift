/// Where a tile of hashes or of entries stands under a log's address (C2SP tlog-tiles).
public struct TilePath: Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// Hashes of the level: 0 holds leaves, each one above the roots of whole tiles of the level below.
        case hashes(level: Int)
        /// The entries themselves.
        case entries
    }

    /// Hashes or entries of a whole tile.
    public static let fullWidth = 256
    /// The highest level: 256⁸ entries are more than a size can count.
    public static let maximumLevel = 7

    public var kind: Kind
    /// The place within its level, from 0.
    public var number: UInt64
    /// How many hashes or entries are asked for: 1 to 256.
    public var width: Int

    public init(_ kind: Kind, number: UInt64, width: Int = fullWidth) {
        self.kind = kind
        self.number = number
        self.width = width
    }

    /// `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`, without a slash before it.
    public var description: String {
        var elements: [String] = []
        var rest = number
        repeat {
            let digits = String(rest % 1000)
            let padded = String(repeating: "0", count: 3 - digits.utf8.count) + digits
            elements.insert(elements.isEmpty ? padded : "x" + padded, at: 0)
            rest /= 1000
        } while rest > 0
        let level =
            switch kind {
            case .hashes(let level): String(level)
            case .entries: "entries"
            }
        let partial = width == Self.fullWidth ? "" : ".p/\(width)"
        return "tile/\(level)/" + elements.joined(separator: "/") + partial
    }

    /// Reads the part of a path after `tile/`. Only the one way to write a path is accepted.
    ///
    /// - Throws: `malformed`.
    public init(afterTile text: String) throws(LogError) {
        let refusal = LogError(.malformed, "a tile's path is `tile/<level>/<number>` or `tile/entries/<number>`")
        guard text.utf8.count <= 64 else { throw refusal }
        var elements = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard elements.count >= 2 else { throw refusal }
        let first = elements.removeFirst()
        let kind: Kind
        if first == "entries" {
            kind = .entries
        } else {
            guard let level = Self.decimal(first), level <= UInt64(Self.maximumLevel) else { throw refusal }
            kind = .hashes(level: Int(level))
        }
        var width = Self.fullWidth
        if elements.count >= 2, elements[elements.count - 2].hasSuffix(".p") {
            guard let found = Self.decimal(elements.removeLast()), (1...255).contains(found) else { throw refusal }
            width = Int(found)
            elements[elements.count - 1].removeLast(2)
        }
        var number: UInt64 = 0
        guard elements.count <= 6 else { throw refusal }
        for (index, element) in elements.enumerated() {
            var digits = element[...]
            if index < elements.count - 1 {
                guard digits.first == "x" else { throw refusal }
                digits = digits.dropFirst()
            }
            guard digits.utf8.count == 3, digits.utf8.allSatisfy({ (48...57).contains($0) }),
                let value = UInt64(digits), elements.count == 1 || index > 0 || value > 0
            else { throw refusal }
            number = number * 1000 + value
        }
        self.init(kind, number: number, width: width)
    }

    private static func decimal(_ text: String) -> UInt64? {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }),
            text == "0" || text.utf8.first != UInt8(ascii: "0")
        else { return nil }
        return UInt64(text)
    }
}

/// A bundle of entries: each behind its length in two bytes, big-endian (C2SP tlog-tiles).
public enum EntryBundle {
    /// - Parameter entries: at most 65,535 bytes each.
    /// - Throws: `malformed` where one is longer.
    public static func encode(_ entries: [[UInt8]]) throws(LogError) -> [UInt8] {
        var bytes: [UInt8] = []
        for entry in entries {
            guard let length = UInt16(exactly: entry.count) else {
                throw LogError(.malformed, "an entry of a log has at most 65535 bytes")
            }
            bytes.append(UInt8(length >> 8))
            bytes.append(UInt8(length & 0xff))
            bytes.append(contentsOf: entry)
        }
        return bytes
    }

    /// - Throws: `malformed` where the bytes end early or hold more than 256 entries.
    public static func decode(_ bytes: [UInt8]) throws(LogError) -> [[UInt8]] {
        var entries: [[UInt8]] = []
        var rest = bytes[...]
        while let high = rest.popFirst() {
            guard let low = rest.popFirst(), entries.count < TilePath.fullWidth else {
                throw LogError(.malformed, "a bundle of entries is cut off, or holds more than 256")
            }
            let length = Int(high) << 8 | Int(low)
            guard rest.count >= length else {
                throw LogError(.malformed, "a bundle of entries ends within one")
            }
            entries.append(Array(rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        return entries
    }
}
