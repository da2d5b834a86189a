/// What the two sides of a libp2p channel tell each other inside the handshake (libp2p noise): who they are, proved by
/// a signature over the static key, and which multiplexers they speak.
struct NoisePayload: Sendable {
    static let signaturePrefix = "noise-libp2p-static-key:"
    /// The most names of multiplexers that are read.
    static let maximumMuxers = 16

    let key: PeerPublicKey
    let muxers: [String]

    /// The payload of our own side, as it travels.
    static func encode(key: PeerKey, staticKey: [UInt8], muxers: [String]) throws(Libp2pError) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.bytes(1, key.publicKey.protobuf)
        writer.bytes(2, try key.sign([UInt8](signaturePrefix.utf8) + staticKey))
        if !muxers.isEmpty {
            var extensions = ProtobufWriter()
            for muxer in muxers { extensions.text(2, muxer) }
            writer.bytes(4, extensions.bytes)
        }
        return writer.bytes
    }

    /// Reads and verifies the other side's payload.
    /// - Parameter staticKey: the static key that came in the same message.
    init(_ bytes: [UInt8], staticKey: [UInt8]) throws(Libp2pError) {
        var reader = ProtobufReader(bytes, maximumFields: 32)
        var key: PeerPublicKey?
        var signature: [UInt8]?
        var muxers: [String] = []
        while let field = try reader.next() {
            switch field.number {
            case 1 where key == nil:
                key = try PeerPublicKey(protobuf: try field.bytes(maximum: PeerPublicKey.maximumBytes))
            case 2 where signature == nil: signature = [UInt8](try field.bytes(maximum: 1024))
            case 1, 2: throw Libp2pError(.malformed, "the payload of the handshake has its key or signature twice")
            case 4: muxers += try Self.muxers(try field.bytes(maximum: 4096))
            default: break
            }
        }
        guard let key, let signature else {
            throw Libp2pError(.malformed, "the payload of the handshake has no key or no signature")
        }
        guard key.isValid(signature: signature, for: [UInt8](Self.signaturePrefix.utf8) + staticKey) else {
            throw Libp2pError(.invalidSignature, "the peer's key did not sign the static key of its handshake")
        }
        self.key = key
        self.muxers = muxers
    }

    private static func muxers(_ bytes: ArraySlice<UInt8>) throws(Libp2pError) -> [String] {
        var reader = ProtobufReader(bytes, maximumFields: 64)
        var muxers: [String] = []
        while let field = try reader.next() {
            guard field.number == 2 else { continue }
            guard muxers.count < maximumMuxers else { throw Libp2pError(.tooLarge, "the peer names too many muxers") }
            muxers.append(try field.text(maximum: ProtocolNegotiation.maximumNameBytes))
        }
        return muxers
    }
}
