public import CanonicalJSON
internal import Cryptography
internal import Encodings
public import SignedDocuments

/// What became of an invocation, in its executor's signed words, with the invocation, the receipt of the paid call and perhaps
/// the chain beside it: one file that is checked offline ([DLG-16]).
///
/// UCAN 1.0 has published no form for receipts. The assertion is that of the draft in ucan-wg/receipt: itself an invocation, of
/// `/ucan/assert`, by the executor on its own authority and to itself, that does not expire.
public struct InvocationReceipt: Sendable, Equatable {
    public static let maximumBytes = 131_072
    static let type: JSONValue = ["InvocationReceipt"]
    static let command = "/ucan/assert"

    /// How the call ended.
    public enum Outcome: String, Sendable {
        case served = "ok"
        case refunded = "error"
    }

    /// The executor's word.
    public let assertion: Invocation
    /// What it is of.
    public let invocation: Invocation
    /// The receipt of the paid call, with its proof.
    public let receipt: JSONObject
    /// The links that the invocation rests on, where they are there.
    public let chain: DelegationChain?
    /// What the assertion says.
    public let says: Statement

    /// What an assertion says of one paid call.
    public struct Statement: Hashable, Sendable {
        /// The invocation.
        public var about: CID
        public var outcome: Outcome
        /// The UUID of the paid call's receipt.
        public var receiptID: String
        /// SHA-256 of that receipt's canonical text, proof included.
        public var receiptDigest: [UInt8]
        /// What the call cost, in `unit`.
        public var amount: UInt64
        public var unit: String
        /// The HTTP status of its answer.
        public var status: Int
    }

    // MARK: Making

    /// The executor's word on an invocation whose paid call has the receipt. The same each time it is made.
    ///
    /// - Parameters:
    ///   - receipt: signed by `key`, of the call that the invocation was shown for.
    ///   - chain: goes with it where it is the invocation's.
    /// - Throws: `DelegationError` `.receiptMalformed` where the receipt is none; what signing throws.
    public static func issue(
        of invocation: Invocation,
        receipt: JSONObject,
        chain: DelegationChain?,
        by key: any SigningKey
    ) throws(DelegationError) -> InvocationReceipt {
        let says = try statement(about: invocation.cid, of: receipt)
        let out = CBOR.map([
            CBORPair("receipt", .text("urn:uuid:\(says.receiptID)")), CBORPair("digest", .bytes(says.receiptDigest)),
            CBORPair("amount", .unsigned(says.amount)), CBORPair("unit", .text(says.unit)),
            CBORPair("status", .unsigned(UInt64(says.status))),
        ])
        let facts = CBOR.map([
            CBORPair("out", .map([CBORPair(says.outcome.rawValue, out)])), CBORPair("run", .array([])),
        ])
        guard let text = receipt["respondedAt"]?.stringValue, let answered = try? Timestamp(rfc3339: text) else {
            throw malformed("the receipt does not say when it was")
        }
        let assertion = try Invocation.issue(
            by: key,
            subject: key.did,
            recipient: key.did,
            command: Command(command),
            arguments: [CBORPair("about", .link(invocation.cid)), CBORPair("facts", facts)],
            proofs: [],
            expires: nil,
            issuedAt: answered,
            nonce: [UInt8](Hashing.sha256(Array("invocation-receipt:\(says.receiptID)".utf8)).prefix(12))
        )
        let links = chain?.cids == invocation.proofs ? chain : nil
        return InvocationReceipt(
            assertion: assertion,
            invocation: invocation,
            receipt: receipt,
            chain: links,
            says: says
        )
    }

    /// What is to be said of a paid call, from its receipt.
    static func statement(about invocation: CID, of receipt: JSONObject) throws(DelegationError) -> Statement {
        guard let id = receipt["id"]?.stringValue, id.hasPrefix("urn:uuid:"), id.utf8.count == 45,
            let ended = receipt["outcome"]?.stringValue, let payment = receipt["payment"],
            let amount = UInt64(payment["amount"]?.stringValue ?? ""), amount <= PolicyNumber.maximumInteger,
            let unit = payment["unit"]?.stringValue, let status = receipt["response"]?["status"]?.int64Value,
            (100...599).contains(status), let text = try? receipt.canonicalized()
        else { throw malformed("it holds no receipt of a paid call") }
        let outcome: Outcome
        switch ended {
        case "served": outcome = .served
        case "refunded": outcome = .refunded
        default: throw malformed("the receipt does not say how the call ended")
        }
        return Statement(
            about: invocation,
            outcome: outcome,
            receiptID: String(id.dropFirst(9)),
            receiptDigest: Hashing.sha256(text),
            amount: amount,
            unit: unit,
            status: Int(status)
        )
    }

    private static func malformed(_ message: String) -> DelegationError { DelegationError(.receiptMalformed, message) }

    private init(
        assertion: Invocation,
        invocation: Invocation,
        receipt: JSONObject,
        chain: DelegationChain?,
        says: Statement
    ) {
        self.assertion = assertion
        self.invocation = invocation
        self.receipt = receipt
        self.chain = chain
        self.says = says
    }

    // MARK: As a file

    /// Whether a document says that it is one.
    public static func isOne(_ document: JSONObject) -> Bool { document["type"] == type }

    /// Reads the shape; whether it holds, ``problems(_:)`` says.
    /// - Throws: `DelegationError`: `.receiptMalformed`, and what reading an envelope throws.
    public init(document: JSONObject) throws(DelegationError) {
        guard Self.isOne(document),
            document.keys.allSatisfy(["type", "assertion", "invocation", "links", "receipt"].contains),
            let receipt = document["receipt"]?.objectValue
        else {
            throw Self.malformed(
                "an invocation's receipt has `type`, `assertion`, `invocation`, `receipt`, perhaps `links`"
            )
        }
        assertion = try Invocation(bytes: DelegationFile.envelope(document["assertion"] ?? .null))
        invocation = try Invocation(bytes: DelegationFile.envelope(document["invocation"] ?? .null))
        self.receipt = receipt
        says = try Self.statement(in: assertion)
        guard let links = document["links"] else {
            chain = nil
            return
        }
        guard let items = links.arrayValue, items.count <= DelegationChain.maximumLinks else {
            throw Self.malformed("`links` holds at most \(DelegationChain.maximumLinks) envelopes")
        }
        var read: [Delegation] = []
        for item in items {
            do {
                read.append(try Delegation(bytes: DelegationFile.envelope(item)))
            } catch {
                throw error.at(read.count, nil)
            }
        }
        chain = DelegationChain(read)
    }

    /// Reads JSON of at most ``maximumBytes``.
    public init(bytes: [UInt8]) throws(DelegationError) {
        let limits = JSONLimits(maximumBytes: Self.maximumBytes, maximumDepth: 9, maximumValues: 512)
        guard let object = (try? JSONValue.parse(bytes, limits: limits))?.objectValue else {
            throw Self.malformed("an invocation's receipt is a JSON object of at most \(Self.maximumBytes) bytes")
        }
        try self.init(document: object)
    }

    /// Reads what an assertion says; it says this and nothing else.
    private static func statement(in assertion: Invocation) throws(DelegationError) -> Statement {
        let refusal = malformed("the assertion is not one of a paid call")
        guard assertion.command.text == command, assertion.proofs.isEmpty, assertion.expires == nil,
            case .map(let arguments) = assertion.arguments, arguments.count == 2,
            let about = assertion.arguments[text: "about"]?.linkValue,
            let facts = assertion.arguments[text: "facts"], case .map(let parts) = facts, parts.count == 2,
            facts[text: "run"] == .array([]), case .map(let ends)? = facts[text: "out"], ends.count == 1,
            case .text(let name) = ends[0].key, let outcome = Outcome(rawValue: name)
        else { throw refusal }
        let out = ends[0].value
        guard case .map(let members) = out, members.count == 5, case .text(let id)? = out[text: "receipt"],
            id.hasPrefix("urn:uuid:"), id.utf8.count == 45, case .bytes(let digest)? = out[text: "digest"],
            digest.count == 32, case .unsigned(let amount)? = out[text: "amount"],
            amount <= PolicyNumber.maximumInteger, case .text(let unit)? = out[text: "unit"],
            ProfileTerms.isUnit(unit), case .unsigned(let status)? = out[text: "status"],
            (100...599).contains(status)
        else { throw refusal }
        return Statement(
            about: about,
            outcome: outcome,
            receiptID: String(id.dropFirst(9)),
            receiptDigest: digest,
            amount: amount,
            unit: unit,
            status: Int(status)
        )
    }

    public var document: JSONObject {
        func text(_ bytes: [UInt8]) -> JSONValue { .string(Multibase.encode(bytes, as: .base64url)) }
        var object = JSONObject()
        object["type"] = Self.type
        object["assertion"] = text(assertion.bytes)
        object["invocation"] = text(invocation.bytes)
        if let chain { object["links"] = .array(chain.links.map { text($0.bytes) }) }
        object["receipt"] = .object(receipt)
        return object
    }
}
