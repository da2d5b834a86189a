// The JSON-LD contexts that are built in. They are facts of the standards they come from, written down here in a form of
// our own: a verifier never fetches a context, as whoever serves one would decide what a signature says.

/// The contexts that can be named, in one line a term: name, IRI, coercion, container, and in braces what holds inside.
///
/// A coercion `@id`, `@vocab` or `@json` is JSON-LD's; another is the IRI of a datatype. `@null` forgets all terms inside.
enum JSONLDVocabulary {
    static let prefixes: [String: String] = [
        "cred": "https://www.w3.org/2018/credentials#",
        "status": "https://www.w3.org/ns/credentials/status#",
        "sec": "https://w3id.org/security#",
        "schema": "https://schema.org/",
        "dc": "http://purl.org/dc/terms/",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
        "xsds": "https://www.w3.org/2001/XMLSchema#",
        "jwt": "https://www.iana.org/assignments/jwt#",
        "jose": "https://www.iana.org/assignments/jose#",
        "citizen": "https://w3id.org/citizenship#",
    ]

    /// Contexts that say only what an unknown term means.
    static let vocabularies: [String: String] = [
        "https://www.w3.org/ns/credentials/undefined-terms/v2": "https://www.w3.org/ns/credentials/undefined-term#",
        "https://www.w3.org/ns/credentials/examples/v2": "https://www.w3.org/ns/credentials/examples#",
    ]

    static let tables: [String: String] = [
        "https://www.w3.org/ns/credentials/v2": credentials,
        "https://w3id.org/security/data-integrity/v2": "proof sec:proof @id @graph\n" + dataIntegrityProof,
        "https://w3id.org/citizenship/v4rc1": citizenship,
    ]

    /// Verifiable Credentials Data Model 2.0, Base Context (appendix B.1).
    private static let credentials = """
        description schema:description
        digestMultibase sec:digestMultibase sec:multibase
        digestSRI cred:digestSRI cred:sriString
        mediaType schema:encodingFormat
        name schema:name
        VerifiableCredential cred:VerifiableCredential {
        confidenceMethod cred:confidenceMethod @id
        credentialSchema cred:credentialSchema @id
        credentialStatus cred:credentialStatus @id
        credentialSubject cred:credentialSubject @id
        description schema:description
        evidence cred:evidence @id
        issuer cred:issuer @id
        name schema:name
        proof sec:proof @id @graph
        refreshService cred:refreshService @id
        relatedResource cred:relatedResource @id
        renderMethod cred:renderMethod @id
        termsOfUse cred:termsOfUse @id
        validFrom cred:validFrom xsd:dateTime
        validUntil cred:validUntil xsd:dateTime
        }
        EnvelopedVerifiableCredential cred:EnvelopedVerifiableCredential
        VerifiablePresentation cred:VerifiablePresentation {
        holder cred:holder @id
        proof sec:proof @id @graph
        termsOfUse cred:termsOfUse @id
        verifiableCredential cred:verifiableCredential @id @graph @null
        }
        EnvelopedVerifiablePresentation cred:EnvelopedVerifiablePresentation
        JsonSchemaCredential cred:JsonSchemaCredential
        JsonSchema cred:JsonSchema {
        jsonSchema cred:jsonSchema @json
        }
        BitstringStatusListCredential status:BitstringStatusListCredential
        BitstringStatusList status:BitstringStatusList {
        encodedList status:encodedList sec:multibase
        statusPurpose status:statusPurpose
        ttl status:ttl
        }
        BitstringStatusListEntry status:BitstringStatusListEntry {
        statusListCredential status:statusListCredential @id
        statusListIndex status:statusListIndex
        statusPurpose status:statusPurpose
        statusMessage status:statusMessage {
        message status:message
        status status:status
        }
        statusReference status:statusReference @id
        statusSize status:statusSize xsds:integer
        }

        """ + dataIntegrityProof + """

            ... jwt:...
            _sd jwt:_sd @json
            _sd_alg jwt:_sd_alg
            aud jwt:aud @id
            cnf jwt:cnf {
            kid jwt:kid @id
            jwk jwt:jwk @json
            }
            exp jwt:exp xsd:nonNegativeInteger
            iat jwt:iat xsd:nonNegativeInteger
            iss jose:iss @id
            jku jose:jku @id
            kid jose:kid @id
            nbf jwt:nbf xsd:nonNegativeInteger
            sub jose:sub @id
            x5u jose:x5u @id
            """

    /// Data Integrity 1.0, what holds in a `DataIntegrityProof`.
    private static let dataIntegrityProof = """
        DataIntegrityProof sec:DataIntegrityProof {
        challenge sec:challenge
        created dc:created xsd:dateTime
        cryptosuite sec:cryptosuite sec:cryptosuiteString
        domain sec:domain
        expires sec:expiration xsd:dateTime
        nonce sec:nonce
        previousProof sec:previousProof @id
        proofPurpose sec:proofPurpose @vocab {
        assertionMethod sec:assertionMethod @id @set
        authentication sec:authenticationMethod @id @set
        capabilityDelegation sec:capabilityDelegationMethod @id @set
        capabilityInvocation sec:capabilityInvocationMethod @id @set
        keyAgreement sec:keyAgreementMethod @id @set
        }
        proofValue sec:proofValue sec:multibase
        verificationMethod sec:verificationMethod @id
        }
        """

    /// Citizenship Vocabulary v4rc1, as far as the W3C's test vectors use it.
    private static let citizenship = """
        image schema:image @id
        Person schema:Person {
        additionalName schema:additionalName
        birthCountry citizen:birthCountry
        birthDate schema:birthDate xsd:dateTime
        familyName schema:familyName
        gender schema:gender
        givenName schema:givenName
        image schema:image @id
        }
        EmployablePerson citizen:EmployablePerson {
        employmentAuthorizationDocument citizen:employmentAuthorizationDocument @id
        residentSince citizen:residentSince xsd:dateTime
        }
        EmploymentAuthorizationDocument citizen:EmploymentAuthorizationDocument {
        identifier schema:identifier
        lprCategory citizen:lprCategory
        lprNumber citizen:lprNumber
        }
        EmploymentAuthorizationDocumentCredential citizen:EmploymentAuthorizationDocumentCredential
        """
}
