package import NIOCore
internal import NIOPosix

/// Where a host leads, looked up once: whoever checks the addresses connects to the one that was checked, so that a name that
/// changes its mind in between gains nothing.
package struct HostPin: Sendable {
    package typealias LookUp = @Sendable (_ host: String, _ port: Int) async throws -> [SocketAddress]

    /// Why a host is not connected to.
    package enum Failure: Error {
        case noAddress
        /// It leads to an address that is not allowed.
        case forbidden
    }

    private let lookUp: LookUp

    package init(lookUp: LookUp? = nil) {
        self.lookUp =
            lookUp ?? { host, port in
                try await NIOThreadPool.singleton.runIfActive {
                    // The blocking resolver gives one address; the connection is made to that one.
                    [try SocketAddress.makeAddressResolvingHost(host, port: port)]
                }
            }
    }

    /// What a client's `dnsOverride` is set to; empty where the host is an address itself, which the caller has seen.
    ///
    /// - Parameters:
    ///   - host: an IPv6 address in its brackets.
    ///   - isAllowed: is asked about each address that the name leads to.
    /// - Throws: ``Failure``; what the look-up throws.
    package func override(
        _ host: String,
        port: Int,
        isAllowed: (String) -> Bool
    ) async throws -> [String: String] {
        if host.hasPrefix("[") || (try? SocketAddress(ipAddress: host, port: port)) != nil { return [:] }
        let addresses = try await lookUp(host, port)
        guard let address = addresses.first?.ipAddress else { throw Failure.noAddress }
        for found in addresses {
            guard let text = found.ipAddress, isAllowed(text) else { throw Failure.forbidden }
        }
        return [host: address]
    }
}
