import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Ledger
import Mint
import TestSupport
import Testing

@Suite struct SwapTests {
    @Test("A swap spends its inputs, signs its outputs with DLEQ, and moves no value inside one keyset")
    func swap() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([1, 2, 4, 8])
        let fresh = try await fixture.swap(proofs, into: fixture.secrets([1, 4, 2, 8]))
        #expect(fresh.map(\.amount) == [1, 4, 2, 8])
        let keyset = try fixture.keyset()
        for proof in fresh {
            #expect(try proof.hasValidDLEQ(mintKey: keyset.key(for: proof.amount)))
        }
        #expect(try await fixture.states(proofs) == [.spent, .spent, .spent, .spent])
        #expect(try await fixture.states(fresh) == [.unspent, .unspent, .unspent, .unspent])
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.outstanding) == [15])
    }

    @Test("A spent proof is refused with 11001, before and after a restart")
    func respend() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([8])
        let body = try fixture.swapBody(proofs, fixture.secrets([8]))
        _ = try await fixture.mint.swap(body)
        #expect(await code { try await fixture.swap(proofs, into: fixture.secrets([8])) } == .proofsAlreadySpent)
        try await fixture.reopen()
        #expect(await code { try await fixture.swap(proofs, into: fixture.secrets([8])) } == .proofsAlreadySpent)
        try await fixture.requireSound()
    }

    @Test("An output that was signed is not signed again, and the swap that asks leaves its inputs alone")
    func reusedOutput() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([4, 4])
        let secrets = try fixture.secrets([4])
        _ = try await fixture.swap([proofs[0]], into: secrets)
        #expect(await code { try await fixture.swap([proofs[1]], into: secrets) } == .outputsAlreadySigned)
        #expect(try await fixture.states([proofs[1]]) == [.unspent])
        _ = try await fixture.swap([proofs[1]], into: fixture.secrets([4]))
        try await fixture.requireSound()
    }

    @Test("Of 32 swaps of one proof at once exactly one wins")
    func doubleSpendRace() async throws {
        let fixture = try await MintFixture()
        for _ in 0..<4 {
            let proofs = try await fixture.issue([2])
            let codes = await withTaskGroup(of: MintErrorCode?.self) { group in
                for _ in 0..<32 {
                    group.addTask { await code { try await fixture.swap(proofs, into: fixture.secrets([2])) } }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(codes.filter { $0 == nil }.count == 1)
            #expect(codes.filter { $0 == .proofsAlreadySpent }.count == 31)
        }
        try await fixture.requireSound()
    }

    @Test("Overlapping sets of proofs in opposite order: one set wins whole, nothing is half spent")
    func overlappingSets() async throws {
        let fixture = try await MintFixture()
        for _ in 0..<8 {
            let proofs = try await fixture.issue([1, 1, 1])
            let sets = [
                [proofs[0], proofs[1]], [proofs[1], proofs[0]], [proofs[2], proofs[1]], [proofs[1], proofs[2]],
            ]
            let codes = await withTaskGroup(of: MintErrorCode?.self) { group in
                for set in sets {
                    group.addTask { await code { try await fixture.swap(set, into: fixture.secrets([1, 1])) } }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(codes.filter { $0 == nil }.count == 1)
            #expect(try await fixture.states(proofs).filter { $0 == .spent }.count == 2)
        }
        try await fixture.requireSound()
    }

    @Test("The same outputs in many swaps at once: one signature only, the other inputs stay unspent")
    func sameOutputsRace() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue(Array(repeating: 1, count: 16))
        let secrets = try fixture.secrets([1])
        let codes = await withTaskGroup(of: MintErrorCode?.self) { group in
            for proof in proofs {
                group.addTask { await code { try await fixture.swap([proof], into: secrets) } }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes.filter { $0 == nil }.count == 1)
        #expect(codes.filter { $0 == .outputsAlreadySigned }.count == 15)
        #expect(try await fixture.states(proofs).filter { $0 == .unspent }.count == 15)
        try await fixture.requireSound()
    }

    @Test("Duplicates inside one request: 11007 for inputs, 11008 for outputs")
    func duplicates() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([2])
        let secrets = try fixture.secrets([2])
        let twice = [proofs[0], proofs[0]]
        #expect(await code { try await fixture.swap(twice, into: fixture.secrets([4])) } == .duplicateInputs)
        let four = try await fixture.issue([4])
        #expect(await code { try await fixture.swap(four, into: secrets + secrets) } == .duplicateOutputs)
        // The same secret under another amount is the same proof.
        var other = proofs[0]
        other.amount = 1
        #expect(
            await code { try await fixture.swap([proofs[0], other], into: fixture.secrets([1, 2])) } == .duplicateInputs
        )
    }

    @Test("Unbalanced either way is 11005, with the input fee counted")
    func unbalanced() async throws {
        let fixture = try await MintFixture(
            MintConfiguration(units: [.init(unit: .sat, inputFeePPK: 400)])
        )
        let proofs = try await fixture.issue([4, 4, 4])
        for wrong in [[UInt64(8), 4], [8], [8, 2, 1], [1]] {
            #expect(
                await code { try await fixture.swap(proofs, into: fixture.secrets(wrong)) } == .transactionNotBalanced
            )
        }
        // 3 × 400 ppk is 1.2, so 2 is charged.
        _ = try await fixture.swap(proofs, into: fixture.secrets([2, 8]))
        let audit = try await fixture.mint.audit()
        #expect(audit.findings == [])
        #expect(audit.accounts.first { $0.account.name == "mint:fees" }?.balance == 2)
        #expect(audit.keysets.map(\.outstanding) == [10])
    }

    @Test("A forged signature, a wrong amount and another mint's key are 10001")
    func forged() async throws {
        let fixture = try await MintFixture()
        var proof = try await fixture.issue([4])[0]
        let genuine = proof
        proof.signature = try BlindDH.hashToCurve(secret: "anything")
        #expect(await code { try await fixture.swap([proof], into: fixture.secrets([4])) } == .proofVerificationFailed)
        proof = genuine
        proof.amount = 8
        #expect(await code { try await fixture.swap([proof], into: fixture.secrets([8])) } == .proofVerificationFailed)
        proof.amount = 3
        #expect(
            await code { try await fixture.swap([proof], into: fixture.secrets([1, 2])) } == .proofVerificationFailed
        )
        #expect(try await fixture.states([genuine]) == [.unspent])
        _ = try await fixture.swap([genuine], into: fixture.secrets([4]))
    }

    @Test("Secrets that only look the same are two secrets")
    func canonicalEquivalence() async throws {
        let fixture = try await MintFixture()
        let composed = "caf\u{E9}"
        let decomposed = "cafe\u{301}"
        let secrets = [try fixture.secret(1, secret: composed), try fixture.secret(1, secret: decomposed)]
        let proofs = try await fixture.issue([1, 1], secrets: secrets)
        _ = try await fixture.swap(proofs, into: fixture.secrets([2]))
        try await fixture.requireSound()
    }

    @Test("P2PK: refused without, with a wrong, and taken with the right signature; the witness is told by NUT-07")
    func p2pk() async throws {
        let fixture = try await MintFixture()
        let key = try Secp256k1.Scalar(bytes: fixture.randomBytes(32))
        let other = try Secp256k1.Scalar(bytes: fixture.randomBytes(32))
        let condition = try P2PKCondition(
            keys: [Secp256k1.Point(multiplyingGeneratorBy: key)],
            locktime: UInt64(MintFixture.start.secondsSince1970 + 100)
        )
        let secret = try condition.secret(nonce: Hex.encode(fixture.randomBytes(16))).serialized()
        var proof = try await fixture.issue([8], secrets: [fixture.secret(8, secret: secret)])[0]
        #expect(await code { try await fixture.swap([proof], into: fixture.secrets([8])) } == .proofVerificationFailed)
        let digest = Hashing.sha256(Array(secret.utf8))
        for (signer, expected) in [(other, MintErrorCode.proofVerificationFailed), (key, nil)] {
            let signature = Hex.encode(try Secp256k1.Schnorr.sign(message: digest, key: signer))
            proof.witness = "{\"signatures\":[\"\(signature)\"]}"
            #expect(await code { try await fixture.swap([proof], into: fixture.secrets([8])) } == expected)
        }
        let states = try await fixture.mint.store.states(of: [proof.hashedSecret().compressed])
        #expect(states.first?.witness == proof.witness)
    }

    @Test("After the locktime, with no refund key, anyone can spend; not before, on the mint's clock")
    func locktime() async throws {
        let fixture = try await MintFixture()
        let key = try Secp256k1.Scalar(bytes: fixture.randomBytes(32))
        let condition = try P2PKCondition(
            keys: [Secp256k1.Point(multiplyingGeneratorBy: key)],
            locktime: UInt64(MintFixture.start.secondsSince1970 + 100)
        )
        let secret = try condition.secret(nonce: "n").serialized()
        let proofs = try await fixture.issue([8], secrets: [fixture.secret(8, secret: secret)])
        fixture.time.advance(seconds: 99)
        #expect(await code { try await fixture.swap(proofs, into: fixture.secrets([8])) } == .proofVerificationFailed)
        fixture.time.advance(seconds: 2)
        _ = try await fixture.swap(proofs, into: fixture.secrets([8]))
    }

    @Test("A witness on a plain secret changes nothing and is not kept")
    func witnessOnPlainSecret() async throws {
        let fixture = try await MintFixture()
        var proof = try await fixture.issue([1])[0]
        proof.witness = "{\"signatures\":[]}"
        _ = try await fixture.swap([proof], into: fixture.secrets([1]))
        let states = try await fixture.mint.store.states(of: [proof.hashedSecret().compressed])
        #expect(states.first == StoredProofState(state: .spent, witness: nil))
    }

    @Test("Restore gives back the signatures of a swap whose answer was lost, also after a restart")
    func restore() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([4])
        let secrets = try fixture.secrets([1, 1, 2])
        let unknown = try fixture.secret(2)
        _ = try await fixture.mint.swap(fixture.swapBody(proofs, secrets))
        try await fixture.reopen()
        let asked = [unknown] + secrets.reversed()
        let request = RestoreRequest(outputs: try asked.map { try $0.output() })
        let answer = try await fixture.mint.restore(request.json.serialized())
        let response = try RestoreResponse(json: .parse(answer, limits: .amounts))
        let keyset = try fixture.keyset()
        let restored = try response.proofs(for: secrets) { _ in keyset }
        #expect(restored.map(\.index) == [0, 1, 2])
        _ = try await fixture.swap(restored.map(\.proof), into: fixture.secrets([4]))
        try await fixture.requireSound()
    }
}
