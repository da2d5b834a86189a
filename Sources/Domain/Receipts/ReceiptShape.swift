import CanonicalJSON
import Encodings
import SignedDocuments

/// Reads the members of a receipt by the rules of `Specs/receipt.md`.
enum ReceiptShape {
    static let members: Set<String> = [
        "@context", "id", "type", "seller", "buyer", "service", "request", "response", "payment", "requestedAt",
        "respondedAt", "outcome", "delegation", "inclusionPromise", "proof",
    ]

    static func claims(_ document: JSONObject) throws(ReceiptReason) -> ReceiptClaims {
        for (key, _) in document where !members.contains(key) {
            throw refuse("`\(key.prefix(64))` has no place in a receipt")
        }
        guard document["@context"] == Receipt.contexts, document["type"] == ["PaidCallReceipt"] else {
            throw refuse("`@context` and `type` must be those of a PaidCallReceipt")
        }
        guard document["proof"]?.objectValue != nil else { throw refuse("`proof` must be one object") }
        guard let request = document["request"], let response = document["response"], let payment = document["payment"]
        else {
            throw refuse("`request`, `response` and `payment` must be objects")
        }
        try require(request, "request", has: ["method", "target", "digest"])
        try require(response, "response", has: ["status", "digest"])
        try require(payment, "payment", has: paymentMembers)
        guard let outcome = ReceiptOutcome(rawValue: document["outcome"]?.stringValue ?? "") else {
            throw refuse("`outcome` must be `served` or `refunded`")
        }
        guard let status = response["status"]?.int64Value else {
            throw refuse("`response.status` must be an HTTP status")
        }
        let claims = ReceiptClaims(
            id: try identifier(document["id"]),
            seller: try party(document["seller"], "seller"),
            buyer: try document["buyer"].map { (value) throws(ReceiptReason) in try party(value, "buyer") },
            service: try text(document["service"], "service"),
            method: try text(request["method"], "request.method"),
            target: try text(request["target"], "request.target"),
            requestDigest: try digest(request["digest"], "request.digest"),
            responseDigest: try response["digest"].map { (value) throws(ReceiptReason) in
                try digest(value, "response.digest")
            },
            status: Int(clamping: status),
            amount: try amount(payment["amount"]),
            unit: try text(payment["unit"], "payment.unit"),
            paymentDigest: try digest(payment["digest"], "payment.digest"),
            dialect: try text(payment["dialect"], "payment.dialect"),
            requestedAt: try instant(document["requestedAt"], "requestedAt"),
            respondedAt: try instant(document["respondedAt"], "respondedAt"),
            outcome: outcome,
            settlement: try settlement(payment),
            delegation: try document["delegation"].map { (value) throws(ReceiptReason) in try delegation(value) },
            promise: try promise(document)
        )
        try check(claims)
        return claims
    }

    /// What the claims must be like, read from a document or about to be signed.
    static func check(_ claims: ReceiptClaims) throws(ReceiptReason) {
        guard isUUID(claims.id) else { throw refuse("`id` must be urn:uuid: and a UUID in lower case") }
        guard (100...599).contains(claims.status) else { throw refuse("`response.status` must be an HTTP status") }
        guard claims.requestedAt <= claims.respondedAt else {
            throw refuse("`respondedAt` must not come before `requestedAt`")
        }
        guard claims.requestDigest.count == 32, claims.paymentDigest.count == 32,
            claims.responseDigest.map({ $0.count == 32 }) ?? true
        else { throw refuse("the digests of a receipt have 32 bytes") }
        try check(claims.service, "service", limit: 64)
        try check(claims.method, "request.method", limit: 32)
        try check(claims.target, "request.target", limit: 2048)
        try check(claims.unit, "payment.unit", limit: 16)
        try check(claims.dialect, "payment.dialect", limit: 32)
        if let settlement = claims.settlement { try check(settlement) }
        if let delegation = claims.delegation { try check(delegation) }
        if let promise = claims.promise {
            try check(promise.log, "inclusionPromise.log", limit: 255)
            guard promise.salt.count == InclusionPromise.saltLength else {
                throw refuse("`inclusionPromise.salt` must have \(InclusionPromise.saltLength) bytes")
            }
        }
        try check(claims.seller, "seller")
        if let buyer = claims.buyer { try check(buyer, "buyer") }
    }

    private static func check(_ party: ReceiptParty, _ name: String) throws(ReceiptReason) {
        if let id = party.agentID { try check(id, "\(name).agentId", limit: 256) }
        if let id = party.passportID { try check(id, "\(name).passport", limit: 256) }
    }

    /// Printable ASCII without spaces, 1 to `limit` bytes.
    private static func check(_ text: String, _ name: String, limit: Int) throws(ReceiptReason) {
        guard (1...limit).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw refuse("`\(name)` must have 1 to \(limit) printable ASCII characters")
        }
    }

    private static func refuse(_ message: String) -> ReceiptReason {
        ReceiptReason(.malformed, message)
    }

    /// `urn:uuid:` and a UUID in lower case; answers the UUID.
    private static func identifier(_ value: JSONValue?) throws(ReceiptReason) -> String {
        guard let text = value?.stringValue, text.hasPrefix("urn:uuid:") else {
            throw refuse("`id` must be urn:uuid: and a UUID in lower case")
        }
        return String(text.dropFirst(9))
    }

    static func isUUID(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count == 36 else { return false }
        for (place, byte) in bytes.enumerated() {
            switch (place, byte) {
            case (8, UInt8(ascii: "-")), (13, UInt8(ascii: "-")), (18, UInt8(ascii: "-")), (23, UInt8(ascii: "-")):
                continue
            case (8, _), (13, _), (18, _), (23, _): return false
            case (_, 0x30...0x39), (_, 0x61...0x66): continue
            default: return false
            }
        }
        return true
    }

    private static let paymentMembers: Set<String> = [
        "amount", "unit", "digest", "dialect", "quoted", "measures", "returned",
    ]

    /// - Throws: where an object has other members than these; what is no object is refused where it is read.
    private static func require(
        _ value: JSONValue?,
        _ name: String,
        has members: Set<String>
    ) throws(ReceiptReason) {
        for (key, _) in value?.objectValue ?? [:] where !members.contains(key) {
            throw refuse("`\(name).\(key.prefix(64))` has no place in a receipt")
        }
    }

    private static func text(_ value: JSONValue?, _ name: String) throws(ReceiptReason) -> String {
        guard let text = value?.stringValue else { throw refuse("`\(name)` must be a string") }
        return text
    }

    private static func party(_ value: JSONValue?, _ name: String) throws(ReceiptReason) -> ReceiptParty {
        try require(value, name, has: ["id", "agentId", "passport"])
        guard let text = value?["id"]?.stringValue, let did = try? DIDKey(parsing: text) else {
            throw refuse("`\(name).id` must be a did:key")
        }
        return ReceiptParty(
            did: did,
            agentID: try value?["agentId"].map { (member) throws(ReceiptReason) in
                try self.text(member, "\(name).agentId")
            },
            passportID: try value?["passport"].map { (member) throws(ReceiptReason) in
                try self.text(member, "\(name).passport")
            }
        )
    }

    private static func delegation(_ value: JSONValue) throws(ReceiptReason) -> ReceiptDelegation {
        guard let object = value.objectValue, object.keys.allSatisfy(["chain", "ticket", "checked"].contains),
            let items = object["chain"]?.arrayValue
        else { throw refuse("`delegation` must have `chain`, `checked` and perhaps `ticket`") }
        return ReceiptDelegation(
            chain: try items.map { (item) throws(ReceiptReason) in try text(item, "delegation.chain") },
            ticket: try object["ticket"].map { (item) throws(ReceiptReason) in try identifier(item) },
            checked: try text(object["checked"], "delegation.checked")
        )
    }

    private static func check(_ delegation: ReceiptDelegation) throws(ReceiptReason) {
        guard delegation.chain.count <= ReceiptDelegation.maximumLinks else {
            throw refuse("`delegation.chain` has at most \(ReceiptDelegation.maximumLinks) links")
        }
        for link in delegation.chain { try check(link, "delegation.chain", limit: 80) }
        if let ticket = delegation.ticket, !isUUID(ticket) {
            throw refuse("`delegation.ticket` must be urn:uuid: and a UUID")
        }
        try check(delegation.checked, "delegation.checked", limit: 16)
    }

    private static func digest(_ value: JSONValue?, _ name: String) throws(ReceiptReason) -> [UInt8] {
        do {
            return try MultihashDigest.decode(value?.stringValue ?? "")
        } catch {
            throw refuse("`\(name)`: \(error.message)")
        }
    }

    private static func check(_ settlement: ReceiptSettlement) throws(ReceiptReason) {
        guard settlement.measures.count <= ReceiptSettlement.maximumMeasures else {
            throw refuse("`payment.measures` has at most \(ReceiptSettlement.maximumMeasures) members")
        }
        for name in settlement.measures.keys { try check(name, "payment.measures", limit: 80) }
        if let form = settlement.form { try check(form, "payment.returned.form", limit: 32) }
        guard let breach = settlement.breach else { return }
        try check(breach.rule, "payment.returned.breach.rule", limit: 16)
        guard settlement.form != nil, breach.refund > 0, breach.refund <= settlement.returned else {
            throw refuse("`payment.returned.breach.refund` must be at least 1 and at most what is returned")
        }
    }

    /// What was quoted, measured and given back; nil where the receipt says nothing of it.
    private static func settlement(_ payment: JSONValue) throws(ReceiptReason) -> ReceiptSettlement? {
        guard payment["quoted"] != nil || payment["measures"] != nil || payment["returned"] != nil else { return nil }
        var settlement = ReceiptSettlement()
        if let quoted = payment["quoted"] { settlement.quoted = try amount(quoted, "payment.quoted") }
        if let measures = payment["measures"] {
            guard let object = measures.objectValue else { throw refuse("`payment.measures` must be an object") }
            for (name, value) in object { settlement.measures[name] = try amount(value, "payment.measures") }
        }
        if let returned = payment["returned"] {
            try require(returned, "payment.returned", has: ["amount", "form", "breach"])
            settlement.returned = try amount(returned["amount"], "payment.returned.amount")
            settlement.form = try text(returned["form"], "payment.returned.form")
            settlement.breach = try returned["breach"].map { (value) throws(ReceiptReason) in try breach(value) }
        }
        return settlement
    }

    private static func breach(_ value: JSONValue) throws(ReceiptReason) -> ReceiptBreach {
        let name = "payment.returned.breach"
        guard let object = value.objectValue, object.keys.allSatisfy(["rule", "promised", "refund"].contains) else {
            throw refuse("`\(name)` must have `rule`, `refund` and perhaps `promised`")
        }
        return ReceiptBreach(
            rule: try text(object["rule"], name + ".rule"),
            promised: try object["promised"].map { (member) throws(ReceiptReason) in
                try amount(member, name + ".promised")
            },
            refund: try amount(object["refund"], name + ".refund")
        )
    }

    private static func promise(_ document: JSONObject) throws(ReceiptReason) -> InclusionPromise? {
        guard let value = document["inclusionPromise"] else { return nil }
        try require(value, "inclusionPromise", has: ["log", "salt", "by"])
        guard let promise = InclusionPromise(document: .object(document)) else {
            throw refuse("`inclusionPromise` must name a log, a salt of 16 bytes and an instant")
        }
        return promise
    }

    private static func amount(
        _ value: JSONValue?,
        _ name: String = "payment.amount"
    ) throws(ReceiptReason) -> UInt64 {
        guard let text = value?.stringValue, (1...20).contains(text.utf8.count), let amount = UInt64(text),
            String(amount) == text
        else {
            throw refuse("`\(name)` must be a decimal string")
        }
        return amount
    }

    private static func instant(_ value: JSONValue?, _ name: String) throws(ReceiptReason) -> Timestamp {
        guard let text = value?.stringValue, let instant = try? Timestamp(rfc3339: text) else {
            throw refuse("`\(name)` must be a date and time with an offset")
        }
        return instant
    }
}
