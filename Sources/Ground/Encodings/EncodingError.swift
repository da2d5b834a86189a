/// What went wrong while reading an encoded text or byte string.
///
/// Every reader of this module throws this one type. `message` is written for the person whose input it was: it says
/// which rule was broken and where, and never repeats more than one character of the input (which may be a secret).
public struct EncodingError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A stable, machine-readable reason. New codes may be added; compare with the constants below.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public var rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// A character outside the encoding's alphabet.
        public static let invalidCharacter = Code(rawValue: "invalid-character")
        /// A length that no encoder produces.
        public static let invalidLength = Code(rawValue: "invalid-length")
        /// Missing, surplus or misplaced padding, or padding bits that are not zero.
        public static let invalidPadding = Code(rawValue: "invalid-padding")
        /// A checksum (Bech32, gzip CRC-32) that does not match.
        public static let invalidChecksum = Code(rawValue: "invalid-checksum")
        /// Upper and lower case mixed where the encoding forbids it.
        public static let mixedCase = Code(rawValue: "mixed-case")
        /// The input ends in the middle of an item.
        public static let truncated = Code(rawValue: "truncated")
        /// Bytes follow the end of the item.
        public static let trailingBytes = Code(rawValue: "trailing-bytes")
        /// More bytes, items or levels than the caller allowed.
        public static let tooLarge = Code(rawValue: "too-large")
        /// A value that is not in its shortest form where the encoding requires it.
        public static let notMinimal = Code(rawValue: "not-minimal")
        /// A map that holds the same key twice.
        public static let duplicateKey = Code(rawValue: "duplicate-key")
        /// Any other breach of the format.
        public static let malformed = Code(rawValue: "malformed")
        /// A prefix or feature of the format that this reader does not speak.
        public static let unsupported = Code(rawValue: "unsupported")
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) [\(code.rawValue)]" }
}
