internal import Cashu
internal import Cryptography
internal import Encodings
internal import Logging
internal import Workers

/// Requests that come again because their answer was lost (NUT-19).
///
/// The everyday request pays nothing for it but the sixteen bytes it leaves in its own transaction: the mint looks for a
/// former answer only once it would refuse, as a repeated request always does (its inputs are spent, its quote is issued).
extension Mint {
    /// What a request that was answered once can be refused with when it comes again.
    private static let repeated: Set<MintErrorCode> = [
        .proofsAlreadySpent, .proofsPending, .outputsAlreadySigned, .outputsPending, .amountOutsideLimits,
        .maximumInputsExceeded, .maximumOutputsExceeded, .maximumBatchExceeded, .keysetInactive, .keysetExpired,
        .quoteAlreadyIssued, .quotePending, .invoiceAlreadyPaid, .quoteExpired,
    ]

    /// Does the work; where that is refused as a repeated request would be, asks for the former answer before it says so.
    /// - Parameter former: nil where this very request was not answered before.
    func answering(
        _ work: () async throws -> [UInt8],
        former: () async throws -> [UInt8]?
    ) async throws -> [UInt8] {
        do {
            return try await work()
        } catch let refusal as MintError where Self.repeated.contains(refusal.code) {
            let answer: [UInt8]?
            do {
                answer = try await former()
            } catch let error as MintError {
                // The request cannot be read any more, as under tighter limits: then the refusal stands.
                logger.debug("a former answer could not be written", metadata: ["error": "\(error)"])
                throw refusal
            }
            guard let answer else { throw refusal }
            metrics.answeredAgain()
            return answer
        }
    }

    /// The answer of a swap or mint that signed these outputs, written anew; nil where one of them was not signed.
    func formerSignatures(on outputs: [BlindedMessage]) async throws -> [UInt8]? {
        let promises = try await store.promises(on: outputs.map(\.blindedSecret.compressed)).compactMap { $0 }
        guard promises.count == outputs.count else { return nil }
        return ResponseWriter.signatures(promises)
    }

    /// Forgets which swaps were answered longer ago than `answerLifetimeSeconds`, and the oldest beyond `answersKept`.
    package func forgetOldAnswers() async {
        let limit = clock.now().adding(seconds: -configuration.answerLifetimeSeconds)
        do {
            // A few small transactions at a time, so that swaps never wait long for one.
            for _ in 0..<100 {
                let forgotten = try await store.forgetAnswers(
                    before: limit,
                    keeping: configuration.answersKept,
                    count: 1000
                )
                if forgotten == 0 { return }
            }
        } catch {
            logger.warning("old answers could not be removed", metadata: ["error": "\(error)"])
        }
    }
}
