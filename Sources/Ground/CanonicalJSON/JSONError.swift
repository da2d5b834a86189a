/// What is wrong with a JSON text, or with a value that was looked for in it.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A stable, machine-readable reason. New codes may be added; compare with the constants below.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public var rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Not JSON (RFC 8259), not UTF-8, or bytes after the value.
        public static let syntax = Code(rawValue: "syntax")
        /// Nested deeper than the limit.
        public static let depth = Code(rawValue: "depth")
        /// More bytes or values than the limit.
        public static let size = Code(rawValue: "size")
        /// An object names the same member twice.
        public static let duplicateKey = Code(rawValue: "duplicate-key")
        /// A `\uD800`…`\uDFFF` escape without its other half.
        public static let loneSurrogate = Code(rawValue: "lone-surrogate")
        /// An integer that a double cannot hold exactly (beyond ±(2⁵³−1)).
        public static let inexactInteger = Code(rawValue: "inexact-integer")
        /// A number beyond the range of a double, or NaN.
        public static let notFinite = Code(rawValue: "not-finite")
        /// A member that is needed is not there.
        public static let missing = Code(rawValue: "missing")
        /// A value is of another type than needed.
        public static let type = Code(rawValue: "type")
        /// A value of the right type whose content is not acceptable; for the decoders built on this module.
        public static let value = Code(rawValue: "value")
    }

    public var code: Code
    /// A sentence for the person whose JSON it was.
    public var message: String
    /// The byte of the text where reading stopped, counted from 0; nil where no text was being read.
    public var offset: Int?

    public init(_ code: Code, _ message: String, offset: Int? = nil) {
        self.code = code
        self.message = message
        self.offset = offset
    }

    public var description: String {
        offset.map { "\(message), at byte \($0) [\(code.rawValue)]" } ?? "\(message) [\(code.rawValue)]"
    }
}
