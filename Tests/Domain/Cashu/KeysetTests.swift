import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import TestSupport
import Testing

@Suite("Keysets (NUT-01, NUT-02)")
struct KeysetTests {
    @Test("published keysets are read, and those with a bad key refused")
    func keyVectors() throws {
        let all = try vectors("01")
        for keys in try all.array("valid") {
            #expect(try Keyset.keys(json: keys.requireObject()).count == keys.requireObject().count)
        }
        for keys in try all.array("invalid") {
            let error = #expect(throws: CashuError.self) { try Keyset.keys(json: keys.requireObject()) }
            #expect(error?.code == .malformed)
        }
        let large = try Keyset.keys(json: all.array("valid")[1].requireObject())
        #expect(large[1 << 63] != nil)
    }

    @Test("published version 1 ids")
    func version1Vectors() throws {
        for vector in try vectors("02").array("v1") {
            let keys = try Keyset.keys(json: vector.object("keys"))
            let id = try KeysetID.computed(version: .v1, keys: keys, unit: .sat, inputFeePPK: 100, finalExpiry: 5)
            #expect(try id.hex == vector.string("id"))
        }
    }

    @Test("published version 2 ids, over unit, fee and expiry")
    func version2Vectors() throws {
        for vector in try vectors("02").array("v2") {
            var json = try JSONObject([
                ("id", vector.value("id")), ("unit", vector.value("unit")), ("active", true),
                ("input_fee_ppk", vector.value("inputFeePPK")), ("keys", vector.value("keys")),
            ])
            json["final_expiry"] = vector["finalExpiry"]
            let keyset = try Keyset(json: .object(json))
            #expect(try keyset.id.hex == vector.string("id"))
            #expect(try Keyset(json: keyset.json) == keyset)
            for (member, value) in [("unit", "usd"), ("input_fee_ppk", 7), ("final_expiry", 8)] as [(String, JSONValue)]
            {
                var changed = json
                changed[member] = value
                let error = #expect(throws: CashuError.self) { try Keyset(json: .object(changed)) }
                #expect(error?.code == .keysetMismatch)
            }
        }
    }

    @Test("a mint that swaps two keys is caught by the id")
    func swappedKeys() throws {
        let mint = try TestMint()
        var keys = mint.keyset.keyset.keys
        (keys[1], keys[2]) = (keys[2], keys[1])
        let error = #expect(throws: CashuError.self) { try Keyset(info: mint.keyset.info, keys: keys) }
        #expect(error?.code == .keysetMismatch)
    }

    @Test(
        "misshapen key maps are refused",
        arguments: [
            #"{"0":"KEY"}"#, #"{"-1":"KEY"}"#, #"{"1.0":"KEY"}"#, #"{"18446744073709551616":"KEY"}"#,
            #"{"1":5}"#, #"{"01":"KEY","1":"KEY"}"#, #"{" 1":"KEY"}"#, #"{"1":""}"#,
        ]
    )
    func badKeyMaps(text: String) throws {
        let key = "03a40f20667ed53513075dc51e715ff2046cad64eb68960632269ba7f0210e38bc"
        let json = try parse(text.replacing("KEY", with: key))
        #expect(throws: CashuError.self) { try Keyset.keys(json: json.requireObject()) }
    }

    @Test("a mint keyset is the same for the same seed, and another for another seed, unit, counter, fee or expiry")
    func derivation() throws {
        let seed = [UInt8](repeating: 7, count: 32)
        let base = try MintKeyset(seed: seed, unit: .sat, counter: 0)
        let ids = [
            base.id,
            try MintKeyset(seed: [8] + seed.dropFirst(), unit: .sat, counter: 0).id,
            try MintKeyset(seed: seed, unit: .usd, counter: 0).id,
            try MintKeyset(seed: seed, unit: .sat, counter: 1).id,
            try MintKeyset(seed: seed, unit: .sat, counter: 0, inputFeePPK: 100).id,
            try MintKeyset(seed: seed, unit: .sat, counter: 0, finalExpiry: 2_000_000_000).id,
        ]
        #expect(Set(ids).count == ids.count)
        #expect(try MintKeyset(seed: seed, unit: .sat, counter: 0).keyset == base.keyset)
        #expect(base.id.version == .v2)
        #expect(base.keyset.keys.count == 64)
        let resting = try base.withActive(false)
        #expect(resting.id == base.id && !resting.info.isActive)
        #expect(throws: CashuError.self) { try MintKeyset(seed: Array(seed.dropLast()), unit: .sat, counter: 0) }
        #expect(throws: CashuError.self) {
            try MintKeyset(seed: seed, unit: .sat, counter: 0, inputFeePPK: 1_000_001)
        }
    }

    @Test("our own derivation never changes: ecash depends on it")
    func frozenDerivation() throws {
        let keyset = try MintKeyset(seed: Array(0..<32), unit: .sat, counter: 3, inputFeePPK: 100)
        #expect(keyset.id.hex == "01d8b684af6087a7d9b38a3d45f05a9aa3dab2dd56ff4ad7bfe157ea1e81b11e13")
    }

    @Test("a list with a keyset of an unknown version still gives the others")
    func unknownVersions() throws {
        let text = """
            {"keysets":[{"id":"02aa","unit":"sat","active":true},{"id":"Qx3tZ/+w8Lpa","unit":"sat","active":true},
            {"id":"009a1f293253e41e","unit":"SAT","active":false,"input_fee_ppk":null,"final_expiry":null}]}
            """
        let list = try KeysetsResponse(json: parse(text))
        #expect(list.keysets.map(\.id.hex) == ["009a1f293253e41e"])
        #expect(list.keysets[0].unit == .sat && list.keysets[0].inputFeePPK == 0)
        #expect(list.keysets[0].finalExpiry == nil && !list.keysets[0].hasExpired(now: .max))
    }

    @Test("expiry counts from its second on")
    func expiry() throws {
        let info = KeysetInfo(id: try KeysetID(hex: "009a1f293253e41e"), unit: .sat, isActive: true, finalExpiry: 100)
        #expect(!info.hasExpired(now: 99))
        #expect(info.hasExpired(now: 100))
        #expect(try KeysetInfo(json: info.json) == info)
    }
}

@Suite("Keyset ids")
struct KeysetIDTests {
    let first = "015ba18a8adcd02e715a58358eb618da4a4b3791151a4bee5e968bb88406ccf76a"

    @Test(
        "only whole ids of a known version",
        arguments: [
            "", "00", "zz9a1f293253e41e", "009a1f293253e4", "009a1f293253e41e00", "029a1f293253e41e",
            "015ba18a8adcd02e", "ff", String(repeating: "0", count: 200),
        ]
    )
    func malformed(text: String) {
        #expect(throws: CashuError.self) { try KeysetID(hex: text) }
    }

    @Test("a short id resolves to the one keyset that starts with it, and fails where two do")
    func shortIDs() throws {
        let id = try KeysetID(hex: first)
        let twin = try KeysetID(bytes: id.short + [UInt8](repeating: 9, count: 25))
        let other = try KeysetID(hex: "009a1f293253e41e")
        let reference = try KeysetReference(bytes: id.short)
        #expect(reference == .short(id.short))
        #expect(try reference.resolved(among: [other, id, id]) == id)
        let ambiguous = #expect(throws: CashuError.self) { try reference.resolved(among: [id, twin]) }
        #expect(ambiguous?.code == .keysetAmbiguous)
        let unknown = #expect(throws: CashuError.self) { try reference.resolved(among: [other]) }
        #expect(unknown?.code == .keysetUnknown)
        #expect(try KeysetReference(bytes: id.bytes).resolved(among: [twin, id]) == id)
        #expect(try KeysetReference(hex: other.hex) == .full(other))
        let future = #expect(throws: CashuError.self) { try KeysetReference(hex: "02aabbccddeeff00") }
        #expect(future?.code == .unsupportedVersion)
        #expect(future?.message.contains("bls12-381") == true)
        let full = #expect(throws: CashuError.self) { try KeysetID(bytes: [2] + [UInt8](repeating: 1, count: 32)) }
        #expect(full?.code == .unsupportedVersion)
        let computed = #expect(throws: CashuError.self) {
            try KeysetID.computed(version: .v3, keys: [:], unit: .sat, inputFeePPK: 0, finalExpiry: nil)
        }
        #expect(computed?.code == .unsupportedVersion)
        #expect([KeysetVersion.v1, .v2, .v3].map(\.curve) == [.secp256k1, .secp256k1, .bls12381])
        #expect(KeysetVersion(rawValue: 9).curve == nil && KeysetVersion.v3.idBytes == nil)
    }
}
