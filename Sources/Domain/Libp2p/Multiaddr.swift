internal import Encodings

/// The address of a peer, one protocol after the other (multiformats multiaddr): `/ip4/127.0.0.1/tcp/4402/p2p/12D3Koo…`.
///
/// Spoken are ip4, ip6, dns, dns4, dns6, tcp and p2p. An address with any other protocol is refused with `.unsupported`:
/// whoever reads a peer's list of addresses skips it.
public struct Multiaddr: Hashable, Sendable, CustomStringConvertible {
    public enum Part: Hashable, Sendable {
        /// 4 bytes.
        case ip4([UInt8])
        /// 16 bytes.
        case ip6([UInt8])
        /// A host name to resolve to either kind of address.
        case dns(String)
        case dns4(String)
        case dns6(String)
        case tcp(UInt16)
        case p2p(PeerID)
    }

    /// The most bytes of one address, binary or in text.
    public static let maximumBytes = 512
    /// The most protocols in one address.
    public static let maximumParts = 8

    public let parts: [Part]

    /// - Throws: `Libp2pError` with `.malformed` where there are none, or a name is no host's, or an IP address has not
    ///   its length; `.tooLarge`.
    public init(_ parts: [Part]) throws(Libp2pError) {
        guard !parts.isEmpty else { throw Libp2pError(.malformed, "an address names at least one protocol") }
        guard parts.count <= Self.maximumParts else {
            throw Libp2pError(.tooLarge, "an address names at most \(Self.maximumParts) protocols")
        }
        for part in parts {
            switch part {
            case .ip4(let bytes) where bytes.count != 4: throw Libp2pError(.malformed, "ip4 has 4 bytes")
            case .ip6(let bytes) where bytes.count != 16: throw Libp2pError(.malformed, "ip6 has 16 bytes")
            case .dns(let name), .dns4(let name), .dns6(let name):
                guard HostName.isValid(name) else { throw Libp2pError(.malformed, "this is not the name of a host") }
            default: break
            }
        }
        self.parts = parts
    }

    /// Reads the text form. No slash at the end; a peer id in any of its forms.
    /// - Throws: `Libp2pError` with `.malformed`, `.tooLarge` or `.unsupported`.
    public init(parsing text: String) throws(Libp2pError) {
        guard text.utf8.count <= Self.maximumBytes else {
            throw Libp2pError(.tooLarge, "an address has at most \(Self.maximumBytes) characters")
        }
        var words = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)[...]
        guard let first = words.popFirst(), first.isEmpty, !words.isEmpty else {
            throw Libp2pError(.malformed, "an address begins with a slash")
        }
        var parts: [Part] = []
        while let word = words.popFirst() {
            let name = String(Substring(word))
            guard Code(name: name) != nil else {
                throw Libp2pError(.unsupported, "addresses are made of ip4, ip6, dns, dns4, dns6, tcp and p2p")
            }
            guard let value = words.popFirst() else {
                throw Libp2pError(.malformed, "the address ends after the name of a protocol")
            }
            parts.append(try Self.part(name, [UInt8](value)))
        }
        try self.init(parts)
    }

    private static func part(_ name: String, _ value: [UInt8]) throws(Libp2pError) -> Part {
        let text = String(decoding: value, as: UTF8.self)
        switch Code(name: name) {
        case .ip4:
            guard let bytes = IPAddressText.bytes4(text) else { break }
            return .ip4(bytes)
        case .ip6:
            guard let bytes = IPAddressText.bytes6(text) else { break }
            return .ip6(bytes)
        case .dns: return .dns(text)
        case .dns4: return .dns4(text)
        case .dns6: return .dns6(text)
        case .tcp:
            // Digits alone, without a sign or a leading zero.
            guard let port = UInt16(text), String(port) == text else { break }
            return .tcp(port)
        case .p2p: return .p2p(try PeerID(parsing: text))
        case nil: break
        }
        throw Libp2pError(.malformed, "the address has no valid value after \(name)")
    }

    /// Reads the binary form.
    /// - Throws: `Libp2pError` with `.malformed`, `.tooLarge` or `.unsupported`.
    public init(bytes: some Collection<UInt8>) throws(Libp2pError) {
        guard bytes.count <= Self.maximumBytes else {
            throw Libp2pError(.tooLarge, "an address has at most \(Self.maximumBytes) bytes")
        }
        var reader = ByteReader([UInt8](bytes))
        var parts: [Part] = []
        do {
            while reader.remaining > 0 {
                guard let code = Code(rawValue: try Varint.decode(&reader)) else {
                    throw Libp2pError(.unsupported, "the address names a protocol that is not spoken here")
                }
                parts.append(try Self.part(code, &reader))
            }
        } catch let error as EncodingError {
            throw Libp2pError(.malformed, error.message)
        } catch let error as Libp2pError {
            throw error
        } catch {
            throw Libp2pError(.failed, "the address cannot be read")
        }
        try self.init(parts)
    }

    private static func part(_ code: Code, _ reader: inout ByteReader) throws -> Part {
        func sized() throws -> [UInt8] {
            let count = try Varint.decode(&reader)
            guard count <= UInt64(reader.remaining) else {
                throw Libp2pError(.malformed, "the address ends inside a value")
            }
            return try reader.bytes(Int(count))
        }
        func name() throws -> String {
            guard let name = String(strictUTF8: try sized()) else {
                throw Libp2pError(.malformed, "this is not the name of a host")
            }
            return name
        }
        switch code {
        case .ip4: return .ip4(try reader.bytes(4))
        case .ip6: return .ip6(try reader.bytes(16))
        case .dns: return .dns(try name())
        case .dns4: return .dns4(try name())
        case .dns6: return .dns6(try name())
        case .tcp: return .tcp(try reader.uint16())
        case .p2p: return .p2p(try PeerID(bytes: try sized()))
        }
    }

    /// The binary form, as it travels.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        func sized(_ code: Code, _ value: some Collection<UInt8>) {
            bytes.append(varint: code.rawValue)
            bytes.append(varint: UInt64(value.count))
            bytes.append(contentsOf: value)
        }
        for part in parts {
            switch part {
            case .ip4(let address): bytes += Varint.encode(Code.ip4.rawValue) + address
            case .ip6(let address): bytes += Varint.encode(Code.ip6.rawValue) + address
            case .dns(let name): sized(.dns, name.utf8)
            case .dns4(let name): sized(.dns4, name.utf8)
            case .dns6(let name): sized(.dns6, name.utf8)
            case .tcp(let port):
                bytes += Varint.encode(Code.tcp.rawValue)
                bytes += [UInt8(truncatingIfNeeded: port >> 8), UInt8(truncatingIfNeeded: port)]
            case .p2p(let peer): sized(.p2p, peer.bytes)
            }
        }
        return bytes
    }

    /// The text form; IPv6 as RFC 5952 writes it.
    public var description: String {
        parts.map { part in
            switch part {
            case .ip4(let bytes): "/ip4/\(IPAddressText.text(bytes))"
            case .ip6(let bytes): "/ip6/\(IPAddressText.text(bytes))"
            case .dns(let name): "/dns/\(name)"
            case .dns4(let name): "/dns4/\(name)"
            case .dns6(let name): "/dns6/\(name)"
            case .tcp(let port): "/tcp/\(port)"
            case .p2p(let peer): "/p2p/\(peer)"
            }
        }.joined()
    }

    /// Where to dial: nil where the address is not a host and a TCP port, with or without a peer id after them.
    public var tcpEndpoint: (host: Part, port: UInt16, peer: PeerID?)? {
        guard (2...3).contains(parts.count), case .tcp(let port) = parts[1] else { return nil }
        switch parts[0] {
        case .tcp, .p2p: return nil
        default: break
        }
        guard parts.count == 3 else { return (parts[0], port, nil) }
        guard case .p2p(let peer) = parts[2] else { return nil }
        return (parts[0], port, peer)
    }

    /// The same address with this peer's id at its end, in place of another one's.
    public func naming(_ peer: PeerID) throws(Libp2pError) -> Multiaddr {
        var parts = parts
        if case .p2p = parts.last { parts.removeLast() }
        return try Multiaddr(parts + [.p2p(peer)])
    }

    /// The codes of the multicodec table.
    private enum Code: UInt64 {
        case ip4 = 4
        case tcp = 6
        case ip6 = 41
        case dns = 53
        case dns4 = 54
        case dns6 = 55
        case p2p = 421

        init?(name: String) {
            switch name {
            case "ip4": self = .ip4
            case "tcp": self = .tcp
            case "ip6": self = .ip6
            case "dns": self = .dns
            case "dns4": self = .dns4
            case "dns6": self = .dns6
            case "p2p": self = .p2p
            default: return nil
            }
        }
    }
}
