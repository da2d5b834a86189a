internal import Encodings
internal import Glibc
internal import NIOCore
internal import NIOPosix

/// An IP address, in 4 or 16 bytes. One of IPv4 that is written as IPv6 is read as what it reaches.
public struct IPAddress: Sendable, Hashable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// Reads a literal without brackets, port and zone. nil where it is none.
    public init?(_ text: String) {
        guard let bytes = IPAddressText.bytes4(text) ?? IPAddressText.bytes6(text) else { return nil }
        self.init(bytes: bytes)
    }

    init(bytes: [UInt8]) {
        // ::ffff:a.b.c.d, 64:ff9b::a.b.c.d (RFC 6052) and, but for :: and ::1, ::a.b.c.d; 2002:aabb:ccdd:: (RFC 3056).
        let zeros = [UInt8](repeating: 0, count: 12)
        let translations: [[UInt8]] = [
            [UInt8](repeating: 0, count: 10) + [0xff, 0xff], [0, 0x64, 0xff, 0x9b] + [UInt8](repeating: 0, count: 8),
        ]
        let isCompatible = bytes.starts(with: zeros) && bytes.dropFirst(12).dropLast().contains { $0 != 0 }
        if bytes.count == 16, isCompatible || translations.contains(Array(bytes.prefix(12))) {
            self.bytes = Array(bytes.suffix(4))
        } else if bytes.count == 16, bytes.prefix(2) == [0x20, 0x02] {
            self.bytes = Array(bytes[2..<6])
        } else {
            self.bytes = bytes
        }
    }

    public var description: String { IPAddressText.text(bytes) }
}

/// Addresses with a common beginning, such as `10.0.0.0/8`.
public struct IPNetwork: Sendable, Hashable, CustomStringConvertible {
    public let address: IPAddress
    public let prefixBits: Int

    /// Reads `address/bits`, or one address. nil where it is none.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let first = parts.first, let address = IPAddress(String(first)) else { return nil }
        let most = address.bytes.count * 8
        let bits = parts.count == 2 ? Int(parts[1]) : most
        guard let bits, (0...most).contains(bits) else { return nil }
        self.address = address
        prefixBits = bits
    }

    public func contains(_ other: IPAddress) -> Bool {
        guard other.bytes.count == address.bytes.count else { return false }
        return (0..<prefixBits).allSatisfy { bit in
            let mask = UInt8(0x80) >> UInt8(bit % 8)
            return other.bytes[bit / 8] & mask == address.bytes[bit / 8] & mask
        }
    }

    public var description: String { "\(address)/\(prefixBits)" }
}

/// Where upstreams may stand ([GWY-9]): a gateway that connects to whatever a name says today can be made to speak to the
/// machine's own metadata service.
public struct UpstreamPolicy: Sendable, Equatable {
    /// The operator's list; nil for everywhere but ``never``.
    public var allowed: [IPNetwork]?

    /// Link-local addresses and the metadata services of clouds, "this host", multicast and broadcast: no service stands
    /// there, unless the operator lists it.
    public static let never: [IPNetwork] = [
        "169.254.0.0/16", "100.100.100.200", "192.0.0.192", "0.0.0.0/8", "224.0.0.0/4", "255.255.255.255",
        "fe80::/10", "fd00:ec2::254", "ff00::/8", "::",
    ].compactMap { IPNetwork($0) }

    public init(allowed: [IPNetwork]? = nil) {
        self.allowed = allowed
    }

    /// Why no upstream may stand at `address`; nil where one may.
    public func refusal(of address: IPAddress) -> String? {
        if let allowed {
            return allowed.contains { $0.contains(address) }
                ? nil : "\(address) is in none of the networks that the operator lists"
        }
        guard let network = Self.never.first(where: { $0.contains(address) }) else { return nil }
        return "\(address) is in \(network), where no service stands unless the operator lists it"
    }
}

/// Looks names up, for connections that go to the address that was judged and to no other.
enum UpstreamLookup {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// The addresses of a host, each allowed: one that is not refuses the name, so that nobody chooses which of them it is.
    static func addresses(of host: String, policy: UpstreamPolicy) async throws -> [IPAddress] {
        let found: [IPAddress]
        if let literal = IPAddress(host) {
            found = [literal]
        } else {
            found = try await NIOThreadPool.singleton.runIfActive { try ask(host) }
        }
        guard !found.isEmpty else { throw Failure(description: "the name \(host) has no address") }
        for address in found {
            if let why = policy.refusal(of: address) { throw Failure(description: why) }
        }
        return found
    }

    private static func ask(_ host: String) throws -> [IPAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &first)
        guard status == 0 else {
            throw Failure(description: "the name \(host) can't be looked up: \(String(cString: gai_strerror(status)))")
        }
        defer { freeaddrinfo(first) }
        var found: [IPAddress] = []
        var next = first
        while let entry = next?.pointee, found.count < 16 {
            next = entry.ai_next
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let length = socklen_t(text.count)
            let status = getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, length, nil, 0, NI_NUMERICHOST)
            guard status == 0 else { continue }
            let bytes = text.prefix { $0 != 0 && $0 != CChar(UInt8(ascii: "%")) }.map { UInt8(bitPattern: $0) }
            let address = IPAddress(String(decoding: bytes, as: UTF8.self))
            if let address, !found.contains(address) { found.append(address) }
        }
        return found
    }
}

extension UpstreamAddress {
    /// The host without the brackets of an IPv6 address.
    var bareHost: String { host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host }
}

extension ServiceDefinition {
    /// Every upstream, the first one first.
    public var upstreams: [UpstreamAddress] { [upstream] + proxy.moreUpstreams }
}
