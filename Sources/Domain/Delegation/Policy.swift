public import Encodings

/// What a delegation demands of an invocation's arguments: UCAN's policy language, bounded.
///
/// All statements of a policy must hold. A leaf whose selector finds nothing does not hold, and throws nothing.
public struct Policy: Hashable, Sendable {
    public static let maximumStatements = 128
    static let maximumDepth = 8
    static let maximumPatternBytes = 1024
    /// How many steps one policy may take over one invocation's arguments; over it, it does not hold.
    static let maximumSteps = 20_000

    let statements: [PolicyStatement]

    public static let none = Policy(statements: [])

    init(statements: [PolicyStatement]) {
        self.statements = statements
    }

    /// Reads the value of `pol`.
    /// - Throws: `DelegationError` with `.malformed` or `.tooLarge`.
    public init(_ value: CBOR) throws(DelegationError) {
        guard case .array(let items) = value else {
            throw DelegationError(.malformed, "a policy is an array of statements")
        }
        var count = 0
        var statements: [PolicyStatement] = []
        for item in items { statements.append(try PolicyStatement(item, depth: 0, count: &count)) }
        self.statements = statements
    }

    public var cbor: CBOR { .array(statements.map(\.cbor)) }

    /// Whether every statement holds for the arguments.
    public func holds(for arguments: CBOR) -> Bool { violated(by: arguments) == nil }

    /// The first statement that does not hold.
    func violated(by arguments: CBOR) -> PolicyStatement? {
        var steps = Self.maximumSteps
        return statements.first { !$0.holds(for: arguments, steps: &steps) || steps <= 0 }
    }
}

/// One statement of a policy.
indirect enum PolicyStatement: Hashable, Sendable {
    enum Comparison: String, Sendable {
        case equal = "==", unequal = "!=", less = "<", atMost = "<=", more = ">", atLeast = ">="
    }

    case compare(Comparison, PolicySelector, PolicyValue)
    case like(PolicySelector, GlobPattern)
    case and([PolicyStatement])
    case or([PolicyStatement])
    case not(PolicyStatement)
    case all(PolicySelector, PolicyStatement)
    case any(PolicySelector, PolicyStatement)

    init(_ value: CBOR, depth: Int, count: inout Int) throws(DelegationError) {
        count += 1
        guard count <= Policy.maximumStatements, depth <= Policy.maximumDepth else {
            throw DelegationError(
                .tooLarge,
                "a policy has at most \(Policy.maximumStatements) statements, \(Policy.maximumDepth) deep"
            )
        }
        guard case .array(let parts) = value, case .text(let name)? = parts.first else { throw Self.malformed }
        switch (name, parts.count) {
        case ("and", 2), ("or", 2):
            guard case .array(let items) = parts[1] else { throw Self.malformed }
            var inner: [PolicyStatement] = []
            for item in items { inner.append(try PolicyStatement(item, depth: depth + 1, count: &count)) }
            self = name == "and" ? .and(inner) : .or(inner)
        case ("not", 2): self = .not(try PolicyStatement(parts[1], depth: depth + 1, count: &count))
        case ("all", 3), ("any", 3):
            let inner = try PolicyStatement(parts[2], depth: depth + 1, count: &count)
            self = name == "all" ? .all(try Self.selector(parts[1]), inner) : .any(try Self.selector(parts[1]), inner)
        case ("like", 3):
            guard case .text(let pattern) = parts[2] else { throw Self.malformed }
            self = .like(try Self.selector(parts[1]), try GlobPattern(pattern))
        case (_, 3):
            guard let comparison = Comparison(rawValue: name) else { throw Self.malformed }
            let isOrder = comparison != .equal && comparison != .unequal
            guard !isOrder || PolicyNumber(parts[2]) != nil else { throw Self.malformed }
            self = .compare(comparison, try Self.selector(parts[1]), PolicyValue(cbor: parts[2]))
        default: throw Self.malformed
        }
    }

    private static var malformed: DelegationError {
        DelegationError(.malformed, "a policy's statement is [operator, selector, argument] of UCAN 1.0")
    }

    private static func selector(_ value: CBOR) throws(DelegationError) -> PolicySelector {
        guard case .text(let text) = value else { throw malformed }
        return try PolicySelector(text)
    }

    var cbor: CBOR {
        switch self {
        case .compare(let comparison, let selector, let value):
            .array([.text(comparison.rawValue), .text(selector.text), value.cbor])
        case .like(let selector, let pattern): .array([.text("like"), .text(selector.text), .text(pattern.text)])
        case .and(let inner): .array([.text("and"), .array(inner.map(\.cbor))])
        case .or(let inner): .array([.text("or"), .array(inner.map(\.cbor))])
        case .not(let inner): .array([.text("not"), inner.cbor])
        case .all(let selector, let inner): .array([.text("all"), .text(selector.text), inner.cbor])
        case .any(let selector, let inner): .array([.text("any"), .text(selector.text), inner.cbor])
        }
    }

    /// - Parameter steps: what is left; at zero nothing holds any more.
    func holds(for value: CBOR, steps: inout Int) -> Bool {
        steps -= 1
        guard steps > 0 else { return false }
        switch self {
        case .compare(let comparison, let selector, let expected):
            guard let found = selector.resolve(in: value) else { return false }
            return Self.compare(found, comparison, expected.cbor, &steps)
        case .like(let selector, let pattern):
            guard case .text(let text)? = selector.resolve(in: value) else { return false }
            return pattern.matches(text, steps: &steps)
        case .and(let inner):
            for statement in inner where !statement.holds(for: value, steps: &steps) { return false }
            return true
        case .or(let inner):
            for statement in inner where statement.holds(for: value, steps: &steps) { return true }
            // UCAN has it so: an empty `or` holds.
            return inner.isEmpty
        case .not(let inner): return !inner.holds(for: value, steps: &steps) && steps > 0
        case .all(let selector, let inner):
            guard let items = Self.collection(selector.resolve(in: value)) else { return false }
            for item in items where !inner.holds(for: item, steps: &steps) { return false }
            return true
        case .any(let selector, let inner):
            guard let items = Self.collection(selector.resolve(in: value)) else { return false }
            for item in items where inner.holds(for: item, steps: &steps) { return true }
            return false
        }
    }

    private static func collection(_ value: CBOR?) -> [CBOR]? {
        switch value {
        case .array(let items): items
        case .map(let pairs): pairs.map(\.value)
        default: nil
        }
    }

    private static func compare(_ found: CBOR, _ comparison: Comparison, _ expected: CBOR, _ steps: inout Int) -> Bool {
        switch comparison {
        case .equal: return equal(found, expected, &steps)
        case .unequal: return !equal(found, expected, &steps) && steps > 0
        case .less, .atMost, .more, .atLeast:
            guard let left = PolicyNumber(found), let right = PolicyNumber(expected) else { return false }
            return switch comparison {
            case .less: left < right
            case .atMost: left <= right
            case .more: left > right
            default: left >= right
            }
        }
    }

    /// Deep equality; numbers by their value, whatever their type.
    private static func equal(_ left: CBOR, _ right: CBOR, _ steps: inout Int) -> Bool {
        steps -= 1
        guard steps > 0 else { return false }
        switch (left, right) {
        case (.array(let a), .array(let b)):
            guard a.count == b.count else { return false }
            for (x, y) in zip(a, b) where !equal(x, y, &steps) { return false }
            return true
        case (.map(let a), .map(let b)):
            guard a.count == b.count else { return false }
            for pair in a {
                guard case .text(let key) = pair.key, let other = right[text: key], equal(pair.value, other, &steps)
                else {
                    return false
                }
            }
            return true
        default:
            if let a = PolicyNumber(left), let b = PolicyNumber(right) { return a == b }
            return left == right
        }
    }
}

/// An argument of a statement; hashed by what it is written as.
struct PolicyValue: Hashable, Sendable {
    let cbor: CBOR

    func hash(into hasher: inout Hasher) { hasher.combine(cbor.encoded()) }
}

/// A number of either type, compared by its value. Integers beyond ±(2⁵³−1) are no numbers here (UCAN 1.0).
struct PolicyNumber: Comparable {
    static let maximumInteger: UInt64 = 1 << 53 - 1
    let value: Double

    init?(_ item: CBOR) {
        switch item {
        case .unsigned(let number) where number <= Self.maximumInteger: value = Double(number)
        case .negative(let number) where number < Self.maximumInteger: value = -1 - Double(number)
        case .float(let number) where number.isFinite: value = number
        default: return nil
        }
    }

    static func < (left: PolicyNumber, right: PolicyNumber) -> Bool { left.value < right.value }
}

/// A text with `*` for anything; `\*` is the character itself.
struct GlobPattern: Hashable, Sendable {
    let text: String
    /// The pieces between the wildcards, at least one.
    private let pieces: [[UInt8]]

    init(_ text: String) throws(DelegationError) {
        guard text.utf8.count <= Policy.maximumPatternBytes else {
            throw DelegationError(.tooLarge, "a pattern has at most \(Policy.maximumPatternBytes) bytes")
        }
        var pieces: [[UInt8]] = [[]]
        var isEscaped = false
        for byte in text.utf8 {
            if isEscaped {
                // A backslash before anything else is itself.
                if byte != UInt8(ascii: "*") { pieces[pieces.count - 1].append(UInt8(ascii: "\\")) }
                pieces[pieces.count - 1].append(byte)
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "*") {
                pieces.append([])
            } else {
                pieces[pieces.count - 1].append(byte)
            }
        }
        if isEscaped { pieces[pieces.count - 1].append(UInt8(ascii: "\\")) }
        self.text = text
        self.pieces = pieces
    }

    /// The first piece at the start, the last at the end, the others in between from left to right.
    func matches(_ text: String, steps: inout Int) -> Bool {
        let bytes = Array(text.utf8)
        guard let first = pieces.first, let last = pieces.last else { return false }
        guard pieces.count > 1 else { return bytes == first }
        guard bytes.count >= first.count + last.count, bytes.starts(with: first),
            bytes[(bytes.count - last.count)...].elementsEqual(last)
        else { return false }
        var place = first.count
        let end = bytes.count - last.count
        for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
            while true {
                steps -= 1
                guard steps > 0, place + piece.count <= end else { return false }
                if bytes[place..<(place + piece.count)].elementsEqual(piece) { break }
                place += 1
            }
            place += piece.count
        }
        return true
    }
}
