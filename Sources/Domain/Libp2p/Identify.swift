/// What a peer tells about itself (`/ipfs/id/1.0.0`, and unasked on `/ipfs/id/push/1.0.0`).
public struct Identify: Hashable, Sendable {
    public static let protocolName = "/ipfs/id/1.0.0"
    public static let pushProtocolName = "/ipfs/id/push/1.0.0"

    /// The most bytes read, all messages of one answer together.
    public static let maximumBytes = 64 * 1024
    static let maximumAddresses = 64
    static let maximumProtocols = 256
    static let maximumVersionBytes = 256

    public var publicKey: PeerPublicKey?
    public var listenAddresses: [Multiaddr] = []
    public var protocols: [String] = []
    /// The address from which the other side sees the connection come.
    public var observedAddress: Multiaddr?
    public var protocolVersion = ""
    public var agentVersion = ""
    /// The sealed ``PeerRecord``, as it came.
    public var signedPeerRecord: [UInt8]?

    public init() {}

    /// The message as it travels, behind its length.
    public var delimited: [UInt8] {
        var writer = ProtobufWriter()
        if let publicKey { writer.bytes(1, publicKey.protobuf) }
        for address in listenAddresses { writer.bytes(2, address.bytes) }
        for name in protocols { writer.text(3, name) }
        if let observedAddress { writer.bytes(4, observedAddress.bytes) }
        if !protocolVersion.isEmpty { writer.text(5, protocolVersion) }
        if !agentVersion.isEmpty { writer.text(6, agentVersion) }
        if let signedPeerRecord { writer.bytes(8, signedPeerRecord) }
        var bytes: [UInt8] = []
        bytes.append(varint: UInt64(writer.bytes.count))
        return bytes + writer.bytes
    }

    /// Adds one message to what is known; an answer may come in several (go sends two above 2 KiB).
    ///
    /// Addresses that are not spoken here are left out, and what is over the bounds is not kept.
    /// - Throws: `Libp2pError`.
    public mutating func merge(_ message: ArraySlice<UInt8>) throws(Libp2pError) {
        var reader = ProtobufReader(message, maximumFields: 2_048)
        while let field = try reader.next() {
            switch field.number {
            case 1: publicKey = try PeerPublicKey(protobuf: try field.bytes(maximum: PeerPublicKey.maximumBytes))
            case 2:
                guard listenAddresses.count < Self.maximumAddresses else { continue }
                let bytes = try field.bytes(maximum: Self.maximumBytes)
                if let address = try? Multiaddr(bytes: bytes) { listenAddresses.append(address) }
            case 3:
                guard protocols.count < Self.maximumProtocols else { continue }
                protocols.append(try field.text(maximum: ProtocolNegotiation.maximumNameBytes))
            case 4: observedAddress = try? Multiaddr(bytes: try field.bytes(maximum: Self.maximumBytes))
            case 5: protocolVersion = try field.text(maximum: Self.maximumVersionBytes)
            case 6: agentVersion = try field.text(maximum: Self.maximumVersionBytes)
            case 8: signedPeerRecord = [UInt8](try field.bytes(maximum: SignedEnvelope.maximumBytes))
            default: break
            }
        }
    }

    /// Holds what was told against who told it: the key has to be the peer's, the record of the peer and signed by it.
    /// - Returns: the record, where there is one.
    /// - Throws: `Libp2pError` with `.wrongPeer` or what is wrong with the record.
    public func verified(for peer: PeerID) throws(Libp2pError) -> PeerRecord? {
        if let publicKey, PeerID(publicKey) != peer {
            throw Libp2pError(.wrongPeer, "the peer identifies itself with another one's key")
        }
        guard let signedPeerRecord else { return nil }
        let record = try PeerRecord(opening: signedPeerRecord)
        guard record.peer == peer else {
            throw Libp2pError(.wrongPeer, "the peer identifies itself with another one's record")
        }
        return record
    }
}

/// The ping protocol: 32 bytes, sent back as they are.
public enum Ping {
    public static let protocolName = "/ipfs/ping/1.0.0"
    public static let byteCount = 32
}
