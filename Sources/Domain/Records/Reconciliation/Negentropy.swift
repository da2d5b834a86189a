/// Finds what two sets don't have in common, in messages that grow with the difference and not with the sets: range-based
/// set reconciliation, in the message format of NIP-77 (negentropy, version 1).
///
/// An engine without I/O: ``start()`` gives the first message, ``receive(_:)`` the answer to each that comes, nil where the
/// initiator is done. What is found is taken with ``takeDifferences()`` as it becomes known, so that a session that breaks off
/// loses nothing; whoever answers learns nothing and keeps nothing.
///
/// A message costs time in proportion to its bytes and to those of the answer, whatever the other side claims: both are
/// bounded by ``Limits/messageBytes``, what is found by ``Limits/differences``, the messages by ``Limits/rounds``.
public struct Negentropy: Sendable {
    public struct Limits: Sendable, Hashable {
        /// The longest message written and read; at least 4,096.
        public var messageBytes = 65_536
        /// Ids found that are kept, of each side. What is over it is found the next time.
        public var differences = 131_072
        /// Messages that come. A set of a million that is wholly different takes about 500.
        public var rounds = 1_024

        public init() {}
    }

    private static let buckets = 16

    private let set: ReconciliationSet
    private let isInitiator: Bool
    private let limits: Limits
    private var have: [RecordID] = []
    private var need: [RecordID] = []
    private var kept = 0
    /// Messages that have come.
    public private(set) var rounds = 0
    /// Whether more was found than is kept.
    public private(set) var isTruncated = false

    public init(_ set: ReconciliationSet, isInitiator: Bool, limits: Limits = Limits()) {
        self.set = set
        self.isInitiator = isInitiator
        self.limits = limits
    }

    /// The initiator's first message.
    public func start() -> [UInt8] {
        var writer = NegentropyCoding.Writer()
        split(0..<set.count, end: .infinity, into: &writer)
        return writer.bytes
    }

    /// Ids that this side has and the other lacks, and the other way round, found since the last call. The other side may lie
    /// in both.
    public mutating func takeDifferences() -> (have: [RecordID], need: [RecordID]) {
        defer { (have, need) = ([], []) }
        return (have, need)
    }

    /// Takes a message and answers it.
    /// - Returns: nil where this is the initiator, and has found everything.
    /// - Throws: `NegentropyError`; what was found before stays.
    public mutating func receive(_ message: [UInt8]) throws(NegentropyError) -> [UInt8]? {
        guard message.count <= limits.messageBytes else {
            throw NegentropyError(.tooLarge, "a message has at most \(limits.messageBytes) bytes")
        }
        guard let version = message.first, (0x60...0x6F).contains(version) else {
            throw NegentropyError(.malformed, "this is no message of negentropy")
        }
        guard rounds < limits.rounds else {
            throw NegentropyError(.endless, "the sets are not reconciled after \(limits.rounds) messages")
        }
        rounds += 1
        guard version == NegentropyCoding.version else {
            // Who asks may ask again in the version that it is told.
            guard isInitiator else { return [NegentropyCoding.version] }
            throw NegentropyError(.unsupportedVersion, "the other side speaks another version of negentropy")
        }
        let answer = try answer(to: message)
        return isInitiator && answer.count == 1 ? nil : answer
    }

    private mutating func answer(to message: [UInt8]) throws(NegentropyError) -> [UInt8] {
        var reader = NegentropyCoding.Reader(message)
        var writer = NegentropyCoding.Writer()
        var (start, startItem) = (0, ReconciliationItem(timestamp: 0, id: .zero))
        // The end of ranges that need no answer: told only where one that does comes after.
        var skipped: NegentropyBound?
        while !reader.isAtEnd {
            let bound = try reader.bound()
            guard bound.item >= startItem else {
                throw NegentropyError(.malformed, "a range ends before it begins")
            }
            let end = set.firstPlace(from: start, notBefore: bound)
            switch try reader.mode() {
            case .skip: skipped = bound
            case .fingerprint:
                let theirs = try reader.take(NegentropyCoding.fingerprintBytes)
                guard !theirs.elementsEqual(set.fingerprint(start..<end)) else {
                    skipped = bound
                    break
                }
                if let skipped { writer.range(skipped, .skip) }
                let mark = writer.mark
                split(start..<end, end: bound, into: &writer)
                guard writer.count <= room else {
                    // This range and all after it become one, which is looked at in the next message.
                    writer.cut(to: mark)
                    return rest(from: start, into: &writer)
                }
                skipped = nil
            case .idList:
                let theirs = try reader.ids()
                if isInitiator {
                    compare(start..<end, with: theirs)
                    skipped = bound
                } else {
                    if let skipped { writer.range(skipped, .skip) }
                    let told = list(start..<end, end: bound, into: &writer)
                    guard told == end, writer.count <= room else { return rest(from: told, into: &writer) }
                    skipped = nil
                }
            }
            (start, startItem) = (end, bound.item)
        }
        return writer.bytes
    }

    /// Bytes after which a message takes no more ranges, but one last.
    private var room: Int { limits.messageBytes - 200 }

    /// All from a place on, as one range.
    private func rest(from place: Int, into writer: inout NegentropyCoding.Writer) -> [UInt8] {
        writer.range(.infinity, .fingerprint)
        writer.raw(set.fingerprint(place..<set.count))
        return writer.bytes
    }

    /// Tells a range in ids where it is short, else in the fingerprints of 16 parts.
    private func split(_ range: Range<Int>, end: NegentropyBound, into writer: inout NegentropyCoding.Writer) {
        guard range.count >= Self.buckets * 2 else {
            writer.range(end, .idList)
            writer.varint(UInt64(range.count))
            for place in range { writer.id(set.items[place].id) }
            return
        }
        let (size, larger) = range.count.quotientAndRemainder(dividingBy: Self.buckets)
        var place = range.lowerBound
        for bucket in 0..<Self.buckets {
            let next = place + size + (bucket < larger ? 1 : 0)
            let bound =
                next == range.upperBound ? end : NegentropyBound(between: set.items[next - 1], and: set.items[next])
            writer.range(bound, .fingerprint)
            writer.raw(set.fingerprint(place..<next))
            place = next
        }
    }

    /// Answers a list with this side's own, as far as there is room.
    /// - Returns: the place up to which it was told.
    private func list(_ range: Range<Int>, end: NegentropyBound, into writer: inout NegentropyCoding.Writer) -> Int {
        let places = max(0, room - writer.count) / RecordID.byteCount
        let told = range.count <= places ? range : range.lowerBound..<(range.lowerBound + places)
        writer.range(told == range ? end : NegentropyBound(at: set.items[told.upperBound]), .idList)
        writer.varint(UInt64(told.count))
        for place in told { writer.id(set.items[place].id) }
        return told.upperBound
    }

    /// What only one side has of a range that the other has told whole.
    private mutating func compare(_ range: Range<Int>, with list: ArraySlice<UInt8>) {
        var theirs: Set<RecordID> = []
        theirs.reserveCapacity(list.count / RecordID.byteCount)
        var place = list.startIndex
        while place < list.endIndex {
            theirs.insert(RecordID(padding: list[place..<(place + RecordID.byteCount)]))
            place += RecordID.byteCount
        }
        for place in range {
            let id = set.items[place].id
            guard theirs.remove(id) == nil else { continue }
            keep(id, in: \.have)
        }
        for id in theirs.sorted() { keep(id, in: \.need) }
    }

    private mutating func keep(_ id: RecordID, in list: WritableKeyPath<Negentropy, [RecordID]>) {
        guard kept < limits.differences * 2, self[keyPath: list].count < limits.differences else {
            isTruncated = true
            return
        }
        kept += 1
        self[keyPath: list].append(id)
    }
}
