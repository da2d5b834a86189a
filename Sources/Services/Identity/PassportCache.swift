import Cryptography
import Passports
import Synchronization

/// Passports whose shape and signature were found good, by the digest of their header. What can change (dates, status,
/// trust) is never kept here.
///
/// Two generations of at most ``generationSize`` each: the older goes when the younger is full.
final class PassportCache: Sendable {
    static let generationSize = 2_048

    private struct State {
        var young: [[UInt8]: Passport] = [:]
        var old: [[UInt8]: Passport] = [:]
    }

    private let state = Mutex(State())

    /// The passport of a header, checked now or before.
    ///
    /// - Throws: `PassportReason` with `.malformed`, `.badSignature` or `.wrongIssuer`.
    func passport(_ header: String) throws(PassportReason) -> Passport {
        guard header.utf8.count <= Passport.maximumHeaderBytes + 3 else {
            throw PassportReason(.malformed, "`Agent-Passport` is longer than \(Passport.maximumHeaderBytes) bytes")
        }
        let digest = Hashing.sha256(Array(header.utf8))
        let kept: Passport? = state.withLock { state in
            if let passport = state.young[digest] { return passport }
            guard let passport = state.old[digest] else { return nil }
            Self.insert(passport, digest, &state)
            return passport
        }
        if let kept { return kept }
        let passport = try Passport(header: header)
        if let reason = PassportVerifier.signatureReason(passport) { throw reason }
        state.withLock { Self.insert(passport, digest, &$0) }
        return passport
    }

    private static func insert(_ passport: Passport, _ digest: [UInt8], _ state: inout State) {
        if state.young.count >= generationSize {
            state.old = state.young
            state.young = [:]
        }
        state.young[digest] = passport
    }
}
