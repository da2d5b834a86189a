internal import Cryptography

/// The 32 bytes whose SHA-256 is a payment hash. Who has them has paid, or was paid.
public struct LightningPreimage: Sendable {
    public let bytes: [UInt8]

    /// - Parameter bytes: 32; others fit no payment hash.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public var paymentHash: [UInt8] { Hashing.sha256(bytes) }

    /// Whether it proves the payment with this hash.
    public func proves(_ paymentHash: [UInt8]) -> Bool {
        bytes.count == 32 && ConstantTime.equal(self.paymentHash, paymentHash)
    }
}
