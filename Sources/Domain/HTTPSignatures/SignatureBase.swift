/// Builds the text that is signed (RFC 9421, 2.5): one line a covered component, then `@signature-params`.
enum SignatureBase {
    /// - Parameters:
    ///   - components: names in order, lower case, without parameters.
    ///   - parameters: the inner list with its parameters, serialised, as it stands in `Signature-Input`.
    /// - Throws: `HTTPSignatureError` with `.unsupportedComponent`.
    static func build(
        components: [String],
        parameters: String,
        facts: RequestFacts
    ) throws(HTTPSignatureError) -> [UInt8] {
        try build(items: components.map { FieldItem(value: .string($0)) }, parameters: parameters, facts: facts)
    }

    /// As ``build(components:parameters:facts:)``, where a header may be covered by one member of its dictionary
    /// (`;key="…"`, RFC 9421, 2.1.2). No other parameter of a component is built.
    static func build(
        items: [FieldItem],
        parameters: String,
        facts: RequestFacts
    ) throws(HTTPSignatureError) -> [UInt8] {
        let target = try TargetParts(facts.targetURI)
        var base = ""
        base.reserveCapacity(512)
        for item in items {
            guard let component = item.value.string else {
                throw HTTPSignatureError(.unsupportedComponent, "a component is a string, not \(item.serialized)")
            }
            let value =
                item.parameters.entries.isEmpty
                ? try value(of: component, facts: facts, target: target)
                : try member(of: component, item.parameters, facts: facts)
            guard value.utf8.allSatisfy({ $0 != 0x0A && $0 != 0x0D && $0 != 0 }) else {
                throw HTTPSignatureError(.unsupportedComponent, "`\(component)` holds a line break")
            }
            base += "\(item.serialized): \(value)\n"
        }
        base += "\"@signature-params\": \(parameters)"
        return Array(base.utf8)
    }

    /// One member of a header that is a dictionary, written strictly (RFC 9421, 2.1.2).
    private static func member(
        of component: String,
        _ parameters: FieldParameters,
        facts: RequestFacts
    ) throws(HTTPSignatureError) -> String {
        guard parameters.entries.count == 1, let key = parameters["key"]?.string,
            component.utf8.first != UInt8(ascii: "@")
        else {
            throw HTTPSignatureError(.unsupportedComponent, "`\(component)` is covered in a way not known here")
        }
        guard let text = facts.value(component) else {
            throw HTTPSignatureError(.unsupportedComponent, "`\(component)` is signed but is not in the request")
        }
        let members = try StructuredFieldParser.dictionary(text, maximumBytes: HTTPSignatures.maximumFieldBytes)
        guard let found = members.first(where: { $0.key == key }) else {
            throw HTTPSignatureError(.unsupportedComponent, "`\(component)` has no member `\(key)`")
        }
        switch found.value {
        case .item(let item): return item.serialized
        case .innerList(let items, let parameters): return HTTPSignatures.innerList(items, parameters)
        }
    }

    private static func value(
        of component: String,
        facts: RequestFacts,
        target: TargetParts
    ) throws(HTTPSignatureError) -> String {
        switch component {
        case "@method": return facts.method
        case "@target-uri": return facts.targetURI
        case "@authority": return target.authority
        case "@scheme": return target.scheme
        case "@path": return target.path
        case "@query": return target.query ?? "?"
        case "@request-target": return target.path + (target.query ?? "")
        default:
            guard component.utf8.first != UInt8(ascii: "@") else {
                throw HTTPSignatureError(.unsupportedComponent, "the component `\(component)` is not known here")
            }
            guard let value = facts.value(component) else {
                throw HTTPSignatureError(.unsupportedComponent, "`\(component)` is signed but is not in the request")
            }
            return value
        }
    }
}
