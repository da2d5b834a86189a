import Encodings
import Passports
import Storage
import Synchronization

/// Passports whose shape and signature were found good, by their header. What can change (dates, status,
/// trust) is never kept here.
///
/// Two generations of at most ``generationSize`` each: the older goes when the younger is full.
final class PassportCache: Sendable {
    static let generationSize = 2_048

    private let passports = Mutex(Recent<PassportHeader, Passport>(generationSize))

    /// The passport of a header, checked now or before.
    ///
    /// - Throws: `PassportReason` with `.malformed`, `.badSignature` or `.wrongIssuer`.
    func passport(_ header: String) throws(PassportReason) -> Passport {
        guard header.utf8.count <= Passport.maximumHeaderBytes + 3 else {
            throw PassportReason(.malformed, "`Agent-Passport` is longer than \(Passport.maximumHeaderBytes) bytes")
        }
        let key = PassportHeader(text: header)
        if let kept = passports.withLock({ $0[key] }) { return kept }
        let passport = try Passport(header: header)
        if let reason = PassportVerifier.signatureReason(passport) { throw reason }
        passports.withLock { $0[key] = passport }
        return passport
    }
}

/// The value of an `Agent-Passport` header as it is looked up: equal where every byte is, hashed by some of them.
///
/// To hash all of a kilobyte takes longer than the rest of a check that was made before. Eight bytes of each seventy-two are
/// enough: a signature takes at least 86 characters in a row, so that eight of them are always hashed, and only headers whose
/// signatures are good are kept: whoever wants many of one hash must sign until they come out alike. Of an SD-JWT all is hashed,
/// because its disclosures may stand in any order behind one signature.
private struct PassportHeader: Hashable {
    let text: String

    static func == (left: PassportHeader, right: PassportHeader) -> Bool { left.text.hasSameCodeUnits(as: right.text) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { bytes in
            let bytes = UnsafeRawBufferPointer(bytes)
            guard bytes.last != UInt8(ascii: "~") else { return hasher.combine(bytes: bytes) }
            hasher.combine(bytes.count)
            for place in stride(from: 0, to: bytes.count - 7, by: 72) {
                hasher.combine(bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
            }
        }
    }
}
