internal import CanonicalJSON

/// What one term means (JSON-LD 1.1, 4.1.11), as far as the built-in contexts define terms.
struct JSONLDTerm: Sendable {
    enum Coercion: Equatable, Sendable {
        case none
        case identifier
        case vocabulary
        case json
        case datatype(String)
    }

    /// What holds inside the term's value, or inside a node of this type.
    enum Inside: Sendable {
        case same
        case terms([String: JSONLDTerm])
        /// The context is forgotten: what is inside brings its own.
        case nothing
    }

    var iri: String
    var coercion: Coercion
    var isGraph: Bool
    var inside: Inside

    func means(the other: JSONLDTerm) -> Bool {
        iri == other.iri && coercion == other.coercion && isGraph == other.isGraph
    }
}

/// The terms that hold at one place of a document. Each scope adds to the one it stands in.
final class JSONLDContext: Sendable {
    private let terms: [String: JSONLDTerm]
    private let outer: JSONLDContext?
    /// What a term that is not defined is appended to.
    let vocabulary: String?
    /// The context to go back to inside a nested node: set where this one holds for the node of a type only
    /// (`@propagate` false, JSON-LD 1.1, 4.1.9).
    let reverted: JSONLDContext?

    private init(
        _ terms: [String: JSONLDTerm],
        outer: JSONLDContext?,
        vocabulary: String?,
        reverted: JSONLDContext? = nil
    ) {
        self.terms = terms
        self.outer = outer
        self.vocabulary = vocabulary
        self.reverted = reverted
    }

    static let empty = JSONLDContext([:], outer: nil, vocabulary: nil)

    /// The most contexts one document may list.
    static let maximumContexts = 8

    /// Names are looked up where they are ASCII: Swift's strings are equal by canonical equivalence, which JSON's are not.
    func term(_ name: String) -> JSONLDTerm? {
        guard name.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        var scope: JSONLDContext? = self
        while let here = scope {
            if let found = here.terms[name] { return found }
            scope = here.outer
        }
        return nil
    }

    /// The context of a document's `@context`: one URL, or a list of them.
    ///
    /// - Throws: `DocumentError` with `.unknownContext` where one is not built in, or is an object.
    static func named(_ value: JSONValue?) throws(DocumentError) -> JSONLDContext {
        let list = value.map { $0.arrayValue ?? [$0] } ?? []
        guard (1...maximumContexts).contains(list.count) else {
            throw DocumentError(.unknownContext, "`@context` must name 1 to \(maximumContexts) contexts")
        }
        var context = empty
        for item in list {
            guard let url = item.stringValue else {
                throw DocumentError(.unknownContext, "`@context` must list URLs; objects are not accepted")
            }
            context = try context.adding(url)
        }
        return context
    }

    private func adding(_ url: String) throws(DocumentError) -> JSONLDContext {
        if let vocabulary = JSONLDVocabulary.vocabularies[url] {
            return JSONLDContext([:], outer: self, vocabulary: vocabulary)
        }
        guard let terms = Self.builtIn[url] else {
            throw DocumentError(
                .unknownContext,
                "the context \(url.prefix(128)) is not built in, and contexts are never fetched"
            )
        }
        // Every built-in term is protected: another context may say the same of it, and nothing else.
        for (name, term) in terms {
            if let known = self.term(name), !known.means(the: term) {
                throw DocumentError(.unknownContext, "\(url) gives the protected term `\(name)` another meaning")
            }
        }
        return JSONLDContext(terms, outer: self, vocabulary: vocabulary)
    }

    /// The context inside a node of these types: the scopes of the types in order of their names.
    func inside(types: [String]) -> JSONLDContext {
        var context = self
        for type in types.sorted() {
            if case .terms(let scoped)? = term(type)?.inside {
                context = JSONLDContext(scoped, outer: context, vocabulary: context.vocabulary, reverted: self)
            }
        }
        return context
    }

    /// The context inside the value of a term.
    func inside(_ term: JSONLDTerm) -> JSONLDContext {
        switch term.inside {
        case .same: self
        case .nothing: .empty
        case .terms(let scoped):
            JSONLDContext(scoped, outer: self, vocabulary: vocabulary, reverted: reverted)
        }
    }

    // MARK: The tables

    private static let builtIn: [String: [String: JSONLDTerm]] = JSONLDVocabulary.tables.mapValues(read)

    /// Reads a table of ``JSONLDVocabulary``.
    private static func read(_ table: String) -> [String: JSONLDTerm] {
        var open: [(name: String, term: JSONLDTerm, terms: [String: JSONLDTerm])] = []
        var outermost: [String: JSONLDTerm] = [:]
        func add(_ name: String, _ term: JSONLDTerm) {
            if open.isEmpty { outermost[name] = term } else { open[open.count - 1].terms[name] = term }
        }
        for line in table.split(separator: "\n") {
            var words = line.split(separator: " ").map(String.init)
            if words == ["}"] {
                guard var closed = open.popLast() else { continue }
                closed.term.inside = .terms(closed.terms)
                add(closed.name, closed.term)
                continue
            }
            let opens = words.last == "{"
            if opens { words.removeLast() }
            guard words.count >= 2 else { continue }
            let marks = words.dropFirst(2)
            var term = JSONLDTerm(
                iri: expand(words[1]),
                coercion: .none,
                isGraph: marks.contains("@graph"),
                inside: marks.contains("@null") ? .nothing : .same
            )
            for mark in marks {
                switch mark {
                case "@id": term.coercion = .identifier
                case "@vocab": term.coercion = .vocabulary
                case "@json": term.coercion = .json
                case "@graph", "@set", "@null": break
                default: term.coercion = .datatype(expand(mark))
                }
            }
            if opens { open.append((words[0], term, [:])) } else { add(words[0], term) }
        }
        return outermost
    }

    private static func expand(_ compact: String) -> String {
        guard let colon = compact.firstIndex(of: ":"), let prefix = JSONLDVocabulary.prefixes[String(compact[..<colon])]
        else { return compact }
        return prefix + compact[compact.index(after: colon)...]
    }
}
