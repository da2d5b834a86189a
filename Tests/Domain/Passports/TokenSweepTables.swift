import FieldSweeps

/// What is `valid` though it was changed is the issuer's own word, where it signed it, and what a holder may keep back.
extension PassportSweepTests {
    static let jwtUnsigned = FieldTable(
        """
        header bad-signature malformed
        header.alg unsupported-proof
        header.typ unsupported-proof
        header.kid wrong-issuer bad-signature
        claims malformed(more) malformed
        claims.@context bad-signature malformed(@context)
        claims.@context[0] malformed(@context)
        claims.@context[1] bad-signature
        claims.id claims-contradict(jti)
        claims.type bad-signature malformed(type)
        claims.type[0] malformed(type)
        claims.type[1] malformed(type)
        claims.issuer claims-contradict(iss)
        claims.validFrom bad-signature malformed(validFrom)
        claims.validUntil bad-signature malformed(validUntil)
        claims.credentialSubject bad-signature claims-contradict(sub)
        claims.credentialSubject.id claims-contradict(sub)
        claims.credentialSubject.agentId bad-signature
        claims.credentialSubject.agentName bad-signature malformed(agentName)
        claims.credentialSubject.operator bad-signature
        claims.credentialSubject.capability malformed(capability) bad-signature+capability-missing(pay)
        claims.credentialSubject.capability[0] bad-signature+capability-missing(pay)
        claims.credentialSubject.capability[1] bad-signature
        claims.credentialSubject.spendLimit bad-signature
        claims.credentialSubject.spendLimit.currency bad-signature malformed(spendLimit)
        claims.credentialSubject.spendLimit.amountMinor bad-signature malformed(spendLimit)
        claims.credentialSubject.spendLimit.period malformed(period) malformed(spendLimit)
        claims.credentialSubject.nextKeyHash bad-signature
        claims.credentialStatus malformed(credentialStatus) bad-signature+status-missing
        claims.credentialStatus[0] bad-signature bad-signature+status-missing
        claims.credentialStatus[0].id bad-signature
        claims.credentialStatus[0].type malformed(credentialStatus)
        claims.credentialStatus[0].statusPurpose malformed(statusPurpose)
        claims.credentialStatus[0].statusListIndex bad-signature malformed(statusListIndex)
        claims.credentialStatus[0].statusListCredential bad-signature+status-invalid malformed(statusListCredential)
        claims.credentialStatus[1] bad-signature
        claims.credentialStatus[1].id bad-signature
        claims.credentialStatus[1].type malformed(credentialStatus)
        claims.credentialStatus[1].statusPurpose malformed(statusPurpose)
        claims.credentialStatus[1].statusListIndex bad-signature malformed(statusListIndex)
        claims.credentialStatus[1].statusListCredential bad-signature+status-invalid malformed(statusListCredential)
        claims.iss claims-contradict(iss) bad-signature
        claims.jti claims-contradict(jti) bad-signature
        claims.sub claims-contradict(sub) bad-signature
        signature bad-signature
        """
    )

    static let jwtResigned = FieldTable(
        """
        header valid malformed
        header.alg unsupported-proof
        header.typ unsupported-proof
        header.kid wrong-issuer valid
        claims malformed(more) malformed
        claims.@context valid malformed(@context)
        claims.@context[0] malformed(@context)
        claims.@context[1] valid
        claims.id claims-contradict(jti)
        claims.type valid malformed(type)
        claims.type[0] malformed(type)
        claims.type[1] malformed(type)
        claims.issuer claims-contradict(iss)
        claims.validFrom valid malformed(validFrom)
        claims.validUntil valid malformed(validUntil)
        claims.credentialSubject valid claims-contradict(sub)
        claims.credentialSubject.id claims-contradict(sub)
        claims.credentialSubject.agentId valid
        claims.credentialSubject.agentName valid malformed(agentName)
        claims.credentialSubject.operator valid
        claims.credentialSubject.capability malformed(capability) capability-missing(pay)
        claims.credentialSubject.capability[0] capability-missing(pay)
        claims.credentialSubject.capability[1] valid
        claims.credentialSubject.spendLimit valid
        claims.credentialSubject.spendLimit.currency valid malformed(spendLimit)
        claims.credentialSubject.spendLimit.amountMinor valid malformed(spendLimit)
        claims.credentialSubject.spendLimit.period malformed(period) malformed(spendLimit)
        claims.credentialSubject.nextKeyHash valid
        claims.credentialStatus malformed(credentialStatus) status-missing
        claims.credentialStatus[0] valid status-missing
        claims.credentialStatus[0].id valid
        claims.credentialStatus[0].type malformed(credentialStatus)
        claims.credentialStatus[0].statusPurpose malformed(statusPurpose)
        claims.credentialStatus[0].statusListIndex valid malformed(statusListIndex)
        claims.credentialStatus[0].statusListCredential status-invalid malformed(statusListCredential)
        claims.credentialStatus[1] valid
        claims.credentialStatus[1].id valid
        claims.credentialStatus[1].type malformed(credentialStatus)
        claims.credentialStatus[1].statusPurpose malformed(statusPurpose)
        claims.credentialStatus[1].statusListIndex valid malformed(statusListIndex)
        claims.credentialStatus[1].statusListCredential status-invalid malformed(statusListCredential)
        claims.iss claims-contradict(iss) valid
        claims.jti claims-contradict(jti) valid
        claims.sub claims-contradict(sub) valid
        signature valid
        """
    )

    static let sdJWTUnsigned = FieldTable(
        """
        header bad-signature malformed
        header.alg unsupported-proof
        header.typ unsupported-proof
        header.kid wrong-issuer bad-signature
        claims malformed(more) malformed
        claims.iss wrong-issuer+untrusted-issuer+status-invalid malformed(issuer)
        claims.sub claims-contradict(cnf)
        claims.jti bad-signature malformed(id)
        claims.iat bad-signature
        claims.nbf bad-signature malformed(nbf)
        claims.exp bad-signature malformed(exp)
        claims.vct malformed(vct)
        claims.cnf bad-signature claims-contradict(cnf)
        claims.cnf.jwk bad-signature malformed(cnf)
        claims.cnf.jwk.crv malformed
        claims.cnf.jwk.kty malformed
        claims.cnf.jwk.x claims-contradict(cnf) malformed(x)
        claims.status bad-signature malformed(status_list)
        claims.status.status_list bad-signature malformed(status_list)
        claims.status.status_list.idx bad-signature malformed(status_list)
        claims.status.status_list.uri bad-signature+status-unavailable malformed(status_list)
        claims.agentId bad-signature
        claims.capability malformed
        claims.capability[0] malformed
        claims.capability[0].... malformed
        claims.capability[1] malformed
        claims.capability[1].... malformed
        claims.spendLimit bad-signature
        claims.spendLimit.currency bad-signature malformed(spendLimit)
        claims.spendLimit.amountMinor bad-signature malformed(spendLimit)
        claims.spendLimit.period malformed(period) malformed(spendLimit)
        claims.nextKeyHash bad-signature
        claims._sd malformed
        claims._sd[0] malformed
        claims._sd[1] malformed
        claims._sd_alg malformed bad-signature
        signature bad-signature
        """
    )

    static let sdJWTResigned = FieldTable(
        """
        header valid malformed
        header.alg unsupported-proof
        header.typ unsupported-proof
        header.kid wrong-issuer valid
        claims malformed(more) malformed
        claims.iss wrong-issuer+untrusted-issuer+status-invalid malformed(issuer)
        claims.sub claims-contradict(cnf)
        claims.jti valid malformed(id)
        claims.iat valid
        claims.nbf valid malformed(nbf)
        claims.exp valid malformed(exp)
        claims.vct malformed(vct)
        claims.cnf valid claims-contradict(cnf)
        claims.cnf.jwk valid malformed(cnf)
        claims.cnf.jwk.crv malformed
        claims.cnf.jwk.kty malformed
        claims.cnf.jwk.x claims-contradict(cnf) malformed(x)
        claims.status valid malformed(status_list)
        claims.status.status_list valid malformed(status_list)
        claims.status.status_list.idx valid malformed(status_list)
        claims.status.status_list.uri status-unavailable malformed(status_list)
        claims.agentId valid
        claims.capability malformed
        claims.capability[0] malformed
        claims.capability[0].... malformed
        claims.capability[1] malformed
        claims.capability[1].... malformed
        claims.spendLimit valid
        claims.spendLimit.currency valid malformed(spendLimit)
        claims.spendLimit.amountMinor valid malformed(spendLimit)
        claims.spendLimit.period malformed(period) malformed(spendLimit)
        claims.nextKeyHash valid
        claims._sd malformed
        claims._sd[0] malformed
        claims._sd[1] malformed
        claims._sd_alg malformed valid
        signature valid
        """
    )

    static let disclosures = FieldTable(
        """
        pay malformed capability-missing(pay)
        pay[0] malformed
        pay[1] malformed
        invoke malformed valid
        invoke[0] malformed
        invoke[1] malformed
        agentName malformed valid
        agentName[0] malformed
        agentName[1] malformed
        agentName[2] malformed
        operator malformed valid
        operator[0] malformed
        operator[1] malformed
        operator[2] malformed
        """
    )

    static let bindingUnsigned = FieldTable(
        """
        header bad-signature
        header.alg bad-signature
        header.typ bad-signature
        claims bad-signature
        claims.iat bad-signature
        claims.aud bad-signature
        claims.nonce bad-signature
        claims.sd_hash bad-signature
        signature bad-signature
        """
    )

    static let bindingResigned = FieldTable(
        """
        header valid bad-signature
        header.alg bad-signature
        header.typ bad-signature
        claims valid bad-signature
        claims.iat valid bad-key-binding
        claims.aud wrong-audience
        claims.nonce wrong-nonce
        claims.sd_hash bad-signature
        signature valid
        """
    )
}
