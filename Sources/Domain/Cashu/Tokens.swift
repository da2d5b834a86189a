// Tokens: ecash as text to hand over (NUT-00 "Serialization of tokens"). V4 is written; V3 and V4 are read.
import CanonicalJSON
import Encodings

/// Ecash of one mint and unit, as one user hands it to another.
public struct Token: Hashable, Sendable {
    /// Proofs that share a keyset.
    public struct Group: Hashable, Sendable {
        /// A full or a short keyset id.
        public var keyset: KeysetReference
        public var proofs: [ProofBody]
    }

    public var mint: MintURL
    public var unit: CurrencyUnit
    /// For the receiver to read, at most ``CashuLimits/memoBytes`` bytes.
    public var memo: String?
    public var groups: [Group]

    /// A token of proofs, in groups in the order in which their keysets first come.
    public init(mint: MintURL, unit: CurrencyUnit, memo: String? = nil, proofs: [Proof]) throws(CashuError) {
        var groups: [Group] = []
        var places: [KeysetID: Int] = [:]
        for proof in proofs {
            let body = try ProofBody(proof)
            if let place = places[proof.keysetID] {
                groups[place].proofs.append(body)
            } else {
                places[proof.keysetID] = groups.count
                groups.append(Group(keyset: .full(proof.keysetID), proofs: [body]))
            }
        }
        try self.init(mint: mint, unit: unit, memo: memo, groups: groups)
    }

    init(mint: MintURL, unit: CurrencyUnit, memo: String?, groups: [Group]) throws(CashuError) {
        let count = groups.reduce(0) { $0 + $1.proofs.count }
        guard count > 0 else {
            throw CashuError(.malformed, "a token without proofs is worth nothing")
        }
        guard count <= CashuLimits.arrayLength else {
            throw CashuError(.tooLarge, "a token holds at most \(CashuLimits.arrayLength) proofs, not \(count)")
        }
        if let memo, memo.utf8.count > CashuLimits.memoBytes {
            throw CashuError(.tooLarge, "a memo has at most \(CashuLimits.memoBytes) bytes")
        }
        self.mint = mint
        self.unit = unit
        self.memo = memo
        self.groups = groups
    }

    /// What it is worth, before input fees.
    public func amount() throws(CashuError) -> UInt64 {
        try Amounts.sum(groups.flatMap(\.proofs).map(\.amount))
    }

    /// The number of proofs.
    public var count: Int { groups.reduce(0) { $0 + $1.proofs.count } }

    /// The proofs, with full keyset ids.
    ///
    /// - Parameter known: the ids of all keysets of the token's mint, active or not.
    /// - Throws: ``CashuError/Code/keysetUnknown`` or ``CashuError/Code/keysetAmbiguous``.
    public func proofs(knownKeysets known: some Sequence<KeysetID>) throws(CashuError) -> [Proof] {
        let known = Array(known)
        var proofs: [Proof] = []
        for group in groups {
            let id = try group.keyset.resolved(among: known)
            proofs += group.proofs.map { Proof(body: $0, keysetID: id) }
        }
        return proofs
    }

    /// Reads a V3 (`cashuA…`) or V4 (`cashuB…`) token, with or without padding and the `cashu:` scheme.
    ///
    /// - Throws: ``CashuError`` with ``CashuError/Code/malformed``, ``CashuError/Code/tooLarge`` or
    ///   ``CashuError/Code/unsupportedVersion``; also for a V3 token over several mints: see ``all(in:)``.
    public init(_ text: String) throws {
        let tokens = try Token.all(in: text)
        guard tokens.count == 1 else {
            throw CashuError(.malformed, "the token holds ecash of \(tokens.count) mints; redeem it in parts")
        }
        self = tokens[0]
    }

    /// Every token that a serialized one holds: one for each mint of a V3 token, exactly one for V4.
    public static func all(in text: String) throws -> [Token] {
        guard text.utf8.count <= CashuLimits.tokenCharacters else {
            throw CashuError(.tooLarge, "a token has at most \(CashuLimits.tokenCharacters) characters")
        }
        var body = Substring(text)
        for scheme in ["cashu://", "cashu:", "CASHU:"] where body.hasPrefix(scheme) {
            body = body.dropFirst(scheme.count)
            break
        }
        if body.hasPrefix("cashuA") {
            return try readV3(try base64(body.dropFirst(6)))
        }
        if body.hasPrefix("cashuB") {
            return [try readV4(try base64(body.dropFirst(6)))]
        }
        if body.hasPrefix("cashu"), body.utf8.count > 6 {
            throw CashuError(.unsupportedVersion, "tokens that start with \"\(body.prefix(6))\" aren't supported")
        }
        throw CashuError(.malformed, "a token starts with cashuB (or cashuA), not \"\(body.prefix(12))\"")
    }

    /// Reads the raw binary form, `craw` ‖ `B` ‖ CBOR (NUT-00 "Binary Token").
    public init(binary bytes: [UInt8]) throws {
        guard bytes.count <= CashuLimits.tokenCharacters, bytes.starts(with: Token.binaryPrefix) else {
            throw CashuError(.malformed, "a binary token starts with \"crawB\"")
        }
        self = try Token.readV4(Array(bytes.dropFirst(Token.binaryPrefix.count)))
    }

    /// The V4 text, `cashuB` and base64url without padding.
    ///
    /// - Parameter shortensKeysetIDs: write the 8-byte form of each id. Shorter, but the receiver must know the
    ///   mint's keysets and refuses an ambiguous one.
    public func serialized(shortensKeysetIDs: Bool = false) -> String {
        "cashuB" + Base64URL.encode(cbor(shortensKeysetIDs: shortensKeysetIDs).encoded())
    }

    /// The raw binary V4 form.
    public func binary(shortensKeysetIDs: Bool = false) -> [UInt8] {
        Token.binaryPrefix + cbor(shortensKeysetIDs: shortensKeysetIDs).encoded()
    }

    private static let binaryPrefix = Array("crawB".utf8)

    /// Base64 in either alphabet, as some wallets use the standard one.
    private static func base64(_ text: Substring) throws -> [UInt8] {
        do {
            return try Base64URL.decode(urlAlphabet(text))
        } catch {
            throw CashuError(.malformed, "the token isn't base64url: part of it may be missing", cause: error)
        }
    }
}

/// `+` and `/` of standard base64 as base64url's `-` and `_`.
func urlAlphabet(_ text: Substring) -> String {
    let bytes = text.utf8.map { byte -> UInt8 in
        switch byte {
        case 0x2B: 0x2D
        case 0x2F: 0x5F
        default: byte
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
