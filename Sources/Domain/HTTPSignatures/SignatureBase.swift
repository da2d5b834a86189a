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
        let target = try TargetParts(facts.targetURI)
        var base = ""
        base.reserveCapacity(512)
        for component in components {
            let value = try value(of: component, facts: facts, target: target)
            guard value.utf8.allSatisfy({ $0 != 0x0A && $0 != 0x0D && $0 != 0 }) else {
                throw HTTPSignatureError(.unsupportedComponent, "`\(component)` holds a line break")
            }
            base += "\"\(component)\": \(value)\n"
        }
        base += "\"@signature-params\": \(parameters)"
        return Array(base.utf8)
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
