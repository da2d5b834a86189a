internal import Cryptography

/// The name of a message: `from ‖ seqno`, as go and py have it by default.
public struct GossipMessageID: Hashable, Sendable {
    public let bytes: [UInt8]

    /// The most bytes of an id that is kept: a peer id and eight bytes, with room for other implementations' ids.
    static let maximumBytes = 128

    init(_ bytes: some Collection<UInt8>) {
        self.bytes = [UInt8](bytes)
    }
}

/// A published message, signed by who published it (GossipSub's StrictSign).
public struct GossipMessage: Hashable, Sendable {
    /// Who published it.
    public let from: PeerID
    public let data: [UInt8]
    /// Eight bytes that this publisher uses once.
    public let sequence: [UInt8]
    public let topic: String
    public let signature: [UInt8]

    static let signaturePrefix = "libp2p-pubsub:"
    /// The most bytes of a topic's name.
    public static let maximumTopicBytes = 256

    public var id: GossipMessageID { GossipMessageID(from.bytes + sequence) }

    /// Signs a message.
    /// - Parameter sequence: used once by this key; the eight bytes are big-endian.
    public init(signing data: [UInt8], topic: String, sequence: UInt64, key: PeerKey) throws(Libp2pError) {
        from = key.peerID
        self.data = data
        self.topic = topic
        self.sequence = (0..<8).map { UInt8(truncatingIfNeeded: sequence >> UInt64(56 - 8 * $0)) }
        signature = try key.sign([UInt8](Self.signaturePrefix.utf8) + Self.unsigned(from, data, self.sequence, topic))
    }

    /// Reads a message of an RPC; what StrictSign asks for has to be there, and each field once.
    /// - Throws: `Libp2pError`.
    init(protobuf: ArraySlice<UInt8>) throws(Libp2pError) {
        try self.init(GossipMessageFields(protobuf: protobuf))
    }

    /// - Throws: `Libp2pError`.
    init(_ fields: GossipMessageFields) throws(Libp2pError) {
        guard let topic = fields.topicName else { throw GossipMessageFields.incomplete }
        from = try PeerID(bytes: fields.from)
        if let key = fields.key, try PeerPublicKey(protobuf: key) != from.publicKey {
            throw Libp2pError(.invalidKey, "the message comes with another key than its publisher's")
        }
        data = [UInt8](fields.data)
        sequence = [UInt8](fields.sequence)
        self.topic = topic
        signature = [UInt8](fields.signature)
        // What is signed is the message in its one form; anything else could not be checked, or could be told apart.
        guard protobuf.count + (fields.key.map { 2 + $0.count } ?? 0) == fields.byteCount else {
            throw Libp2pError(.malformed, "the message is not in its deterministic form")
        }
    }

    /// Whether the publisher signed it.
    public var isSigned: Bool {
        guard let key = from.publicKey else { return false }
        let signed = [UInt8](Self.signaturePrefix.utf8) + Self.unsigned(from, data, sequence, topic)
        return key.isValid(signature: signature, for: signed)
    }

    /// The message as it travels. The key is left out: it stands in the publisher's peer id.
    package var protobuf: [UInt8] {
        var writer = ProtobufWriter(reserving: data.count + topic.utf8.count + 160)
        Self.write(from, data, sequence, topic, to: &writer)
        writer.bytes(5, signature)
        return writer.bytes
    }

    private static func unsigned(_ from: PeerID, _ data: [UInt8], _ sequence: [UInt8], _ topic: String) -> [UInt8] {
        var writer = ProtobufWriter(reserving: data.count + topic.utf8.count + 80)
        write(from, data, sequence, topic, to: &writer)
        return writer.bytes
    }

    private static func write(
        _ from: PeerID,
        _ data: [UInt8],
        _ sequence: [UInt8],
        _ topic: String,
        to writer: inout ProtobufWriter
    ) {
        writer.bytes(1, from.bytes)
        writer.bytes(2, data)
        writer.bytes(3, sequence)
        writer.text(4, topic)
    }
}
