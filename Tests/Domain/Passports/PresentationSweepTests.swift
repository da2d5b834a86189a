import CanonicalJSON
import Cryptography
import Encodings
import FieldSweeps
import SignedDocuments
import Testing

@testable import Passports

/// Every field of a presentation flipped and taken out, those of the passport in it too: refused, and why.
@Suite("every field of a presentation")
struct PresentationSweepTests {
    private let holder = DocumentKey(Sample.key(2))
    private let domain = "https://shop.example"

    private func reasons(_ value: JSONValue) throws -> [PassportReason] {
        try Presentation(value).reasons(
            expecting: Presentation.Expectation(challenge: "c-1", domain: domain),
            now: Sample.now,
            states: FormSample.lists(.jcs).mapValues { .list($0) }
        )
    }

    @Test("with an embedded proof: each member as it was signed, and signed anew by the holder")
    func embedded() throws {
        let document = try Presentation.sign(
            [Presentation.item(try FormSample.passport(.jcs))],
            by: holder,
            suite: .eddsaJCS2022,
            challenge: "c-1",
            domain: domain,
            now: Sample.now
        )
        try Swept.sweep(.object(document), Self.embeddedUnsigned) { try reasons($0) }
        try Swept.sweep(.object(document), Self.embeddedResigned) { changed in
            // What the holder signs over is the changed document, and its changed proof but for the value.
            guard var whole = changed.objectValue, var proof = whole["proof"]?.objectValue else {
                return try reasons(changed)
            }
            whole["proof"] = nil
            guard proof["proofValue"] == document["proof"]?["proofValue"] else { return try reasons(changed) }
            proof["proofValue"] = nil
            var secured = whole
            secured["@context"] = proof["@context"] ?? whole["@context"]
            let signature = try holder.sign(
                .document(.eddsaJCS2022, proof: try proof.canonicalized(), document: try secured.canonicalized())
            )
            proof["proofValue"] = .string(Multibase.encode(signature, as: .base58btc))
            whole["proof"] = .object(proof)
            return try reasons(.object(whole))
        }
    }

    @Test("[FORM-9] as a JWT: each member of the header and each claim, as it was signed and signed anew by the holder")
    func token() throws {
        let text = try Presentation.signToken(
            [Presentation.item(try FormSample.passport(.jcs))],
            by: holder,
            audience: domain,
            nonce: "c-1",
            now: Sample.now
        )
        let opened = try Swept.opened(text)
        try Swept.sweep(opened, Self.tokenUnsigned) { try reasons(.string(Swept.closed($0))) }
        try Swept.sweep(opened, Self.tokenResigned) { try reasons(.string(try Swept.resigned($0, by: holder))) }
    }
}
