import Cryptography
import Passports
import Storage
import Synchronization

/// Passports whose shape and signature were found good, by the digest of their header. What can change (dates, status,
/// trust) is never kept here.
///
/// Two generations of at most ``generationSize`` each: the older goes when the younger is full.
final class PassportCache: Sendable {
    static let generationSize = 2_048

    private let passports = Mutex(Recent<[UInt8], Passport>(generationSize))

    /// The passport of a header, checked now or before.
    ///
    /// - Throws: `PassportReason` with `.malformed`, `.badSignature` or `.wrongIssuer`.
    func passport(_ header: String) throws(PassportReason) -> Passport {
        guard header.utf8.count <= Passport.maximumHeaderBytes + 3 else {
            throw PassportReason(.malformed, "`Agent-Passport` is longer than \(Passport.maximumHeaderBytes) bytes")
        }
        let digest = Hashing.sha256(Array(header.utf8))
        if let kept = passports.withLock({ $0[digest] }) { return kept }
        let passport = try Passport(header: header)
        if let reason = PassportVerifier.signatureReason(passport) { throw reason }
        passports.withLock { $0[digest] = passport }
        return passport
    }
}
