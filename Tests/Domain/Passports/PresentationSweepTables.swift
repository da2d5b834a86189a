import FieldSweeps

/// The first reason is the presentation's, the others are those of the passport in it. What is `valid` though it was changed
/// is the holder's own word, where it signed it: it answers the challenge, and says nothing of the passport's subject.
extension PresentationSweepTests {
    static let embeddedUnsigned = FieldTable(
        """
        @context valid malformed(@context)
        @context[0] malformed(@context)
        @context[1] bad-signature(@context)
        type bad-signature malformed(type)
        type[0] malformed(type)
        holder bad-signature
        verifiableCredential bad-signature
        verifiableCredential[0] bad-signature+bad-signature bad-signature
        in verifiableCredential[0]
        @context bad-signature malformed(@context)
        @context[0] malformed(@context)
        @context[1] bad-signature+bad-signature(@context)
        id bad-signature+bad-signature
        type bad-signature+bad-signature malformed(type)
        type[0] malformed(type)
        type[1] bad-signature+bad-signature
        issuer bad-signature+bad-signature+status-invalid+status-invalid malformed(issuer)
        validFrom bad-signature+bad-signature
        validUntil bad-signature+bad-signature
        credentialSubject bad-signature+bad-signature malformed(credentialSubject)
        credentialSubject.id bad-signature+bad-signature
        credentialSubject.agentId bad-signature+bad-signature
        credentialSubject.agentName bad-signature+bad-signature
        credentialSubject.operator bad-signature+bad-signature
        credentialSubject.capability bad-signature+bad-signature
        credentialSubject.capability[0] bad-signature+bad-signature
        credentialSubject.capability[1] bad-signature+bad-signature
        credentialSubject.spendLimit bad-signature+bad-signature
        credentialSubject.spendLimit.currency bad-signature+bad-signature
        credentialSubject.spendLimit.amountMinor bad-signature+bad-signature
        credentialSubject.spendLimit.period bad-signature+bad-signature
        credentialSubject.nextKeyHash bad-signature+bad-signature
        credentialStatus bad-signature+bad-signature
        credentialStatus[0] bad-signature+bad-signature
        in verifiableCredential[0].credentialStatus[0]
        id bad-signature+bad-signature
        type bad-signature+bad-signature+status-unavailable malformed(credentialStatus)
        statusPurpose bad-signature+bad-signature+status-unavailable malformed(statusPurpose)
        statusListIndex bad-signature+bad-signature malformed(statusPurpose)
        statusListCredential bad-signature+bad-signature+status-invalid malformed(statusListCredential)
        in verifiableCredential[0]
        credentialStatus[1] bad-signature+bad-signature
        in verifiableCredential[0].credentialStatus[1]
        id bad-signature+bad-signature
        type bad-signature+bad-signature+status-unavailable malformed(credentialStatus)
        statusPurpose bad-signature+bad-signature+status-unavailable malformed(statusPurpose)
        statusListIndex bad-signature+bad-signature malformed(statusPurpose)
        statusListCredential bad-signature+bad-signature+status-invalid malformed(statusListCredential)
        in verifiableCredential[0]
        proof bad-signature+bad-signature bad-signature
        proof.type bad-signature+bad-signature(eddsa-jcs-2022)
        proof.cryptosuite bad-signature+bad-signature(eddsa-jcs-2022)
        proof.created bad-signature+bad-signature
        proof.verificationMethod bad-signature+bad-signature bad-signature+bad-signature(verificationMethod)
        proof.proofPurpose bad-signature+bad-signature(assertionMethod)
        proof.@context bad-signature+bad-signature(@context) bad-signature+bad-signature
        proof.@context[0] bad-signature+bad-signature(@context)
        proof.@context[1] bad-signature+bad-signature(@context) bad-signature+bad-signature
        proof.proofValue bad-signature+bad-signature bad-signature+bad-signature(proofValue)
        in
        proof bad-signature
        proof.type bad-signature(eddsa-jcs-2022)
        proof.cryptosuite bad-signature(eddsa-jcs-2022)
        proof.created bad-signature
        proof.verificationMethod bad-signature bad-signature(verificationMethod)
        proof.proofPurpose bad-signature(authentication)
        proof.challenge bad-signature
        proof.domain bad-signature
        proof.@context bad-signature(@context) bad-signature
        proof.@context[0] bad-signature(@context)
        proof.@context[1] bad-signature(@context) bad-signature
        proof.proofValue bad-signature bad-signature(proofValue)
        """
    )

    static let embeddedResigned = FieldTable(
        """
        @context valid malformed(@context)
        @context[0] malformed(@context)
        @context[1] bad-signature(@context)
        type valid malformed(type)
        type[0] malformed(type)
        holder wrong-holder valid
        verifiableCredential valid
        verifiableCredential[0] bad-signature valid
        in verifiableCredential[0]
        @context valid malformed(@context)
        @context[0] malformed(@context)
        @context[1] bad-signature(@context)
        id bad-signature
        type bad-signature malformed(type)
        type[0] malformed(type)
        type[1] bad-signature
        issuer bad-signature+status-invalid+status-invalid malformed(issuer)
        validFrom bad-signature
        validUntil bad-signature
        credentialSubject bad-signature malformed(credentialSubject)
        credentialSubject.id bad-signature+wrong-holder
        credentialSubject.agentId bad-signature
        credentialSubject.agentName bad-signature
        credentialSubject.operator bad-signature
        credentialSubject.capability bad-signature
        credentialSubject.capability[0] bad-signature
        credentialSubject.capability[1] bad-signature
        credentialSubject.spendLimit bad-signature
        credentialSubject.spendLimit.currency bad-signature
        credentialSubject.spendLimit.amountMinor bad-signature
        credentialSubject.spendLimit.period bad-signature
        credentialSubject.nextKeyHash bad-signature
        credentialStatus bad-signature
        credentialStatus[0] bad-signature
        in verifiableCredential[0].credentialStatus[0]
        id bad-signature
        type bad-signature+status-unavailable malformed(credentialStatus)
        statusPurpose bad-signature+status-unavailable malformed(statusPurpose)
        statusListIndex bad-signature malformed(statusPurpose)
        statusListCredential bad-signature+status-invalid malformed(statusListCredential)
        in verifiableCredential[0]
        credentialStatus[1] bad-signature
        in verifiableCredential[0].credentialStatus[1]
        id bad-signature
        type bad-signature+status-unavailable malformed(credentialStatus)
        statusPurpose bad-signature+status-unavailable malformed(statusPurpose)
        statusListIndex bad-signature malformed(statusPurpose)
        statusListCredential bad-signature+status-invalid malformed(statusListCredential)
        in verifiableCredential[0]
        proof bad-signature
        proof.type bad-signature(eddsa-jcs-2022)
        proof.cryptosuite bad-signature(eddsa-jcs-2022)
        proof.created bad-signature
        proof.verificationMethod bad-signature bad-signature(verificationMethod)
        proof.proofPurpose bad-signature(assertionMethod)
        proof.@context bad-signature(@context) bad-signature
        proof.@context[0] bad-signature(@context)
        proof.@context[1] bad-signature(@context) bad-signature
        proof.proofValue bad-signature bad-signature(proofValue)
        in
        proof valid bad-signature
        proof.type bad-signature(eddsa-jcs-2022)
        proof.cryptosuite bad-signature(eddsa-jcs-2022)
        proof.created valid
        proof.verificationMethod bad-signature bad-signature(verificationMethod)
        proof.proofPurpose bad-signature(authentication)
        proof.challenge wrong-challenge
        proof.domain wrong-domain
        proof.@context bad-signature(@context) valid
        proof.@context[0] bad-signature(@context)
        proof.@context[1] bad-signature(@context) valid
        proof.proofValue bad-signature bad-signature(proofValue)
        """
    )

    static let tokenUnsigned = FieldTable(
        """
        header bad-signature malformed
        header.alg unsupported-proof
        header.typ unsupported-proof
        header.kid wrong-holder bad-signature
        header.cty unsupported-proof(cty) bad-signature
        claims bad-signature malformed
        claims.@context bad-signature malformed(@context)
        claims.@context[0] malformed(@context)
        claims.@context[1] bad-signature
        claims.type bad-signature malformed(type)
        claims.type[0] malformed(type)
        claims.holder claims-contradict(iss) bad-signature
        claims.verifiableCredential bad-signature
        claims.verifiableCredential[0] bad-signature+bad-signature bad-signature
        in claims.verifiableCredential[0]
        @context bad-signature malformed(@context)
        @context[0] malformed(@context)
        @context[1] bad-signature+bad-signature(@context)
        id bad-signature+bad-signature
        type bad-signature+bad-signature malformed(type)
        type[0] malformed(type)
        type[1] bad-signature+bad-signature
        issuer bad-signature+bad-signature+status-invalid+status-invalid malformed(issuer)
        validFrom bad-signature+bad-signature
        validUntil bad-signature+bad-signature
        credentialSubject bad-signature+bad-signature malformed(credentialSubject)
        credentialSubject.id bad-signature+bad-signature
        credentialSubject.agentId bad-signature+bad-signature
        credentialSubject.agentName bad-signature+bad-signature
        credentialSubject.operator bad-signature+bad-signature
        credentialSubject.capability bad-signature+bad-signature
        credentialSubject.capability[0] bad-signature+bad-signature
        credentialSubject.capability[1] bad-signature+bad-signature
        credentialSubject.spendLimit bad-signature+bad-signature
        credentialSubject.spendLimit.currency bad-signature+bad-signature
        credentialSubject.spendLimit.amountMinor bad-signature+bad-signature
        credentialSubject.spendLimit.period bad-signature+bad-signature
        credentialSubject.nextKeyHash bad-signature+bad-signature
        credentialStatus bad-signature+bad-signature
        credentialStatus[0] bad-signature+bad-signature
        in claims.verifiableCredential[0].credentialStatus[0]
        id bad-signature+bad-signature
        type bad-signature+bad-signature+status-unavailable malformed(credentialStatus)
        statusPurpose bad-signature+bad-signature+status-unavailable malformed(statusPurpose)
        statusListIndex bad-signature+bad-signature malformed(statusPurpose)
        statusListCredential bad-signature+bad-signature+status-invalid malformed(statusListCredential)
        in claims.verifiableCredential[0]
        credentialStatus[1] bad-signature+bad-signature
        in claims.verifiableCredential[0].credentialStatus[1]
        id bad-signature+bad-signature
        type bad-signature+bad-signature+status-unavailable malformed(credentialStatus)
        statusPurpose bad-signature+bad-signature+status-unavailable malformed(statusPurpose)
        statusListIndex bad-signature+bad-signature malformed(statusPurpose)
        statusListCredential bad-signature+bad-signature+status-invalid malformed(statusListCredential)
        in claims.verifiableCredential[0]
        proof bad-signature+bad-signature bad-signature
        proof.type bad-signature+bad-signature(eddsa-jcs-2022)
        proof.cryptosuite bad-signature+bad-signature(eddsa-jcs-2022)
        proof.created bad-signature+bad-signature
        proof.verificationMethod bad-signature+bad-signature bad-signature+bad-signature(verificationMethod)
        proof.proofPurpose bad-signature+bad-signature(assertionMethod)
        proof.@context bad-signature+bad-signature(@context) bad-signature+bad-signature
        proof.@context[0] bad-signature+bad-signature(@context)
        proof.@context[1] bad-signature+bad-signature(@context) bad-signature+bad-signature
        proof.proofValue bad-signature+bad-signature bad-signature+bad-signature(proofValue)
        in
        claims.iss claims-contradict(iss) bad-signature
        claims.aud bad-signature
        claims.nonce bad-signature
        claims.iat bad-signature
        claims.exp bad-signature
        signature bad-signature
        """
    )

    static let tokenResigned = FieldTable(
        """
        header valid malformed
        header.alg unsupported-proof
        header.typ unsupported-proof
        header.kid wrong-holder valid
        header.cty unsupported-proof(cty) valid
        claims valid malformed
        claims.@context valid malformed(@context)
        claims.@context[0] malformed(@context)
        claims.@context[1] valid
        claims.type valid malformed(type)
        claims.type[0] malformed(type)
        claims.holder claims-contradict(iss) valid
        claims.verifiableCredential valid
        claims.verifiableCredential[0] bad-signature valid
        in claims.verifiableCredential[0]
        @context valid malformed(@context)
        @context[0] malformed(@context)
        @context[1] bad-signature(@context)
        id bad-signature
        type bad-signature malformed(type)
        type[0] malformed(type)
        type[1] bad-signature
        issuer bad-signature+status-invalid+status-invalid malformed(issuer)
        validFrom bad-signature
        validUntil bad-signature
        credentialSubject bad-signature malformed(credentialSubject)
        credentialSubject.id bad-signature+wrong-holder
        credentialSubject.agentId bad-signature
        credentialSubject.agentName bad-signature
        credentialSubject.operator bad-signature
        credentialSubject.capability bad-signature
        credentialSubject.capability[0] bad-signature
        credentialSubject.capability[1] bad-signature
        credentialSubject.spendLimit bad-signature
        credentialSubject.spendLimit.currency bad-signature
        credentialSubject.spendLimit.amountMinor bad-signature
        credentialSubject.spendLimit.period bad-signature
        credentialSubject.nextKeyHash bad-signature
        credentialStatus bad-signature
        credentialStatus[0] bad-signature
        in claims.verifiableCredential[0].credentialStatus[0]
        id bad-signature
        type bad-signature+status-unavailable malformed(credentialStatus)
        statusPurpose bad-signature+status-unavailable malformed(statusPurpose)
        statusListIndex bad-signature malformed(statusPurpose)
        statusListCredential bad-signature+status-invalid malformed(statusListCredential)
        in claims.verifiableCredential[0]
        credentialStatus[1] bad-signature
        in claims.verifiableCredential[0].credentialStatus[1]
        id bad-signature
        type bad-signature+status-unavailable malformed(credentialStatus)
        statusPurpose bad-signature+status-unavailable malformed(statusPurpose)
        statusListIndex bad-signature malformed(statusPurpose)
        statusListCredential bad-signature+status-invalid malformed(statusListCredential)
        in claims.verifiableCredential[0]
        proof bad-signature
        proof.type bad-signature(eddsa-jcs-2022)
        proof.cryptosuite bad-signature(eddsa-jcs-2022)
        proof.created bad-signature
        proof.verificationMethod bad-signature bad-signature(verificationMethod)
        proof.proofPurpose bad-signature(assertionMethod)
        proof.@context bad-signature(@context) bad-signature
        proof.@context[0] bad-signature(@context)
        proof.@context[1] bad-signature(@context) bad-signature
        proof.proofValue bad-signature bad-signature(proofValue)
        in
        claims.iss claims-contradict(iss) valid
        claims.aud wrong-domain
        claims.nonce wrong-challenge
        claims.iat valid
        claims.exp valid
        signature valid
        """
    )
}
