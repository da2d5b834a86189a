import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import TestSupport
import Testing

@Suite("Deterministic secrets (NUT-13)")
struct DeterministicSecretTests {
    @Test("both versions give the published secrets and blinding factors", arguments: ["v1", "v2"])
    func published(version: String) throws {
        let all = try vectors("13")
        let derivation = try DeterministicSecrets(mnemonic: Mnemonic(words: all.string("mnemonic")))
        let vector = try all.value(version)
        let keyset = try KeysetID(hex: vector.string("keyset"))
        let secrets = try vector.strings("secrets")
        let factors = try vector.strings("blindingFactors")
        for (counter, (secret, factor)) in zip(secrets, factors).enumerated() {
            let derived = try derivation.derive(keyset: keyset, counter: UInt64(counter))
            #expect(derived.secret == secret)
            #expect(Hex.encode(derived.blindingFactor.bytes) == factor)
        }
        let outputs = try derivation.outputs(amounts: [1, 2], keyset: keyset, counter: 3)
        #expect(outputs.map(\.secret) == Array(secrets[3...4]))
        #expect(outputs.map(\.amount) == [1, 2])
    }

    @Test("counters, keysets and seeds never share a secret")
    func distinct() throws {
        var random = SeededRandom(seed: 3)
        var seen: Set<String> = []
        for _ in 0..<3 {
            let derivation = try DeterministicSecrets(seed: random.bytes(64))
            for id in [try KeysetID(bytes: [0] + random.bytes(7)), try KeysetID(bytes: [1] + random.bytes(32))] {
                for counter in [0, 1, 255, 256, 1 << 30] as [UInt64] {
                    let derived = try derivation.derive(keyset: id, counter: counter)
                    #expect(seen.insert(derived.secret).inserted)
                    #expect(seen.insert(Hex.encode(derived.blindingFactor.bytes)).inserted)
                }
            }
        }
    }

    @Test("bounds of seed and counter")
    func bounds() throws {
        #expect(throws: CashuError.self) { try DeterministicSecrets(seed: []) }
        #expect(throws: CashuError.self) { try DeterministicSecrets(seed: Array(repeating: 1, count: 65)) }
        let derivation = try DeterministicSecrets(seed: Array(repeating: 1, count: 64))
        let old = try KeysetID(hex: "009a1f293253e41e")
        #expect(throws: CashuError.self) { try derivation.derive(keyset: old, counter: 1 << 31) }
        #expect(throws: CashuError.self) { try derivation.derive(keyset: old, counter: .max) }
        let new = try KeysetID(bytes: Array(repeating: 1, count: 33))
        #expect(try derivation.derive(keyset: new, counter: .max).secret.count == 64)
        #expect(throws: CashuError.self) { try derivation.outputs(amounts: [1, 1], keyset: new, counter: .max) }
    }
}
