internal import CanonicalJSON
public import Encodings
public import SignedDocuments

/// A Token Status List (draft-ietf-oauth-status-list) as a JWT: the same bits as the Bitstring list of the same number,
/// and those of suspension at the same places.
public enum TokenStatusList {
    /// The `typ` of the JWT.
    public static let type = "statuslist+jwt"
    /// The media type it is served with.
    public static let mediaType = "application/statuslist+jwt"

    /// How many bits an entry takes.
    public static let widths = [1, 2, 4, 8]

    // MARK: The list

    /// `lst`: base64url of zlib of the entries, the first in the least significant bits of the first byte (4.1).
    public static func encode(_ entries: [UInt8]) throws(EncodingError) -> String {
        Base64URL.encode(try Zlib.compress(entries))
    }

    /// The bytes behind `lst`; never more than the largest list of this width.
    ///
    /// - Throws: `PassportReason` with `.statusInvalid`.
    public static func decode(_ lst: String, bits: Int) throws(PassportReason) -> [UInt8] {
        guard widths.contains(bits) else { throw refuse("`bits` must be 1, 2, 4 or 8") }
        let limit = StatusBitmap.maximumEntries / 8 * bits
        guard lst.utf8.count <= 2 * limit, !lst.utf8.contains(UInt8(ascii: "=")) else {
            throw refuse("`lst` is longer than a list of \(StatusBitmap.maximumEntries) entries")
        }
        do {
            return try Zlib.decompress(try Base64URL.decode(lst), maximumBytes: limit)
        } catch {
            throw refuse("`lst` is not base64url of zlib: \(error)")
        }
    }

    /// The entry at `index`, or `nil` where the list is shorter.
    public static func entry(_ index: Int, of bytes: [UInt8], bits: Int) -> UInt8? {
        guard widths.contains(bits), index >= 0, index < bytes.count * 8 / bits else { return nil }
        let perByte = 8 / bits
        return bytes[index / perByte] >> UInt8(index % perByte * bits) & UInt8(truncatingIfNeeded: (1 << bits) - 1)
    }

    /// Two bits an entry: 1 where it is revoked, else 2 where it is suspended.
    public static func entries(revoked: StatusBitmap, suspended: StatusBitmap) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(revoked.bytes.count * 2)
        for (index, revocations) in revoked.bytes.enumerated() {
            let suspensions = index < suspended.bytes.count ? suspended.bytes[index] & ~revocations : 0
            var word: UInt16 = 0
            if revocations | suspensions != 0 {
                for entry in 0..<8 {
                    let mask: UInt8 = 0x80 >> UInt8(entry)
                    if revocations & mask != 0 { word |= 1 << UInt16(2 * entry) }
                    if suspensions & mask != 0 { word |= 2 << UInt16(2 * entry) }
                }
            }
            result.append(UInt8(truncatingIfNeeded: word))
            result.append(UInt8(truncatingIfNeeded: word >> 8))
        }
        return result
    }

    /// The bits of both kinds. What is neither valid nor suspended counts as revoked, whatever it means elsewhere.
    ///
    /// - Throws: `PassportReason` with `.statusInvalid` where the list is too short.
    static func bitmaps(
        _ bytes: [UInt8],
        bits: Int
    ) throws(PassportReason) -> (revoked: StatusBitmap, suspended: StatusBitmap) {
        let perByte = 8 / bits
        let count = bytes.count * perByte
        let empty = [UInt8](repeating: 0, count: count / 8)
        var revoked = try StatusBitmap(bytes: empty)
        var suspended = revoked
        for (position, byte) in bytes.enumerated() where byte != 0 {
            for place in 0..<perByte {
                let index = position * perByte + place
                switch entry(index, of: bytes, bits: bits) {
                case 0: break
                case 2 where bits > 1: suspended.set(index)
                default: revoked.set(index)
                }
            }
        }
        return (revoked, suspended)
    }

    // MARK: The token

    /// Signs the list.
    ///
    /// - Throws: `PassportReason` with `.statusInvalid`, `DocumentError`, or an error of compression.
    public static func issue(_ list: VerifiedStatusList, by key: DocumentKey) throws -> String {
        guard list.issuer == key.did, list.sequence <= StatusListCredential.maximumSequence,
            list.validFrom < list.validUntil
        else { throw refuse("a status list names its signer, a sequence below 2^53 and a validity") }
        let entries = entries(revoked: list.bitmap, suspended: list.suspensions ?? StatusBitmap())
        let payload: JSONObject = [
            "iss": .string(key.did.string), "sub": .string(list.url),
            "iat": .integer(list.validFrom.secondsSince1970), "exp": .integer(list.validUntil.secondsSince1970),
            "ttl": .integer(max(list.ttlMilliseconds / 1_000, 1)), "sequence": .integer(Int64(list.sequence)),
            "status_list": ["bits": 2, "lst": .string(try encode(entries))],
        ]
        return try SignedToken.sign(payload, type: type, by: key)
    }

    /// Reads and checks the list that was fetched from `url`. Dates are left to the caller.
    ///
    /// - Throws: `PassportReason` with `.statusInvalid`.
    public static func verify(bytes: [UInt8], url: String) throws(PassportReason) -> VerifiedStatusList {
        let limit = StatusListCredential.maximumBytes * 8
        guard bytes.count <= limit, let text = String(validating: bytes, as: UTF8.self) else {
            throw refuse("the list at \(url) is longer than \(limit) bytes")
        }
        let token: SignedToken
        let issuer: DIDKey
        do throws(DocumentError) {
            token = try SignedToken(text, types: [type], maximumBytes: limit)
            issuer = try DIDKey(parsing: token.payload["iss"]?.stringValue ?? "")
            _ = try token.verify(issuer: issuer.string)
        } catch {
            throw refuse("the list at \(url) does not verify: \(error.message)")
        }
        guard token.payload["sub"]?.stringValue?.utf8.elementsEqual(url.utf8) == true else {
            throw refuse("`sub` of the list at \(url) is not the URL it stands at")
        }
        let longest = StatusListCredential.maximumValiditySeconds
        guard let made = token.payload["iat"]?.int64Value, let end = token.payload["exp"]?.int64Value,
            (0..<253_402_300_800).contains(made), end > made, end - made <= longest
        else { throw refuse("`iat` and `exp` of the list at \(url) must bound at most 31 days") }
        // Where a list does not count its changes, the time it was made stands for them.
        guard let sequence = token.payload["sequence"].map({ $0.uint64Value }) ?? UInt64(made),
            sequence <= StatusListCredential.maximumSequence
        else { throw refuse("`sequence` of the list at \(url) must be a whole number below 2^53") }
        guard let ttl = token.payload["ttl"].map({ $0.int64Value }) ?? 300, ttl >= 0 else {
            throw refuse("`ttl` of the list at \(url) must be a number of seconds")
        }
        guard let list = token.payload["status_list"], let bits = list["bits"]?.int64Value,
            let lst = list["lst"]?.stringValue
        else { throw refuse("`status_list` of the list at \(url) must hold `bits` and `lst`") }
        let entries = try decode(lst, bits: Int(truncatingIfNeeded: bits))
        let bitmaps = try bitmaps(entries, bits: Int(truncatingIfNeeded: bits))
        return VerifiedStatusList(
            url: url,
            issuer: issuer,
            purpose: .revocation,
            sequence: sequence,
            validFrom: Timestamp(secondsSince1970: made),
            validUntil: Timestamp(secondsSince1970: end),
            ttlMilliseconds: min(max(ttl, 1), 86_400) * 1_000,
            bitmap: bitmaps.revoked,
            suspensions: bitmaps.suspended
        )
    }

    private static func refuse(_ message: String) -> PassportReason { PassportReason(.statusInvalid, message) }
}
