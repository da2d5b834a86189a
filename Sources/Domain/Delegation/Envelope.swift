internal import Cryptography
internal import Encodings
internal import SignedDocuments

/// A UCAN 1.0 envelope: `[signature, {"h": varsig header, "ucan/…@1.0.0": payload}]` in DAG-CBOR.
struct Envelope: Sendable {
    /// The longest envelope read, in bytes.
    static let maximumBytes = 8192
    /// Varsig 1, Ed25519 on Edwards25519 with SHA-512, over DAG-CBOR.
    static let header: [UInt8] = [0x34, 0x01, 0xED, 0x01, 0xED, 0x01, 0x13, 0x71]

    enum Kind: String {
        case delegation = "ucan/dlg@1.0.0"
        case invocation = "ucan/inv@1.0.0"
    }

    let bytes: [UInt8]
    let signature: [UInt8]
    /// What the signature covers.
    let signed: [UInt8]
    let payload: [CBORPair]

    /// Reads an envelope; whether the signature holds is not looked at.
    init(_ bytes: [UInt8], kind: Kind) throws(DelegationError) {
        let item = try DAGCBOR.decode(bytes, maximumBytes: Self.maximumBytes)
        guard case .array(let parts) = item, parts.count == 2, case .bytes(let signature) = parts[0],
            case .map(let members) = parts[1]
        else { throw DelegationError(.malformed, "an envelope of UCAN is a signature and a map of two members") }
        guard members.count == 2, case .bytes(let header)? = parts[1][text: "h"] else {
            throw DelegationError(.malformed, "an envelope of UCAN has `h` and one payload")
        }
        guard case .map(let payload)? = parts[1][text: kind.rawValue] else {
            throw DelegationError(.malformed, "the envelope holds no \(kind.rawValue)")
        }
        guard header == Self.header else {
            throw DelegationError(.unsupportedSignature, "only Ed25519 over DAG-CBOR is verified here")
        }
        self.bytes = bytes
        self.signature = signature
        self.payload = payload
        // The block is in its one form: the array's head, the signature, and the rest is the map.
        signed = Array(bytes[(1 + DAGCBOR.count(ofBytes: signature.count))...])
    }

    /// Signs a payload.
    init(kind: Kind, payload: [CBORPair], by key: any SigningKey) throws(DelegationError) {
        let map = CBOR.map([CBORPair("h", .bytes(Self.header)), CBORPair(kind.rawValue, .map(payload))])
        signed = try DAGCBOR.encode(map)
        do {
            signature = try key.sign(.delegation(signed))
        } catch let error as DocumentError where error.code == .keyUnavailable {
            throw DelegationError(.keyUnavailable, error.message)
        } catch {
            throw DelegationError(.malformed, "the envelope cannot be signed: \(error)")
        }
        bytes = try DAGCBOR.encode(.array([.bytes(signature), map]))
        self.payload = payload
        guard bytes.count <= Self.maximumBytes else {
            throw DelegationError(.tooLarge, "an envelope has at most \(Self.maximumBytes) bytes")
        }
    }

    /// - Throws: `.forged`, `.unsupportedSignature`.
    func verify(by issuer: DIDKey) throws(DelegationError) {
        guard let key = issuer.ed25519 else {
            throw DelegationError(.unsupportedSignature, "\(issuer) is no Ed25519 key", key: issuer)
        }
        guard key.isValid(signature: signature, for: signed) else {
            throw DelegationError(.forged, "the signature is not by \(issuer)", key: issuer)
        }
    }
}

/// Reads a payload's members, and tells whether all were asked for.
struct PayloadReader {
    private let members: [CBORPair]
    private var isRead: [Bool]

    init(_ payload: [CBORPair]) {
        members = payload
        isRead = [Bool](repeating: false, count: payload.count)
    }

    mutating func value(_ name: String) -> CBOR? {
        for (index, member) in members.enumerated() {
            guard case .text(let key) = member.key, key.hasSameCodeUnits(as: name) else { continue }
            isRead[index] = true
            return member.value
        }
        return nil
    }

    func refuse(_ name: String, _ what: String) -> DelegationError {
        DelegationError(.malformed, "`\(name)` must be \(what)")
    }

    mutating func did(_ name: String) throws(DelegationError) -> DIDKey {
        guard let did = try optionalDID(name) else { throw refuse(name, "a did:key") }
        return did
    }

    /// nil where it is null or absent.
    mutating func optionalDID(_ name: String) throws(DelegationError) -> DIDKey? {
        guard let value = value(name), value != .null else { return nil }
        guard case .text(let text) = value, let did = try? DIDKey(parsing: text) else {
            throw refuse(name, "a did:key")
        }
        return did
    }

    mutating func command() throws(DelegationError) -> Command {
        guard case .text(let text)? = value("cmd") else { throw refuse("cmd", "a command such as /pay") }
        return try Command(text)
    }

    /// Seconds since 1970, at most 2⁵³−1; nil where it is null or absent.
    mutating func time(_ name: String) throws(DelegationError) -> Int64? {
        guard let value = value(name), value != .null else { return nil }
        guard case .unsigned(let seconds) = value, seconds <= PolicyNumber.maximumInteger else {
            throw refuse(name, "seconds since 1970")
        }
        return Int64(seconds)
    }

    mutating func nonce() throws(DelegationError) -> [UInt8] {
        guard case .bytes(let nonce)? = value("nonce"), nonce.count <= 64 else {
            throw refuse("nonce", "up to 64 bytes")
        }
        return nonce
    }

    mutating func map(_ name: String) throws(DelegationError) -> CBOR? {
        guard let value = value(name), value != .null else { return nil }
        guard case .map = value else { throw refuse(name, "a map") }
        return value
    }

    /// - Throws: `.malformed` where a member is left that no part of UCAN knows.
    func expectEnd() throws(DelegationError) {
        if let other = isRead.firstIndex(of: false) {
            throw DelegationError(.malformed, "`\((members[other].key.textValue ?? "").prefix(40))` has no place here")
        }
    }
}
