public import Cryptography

/// The public key of a peer: what its peer id names and what its signatures are checked with (libp2p peer-ids).
public enum PeerPublicKey: Hashable, Sendable {
    case ed25519(Ed25519.PublicKey)
    case secp256k1(Secp256k1.Point)

    /// The most bytes read as a key: the form of an RSA key of 4096 bits, which is told apart and refused, fits.
    static let maximumBytes = 1024

    /// The protobuf `PublicKey` in the one form that the peer id is made of: 36 or 37 bytes.
    public var protobuf: [UInt8] {
        var writer = ProtobufWriter()
        switch self {
        case .ed25519(let key):
            writer.varint(1, 1)
            writer.bytes(2, key.bytes)
        case .secp256k1(let key):
            writer.varint(1, 2)
            writer.bytes(2, key.compressed)
        }
        return writer.bytes
    }

    /// Reads the protobuf `PublicKey`; anything but its deterministic form is refused, since a peer id is made of it.
    /// - Throws: `Libp2pError` with `.malformed`, `.invalidKey`, or `.unsupported` for RSA and P-256 keys.
    public init(protobuf bytes: some Collection<UInt8>) throws(Libp2pError) {
        guard bytes.count <= Self.maximumBytes else {
            throw Libp2pError(.tooLarge, "a public key has at most \(Self.maximumBytes) bytes")
        }
        let bytes = [UInt8](bytes)
        let (type, data) = try Self.parts(bytes)
        do {
            switch type {
            case 1: self = .ed25519(try Ed25519.PublicKey(bytes: data))
            case 2: self = .secp256k1(try Secp256k1.Point(compressed: data))
            default: throw Libp2pError(.unsupported, "keys of peers are Ed25519 or secp256k1; this is type \(type)")
            }
        } catch let error as CryptographyError {
            throw Libp2pError(.invalidKey, error.message)
        } catch let error as Libp2pError {
            throw error
        } catch {
            throw Libp2pError(.failed, "the key cannot be read")
        }
        guard protobuf == bytes else {
            throw Libp2pError(.malformed, "the public key is not in its deterministic form")
        }
    }

    /// Whether this key made the signature over the message: Ed25519, or ECDSA over SHA-256 in DER with low s.
    public func isValid(signature: [UInt8], for message: [UInt8]) -> Bool {
        switch self {
        case .ed25519(let key):
            return key.isValid(signature: signature, for: message)
        case .secp256k1(let key):
            guard let signature = DERSignature.decode(signature) else { return false }
            return Secp256k1.ECDSA.isValid(
                signature: signature,
                digest: Hashing.sha256(message),
                publicKey: key
            )
        }
    }

    /// Type and data of a `PublicKey` or `PrivateKey` message: both required, each once.
    static func parts(_ bytes: [UInt8]) throws(Libp2pError) -> (type: UInt64, data: [UInt8]) {
        var reader = ProtobufReader(bytes, maximumFields: 2)
        var type: UInt64?
        var data: [UInt8]?
        while let field = try reader.next() {
            switch field.number {
            case 1 where type == nil: type = try field.varint()
            case 2 where data == nil: data = [UInt8](try field.bytes(maximum: maximumBytes))
            default: throw Libp2pError(.malformed, "a key has a type and its data, once each")
            }
        }
        guard let type, let data else { throw Libp2pError(.malformed, "a key has a type and its data") }
        return (type, data)
    }
}

/// The private key of a peer. Its description shows no secret.
public struct PeerKey: Sendable, CustomStringConvertible, CustomReflectable {
    private enum Storage: Sendable {
        case ed25519(Ed25519.PrivateKey)
        case secp256k1(Secp256k1.Scalar)
    }

    private let storage: Storage
    public let publicKey: PeerPublicKey

    /// The name of the peer that holds this key.
    public var peerID: PeerID { PeerID(publicKey) }

    public init(_ key: Ed25519.PrivateKey) {
        storage = .ed25519(key)
        publicKey = .ed25519(key.publicKey)
    }

    public init(_ key: Secp256k1.Scalar) {
        storage = .secp256k1(key)
        publicKey = .secp256k1(Secp256k1.Point(multiplyingGeneratorBy: key))
    }

    /// Reads the protobuf `PrivateKey` that other implementations keep in files: Ed25519 as seed‖public key (64 bytes,
    /// or 96 with the public key twice), secp256k1 as 32 bytes.
    /// - Throws: `Libp2pError` with `.malformed`, `.invalidKey` or `.unsupported`.
    public init(protobuf bytes: [UInt8]) throws(Libp2pError) {
        guard bytes.count <= 128 else { throw Libp2pError(.unsupported, "private keys are Ed25519 or secp256k1") }
        let (type, data) = try PeerPublicKey.parts(bytes)
        switch type {
        case 1:
            guard data.count == 64 || data.count == 96,
                let key = try? Ed25519.PrivateKey(seed: [UInt8](data.prefix(32)))
            else { throw Libp2pError(.invalidKey, "an Ed25519 private key is kept as 64 bytes") }
            for start in stride(from: 32, to: data.count, by: 32)
            where [UInt8](data[start..<(start + 32)]) != key.publicKey.bytes {
                throw Libp2pError(.invalidKey, "the private key stands beside another one's public key")
            }
            self.init(key)
        case 2:
            guard let scalar = try? Secp256k1.Scalar(bytes: data) else {
                throw Libp2pError(.invalidKey, "a secp256k1 private key has 32 bytes, between 1 and the group order")
            }
            self.init(scalar)
        default:
            throw Libp2pError(.unsupported, "keys of peers are Ed25519 or secp256k1; this is type \(type)")
        }
    }

    /// The protobuf `PrivateKey`: secret.
    public var protobuf: [UInt8] {
        var writer = ProtobufWriter()
        switch storage {
        case .ed25519(let key):
            writer.varint(1, 1)
            writer.bytes(2, key.seed + key.publicKey.bytes)
        case .secp256k1(let key):
            writer.varint(1, 2)
            writer.bytes(2, key.bytes)
        }
        return writer.bytes
    }

    /// Signs a message of any length: 64 bytes, or DER for secp256k1.
    public func sign(_ message: [UInt8]) throws(Libp2pError) -> [UInt8] {
        switch storage {
        case .ed25519(let key):
            do {
                return try key.sign(message)
            } catch {
                throw Libp2pError(.failed, error.message)
            }
        case .secp256k1(let key):
            return DERSignature.encode(Secp256k1.ECDSA.sign(digest: Hashing.sha256(message), key: key))
        }
    }

    public var description: String { "PeerKey(\(peerID), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
