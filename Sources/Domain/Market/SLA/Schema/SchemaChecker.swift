internal import CanonicalJSON

/// Holds a value against a schema's nodes, counting what it does.
struct SchemaChecker {
    let nodes: [SchemaNode]
    private var steps = 0
    /// A bound was reached: what is answered means nothing.
    private(set) var isTooMuch = false

    init(nodes: [SchemaNode]) {
        self.nodes = nodes
    }

    /// Whether so much more may be done.
    private mutating func mayGoOn(_ cost: Int = 1) -> Bool {
        steps += cost
        if steps > JSONSchema.maximumSteps { isTooMuch = true }
        return !isTooMuch
    }

    mutating func check(_ value: JSONValue, _ number: Int, nesting: Int) -> Bool {
        guard nesting < JSONSchema.maximumNesting else {
            isTooMuch = true
            return false
        }
        guard mayGoOn() else { return false }
        let node = nodes[number]
        if node.isNever { return false }
        if let reference = node.reference, !check(value, reference, nesting: nesting + 1) { return false }
        if let types = node.types, !SchemaNumber.has(value, types) { return false }
        if let allowed = node.allowed {
            guard mayGoOn(node.allowedCost), allowed.contains(value) else { return false }
        }
        switch value {
        case .integer, .unsigned, .double: if !checkNumber(value, node) { return false }
        case .string(let text): if !checkLength(text, node) { return false }
        case .array(let items): if !check(items, node, nesting: nesting + 1) { return false }
        case .object(let object): if !check(object, node, nesting: nesting + 1) { return false }
        case .null, .bool: break
        }
        return checkCombined(value, node, nesting: nesting + 1)
    }

    private func checkNumber(_ value: JSONValue, _ node: SchemaNode) -> Bool {
        if let most = node.maximum, SchemaNumber.isLess(most, value) { return false }
        if let most = node.exclusiveMaximum, !SchemaNumber.isLess(value, most) { return false }
        if let least = node.minimum, SchemaNumber.isLess(value, least) { return false }
        if let least = node.exclusiveMinimum, !SchemaNumber.isLess(least, value) { return false }
        guard let divisor = node.multipleOf else { return true }
        return SchemaDecimal(value)?.isMultiple(of: divisor) ?? false
    }

    private mutating func checkLength(_ text: String, _ node: SchemaNode) -> Bool {
        guard let length = node.length else { return true }
        // Characters are Unicode's code points.
        return mayGoOn(text.utf8.count / 64) && length.contains(UInt64(text.unicodeScalars.count))
    }

    // MARK: Arrays

    private mutating func check(_ items: [JSONValue], _ node: SchemaNode, nesting: Int) -> Bool {
        if let count = node.itemCount, !count.contains(UInt64(items.count)) { return false }
        for (item, schema) in zip(items, node.prefixItems) where !check(item, schema, nesting: nesting) { return false }
        if let schema = node.items {
            for item in items.dropFirst(node.prefixItems.count) where !check(item, schema, nesting: nesting) {
                return false
            }
        }
        if let schema = node.contains {
            var found: UInt64 = 0
            for item in items where check(item, schema, nesting: nesting) { found += 1 }
            guard node.containsCount.contains(found) else { return false }
        }
        return !node.isUnique || areUnique(items)
    }

    private mutating func areUnique(_ items: [JSONValue]) -> Bool {
        var seen: Set<[UInt8]> = []
        for item in items {
            let key = SchemaNumber.key(item)
            guard mayGoOn(1 + key.count / 64), seen.insert(key).inserted else { return false }
        }
        return true
    }

    // MARK: Objects

    private mutating func check(_ object: JSONObject, _ node: SchemaNode, nesting: Int) -> Bool {
        if let count = node.propertyCount, !count.contains(UInt64(object.count)) { return false }
        guard mayGoOn(node.required.count + node.properties.count) else { return false }
        guard node.required.allSatisfy(object.contains) else { return false }
        for (name, names) in node.dependentRequired where object.contains(name) {
            guard mayGoOn(names.count), names.allSatisfy(object.contains) else { return false }
        }
        for (name, schema) in node.properties {
            if let value = object[name], !check(value, schema, nesting: nesting) { return false }
        }
        if let schema = node.additional {
            let known = Set(node.properties.map { Array($0.name.utf8) })
            for (name, value) in object where !known.contains(Array(name.utf8)) {
                if !check(value, schema, nesting: nesting) { return false }
            }
        }
        if let schema = node.names {
            for (name, _) in object where !check(.string(name), schema, nesting: nesting) { return false }
        }
        for (name, schema) in node.dependentSchemas where object.contains(name) {
            if !check(.object(object), schema, nesting: nesting) { return false }
        }
        return true
    }

    // MARK: Schemas of schemas

    private mutating func checkCombined(_ value: JSONValue, _ node: SchemaNode, nesting: Int) -> Bool {
        for schema in node.allOf where !check(value, schema, nesting: nesting) { return false }
        if let schemas = node.anyOf {
            var fits = false
            for schema in schemas where !fits { fits = check(value, schema, nesting: nesting) }
            if !fits { return false }
        }
        if let schemas = node.oneOf {
            var count = 0
            for schema in schemas where count < 2 && check(value, schema, nesting: nesting) { count += 1 }
            if count != 1 { return false }
        }
        if let schema = node.not, check(value, schema, nesting: nesting) { return false }
        if let condition = node.condition {
            let branch = check(value, condition, nesting: nesting) ? node.then : node.otherwise
            if let branch, !check(value, branch, nesting: nesting) { return false }
        }
        return true
    }
}

/// Numbers as JSON Schema sees them: by value, however they are written.
enum SchemaNumber {
    static func isNumber(_ value: JSONValue) -> Bool {
        switch value {
        case .integer, .unsigned, .double: true
        default: false
        }
    }

    /// Exact between whole numbers; else as doubles.
    static func isLess(_ left: JSONValue, _ right: JSONValue) -> Bool {
        switch (left, right) {
        case (.integer(let a), .integer(let b)): a < b
        case (.unsigned(let a), .unsigned(let b)): a < b
        case (.integer, .unsigned): true
        case (.unsigned, .integer): false
        default: double(left) < double(right)
        }
    }

    private static func double(_ value: JSONValue) -> Double {
        switch value {
        case .integer(let number): Double(number)
        case .unsigned(let number): Double(number)
        case .double(let number): number
        default: .nan
        }
    }

    static func has(_ value: JSONValue, _ types: Set<SchemaType>) -> Bool {
        switch value {
        case .null: types.contains(.null)
        case .bool: types.contains(.boolean)
        case .string: types.contains(.string)
        case .array: types.contains(.array)
        case .object: types.contains(.object)
        case .integer, .unsigned: types.contains(.number) || types.contains(.integer)
        case .double(let number):
            types.contains(.number) || types.contains(.integer) && number == number.rounded()
        }
    }

    /// Bytes that are the same for the same values and no others.
    static func key(_ value: JSONValue) -> [UInt8] {
        switch value {
        case .double(let number):
            // As a whole number where it is one.
            if let whole = Int64(exactly: number) { return key(.integer(whole)) }
            if let whole = UInt64(exactly: number) { return key(.unsigned(whole)) }
            return Array(number.description.utf8)
        case .array(let items):
            var bytes: [UInt8] = [0x5B]
            for item in items {
                bytes += key(item)
                bytes.append(0x2C)
            }
            return bytes + [0x5D]
        case .object(let object):
            var members: [(name: [UInt8], value: [UInt8])] = []
            for (name, member) in object { members.append((JSONValue.string(name).serialized(), key(member))) }
            members.sort { $0.name.lexicographicallyPrecedes($1.name) }
            var bytes: [UInt8] = [0x7B]
            for member in members {
                bytes += member.name
                bytes.append(0x3A)
                bytes += member.value
                bytes.append(0x2C)
            }
            return bytes + [0x7D]
        default: return value.serialized()
        }
    }
}
