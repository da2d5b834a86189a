import Cryptography
import Encodings
import Synchronization

/// Challenges handed out and not yet used: each good once, for five minutes, at most 4,096 at a time.
final class PossessionChallenges: Sendable {
    static let lifetimeSeconds: Int64 = 300
    static let maximumCount = 4_096

    private let open = Mutex<[String: Timestamp]>([:])

    /// - Throws: `IdentityError` with `.limitReached`.
    func make(now: Timestamp) throws(IdentityError) -> (challenge: String, expires: Timestamp) {
        let challenge = Base64URL.encode(SecureRandom.bytes(32))
        let expires = now.adding(seconds: Self.lifetimeSeconds)
        let isKept = open.withLock { open in
            if open.count >= Self.maximumCount { open = open.filter { $0.value > now } }
            guard open.count < Self.maximumCount else { return false }
            open[challenge] = expires
            return true
        }
        guard isKept else {
            throw IdentityError(.limitReached, "too many challenges are open: try again in a few minutes")
        }
        return (challenge, expires)
    }

    /// Uses a challenge up, whatever comes of it.
    ///
    /// - Throws: `IdentityError` with `.challengeUnknown`.
    func use(_ challenge: String, now: Timestamp) throws(IdentityError) {
        let expires = open.withLock { $0.removeValue(forKey: challenge) }
        guard let expires, now < expires else {
            throw IdentityError(
                .challengeUnknown,
                "the challenge is unknown, was used before or is older than five minutes"
            )
        }
    }
}
