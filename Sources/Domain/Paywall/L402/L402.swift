internal import Cryptography
public import Encodings

/// The paywall's dialect of macaroons and Lightning invoices ([LSAT-1] to [LSAT-8]).
public enum L402 {
    public static let scheme = "L402"
    /// The longest challenge written, in bytes.
    public static let maximumChallengeBytes = 6144

    /// The value of one `WWW-Authenticate` line.
    ///
    /// Deployed clients look for `macaroon` and `invoice` first and in this spacing, the specification asks for `version` and
    /// `token`: one line with all four serves both.
    /// - Parameters:
    ///   - macaroon: made for the payment hash of the invoice.
    ///   - invoice: a BOLT 11 invoice.
    /// - Throws: ``MacaroonError`` `too-large`, `malformed` where the invoice has other characters than letters and digits.
    public static func challenge(macaroon: Macaroon, invoice: String) throws(MacaroonError) -> String {
        guard L402Challenge.isInvoiceText(invoice) else {
            throw MacaroonError(.malformed, "This is no invoice that can stand in a header.")
        }
        let token = Base64.encode(try macaroon.serialized())
        let text = "L402 macaroon=\"\(token)\", invoice=\"\(invoice)\", version=\"0\", token=\"\(token)\""
        guard text.utf8.count <= maximumChallengeBytes else {
            throw MacaroonError(.tooLarge, "The L402 challenge has more than \(maximumChallengeBytes) bytes.")
        }
        return text
    }

    /// Reads the challenges of an answer, as a buyer does, in the order in which they came and each only once.
    ///
    /// Both names of the scheme and of the token are read; what has no token or no invoice is left out, and so is what has
    /// another version than 0.
    public static func challenges(wwwAuthenticate values: [String]) -> [L402Challenge] {
        var found: [L402Challenge] = []
        for challenge in HTTPChallenge.read(values) where challenge.isScheme("L402") || challenge.isScheme("LSAT") {
            guard challenge.value("version") ?? "0" == "0",
                let token = challenge.value("token") ?? challenge.value("macaroon"),
                let invoice = challenge.value("invoice"),
                let read = L402Challenge(token: token, invoice: invoice), !found.contains(read)
            else { continue }
            found.append(read)
        }
        return found
    }

    /// Whether a credential is good for a call: made by us, paid for, and with every caveat kept ([LSAT-3] to [LSAT-6]).
    ///
    /// Several macaroons stand for themselves: one that is good suffices, and what the others say neither widens nor narrows
    /// it. What a good one allows has still to be held against the stored ``L402Grant``, which counts the calls.
    /// - Parameter known: a macaroon that these keys were found to have made: the same one is not worked out again.
    public static func judge(
        _ credential: L402Credential,
        keys: L402KeyRing,
        request: L402Request,
        now: Timestamp,
        known: Macaroon? = nil
    ) -> L402Judgement {
        var refusal: CallRefusal?
        for macaroon in credential.macaroons {
            do {
                return .accepted(try allowance(macaroon, credential.preimage, keys, request, now, known))
            } catch {
                // Of several, the most telling reason is that of a macaroon of ours.
                if refusal == nil || refusal?.code == .credentialInvalid { refusal = error }
            }
        }
        return .refused(refusal ?? invalid)
    }

    private static let invalid = CallRefusal(
        .credentialInvalid,
        "This credential is not one of this seller's, was revoked, or its preimage is not that of its payment; pay anew."
    )

    private static func allowance(
        _ macaroon: Macaroon,
        _ preimage: [UInt8],
        _ keys: L402KeyRing,
        _ request: L402Request,
        _ now: Timestamp,
        _ known: Macaroon?
    ) throws(CallRefusal) -> L402Allowance {
        // One answer for all of these: it tells a forger nothing about which part was right.
        guard let identifier = L402Identifier(bytes: macaroon.identifier), let key = keys[identifier.keyID],
            key.state != .revoked, macaroon.isSame(as: known) || macaroon.isMade(with: key.macaroonKey(identifier)),
            ConstantTime.equal(Hashing.sha256(preimage), identifier.paymentHash)
        else { throw invalid }
        var caveats = L402Caveats(request: request, now: now)
        for caveat in macaroon.caveats {
            guard !caveat.isThirdParty else {
                throw CallRefusal(
                    .credentialInsufficient,
                    "This credential has a caveat for somebody else to discharge, which L402 does not know."
                )
            }
            if let known = L402Caveat(caveat.identifier) { try caveats.add(known) }
        }
        return try caveats.allowance(identifier)
    }
}

/// What becomes of a credential.
public enum L402Judgement: Sendable, Equatable {
    case accepted(L402Allowance)
    /// 402, or 400 where the request itself is at fault.
    case refused(CallRefusal)
}
