internal import Encodings

/// `/mintmark/dial-back/1`: a peer is asked to dial the asker, so that the asker learns whether it can be reached from
/// outside ([GSP-6] to [GSP-8]). One message each way behind its length as a varint.
public enum DialBack {
    public static let protocolName = "/mintmark/dial-back/1"
    /// The most addresses of one question.
    public static let maximumAddresses = 4
    /// The most bytes of a message.
    public static let maximumBytes = 4 * 1024

    public enum Outcome: UInt64, Sendable {
        /// The asker answered at one of its addresses, with its own key.
        case reachable = 1
        /// None of the addresses that were tried answered as the asker.
        case unreachable = 2
        /// Nothing was tried: too many ask, or no address is of the IP address that the asker comes from.
        case refused = 3
    }

    public struct Answer: Hashable, Sendable {
        public let outcome: Outcome
        /// Where the asker was reached.
        public let address: Multiaddr?

        public init(_ outcome: Outcome, address: Multiaddr? = nil) {
            self.outcome = outcome
            self.address = address
        }

        /// - Throws: `Libp2pError`.
        public init(_ message: ArraySlice<UInt8>) throws(Libp2pError) {
            var reader = ProtobufReader(message, maximumFields: 16)
            var outcome: Outcome?
            var address: Multiaddr?
            while let field = try reader.next() {
                switch field.number {
                case 1: outcome = Outcome(rawValue: try field.varint())
                case 2: address = try Multiaddr(bytes: try field.bytes(maximum: Multiaddr.maximumBytes))
                default: break
                }
            }
            guard let outcome else { throw Libp2pError(.malformed, "the answer has no outcome that is known here") }
            self.init(outcome, address: address)
        }

        public var delimited: [UInt8] {
            var writer = ProtobufWriter()
            writer.varint(1, outcome.rawValue)
            if let address { writer.bytes(2, address.bytes) }
            return DialBack.delimited(writer)
        }
    }

    /// The question, behind its length.
    public static func question(_ addresses: [Multiaddr]) -> [UInt8] {
        var writer = ProtobufWriter()
        for address in addresses.prefix(maximumAddresses) { writer.bytes(1, address.bytes) }
        return delimited(writer)
    }

    /// The addresses of a question, without its length; those not spoken here are left out.
    /// - Throws: `Libp2pError`, also where there are too many.
    public static func addresses(in message: ArraySlice<UInt8>) throws(Libp2pError) -> [Multiaddr] {
        var reader = ProtobufReader(message, maximumFields: 16)
        var addresses: [Multiaddr] = []
        var count = 0
        while let field = try reader.next() {
            guard field.number == 1 else { continue }
            count += 1
            guard count <= maximumAddresses else {
                throw Libp2pError(.tooLarge, "at most \(maximumAddresses) addresses are dialed back")
            }
            if let address = try? Multiaddr(bytes: try field.bytes(maximum: Multiaddr.maximumBytes)) {
                addresses.append(address)
            }
        }
        return addresses
    }

    /// Those of the addresses that may be dialed for somebody who comes from `origin`: an IP address that is the asker's own,
    /// and a TCP port. Nobody can have a third party dialed ([GSP-6]).
    public static func allowed(_ addresses: [Multiaddr], from origin: Multiaddr?) -> [Multiaddr] {
        guard let origin = origin?.parts.first else { return [] }
        var allowed: [Multiaddr] = []
        for address in addresses.prefix(maximumAddresses).map(\.withoutPeer) {
            guard address.parts.first == origin, address.reach != nil, let endpoint = address.tcpEndpoint,
                endpoint.port > 0, !allowed.contains(address)
            else { continue }
            allowed.append(address)
        }
        return allowed
    }

    private static func delimited(_ writer: ProtobufWriter) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(varint: UInt64(writer.bytes.count))
        return bytes + writer.bytes
    }
}
