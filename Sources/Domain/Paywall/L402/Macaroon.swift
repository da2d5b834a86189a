internal import Cryptography

/// What is wrong with the bytes of a macaroon.
public struct MacaroonError: Error, Sendable, Equatable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public var rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public static let malformed = Code(rawValue: "malformed")
        public static let tooLarge = Code(rawValue: "too-large")
        public static let unknownFormat = Code(rawValue: "unknown-format")
    }
    public var code: Code
    public var message: String
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
    public var description: String { message }
}

/// A macaroon: an identifier and caveats, chained by HMAC-SHA-256 from a root key that only its maker has
/// (Birgisson et al., 2014, as libmacaroons computes it; see [LSAT-1]).
///
/// Whoever holds one can add a caveat and nobody can take one off. The signature is the secret of it: with it, caveats can
/// be added, so a macaroon never prints itself.
public struct Macaroon: Sendable, Equatable {
    /// A condition on the use of the macaroon.
    public struct Caveat: Sendable, Equatable {
        /// The condition as bytes, for L402 `name=value` in UTF-8.
        public let identifier: [UInt8]
        /// Empty, save where another party has to discharge the caveat; L402 has no such caveats.
        public let verificationID: [UInt8]
        /// A hint where the other party is found; never signed.
        public let location: [UInt8]

        public init(_ identifier: [UInt8], verificationID: [UInt8] = [], location: [UInt8] = []) {
            self.identifier = identifier
            self.verificationID = verificationID
            self.location = location
        }

        public var isThirdParty: Bool { !verificationID.isEmpty }
    }

    /// The longest macaroon read or written, in bytes: in base64 it still fits a header beside other fields.
    public static let maximumBytes = 4096
    /// The most caveats.
    public static let maximumCaveats = 64
    /// The longest identifier, condition or location, in bytes.
    public static let maximumFieldBytes = 1024
    /// The length of a signature, in bytes.
    public static let signatureBytes = 32

    /// A hint who made it; not signed, so nothing is decided on it.
    public let location: [UInt8]
    public let identifier: [UInt8]
    public private(set) var caveats: [Caveat]
    /// 32 bytes.
    public private(set) var signature: [UInt8]

    /// A new one.
    /// - Parameter rootKey: any bytes; they are hashed before use, as libmacaroons does.
    /// - Throws: ``MacaroonError`` `too-large`.
    public init(rootKey: [UInt8], identifier: [UInt8], location: [UInt8] = []) throws(MacaroonError) {
        try Self.requireField(identifier)
        try Self.requireField(location)
        self.location = location
        self.identifier = identifier
        caveats = []
        signature = Self.firstSignature(rootKey: rootKey, identifier: identifier)
    }

    /// One that was read: nothing of it is proven yet.
    init(read location: [UInt8], identifier: [UInt8], caveats: [Caveat], signature: [UInt8]) {
        self.location = location
        self.identifier = identifier
        self.caveats = caveats
        self.signature = signature
    }

    /// The same with one more condition, which every holder may add.
    /// - Throws: ``MacaroonError`` `too-large`.
    public func adding(_ condition: [UInt8]) throws(MacaroonError) -> Macaroon {
        try Self.requireField(condition)
        guard caveats.count < Self.maximumCaveats else {
            throw MacaroonError(.tooLarge, "A macaroon has at most \(Self.maximumCaveats) caveats.")
        }
        var longer = self
        let caveat = Caveat(condition)
        longer.caveats.append(caveat)
        longer.signature = Self.signature(signature, adding: caveat)
        return longer
    }

    /// The same with one more condition in UTF-8.
    public func adding(_ condition: String) throws(MacaroonError) -> Macaroon { try adding(Array(condition.utf8)) }

    /// Whether it was made with this root key and every caveat is in its chain. In constant time.
    public func isMade(with rootKey: [UInt8]) -> Bool {
        var chained = Self.firstSignature(rootKey: rootKey, identifier: identifier)
        for caveat in caveats { chained = Self.signature(chained, adding: caveat) }
        return ConstantTime.equal(chained, signature)
    }

    /// Whether it is another one, signature and all, in a time that tells nothing of the signature.
    func isSame(as other: Macaroon?) -> Bool {
        guard let other, ConstantTime.equal(signature, other.signature) else { return false }
        return identifier == other.identifier && caveats == other.caveats
    }

    static func requireField(_ bytes: [UInt8]) throws(MacaroonError) {
        guard bytes.count <= maximumFieldBytes else {
            throw MacaroonError(.tooLarge, "A field of a macaroon has at most \(maximumFieldBytes) bytes.")
        }
    }

    private static func firstSignature(rootKey: [UInt8], identifier: [UInt8]) -> [UInt8] {
        let key = Hashing.hmacSHA256(key: Array("macaroons-key-generator".utf8), rootKey)
        return Hashing.hmacSHA256(key: key, identifier)
    }

    private static func signature(_ previous: [UInt8], adding caveat: Caveat) -> [UInt8] {
        guard caveat.isThirdParty else { return Hashing.hmacSHA256(key: previous, caveat.identifier) }
        return Hashing.hmacSHA256(
            key: previous,
            Hashing.hmacSHA256(key: previous, caveat.verificationID)
                + Hashing.hmacSHA256(key: previous, caveat.identifier)
        )
    }
}

extension Macaroon: CustomStringConvertible, CustomReflectable {
    public var description: String { "Macaroon(\(caveats.count) caveats, redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
