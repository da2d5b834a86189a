import CanonicalJSON
import Cryptography
import Encodings
import FieldSweeps
import SignedDocuments
import Testing

@testable import Passports

/// What the sweeps of passports, presentations and lists share.
enum Swept {
    /// A did:key that has no part in any sample.
    static let stranger = DIDKey(Sample.key(9).publicKey).string

    static func words(_ reasons: [PassportReason]) -> String {
        reasons.isEmpty ? "valid" : reasons.map { FieldTable.word($0.code.rawValue, $0.message) }.joined(separator: "+")
    }

    static func sweep(
        _ document: JSONValue,
        _ table: FieldTable,
        _ judge: (JSONValue) throws -> [PassportReason]
    ) throws {
        let found = try JSONSweep.run(document, otherDID: stranger) { changed in
            do {
                return words(try judge(changed))
            } catch let reason as PassportReason {
                return words([reason])
            } catch let error as DocumentError {
                return FieldTable.word(error.code.rawValue, error.message)
            }
        }
        let differences = table.differences(found)
        #expect(differences.isEmpty, "\(differences)")
    }

    /// A token's header and claims as one document.
    static func opened(_ jwt: String) throws -> JSONValue {
        let parts = jwt.split(separator: ".").map(String.init)
        return [
            "header": try JSONValue.parse(try Base64URL.decode(parts[0])),
            "claims": try JSONValue.parse(try Base64URL.decode(parts[1])),
            "signature": .string(parts[2]),
        ]
    }

    /// As it was signed, with what of it was changed.
    static func closed(_ opened: JSONValue) -> String {
        func part(_ name: String) -> String { Base64URL.encode(opened[name]?.serialized() ?? []) }
        return "\(part("header")).\(part("claims")).\(opened["signature"]?.stringValue ?? "")"
    }

    /// With a signature of `key` over what was changed.
    static func resigned(_ opened: JSONValue, by key: DocumentKey) throws -> String {
        func part(_ name: String) -> String { Base64URL.encode(opened[name]?.serialized() ?? []) }
        let input = "\(part("header")).\(part("claims"))"
        return "\(input).\(Base64URL.encode(try key.sign(.token(Array(input.utf8)))))"
    }
}

/// Every field of a passport flipped and taken out, in every form: refused, and why.
@Suite("every field of a passport")
struct PassportSweepTests {
    private func reasons(_ passport: Passport, _ form: PassportForm) -> [PassportReason] {
        FormSample.verifier(form).verify(passport, now: Sample.now, statusLists: FormSample.lists(form)).reasons
    }

    private static let tables: [PassportForm: FieldTable] = [.jcs: jcs, .rdfc: rdfc, .p256: p256]

    @Test(
        "[PASS-7] embedded: each member, also of the proof",
        arguments: [PassportForm.jcs, .rdfc, .p256]
    )
    func embeddedForms(form: PassportForm) throws {
        let table = try #require(Self.tables[form])
        try Swept.sweep(.object(FormSample.passport(form).document), table) { changed in
            reasons(try Passport(bytes: changed.serialized()), form)
        }
    }

    @Test("[FORM-4] a JWT: each member of the header and each claim, as it was signed and signed anew by the issuer")
    func jwt() throws {
        let opened = try Swept.opened(try #require(try FormSample.passport(.jwt).token))
        try Swept.sweep(opened, Self.jwtUnsigned) { changed in
            reasons(try Passport(bytes: Array(Swept.closed(changed).utf8)), .jwt)
        }
        try Swept.sweep(opened, Self.jwtResigned) { changed in
            reasons(try Passport(bytes: Array(try Swept.resigned(changed, by: FormSample.edwards).utf8)), .jwt)
        }
    }

    /// The list's order and the digests' values are drawn anew each time: what comes of them is not.
    private func disclosed(_ kept: (SDJWT.Disclosure) -> Bool = { _ in true }) throws -> SDJWT {
        let whole = try SDJWT(try #require(try FormSample.passport(.sdJWT).token), types: ["dc+sd-jwt"])
        return try SDJWT(whole.presenting(kept), types: ["dc+sd-jwt"])
    }

    @Test("[FORM-5] an SD-JWT: each member of the header and each claim")
    func sdJWT() throws {
        let token = try disclosed()
        let parts = token.presentation.split(separator: "~", omittingEmptySubsequences: false)
        let rest = "~" + parts.dropFirst().joined(separator: "~")
        let opened = try Swept.opened(String(parts[0]))
        try Swept.sweep(opened, Self.sdJWTUnsigned) { changed in
            reasons(try Passport(bytes: Array((Swept.closed(changed) + rest).utf8)), .sdJWT)
        }
        try Swept.sweep(opened, Self.sdJWTResigned) { changed in
            let token = try Swept.resigned(changed, by: FormSample.p256)
            return reasons(try Passport(bytes: Array((token + rest).utf8)), .sdJWT)
        }
    }

    @Test("[FORM-5] an SD-JWT: salt, name and value of each disclosure, and each left out")
    func disclosures() throws {
        let token = try disclosed()
        let jwt = token.presentation.prefix { $0 != "~" }
        var shown = JSONObject()
        for disclosure in token.disclosures {
            let name = disclosure.name ?? disclosure.value.stringValue ?? ""
            shown[name] = try JSONValue.parse(try Base64URL.decode(disclosure.text))
        }
        try Swept.sweep(.object(shown), Self.disclosures) { changed in
            let texts = changed.objectValue?.map { Base64URL.encode($0.value.serialized()) } ?? []
            let text = ([String(jwt)] + texts).joined(separator: "~") + "~"
            return reasons(try Passport(bytes: Array(text.utf8)), .sdJWT)
        }
    }

    @Test("[FORM-5] an SD-JWT: each member of the key binding, as the holder signed it and signed anew by the holder")
    func keyBinding() throws {
        let holder = DocumentKey(Sample.key(2))
        let token = try disclosed()
        let bound = try SDJWT.bind(
            token.presentation,
            audience: "https://shop.example",
            nonce: "n-1",
            by: holder,
            now: Sample.now
        )
        let opened = try Swept.opened(String(bound.dropFirst(token.presentation.count)))
        func judge(_ binding: String) throws -> [PassportReason] {
            let text = token.presentation + binding
            // The passport's own check first, then what a verifier asks of the binding.
            let found = reasons(try Passport(bytes: Array(text.utf8)), .sdJWT)
            guard found.isEmpty else { return found }
            _ = try SDJWT(text, types: ["dc+sd-jwt"]).keyBinding(
                audience: "https://shop.example",
                nonce: "n-1",
                now: Sample.now
            )
            return []
        }
        #expect(try judge(Swept.closed(opened)) == [])
        try Swept.sweep(opened, Self.bindingUnsigned) { try judge(Swept.closed($0)) }
        try Swept.sweep(opened, Self.bindingResigned) { try judge(try Swept.resigned($0, by: holder)) }
        // By another key than the passport's subject, over what is right in all else.
        #expect(
            Swept.words(try judge(try Swept.resigned(opened, by: DocumentKey(Sample.key(9))))) == "bad-signature"
        )
        // Bound to one set of disclosures, shown with another.
        let fewer = try disclosed { $0.name != "operator" }.presentation
        let mixed = fewer + bound.dropFirst(token.presentation.count)
        #expect(Swept.words(reasons(try Passport(bytes: Array(mixed.utf8)), .sdJWT)) == "bad-signature")
    }
}
