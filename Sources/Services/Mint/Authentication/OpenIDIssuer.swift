internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Logging
internal import SignedDocuments

/// Fetches a JSON document of an OpenID Connect issuer.
public protocol IssuerDocuments: Sendable {
    /// - Throws: where there was no answer of status 200 in a few seconds, or one of more than 256 KiB; redirects are
    ///   not followed.
    func fetch(_ url: String) async throws -> [UInt8]
}

/// Checks the tokens of one OpenID Connect issuer (NUT-21): its discovery document and keys are fetched when they are
/// first needed, and kept for an hour.
actor OpenIDIssuer {
    /// How long keys are used without asking again.
    private static let freshSeconds: Int64 = 3600
    /// How long they are used at most where the issuer does not answer.
    private static let usableSeconds: Int64 = 86_400
    /// How often tokens that name an unknown key can make the mint ask.
    private static let askAgainSeconds: Int64 = 10
    /// How far the issuer's clock may be from ours.
    private static let clockSkewSeconds: Int64 = 30

    private struct Known {
        var issuer: String
        var keys: [JSONWebKey]
        var at: Timestamp
    }

    private let discoveryURL: String
    private let clientID: String
    private let documents: any IssuerDocuments
    private let clock: WallClock
    private let logger: Logger
    private var known: Known?
    private var askedAt: Timestamp?
    private var asking: Task<Known, any Error>?

    init(
        discoveryURL: String,
        clientID: String,
        documents: any IssuerDocuments,
        clock: WallClock,
        logger: Logger
    ) {
        self.discoveryURL = discoveryURL
        self.clientID = clientID
        self.documents = documents
        self.clock = clock
        self.logger = logger
    }

    /// Whether an address may be asked: https, or http on this machine.
    static func isSafe(_ url: String) -> Bool {
        guard url.utf8.count <= 512, url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x40 && $0 != 0x5C }) else {
            return false
        }
        if url.hasPrefix("https://") { return true }
        return ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"].contains { url.hasPrefix($0) }
    }

    /// Who a token was made for.
    /// - Throws: `MintError` 30002; `MintFailure` 503 where the issuer's keys cannot be had.
    func subject(of text: String) async throws -> String {
        let token: JWS
        do {
            token = try JWS(compact: text)
        } catch {
            throw MintError(.clearAuthFailed, "the clear auth token cannot be used: \(error.message)")
        }
        let known = try await keys(for: token)
        guard token.isSigned(by: known.keys) else {
            throw MintError(.clearAuthFailed, "the clear auth token is not signed by the issuer")
        }
        // Only now is the payload anybody's word.
        guard let claims = try? JSONValue.parse(token.payload), claims.objectValue != nil else {
            throw MintError(.clearAuthFailed, "the clear auth token holds no claims")
        }
        return try subject(claims, issuer: known.issuer)
    }

    private func subject(_ claims: JSONValue, issuer: String) throws(MintError) -> String {
        let now = clock.now().secondsSince1970
        guard claims["iss"]?.stringValue == issuer else {
            throw MintError(.clearAuthFailed, "the clear auth token is of another issuer")
        }
        guard let expiry = seconds(claims["exp"]), expiry > now - Self.clockSkewSeconds else {
            throw MintError(.clearAuthFailed, "the clear auth token has expired")
        }
        for name in ["nbf", "iat"] {
            guard let value = claims[name] else { continue }
            guard let begin = seconds(value), begin <= now + Self.clockSkewSeconds else {
                throw MintError(.clearAuthFailed, "the clear auth token is not valid yet")
            }
        }
        guard isForUs(claims) else {
            throw MintError(.clearAuthFailed, "the clear auth token is for another client than \(clientID)")
        }
        guard let subject = claims["sub"]?.stringValue, (1...255).contains(subject.utf8.count) else {
            throw MintError(.clearAuthFailed, "the clear auth token names no user")
        }
        return subject
    }

    /// The authorized party counts where it is named (OpenID Connect Core §2; `client_id` in RFC 9068), else the audience.
    private func isForUs(_ claims: JSONValue) -> Bool {
        for name in ["azp", "client_id"] {
            if let party = claims[name] { return party.stringValue == clientID }
        }
        switch claims["aud"] {
        case .string(let audience): return audience == clientID
        case .array(let audiences): return audiences.contains(.string(clientID))
        default: return false
        }
    }

    /// A NumericDate may have a fraction (RFC 7519 §2).
    private func seconds(_ json: JSONValue?) -> Int64? {
        if let whole = json?.int64Value { return whole }
        return json?.doubleValue.flatMap { Int64(exactly: $0.rounded(.down)) }
    }

    // MARK: The issuer's documents

    private func keys(for token: JWS) async throws -> Known {
        let now = clock.now()
        if let known, now.milliseconds(since: known.at) < Self.freshSeconds * 1000 {
            if token.hasCandidate(in: known.keys) { return known }
            // The issuer may have a new key; but a flood of made-up key names must not reach it.
            // Who comes while it is being asked waits for what it says.
            if asking == nil, let askedAt, now.milliseconds(since: askedAt) < Self.askAgainSeconds * 1000 {
                return known
            }
        }
        do {
            return try await ask()
        } catch {
            logger.warning("the OpenID issuer's keys cannot be had", metadata: ["error": "\(error)"])
            if let known, now.milliseconds(since: known.at) < Self.usableSeconds * 1000 { return known }
            throw MintFailure(
                status: 503,
                MintError(.clearAuthFailed, "the mint cannot reach the issuer of its tokens; try again shortly"),
                retryAfterSeconds: 5
            )
        }
    }

    private func ask() async throws -> Known {
        if let asking { return try await asking.value }
        let now = clock.now()
        if known == nil, let askedAt, now.milliseconds(since: askedAt) < 1000 {
            throw IssuerError("it was asked within the second, in vain")
        }
        askedAt = now
        let task = Task { [discoveryURL, documents] in
            try await Self.read(discoveryURL, documents, at: now)
        }
        asking = task
        defer { asking = nil }
        let found = try await task.value
        known = found
        return found
    }

    private static func read(_ url: String, _ documents: any IssuerDocuments, at: Timestamp) async throws -> Known {
        let discovery = try JSONValue.parse(try await documents.fetch(url))
        let suffix = MintConfiguration.Authentication.discoverySuffix
        guard let issuer = discovery["issuer"]?.stringValue,
            url == (issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer) + suffix
        else {
            throw IssuerError("its discovery document is of another issuer")
        }
        guard let address = discovery["jwks_uri"]?.stringValue, isSafe(address) else {
            throw IssuerError("its keys are at no address that can be asked")
        }
        let keys = try JSONWebKey.set(json: JSONValue.parse(try await documents.fetch(address)))
        guard !keys.isEmpty else { throw IssuerError("it has no key that can be used") }
        return Known(issuer: issuer, keys: keys, at: at)
    }
}

private struct IssuerError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
