public import CanonicalJSON

/// What a bit in a status list says of its passport (Bitstring Status List 1.0, 2.1).
public struct StatusPurpose: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// Set once and for all.
    public static let revocation = StatusPurpose(rawValue: "revocation")
    /// May be lifted again.
    public static let suspension = StatusPurpose(rawValue: "suspension")

    public var description: String { rawValue }
}

/// Where a passport's status stands: a bit in a list (Bitstring Status List 1.0, 2.1).
public struct StatusEntry: Hashable, Sendable {
    /// In which notation the list is published.
    public enum Format: Hashable, Sendable {
        /// A credential with a bit an entry (Bitstring Status List 1.0).
        case bitstring
        /// A JWT that says of each entry whether it holds, is revoked or suspended (Token Status List).
        case token
    }

    public var purpose: StatusPurpose
    /// The URL of the status list credential, at most 512 bytes, http or https.
    public var listURL: String
    /// The place in the list; 0 is the left-most bit.
    public var index: Int
    public var format: Format

    public init(purpose: StatusPurpose, listURL: String, index: Int, format: Format = .bitstring) {
        self.format = format
        self.purpose = purpose
        self.listURL = listURL
        self.index = index
    }

    /// - Throws: `PassportReason` with `.malformed`.
    public init(json: JSONValue) throws(PassportReason) {
        guard json["type"]?.stringValue == "BitstringStatusListEntry" else {
            throw PassportReason(.malformed, "`credentialStatus` must be of type BitstringStatusListEntry")
        }
        guard let purpose = json["statusPurpose"]?.stringValue, ["revocation", "suspension"].contains(purpose) else {
            throw PassportReason(.malformed, "`statusPurpose` must be `revocation` or `suspension`")
        }
        guard let url = json["statusListCredential"]?.stringValue, Self.isListURL(url) else {
            throw PassportReason(.malformed, "`statusListCredential` must be an http or https URL of at most 512 bytes")
        }
        guard let text = json["statusListIndex"]?.stringValue, let index = SpendLimit.amount(text),
            index < UInt64(StatusBitmap.maximumEntries)
        else {
            throw PassportReason(
                .malformed,
                "`statusListIndex` must be a decimal string below \(StatusBitmap.maximumEntries)"
            )
        }
        if let size = json["statusSize"], size.int64Value != 1 {
            throw PassportReason(.malformed, "`statusSize` must be 1")
        }
        self.init(purpose: StatusPurpose(rawValue: purpose), listURL: url, index: Int(index))
    }

    public var json: JSONValue {
        [
            "id": .string("\(listURL)#\(index)"),
            "type": "BitstringStatusListEntry",
            "statusPurpose": .string(purpose.rawValue),
            "statusListIndex": .string(String(index)),
            "statusListCredential": .string(listURL),
        ]
    }

    /// http(s), printable ASCII, no fragment, at most 512 bytes.
    package static func isListURL(_ url: String) -> Bool {
        (url.hasPrefix("https://") || url.hasPrefix("http://")) && (10...512).contains(url.utf8.count)
            && url.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }
    }
}
