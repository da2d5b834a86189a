package import Cashu

/// From what a signatory makes one keyset's keys: nothing in it is secret, and the same plan always gives the same keys.
package struct KeysetPlan: Sendable, Hashable {
    /// Which curve and id (NUT-02). A signatory refuses a version whose keys it cannot make.
    package var version: KeysetVersion
    package var unit: CurrencyUnit
    /// Which of the signatory's keysets of this unit, from 0.
    package var counter: UInt32
    /// Thousandths of a unit per input, at most 1,000,000.
    package var inputFeePPK: UInt64
    /// Seconds since 1970; nil: never.
    package var finalExpiry: UInt64?

    package init(
        version: KeysetVersion = .v2,
        unit: CurrencyUnit,
        counter: UInt32,
        inputFeePPK: UInt64,
        finalExpiry: UInt64?
    ) {
        self.version = version
        self.unit = unit
        self.counter = counter
        self.inputFeePPK = inputFeePPK
        self.finalExpiry = finalExpiry
    }
}

/// What one transaction asks of the signatory: proofs to verify and, only where all of them hold, outputs to sign.
package struct SignatoryBatch: Sendable {
    package var proofs: [Proof]
    /// Each is signed for the amount it names.
    package var outputs: [BlindedMessage]

    package init(proofs: [Proof] = [], outputs: [BlindedMessage] = []) {
        self.proofs = proofs
        self.outputs = outputs
    }
}

/// Each proof's `Y` (33 bytes, by which the mint remembers it) and each output's signature with its DLEQ proof, in the
/// order asked.
package struct SignatoryAnswer: Sendable {
    package var hashedSecrets: [[UInt8]]
    package var promises: [IssuedPromise]

    package init(hashedSecrets: [[UInt8]], promises: [IssuedPromise]) {
        self.hashedSecrets = hashedSecrets
        self.promises = promises
    }
}

/// The signatory cannot be asked now: it is away, locked or overrun. Nothing was signed.
package struct SignatoryUnavailable: Error, Sendable, CustomStringConvertible {
    package let message: String

    package init(_ message: String) {
        self.message = message
    }

    package var description: String { message }
}

/// Whoever holds the mint's private keys: this process, another one, or a hardware module. Nothing else of the mint
/// touches a private key.
///
/// It knows nothing of balance, spending or quotes: it says whether a signature is its own, and signs what it is told to
/// sign. One transaction is one call, so that a signatory elsewhere costs one round trip.
package protocol Signatory: Sendable {
    /// Makes a keyset's keys ready and tells the public ones. Adding a keyset again changes nothing.
    /// - Throws: `CashuError` `unsupportedVersion` for a version whose keys it cannot make, `malformed` for a plan that
    ///   cannot be.
    func add(_ plan: KeysetPlan) async throws -> Keyset

    /// The keysets that are ready, with their public keys, by id.
    func keysets() async throws -> [Keyset]

    /// Answers one transaction.
    ///
    /// `prepare` works out what to ask; it is handed over, so that a signatory in this process does both in one piece of
    /// work on one thread, and one elsewhere prepares here and asks there.
    /// - Throws: what `prepare` throws; `MintError` 10001 for a proof that this signatory did not sign, 11006 for an
    ///   output that is no power of two, 12001 for a keyset that was not added; `SignatoryUnavailable`. Then nothing was
    ///   signed that anybody has seen.
    func answer<Context: Sendable>(
        _ prepare: @escaping @Sendable () throws -> (SignatoryBatch, Context)
    ) async throws -> (SignatoryAnswer, Context)
}

extension Signatory {
    /// Signs outputs for which no proof is given.
    package func sign(_ outputs: [BlindedMessage]) async throws -> [IssuedPromise] {
        try await answer { (SignatoryBatch(outputs: outputs), ()) }.0.promises
    }
}
