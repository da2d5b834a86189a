public import CanonicalJSON
public import Cryptography
public import Encodings
public import SignedDocuments

/// A seller's signed statement of one paid call, secured with `eddsa-jcs-2022`. `Specs/receipt.md` gives the format.
///
/// A value of this type has the right shape; ``verify(document:now:expecting:)`` says whether to rely on it.
public struct Receipt: Equatable, Sendable {
    /// The longest JSON text accepted, in bytes.
    public static let maximumBytes = 8192

    /// The whole document with its proof.
    public let document: JSONObject
    public let claims: ReceiptClaims

    static let contexts: JSONValue = [
        "https://w3id.org/security/data-integrity/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
    ]

    /// The receipt's UUID, which is also its path under `/receipts/`.
    public var id: String { claims.id }

    private init(document: JSONObject, claims: ReceiptClaims) {
        self.document = document
        self.claims = claims
    }

    /// Reads a receipt's shape.
    ///
    /// - Throws: `ReceiptReason` with `.malformed`, naming the member.
    public init(document: JSONObject) throws(ReceiptReason) {
        claims = try ReceiptShape.claims(document)
        self.document = document
    }

    /// Reads a receipt from JSON text of at most ``maximumBytes``.
    public init(bytes: [UInt8]) throws(ReceiptReason) {
        let value: JSONValue
        do {
            value = try JSONValue.parse(
                bytes,
                limits: JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 8, maximumValues: 128)
            )
        } catch {
            throw ReceiptReason(.malformed, "a receipt is JSON of at most \(Self.maximumBytes) bytes: \(error)")
        }
        guard let object = value.objectValue else { throw ReceiptReason(.malformed, "a receipt is a JSON object") }
        try self.init(document: object)
    }

    /// Reads the value of an `Agent-Receipt` header: base64url of the JSON text.
    public init(header: String) throws(ReceiptReason) {
        guard header.utf8.count <= Self.maximumBytes * 4 / 3 + 4, let bytes = try? Base64URL.decode(header) else {
            throw ReceiptReason(.malformed, "`Agent-Receipt` is base64url of at most \(Self.maximumBytes) bytes")
        }
        try self.init(bytes: bytes)
    }

    /// Signs a receipt.
    ///
    /// - Throws: `ReceiptReason` with `.malformed` where a claim breaks the format's rules, `.wrongSeller` where the key
    ///   is not the seller's; `DocumentError` where signing fails.
    public static func issue(_ claims: ReceiptClaims, key: Ed25519.PrivateKey, now: Timestamp) throws -> Receipt {
        try issue(claims, by: DocumentSigner(key), now: now)
    }

    /// As ``issue(_:key:now:)``, for a seller that signs many.
    public static func issue(_ claims: ReceiptClaims, by signer: DocumentSigner, now: Timestamp) throws -> Receipt {
        guard claims.seller.did == signer.did else {
            throw ReceiptReason(.wrongSeller, "a receipt is signed by the seller it names")
        }
        try ReceiptShape.check(claims)
        return Receipt(
            document: try DataIntegrity.sign(claims.document(), by: signer, created: now),
            claims: claims
        )
    }

    /// The document as compact JSON.
    public var bytes: [UInt8] { JSONValue.object(document).serialized() }

    /// The value of the `Agent-Receipt` header or trailer.
    public var encodedHeader: String { Base64URL.encode(bytes) }

    // MARK: Verifying

    /// What the buyer knows of the call, to hold a receipt against. Only what is given is compared.
    public struct Expectation: Hashable, Sendable {
        public var seller: DIDKey?
        public var buyer: DIDKey?
        public var requestDigest: [UInt8]?
        public var responseDigest: [UInt8]?
        public var paymentDigest: [UInt8]?

        public init(
            seller: DIDKey? = nil,
            buyer: DIDKey? = nil,
            requestDigest: [UInt8]? = nil,
            responseDigest: [UInt8]? = nil,
            paymentDigest: [UInt8]? = nil
        ) {
            self.seller = seller
            self.buyer = buyer
            self.requestDigest = requestDigest
            self.responseDigest = responseDigest
            self.paymentDigest = paymentDigest
        }
    }

    /// Checks a receipt offline: shape, signature, signer, times, and what the buyer knows.
    ///
    /// - Parameter now: where given, a receipt from more than a minute ahead is refused.
    /// - Returns: every reason found.
    public static func verify(
        document: JSONObject,
        now: Timestamp? = nil,
        expecting expected: Expectation = Expectation()
    ) -> ReceiptVerdict {
        let receipt: Receipt
        do {
            receipt = try Receipt(document: document)
        } catch {
            return ReceiptVerdict(receipt: nil, reasons: [error])
        }
        return receipt.verdict(now: now, expecting: expected)
    }

    /// As ``verify(document:now:expecting:)``, for a receipt that was read already.
    public func verdict(now: Timestamp? = nil, expecting expected: Expectation = Expectation()) -> ReceiptVerdict {
        var reasons: [ReceiptReason] = []
        do {
            let proof = try DataIntegrity.verify(document)
            if proof.signer != claims.seller.did {
                reasons.append(
                    ReceiptReason(.wrongSeller, "the receipt is signed by \(proof.signer), not by its seller")
                )
            }
        } catch {
            reasons.append(ReceiptReason(.badSignature, error.message))
        }
        if let now, claims.respondedAt > now.adding(seconds: 60) {
            reasons.append(
                ReceiptReason(.fromFuture, "the receipt is of \(claims.respondedAt.rfc3339), which lies ahead")
            )
        }
        if let seller = expected.seller, seller != claims.seller.did {
            reasons.append(ReceiptReason(.unexpectedSeller, "the receipt is by \(claims.seller.did), not by \(seller)"))
        }
        reasons.append(contentsOf: mismatches(expected))
        return ReceiptVerdict(receipt: self, reasons: reasons)
    }

    private func mismatches(_ expected: Expectation) -> [ReceiptReason] {
        var names: [String] = []
        if let buyer = expected.buyer, buyer != claims.buyer?.did { names.append("buyer") }
        if let digest = expected.requestDigest, digest != claims.requestDigest { names.append("request") }
        if let digest = expected.responseDigest, digest != claims.responseDigest { names.append("response") }
        if let digest = expected.paymentDigest, digest != claims.paymentDigest { names.append("payment") }
        return names.map { ReceiptReason(.mismatch, "the receipt names another \($0) than the one at hand") }
    }
}
