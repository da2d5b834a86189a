import Encodings

/// The members of a JSON object, in the order they were read or inserted.
///
/// Names are told apart by their code units: `é` and `e` + U+0301 are two members. Equality does not regard the order.
public struct JSONObject: Sendable {
    struct Member: Sendable {
        var key: String
        var value: JSONValue
    }

    /// Up to this many members a linear search is quicker than hashing.
    private static let linearCount = 16

    private(set) var members: [Member] = []
    /// Where each name stands; empty while there are at most `linearCount` members.
    private var positions: [CodeUnits: Int] = [:]

    public init() {}

    /// The members in the order given; of two with the same name the later value stays, at the place of the first.
    public init(_ members: some Sequence<(String, JSONValue)>) {
        for (key, value) in members { self[key] = value }
    }

    public var count: Int { members.count }

    public var isEmpty: Bool { members.isEmpty }

    /// The member names in order.
    public var keys: [String] { members.map(\.key) }

    /// The value under `key`. Setting keeps the place of a member that exists and appends one that does not; setting nil
    /// removes it.
    public subscript(key: String) -> JSONValue? {
        get { position(of: key).map { members[$0].value } }
        set {
            guard let newValue else {
                removeValue(forKey: key)
                return
            }
            if let position = position(of: key) {
                members[position].value = newValue
            } else {
                appendNew(key, newValue)
            }
        }
    }

    /// Removes a member and returns its value, or nil where there was none.
    @discardableResult
    public mutating func removeValue(forKey key: String) -> JSONValue? {
        guard let position = position(of: key) else { return nil }
        let removed = members.remove(at: position)
        positions = [:]
        if members.count > Self.linearCount { indexAll() }
        return removed.value
    }

    /// Whether there is a member of this name, be it null.
    public func contains(_ key: String) -> Bool { position(of: key) != nil }

    /// Appends a member whose name is known to be new.
    mutating func appendNew(_ key: String, _ value: JSONValue) {
        members.append(Member(key: key, value: value))
        if members.count == Self.linearCount + 1 {
            indexAll()
        } else if members.count > Self.linearCount {
            positions[CodeUnits(key)] = members.count - 1
        }
    }

    func position(of key: String) -> Int? {
        if members.count > Self.linearCount { return positions[CodeUnits(key)] }
        for index in members.indices where members[index].key.hasSameCodeUnits(as: key) { return index }
        return nil
    }

    private mutating func indexAll() {
        positions.reserveCapacity(members.count * 2)
        for index in members.indices { positions[CodeUnits(members[index].key)] = index }
    }
}

extension JSONObject: Equatable {
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        guard left.count == right.count else { return false }
        return left.members.allSatisfy { member in right[member.key].map { $0 == member.value } ?? false }
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self.init(elements)
    }
}

extension JSONObject: Sequence {
    /// Walks the members in order.
    public struct Iterator: IteratorProtocol {
        private var members: IndexingIterator<[Member]>

        init(_ members: [Member]) {
            self.members = members.makeIterator()
        }

        public mutating func next() -> (key: String, value: JSONValue)? {
            members.next().map { ($0.key, $0.value) }
        }
    }

    public func makeIterator() -> Iterator { Iterator(members) }

    public var underestimatedCount: Int { count }
}
