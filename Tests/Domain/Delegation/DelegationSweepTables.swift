import FieldSweeps

/// What is `valid` though it was changed is the signer's own word, where it signed it: a link that gives more or less, a call of
/// another name.
extension DelegationSweepTests {
    static let linkUnsigned = FieldTable(
        """
        signature forged malformed
        signed malformed(h) malformed
        signed.h unsupported-signature malformed(h)
        signed.ucan/dlg@1.0.0 malformed(more) malformed(h)
        in signed.ucan/dlg@1.0.0
        aud forged malformed(aud)
        cmd forged malformed(cmd)
        exp forged malformed(exp)
        iss self-issued malformed(iss)
        nbf not-yet-valid forged
        pol forged malformed
        pol[0] malformed forged
        pol[0][0] malformed
        pol[0][1] forged malformed
        pol[0][2] forged malformed
        pol[1] malformed forged
        pol[1][0] malformed
        pol[1][1] forged malformed
        pol[1][2] forged malformed
        pol[2] malformed forged
        pol[2][0] malformed
        pol[2][1] forged malformed
        pol[2][2] forged malformed
        pol[3] malformed forged
        pol[3][0] malformed
        pol[3][1] forged malformed
        pol[3][2] forged malformed
        sub self-issued malformed(sub)
        meta forged
        meta.mintmark malformed(mintmark) forged
        meta.mintmark.label forged
        meta.mintmark.budget malformed(budget) forged
        meta.mintmark.budget.unit forged malformed(budget)
        meta.mintmark.budget.amount forged malformed(budget)
        meta.mintmark.budget.period forged
        meta.mintmark.accounting malformed(accounting) accounting-missing
        meta.mintmark.accounting.did forged malformed(accounting)
        meta.mintmark.accounting.url forged malformed(accounting)
        nonce forged malformed(nonce)
        """
    )
    static let linkResigned = FieldTable(
        """
        h unsupported-signature malformed(h)
        ucan/dlg@1.0.0 malformed(more) malformed(h)
        in ucan/dlg@1.0.0
        aud wrong-audience malformed(aud)
        cmd command-not-given malformed(cmd)
        exp valid malformed(exp)
        iss self-issued malformed(iss)
        nbf not-yet-valid valid
        pol valid malformed
        pol[0] malformed valid
        pol[0][0] malformed
        pol[0][1] policy-violated malformed
        pol[0][2] wrong-unit malformed
        pol[1] malformed valid
        pol[1][0] malformed
        pol[1][1] policy-violated malformed
        pol[1][2] valid malformed
        pol[2] malformed valid
        pol[2][0] malformed
        pol[2][1] policy-violated malformed
        pol[2][2] valid malformed
        pol[3] malformed valid
        pol[3][0] malformed
        pol[3][1] policy-violated malformed
        pol[3][2] policy-violated malformed
        sub self-issued malformed(sub)
        meta valid
        meta.mintmark malformed(mintmark) valid
        meta.mintmark.label valid
        meta.mintmark.budget malformed(budget) valid
        meta.mintmark.budget.unit wrong-unit malformed(budget)
        meta.mintmark.budget.amount valid malformed(budget)
        meta.mintmark.budget.period valid
        meta.mintmark.accounting malformed(accounting) accounting-missing
        meta.mintmark.accounting.did valid malformed(accounting)
        meta.mintmark.accounting.url valid malformed(accounting)
        nonce valid malformed(nonce)
        """
    )
    static let middleResigned = FieldTable(
        """
        h unsupported-signature malformed(h)
        ucan/dlg@1.0.0 malformed(more) malformed(h)
        in ucan/dlg@1.0.0
        aud broken-chain malformed(aud)
        cmd command-widened malformed(cmd)
        exp valid malformed(exp)
        iss broken-chain malformed(iss)
        pol valid malformed
        pol[0] malformed valid
        pol[0][0] malformed
        pol[0][1] policy-violated malformed
        pol[0][2] wrong-unit malformed
        pol[1] malformed valid
        pol[1][0] malformed
        pol[1][1] policy-violated malformed
        pol[1][2] valid malformed
        pol[2] malformed valid
        pol[2][0] malformed
        pol[2][1] policy-violated malformed
        pol[2][2] valid malformed
        sub wrong-subject malformed(sub)
        meta valid
        meta.mintmark malformed(mintmark) valid
        meta.mintmark.budget malformed(budget) valid
        meta.mintmark.budget.unit wrong-unit malformed(budget)
        meta.mintmark.budget.amount budget-widened malformed(budget)
        nonce valid malformed(nonce)
        """
    )

    static let invocationUnsigned = FieldTable(
        """
        signature forged malformed
        signed malformed(h) malformed
        signed.h unsupported-signature malformed(h)
        signed.ucan/inv@1.0.0 malformed(more) malformed(h)
        in signed.ucan/inv@1.0.0
        aud forged
        cmd command-not-given malformed(cmd)
        exp forged expiry-too-far
        iat forged
        iss wrong-audience malformed(iss)
        prf proof-surplus malformed(prf)
        prf[0] proof-unavailable proof-surplus
        sub forged malformed(sub)
        args malformed malformed(args)
        args.call forged malformed
        args.unit forged malformed
        args.depth forged malformed
        args.amount forged malformed
        args.digest wrong-request malformed
        args.method wrong-request malformed
        args.target wrong-request malformed
        nonce forged malformed(nonce)
        """
    )
    static let invocationResigned = FieldTable(
        """
        h unsupported-signature malformed(h)
        ucan/inv@1.0.0 malformed(more) malformed(h)
        in ucan/inv@1.0.0
        aud wrong-recipient valid
        cmd command-not-given malformed(cmd)
        exp valid expiry-too-far
        iat valid
        iss wrong-audience malformed(iss)
        prf proof-surplus malformed(prf)
        prf[0] proof-unavailable proof-surplus
        sub wrong-subject malformed(sub)
        args malformed malformed(args)
        args.call valid malformed
        args.unit wrong-unit malformed
        args.depth wrong-depth malformed
        args.amount over-call-limit malformed
        args.digest wrong-request malformed
        args.method wrong-request malformed
        args.target wrong-request malformed
        nonce valid malformed(nonce)
        """
    )
    static let ticketUnsigned = FieldTable(
        """
        @context ticket-malformed
        @context[0] ticket-malformed
        @context[1] ticket-malformed
        id ticket-forged ticket-malformed
        type ticket-malformed
        type[0] ticket-malformed
        issuer ticket-wrong-node ticket-malformed
        agent ticket-mismatch ticket-malformed
        chain ticket-mismatch ticket-malformed
        chain[0] ticket-mismatch
        request ticket-malformed
        request.method ticket-mismatch ticket-malformed
        request.target ticket-mismatch ticket-malformed
        request.digest ticket-mismatch ticket-malformed
        amount ticket-mismatch ticket-malformed
        unit ticket-mismatch ticket-malformed
        call ticket-mismatch ticket-malformed
        seller ticket-mismatch
        issuedAt ticket-forged ticket-malformed
        expires ticket-expired ticket-malformed
        proof ticket-forged ticket-malformed
        proof.type ticket-forged(eddsa-jcs-2022)
        proof.cryptosuite ticket-forged(eddsa-jcs-2022)
        proof.created ticket-forged
        proof.verificationMethod ticket-forged ticket-forged(verificationMethod)
        proof.proofPurpose ticket-forged(assertionMethod)
        proof.@context ticket-forged(@context) ticket-forged
        proof.@context[0] ticket-forged(@context)
        proof.@context[1] ticket-forged(@context) ticket-forged
        proof.proofValue ticket-forged ticket-forged(proofValue)
        """
    )
    static let ticketResigned = FieldTable(
        """
        @context ticket-malformed
        @context[0] ticket-malformed
        @context[1] ticket-malformed
        id valid ticket-malformed
        type ticket-malformed
        type[0] ticket-malformed
        issuer ticket-wrong-node ticket-malformed
        agent ticket-mismatch ticket-malformed
        chain ticket-mismatch ticket-malformed
        chain[0] ticket-mismatch
        request ticket-malformed
        request.method ticket-mismatch ticket-malformed
        request.target ticket-mismatch ticket-malformed
        request.digest ticket-mismatch ticket-malformed
        amount ticket-mismatch ticket-malformed
        unit ticket-mismatch ticket-malformed
        call ticket-mismatch ticket-malformed
        seller ticket-mismatch
        issuedAt valid ticket-malformed
        expires ticket-expired ticket-malformed
        """
    )
    static let bundle = FieldTable(
        """
        inv forged malformed(inv)
        prf proof-surplus malformed(inv)
        prf[0] proof-unavailable
        prf[1] proof-unavailable
        prf[2] proof-unavailable
        """
    )
}
