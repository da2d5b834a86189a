/// Why a part of a transparency log was refused.
///
/// `code` is stable and meant for programs; `message` tells a person what is wrong.
public struct LogError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extensible set of reasons.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) { self.rawValue = rawValue }

        /// A note, checkpoint, proof, key or path has the wrong form.
        public static let malformed = Code(rawValue: "malformed")
        /// No signature of a key that is trusted stands under the note.
        public static let unsigned = Code(rawValue: "unsigned")
        /// A signature by a trusted key's name and id does not verify.
        public static let badSignature = Code(rawValue: "bad-signature")
        /// A checkpoint of another log than the one expected.
        public static let wrongOrigin = Code(rawValue: "wrong-origin")
        /// Too few of the trusted witnesses have signed.
        public static let tooFewWitnesses = Code(rawValue: "too-few-witnesses")
        /// The proof does not lead from the entry to the checkpoint's root.
        public static let notIncluded = Code(rawValue: "not-included")
        /// Two trees of one log of which the larger does not begin with the smaller: it was forked or rewound.
        public static let inconsistent = Code(rawValue: "inconsistent")
        /// The log takes no more entries, as others have seen another history of it.
        public static let halted = Code(rawValue: "halted")
        /// What is proven was witnessed too late to count.
        public static let witnessedTooLate = Code(rawValue: "witnessed-too-late")
        /// An index or size outside the tree.
        public static let outOfRange = Code(rawValue: "out-of-range")
        /// A tile that is needed is not there, or is shorter than its tree says.
        public static let missingTile = Code(rawValue: "missing-tile")
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code.rawValue))" }
}
