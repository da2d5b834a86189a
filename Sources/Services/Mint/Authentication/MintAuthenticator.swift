internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Logging
internal import Synchronization

/// The tokens that came with a request.
struct AuthTokens: Sendable {
    /// `Clear-auth`.
    var clear: String?
    /// `Blind-auth`.
    var blind: String?
}

/// Lets requests in by clear and blind tokens (NUT-21, NUT-22).
final class MintAuthenticator: Sendable {
    /// What a request was let in with.
    struct Grant: Sendable {
        /// The user, where the endpoint asks for a clear token.
        var subject: String?
        /// Y of the blind token that this request uses up.
        var token: [UInt8]?
    }

    let settings: MintConfiguration.Authentication
    /// Of the unit `auth`; its private key is with the signatory.
    let keyset: Keyset
    /// Answers that are the same for everyone, made once.
    let keysBody: [UInt8]
    let keysetsBody: [UInt8]
    private let issuer: OpenIDIssuer
    private let quota: TokenQuota

    init(
        _ settings: MintConfiguration.Authentication,
        keyset: Keyset,
        documents: any IssuerDocuments,
        clock: WallClock,
        logger: Logger
    ) {
        self.settings = settings
        self.keyset = keyset
        keysBody = KeysResponse(keysets: [keyset]).json.serialized()
        keysetsBody = KeysetsResponse(keysets: [keyset.info]).json.serialized()
        issuer = OpenIDIssuer(
            discoveryURL: settings.discoveryURL,
            clientID: settings.clientID,
            documents: documents,
            clock: clock,
            logger: logger
        )
        quota = TokenQuota(perHour: settings.tokensPerHour, clock: clock)
    }

    func asksForClear(_ method: String, _ path: String) -> Bool {
        settings.clear.contains { $0.matches(method: method, path: path) }
    }

    func asksForBlind(_ method: String, _ path: String) -> Bool {
        settings.blind.contains { $0.matches(method: method, path: path) }
    }

    /// - Throws: `MintError` 30001 no token, 30002 a bad one; `MintFailure` 503.
    func subject(_ tokens: AuthTokens) async throws -> String {
        guard let clear = tokens.clear else {
            throw MintError(
                .clearAuthRequired,
                "this endpoint needs a token of the mint's issuer, in the header Clear-auth"
            )
        }
        return try await issuer.subject(of: clear)
    }

    /// - Throws: `MintError` 31004 where the user has minted too many tokens in the hour.
    func take(_ count: Int, for subject: String) throws(MintError) {
        guard quota.take(count, for: subject) else {
            throw MintError(
                .blindAuthRateExceeded,
                "at most \(settings.tokensPerHour) blind auth tokens an hour are for one user"
            )
        }
    }
}

/// How many tokens each user has minted in the present hour. In memory: a restart begins the hour anew.
final class TokenQuota: Sendable {
    /// Users that are counted one by one; those beyond share one count.
    private static let users = 65_536

    private struct State {
        var hour: Int64 = 0
        var counts: [String: Int] = [:]
    }

    private let perHour: Int
    private let clock: WallClock
    private let state = Mutex(State())

    init(perHour: Int, clock: WallClock) {
        self.perHour = perHour
        self.clock = clock
    }

    func take(_ count: Int, for subject: String) -> Bool {
        let hour = clock.now().secondsSince1970 / 3600
        return state.withLock { state in
            if state.hour != hour { state = State(hour: hour) }
            // A subject of an issuer is never empty.
            let name = state.counts[subject] == nil && state.counts.count >= Self.users ? "" : subject
            let taken = state.counts[name, default: 0]
            guard taken + count <= perHour else { return false }
            state.counts[name] = taken + count
            return true
        }
    }
}
