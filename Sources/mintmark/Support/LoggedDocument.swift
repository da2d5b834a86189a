import CanonicalJSON
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

    /// The ids under which the log may have it: its own, of a passport and of a receipt, and its digest.
    var references: [String] { [ownID, MultihashDigest.ofBytes(canonical)].compactMap { $0 } }

    /// Its own id, as the log writes it.
    var ownID: String? {
        value["id"]?.stringValue.map { $0.hasPrefix("urn:uuid:") ? String($0.dropFirst(9)) : $0 }
    }

    func entry(salt: [UInt8]) throws(LogError) -> [UInt8] {
        try SaltedEntry(salt: salt, document: canonical).entry
    }
}
