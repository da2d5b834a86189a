import CanonicalJSON
public import Encodings
public import SignedDocuments

/// One side of a paid call.
public struct ReceiptParty: Hashable, Sendable {
    /// The key that side acts with: the seller node's DID, or the buyer's key from its passport or request signature.
    public var did: DIDKey
    /// The agent's stable id, where it showed a passport.
    public var agentID: String?
    /// The id of the passport, where there is one.
    public var passportID: String?

    public init(did: DIDKey, agentID: String? = nil, passportID: String? = nil) {
        self.did = did
        self.agentID = agentID
        self.passportID = passportID
    }
}

/// How a paid call ended.
public enum ReceiptOutcome: String, Sendable, CaseIterable {
    /// The service answered, and keeps the payment.
    case served
    /// The service did not answer as promised, and the payment was given back.
    case refunded
}

/// What of a payment the call did not cost, and how the price came about ([RCPT-9]).
public struct ReceiptSettlement: Hashable, Sendable {
    /// What was quoted beforehand, in the receipt's unit; nil where the price was fixed.
    public var quoted: UInt64?
    /// What was measured, by the measure's name; at most ``maximumMeasures``.
    public var measures: [String: UInt64]
    /// What goes back, in the receipt's unit; 0 for nothing.
    public var returned: UInt64
    /// How it goes back, a form of the refund table; nil for nothing.
    public var form: String?
    /// What of ``returned`` goes back for a promise that was not kept; nil where none does.
    public var breach: ReceiptBreach?

    public static let maximumMeasures = 8

    public init(
        quoted: UInt64? = nil,
        measures: [String: UInt64] = [:],
        returned: UInt64 = 0,
        form: String? = nil,
        breach: ReceiptBreach? = nil
    ) {
        self.quoted = quoted
        self.measures = measures
        self.returned = returned
        self.form = form
        self.breach = breach
    }

    /// Whether it says nothing.
    public var isEmpty: Bool { self == ReceiptSettlement() }
}

/// The seller's own word that a call broke its promise, and what it gives back for that ([RCPT-12]).
public struct ReceiptBreach: Hashable, Sendable {
    /// `late` or `schema`, as `Specs/sla.md` names what was broken; at most 16 bytes.
    public var rule: String
    /// The deadline in milliseconds where it was late; nil else.
    public var promised: UInt64?
    /// What goes back for it, in the receipt's unit.
    public var refund: UInt64

    public init(rule: String, promised: UInt64?, refund: UInt64) {
        self.rule = rule
        self.promised = promised
        self.refund = refund
    }
}

/// On whose authority the buyer acted ([DLG-13]).
public struct ReceiptDelegation: Hashable, Sendable {
    public static let maximumLinks = 16

    /// The CIDs of the chain, from the root to the leaf.
    public var chain: [String]
    /// The id of the accounting node's ticket, a UUID; nil where there was none.
    public var ticket: String?
    /// How far the seller could check: `ticket`, `chain`, or `call-limit` where it knows nothing of the budgets.
    public var checked: String

    public init(chain: [String], ticket: String?, checked: String) {
        self.chain = chain
        self.ticket = ticket
        self.checked = checked
    }
}

/// What a seller says of one paid call.
public struct ReceiptClaims: Hashable, Sendable {
    /// A random UUID in lower case; whoever knows it may fetch the receipt.
    public var id: String
    /// The seller. Its DID must be the signer's.
    public var seller: ReceiptParty
    /// `nil` where the buyer paid without saying who it is.
    public var buyer: ReceiptParty?
    /// The service's name, at most 64 bytes.
    public var service: String
    public var method: String
    /// Path and query below the service, at most 2048 bytes of printable ASCII.
    public var target: String
    /// SHA-256 of the request's body, 32 bytes; of no bytes where there was none.
    public var requestDigest: [UInt8]
    /// SHA-256 of the response's body, 32 bytes; `nil` where no whole response was sent.
    public var responseDigest: [UInt8]?
    /// The HTTP status the buyer got, 100 to 599.
    public var status: Int
    /// What the call cost, in `unit`; 0 for a free call.
    public var amount: UInt64
    /// The unit of `amount`, such as `sat`; at most 16 bytes.
    public var unit: String
    /// 32 bytes that stand for the payment without spending it; how they are made is the dialect's.
    public var paymentDigest: [UInt8]
    /// How it was paid: `nut24`, `l402`, `x402`…
    public var dialect: String
    public var requestedAt: Timestamp
    public var respondedAt: Timestamp
    public var outcome: ReceiptOutcome
    /// What was given back or measured; nil where neither was.
    public var settlement: ReceiptSettlement?
    /// nil where the buyer showed no chain.
    public var delegation: ReceiptDelegation?
    /// The promise that the seller's log will hold the receipt; nil where the seller keeps no log.
    public var promise: InclusionPromise?

    public init(
        id: String,
        seller: ReceiptParty,
        buyer: ReceiptParty?,
        service: String,
        method: String,
        target: String,
        requestDigest: [UInt8],
        responseDigest: [UInt8]?,
        status: Int,
        amount: UInt64,
        unit: String,
        paymentDigest: [UInt8],
        dialect: String,
        requestedAt: Timestamp,
        respondedAt: Timestamp,
        outcome: ReceiptOutcome,
        settlement: ReceiptSettlement? = nil,
        delegation: ReceiptDelegation? = nil,
        promise: InclusionPromise? = nil
    ) {
        self.id = id
        self.seller = seller
        self.buyer = buyer
        self.service = service
        self.method = method
        self.target = target
        self.requestDigest = requestDigest
        self.responseDigest = responseDigest
        self.status = status
        self.amount = amount
        self.unit = unit
        self.paymentDigest = paymentDigest
        self.dialect = dialect
        self.requestedAt = requestedAt
        self.respondedAt = respondedAt
        self.outcome = outcome
        self.settlement = settlement
        self.delegation = delegation
        self.promise = promise
    }

    /// The document without its proof.
    func document() -> JSONObject {
        var document = JSONObject()
        document["@context"] = Receipt.contexts
        document["id"] = .string("urn:uuid:\(id)")
        document["type"] = ["PaidCallReceipt"]
        document["seller"] = Self.party(seller)
        if let buyer { document["buyer"] = Self.party(buyer) }
        document["service"] = .string(service)

        var request = JSONObject()
        request["method"] = .string(method)
        request["target"] = .string(target)
        request["digest"] = .string(MultihashDigest.encode(requestDigest))
        document["request"] = .object(request)

        var response = JSONObject()
        response["status"] = .integer(Int64(status))
        if let responseDigest { response["digest"] = .string(MultihashDigest.encode(responseDigest)) }
        document["response"] = .object(response)

        var payment = JSONObject()
        payment["amount"] = .string(String(amount))
        payment["unit"] = .string(unit)
        payment["dialect"] = .string(dialect)
        payment["digest"] = .string(MultihashDigest.encode(paymentDigest))
        if let settlement { Self.add(settlement, to: &payment) }
        document["payment"] = .object(payment)
        if let delegation {
            var shown: JSONObject = ["chain": JSONValue(delegation.chain)]
            shown["ticket"] = delegation.ticket.map { .string("urn:uuid:\($0)") }
            shown["checked"] = .string(delegation.checked)
            document["delegation"] = .object(shown)
        }
        document["requestedAt"] = .string(requestedAt.rfc3339)
        document["respondedAt"] = .string(respondedAt.rfc3339)
        document["outcome"] = .string(outcome.rawValue)
        document["inclusionPromise"] = promise?.json
        return document
    }

    private static func add(_ settlement: ReceiptSettlement, to payment: inout JSONObject) {
        payment["quoted"] = settlement.quoted.map { .string(String($0)) }
        if !settlement.measures.isEmpty {
            var measures = JSONObject()
            for (name, quantity) in settlement.measures.sorted(by: { $0.key < $1.key }) {
                measures[name] = .string(String(quantity))
            }
            payment["measures"] = .object(measures)
        }
        if let form = settlement.form {
            var returned: JSONObject = [
                "amount": .string(String(settlement.returned)), "form": .string(form),
            ]
            if let breach = settlement.breach {
                var shown: JSONObject = ["rule": .string(breach.rule)]
                shown["promised"] = breach.promised.map { .string(String($0)) }
                shown["refund"] = .string(String(breach.refund))
                returned["breach"] = .object(shown)
            }
            payment["returned"] = .object(returned)
        }
    }

    private static func party(_ party: ReceiptParty) -> JSONValue {
        var object = JSONObject()
        object["id"] = .string(party.did.string)
        if let agentID = party.agentID { object["agentId"] = .string(agentID) }
        if let passportID = party.passportID { object["passport"] = .string(passportID) }
        return .object(object)
    }
}
