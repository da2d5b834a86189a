internal import Encodings

/// Where the document of a `did:web` or the log of a `did:webvh` stands (did:web, 3.2; did:webvh 1.0, "The DID to HTTPS
/// Transformation"). The host is a domain name, never an address, and the path never climbs.
public struct WebDID: Hashable, Sendable, CustomStringConvertible {
    public enum Method: String, Sendable {
        case web
        case webvh
    }

    /// The longest DID read, in bytes.
    public static let maximumLength = 512

    public let method: Method
    public let string: String
    /// The self-certifying part of a `did:webvh`.
    public let scid: String?
    /// The host as it stands in a URL, in lower case.
    public let host: String
    public let port: Int?
    /// Percent-encoded path segments.
    public let path: [String]

    /// - Throws: `DocumentError` with `.malformedDID`.
    public init(parsing text: String) throws(DocumentError) {
        func refuse(_ what: String) -> DocumentError { DocumentError(.malformedDID, "`\(text.prefix(128))`: \(what)") }
        guard text.utf8.count <= Self.maximumLength, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw refuse("a DID has at most \(Self.maximumLength) printable ASCII characters")
        }
        var parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 3, parts[0] == "did", let method = Method(rawValue: parts[1]) else {
            throw refuse("it is neither a did:web nor a did:webvh")
        }
        parts.removeFirst(2)
        guard parts.allSatisfy({ part in part.utf8.allSatisfy { Self.isIDCharacter($0) } }) else {
            throw refuse("a character in it has no place in a DID")
        }
        if method == .webvh {
            let scid = parts.removeFirst()
            guard scid.utf8.count == 46, let hash = try? Base58.decode(scid), hash.count == 34,
                hash.starts(with: [0x12, 0x20])
            else { throw refuse("its first part is not base58btc of a SHA-256 multihash") }
            self.scid = scid
        } else {
            scid = nil
        }
        guard !parts.isEmpty else { throw refuse("it names no host") }
        (host, port) = try Self.origin(parts.removeFirst(), refuse)
        var path: [String] = []
        for part in parts {
            guard let decoded = Self.percentDecoded(part), !decoded.isEmpty, decoded != [0x2E],
                decoded != [0x2E, 0x2E],
                !decoded.contains(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") || $0 == 0 }),
                decoded.first != 0x20, decoded.last != 0x20
            else { throw refuse("a part of its path is empty, climbs, or holds a slash") }
            path.append(part)
        }
        self.path = path
        self.method = method
        string = text
    }

    /// Where the document or the log is fetched.
    public var url: String { "https://\(host)\(port.map { ":\($0)" } ?? "")\(documentPath)" }

    /// Where the proofs of a did:webvh's witnesses stand (did:webvh 1.0, "The Witness Proofs File").
    public var witnessURL: String { url.dropLast("did.jsonl".count) + "did-witness.json" }

    /// The path of ``url``.
    public var documentPath: String {
        let file = method == .web ? "did.json" : "did.jsonl"
        return path.isEmpty ? "/.well-known/\(file)" : "/\(path.joined(separator: "/"))/\(file)"
    }

    public var description: String { string }

    // MARK: Parts

    private static func origin(
        _ part: String,
        _ refuse: (String) -> DocumentError
    ) throws(DocumentError) -> (host: String, port: Int?) {
        guard let bytes = percentDecoded(part), let decoded = String(validating: bytes, as: UTF8.self) else {
            throw refuse("its host is not percent-encoded as it must be")
        }
        let pieces = decoded.split(separator: ":", omittingEmptySubsequences: false)
        guard pieces.count <= 2 else { throw refuse("its host has more than one port") }
        var port: Int?
        if pieces.count == 2 {
            guard pieces[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(pieces[1]),
                (1...65_535).contains(number)
            else { throw refuse("its port is none") }
            port = number
        }
        let host = pieces[0].lowercased()
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        guard host.utf8.count <= 253, labels.count >= 2 || host == "localhost",
            labels.allSatisfy({ label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy { byte in
                        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "-")
                    }
            })
        else { throw refuse("its host is no domain name in ASCII") }
        // A last label of digits (or 0x…) makes an address of it, in any of the notations that URL parsers know.
        guard let last = labels.last, !last.utf8.allSatisfy({ (0x30...0x39).contains($0) }), !last.hasPrefix("0x")
        else {
            throw refuse("its host is an address; only domain names can be named")
        }
        return (host, port)
    }

    private static func isIDCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "%"): true
        default: false
        }
    }

    /// Decoded once; `nil` where a `%` is not followed by two hex digits.
    private static func percentDecoded(_ text: String) -> [UInt8]? {
        var result: [UInt8] = []
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            guard byte == UInt8(ascii: "%") else {
                result.append(byte)
                continue
            }
            guard let high = bytes.next(), let low = bytes.next(),
                let pair = try? Hex.decode(String(decoding: [high, low], as: UTF8.self)), let value = pair.first
            else { return nil }
            result.append(value)
        }
        return result
    }

    /// The host part of a DID for a host and port, with the port's colon percent-encoded.
    public static func authority(host: String, port: Int?) -> String {
        port.map { "\(host)%3A\($0)" } ?? host
    }
}
