internal import Cryptography
internal import Encodings

/// What a seller binds its challenges with: nothing about an unpaid call has to be stored ([PAY-2]).
///
/// After a change of secret the ones before still verify, until the challenges made with them have expired.
public struct PaymentSecrets: Sendable {
    /// The shortest secret taken, in bytes.
    public static let minimumBytes = 16

    private let secrets: [[UInt8]]

    /// - Parameters:
    ///   - current: makes and verifies; at least ``minimumBytes`` random bytes.
    ///   - previous: only verify.
    /// - Returns: nil where one is too short.
    public init?(current: [UInt8], previous: [[UInt8]] = []) {
        guard ([current] + previous).allSatisfy({ $0.count >= Self.minimumBytes }) else { return nil }
        secrets = [current] + previous
    }

    /// base64url of HMAC-SHA-256 over the joined slots, with the current secret.
    func id(of slots: String) -> String { Self.id(of: slots, secret: secrets[0]) }

    /// Whether `id` was made from these slots by one of the secrets. In constant time.
    func made(_ id: String, from slots: String) -> Bool {
        secrets.reduce(false) { found, secret in
            ConstantTime.equal(Array(Self.id(of: slots, secret: secret).utf8), Array(id.utf8)) || found
        }
    }

    private static func id(of slots: String, secret: [UInt8]) -> String {
        Base64URL.encode(Hashing.hmacSHA256(key: secret, Array(slots.utf8)))
    }
}

extension PaymentSecrets: CustomStringConvertible, CustomReflectable {
    public var description: String { "PaymentSecrets(\(secrets.count), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
