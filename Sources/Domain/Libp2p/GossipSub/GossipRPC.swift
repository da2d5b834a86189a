/// What two peers of GossipSub send each other: subscriptions, messages and control (v1.0 to v1.2; unknown fields are
/// skipped).
package struct GossipRPC: Sendable {
    package struct Subscription: Hashable, Sendable {
        package var subscribes: Bool
        package var topic: String
    }

    package struct Have: Hashable, Sendable {
        package var topic: String
        package var ids: [GossipMessageID]
    }

    package struct Prune: Hashable, Sendable {
        package var topic: String
        package var peers: [PeerInfo] = []
        package var backoffSeconds: UInt64?
    }

    package struct PeerInfo: Hashable, Sendable {
        package var peer: PeerID
        package var signedRecord: [UInt8]?
    }

    package var subscriptions: [Subscription] = []
    /// The bytes of each message: they are read once it is known that the message is wanted.
    package var messages: [ArraySlice<UInt8>] = []
    package var have: [Have] = []
    package var want: [GossipMessageID] = []
    package var graft: [String] = []
    package var prune: [Prune] = []
    package var dontWant: [GossipMessageID] = []

    /// What is read of one RPC; over it the RPC is refused whole.
    package struct Bounds: Sendable {
        package var bytes = 1024 * 1024
        package var messages = 1_024
        package var subscriptions = 256
        package var controls = 1_024
        package var ids = 5_000
        package var exchangedPeers = 16

        package init() {}
    }

    package init() {}

    package var isEmpty: Bool {
        subscriptions.isEmpty && messages.isEmpty && have.isEmpty && want.isEmpty && graft.isEmpty && prune.isEmpty
            && dontWant.isEmpty
    }

    // MARK: Reading

    /// - Throws: `Libp2pError` with `.malformed` or `.tooLarge`.
    package init(_ bytes: ArraySlice<UInt8>, bounds: Bounds = Bounds()) throws(Libp2pError) {
        guard bytes.count <= bounds.bytes else { throw Self.tooLarge }
        var reader = ProtobufReader(bytes, maximumFields: bounds.messages + bounds.subscriptions + bounds.controls)
        var ids = 0
        while let field = try reader.next() {
            switch field.number {
            case 1:
                guard subscriptions.count < bounds.subscriptions else { throw Self.tooLarge }
                subscriptions.append(try Self.subscription(try field.bytes(maximum: bounds.bytes)))
            case 2:
                guard messages.count < bounds.messages else { throw Self.tooLarge }
                messages.append(try field.bytes(maximum: bounds.bytes))
            case 3: try readControl(try field.bytes(maximum: bounds.bytes), bounds, &ids)
            default: break
            }
        }
    }

    private static func subscription(_ bytes: ArraySlice<UInt8>) throws(Libp2pError) -> Subscription {
        var subscription = Subscription(subscribes: false, topic: "")
        var reader = ProtobufReader(bytes, maximumFields: 8)
        while let field = try reader.next() {
            switch field.number {
            case 1: subscription.subscribes = try field.bool()
            case 2: subscription.topic = try field.text(maximum: GossipMessage.maximumTopicBytes)
            default: break
            }
        }
        return subscription
    }

    private mutating func readControl(
        _ bytes: ArraySlice<UInt8>,
        _ bounds: Bounds,
        _ ids: inout Int
    ) throws(Libp2pError) {
        var reader = ProtobufReader(bytes, maximumFields: bounds.controls)
        while let field = try reader.next() {
            guard (1...5).contains(field.number) else { continue }
            let body = try field.bytes(maximum: bounds.bytes)
            switch field.number {
            case 1:
                let (topic, names) = try Self.ids(body, field: 2, bounds, &ids)
                have.append(Have(topic: topic, ids: names))
            case 2: want += try Self.ids(body, field: 1, bounds, &ids).ids
            case 3: graft.append(try Self.topic(body))
            case 4: prune.append(try Self.prune(body, bounds))
            default: dontWant += try Self.ids(body, field: 1, bounds, &ids).ids
            }
        }
    }

    private static func ids(
        _ bytes: ArraySlice<UInt8>,
        field: Int,
        _ bounds: Bounds,
        _ count: inout Int
    ) throws(Libp2pError) -> (topic: String, ids: [GossipMessageID]) {
        var topic = ""
        var ids: [GossipMessageID] = []
        var reader = ProtobufReader(bytes, maximumFields: bounds.ids + 8)
        while let next = try reader.next() {
            if next.number == field {
                count += 1
                guard count <= bounds.ids else { throw tooLarge }
                ids.append(GossipMessageID(try next.bytes(maximum: GossipMessageID.maximumBytes)))
            } else if next.number == 1 {
                topic = try next.text(maximum: GossipMessage.maximumTopicBytes)
            }
        }
        return (topic, ids)
    }

    private static func topic(_ bytes: ArraySlice<UInt8>) throws(Libp2pError) -> String {
        var topic = ""
        var reader = ProtobufReader(bytes, maximumFields: 8)
        while let field = try reader.next() {
            guard field.number == 1 else { continue }
            topic = try field.text(maximum: GossipMessage.maximumTopicBytes)
        }
        return topic
    }

    private static func prune(_ bytes: ArraySlice<UInt8>, _ bounds: Bounds) throws(Libp2pError) -> Prune {
        var prune = Prune(topic: "")
        var reader = ProtobufReader(bytes, maximumFields: 64)
        while let field = try reader.next() {
            switch field.number {
            case 1: prune.topic = try field.text(maximum: GossipMessage.maximumTopicBytes)
            case 2:
                guard prune.peers.count < bounds.exchangedPeers else { continue }
                if let info = try? peerInfo(try field.bytes(maximum: bounds.bytes)) { prune.peers.append(info) }
            case 3: prune.backoffSeconds = try field.varint()
            default: break
            }
        }
        return prune
    }

    private static func peerInfo(_ bytes: ArraySlice<UInt8>) throws(Libp2pError) -> PeerInfo {
        var reader = ProtobufReader(bytes, maximumFields: 8)
        var peer: PeerID?
        var record: [UInt8]?
        while let field = try reader.next() {
            switch field.number {
            case 1: peer = try PeerID(bytes: try field.bytes(maximum: PeerID.maximumBytes))
            case 2: record = [UInt8](try field.bytes(maximum: SignedEnvelope.maximumBytes))
            default: break
            }
        }
        guard let peer else { throw Libp2pError(.malformed, "the peer that is passed on has no id") }
        return PeerInfo(peer: peer, signedRecord: record)
    }

    private static var tooLarge: Libp2pError { Libp2pError(.tooLarge, "the RPC holds more than is read") }

    // MARK: Writing

    /// The RPC as it travels, behind its length.
    package var delimited: [UInt8] {
        var writer = ProtobufWriter()
        for subscription in subscriptions {
            var body = ProtobufWriter()
            body.varint(1, subscription.subscribes ? 1 : 0)
            body.text(2, subscription.topic)
            writer.bytes(1, body.bytes)
        }
        for message in messages { writer.bytes(2, message) }
        let control = control
        if !control.isEmpty { writer.bytes(3, control) }
        return Self.delimited(writer.bytes)
    }

    /// An RPC that is one message, behind its length.
    static func delimited(message: [UInt8]) -> [UInt8] {
        var writer = ProtobufWriter(reserving: message.count + 8)
        writer.bytes(2, message)
        return delimited(writer.bytes)
    }

    private static func delimited(_ body: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(body.count + 4)
        bytes.append(varint: UInt64(body.count))
        bytes += body
        return bytes
    }

    private var control: [UInt8] {
        var writer = ProtobufWriter()
        for have in have {
            var body = ProtobufWriter()
            body.text(1, have.topic)
            for id in have.ids { body.bytes(2, id.bytes) }
            writer.bytes(1, body.bytes)
        }
        for (field, ids) in [(2, want), (5, dontWant)] where !ids.isEmpty {
            var body = ProtobufWriter()
            for id in ids { body.bytes(1, id.bytes) }
            writer.bytes(field, body.bytes)
        }
        for topic in graft {
            var body = ProtobufWriter()
            body.text(1, topic)
            writer.bytes(3, body.bytes)
        }
        for prune in prune {
            var body = ProtobufWriter()
            body.text(1, prune.topic)
            for info in prune.peers {
                var peer = ProtobufWriter()
                peer.bytes(1, info.peer.bytes)
                if let record = info.signedRecord { peer.bytes(2, record) }
                body.bytes(2, peer.bytes)
            }
            if let seconds = prune.backoffSeconds { body.varint(3, seconds) }
            writer.bytes(4, body.bytes)
        }
        return writer.bytes
    }
}
