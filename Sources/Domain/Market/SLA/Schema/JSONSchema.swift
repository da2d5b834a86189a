public import CanonicalJSON

/// A strict, bounded subset of JSON Schema 2020-12 ([SLA-9]). What a schema says is read once; a keyword that would be part of
/// the answer and is not among ``keywords`` is refused, so that nothing is taken for checked that was not. References lead
/// within the schema alone, and there are no regular expressions.
public struct JSONSchema: Sendable {
    /// The schema's canonical bytes.
    public static let maximumBytes = 65_536
    public static let maximumDepth = 32
    public static let maximumSubschemas = 2_000
    /// Subschemas that one value is held against.
    public static let maximumSteps = 200_000
    /// References and subschemas within each other while a value is looked at.
    static let maximumNesting = 128

    public enum Verdict: Sendable, Hashable {
        case valid
        case invalid
        /// Looking further would take more than ``maximumSteps``, or go deeper than is looked.
        case tooMuchWork
    }

    /// What is understood and checked.
    public static let keywords: Set<String> = [
        "$ref", "$defs", "definitions", "type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum",
        "exclusiveMinimum", "maxLength", "minLength", "maxItems", "minItems", "uniqueItems", "prefixItems", "items",
        "contains", "maxContains", "minContains", "maxProperties", "minProperties", "required", "properties",
        "additionalProperties", "propertyNames", "dependentRequired", "dependentSchemas", "allOf", "anyOf", "oneOf",
        "not", "if", "then", "else",
    ]
    /// What is known and refused.
    static let refused: Set<String> = [
        "pattern", "patternProperties", "$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef",
        "$recursiveAnchor", "$vocabulary", "unevaluatedItems", "unevaluatedProperties", "additionalItems",
        "dependencies",
        "id",
    ]
    static let dialect = "https://json-schema.org/draft/2020-12/schema"

    /// Every subschema by its pointer, in one list.
    let nodes: [SchemaNode]
    let root: Int

    /// - Throws: `JSONError` with `.size`, `.depth` or `.value`, which names the keyword.
    public init(_ schema: JSONValue) throws(JSONError) {
        guard try schema.canonicalized().count <= Self.maximumBytes else {
            throw JSONError(.size, "a schema has at most \(Self.maximumBytes) bytes")
        }
        var reader = SchemaReader()
        root = try reader.read(schema, depth: 0, pointer: "")
        try reader.resolve()
        nodes = reader.nodes
    }

    /// Holds a value against the schema.
    public func check(_ value: JSONValue) -> Verdict {
        var checker = SchemaChecker(nodes: nodes)
        let isValid = checker.check(value, root, nesting: 0)
        return checker.isTooMuch ? .tooMuchWork : isValid ? .valid : .invalid
    }
}

/// One subschema, read.
struct SchemaNode: Sendable {
    /// `false` as a schema: nothing fits.
    var isNever = false
    var reference: Int?
    var types: Set<SchemaType>?
    var allowed: [JSONValue]?
    /// What comparing with all of them counts as, in steps.
    var allowedCost = 0
    var multipleOf: SchemaDecimal?
    var maximum: JSONValue?
    var exclusiveMaximum: JSONValue?
    var minimum: JSONValue?
    var exclusiveMinimum: JSONValue?
    var length: ClosedRange<UInt64>?
    var itemCount: ClosedRange<UInt64>?
    var propertyCount: ClosedRange<UInt64>?
    var isUnique = false
    var prefixItems: [Int] = []
    var items: Int?
    var contains: Int?
    var containsCount: ClosedRange<UInt64> = 1...UInt64.max
    var required: [String] = []
    var properties: [(name: String, schema: Int)] = []
    var additional: Int?
    var names: Int?
    var dependentRequired: [(name: String, names: [String])] = []
    var dependentSchemas: [(name: String, schema: Int)] = []
    var allOf: [Int] = []
    var anyOf: [Int]?
    var oneOf: [Int]?
    var not: Int?
    var condition: Int?
    var then: Int?
    var otherwise: Int?
}

enum SchemaType: String, Sendable {
    case null, boolean, object, array, number, string, integer
}
