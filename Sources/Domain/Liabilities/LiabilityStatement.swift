public import CanonicalJSON
public import Encodings
public import SignedDocuments

/// What a mint owes at the end of an epoch, signed: each keyset's trees of what was issued and what was spent, by their
/// roots ([POL-7]).
public struct LiabilityStatement: Hashable, Sendable {
    /// One keyset's two trees.
    public struct Keyset: Hashable, Sendable {
        /// Lower-case hex.
        public let id: String
        public let unit: String
        public let issued: LiabilityNode
        public let spent: LiabilityNode

        /// What is still owed, in whole units.
        public var outstanding: UInt64 { issued.sum - spent.sum }

        /// - Throws: `sums` where more was spent than issued.
        public init(id: String, unit: String, issued: LiabilityNode, spent: LiabilityNode) throws(LiabilityError) {
            guard spent.sum <= issued.sum else {
                throw LiabilityError(.sums, "keyset \(id) spent \(spent.sum) but issued only \(issued.sum) \(unit)")
            }
            self.id = id
            self.unit = unit
            self.issued = issued
            self.spent = spent
        }
    }

    /// The most keysets in one statement.
    public static let maximumKeysets = 1000
    static let type = "MintLiabilities"
    static let contexts: JSONValue = [
        "https://w3id.org/security/data-integrity/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
    ]

    /// Where the mint is reached.
    public let mint: String
    /// From 1, each one more than the one before.
    public let epoch: UInt64
    public let closedAt: Timestamp
    /// The digest of the statement before (`digest`); nil for the first.
    public let previous: String?
    /// By id.
    public let keysets: [Keyset]

    /// - Throws: `malformed` for epoch 0, a first epoch with a predecessor or another without one, too many keysets, or
    ///   one that stands twice.
    public init(
        mint: String,
        epoch: UInt64,
        closedAt: Timestamp,
        previous: String?,
        keysets: [Keyset]
    ) throws(LiabilityError) {
        guard epoch > 0, epoch <= LiabilityNode.maximum, (previous == nil) == (epoch == 1) else {
            throw LiabilityError(.malformed, "epochs count from 1, and each but the first names the one before")
        }
        guard keysets.count <= Self.maximumKeysets, zip(keysets, keysets.dropFirst()).allSatisfy({ $0.id < $1.id })
        else {
            throw LiabilityError(.malformed, "a statement has at most \(Self.maximumKeysets) keysets, ascending by id")
        }
        self.mint = mint
        self.epoch = epoch
        self.closedAt = closedAt
        self.previous = previous
        self.keysets = keysets
    }

    /// The document without its proof.
    public var document: JSONObject {
        var document: JSONObject = [
            "@context": Self.contexts, "type": .string(Self.type), "mint": .string(mint),
            "epoch": .string(String(epoch)), "closedAt": .string(closedAt.rfc3339),
        ]
        document["previous"] = previous.map { .string($0) }
        document["keysets"] = .array(
            keysets.map {
                [
                    "id": .string($0.id), "unit": .string($0.unit), "issued": $0.issued.json, "spent": $0.spent.json,
                    "outstanding": .string(String($0.outstanding)),
                ]
            }
        )
        return document
    }

    /// - Throws: `DocumentError`.
    public func signed(by signer: DocumentSigner, at now: Timestamp) throws(DocumentError) -> JSONObject {
        try DataIntegrity.sign(document, by: signer, created: now)
    }

    /// The digest by which the next statement names this one: of the canonical form of the whole signed document.
    /// - Throws: `malformed` where it has no canonical form.
    public static func digest(of document: JSONObject) throws(LiabilityError) -> String {
        do {
            return MultihashDigest.ofBytes(try document.canonicalized())
        } catch {
            throw LiabilityError(.malformed, "the statement has no canonical form: \(error)")
        }
    }

    /// Reads a signed document and checks its signature and its sums.
    /// - Returns: the statement and whose key signed it.
    /// - Throws: `LiabilityError`.
    public static func verified(_ document: JSONObject) throws(LiabilityError) -> (LiabilityStatement, signer: DIDKey) {
        let proof: VerifiedProof
        do {
            proof = try DataIntegrity.verify(document)
        } catch {
            throw LiabilityError(.badSignature, "the statement's signature: \(error.message)")
        }
        return (try LiabilityStatement(document: document), proof.signer)
    }

    /// Reads the shape, without looking at the signature.
    /// - Throws: `malformed`, or `sums`.
    public init(document: JSONObject) throws(LiabilityError) {
        guard document["type"]?.stringValue == Self.type, let mint = document["mint"]?.stringValue,
            mint.utf8.count <= 2048, let epoch = LiabilityNode.number(document["epoch"]),
            let closed = document["closedAt"]?.stringValue, let closedAt = try? Timestamp(rfc3339: closed),
            let list = document["keysets"]?.arrayValue, list.count <= Self.maximumKeysets
        else {
            throw LiabilityError(
                .malformed,
                "a statement has `type` \(Self.type), `mint`, `epoch`, `closedAt` and `keysets`"
            )
        }
        var keysets: [Keyset] = []
        for entry in list {
            guard let id = entry["id"]?.stringValue, id.utf8.count <= 66, let unit = entry["unit"]?.stringValue,
                unit.utf8.count <= 32, let issued = entry["issued"], let spent = entry["spent"]
            else {
                throw LiabilityError(.malformed, "a keyset has `id`, `unit`, `issued` and `spent`")
            }
            let keyset = try Keyset(
                id: id,
                unit: unit,
                issued: LiabilityNode(json: issued),
                spent: LiabilityNode(json: spent)
            )
            guard LiabilityNode.number(entry["outstanding"]) == keyset.outstanding else {
                throw LiabilityError(.sums, "keyset \(id): `outstanding` is not issued less spent")
            }
            keysets.append(keyset)
        }
        try self.init(
            mint: mint,
            epoch: epoch,
            closedAt: closedAt,
            previous: document["previous"]?.stringValue,
            keysets: keysets
        )
    }

    /// Holds this statement against an earlier one of the same mint ([POL-8]).
    /// - Throws: `contradiction` where a keyset is gone, or anything that only grows has shrunk.
    public func requireFollows(_ earlier: LiabilityStatement) throws(LiabilityError) {
        guard epoch >= earlier.epoch, closedAt >= earlier.closedAt else {
            throw LiabilityError(.contradiction, "epoch \(epoch) is older than epoch \(earlier.epoch), seen before")
        }
        guard epoch > earlier.epoch || self == earlier else {
            throw LiabilityError(.contradiction, "the mint has signed two different statements of epoch \(epoch)")
        }
        for old in earlier.keysets {
            guard let new = keysets.first(where: { $0.id == old.id }), new.unit == old.unit,
                new.issued.sum >= old.issued.sum, new.issued.count >= old.issued.count,
                new.spent.sum >= old.spent.sum, new.spent.count >= old.spent.count
            else {
                throw LiabilityError(
                    .contradiction,
                    "keyset \(old.id) has less issued or spent in epoch \(epoch) than in epoch \(earlier.epoch)"
                )
            }
        }
    }
}
