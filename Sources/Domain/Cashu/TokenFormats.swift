// The inside of a token: V4's CBOR and V3's JSON (NUT-00).
import CanonicalJSON
import Cryptography
import Encodings

extension Token {
    // MARK: V4

    func cbor(shortensKeysetIDs: Bool) -> CBOR {
        let entries = groups.map { group in
            let id = shortensKeysetIDs ? Array(group.keyset.bytes.prefix(8)) : group.keyset.bytes
            return CBOR.map([
                CBORPair("i", .bytes(id)),
                CBORPair("p", .array(group.proofs.map(Token.cbor))),
            ])
        }
        var pairs = [CBORPair("t", .array(entries))]
        if let memo { pairs.append(CBORPair("d", .text(memo))) }
        pairs.append(CBORPair("m", .text(mint.string)))
        pairs.append(CBORPair("u", .text(unit.name)))
        return .map(pairs)
    }

    private static func cbor(_ proof: ProofBody) -> CBOR {
        var pairs = [
            CBORPair("a", .unsigned(proof.amount)),
            CBORPair("s", .text(proof.secret)),
            CBORPair("c", .bytes(proof.signature.compressed)),
        ]
        if let dleq = proof.dleq {
            var members = [
                CBORPair("e", .bytes(dleq.challenge)),
                CBORPair("s", .bytes(dleq.response)),
            ]
            // Without `r` a receiver can't use the proof, but the fields are kept as they came.
            if let factor = dleq.blindingFactor { members.append(CBORPair("r", .bytes(factor))) }
            pairs.append(CBORPair("d", .map(members)))
        }
        if let witness = proof.witness { pairs.append(CBORPair("w", .text(witness))) }
        if let key = proof.ephemeralKey { pairs.append(CBORPair("pe", .bytes(key.compressed))) }
        return .map(pairs)
    }

    static func readV4(_ bytes: [UInt8]) throws -> Token {
        let value: CBOR
        do {
            value = try CBOR.decode(bytes)
        } catch {
            throw CashuError(.malformed, "the token isn't valid CBOR: part of it may be missing", cause: error)
        }
        let mint = try MintURL(text(value, "m", of: "the token"))
        let unit = try CurrencyUnit(text(value, "u", of: "the token"))
        guard let entries = value[text: "t"]?.arrayValue, entries.count <= CashuLimits.arrayLength else {
            throw CashuError(
                .malformed,
                "`t` of the token must be an array of at most \(CashuLimits.arrayLength) entries"
            )
        }
        var count = 0
        var groups: [Group] = []
        for entry in entries {
            guard let id = entry[text: "i"]?.bytesValue, let proofs = entry[text: "p"]?.arrayValue else {
                throw CashuError(.malformed, "each entry of the token's `t` needs a keyset id `i` and proofs `p`")
            }
            count += proofs.count
            guard count <= CashuLimits.arrayLength else {
                throw CashuError(.tooLarge, "a token holds at most \(CashuLimits.arrayLength) proofs")
            }
            groups.append(Group(keyset: try KeysetReference(bytes: id), proofs: try proofs.map(readProof)))
        }
        return try Token(mint: mint, unit: unit, memo: optionalText(value, "d"), groups: groups)
    }

    private static func readProof(_ value: CBOR) throws -> ProofBody {
        guard let amount = value[text: "a"]?.unsignedValue, let signature = value[text: "c"]?.bytesValue else {
            throw CashuError(.malformed, "each proof of a token needs an amount `a` and a signature `c`")
        }
        return try ProofBody(
            amount: amount,
            secret: text(value, "s", of: "a proof"),
            signature: Points.parse(bytes: signature, as: "`c` of a proof"),
            dleq: readDLEQ(value[text: "d"]),
            witness: optionalText(value, "w").flatMap { $0.isEmpty ? nil : $0 },
            ephemeralKey: readEphemeralKey(value[text: "pe"])
        )
    }

    /// NUT-28: a byte string of 33 bytes.
    private static func readEphemeralKey(_ value: CBOR?) throws -> Secp256k1.Point? {
        guard let value, value != .null, value != .undefined else { return nil }
        guard let bytes = value.bytesValue else {
            throw CashuError(.malformed, "`pe` of a proof must be a byte string")
        }
        return try Points.parse(bytes: bytes, as: "`pe` of a proof")
    }

    private static func readDLEQ(_ value: CBOR?) throws -> DLEQProof? {
        guard let value, value != .null, value != .undefined else { return nil }
        guard
            let challenge = value[text: "e"]?.bytesValue, challenge.count == 32,
            let response = value[text: "s"]?.bytesValue, response.count == 32
        else {
            throw CashuError(.malformed, "the DLEQ proof of a proof needs `e` and `s` of 32 bytes")
        }
        var factor: [UInt8]?
        if let given = value[text: "r"], given != .null, given != .undefined {
            guard let bytes = given.bytesValue, bytes.count == 32 else {
                throw CashuError(.malformed, "`r` of a DLEQ proof must have 32 bytes")
            }
            factor = bytes
        }
        return DLEQProof(challenge: challenge, response: response, blindingFactor: factor)
    }

    private static func text(_ value: CBOR, _ key: String, of owner: String) throws -> String {
        guard let text = value[text: key]?.textValue else {
            throw CashuError(.malformed, "`\(key)` of \(owner) must be text")
        }
        return text
    }

    private static func optionalText(_ value: CBOR, _ key: String) throws -> String? {
        guard let member = value[text: key], member != .null, member != .undefined else { return nil }
        guard let text = member.textValue else {
            throw CashuError(.malformed, "`\(key)` in a token must be text")
        }
        return text
    }

    // MARK: V3 (deprecated; read only)

    static func readV3(_ bytes: [UInt8]) throws -> [Token] {
        let limits = JSONLimits(
            maximumBytes: CashuLimits.tokenCharacters,
            maximumDepth: 8,
            maximumValues: 20 * CashuLimits.arrayLength,
            acceptsUInt64: true
        )
        let json = try JSONValue.parse(bytes, limits: limits)
        // The unit is optional in V3; from the time before units came, it means sat.
        let unit = try json.optionalString("unit").map { try CurrencyUnit($0) } ?? .sat
        let memo = try json.optionalString("memo")
        var order: [MintURL] = []
        var groups: [MintURL: [Group]] = [:]
        var count = 0
        for entry in try json.boundedArray("token", maximum: CashuLimits.arrayLength) {
            let mint = try MintURL(entry.string("mint"))
            if groups[mint] == nil { order.append(mint) }
            for proof in try entry.boundedArray("proofs", maximum: CashuLimits.arrayLength) {
                count += 1
                guard count <= CashuLimits.arrayLength else {
                    throw CashuError(.tooLarge, "a token holds at most \(CashuLimits.arrayLength) proofs")
                }
                let reference = try KeysetReference(hex: proof.string("id"))
                let body = try ProofBody(json: proof)
                add(body, under: reference, to: &groups[mint, default: []])
            }
        }
        return try order.map { try Token(mint: $0, unit: unit, memo: memo, groups: groups[$0] ?? []) }
    }

    private static func add(_ proof: ProofBody, under keyset: KeysetReference, to groups: inout [Group]) {
        if let place = groups.firstIndex(where: { $0.keyset == keyset }) {
            groups[place].proofs.append(proof)
        } else {
            groups.append(Group(keyset: keyset, proofs: [proof]))
        }
    }
}
