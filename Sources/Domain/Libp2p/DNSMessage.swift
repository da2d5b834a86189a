/// A DNS message as multicast DNS sends it (RFC 1035, RFC 6762), read within bounds.
struct DNSMessage: Hashable, Sendable {
    /// Labels, the first one first; compared without regard to the case of ASCII letters.
    struct Name: Hashable, Sendable {
        let labels: [[UInt8]]

        init(_ labels: [[UInt8]]) {
            self.labels = labels.map { $0.map(Self.lower) }
        }

        init(_ labels: String...) { self.init(labels.map { [UInt8]($0.utf8) }) }

        func isBelow(_ other: Name) -> Bool { labels.count > other.labels.count && labels.hasSuffix(other.labels) }

        private static func lower(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte + 0x20 : byte }
    }

    struct Question: Hashable, Sendable {
        var name: Name
        var type: UInt16
    }

    struct Record: Hashable, Sendable {
        var name: Name
        var type: UInt16
        var lifetimeSeconds: UInt32
        var data: [UInt8]
    }

    static let pointer: UInt16 = 12
    static let text: UInt16 = 16
    static let any: UInt16 = 255
    /// The longest message that is read (RFC 6762, 17).
    static let maximumBytes = 9_000
    /// The most questions, and the most records, of one message.
    static let maximumEntries = 64
    /// The most bytes of a name (RFC 1035, 2.3.4).
    static let maximumNameBytes = 255

    var isResponse = false
    var questions: [Question] = []
    /// Answers and additional records alike.
    var records: [Record] = []

    init() {}

    // MARK: Reading

    /// - Throws: `Libp2pError` with `.malformed` or `.tooLarge`.
    init(_ bytes: [UInt8]) throws(Libp2pError) {
        guard bytes.count <= Self.maximumBytes else { throw Libp2pError(.tooLarge, "the DNS message is too long") }
        var reader = Reader(bytes: bytes)
        _ = try reader.uint16()
        let flags = try reader.uint16()
        isResponse = flags & 0x8000 != 0
        // Standard queries without an error (RFC 6762, 18.3 and 18.11).
        guard flags & 0x780F == 0 else {
            throw Libp2pError(.malformed, "the DNS message is of a kind that is not read")
        }
        let counts = try (0..<4).map { _ throws(Libp2pError) in Int(try reader.uint16()) }
        guard counts[0] <= Self.maximumEntries, counts[1] + counts[2] + counts[3] <= Self.maximumEntries else {
            throw Libp2pError(.tooLarge, "the DNS message has more than \(Self.maximumEntries) entries")
        }
        for _ in 0..<counts[0] {
            let name = try reader.name()
            let type = try reader.uint16()
            _ = try reader.uint16()
            questions.append(Question(name: name, type: type))
        }
        for _ in 0..<(counts[1] + counts[2] + counts[3]) {
            let name = try reader.name()
            let type = try reader.uint16()
            _ = try reader.uint16()
            let lifetime = UInt32(try reader.uint16()) << 16 | UInt32(try reader.uint16())
            let data = try reader.bytes(Int(try reader.uint16()))
            records.append(Record(name: name, type: type, lifetimeSeconds: lifetime, data: data))
        }
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        mutating func uint16() throws(Libp2pError) -> UInt16 {
            let two = try self.bytes(2)
            return UInt16(two[0]) << 8 | UInt16(two[1])
        }

        mutating func bytes(_ count: Int) throws(Libp2pError) -> [UInt8] {
            guard bytes.count - position >= count else {
                throw Libp2pError(.malformed, "the DNS message ends inside a value")
            }
            defer { position += count }
            return [UInt8](bytes[position..<(position + count)])
        }

        /// A pointer leads back, and each further than the one before: no name goes round in circles.
        mutating func name() throws(Libp2pError) -> Name {
            var labels: [[UInt8]] = []
            var total = 0
            var place = position
            var before = position
            var end: Int?
            while true {
                guard place < bytes.count else { throw Libp2pError(.malformed, "the DNS message ends inside a name") }
                let length = Int(bytes[place])
                switch length & 0xC0 {
                case 0xC0:
                    guard place + 1 < bytes.count else {
                        throw Libp2pError(.malformed, "the DNS message ends inside a name")
                    }
                    let target = (length & 0x3F) << 8 | Int(bytes[place + 1])
                    guard target < before else {
                        throw Libp2pError(.malformed, "a name of the DNS message does not point back")
                    }
                    if end == nil { end = place + 2 }
                    before = target
                    place = target
                case 0 where length == 0:
                    position = end ?? place + 1
                    return Name(labels)
                case 0:
                    total += length + 1
                    guard total < DNSMessage.maximumNameBytes, place + 1 + length <= bytes.count else {
                        throw Libp2pError(.malformed, "a name of the DNS message is longer than there is room for")
                    }
                    labels.append([UInt8](bytes[(place + 1)..<(place + 1 + length)]))
                    place += length + 1
                default: throw Libp2pError(.malformed, "a label of the DNS message is of an unknown kind")
                }
            }
        }
    }

    // MARK: Writing

    /// The message, without compression; class IN, id 0.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        func append(_ value: Int) {
            bytes += [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
        }
        for value in [0, isResponse ? 0x8400 : 0, questions.count, records.count, 0, 0] { append(value) }
        for question in questions {
            bytes += Self.wire(question.name)
            append(Int(question.type))
            append(1)
        }
        for record in records {
            bytes += Self.wire(record.name)
            append(Int(record.type))
            append(1)
            append(Int(record.lifetimeSeconds >> 16))
            append(Int(record.lifetimeSeconds & 0xFFFF))
            append(record.data.count)
            bytes += record.data
        }
        return bytes
    }

    static func wire(_ name: Name) -> [UInt8] {
        name.labels.flatMap { [UInt8(truncatingIfNeeded: $0.count)] + $0 } + [0]
    }
}

extension Array where Element: Equatable {
    fileprivate func hasSuffix(_ other: [Element]) -> Bool { suffix(other.count).elementsEqual(other) }
}
