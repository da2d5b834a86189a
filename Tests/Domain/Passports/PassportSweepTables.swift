import FieldSweeps

extension PassportSweepTests {
    /// What comes of a member in whatever suite the proof is.
    ///
    /// What is `valid`: contexts may be appended after those of the proof (Data Integrity 1.0, 2.4.1), of which nothing here is
    /// read; and over RDF a type that is named twice is the same statement.
    private static let embedded = """
        @context valid malformed(@context)
        @context[0] malformed(@context)
        id bad-signature malformed(id)
        type[0] malformed(type)
        type[1] malformed(type)
        issuer bad-signature+untrusted-issuer+status-invalid+status-invalid malformed(issuer)
        validFrom bad-signature malformed(validFrom)
        validUntil bad-signature malformed(validUntil)
        credentialSubject bad-signature malformed(credentialSubject)
        credentialSubject.id bad-signature malformed(id)
        credentialSubject.agentId bad-signature
        credentialSubject.agentName bad-signature malformed(agentName)
        credentialSubject.operator bad-signature
        credentialSubject.capability malformed(capability) bad-signature+capability-missing(pay)
        credentialSubject.capability[0] bad-signature+capability-missing(pay)
        credentialSubject.capability[1] bad-signature
        credentialSubject.spendLimit bad-signature
        credentialSubject.spendLimit.currency bad-signature malformed(spendLimit)
        credentialSubject.spendLimit.amountMinor bad-signature malformed(spendLimit)
        credentialSubject.spendLimit.period malformed(period) malformed(spendLimit)
        credentialSubject.nextKeyHash bad-signature
        credentialStatus malformed(credentialStatus) bad-signature+status-missing
        credentialStatus[0] bad-signature bad-signature+status-missing
        credentialStatus[0].id bad-signature
        credentialStatus[0].type malformed(credentialStatus)
        credentialStatus[0].statusPurpose malformed(statusPurpose)
        credentialStatus[0].statusListIndex bad-signature malformed(statusListIndex)
        credentialStatus[0].statusListCredential bad-signature+status-invalid malformed(statusListCredential)
        credentialStatus[1] bad-signature
        credentialStatus[1].id bad-signature
        credentialStatus[1].type malformed(credentialStatus)
        credentialStatus[1].statusPurpose malformed(statusPurpose)
        credentialStatus[1].statusListIndex bad-signature malformed(statusListIndex)
        credentialStatus[1].statusListCredential bad-signature+status-invalid malformed(statusListCredential)
        proof bad-signature malformed(proof)
        proof.type bad-signature(eddsa-jcs-2022)
        proof.cryptosuite bad-signature(eddsa-jcs-2022)
        proof.created bad-signature
        proof.proofPurpose bad-signature(assertionMethod)
        proof.proofValue bad-signature bad-signature(proofValue)

        """

    static let jcs = FieldTable(
        embedded + """
            @context[1] bad-signature(@context)
            type bad-signature malformed(type)
            proof.verificationMethod bad-signature bad-signature(verificationMethod)
            proof.@context bad-signature(@context) bad-signature
            proof.@context[0] bad-signature(@context)
            proof.@context[1] bad-signature(@context) bad-signature
            """
    )

    static let rdfc = FieldTable(
        embedded + """
            @context[1] bad-signature bad-signature(AgentPassportCredential)
            type valid malformed(type)
            proof.verificationMethod bad-signature bad-signature(verificationMethod)
            """
    )

    static let p256 = FieldTable(
        embedded + """
            @context[1] bad-signature(@context)
            type bad-signature malformed(type)
            proof.verificationMethod bad-signature(ecdsa-jcs-2019) bad-signature(verificationMethod)
            proof.@context bad-signature(@context) bad-signature
            proof.@context[0] bad-signature(@context)
            proof.@context[1] bad-signature(@context) bad-signature
            """
    )
}
