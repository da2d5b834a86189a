internal import Cashu
internal import Encodings
internal import Market
internal import SignedDocuments
internal import Wallet

/// The lock of a job in mode `arbiter`, as both of its sides deal with it: each plans where its part goes, and swaps with another's
/// signature ([ESC-16]).
struct JointLock: Sendable {
    let wallet: Wallet
    let signer: DocumentSigner
    let clock: WallClock
    /// What this side's parts are kept for in the wallet.
    let reference: @Sendable (EscrowTerms) -> String

    /// Where this side wants its part.
    ///
    /// - Parameter amount: nil for all that the lock comes to.
    func planned<Engine: JobEngine>(
        _ job: StoredJob<Engine>,
        _ amount: UInt64? = nil
    ) async throws -> Signed<PlannedOutputs> {
        let token = try Self.token(of: job)
        let part = if let amount { amount } else { try await wallet.worth(of: token) }
        let outputs = try await wallet.planShare(part, of: token, reference: reference(job.engine.terms))
        let now = clock.now()
        let content = PlannedOutputs(
            party: signer.did,
            job: job.job,
            outputs: outputs,
            time: UInt64(max(0, now.secondsSince1970))
        )
        return try .sign(content, by: signer, now: now)
    }

    /// Swaps the lock to outputs, this side's planned ones among them. Where others have taken the coins, the mint says who.
    ///
    /// - Parameter key: whose signature it must be, compressed in hex.
    /// - Throws: ``JobError`` `wrong-signature`, before anything is sent; `WalletError`.
    func take<Engine: JobEngine>(
        _ job: StoredJob<Engine>,
        _ planned: PlannedOutputs,
        to outputs: [BlindedMessage],
        _ signature: [UInt8],
        by key: String
    ) async throws {
        let token = try Self.token(of: job)
        guard try await wallet.isCosigned(token, to: outputs, by: Hex.decode(key), signature) else {
            throw JobError(.wrongSignature, "The signature is not one by the agreed key on the swap to these outputs.")
        }
        do {
            try await wallet.takeShare(
                planned.amount ?? 0,
                reference: reference(job.engine.terms),
                outputs: outputs,
                signature: signature
            )
        } catch let error as WalletError where error.code == .tokenSpent {}
    }

    private static func token<Engine: JobEngine>(of job: StoredJob<Engine>) throws(JobError) -> String {
        guard let token = job.token else { throw JobError(.corrupt, "a job's lock is gone") }
        return token
    }
}
