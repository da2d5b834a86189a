import Cashu
import TestSupport
import Testing

@Suite("Quiet secrets")
struct RedactionTests {
    @Test("nothing that is money prints its secret, whole or inside something else")
    func redacted() throws {
        var mint = try TestMint()
        let output = mint.output(2)
        let proof = try mint.proof(2)
        let token = try Token(mint: MintURL("https://mint.example"), unit: .sat, proofs: [proof])
        let request = SwapRequest(inputs: [proof], outputs: [])
        var text = ""
        for value in [
            proof, token, output, request, [proof], mint.keyset, try DeterministicSecrets(seed: Array(1...64)),
        ] as [Any] {
            text += "\(value) "
            dump(value, to: &text)
        }
        #expect(text.contains("https://mint.example"))
        #expect(!text.contains(proof.secret))
        #expect(!text.contains(output.secret))
        #expect(!text.contains("60, 61, 62"))
        #expect(!text.contains("\(try #require(proof.dleq?.blindingFactor?[3])), "))
    }
}
