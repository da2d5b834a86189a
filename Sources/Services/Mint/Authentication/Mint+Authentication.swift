internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Logging

/// Protected endpoints (NUT-21, NUT-22).
extension Mint {
    /// Does `work` where the request may: with the tokens that its endpoint asks for.
    ///
    /// A blind token is used up on the disk before the work begins, so that two requests with one token cannot both be
    /// let in, and is free again where the work fails (NUT-22: "not marked as spent if the request results in an
    /// error"). Where the process dies in between it counts as used.
    /// - Parameter path: from `/v1` on, as the route names it, so that another spelling of the address is no way around.
    /// - Throws: `MintError` 30001, 30002, 31001, 31002; what `work` throws.
    func admitted<T>(
        _ method: String,
        _ path: String,
        _ tokens: AuthTokens,
        _ work: (MintAuthenticator.Grant) async throws -> T
    ) async throws -> T {
        guard let authenticator else { return try await work(MintAuthenticator.Grant()) }
        var grant = MintAuthenticator.Grant()
        if authenticator.asksForClear(method, path) { grant.subject = try await authenticator.subject(tokens) }
        if authenticator.asksForBlind(method, path) { grant.token = try await claim(tokens, authenticator) }
        do {
            return try await work(grant)
        } catch {
            if let token = grant.token { await release(token) }
            throw error
        }
    }

    static func authenticator(
        _ settings: MintConfiguration.Authentication?,
        signatory: any Signatory,
        documents: (any IssuerDocuments)?,
        clock: WallClock,
        logger: Logger
    ) async throws -> MintAuthenticator? {
        guard let settings else { return nil }
        guard let documents else {
            throw MintSetupError(.configuration, "a mint that asks for tokens needs a way to fetch its issuer's keys")
        }
        // Not among the mint's own keysets: nothing else can be paid with it, and no ledger counts it.
        let plan = KeysetPlan(unit: .auth, counter: 0, inputFeePPK: 0, finalExpiry: nil)
        return MintAuthenticator(
            settings,
            keyset: try await signatory.add(plan),
            documents: documents,
            clock: clock,
            logger: logger
        )
    }

    private func claim(_ tokens: AuthTokens, _ authenticator: MintAuthenticator) async throws -> [UInt8] {
        guard let text = tokens.blind else {
            throw MintError(.blindAuthRequired, "this endpoint needs a blind auth token, in the header Blind-auth")
        }
        let keyset = authenticator.keyset.id
        let answer: SignatoryAnswer
        do {
            (answer, _) = try await signatory.answer {
                guard let token = try? BlindAuthToken(text), token.keysetID == keyset else {
                    throw MintError(.blindAuthFailed, "the blind auth token is not of this mint")
                }
                return (SignatoryBatch(proofs: [token.proof]), ())
            }
        } catch let refusal as MintError where refusal.code == .proofVerificationFailed {
            throw MintError(.blindAuthFailed, "the blind auth token is not of this mint")
        }
        guard let y = answer.hashedSecrets.first else {
            throw MintError(.blindAuthFailed, "the blind auth token cannot be checked")
        }
        guard try await store.claimAuthToken(y, at: clock.now()) else {
            throw MintError(.blindAuthFailed, "the blind auth token was used before")
        }
        return y
    }

    private func release(_ token: [UInt8]) async {
        do {
            try await store.releaseAuthToken(token)
        } catch {
            logger.warning("a blind auth token stays used although its request failed", metadata: ["error": "\(error)"])
        }
    }

    private func requireBlindAuth() throws(MintError) -> MintAuthenticator {
        guard let authenticator, !authenticator.settings.blind.isEmpty else {
            throw MintError(.keysetUnknown, "this mint has no blind auth tokens")
        }
        return authenticator
    }

    /// `GET /v1/auth/blind/keys`, and of one keyset.
    /// - Throws: `MintError` 12001.
    func authKeys(of id: String? = nil) throws(MintError) -> [UInt8] {
        let authenticator = try requireBlindAuth()
        guard id == nil || (try? KeysetID(hex: id ?? "")) == authenticator.keyset.id else {
            throw MintError(.keysetUnknown, "this mint has no auth keyset \(id?.prefix(80) ?? "")")
        }
        return authenticator.keysBody
    }

    /// `GET /v1/auth/blind/keysets`.
    func authKeysets() throws(MintError) -> [UInt8] { try requireBlindAuth().keysetsBody }

    /// `POST /v1/auth/blind/mint`: blind tokens for a user.
    /// - Throws: `MintError` 31003 more than at once, 31004 more than in an hour, 11006, 11008, 12001.
    func mintAuthTokens(_ body: [UInt8], for subject: String) async throws -> [UInt8] {
        let authenticator = try requireBlindAuth()
        let maximum = authenticator.settings.maximumTokens
        let keyset = authenticator.keyset.id
        let (answer, _) = try await signatory.answer {
            let outputs = try TransactionCheck.decode(body, BlindAuthMintRequest.init(json:)).outputs
            guard !outputs.isEmpty else { throw MintError(.malformedRequest, "`outputs` is empty") }
            guard outputs.count <= maximum else {
                throw MintError(.blindAuthAmountExceeded, "at most \(maximum) blind auth tokens are minted at once")
            }
            guard Set(outputs.map(\.blindedSecret)).count == outputs.count else {
                throw MintError(.duplicateOutputs, "an output stands twice in the request")
            }
            for output in outputs {
                guard output.keysetID == keyset else {
                    throw MintError(.keysetUnknown, "the outputs must be of the auth keyset \(keyset)")
                }
                guard output.amount == 1 else {
                    throw MintError(.amountOutsideLimits, "blind auth tokens are of amount 1 each")
                }
            }
            try authenticator.take(outputs.count, for: subject)
            return (SignatoryBatch(outputs: outputs), ())
        }
        return ResponseWriter.signatures(answer.promises)
    }
}
