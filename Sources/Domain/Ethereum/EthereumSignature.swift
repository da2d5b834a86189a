public import Cryptography
internal import Encodings

/// A recoverable signature as contracts take it: r‖s‖v with v 27 or 28, and s in the lower half of the order, as others
/// have a twin and are refused by the tokens' contracts (EIP-2).
public struct EthereumSignature: Hashable, Sendable, CustomStringConvertible {
    /// 32 bytes.
    public let r: [UInt8]
    /// 32 bytes.
    public let s: [UInt8]
    /// 27 or 28.
    public let v: UInt8

    /// Reads 65 bytes r‖s‖v; a v of 0 or 1 is read as 27 or 28.
    /// - Throws: `invalidSignature` for another length or v, for r or s out of range, and for a high s.
    public init(bytes: [UInt8]) throws(EthereumError) {
        guard bytes.count == 65 else {
            throw EthereumError(.invalidSignature, "a signature has 65 bytes, this has \(bytes.count)")
        }
        let v = bytes[64] < 2 ? bytes[64] + 27 : bytes[64]
        try self.init(r: Array(bytes[0..<32]), s: Array(bytes[32..<64]), v: v)
    }

    /// - Throws: `invalidSignature` as ``init(bytes:)``.
    public init(r: [UInt8], s: [UInt8], v: UInt8) throws(EthereumError) {
        guard r.count == 32, s.count == 32, v == 27 || v == 28 else {
            throw EthereumError(.invalidSignature, "a signature has r and s of 32 bytes, and v 27 or 28")
        }
        guard let low = try? Secp256k1.ECDSA.lowS(signature: r + s), low == r + s else {
            throw EthereumError(.invalidSignature, "the signature's s is high, or r or s is out of range")
        }
        self.r = r
        self.s = s
        self.v = v
    }

    /// 65 bytes: r‖s‖v.
    public var bytes: [UInt8] { r + s + [v] }

    /// `0x` and 130 hex digits.
    public var description: String { EthereumHex.text(bytes) }

    /// The account that signed the digest of 32 bytes.
    /// - Throws: `invalidSignature` where no key can be recovered.
    public func signer(digest: [UInt8]) throws(EthereumError) -> Address {
        do {
            return try Address(
                publicKey: Secp256k1.ECDSA.recover(signature: r + s, recoveryID: v - 27, digest: digest)
            )
        } catch {
            throw EthereumError(.invalidSignature, "no account can be recovered from the signature")
        }
    }
}

/// The key of an account of our own. Its description shows no secret.
public struct EthereumKey: Sendable, CustomStringConvertible, CustomReflectable {
    private let scalar: Secp256k1.Scalar
    public let address: Address

    public init(_ scalar: Secp256k1.Scalar) {
        self.scalar = scalar
        address = Address(publicKey: Secp256k1.Point(multiplyingGeneratorBy: scalar))
    }

    /// - Throws: `invalidKey` where the 32 bytes are no number of 1 to the order.
    public init(bytes: [UInt8]) throws(EthereumError) {
        do {
            self.init(try Secp256k1.Scalar(bytes: bytes))
        } catch {
            throw EthereumError(.invalidKey, "the bytes are no private key of Ethereum (32 bytes)")
        }
    }

    /// Signs a digest of 32 bytes, by RFC 6979 and with a low s; another length is a mistake in the calling code.
    public func sign(digest: [UInt8]) -> EthereumSignature {
        let (signature, recoveryID) = Secp256k1.ECDSA.signRecoverable(digest: digest, key: scalar)
        return EthereumSignature(trusted: signature, recoveryID: recoveryID)
    }

    public var description: String { "EthereumKey(\(address))" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension EthereumSignature {
    /// What our own signer made: 64 bytes with a low s. A recovery id of 2 or 3 stands for an r above the order, which
    /// nobody will ever meet.
    fileprivate init(trusted signature: [UInt8], recoveryID: UInt8) {
        r = Array(signature.prefix(32))
        s = Array(signature.suffix(32))
        v = 27 + (recoveryID & 1)
    }
}
