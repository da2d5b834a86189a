public import CanonicalJSON
internal import Cryptography
public import Encodings

/// The log of a `did:webvh` (1.0): every version of a DID document, chained by hashes, signed by the keys that the
/// version before it allowed, and (pre-rotation) committed to.
///
/// Where the log names witnesses, enough of them must have approved each entry; their proofs stand in a file beside it.
public struct WebVHLog: Sendable {
    /// The longest log read, in bytes.
    public static let maximumBytes = 512 * 1_024
    public static let maximumEntries = 256
    /// How far ahead an entry may be dated, in seconds.
    static let clockSkewSeconds: Int64 = 300
    public static let method = "did:webvh:1.0"
    /// What stands for the SCID while the first entry is being made.
    public static let placeholder = "{SCID}"

    /// What holds after the last entry.
    public private(set) var did: WebDID
    public private(set) var document: JSONObject
    /// As `<number>-<hash>`.
    public private(set) var versionID: String
    public private(set) var versionTime: Timestamp
    public private(set) var number: Int
    /// The keys that may sign the next entry (or, with ``nextKeyHashes``, signed this one).
    public private(set) var updateKeys: [String]
    /// The hashes of the keys that alone may sign the next entry; empty: pre-rotation is off.
    public private(set) var nextKeyHashes: [String]
    public private(set) var isPortable: Bool
    public private(set) var isDeactivated: Bool
    /// The entries, a line each, as they are published.
    public private(set) var lines: [[UInt8]]
    /// Whose approval each entry needs, and of the next one.
    private var approvals: [(version: String, witnesses: WebVHWitnesses?)] = []
    private var witnesses: WebVHWitnesses?

    private static let parameters: Set<String> = [
        "method", "scid", "updateKeys", "nextKeyHashes", "portable", "witness", "watchers", "deactivated", "ttl",
    ]

    // MARK: Reading

    /// Reads a log and verifies every entry.
    ///
    /// - Parameters:
    ///   - requested: the DID being resolved; some entry must be of it.
    ///   - witnessProofs: the file `did-witness.json` beside the log; needed only where the log names witnesses.
    /// - Throws: `DocumentError` with `.badLog`; `.witnessMissing` where the log names witnesses and there is no file.
    public init(
        _ bytes: [UInt8],
        resolving requested: WebDID,
        now: Timestamp,
        witnessProofs: [UInt8]? = nil
    ) throws(DocumentError) {
        guard bytes.count <= Self.maximumBytes else {
            throw Self.refuse("it has more than \(Self.maximumBytes) bytes")
        }
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true)
            .map { [UInt8]($0.filter { $0 != UInt8(ascii: "\r") }) }
        guard (1...Self.maximumEntries).contains(lines.count) else {
            throw Self.refuse("it has none, or more than \(Self.maximumEntries) entries")
        }
        var log = try WebVHLog(first: try Self.object(lines[0]), line: lines[0], scid: requested.scid ?? "", now: now)
        var matches = log.did == requested
        for line in lines.dropFirst() {
            try log.append(try Self.object(line), line: line, now: now)
            matches = matches || log.did == requested
        }
        guard matches else { throw Self.refuse("none of its entries is of \(requested)") }
        try log.checkWitnesses(witnessProofs, now: now)
        self = log
    }

    /// Reads and verifies a log, of the DID that its last entry names.
    ///
    /// - Throws: as ``init(_:resolving:now:witnessProofs:)``.
    public init(lines: [[UInt8]], now: Timestamp) throws(DocumentError) {
        guard let last = lines.last else { throw Self.refuse("it has no entry") }
        try self.init(
            lines.flatMap { $0 + [UInt8(ascii: "\n")] },
            resolving: try Self.did(ofEntry: last),
            now: now
        )
    }

    /// The DID that an entry says it is of.
    public static func did(ofEntry line: [UInt8]) throws(DocumentError) -> WebDID {
        try WebDID(parsing: try object(line)["state"]?["id"]?.stringValue ?? "")
    }

    /// Checks that each entry was approved by as many witnesses as it needed, after all else was verified.
    private func checkWitnesses(_ file: [UInt8]?, now: Timestamp) throws(DocumentError) {
        let needed = approvals.compactMap(\.witnesses)
        guard !needed.isEmpty else { return }
        guard let file else {
            throw DocumentError(.witnessMissing, "the did:webvh log names witnesses, and their proofs are not at hand")
        }
        let proofs = try WebVHWitnessProofs(
            file,
            versions: approvals.map(\.version),
            witnesses: needed.reduce(into: []) { $0.formUnion($1.ids) },
            now: now
        )
        for (position, approval) in approvals.enumerated() {
            guard let witnesses = approval.witnesses, !proofs.approve(position, witnesses) else { continue }
            throw Self.refuse("entry \(position + 1) was not approved by \(witnesses.threshold) of its witnesses")
        }
    }

    private static func object(_ line: [UInt8]) throws(DocumentError) -> JSONObject {
        do {
            return try JSONValue.parse(
                line,
                limits: JSONLimits(maximumBytes: 64 * 1_024, maximumDepth: 16, maximumValues: 4_096)
            ).requireObject("an entry")
        } catch {
            throw refuse("an entry is no JSON object: \(error)")
        }
    }

    private init(first entry: JSONObject, line: [UInt8], scid: String, now: Timestamp) throws(DocumentError) {
        let parameters = try Self.parameters(entry)
        guard parameters["method"]?.stringValue == Self.method else {
            throw Self.refuse("it is not of \(Self.method)")
        }
        guard let stated = parameters["scid"]?.stringValue, stated == scid else {
            throw Self.refuse("its SCID is not that of the DID")
        }
        var preliminary = entry
        preliminary.removeValue(forKey: "proof")
        preliminary["versionId"] = .string(Self.placeholder)
        let text = try Self.canonical(preliminary).replacing(scid, with: Self.placeholder)
        guard Self.hash(Array(text.utf8)) == scid else {
            throw Self.refuse("its SCID is not the hash of its first entry")
        }
        did = try Self.did(entry, scid: scid)
        document = try Self.state(entry)
        versionID = scid
        number = 0
        versionTime = Timestamp(millisecondsSince1970: .min)
        updateKeys = []
        nextKeyHashes = []
        isPortable = false
        isDeactivated = false
        lines = []
        try apply(entry, parameters, line: line, now: now)
    }

    /// Verifies one more entry and takes it.
    private mutating func append(_ entry: JSONObject, line: [UInt8], now: Timestamp) throws(DocumentError) {
        guard !isDeactivated else { throw Self.refuse("an entry follows after the DID was deactivated") }
        let parameters = try Self.parameters(entry)
        guard parameters["scid"] == nil || parameters["scid"]?.stringValue == did.scid else {
            throw Self.refuse("a later entry names another SCID")
        }
        guard parameters["method"] == nil || parameters["method"]?.stringValue == Self.method else {
            throw Self.refuse("a later entry is of another method")
        }
        try apply(entry, parameters, line: line, now: now)
    }

    private mutating func apply(
        _ entry: JSONObject,
        _ parameters: JSONObject,
        line: [UInt8],
        now: Timestamp
    ) throws(DocumentError) {
        let isFirst = number == 0
        for (name, _) in entry
        where !["versionId", "versionTime", "parameters", "state", "proof"].contains(name) {
            throw Self.refuse("`\(name.prefix(64))` has no place in an entry")
        }
        try checkVersion(entry, now: now)
        let next = try Self.did(entry, scid: did.scid ?? "")
        guard isFirst || next == did || isPortable else {
            throw Self.refuse("the DID moves, though it was not made portable")
        }
        let keys = try authorizedKeys(parameters, isFirst: isFirst)
        try Self.checkProof(entry, keys: keys)
        if parameters["portable"] == true {
            guard isFirst || isPortable else { throw Self.refuse("only the first entry can make a DID portable") }
            isPortable = true
        } else if parameters["portable"] != nil {
            isPortable = false
        }
        if let keys = parameters["updateKeys"] { updateKeys = try Self.strings(keys, "updateKeys") }
        nextKeyHashes =
            try parameters["nextKeyHashes"].map { (value) throws(DocumentError) in
                try Self.strings(value, "nextKeyHashes")
            } ?? nextKeyHashes
        isDeactivated = parameters["deactivated"] == true
        try takeWitnesses(parameters)
        did = next
        document = try Self.state(entry)
        lines.append(line)
    }

    /// An entry is approved by the witnesses before it; by its own, where there were none. Others count from the next on.
    private mutating func takeWitnesses(_ parameters: JSONObject) throws(DocumentError) {
        let stated = try parameters["witness"].map(WebVHWitnesses.read) ?? witnesses
        approvals.append((versionID, witnesses ?? stated))
        witnesses = stated
    }

    private mutating func checkVersion(_ entry: JSONObject, now: Timestamp) throws(DocumentError) {
        guard let version = entry["versionId"]?.stringValue, let text = entry["versionTime"]?.stringValue,
            text.hasSuffix("Z") || text.hasSuffix("+00:00"), let time = try? Timestamp(rfc3339: text)
        else { throw Self.refuse("an entry has no `versionId`, or no `versionTime` in UTC") }
        var hashed = entry
        hashed.removeValue(forKey: "proof")
        hashed["versionId"] = .string(versionID)
        let expected = "\(number + 1)-\(Self.hash(Array(try Self.canonical(hashed).utf8)))"
        guard version == expected else { throw Self.refuse("entry \(number + 1) is not chained to the one before it") }
        guard time > versionTime else { throw Self.refuse("entry \(number + 1) is not later than the one before it") }
        guard time <= now.adding(seconds: Self.clockSkewSeconds) else {
            throw Self.refuse("entry \(number + 1) is dated ahead of now")
        }
        versionID = version
        versionTime = time
        number += 1
    }

    /// Whose signature an entry needs: the keys it names itself where it is the first or they were committed to, else
    /// those of the entry before.
    private func authorizedKeys(_ parameters: JSONObject, isFirst: Bool) throws(DocumentError) -> [String] {
        let stated = try parameters["updateKeys"].map { (value) throws(DocumentError) in
            try Self.strings(value, "updateKeys")
        }
        if isFirst {
            guard let stated, !stated.isEmpty else { throw Self.refuse("its first entry names no `updateKeys`") }
            return stated
        }
        guard !nextKeyHashes.isEmpty else { return updateKeys }
        guard let stated, !stated.isEmpty else {
            throw Self.refuse("entry \(number) does not name the keys that were committed to")
        }
        for key in stated where !nextKeyHashes.contains(Self.hash(Array(key.utf8))) {
            throw Self.refuse("entry \(number) names a key that was not committed to")
        }
        return stated
    }

    private static func checkProof(_ entry: JSONObject, keys: [String]) throws(DocumentError) {
        let proofs = entry["proof"].map { $0.arrayValue ?? [$0] } ?? []
        guard proofs.count == 1 else { throw refuse("an entry must carry one proof") }
        var single = entry
        single["proof"] = proofs[0]
        let proof: VerifiedProof
        do {
            proof = try DataIntegrity.verify(single)
        } catch {
            throw refuse("a proof: \(error.message)")
        }
        guard keys.contains(proof.signer.multibaseKey) else {
            throw refuse("an entry is signed by a key that may not update the DID")
        }
    }

    private static func parameters(_ entry: JSONObject) throws(DocumentError) -> JSONObject {
        guard let parameters = entry["parameters"]?.objectValue else { throw refuse("an entry has no `parameters`") }
        for (name, _) in parameters where !Self.parameters.contains(name) {
            throw refuse("`\(name.prefix(64))` is no parameter of \(method)")
        }
        return parameters
    }

    private static func state(_ entry: JSONObject) throws(DocumentError) -> JSONObject {
        guard let state = entry["state"]?.objectValue else { throw refuse("an entry has no `state`") }
        return state
    }

    private static func did(_ entry: JSONObject, scid: String) throws(DocumentError) -> WebDID {
        guard let id = entry["state"]?["id"]?.stringValue, let did = try? WebDID(parsing: id), did.scid == scid else {
            throw refuse("the `id` of a document in it is not a did:webvh of its SCID")
        }
        return did
    }

    private static func strings(_ value: JSONValue, _ name: String) throws(DocumentError) -> [String] {
        let list = (value.arrayValue ?? []).compactMap(\.stringValue)
        guard let all = value.arrayValue, list.count == all.count, list.count <= 32 else {
            throw refuse("`\(name)` must list at most 32 strings")
        }
        return list
    }

    private static func canonical(_ object: JSONObject) throws(DocumentError) -> String {
        do {
            return String(decoding: try object.canonicalized(), as: UTF8.self)
        } catch {
            throw refuse("an entry has no canonical form: \(error)")
        }
    }

    /// base58btc of the SHA-256 multihash.
    static func hash(_ bytes: [UInt8]) -> String { Base58.encode([0x12, 0x20] + Hashing.sha256(bytes)) }

    private static func refuse(_ what: String) -> DocumentError {
        DocumentError(.badLog, "the did:webvh log does not hold: \(what)")
    }

    // MARK: Writing

    /// Whether the next entry may be followed by another one; else it had better be the last.
    public var hasRoom: Bool { number + 1 < Self.maximumEntries && bytes.count <= Self.maximumBytes - 16 * 1_024 }

    /// As it is published: one entry a line.
    public var bytes: [UInt8] { lines.flatMap { $0 + [UInt8(ascii: "\n")] } }

    /// The hash by which a key is committed to.
    public static func commitment(to key: DIDKey) -> String { hash(Array(key.multibaseKey.utf8)) }

    /// Starts the log of a new DID with pre-rotation.
    ///
    /// - Parameters:
    ///   - location: what follows the SCID: the host, with its port after `%3A`, and path segments after colons.
    ///   - document: makes the document of the DID it is given.
    ///   - next: the keys that may sign the next entry.
    ///   - isPortable: whether the DID may move to another location later; that is settled here for good.
    /// - Throws: `DocumentError` with `.malformedDID` or `.badLog`.
    public static func create(
        location: String,
        document: (String) -> JSONObject,
        by key: DocumentSigner,
        next: [DIDKey],
        isPortable: Bool = false,
        now: Timestamp
    ) throws(DocumentError) -> WebVHLog {
        let template = "did:webvh:\(placeholder):\(location)"
        var parameters: JSONObject = [
            "method": .string(method), "scid": .string(placeholder), "updateKeys": [.string(key.did.multibaseKey)],
            "nextKeyHashes": JSONValue(next.map { commitment(to: $0) }),
        ]
        if isPortable { parameters["portable"] = true }
        let preliminary: JSONObject = [
            "versionId": .string(placeholder), "versionTime": .string(seconds(now)),
            "parameters": .object(parameters), "state": .object(document(template)),
        ]
        let text = try canonical(preliminary)
        let scid = hash(Array(text.utf8))
        let filled = try object(Array(text.replacing(placeholder, with: scid).utf8))
        let line = try signedLine(filled, after: scid, number: 1, by: key, now: now)
        let did = try WebDID(parsing: "did:webvh:\(scid):\(location)")
        return try WebVHLog(line, resolving: did, now: now)
    }

    /// A log with one entry more: the key that was committed to takes over.
    ///
    /// - Parameters:
    ///   - location: where the DID moves to, as in ``create(location:document:by:next:isPortable:now:)``; nil: it stays.
    ///   - document: makes the new document of the DID.
    ///   - deactivating: whether this is the last entry.
    public func rotated(
        to key: DocumentSigner,
        next: [DIDKey],
        at location: String? = nil,
        document: (String) -> JSONObject,
        deactivating: Bool = false,
        now: Timestamp
    ) throws(DocumentError) -> WebVHLog {
        var parameters: JSONObject = [
            "updateKeys": [.string(key.did.multibaseKey)],
            "nextKeyHashes": JSONValue(next.map { Self.commitment(to: $0) }),
        ]
        if deactivating { parameters["deactivated"] = true }
        // Entries are dated in whole seconds, each later than the one before.
        let time = max(now, versionTime.adding(seconds: 1))
        let named = location.map { "did:webvh:\(did.scid ?? ""):\($0)" } ?? did.string
        let entry: JSONObject = [
            "versionId": .string(versionID), "versionTime": .string(Self.seconds(time)),
            "parameters": .object(parameters), "state": .object(document(named)),
        ]
        let line = try Self.signedLine(entry, after: versionID, number: number + 1, by: key, now: time)
        var log = self
        try log.append(try Self.object(line), line: line, now: time)
        return log
    }

    private static func signedLine(
        _ entry: JSONObject,
        after previous: String,
        number: Int,
        by key: DocumentSigner,
        now: Timestamp
    ) throws(DocumentError) -> [UInt8] {
        var entry = entry
        entry["versionId"] = .string(previous)
        entry["versionId"] = .string("\(number)-\(hash(Array(try canonical(entry).utf8)))")
        var signed = try DataIntegrity.sign(entry, by: key, created: Timestamp(secondsSince1970: now.secondsSince1970))
        if let proof = signed["proof"] { signed["proof"] = [proof] }
        return signed.serialized()
    }

    private static func seconds(_ time: Timestamp) -> String {
        Timestamp(secondsSince1970: time.secondsSince1970).rfc3339
    }
}
