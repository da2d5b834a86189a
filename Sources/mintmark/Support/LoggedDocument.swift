import CanonicalJSON
import Delegation
import Foundation
import SignedDocuments
import TransparencyLog

/// A document as the log has it: JSON, or of a token its issuer's own part as a JSON string ([LOG-2]).
struct LoggedDocument {
    let value: JSONValue
    private let canonical: [UInt8]

    /// - Parameter path: a file, or - for standard input.
    init(path: String) throws {
        let bytes = try VerifyCommand.read(path)
        let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        // Of an SD-JWT what stands before the first tilde; what the holder shows of the rest is the holder's business.
        value =
            text.hasPrefix("ey") && text.contains(".") && !text.contains(where: \.isWhitespace)
            ? .string(String(text.prefix { $0 != "~" })) : try JSONValue.parse(bytes)
        canonical = try value.canonicalized()
    }

    /// The ids under which the log may have it: its own, and its digest.
    var references: [String] { [own?.id, MultihashDigest.ofBytes(canonical)].compactMap { $0 } }

    /// The document's own id as the log writes it, and its kind there: of one id the log may have changes of status, too.
    var own: (id: String, kind: String)? {
        if let object = value.objectValue, DelegationFile.isOne(object) {
            return (try? DelegationFile(document: object))?.chain.leaf.map { ("\($0.cid)", "delegation") }
        }
        guard let id = value["id"]?.stringValue else { return nil }
        let isReceipt = value["type"]?.arrayValue?.contains("PaidCallReceipt") ?? false
        return (id.hasPrefix("urn:uuid:") ? String(id.dropFirst(9)) : id, isReceipt ? "receipt" : "passport")
    }

    func entry(salt: [UInt8]) throws(LogError) -> [UInt8] {
        try SaltedEntry(salt: salt, document: canonical).entry
    }
}
