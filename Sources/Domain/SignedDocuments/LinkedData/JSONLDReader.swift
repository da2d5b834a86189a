internal import CanonicalJSON
internal import Encodings

/// Reads a JSON-LD document as RDF statements (JSON-LD 1.1 API, 5.1 and 8), by the built-in contexts alone.
///
/// Only the plain notation is read, so that two documents with one meaning look alike to whoever reads the JSON after
/// the signature was checked: terms, never whole IRIs or keywords, as member names; no value objects, no blank node
/// names, no second description of one node, nothing dropped in silence. Everything else is refused.
struct JSONLDReader {
    /// The most statements one document may make.
    static let maximumQuads = 2_048

    private(set) var quads: [RDFQuad] = []
    private var blankCount = 0
    /// The `@context` of the document, or the credential in a presentation, that is being read.
    private var documentContext: JSONValue?
    /// Which named nodes were described, by graph and name.
    private var described: Set<[UInt8]> = []

    /// - Throws: `DocumentError` with `.unknownContext`, or `.notLinkedData` naming the member.
    static func quads(of document: JSONObject) throws(DocumentError) -> [RDFQuad] {
        var reader = JSONLDReader()
        let context = try JSONLDContext.named(document["@context"])
        reader.documentContext = document["@context"]
        _ = try reader.node(document, context, graph: nil, carriesContext: true)
        return reader.quads
    }

    // MARK: Nodes

    private mutating func node(
        _ object: JSONObject,
        _ context: JSONLDContext,
        graph: RDFQuad.Term?,
        carriesContext: Bool = false
    ) throws(DocumentError) -> RDFQuad.Term {
        guard carriesContext || object["@context"] == nil else {
            throw Self.refuse(
                "`@context` has no place inside a document, save at a credential in a presentation, and repeated in a proof"
            )
        }
        let subject = try subject(object, graph: graph, members: object.count - (object["@context"] == nil ? 0 : 1))
        let types = try Self.strings(object["type"], "type")
        let scoped = context.inside(types: types)
        for type in types {
            // A type is read by the context that the node stands in, not by that of its types.
            try add(subject, RDFQuad.rdfType, .iri(try Self.vocabularyIRI(type, context)), graph)
        }
        for (name, value) in object where name != "@context" && name != "id" && name != "type" {
            try members(name, value, of: subject, scoped, graph: graph)
        }
        return subject
    }

    private mutating func subject(
        _ object: JSONObject,
        graph: RDFQuad.Term?,
        members: Int
    ) throws(DocumentError) -> RDFQuad.Term {
        guard let value = object["id"] else { return newBlank() }
        guard let id = value.stringValue else { throw Self.refuse("`id` must be a string") }
        let iri = try Self.absoluteIRI(id, "id")
        if members > 1 {
            var key: [UInt8] = []
            if let graph { key = Array("\(graph)".utf8) }
            guard described.insert(key + [0] + Array(iri.utf8)).inserted else {
                throw Self.refuse("the node `\(iri.prefix(128))` is described twice")
            }
        }
        return .iri(iri)
    }

    private mutating func members(
        _ name: String,
        _ value: JSONValue,
        of subject: RDFQuad.Term,
        _ context: JSONLDContext,
        graph: RDFQuad.Term?
    ) throws(DocumentError) {
        let term = context.term(name)
        let predicate: String
        if let term {
            predicate = term.iri
        } else {
            guard !name.isEmpty, name.utf8.first != UInt8(ascii: "@"), !name.utf8.contains(UInt8(ascii: ":")) else {
                throw Self.refuse("the member name `\(name.prefix(64))` is not a plain term")
            }
            guard let vocabulary = context.vocabulary else {
                throw Self.refuse("no context defines `\(name.prefix(64))`, so that no signature would cover it")
            }
            predicate = try Self.wellFormed(vocabulary + name, name)
        }
        if case .json? = term?.coercion {
            guard let text = try? value.canonicalized() else { throw Self.refuse("`\(name)` has no canonical form") }
            try add(
                subject,
                predicate,
                .literal(
                    String(decoding: text, as: UTF8.self),
                    datatype: "http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON",
                    language: nil
                ),
                graph
            )
            return
        }
        for item in value.arrayValue ?? [value] {
            let object = try self.object(item, name, term, context, graph: graph)
            try add(subject, predicate, object, graph)
        }
    }

    private mutating func object(
        _ value: JSONValue,
        _ name: String,
        _ term: JSONLDTerm?,
        _ context: JSONLDContext,
        graph: RDFQuad.Term?
    ) throws(DocumentError) -> RDFQuad.Term {
        if let nested = value.objectValue { return try nestedNode(nested, term, context, graph: graph) }
        if term?.isGraph == true { throw Self.refuse("`\(name)` must hold objects") }
        switch (term?.coercion ?? .none, value) {
        case (.identifier, .string(let text)): return .iri(try Self.absoluteIRI(text, name))
        case (.vocabulary, .string(let text)):
            return .iri(try Self.vocabularyIRI(text, term.map { context.inside($0) } ?? context))
        case (.datatype(let datatype), .string(let text)):
            return .literal(text, datatype: datatype, language: nil)
        case (_, .string(let text)): return .literal(text, datatype: RDFQuad.xsdString, language: nil)
        case (let coercion, .bool(let flag)):
            return Self.native(flag ? "true" : "false", "boolean", coercion)
        case (let coercion, .integer(let number)): return Self.native(String(number), "integer", coercion)
        case (let coercion, .unsigned(let number)): return Self.native(String(number), "integer", coercion)
        case (_, .double): throw Self.refuse("`\(name)` holds a fraction: write it as a string")
        default: throw Self.refuse("`\(name)` holds a null or a list in a list")
        }
    }

    private mutating func nestedNode(
        _ nested: JSONObject,
        _ term: JSONLDTerm?,
        _ context: JSONLDContext,
        graph: RDFQuad.Term?
    ) throws(DocumentError) -> RDFQuad.Term {
        // A type's context ends at the next node; a term's own is laid over what is left (JSON-LD 1.1 API, 5.1.2, 7 and 8).
        let reverted = context.reverted ?? context
        let inner = term.map { reverted.inside($0) } ?? reverted
        guard let term, term.isGraph else { return try node(nested, inner, graph: graph) }
        let name = newBlank()
        if case .nothing = term.inside {
            let own = try JSONLDContext.named(nested["@context"])
            let outer = documentContext
            documentContext = nested["@context"]
            _ = try node(nested, own, graph: name, carriesContext: true)
            documentContext = outer
        } else {
            // A proof over JCS repeats its document's contexts. The same ones once more change no term: all are protected.
            let repeats = nested["@context"] != nil && nested["@context"] == documentContext
            _ = try node(nested, inner, graph: name, carriesContext: repeats)
        }
        return name
    }

    // MARK: Statements

    private mutating func newBlank() -> RDFQuad.Term {
        defer { blankCount += 1 }
        return .blank(blankCount)
    }

    private mutating func add(
        _ subject: RDFQuad.Term,
        _ predicate: String,
        _ object: RDFQuad.Term,
        _ graph: RDFQuad.Term?
    ) throws(DocumentError) {
        guard quads.count < Self.maximumQuads else {
            throw Self.refuse("a document may make at most \(Self.maximumQuads) statements")
        }
        quads.append(RDFQuad(subject: subject, predicate: predicate, object: object, graph: graph))
    }

    private static func native(_ text: String, _ kind: String, _ coercion: JSONLDTerm.Coercion) -> RDFQuad.Term {
        if case .datatype(let datatype) = coercion { return .literal(text, datatype: datatype, language: nil) }
        return .literal(text, datatype: "http://www.w3.org/2001/XMLSchema#\(kind)", language: nil)
    }

    // MARK: Names

    private static func strings(_ value: JSONValue?, _ name: String) throws(DocumentError) -> [String] {
        guard let value else { return [] }
        let list = value.arrayValue ?? [value]
        let texts = list.compactMap(\.stringValue)
        guard texts.count == list.count else { throw refuse("`\(name)` must hold strings") }
        return texts
    }

    private static func vocabularyIRI(_ text: String, _ context: JSONLDContext) throws(DocumentError) -> String {
        if let term = context.term(text) { return term.iri }
        if text.utf8.contains(UInt8(ascii: ":")) { return try absoluteIRI(text, "type") }
        guard let vocabulary = context.vocabulary, text.utf8.first != UInt8(ascii: "@") else {
            throw refuse("no context defines `\(text.prefix(64))`")
        }
        return try wellFormed(vocabulary + text, text)
    }

    /// An IRI with a scheme. Relative ones would mean something else at every place the document stands.
    private static func absoluteIRI(_ text: String, _ name: String) throws(DocumentError) -> String {
        guard let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")), colon != text.utf8.startIndex,
            !text.utf8.starts(with: "_:".utf8),
            text.utf8[..<colon].allSatisfy({ byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): true
                default: false
                }
            })
        else { throw refuse("`\(name)` must be a whole URL, not `\(text.prefix(64))`") }
        return try wellFormed(text, name)
    }

    /// No character that N-Quads can't have between angle brackets.
    private static func wellFormed(_ iri: String, _ name: String) throws(DocumentError) -> String {
        let forbidden = Array("<>\"{}|\\^`".utf8)
        guard iri.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F && !forbidden.contains($0) }) else {
            throw refuse("`\(name.prefix(64))` holds a character that no URL may have")
        }
        return iri
    }

    private static func refuse(_ message: String) -> DocumentError { DocumentError(.notLinkedData, message) }
}
