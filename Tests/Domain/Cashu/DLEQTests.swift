import CanonicalJSON
import Cryptography
import Encodings
import TestSupport
import Testing

@testable import Cashu

@Suite("DLEQ proofs (NUT-12)")
struct DLEQTests {
    @Test("hash_e of the published points")
    func hashVector() throws {
        let vector = try vectors("12").value("hash")
        let points = try vector.strings("points").map { try point($0) }
        let digest = DLEQProof.hash(points[0], points[1], points[2], points[3])
        #expect(try Hex.encode(digest) == vector.string("sha256"))
    }

    @Test("the deterministic nonce gives the published e and s")
    func nonceVector() throws {
        let vector = try vectors("12").value("nonce")
        let proof = try DLEQProof.create(
            blindedSecret: vector.point("blindedSecret"),
            blindedSignature: vector.point("blindedSignature"),
            key: vector.scalar("key"),
            mintKey: vector.point("mintKey")
        )
        #expect(try Hex.encode(proof.challenge) == vector.string("e"))
        #expect(try Hex.encode(proof.response) == vector.string("s"))
        #expect(
            try proof.isValid(
                mintKey: vector.point("mintKey"),
                blindedSecret: vector.point("blindedSecret"),
                blindedSignature: vector.point("blindedSignature")
            )
        )
    }

    @Test("the published proof on a blind signature verifies")
    func blindSignatureVector() throws {
        let vector = try vectors("12").value("blindSignature")
        let signature = try BlindSignature(json: vector.value("json"))
        let dleq = try #require(signature.dleq)
        #expect(
            try dleq.isValid(
                mintKey: vector.point("mintKey"),
                blindedSecret: vector.point("blindedSecret"),
                blindedSignature: signature.blindedSignature
            )
        )
        #expect(try BlindSignature(json: signature.json) == signature)
    }

    @Test("the published proof with r verifies for Carol, and no longer once anything is changed")
    func carolVector() throws {
        let vector = try vectors("12").value("proof")
        let proof = try Proof(json: vector.value("json"))
        let key = try vector.point("mintKey")
        #expect(proof.hasValidDLEQ(mintKey: key))
        #expect(!proof.hasValidDLEQ(mintKey: key.negated()))
        var changed = proof
        changed.secret = String(proof.secret.reversed())
        #expect(!changed.hasValidDLEQ(mintKey: key))
        changed = proof
        changed.signature = proof.signature.negated()
        #expect(!changed.hasValidDLEQ(mintKey: key))
        changed.dleq = nil
        #expect(!changed.hasValidDLEQ(mintKey: key))
    }

    @Test("every flipped byte of e, s and r is noticed", arguments: 1...5)
    func flippedBytes(seed: UInt64) throws {
        var mint = try TestMint(seed: seed)
        let proof = try mint.proof(4)
        let key = try mint.keyset.keyset.key(for: 4)
        let dleq = try #require(proof.dleq)
        let factor = try #require(dleq.blindingFactor)
        let table = try Secp256k1.PointTable(key)
        #expect(proof.hasValidDLEQ(mintKey: key))
        #expect(proof.hasValidDLEQ(mintKey: key, table: table))
        for place in 0..<96 {
            var parts = [dleq.challenge, dleq.response, factor]
            parts[place / 32][place % 32] ^= 1 << UInt8.random(in: 0..<8, using: &mint.random)
            var changed = proof
            changed.dleq = DLEQProof(challenge: parts[0], response: parts[1], blindingFactor: parts[2])
            #expect(!changed.hasValidDLEQ(mintKey: key), "byte \(place)")
            #expect(!changed.hasValidDLEQ(mintKey: key, table: table), "byte \(place), with a table")
        }
    }

    @Test("zero, too large and misshapen scalars are invalid, not a crash")
    func hostileScalars() throws {
        var mint = try TestMint()
        let proof = try mint.proof(1)
        let key = try mint.keyset.keyset.key(for: 1)
        let dleq = try #require(proof.dleq)
        let zero = [UInt8](repeating: 0, count: 32)
        let huge = [UInt8](repeating: 0xFF, count: 32)
        for bad in [zero, huge, [], [1], huge + [1]] {
            for replacement in [
                DLEQProof(challenge: bad, response: dleq.response, blindingFactor: dleq.blindingFactor),
                DLEQProof(challenge: dleq.challenge, response: bad, blindingFactor: dleq.blindingFactor),
                DLEQProof(challenge: dleq.challenge, response: dleq.response, blindingFactor: bad),
                DLEQProof(challenge: dleq.challenge, response: dleq.response, blindingFactor: nil),
            ] {
                var changed = proof
                changed.dleq = replacement
                #expect(!changed.hasValidDLEQ(mintKey: key))
            }
        }
    }

    @Test("a proof for one signature doesn't serve another")
    func notTransferable() throws {
        var mint = try TestMint()
        let first = try mint.proof(2)
        var second = try mint.proof(2)
        second.dleq = first.dleq
        #expect(try !second.hasValidDLEQ(mintKey: mint.keyset.keyset.key(for: 2)))
    }

    @Test("different outputs get different nonces, the same output the same one: none is ever used for two challenges")
    func noncesDiffer() throws {
        var mint = try TestMint()
        let key = try mint.keyset.keyset.key(for: 1)
        var nonces: Set<Secp256k1.Point> = []
        for _ in 0..<20 {
            let output = try mint.output(1).output()
            let dleq = try #require(try mint.keyset.sign(output).dleq)
            #expect(try mint.keyset.sign(output).dleq == dleq)
            // R1 = sG − eA is the nonce's point.
            let challenge = try Secp256k1.Scalar(bytes: dleq.challenge)
            let response = try Secp256k1.Scalar(bytes: dleq.response)
            let nonce = try Secp256k1.Point(multiplyingGeneratorBy: response)
                .subtracting(key.multiplied(byPublic: challenge))
            #expect(nonces.insert(nonce).inserted)
        }
    }

    @Test("what goes to the mint never carries r")
    func privacy() throws {
        var mint = try TestMint()
        let proof = try mint.proof(1)
        #expect(proof.json["dleq"]?["r"] != nil)
        let swap = SwapRequest(inputs: [proof], outputs: [])
        #expect(try swap.json.array("inputs")[0]["dleq"] == nil)
        let melt = MeltRequest(quote: try QuoteID("q"), inputs: [proof])
        #expect(try melt.json.array("inputs")[0]["dleq"] == nil)
    }
}
