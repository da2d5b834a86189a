/// A payload signed by a peer for one purpose (libp2p RFC 0002).
public struct SignedEnvelope: Hashable, Sendable {
    public let publicKey: PeerPublicKey
    /// A multicodec that says what the payload is.
    public let payloadType: [UInt8]
    public let payload: [UInt8]
    public let signature: [UInt8]

    /// The most bytes of one envelope.
    public static let maximumBytes = 16 * 1024

    /// Signs a payload.
    /// - Parameter domain: what the signature is for; it holds for no other purpose. Not empty.
    /// - Throws: `Libp2pError` with `.malformed` where domain or type are empty; `.tooLarge`.
    public init(sealing payload: [UInt8], type: [UInt8], domain: String, key: PeerKey) throws(Libp2pError) {
        guard !domain.isEmpty, !type.isEmpty else {
            throw Libp2pError(.malformed, "an envelope is sealed for a purpose, and its payload has a type")
        }
        publicKey = key.publicKey
        payloadType = type
        self.payload = payload
        signature = try key.sign(Self.signed(domain, type, payload))
        guard protobuf.count <= Self.maximumBytes else {
            throw Libp2pError(.tooLarge, "an envelope has at most \(Self.maximumBytes) bytes")
        }
    }

    /// Opens an envelope: its signature holds for this purpose and no other.
    /// - Throws: `Libp2pError` with `.malformed`, `.tooLarge`, `.unsupported`, `.invalidKey` or `.invalidSignature`.
    public init(opening bytes: some Collection<UInt8>, domain: String) throws(Libp2pError) {
        guard bytes.count <= Self.maximumBytes else {
            throw Libp2pError(.tooLarge, "an envelope has at most \(Self.maximumBytes) bytes")
        }
        var reader = ProtobufReader([UInt8](bytes), maximumFields: 8)
        var parts: [Int: [UInt8]] = [:]
        while let field = try reader.next() {
            guard [1, 2, 3, 5].contains(field.number) else { continue }
            let value = [UInt8](try field.bytes(maximum: Self.maximumBytes))
            guard parts.updateValue(value, forKey: field.number) == nil else {
                throw Libp2pError(.malformed, "the envelope has field \(field.number) twice")
            }
        }
        guard let key = parts[1], let type = parts[2], !type.isEmpty, let signature = parts[5] else {
            throw Libp2pError(.malformed, "an envelope has a key, a type and a signature")
        }
        publicKey = try PeerPublicKey(protobuf: key)
        payloadType = type
        payload = parts[3] ?? []
        self.signature = signature
        guard publicKey.isValid(signature: signature, for: Self.signed(domain, type, payload)) else {
            throw Libp2pError(.invalidSignature, "the envelope is not signed by its key for this purpose")
        }
    }

    /// The envelope as it travels.
    public var protobuf: [UInt8] {
        var writer = ProtobufWriter(reserving: payload.count + 128)
        writer.bytes(1, publicKey.protobuf)
        writer.bytes(2, payloadType)
        writer.bytes(3, payload)
        writer.bytes(5, signature)
        return writer.bytes
    }

    private static func signed(_ domain: String, _ type: [UInt8], _ payload: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        for part in [[UInt8](domain.utf8), type, payload] {
            bytes.append(varint: UInt64(part.count))
            bytes += part
        }
        return bytes
    }
}

/// The addresses that a peer says it is reached at (libp2p RFC 0003), as it travels in a signed envelope.
public struct PeerRecord: Hashable, Sendable {
    public let peer: PeerID
    /// A record replaces those of lower numbers.
    public let sequence: UInt64
    public let addresses: [Multiaddr]

    static let domain = "libp2p-peer-record"
    static let payloadType: [UInt8] = [0x03, 0x01]
    /// The most addresses that are read or written; of the rest, and of those not spoken here, nothing is kept.
    public static let maximumAddresses = 32

    public init(peer: PeerID, sequence: UInt64, addresses: [Multiaddr]) {
        self.peer = peer
        self.sequence = sequence
        self.addresses = Array(addresses.prefix(Self.maximumAddresses))
    }

    /// Signed by the peer that it is about.
    /// - Throws: `Libp2pError` with `.wrongPeer` where the key is another one's.
    public func sealed(with key: PeerKey) throws(Libp2pError) -> SignedEnvelope {
        guard key.peerID == peer else {
            throw Libp2pError(.wrongPeer, "a peer record is signed by the peer that it is about")
        }
        return try SignedEnvelope(sealing: protobuf, type: Self.payloadType, domain: Self.domain, key: key)
    }

    /// Opens a sealed record: signed by the peer that it is about.
    /// - Throws: `Libp2pError`, as opening an envelope, and `.wrongPeer`.
    public init(opening envelope: some Collection<UInt8>) throws(Libp2pError) {
        let envelope = try SignedEnvelope(opening: envelope, domain: Self.domain)
        guard envelope.payloadType == Self.payloadType else {
            throw Libp2pError(.malformed, "the envelope holds no peer record")
        }
        try self.init(protobuf: envelope.payload)
        guard peer == PeerID(envelope.publicKey) else {
            throw Libp2pError(.wrongPeer, "the peer record is signed by another peer than it is about")
        }
    }

    private init(protobuf bytes: [UInt8]) throws(Libp2pError) {
        var reader = ProtobufReader(bytes)
        var peer: PeerID?
        var sequence: UInt64 = 0
        var addresses: [Multiaddr] = []
        while let field = try reader.next() {
            switch field.number {
            case 1: peer = try PeerID(bytes: try field.bytes(maximum: PeerID.maximumBytes))
            case 2: sequence = try field.varint()
            case 3 where addresses.count < Self.maximumAddresses:
                var info = ProtobufReader(try field.bytes(maximum: SignedEnvelope.maximumBytes), maximumFields: 8)
                while let field = try info.next() {
                    guard field.number == 1 else { continue }
                    let bytes = try field.bytes(maximum: SignedEnvelope.maximumBytes)
                    if let address = try? Multiaddr(bytes: bytes) { addresses.append(address) }
                }
            default: break
            }
        }
        guard let peer else { throw Libp2pError(.malformed, "the peer record names no peer") }
        self.init(peer: peer, sequence: sequence, addresses: addresses)
    }

    private var protobuf: [UInt8] {
        var writer = ProtobufWriter()
        writer.bytes(1, peer.bytes)
        if sequence > 0 { writer.varint(2, sequence) }
        for address in addresses {
            var info = ProtobufWriter()
            info.bytes(1, address.bytes)
            writer.bytes(3, info.bytes)
        }
        return writer.bytes
    }
}
