/// One statement of a dataset (RDF 1.1, N-Quads).
struct RDFQuad: Sendable {
    enum Term: Sendable {
        case iri(String)
        /// A node without a name of its own, by number.
        case blank(Int)
        case literal(String, datatype: String, language: String?)

        var blankNumber: Int? {
            if case .blank(let number) = self { number } else { nil }
        }
    }

    static let xsdString = "http://www.w3.org/2001/XMLSchema#string"
    static let rdfType = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"

    var subject: Term
    var predicate: String
    var object: Term
    /// `nil`: the default graph.
    var graph: Term?

    /// The canonical N-Quads line (RDFC-1.0, 5), with the line feed.
    ///
    /// - Parameter label: how a blank node is written, without `_:`.
    func line(_ label: (Int) -> String) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(160)
        Self.append(subject, label, to: &output)
        output.append(contentsOf: " <".utf8)
        output.append(contentsOf: predicate.utf8)
        output.append(contentsOf: "> ".utf8)
        Self.append(object, label, to: &output)
        if let graph {
            output.append(UInt8(ascii: " "))
            Self.append(graph, label, to: &output)
        }
        output.append(contentsOf: " .\n".utf8)
        return output
    }

    private static func append(_ term: Term, _ label: (Int) -> String, to output: inout [UInt8]) {
        switch term {
        case .iri(let iri):
            output.append(UInt8(ascii: "<"))
            output.append(contentsOf: iri.utf8)
            output.append(UInt8(ascii: ">"))
        case .blank(let number):
            output.append(contentsOf: "_:".utf8)
            output.append(contentsOf: label(number).utf8)
        case .literal(let value, let datatype, let language):
            output.append(UInt8(ascii: "\""))
            for byte in value.utf8 { appendEscaped(byte, to: &output) }
            output.append(UInt8(ascii: "\""))
            if let language {
                output.append(UInt8(ascii: "@"))
                output.append(contentsOf: language.utf8)
            } else if datatype != xsdString {
                output.append(contentsOf: "^^<".utf8)
                output.append(contentsOf: datatype.utf8)
                output.append(UInt8(ascii: ">"))
            }
        }
    }

    private static func appendEscaped(_ byte: UInt8, to output: inout [UInt8]) {
        switch byte {
        case 0x08: output.append(contentsOf: "\\b".utf8)
        case 0x09: output.append(contentsOf: "\\t".utf8)
        case 0x0A: output.append(contentsOf: "\\n".utf8)
        case 0x0C: output.append(contentsOf: "\\f".utf8)
        case 0x0D: output.append(contentsOf: "\\r".utf8)
        case UInt8(ascii: "\""): output.append(contentsOf: "\\\"".utf8)
        case UInt8(ascii: "\\"): output.append(contentsOf: "\\\\".utf8)
        case 0..<0x20, 0x7F:
            let digits = Array("0123456789ABCDEF".utf8)
            output.append(contentsOf: "\\u00".utf8)
            output.append(digits[Int(byte >> 4)])
            output.append(digits[Int(byte & 15)])
        default: output.append(byte)
        }
    }
}
