/// Recursive length prefix, Ethereum's encoding of nested byte strings (Yellow Paper, appendix B). Reading is strict: every
/// length in its shortest form, nothing after the item, bounded in depth and count.
public enum RLP {
    /// A byte string or a list of items.
    public indirect enum Item: Hashable, Sendable {
        case bytes([UInt8])
        case list([Item])

        /// A number in its minimal bytes.
        public static func number(_ value: UInt256) -> Item { .bytes(value.minimalBytes) }
    }

    /// The longest input that is read, in bytes.
    public static let maximumBytes = 131_072
    /// How many lists may stand inside each other.
    public static let maximumDepth = 16
    /// How many items an input may hold in all.
    public static let maximumItems = 16_384

    public static func encode(_ item: Item) -> [UInt8] {
        switch item {
        case .bytes(let bytes):
            if bytes.count == 1, bytes[0] < 0x80 { return bytes }
            return prefix(bytes.count, short: 0x80) + bytes
        case .list(let items):
            let payload = items.flatMap(encode)
            return prefix(payload.count, short: 0xC0) + payload
        }
    }

    /// Reads one item that is the whole input.
    /// - Throws: `invalidRLP`.
    public static func decode(_ bytes: [UInt8]) throws(EthereumError) -> Item {
        guard bytes.count <= maximumBytes else { throw invalid("it is longer than \(maximumBytes) bytes") }
        var decoder = Decoder(bytes: bytes)
        let item = try decoder.item(end: bytes.count, depth: 0)
        guard decoder.offset == bytes.count else { throw invalid("bytes follow the item") }
        return item
    }

    private static func prefix(_ count: Int, short: UInt8) -> [UInt8] {
        if count <= 55 { return [short + UInt8(count)] }
        let length = UInt256(UInt64(count)).minimalBytes
        return [short + 55 + UInt8(length.count)] + length
    }

    fileprivate static func invalid(_ reason: String) -> EthereumError {
        EthereumError(.invalidRLP, "the bytes are no canonical RLP: \(reason)")
    }

    private struct Decoder {
        let bytes: [UInt8]
        var offset = 0
        var items = 0

        mutating func item(end: Int, depth: Int) throws(EthereumError) -> Item {
            items += 1
            guard items <= RLP.maximumItems else { throw RLP.invalid("it holds more than \(RLP.maximumItems) items") }
            guard offset < end else { throw RLP.invalid("it ends in the middle of an item") }
            let first = bytes[offset]
            offset += 1
            switch first {
            case 0..<0x80:
                return .bytes([first])
            case 0x80..<0xC0:
                let count = try length(first, short: 0x80, end: end)
                let content = Array(bytes[offset..<offset + count])
                guard count != 1 || content[0] >= 0x80 else { throw RLP.invalid("a small byte has a prefix") }
                offset += count
                return .bytes(content)
            default:
                guard depth < RLP.maximumDepth else { throw RLP.invalid("lists are nested too deep") }
                let count = try length(first, short: 0xC0, end: end)
                let inner = offset + count
                var list: [Item] = []
                while offset < inner {
                    list.append(try item(end: inner, depth: depth + 1))
                }
                return .list(list)
            }
        }

        /// The payload's length, which lies within the input.
        private mutating func length(_ first: UInt8, short: UInt8, end: Int) throws(EthereumError) -> Int {
            let marker = Int(first - short)
            var count = marker
            if marker > 55 {
                let size = marker - 55
                guard size <= end - offset else { throw RLP.invalid("it ends in the middle of a length") }
                // Three bytes count to 16 MiB, far beyond the longest input.
                guard size <= 3, bytes[offset] != 0 else { throw RLP.invalid("a length is not in its shortest form") }
                count = bytes[offset..<offset + size].reduce(0) { $0 << 8 | Int($1) }
                offset += size
                guard count > 55 else { throw RLP.invalid("a length is not in its shortest form") }
            }
            guard count <= end - offset else { throw RLP.invalid("an item is longer than what holds it") }
            return count
        }
    }
}

extension RLP.Item {
    /// The bytes of a byte string.
    /// - Throws: `invalidRLP` for a list.
    public func requireBytes() throws(EthereumError) -> [UInt8] {
        guard case .bytes(let bytes) = self else { throw RLP.invalid("a byte string is needed, found a list") }
        return bytes
    }

    /// A number without leading zeros.
    /// - Throws: `invalidRLP`.
    public func requireNumber() throws(EthereumError) -> UInt256 {
        let bytes = try requireBytes()
        guard bytes.first != 0, bytes.count <= 32 else {
            throw RLP.invalid("a number has leading zeros or over 32 bytes")
        }
        return try UInt256(bigEndian: bytes)
    }

    /// The items of a list.
    /// - Throws: `invalidRLP` for a byte string.
    public func requireList() throws(EthereumError) -> [RLP.Item] {
        guard case .list(let items) = self else { throw RLP.invalid("a list is needed, found a byte string") }
        return items
    }
}
