import CanonicalJSON
import Cryptography
import Encodings
import FieldSweeps
import SignedDocuments
import Testing

@testable import Passports

/// Every field of a status list flipped and taken out, in both notations: refused, and why.
///
/// What is `valid` though it was changed is the issuer's own word, where it signed it, or a context that is appended.
@Suite("every field of a status list")
struct StatusListSweepTests {
    /// What the list, at its URL, says of a passport on it; a list that cannot be relied on is the reason itself.
    private func reasons(_ bytes: [UInt8], _ form: PassportForm) throws -> [PassportReason] {
        let passport = try FormSample.passport(form)
        var states = FormSample.lists(form).mapValues { StatusListState.list($0) }
        let url = form == .sdJWT ? FormSample.tokenURL : Sample.listURL
        states[url] = .list(try StatusListCredential.verify(bytes: bytes, url: url))
        return FormSample.verifier(form).verify(passport, now: Sample.now, states: states).reasons
    }

    @Test("[STAT-3] [STAT-4] [STAT-6] a Bitstring list: each member as it was signed, and signed anew by the issuer")
    func bitstring() throws {
        let document = try StatusListCredential.issue(Sample.list(), by: Sample.issuer, now: Sample.now)
        #expect(try reasons(document.serialized(), .jcs) == [])
        try Swept.sweep(.object(document), Self.bitstringUnsigned) { try reasons($0.serialized(), .jcs) }
        var unsigned = document
        unsigned["proof"] = nil
        try Swept.sweep(.object(unsigned), Self.bitstringResigned) { changed in
            let list = try #require(changed.objectValue)
            let signed = try DataIntegrity.sign(list, by: Sample.issuer, created: Sample.now)
            return try reasons(signed.serialized(), .jcs)
        }
    }

    @Test("[FORM-6] a token list: each member of the header and each claim, as it was signed and signed anew")
    func token() throws {
        let list = try #require(FormSample.lists(.sdJWT)[FormSample.tokenURL])
        let opened = try Swept.opened(try TokenStatusList.issue(list, by: FormSample.p256))
        #expect(try reasons(Array(Swept.closed(opened).utf8), .sdJWT) == [])
        try Swept.sweep(opened, Self.tokenUnsigned) { try reasons(Array(Swept.closed($0).utf8), .sdJWT) }
        try Swept.sweep(opened, Self.tokenResigned) {
            try reasons(Array(try Swept.resigned($0, by: FormSample.p256).utf8), .sdJWT)
        }
    }

    @Test("signed by the issuer, and not for this passport: lapsed, early, old, of another purpose, too short")
    func signedElsewise() throws {
        func bitstring(_ change: (inout VerifiedStatusList) -> Void) throws -> String {
            let list = Sample.list { change(&$0) }
            let document = try StatusListCredential.issue(list, by: Sample.issuer, now: Sample.now)
            return Swept.words(try reasons(document.serialized(), .jcs))
        }
        #expect(
            try bitstring {
                $0.validFrom = Sample.now.adding(seconds: -200)
                $0.validUntil = Sample.now
            } == "status-stale"
        )
        #expect(try bitstring { $0.validFrom = Sample.now.adding(seconds: 61) } == "status-invalid")
        #expect(try bitstring { $0.validFrom = Sample.now.adding(seconds: -301) } == "status-stale")
        #expect(try bitstring { $0.purpose = .suspension } == "status-invalid")
        #expect(try bitstring { $0.bitmap.set(94_567) } == "revoked")
        func token(_ change: (inout VerifiedStatusList) -> Void) throws -> String {
            let list = try #require(FormSample.lists(.sdJWT, change)[FormSample.tokenURL])
            let text = try TokenStatusList.issue(list, by: FormSample.p256)
            return Swept.words(try reasons(Array(text.utf8), .sdJWT))
        }
        #expect(
            try token {
                $0.validFrom = Sample.now.adding(seconds: -200)
                $0.validUntil = Sample.now
            } == "status-stale"
        )
        #expect(try token { $0.validFrom = Sample.now.adding(seconds: 61) } == "status-invalid")
        #expect(try token { $0.validFrom = Sample.now.adding(seconds: -301) } == "status-stale")
        #expect(try token { $0.bitmap.set(94_567) } == "revoked")
        #expect(try token { $0.suspensions?.set(94_567) } == "suspended")
        // A place behind the list's end.
        let passport = try Sample.passport {
            $0.status = [StatusEntry(purpose: .revocation, listURL: Sample.listURL, index: 131_072)]
        }
        let verdict = FormSample.verifier(.jcs).verify(passport, now: Sample.now, statusLists: FormSample.lists(.jcs))
        #expect(Swept.words(verdict.reasons) == "status-invalid")
    }

    static let bitstringUnsigned = FieldTable(
        """
        @context valid status-invalid(@context)
        @context[0] status-invalid(@context)
        @context[1] status-invalid(@context)
        id status-invalid
        type status-invalid
        type[0] status-invalid
        type[1] status-invalid
        issuer status-invalid
        validFrom status-invalid
        validUntil status-invalid
        credentialSubject status-invalid
        credentialSubject.id status-invalid
        credentialSubject.type status-invalid
        credentialSubject.statusPurpose status-invalid
        credentialSubject.encodedList status-invalid
        credentialSubject.ttl status-invalid
        credentialSubject.sequence status-invalid
        proof status-invalid
        proof.type status-invalid(eddsa-jcs-2022)
        proof.cryptosuite status-invalid(eddsa-jcs-2022)
        proof.created status-invalid
        proof.verificationMethod status-invalid status-invalid(verificationMethod)
        proof.proofPurpose status-invalid(assertionMethod)
        proof.@context status-invalid(@context) status-invalid
        proof.@context[0] status-invalid(@context)
        proof.@context[1] status-invalid(@context) status-invalid
        proof.proofValue status-invalid status-invalid(proofValue)
        """
    )
    static let bitstringResigned = FieldTable(
        """
        @context valid
        @context[0] valid
        @context[1] valid
        id status-invalid(id)
        type valid status-invalid(type)
        type[0] status-invalid(type)
        type[1] status-invalid(type)
        issuer status-invalid status-invalid(issuer)
        validFrom valid status-invalid(validFrom)
        validUntil valid status-invalid(validFrom)
        credentialSubject valid status-invalid(credentialSubject)
        credentialSubject.id valid
        credentialSubject.type status-invalid(credentialSubject)
        credentialSubject.statusPurpose status-invalid(credentialSubject)
        credentialSubject.encodedList valid status-invalid(encodedList)
        credentialSubject.ttl valid
        credentialSubject.sequence valid status-invalid(sequence)
        """
    )
    static let tokenUnsigned = FieldTable(
        """
        header status-invalid
        header.alg status-invalid
        header.typ status-invalid
        header.kid status-invalid
        claims status-invalid
        claims.iss status-invalid status-invalid(did:key:z)
        claims.sub status-invalid
        claims.iat status-invalid
        claims.exp status-invalid
        claims.ttl status-invalid
        claims.sequence status-invalid
        claims.status_list status-invalid
        claims.status_list.bits status-invalid
        claims.status_list.lst status-invalid
        signature status-invalid
        """
    )
    static let tokenResigned = FieldTable(
        """
        header valid status-invalid
        header.alg status-invalid
        header.typ status-invalid
        header.kid status-invalid valid
        claims valid status-invalid
        claims.iss status-invalid status-invalid(did:key:z)
        claims.sub status-invalid(sub)
        claims.iat valid status-invalid(iat)
        claims.exp valid status-invalid(iat)
        claims.ttl valid
        claims.sequence valid
        claims.status_list valid status-invalid(status_list)
        claims.status_list.bits status-invalid(bits) status-invalid(status_list)
        claims.status_list.lst valid status-invalid(status_list)
        signature valid
        """
    )
}
