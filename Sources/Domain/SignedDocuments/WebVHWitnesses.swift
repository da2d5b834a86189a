internal import CanonicalJSON
internal import Encodings

/// The `witness` parameter of a did:webvh log (1.0, "The `witness` Parameter"): whose approval an entry needs, and how many.
struct WebVHWitnesses: Sendable, Equatable {
    static let maximumWitnesses = 32

    let threshold: Int
    /// did:keys of Ed25519, no two alike.
    let ids: Set<String>

    /// - Returns: `nil` for `{}` and, as early writers had it, `null`: no witnesses.
    /// - Throws: `DocumentError` with `.badLog`: what is not well formed is never taken for no witnesses.
    static func read(_ value: JSONValue) throws(DocumentError) -> WebVHWitnesses? {
        if value.isNull { return nil }
        guard let object = value.objectValue else { throw refuse("`witness` must be an object") }
        if object.isEmpty { return nil }
        guard let list = object["witnesses"]?.arrayValue, (1...maximumWitnesses).contains(list.count) else {
            throw refuse("`witness` must list 1 to \(maximumWitnesses) `witnesses`")
        }
        var ids: Set<String> = []
        for item in list {
            guard let id = item["id"]?.stringValue, let key = try? DIDKey(parsing: id), key.kind == .ed25519,
                ids.insert(key.string).inserted
            else { throw refuse("each witness must be another did:key of an Ed25519 key") }
        }
        guard let threshold = object["threshold"]?.int64Value, (1...Int64(ids.count)).contains(threshold) else {
            throw refuse("the `threshold` of `witness` must be from 1 to the number of witnesses")
        }
        return WebVHWitnesses(threshold: Int(threshold), ids: ids)
    }

    private static func refuse(_ what: String) -> DocumentError {
        DocumentError(.badLog, "the did:webvh log does not hold: \(what)")
    }
}

/// What `did-witness.json` proves of one log ("Verifying Witness Proofs During Resolution").
struct WebVHWitnessProofs: Sendable {
    /// The longest file read, in bytes.
    static let maximumBytes = WebVHLog.maximumBytes
    /// The most proofs looked at.
    static let maximumProofs = 1_024

    /// Of each witness, the last entry of the log that it approved, counted from 0; all before it are approved too.
    private var approved: [String: Int] = [:]

    /// Verifies the proofs of those who are witnesses anywhere in the log, for entries of this log alone: a proof made for
    /// another DID's entry, or for one not published, counts for nothing.
    ///
    /// - Parameter versions: the ids of the log's entries, in order.
    /// - Throws: `DocumentError` with `.badLog` where the file is not of its form.
    init(
        _ bytes: [UInt8],
        versions: [String],
        witnesses: Set<String>,
        now: Timestamp
    ) throws(DocumentError) {
        let limits = JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 8, maximumValues: 20_000)
        guard let list = (try? JSONValue.parse(bytes, limits: limits))?.arrayValue else {
            throw Self.refuse("`did-witness.json` is no JSON list, or too long")
        }
        var positions: [String: Int] = [:]
        for (position, version) in versions.enumerated() { positions[version] = position }
        var proofs: [(position: Int, version: String, proof: JSONValue)] = []
        var count = 0
        for item in list {
            guard let version = item["versionId"]?.stringValue else {
                throw Self.refuse("an entry of `did-witness.json` has no `versionId`")
            }
            let all = item["proof"].map { $0.arrayValue ?? [$0] } ?? []
            count += all.count
            guard count <= Self.maximumProofs else {
                throw Self.refuse("`did-witness.json` holds more than \(Self.maximumProofs) proofs")
            }
            guard let position = positions[version] else { continue }
            proofs.append(contentsOf: all.map { (position, version, $0) })
        }
        // The latest first: one proof of a witness is enough for all entries before it.
        for (position, version, proof) in proofs.sorted(by: { $0.position > $1.position }) {
            let method = proof["verificationMethod"]?.stringValue ?? ""
            let claimed = String(method.prefix { $0 != "#" })
            guard witnesses.contains(claimed), approved[claimed] == nil else { continue }
            let document: JSONObject = ["versionId": .string(version), "proof": proof]
            guard let verified = try? DataIntegrity.verify(document), verified.signer.string == claimed,
                verified.controller == claimed, verified.expires.map({ now < $0 }) ?? true
            else { continue }
            approved[claimed] = position
        }
    }

    /// Whether enough of the witnesses approved the entry at this position, or a later one.
    func approve(_ position: Int, _ witnesses: WebVHWitnesses) -> Bool {
        witnesses.ids.count { (approved[$0] ?? -1) >= position } >= witnesses.threshold
    }

    private static func refuse(_ what: String) -> DocumentError {
        DocumentError(.badLog, "the did:webvh log does not hold: \(what)")
    }
}
