public import Cashu
internal import Foundation

extension MintURL {
    /// A mint's address as a user wrote it, refused where money would travel over a plain connection.
    /// - Parameters:
    ///   - text: at most 200 bytes, since it names accounts of the ledger.
    ///   - plainHTTPHosts: hosts besides loopback that may be reached without TLS, because the operator says that
    ///     the way there is private (a container network).
    /// - Throws: `invalidArgument`.
    public init(checking text: String, plainHTTPHosts: Set<String> = []) throws(WalletError) {
        let address = try WebAddress(text, kind: "mint address", maximumBytes: 200)
        try address.requirePrivacy(plainHTTPHosts: plainHTTPHosts)
        do {
            try self.init(text)
        } catch {
            throw WalletError(.invalidArgument, error.message, cause: error)
        }
    }

    /// One that stands in our own tables.
    init(stored text: String) throws(WalletError) {
        do {
            try self.init(text)
        } catch {
            throw WalletError(.corrupt, "the wallet's tables hold \(text) as a mint's address", cause: error)
        }
    }
}

/// The parts of an http(s) address, strictly read.
struct WebAddress: Hashable, Sendable {
    let scheme: String
    /// Lower case; an IPv6 address with its brackets.
    let host: String
    let port: Int?
    /// As written, percent-encoding untouched; empty or beginning with `/`.
    let path: String
    let query: String?

    /// Scheme, host and port where it is not the scheme's own.
    var origin: String {
        let usual = scheme == "https" ? 443 : 80
        guard let port, port != usual else { return "\(scheme)://\(host)" }
        return "\(scheme)://\(host):\(port)"
    }

    /// The whole address as it is requested.
    var string: String { origin + (path.isEmpty ? "/" : path) + (query.map { "?" + $0 } ?? "") }

    init(_ text: String, kind: String, maximumBytes: Int) throws(WalletError) {
        guard text.utf8.count <= maximumBytes, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x5C }) else {
            throw WalletError(
                .invalidArgument,
                "the \(kind) is longer than \(maximumBytes) characters or has a character that no address has"
            )
        }
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
            scheme == "http" || scheme == "https", let host = parts.encodedHost?.lowercased(), !host.isEmpty
        else {
            throw WalletError(.invalidArgument, "\(text) is not an http:// or https:// address")
        }
        guard parts.user == nil, parts.password == nil, parts.fragment == nil else {
            throw WalletError(.invalidArgument, "the \(kind) must have no user, password or fragment")
        }
        if let port = parts.port, !(1...65535).contains(port) {
            throw WalletError(.invalidArgument, "the \(kind) has a port that does not exist")
        }
        self.scheme = scheme
        self.host = host
        port = parts.port
        path = parts.percentEncodedPath
        query = parts.percentEncodedQuery
    }

    /// The port that is connected to.
    var effectivePort: Int { port ?? (scheme == "https" ? 443 : 80) }

    /// Of an address that was read before; nil where it is none.
    static func hostAndPort(_ text: String) -> (name: String, port: Int)? {
        guard let address = try? WebAddress(text, kind: "address", maximumBytes: 8192) else { return nil }
        return (address.host, address.effectivePort)
    }

    var isLoopback: Bool {
        if host == "localhost" || host == "[::1]" { return true }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return numbers.count == 4 && numbers.allSatisfy { $0 != nil } && numbers[0] == 127
    }

    /// Refuses plain http to anywhere but this machine and the hosts named.
    func requirePrivacy(plainHTTPHosts: Set<String>) throws(WalletError) {
        guard scheme == "https" || isLoopback || plainHTTPHosts.contains(host) else {
            throw WalletError(
                .invalidArgument,
                "\(origin) is plain http to another machine: use https, or name \(host) as a host on a private network"
            )
        }
    }
}
