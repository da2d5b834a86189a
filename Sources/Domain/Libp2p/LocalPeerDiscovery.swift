/// libp2p's discovery of peers on the local network by multicast DNS (`_p2p._udp.local`), without I/O and without a clock.
///
/// The owner sends ``query`` now and then, hands over what comes, and does what is asked ([GSP-5]).
public struct LocalPeerDiscovery: Sendable {
    /// The port and the IPv4 group that multicast DNS has (RFC 6762, 3).
    public static let port: UInt16 = 5353
    public static let group = "224.0.0.251"
    /// The longest datagram that is read.
    public static let maximumBytes = DNSMessage.maximumBytes
    /// The most addresses that are taken in a minute, from everybody together, and from one sender.
    public static let addressesPerMinute = 128
    public static let addressesPerSender = 16
    /// The most addresses that are told.
    public static let toldAddresses = 16
    static let lifetimeSeconds: UInt32 = 120
    private static let service = DNSMessage.Name("_p2p", "_udp", "local")
    private static let key = [UInt8]("dnsaddr=".utf8)

    public enum Action: Hashable, Sendable {
        /// Somebody asks: send this to the group.
        case answer([UInt8])
        /// Peers that say they are here, each address with its peer's id.
        case found([Multiaddr])
    }

    private let peer: PeerID
    private let instance: DNSMessage.Name
    /// Where this peer can be dialed on the local network.
    public var addresses: [Multiaddr]
    private var answeredAt: Int64?
    private var minute: Int64 = 0
    private var taken = 0
    private var takenFrom: [[UInt8]: Int] = [:]

    /// - Parameter name: 32 to 63 random letters and digits that say nothing about the peer, new at each start.
    public init(peer: PeerID, addresses: [Multiaddr], name: String) {
        self.peer = peer
        self.addresses = addresses
        instance = DNSMessage.Name([[UInt8](name.utf8.prefix(63))] + Self.service.labels)
    }

    /// Asks who is there.
    public static var query: [UInt8] {
        var message = DNSMessage()
        message.questions = [.init(name: service, type: DNSMessage.pointer)]
        return message.bytes
    }

    /// Takes a datagram; what is none of libp2p's, or broken, does nothing.
    /// - Parameters:
    ///   - sender: the IP address that it came from.
    ///   - now: milliseconds of a clock that does not go back.
    public mutating func receive(_ bytes: [UInt8], from sender: [UInt8], at now: Int64) -> [Action] {
        guard let message = try? DNSMessage(bytes) else { return [] }
        return message.isResponse ? found(message, from: sender, at: now) : answer(message, at: now)
    }

    /// At most once a second, however many ask: all hear the answer.
    private mutating func answer(_ message: DNSMessage, at now: Int64) -> [Action] {
        let asks = message.questions.contains {
            $0.name == Self.service && ($0.type == DNSMessage.pointer || $0.type == DNSMessage.any)
        }
        guard asks, !addresses.isEmpty, answeredAt.map({ now - $0 >= 1_000 }) ?? true else { return [] }
        answeredAt = now
        var response = DNSMessage()
        response.isResponse = true
        response.records = [record(Self.service, DNSMessage.pointer, DNSMessage.wire(instance))]
        for address in addresses.prefix(Self.toldAddresses) {
            guard let text = try? Self.key + [UInt8](address.naming(peer).description.utf8), text.count <= 255 else {
                continue
            }
            response.records.append(record(instance, DNSMessage.text, [UInt8(truncatingIfNeeded: text.count)] + text))
        }
        return [.answer(response.bytes)]
    }

    private func record(_ name: DNSMessage.Name, _ type: UInt16, _ data: [UInt8]) -> DNSMessage.Record {
        DNSMessage.Record(name: name, type: type, lifetimeSeconds: Self.lifetimeSeconds, data: data)
    }

    private mutating func found(_ message: DNSMessage, from sender: [UInt8], at now: Int64) -> [Action] {
        if now / 60_000 != minute {
            minute = now / 60_000
            taken = 0
            takenFrom = [:]
        }
        var found: [Multiaddr] = []
        for record in message.records
        where record.type == DNSMessage.text && record.lifetimeSeconds > 0 && record.name.isBelow(Self.service) {
            for text in Self.strings(record.data) where text.starts(with: Self.key) {
                guard taken < Self.addressesPerMinute, takenFrom[sender, default: 0] < Self.addressesPerSender else {
                    return found.isEmpty ? [] : [.found(found)]
                }
                guard let text = String(validating: text.dropFirst(Self.key.count), as: UTF8.self),
                    let address = try? Multiaddr(parsing: text), let named = address.tcpEndpoint?.peer, named != peer,
                    !found.contains(address)
                else { continue }
                taken += 1
                takenFrom[sender, default: 0] += 1
                found.append(address)
            }
        }
        return found.isEmpty ? [] : [.found(found)]
    }

    /// The strings of a TXT record (RFC 1035, 3.3.14); what stands behind a broken one is not read.
    private static func strings(_ data: [UInt8]) -> [ArraySlice<UInt8>] {
        var strings: [ArraySlice<UInt8>] = []
        var rest = data[...]
        while let length = rest.popFirst() {
            guard rest.count >= Int(length) else { break }
            strings.append(rest.prefix(Int(length)))
            rest = rest.dropFirst(Int(length))
        }
        return strings
    }
}
