public import CanonicalJSON
internal import Cryptography
public import Encodings
public import Passports
public import Receipts
public import SignedDocuments

/// A receipt with both signatures: its seller's, and its buyer's on a ``Rating``, with the passport by which a stranger sees whose
/// agent the buyer was ([RCPT-13]). A value holds together; ``call(publishedBy:now:)`` says what it counts for.
public struct RatedReceipt: Sendable {
    public let receipt: Receipt
    public let passport: Passport
    public let rating: Signed<Rating>
    /// What stands for it in a Merkle tree: the rating's canonical bytes, which name the receipt and the passport.
    public let entry: [UInt8]

    private static let members: Set<String> = ["receipt", "passport", "rating"]

    /// Countersigns a receipt.
    ///
    /// - Parameters:
    ///   - passport: the buyer's at the time of the call.
    ///   - signer: the key that the receipt names as its buyer.
    /// - Throws: ``ReputationRefusal`` where the three do not belong together; `TradeRefusal` and `DocumentError` where signing
    ///   fails.
    public static func sign(
        _ receipt: Receipt,
        _ outcome: CallOutcome,
        passport: Passport,
        by signer: DocumentSigner,
        now: Timestamp
    ) throws -> RatedReceipt {
        let rating = Rating(
            buyer: signer.did,
            receipt: try digest(receipt.document, atMost: Receipt.maximumBytes),
            passport: try digest(passport.document, atMost: Passport.maximumBytes),
            outcome: outcome,
            time: UInt64(max(0, now.secondsSince1970))
        )
        return try RatedReceipt(receipt, passport, try Signed.sign(rating, by: signer, now: now))
    }

    /// Reads one strictly, and checks the buyer's signature.
    /// - Throws: ``ReputationRefusal`` `.badReceipt`, `.badPassport`, `.badRating`.
    public init(_ json: JSONValue) throws(ReputationRefusal) {
        guard let object = json.objectValue, object.keys.allSatisfy(Self.members.contains),
            let receipt = object["receipt"]?.objectValue, let passport = object["passport"]?.objectValue,
            let rating = object["rating"]?.objectValue
        else { throw ReputationRefusal(.badRating, "It is no receipt with a passport and a rating.") }
        try self.init(Self.read(receipt), Self.read(passport), Self.read(rating))
    }

    private init(_ receipt: Receipt, _ passport: Passport, _ rating: Signed<Rating>) throws(ReputationRefusal) {
        let said = rating.content
        guard said.receipt == (try Self.digest(receipt.document, atMost: Receipt.maximumBytes)),
            receipt.claims.buyer?.did == said.buyer
        else { throw ReputationRefusal(.badRating, "The rating is of another receipt, or by another than its buyer.") }
        guard said.passport == (try Self.digest(passport.document, atMost: Passport.maximumBytes)) else {
            throw ReputationRefusal(.badRating, "The rating is with another passport.")
        }
        guard let entry = Self.entry(of: rating.document) else {
            throw ReputationRefusal(.badRating, "The rating has more than \(Rating.maximumBytes) bytes.")
        }
        self.receipt = receipt
        self.passport = passport
        self.rating = rating
        self.entry = entry
    }

    public var json: JSONObject {
        [
            "receipt": .object(receipt.document), "passport": .object(passport.document),
            "rating": .object(rating.document),
        ]
    }

    /// What stands in the tree for one that was not looked at yet; nil where it has no rating within its bounds.
    public static func entry(of json: JSONValue) -> [UInt8]? { json["rating"]?.objectValue.flatMap { entry(of: $0) } }

    private static func entry(of rating: JSONObject) -> [UInt8]? {
        guard let bytes = try? rating.canonicalized(), bytes.count <= Rating.maximumBytes else { return nil }
        return bytes
    }

    // MARK: Counting

    /// The call as others count it ([REP-17]): the node that stands behind the buyer judges the seller.
    ///
    /// - Parameter publisher: who shows it, and has to be that node.
    /// - Throws: ``ReputationRefusal`` with the first reason found.
    public func call(publishedBy publisher: DIDKey, now: Timestamp) throws(ReputationRefusal) -> SettledCall {
        let claims = receipt.claims
        try checkPassport(of: publisher)
        guard claims.seller.agentID == nil, claims.seller.passportID == nil else {
            throw ReputationRefusal(.unknownOperator, "The seller acts for somebody, and nothing shows for whom.")
        }
        let time = Timestamp(secondsSince1970: Int64(clamping: rating.content.time))
        guard time <= now.adding(seconds: Self.skewSeconds) else {
            throw ReputationRefusal(.fromFuture, "The rating is from ahead.")
        }
        guard time.adding(seconds: Self.skewSeconds) >= claims.respondedAt else {
            throw ReputationRefusal(.badRating, "The rating is from before the call.")
        }
        let call = try SettledCall(
            receipt,
            outcome: rating.content.outcome,
            operators: .init(buyer: [publisher]),
            now: now
        )
        return SettledCall(
            role: call.role,
            judge: publisher,
            judged: call.judged,
            outcome: call.outcome,
            at: call.at
        )
    }

    private static let skewSeconds: Int64 = 60

    private func checkPassport(of publisher: DIDKey) throws(ReputationRefusal) {
        func refuse(_ message: String) -> ReputationRefusal { ReputationRefusal(.badPassport, message) }
        let claims = receipt.claims
        guard passport.issuer == publisher else {
            throw refuse("The buyer's passport is not of the node that shows the receipt.")
        }
        guard passport.subject == rating.content.buyer, passport.subject.kind == .ed25519,
            (claims.buyer?.passportID ?? passport.id) == passport.id,
            (claims.buyer?.agentID ?? passport.agentID) == passport.agentID
        else { throw refuse("The passport is another's than the buyer's.") }
        guard passport.validFrom <= claims.requestedAt.adding(seconds: PassportVerifier.clockSkewSeconds),
            claims.requestedAt < passport.validUntil
        else { throw refuse("The passport was not in force when the call was made.") }
        guard passport.form == .jcs else { throw refuse("The passport is of another form than eddsa-jcs-2022.") }
        if let reason = PassportVerifier.signatureReason(passport) { throw refuse("\(reason.message).") }
    }

    // MARK: Reading

    private static func read(_ document: JSONObject) throws(ReputationRefusal) -> Receipt {
        do {
            return try Receipt(document: document)
        } catch {
            throw ReputationRefusal(.badReceipt, "The receipt is malformed: \(error.message).")
        }
    }

    private static func read(_ document: JSONObject) throws(ReputationRefusal) -> Passport {
        do {
            return try Passport(document: document)
        } catch {
            throw ReputationRefusal(.badPassport, "The passport is malformed: \(error.message).")
        }
    }

    private static func read(_ document: JSONObject) throws(ReputationRefusal) -> Signed<Rating> {
        do {
            return try Signed(document: document)
        } catch {
            throw ReputationRefusal(.badRating, "The rating does not hold: \(error.message).")
        }
    }

    private static func digest(_ document: JSONObject, atMost bytes: Int) throws(ReputationRefusal) -> [UInt8] {
        guard let canonical = try? document.canonicalized(), canonical.count <= bytes else {
            throw ReputationRefusal(.badRating, "A document has no canonical form within \(bytes) bytes.")
        }
        return Hashing.sha256(canonical)
    }
}
