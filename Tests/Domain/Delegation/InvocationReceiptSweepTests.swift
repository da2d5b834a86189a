import CanonicalJSON
import Cryptography
import Encodings
import FieldSweeps
import SignedDocuments
import Testing

@testable import Delegation

/// Every field of an invocation's receipt flipped and taken out, of the file and of the executor's word in it.
@Suite("every field of an invocation's receipt")
struct InvocationReceiptSweepTests {
    private static let seller = Sample.keys[4]
    private static let stranger = Sample.dids[5].string

    private func word() throws -> InvocationReceipt {
        let links = try Sample.links()
        let receipt: JSONObject = [
            "@context": [
                "https://w3id.org/security/data-integrity/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2",
            ],
            "id": "urn:uuid:0190a1b2-0000-7000-8000-000000000001", "type": ["PaidCallReceipt"],
            "seller": ["id": .string(Sample.dids[4].string)], "buyer": ["id": .string(Sample.dids[3].string)],
            "service": "weather",
            "request": [
                "method": "GET", "target": "/today", "digest": .string(MultihashDigest.encode(Sample.digest)),
            ],
            "response": ["status": 200], "payment": ["amount": "2", "unit": "sat", "dialect": "nut24"],
            "requestedAt": .string(Sample.now.rfc3339), "respondedAt": .string(Sample.now.adding(seconds: 1).rfc3339),
            "outcome": "served",
            "delegation": ["chain": .array(links.map { .string("\($0.cid)") }), "checked": "chain"],
        ]
        return try InvocationReceipt.issue(
            of: Sample.invocation(links, recipient: 4),
            receipt: DataIntegrity.sign(receipt, by: DocumentSigner(Self.seller), created: Sample.now),
            chain: DelegationChain(links),
            by: Self.seller
        )
    }

    private func words(_ document: JSONValue) -> String {
        let found: [DelegationError]
        do throws(DelegationError) {
            found = try InvocationReceipt(bytes: document.serialized()).problems(trustedRoots: [Sample.dids[0]])
        } catch {
            found = [error]
        }
        return found.isEmpty ? "valid" : found.map(\.code.rawValue).joined(separator: "+")
    }

    private func compare(_ table: FieldTable, _ found: [(place: String, outcome: FieldTable.Outcome)]) {
        let differences = table.differences(found)
        #expect(differences.isEmpty, "\(differences)")
    }

    @Test("[DLG-16] each member of the file, and each of the paid call's receipt in it")
    func file() throws {
        let document = JSONValue.object(try word().document)
        #expect(words(document) == "valid")
        compare(Self.file, try JSONSweep.run(document, otherDID: Self.stranger) { words($0) })
    }

    @Test("[DLG-16] each member of the executor's word as it was signed, and signed anew by the executor")
    func assertion() throws {
        let word = try word()
        let parts = try #require(DAGCBOR.decode(word.assertion.bytes, maximumBytes: 8192).arrayValue)
        func judge(_ signature: CBOR?, _ signed: CBOR?) throws -> String {
            let envelope = try DAGCBOR.encode(.array([signature, signed].compactMap { $0 }))
            var document = word.document
            document["assertion"] = .string(Multibase.encode(envelope, as: .base64url))
            return words(.object(document))
        }
        let item = CBOR.map([CBORPair("signature", parts[0]), CBORPair("signed", parts[1])])
        compare(
            Self.assertionUnsigned,
            try CBORSweep.run(item, otherDID: Self.stranger) { try judge($0[text: "signature"], $0[text: "signed"]) }
        )
        compare(
            Self.assertionResigned,
            try CBORSweep.run(parts[1], otherDID: Self.stranger) { changed in
                try judge(.bytes(try Self.seller.sign(DAGCBOR.encode(changed))), changed)
            }
        )
    }

    static let file = FieldTable(
        """
        type receipt-malformed
        type[0] receipt-malformed
        assertion malformed
        invocation receipt-mismatch+receipt-mismatch+forged+receipt-mismatch malformed
        links receipt-mismatch proof-unavailable
        links[0] malformed receipt-mismatch
        links[1] malformed receipt-mismatch
        links[2] malformed receipt-mismatch
        receipt receipt-mismatch receipt-malformed
        receipt.@context receipt-mismatch
        receipt.@context[0] receipt-mismatch
        receipt.@context[1] receipt-mismatch
        receipt.id receipt-mismatch
        receipt.type receipt-mismatch
        receipt.type[0] receipt-mismatch
        receipt.seller receipt-mismatch
        receipt.seller.id receipt-mismatch
        receipt.buyer receipt-mismatch
        receipt.buyer.id receipt-mismatch
        receipt.service receipt-mismatch
        receipt.request receipt-mismatch
        receipt.request.method receipt-mismatch
        receipt.request.target receipt-mismatch
        receipt.request.digest receipt-mismatch
        receipt.response receipt-mismatch
        receipt.response.status receipt-mismatch
        receipt.payment receipt-mismatch
        receipt.payment.amount receipt-mismatch
        receipt.payment.unit receipt-mismatch
        receipt.payment.dialect receipt-mismatch
        receipt.requestedAt receipt-mismatch receipt-mismatch+receipt-mismatch
        receipt.respondedAt receipt-mismatch
        receipt.outcome receipt-mismatch
        receipt.delegation receipt-mismatch
        receipt.delegation.chain receipt-mismatch
        receipt.delegation.chain[0] receipt-mismatch
        receipt.delegation.chain[1] receipt-mismatch
        receipt.delegation.chain[2] receipt-mismatch
        receipt.delegation.checked receipt-mismatch
        receipt.proof receipt-mismatch
        receipt.proof.type receipt-mismatch
        receipt.proof.cryptosuite receipt-mismatch
        receipt.proof.created receipt-mismatch
        receipt.proof.verificationMethod receipt-mismatch
        receipt.proof.proofPurpose receipt-mismatch
        receipt.proof.@context receipt-mismatch
        receipt.proof.@context[0] receipt-mismatch
        receipt.proof.@context[1] receipt-mismatch
        receipt.proof.proofValue receipt-mismatch
        """
    )
    static let assertionUnsigned = FieldTable(
        """
        signature receipt-forged malformed
        signed malformed
        signed.h unsupported-signature malformed
        signed.ucan/inv@1.0.0 malformed
        in signed.ucan/inv@1.0.0
        aud receipt-forged+receipt-forged
        cmd receipt-malformed malformed
        exp receipt-malformed receipt-forged
        iat receipt-forged
        iss receipt-forged+receipt-forged+receipt-mismatch+receipt-mismatch+wrong-recipient malformed
        prf malformed
        sub receipt-forged+receipt-forged malformed
        args receipt-malformed malformed
        args.about receipt-forged+receipt-mismatch receipt-malformed
        args.facts receipt-malformed
        args.facts.out receipt-malformed
        args.facts.out.ok receipt-malformed
        args.facts.out.ok.unit receipt-forged+receipt-mismatch receipt-malformed
        args.facts.out.ok.amount receipt-forged+receipt-mismatch receipt-malformed
        args.facts.out.ok.digest receipt-forged+receipt-mismatch receipt-malformed
        args.facts.out.ok.status receipt-forged+receipt-mismatch receipt-malformed
        args.facts.out.ok.receipt receipt-forged+receipt-mismatch receipt-malformed
        args.facts.run receipt-malformed
        nonce receipt-forged malformed
        """
    )
    static let assertionResigned = FieldTable(
        """
        h unsupported-signature malformed
        ucan/inv@1.0.0 malformed
        in ucan/inv@1.0.0
        aud receipt-forged
        cmd receipt-malformed malformed
        exp receipt-malformed valid
        iat valid
        iss receipt-forged+receipt-forged+receipt-mismatch+receipt-mismatch+wrong-recipient malformed
        prf malformed
        sub receipt-forged malformed
        args receipt-malformed malformed
        args.about receipt-mismatch receipt-malformed
        args.facts receipt-malformed
        args.facts.out receipt-malformed
        args.facts.out.ok receipt-malformed
        args.facts.out.ok.unit receipt-mismatch receipt-malformed
        args.facts.out.ok.amount receipt-mismatch receipt-malformed
        args.facts.out.ok.digest receipt-mismatch receipt-malformed
        args.facts.out.ok.status receipt-mismatch receipt-malformed
        args.facts.out.ok.receipt receipt-mismatch receipt-malformed
        args.facts.run receipt-malformed
        nonce valid malformed
        """
    )
}
