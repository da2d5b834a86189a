import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Foundation
import Mint
import TestSupport
import Testing
import Workers

/// What every adapter of `Signatory` keeps to.
struct SignatoryConformance {
    /// The adapter under test, made anew over the same secret.
    let make: @Sendable () throws -> any Signatory

    private static let plan = KeysetPlan(unit: .sat, counter: 3, inputFeePPK: 100, finalExpiry: 2_000_000_000)

    func run() async throws {
        try await keysetsAreTheSameEachTime()
        try await signsAndKnowsItsOwn()
        try await refusesAllOrSignsAll()
        try await refusesOtherVersions()
        try await passesOnWhatPreparingThrows()
    }

    private func keysetsAreTheSameEachTime() async throws {
        let signatory = try make()
        #expect(try await signatory.keysets() == [])
        let first = try await signatory.add(Self.plan)
        #expect(first.info.inputFeePPK == 100 && first.info.finalExpiry == 2_000_000_000 && first.unit == .sat)
        #expect(first.keys.count == 64)
        #expect(try await signatory.add(Self.plan) == first)
        #expect(try await make().add(Self.plan) == first)
        var other = Self.plan
        other.counter = 4
        let second = try await signatory.add(other)
        #expect(second.id != first.id)
        #expect(Set(second.keys.values).isDisjoint(with: first.keys.values))
        #expect(try await signatory.keysets() == [first, second].sorted { $0.id < $1.id })
    }

    private func secret(_ amount: UInt64, _ keyset: KeysetID, _ number: UInt8) throws -> BlindingSecret {
        BlindingSecret(
            amount: amount,
            keysetID: keyset,
            secret: "a secret, number \(number)",
            blindingFactor: try Secp256k1.Scalar(bytes: Array(repeating: number, count: 32))
        )
    }

    /// Ecash of these amounts, through the port alone.
    private func proofs(_ amounts: [UInt64], of keyset: Keyset, by signatory: any Signatory) async throws -> [Proof] {
        let secrets = try amounts.enumerated().map { try secret($1, keyset.id, UInt8($0 + 1)) }
        let promises = try await signatory.sign(secrets.map { try $0.output() })
        #expect(promises.map(\.amount) == amounts)
        #expect(try promises.map(\.blinded) == secrets.map { try $0.output().blindedSecret.compressed })
        let signatures = try promises.map { promise in
            BlindSignature(
                amount: promise.amount,
                keysetID: promise.keyset,
                blindedSignature: try Secp256k1.Point(compressed: promise.signature),
                dleq: DLEQProof(challenge: promise.challenge, response: promise.response)
            )
        }
        // Unblinding checks each DLEQ proof.
        return try SignaturesResponse(signatures: signatures).proofs(for: secrets) { $0 == keyset.id ? keyset : nil }
    }

    private func signsAndKnowsItsOwn() async throws {
        let signatory = try make()
        let keyset = try await signatory.add(Self.plan)
        let proofs = try await proofs([1, 4, 1 << 63], of: keyset, by: signatory)
        let again = try make()
        _ = try await again.add(Self.plan)
        let batch = SignatoryBatch(proofs: proofs, outputs: [try secret(8, keyset.id, 9).output()])
        let (answer, context) = try await again.answer { (batch, "kept") }
        #expect(context == "kept")
        #expect(try answer.hashedSecrets == proofs.map { try $0.hashedSecret().compressed })
        #expect(answer.promises.map(\.amount) == [8])
        let nothing = try await again.answer { (SignatoryBatch(), ()) }.0
        #expect(nothing.hashedSecrets == [] && nothing.promises == [])
    }

    private func refusesAllOrSignsAll() async throws {
        let signatory = try make()
        let keyset = try await signatory.add(Self.plan)
        let good = try await proofs([2], of: keyset, by: signatory)
        var otherAmount = good[0]
        otherAmount.amount = 4
        var otherSecret = good[0]
        otherSecret.secret = "not what was signed"
        var unknown = good[0]
        unknown.keysetID = try KeysetID(bytes: [1] + [UInt8](repeating: 7, count: 32))
        let output = try secret(2, keyset.id, 9).output()
        for (bad, expected) in [
            (otherAmount, MintErrorCode.proofVerificationFailed), (otherSecret, .proofVerificationFailed),
            (unknown, .keysetUnknown),
        ] {
            let batch = SignatoryBatch(proofs: good + [bad], outputs: [output])
            #expect(await code { try await signatory.answer { (batch, ()) }.0.promises } == expected)
        }
        let odd = try secret(3, keyset.id, 8).output()
        #expect(await code { try await signatory.sign([output, odd]) } == .amountOutsideLimits)
        let strange = try secret(2, unknown.keysetID, 8).output()
        #expect(await code { try await signatory.sign([output, strange]) } == .keysetUnknown)
    }

    private func refusesOtherVersions() async throws {
        let signatory = try make()
        for version in [KeysetVersion.v1, .v3, KeysetVersion(rawValue: 200)] {
            var plan = Self.plan
            plan.version = version
            let refused = await #expect(throws: CashuError.self) { _ = try await signatory.add(plan) }
            #expect(refused?.code == .unsupportedVersion)
        }
        #expect(try await signatory.keysets() == [])
    }

    private func passesOnWhatPreparingThrows() async throws {
        let signatory = try make()
        let refused = await code {
            try await signatory.answer { () throws -> (SignatoryBatch, Int) in throw MintError(.quotePending, "no") }.1
        }
        #expect(refused == .quotePending)
    }
}

/// A signatory that sees nothing but bytes, as one in another process would: what is asked and answered crosses as JSON.
private struct SignatoryOverBytes: Signatory {
    let inner: any Signatory

    func add(_ plan: KeysetPlan) async throws -> Keyset {
        try Keyset(json: .parse(try await inner.add(plan).json.serialized(), limits: .amounts))
    }

    func keysets() async throws -> [Keyset] { try await inner.keysets() }

    func answer<Context: Sendable>(
        _ prepare: @escaping @Sendable () throws -> (SignatoryBatch, Context)
    ) async throws -> (SignatoryAnswer, Context) {
        let (batch, context) = try prepare()
        let proofs = batch.proofs.map { $0.json.serialized() }
        let outputs = batch.outputs.map { $0.json.serialized() }
        let answer = try await inner.answer {
            let batch = SignatoryBatch(
                proofs: try proofs.map { try Proof(json: .parse($0, limits: .amounts)) },
                outputs: try outputs.map { try BlindedMessage(json: .parse($0, limits: .amounts)) }
            )
            return (batch, ())
        }.0
        return (answer, context)
    }
}

@Suite struct SignatoryTests {
    private static let seed = [UInt8](0..<32)

    @Test("The signatory in this process keeps the port's promises, and so does one that is spoken to in bytes")
    func conformance() async throws {
        let workers = WorkerPool(threads: 2)
        try await SignatoryConformance { InProcessSignatory(seed: Self.seed, workers: workers) }.run()
        try await SignatoryConformance {
            SignatoryOverBytes(inner: InProcessSignatory(seed: Self.seed, workers: workers))
        }.run()
        await workers.stop()
    }

    @Test("Nothing of the mint but the signatory names a keyset's private keys or the seed")
    func onlyTheSignatoryHasKeys() throws {
        let folder = Fixtures.folder.deletingLastPathComponent().appending(path: "Sources/Services/Mint")
        let files = try FileManager.default.subpathsOfDirectory(atPath: folder.path)
            .filter { $0.hasSuffix(".swift") }.map { folder.appending(path: $0) }
        #expect(files.count > 15)
        let holders = try files.filter { file in
            let text = try String(contentsOf: file, encoding: .utf8)
            return text.contains(/\bMintKeyset\b|Secp256k1\.Scalar/)
        }
        #expect(holders.map(\.lastPathComponent) == ["InProcessSignatory.swift"])
    }
}
