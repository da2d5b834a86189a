public import Hummingbird
internal import Paywall

/// The hosts that services are sold at ([GWY-1]).
enum ServiceHost {
    /// Whether a service can be sold at `text`: a DNS name in small letters, with a letter in its last label (an address is
    /// no name), without port and final dot.
    static func isHost(_ text: String) -> Bool {
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 253, labels.allSatisfy(isLabel), let last = labels.last else { return false }
        return last.utf8.contains { !(48...57).contains($0) } && !["localhost", "local"].contains(text)
    }

    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
            && label.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") }
    }

    /// The host that an authority names, in small letters and without the port; nil where it names none.
    static func name(in authority: String) -> String? {
        guard !authority.hasPrefix("["), authority.utf8.count <= 320 else { return nil }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let name = parts.first, !name.isEmpty else { return nil }
        if parts.count == 2 {
            guard (1...5).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ (48...57).contains($0) }) else {
                return nil
            }
        }
        return name.lowercased()
    }
}

/// The service that a request is for.
struct ServiceRoute: Sendable {
    var entry: ServiceEntry
    /// Path and query below the service.
    var target: String
    /// Whether the host named it.
    var isByHost: Bool
}

extension Gateway {
    /// Whether requests to this authority (`Host`) are a service's, whatever their path.
    public func sells(at authority: String?) -> Bool {
        guard let name = authority.flatMap(ServiceHost.name) else { return false }
        return registry.entry(host: name) != nil
    }

    /// Whether a request is answered by the gateway: by its path, or by its host.
    public func answers(_ request: Request) -> Bool {
        request.head.path?.hasPrefix(Self.mountPath) == true || sells(at: request.head.authority)
    }

    /// The service that a request names.
    /// - Throws: ``CallRefusal`` where there is none, or the target can be read in two ways.
    func route(_ request: Request) throws(CallRefusal) -> ServiceRoute {
        // HTTP/2 may have the same in `:authority` and in `Host` (RFC 9113, 8.3.1); over HTTP/1 the door refuses a second.
        let authority = request.head.authority?.lowercased()
        guard request.headers[values: .host].allSatisfy({ $0.lowercased() == authority }) else {
            throw CallRefusal(.malformedRequest, "The request has several Host headers.")
        }
        let raw = request.head.path ?? ""
        guard raw.hasPrefix("/"),
            raw.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "#") })
        else {
            throw CallRefusal(.ambiguousPath, "The request's target holds a character that must be percent-encoded.")
        }
        if let host = request.head.authority.flatMap(ServiceHost.name), let entry = registry.entry(host: host) {
            return ServiceRoute(entry: entry, target: raw, isByHost: true)
        }
        let rest = raw.dropFirst(Self.mountPath.count)
        let name = rest.prefix { $0 != "/" && $0 != "?" }
        guard raw.hasPrefix(Self.mountPath), ServiceDefinition.isName(String(name)),
            let entry = registry.entry(String(name))
        else {
            throw CallRefusal(.unknownService, "No service of that name is for sale here.")
        }
        var target = String(rest.dropFirst(name.count))
        if !target.hasPrefix("/") { target = "/" + target }
        return ServiceRoute(entry: entry, target: target, isByHost: false)
    }

    /// A host that callers reach the node itself by can't be a service's.
    func requireFreeHosts(_ service: ServiceDefinition) throws(GatewayError) {
        for origin in configuration.publicOrigins {
            let authority = String(origin.drop { $0 != ":" }.dropFirst(3))
            guard let own = ServiceHost.name(in: authority), service.proxy.hosts.contains(own) else { continue }
            throw GatewayError(.invalidService, "\(own) is this node's own host; a service needs another one.")
        }
    }

    /// The absolute URI of a call of a service by host; nil where the port is not the one that callers use.
    func hostURI(of call: IncomingCall) -> String? {
        guard let authority = call.authority?.lowercased(), let host = ServiceHost.name(in: authority) else {
            return nil
        }
        guard let origin = configuration.publicOrigins.first else { return "http://" + authority + call.rawTarget }
        let scheme = origin.prefix { $0 != ":" }
        let own = origin.drop { $0 != ":" }.dropFirst(3)
        // An IPv6 address has colons of its own.
        let port = own.drop { $0 != "]" }.isEmpty ? own.drop { $0 != ":" } : own.drop { $0 != "]" }.dropFirst()
        return authority == host + port ? scheme + "://" + authority + call.rawTarget : nil
    }
}
