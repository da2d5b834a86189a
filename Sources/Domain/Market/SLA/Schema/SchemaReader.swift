internal import CanonicalJSON

/// Reads a schema into its nodes, once.
struct SchemaReader {
    private(set) var nodes: [SchemaNode] = []
    /// Nodes by their JSON pointers.
    private var places: [[UInt8]: Int] = [:]
    /// Nothing with a longer one can be led to.
    private static let maximumPointerBytes = 4_096
    /// What is to be found once all is read.
    private var references: [(node: Int, pointer: String)] = []

    mutating func read(_ schema: JSONValue, depth: Int, pointer: String) throws(JSONError) -> Int {
        guard depth <= JSONSchema.maximumDepth else {
            throw JSONError(.depth, "a schema has at most \(JSONSchema.maximumDepth) levels")
        }
        guard nodes.count < JSONSchema.maximumSubschemas else {
            throw JSONError(.size, "a schema has at most \(JSONSchema.maximumSubschemas) subschemas")
        }
        let number = nodes.count
        nodes.append(SchemaNode())
        if pointer.utf8.count <= Self.maximumPointerBytes { places[Array(pointer.utf8)] = number }
        switch schema {
        case .bool(let allows): nodes[number].isNever = !allows
        case .object(let object):
            if let name = object.keys.first(where: JSONSchema.refused.contains) {
                throw Self.refuse(name, "is not understood here")
            }
            if let dialect = object["$schema"], dialect.stringValue != JSONSchema.dialect {
                throw Self.refuse("$schema", "names another dialect than 2020-12")
            }
            var node = SchemaNode()
            try readValues(object, into: &node)
            try readReference(object, number)
            try readSubschemas(object, into: &node, depth: depth + 1, pointer: pointer)
            node.reference = nodes[number].reference
            nodes[number] = node
        default: throw JSONError(.value, "a schema is an object, true or false")
        }
        return number
    }

    /// Leads the references to their places.
    mutating func resolve() throws(JSONError) {
        for (node, pointer) in references {
            guard let place = places[Array(pointer.utf8)] else {
                throw Self.refuse("$ref", "leads to no subschema of this schema")
            }
            nodes[node].reference = place
        }
    }

    static func refuse(_ keyword: String, _ what: String) -> JSONError {
        JSONError(.value, "`\(keyword)` \(what)")
    }

    private mutating func readReference(_ object: JSONObject, _ number: Int) throws(JSONError) {
        guard let value = object["$ref"] else { return }
        guard let text = value.stringValue, text == "#" || text.hasPrefix("#/"),
            let pointer = String(text.dropFirst()).removingPercentEncoding
        else { throw Self.refuse("$ref", "leads within the schema: # or #/…") }
        references.append((number, pointer))
    }

    // MARK: Values

    private func readValues(_ object: JSONObject, into node: inout SchemaNode) throws(JSONError) {
        if let value = object["type"] { node.types = try Self.types(value) }
        if let value = object["enum"] {
            guard let values = value.arrayValue else { throw Self.refuse("enum", "is a list") }
            node.allowed = values
        }
        if let value = object["const"] { node.allowed = node.allowed.map { $0.filter { $0 == value } } ?? [value] }
        if let allowed = node.allowed {
            node.allowedCost = allowed.reduce(0) { $0 + 1 + $1.serialized().count / 64 }
        }
        if let value = object["multipleOf"] {
            guard let decimal = SchemaDecimal(value), decimal.digits > 0, !SchemaNumber.isLess(value, .integer(0))
            else {
                throw Self.refuse("multipleOf", "is a number above 0")
            }
            node.multipleOf = decimal
        }
        node.maximum = try Self.number(object, "maximum")
        node.exclusiveMaximum = try Self.number(object, "exclusiveMaximum")
        node.minimum = try Self.number(object, "minimum")
        node.exclusiveMinimum = try Self.number(object, "exclusiveMinimum")
        node.length = try Self.range(object, "minLength", "maxLength")
        node.itemCount = try Self.range(object, "minItems", "maxItems")
        node.propertyCount = try Self.range(object, "minProperties", "maxProperties")
        node.containsCount = try Self.range(object, "minContains", "maxContains", least: 1) ?? 1...UInt64.max
        if let value = object["uniqueItems"] {
            guard let flag = value.boolValue else { throw Self.refuse("uniqueItems", "is true or false") }
            node.isUnique = flag
        }
        node.required = try Self.texts(object["required"], "required")
        for (name, value) in try Self.members(object, "dependentRequired") {
            node.dependentRequired.append((name, try Self.texts(value, "dependentRequired")))
        }
    }

    private static func types(_ value: JSONValue) throws(JSONError) -> Set<SchemaType> {
        let values = value.arrayValue ?? [value]
        let types = values.compactMap { $0.stringValue.flatMap(SchemaType.init) }
        guard types.count == values.count, !types.isEmpty, Set(types).count == types.count else {
            throw refuse("type", "names types of JSON, each once")
        }
        return Set(types)
    }

    private static func number(_ object: JSONObject, _ keyword: String) throws(JSONError) -> JSONValue? {
        guard let value = object[keyword] else { return nil }
        guard SchemaNumber.isNumber(value) else { throw refuse(keyword, "is a number") }
        return value
    }

    /// nil where neither bound is there. Bounds that no count can meet are an empty range's: below, the least is above the most.
    private static func range(
        _ object: JSONObject,
        _ least: String,
        _ most: String,
        least byItself: UInt64 = 0
    ) throws(JSONError) -> ClosedRange<UInt64>? {
        let lower = try count(object, least), upper = try count(object, most)
        guard lower != nil || upper != nil else { return nil }
        let (low, high) = (lower ?? byItself, upper ?? .max)
        // A count is never the greatest number.
        return low <= high ? low...high : UInt64.max...UInt64.max
    }

    /// A whole number of 0 or more, however it is written (2.0 is 2).
    private static func count(_ object: JSONObject, _ keyword: String) throws(JSONError) -> UInt64? {
        guard let value = object[keyword] else { return nil }
        let whole: UInt64? =
            switch value {
            case .double(let number): UInt64(exactly: number)
            default: value.uint64Value
            }
        guard let whole, whole < .max else { throw refuse(keyword, "is a whole number of 0 or more") }
        return whole
    }

    private static func texts(_ value: JSONValue?, _ keyword: String) throws(JSONError) -> [String] {
        guard let value else { return [] }
        guard let items = value.arrayValue else { throw refuse(keyword, "is a list of names") }
        let texts = items.compactMap(\.stringValue)
        // By their bytes: Swift holds texts for equal that JSON does not.
        guard texts.count == items.count, Set(texts.map { Array($0.utf8) }).count == texts.count else {
            throw refuse(keyword, "is a list of names, each once")
        }
        return texts
    }

    private static func members(
        _ object: JSONObject,
        _ keyword: String
    ) throws(JSONError) -> [(key: String, value: JSONValue)] {
        guard let value = object[keyword] else { return [] }
        guard let members = value.objectValue else { throw refuse(keyword, "is an object") }
        return members.map { ($0.key, $0.value) }
    }

    // MARK: Subschemas

    private mutating func readSubschemas(
        _ object: JSONObject,
        into node: inout SchemaNode,
        depth: Int,
        pointer: String
    ) throws(JSONError) {
        node.items = try one(object, "items", depth, pointer)
        node.contains = try one(object, "contains", depth, pointer)
        node.additional = try one(object, "additionalProperties", depth, pointer)
        node.names = try one(object, "propertyNames", depth, pointer)
        node.not = try one(object, "not", depth, pointer)
        node.condition = try one(object, "if", depth, pointer)
        node.then = try one(object, "then", depth, pointer)
        node.otherwise = try one(object, "else", depth, pointer)
        node.prefixItems = try list(object, "prefixItems", depth, pointer) ?? []
        node.allOf = try list(object, "allOf", depth, pointer) ?? []
        node.anyOf = try list(object, "anyOf", depth, pointer)
        node.oneOf = try list(object, "oneOf", depth, pointer)
        node.properties = try named(object, "properties", depth, pointer)
        node.dependentSchemas = try named(object, "dependentSchemas", depth, pointer)
        _ = try named(object, "$defs", depth, pointer)
        _ = try named(object, "definitions", depth, pointer)
    }

    private mutating func one(
        _ object: JSONObject,
        _ keyword: String,
        _ depth: Int,
        _ pointer: String
    ) throws(JSONError) -> Int? {
        guard let value = object[keyword] else { return nil }
        return try read(value, depth: depth, pointer: "\(pointer)/\(keyword)")
    }

    private mutating func list(
        _ object: JSONObject,
        _ keyword: String,
        _ depth: Int,
        _ pointer: String
    ) throws(JSONError) -> [Int]? {
        guard let value = object[keyword] else { return nil }
        guard let values = value.arrayValue, !values.isEmpty else {
            throw Self.refuse(keyword, "is a list of schemas")
        }
        var numbers: [Int] = []
        for (index, value) in values.enumerated() {
            numbers.append(try read(value, depth: depth, pointer: "\(pointer)/\(keyword)/\(index)"))
        }
        return numbers
    }

    private mutating func named(
        _ object: JSONObject,
        _ keyword: String,
        _ depth: Int,
        _ pointer: String
    ) throws(JSONError) -> [(name: String, schema: Int)] {
        var read: [(name: String, schema: Int)] = []
        for (name, value) in try Self.members(object, keyword) {
            let place = "\(pointer)/\(keyword)/\(Self.escaped(name))"
            read.append((name, try self.read(value, depth: depth, pointer: place)))
        }
        return read
    }

    /// As RFC 6901 writes a name in a pointer: also where a mark that combines follows the sign.
    private static func escaped(_ name: String) -> String {
        var text = ""
        for scalar in name.unicodeScalars {
            switch scalar {
            case "~": text += "~0"
            case "/": text += "~1"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}

extension String {
    /// nil where a % is not followed by two hexadecimal digits, or the bytes are no UTF-8.
    fileprivate var removingPercentEncoding: String? {
        var bytes: [UInt8] = []
        var rest = Substring(self).utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let pair = String(rest.prefix(2)), pair.utf8.count == 2, !pair.hasPrefix("+"),
                let value = UInt8(pair, radix: 16)
            else { return nil }
            rest = rest.dropFirst(2)
            bytes.append(value)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
