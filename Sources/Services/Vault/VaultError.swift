/// Why a vault did not do what was asked. Nothing was signed.
public struct VaultError: Error, Sendable, Equatable, CustomStringConvertible {
    /// An extensible set of reasons, as they stand on the wire ([VLT-9]).
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// No vault answers at the socket, or not in time.
        public static let unreachable = Code(rawValue: "unreachable")
        /// The vault is locked: `mintmark vault unlock`.
        public static let locked = Code(rawValue: "locked")
        /// More is asked than the vault takes at once or in a second.
        public static let busy = Code(rawValue: "busy")
        /// Another node is connected.
        public static let inUse = Code(rawValue: "in-use")
        /// What should be signed is nothing that a node signs with this key.
        public static let refused = Code(rawValue: "refused")
        /// Another version of the protocol.
        public static let wrongVersion = Code(rawValue: "wrong-version")
        /// A frame that is too long or cannot be read.
        public static let malformed = Code(rawValue: "malformed")
        /// Not for this user, or not in this role.
        public static let notPermitted = Code(rawValue: "not-permitted")
        public static let wrongPassphrase = Code(rawValue: "wrong-passphrase")
        /// The vault holds another node's keys.
        public static let foreign = Code(rawValue: "foreign")
        public static let failed = Code(rawValue: "failed")

        /// Whether the same may succeed later.
        var mayPass: Bool { [.unreachable, .locked, .busy, .inUse].contains(self) }
    }

    public let code: Code
    /// What happened, and what to do about it; holds no secret.
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) (\(code.rawValue))" }
}
