/// The fields of a published message where they lie: enough to know whether it came before, which most of what comes did.
struct GossipMessageFields {
    let from: ArraySlice<UInt8>
    let data: ArraySlice<UInt8>
    let sequence: ArraySlice<UInt8>
    private let topic: ArraySlice<UInt8>
    let signature: ArraySlice<UInt8>
    let key: ArraySlice<UInt8>?
    /// Of all of it.
    let byteCount: Int

    /// - Throws: `Libp2pError` with `.malformed` where a field that StrictSign asks for is not there, or is there twice.
    init(protobuf: ArraySlice<UInt8>) throws(Libp2pError) {
        var reader = ProtobufReader(protobuf, maximumFields: 16)
        var from, data, sequence, topic, signature, key: ArraySlice<UInt8>?
        while let field = try reader.next() {
            switch field.number {
            case 1: try Self.put(field, &from)
            case 2: try Self.put(field, &data)
            case 3: try Self.put(field, &sequence)
            case 4: try Self.put(field, &topic)
            case 5: try Self.put(field, &signature)
            case 6: try Self.put(field, &key)
            default: continue
            }
        }
        guard let from, let sequence, sequence.count == 8, let signature, let topic,
            topic.count <= GossipMessage.maximumTopicBytes, from.count <= PeerID.maximumBytes
        else { throw Self.incomplete }
        (self.from, self.sequence, self.topic, self.signature) = (from, sequence, topic, signature)
        self.data = data ?? []
        self.key = key
        byteCount = protobuf.count
    }

    private static func put(_ field: ProtobufField, _ part: inout ArraySlice<UInt8>?) throws(Libp2pError) {
        guard part == nil else { throw Libp2pError(.malformed, "the message has field \(field.number) twice") }
        part = try field.bytes(maximum: .max)
    }

    static var incomplete: Libp2pError {
        Libp2pError(.malformed, "the message has no publisher, number, topic or signature")
    }

    /// Nil where it is not UTF-8.
    var topicName: String? { String(validating: topic, as: UTF8.self) }

    /// As ``GossipMessage/id``.
    var id: GossipMessageID { GossipMessageID(from + sequence) }
}
