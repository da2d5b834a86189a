import CanonicalJSON
import Cryptography
import Encodings
import FieldSweeps
import Receipts
import SignedDocuments
import Testing

/// Every field of a receipt flipped and taken out: refused, and why.
@Suite("every field of a receipt")
struct ReceiptSweepTests {
    private static let now = Timestamp(millisecondsSince1970: 1_795_219_200_145)
    private let seller: DocumentSigner
    private let buyer: DIDKey
    private let stranger: DIDKey

    init() throws {
        seller = DocumentSigner(try Ed25519.PrivateKey(seed: [UInt8](repeating: 1, count: 32)))
        buyer = DIDKey(try Ed25519.PrivateKey(seed: [UInt8](repeating: 2, count: 32)).publicKey)
        stranger = DIDKey(try Ed25519.PrivateKey(seed: [UInt8](repeating: 9, count: 32)).publicKey)
    }

    /// A receipt with every member that one may have.
    private func document() throws -> JSONObject {
        let claims = ReceiptClaims(
            id: "7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01",
            seller: ReceiptParty(
                did: seller.did,
                agentID: "urn:uuid:00000000-0000-4000-8000-000000000003",
                passportID: "urn:uuid:00000000-0000-4000-8000-000000000004"
            ),
            buyer: ReceiptParty(
                did: buyer,
                agentID: "urn:uuid:00000000-0000-4000-8000-000000000001",
                passportID: "urn:uuid:00000000-0000-4000-8000-000000000002"
            ),
            service: "weather",
            method: "GET",
            target: "/today?city=Bern",
            requestDigest: Hashing.sha256([]),
            responseDigest: Hashing.sha256(Array("sunny".utf8)),
            status: 200,
            amount: 13,
            unit: "sat",
            paymentDigest: Hashing.sha256([9]),
            dialect: "nut24",
            requestedAt: Timestamp(millisecondsSince1970: 1_795_219_200_120),
            respondedAt: Self.now,
            outcome: .served,
            settlement: ReceiptSettlement(
                quoted: 63,
                measures: ["responseBytes": 2048],
                returned: 50,
                form: "fresh-token",
                breach: ReceiptBreach(rule: "late", promised: 500, refund: 3)
            ),
            delegation: ReceiptDelegation(
                chain: ["bafyreigyftnzjf4rcu7glp5kfop53vqlopc3zcldauoqdxqlz7t4343gr4"],
                ticket: "7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f02",
                checked: "ticket"
            ),
            promise: InclusionPromise(log: "node.example/log", salt: [UInt8](0..<16), by: Self.now.adding(seconds: 60))
        )
        return try Receipt.issue(claims, by: seller, now: Self.now).document
    }

    private func words(_ value: JSONValue) -> String {
        let expected = Receipt.Expectation(
            seller: seller.did,
            buyer: buyer,
            requestDigest: Hashing.sha256([]),
            responseDigest: Hashing.sha256(Array("sunny".utf8)),
            paymentDigest: Hashing.sha256([9])
        )
        let reasons: [ReceiptReason]
        do throws(ReceiptReason) {
            reasons = try Receipt(bytes: value.serialized()).verdict(now: Self.now, expecting: expected).reasons
        } catch {
            reasons = [error]
        }
        return reasons.isEmpty
            ? "valid" : reasons.map { FieldTable.word($0.code.rawValue, $0.message) }.joined(separator: "+")
    }

    private func sweep(_ document: JSONObject, _ table: FieldTable, _ judge: (JSONValue) throws -> String) throws {
        let differences = table.differences(
            try JSONSweep.run(.object(document), otherDID: stranger.string, judge)
        )
        #expect(differences.isEmpty, "\(differences)")
    }

    @Test("[RCPT-2] as it was signed: each member, nested ones, the promise and the proof")
    func unsigned() throws {
        let document = try document()
        #expect(words(.object(document)) == "valid")
        try sweep(document, Self.unsigned) { words($0) }
    }

    @Test("[RCPT-8] signed anew by the seller: what the buyer knows better, and what no receipt may say")
    func resigned() throws {
        var document = try document()
        document["proof"] = nil
        try sweep(document, Self.resigned) { changed in
            let object = try #require(changed.objectValue)
            return words(.object(try DataIntegrity.sign(object, by: seller, created: Self.now)))
        }
    }

    static let unsigned = FieldTable(
        """
        @context malformed(@context)
        @context[0] malformed(@context)
        @context[1] malformed(@context)
        id bad-signature malformed(id)
        type malformed(@context)
        type[0] malformed(@context)
        seller malformed(more) malformed(id)
        seller.id bad-signature+unexpected-seller malformed(id)
        seller.agentId bad-signature
        seller.passport bad-signature
        buyer malformed(more) bad-signature+mismatch
        buyer.id bad-signature+mismatch malformed(id)
        buyer.agentId bad-signature
        buyer.passport bad-signature
        service bad-signature malformed(service)
        request malformed(more) malformed(request)
        request.method bad-signature malformed(method)
        request.target bad-signature malformed(target)
        request.digest bad-signature+mismatch malformed(digest)
        response malformed(more) malformed(request)
        response.status bad-signature malformed(status)
        response.digest bad-signature+mismatch
        payment malformed(more) malformed(request)
        payment.amount bad-signature malformed(amount)
        payment.unit bad-signature malformed(unit)
        payment.dialect bad-signature malformed(dialect)
        payment.digest bad-signature+mismatch malformed(digest)
        payment.quoted bad-signature
        payment.measures malformed(measures) bad-signature
        payment.measures.responseBytes bad-signature
        payment.returned malformed(more) bad-signature
        payment.returned.amount bad-signature malformed(amount)
        payment.returned.form bad-signature malformed(form)
        payment.returned.breach malformed(breach) bad-signature
        payment.returned.breach.rule bad-signature malformed(rule)
        payment.returned.breach.promised bad-signature
        payment.returned.breach.refund bad-signature malformed(refund)
        delegation malformed(delegation) bad-signature
        delegation.chain bad-signature malformed(delegation)
        delegation.chain[0] bad-signature
        delegation.ticket bad-signature
        delegation.checked bad-signature malformed(checked)
        requestedAt bad-signature malformed(requestedAt)
        respondedAt bad-signature malformed(respondedAt)
        outcome malformed(outcome)
        inclusionPromise malformed(more) bad-signature
        inclusionPromise.log bad-signature malformed(inclusionPromise)
        inclusionPromise.salt malformed(inclusionPromise)
        inclusionPromise.by bad-signature malformed(inclusionPromise)
        proof bad-signature malformed(proof)
        proof.type bad-signature(eddsa-jcs-2022)
        proof.cryptosuite bad-signature(eddsa-jcs-2022)
        proof.created bad-signature
        proof.verificationMethod bad-signature bad-signature(verificationMethod)
        proof.proofPurpose bad-signature(assertionMethod)
        proof.@context bad-signature(@context) bad-signature
        proof.@context[0] bad-signature(@context)
        proof.@context[1] bad-signature(@context) bad-signature
        proof.proofValue bad-signature bad-signature(proofValue)
        """
    )
    static let resigned = FieldTable(
        """
        @context malformed(@context)
        @context[0] malformed(@context)
        @context[1] malformed(@context)
        id valid malformed(id)
        type malformed(@context)
        type[0] malformed(@context)
        seller malformed(more) malformed(id)
        seller.id wrong-seller+unexpected-seller malformed(id)
        seller.agentId valid
        seller.passport valid
        buyer malformed(more) mismatch
        buyer.id mismatch malformed(id)
        buyer.agentId valid
        buyer.passport valid
        service valid malformed(service)
        request malformed(more) malformed(request)
        request.method valid malformed(method)
        request.target valid malformed(target)
        request.digest mismatch malformed(digest)
        response malformed(more) malformed(request)
        response.status valid malformed(status)
        response.digest mismatch
        payment malformed(more) malformed(request)
        payment.amount valid malformed(amount)
        payment.unit valid malformed(unit)
        payment.dialect valid malformed(dialect)
        payment.digest mismatch malformed(digest)
        payment.quoted valid
        payment.measures malformed(measures) valid
        payment.measures.responseBytes valid
        payment.returned malformed(more) valid
        payment.returned.amount valid malformed(amount)
        payment.returned.form valid malformed(form)
        payment.returned.breach malformed(breach) valid
        payment.returned.breach.rule valid malformed(rule)
        payment.returned.breach.promised valid
        payment.returned.breach.refund valid malformed(refund)
        delegation malformed(delegation) valid
        delegation.chain valid malformed(delegation)
        delegation.chain[0] valid
        delegation.ticket valid
        delegation.checked valid malformed(checked)
        requestedAt valid malformed(requestedAt)
        respondedAt valid malformed(respondedAt)
        outcome malformed(outcome)
        inclusionPromise malformed(more) valid
        inclusionPromise.log valid malformed(inclusionPromise)
        inclusionPromise.salt malformed(inclusionPromise)
        inclusionPromise.by valid malformed(inclusionPromise)
        """
    )
}
