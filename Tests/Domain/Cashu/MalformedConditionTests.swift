import Cashu
import Cryptography
import Testing

@Suite("P2PK: what is malformed can't be spent (NUT-10, NUT-11)")
struct MalformedConditionTests {
    @Test("each malformed set of tags")
    func tags() throws {
        let fixture = LockFixture()
        let one = fixture.hex(0)
        let two = fixture.hex(1)
        let flipped = (one.hasPrefix("02") ? "03" : "02") + one.dropFirst(2)
        let malformed = [
            #"[["sigflag","SIG_X"]]"#, #"[["sigflag"]]"#, #"[["sigflag","sig_all"]]"#,
            #"[["sigflag","SIG_ALL","SIG_ALL"]]"#,
            #"[["sigflag","SIG_ALL"],["sigflag","SIG_ALL"]]"#, #"[["n_sigs","0"]]"#, #"[["n_sigs","-1"]]"#,
            #"[["n_sigs","abc"]]"#, #"[["n_sigs"]]"#, #"[["n_sigs","1","1"]]"#, #"[["n_sigs","2"]]"#,
            #"[["n_sigs","1.0"]]"#,
            #"[["n_sigs","99999999999999999999"]]"#, #"[["n_sigs","1"],["n_sigs","1"]]"#,
            #"[["n_sigs_refund","1"]]"#, #"[["n_sigs_refund","0"],["refund","\#(two)"]]"#,
            #"[["n_sigs_refund","2"],["refund","\#(two)"]]"#, #"[["locktime","1"],["locktime","1"]]"#,
            #"[["pubkeys","\#(one)"]]"#, #"[["pubkeys","\#(flipped)"]]"#, #"[["pubkeys","\#(one.uppercased())"]]"#,
            #"[["pubkeys","\#(two)","\#(two)"]]"#, #"[["pubkeys","\#(two)"],["pubkeys"]]"#, #"[["pubkeys","02"]]"#,
            #"[["refund","\#(two)","\#(two.uppercased())"]]"#, #"[["refund","\#(two)"],["refund","\#(one)"]]"#,
            #"[["refund","nokey"]]"#, #"[["pubkeys","\#("02" + String(repeating: "f", count: 64))"]]"#,
            #"[[]]"#, #"[["locktime",5]]"#, #"[["locktime",""]]"#, #"["locktime","5"]"#, #"{"locktime":"5"}"#, #""x""#,
            "5",
            #"[["refund",null]]"#,
        ]
        for tags in malformed {
            let proof = try fixture.proof(secret: fixture.secret(tags: tags))
            // Signed by the right key, and past any locktime: it is the form that is refused.
            let signed = try proof.signed(by: fixture.keys[0])
            #expect(!isSpendable([signed], now: 1 << 40), "\(tags)")
        }
        let wellFormed = [
            "[]", "null", #"[["pubkeys"]]"#, #"[["note"],["note"]]"#, #"[["n_sigs","1"]]"#,
            #"[["sigflag","SIG_INPUTS"]]"#,
            #"[["refund","\#(one)"]]"#, #"[["pubkeys","\#(two.uppercased())"]]"#,
        ]
        for tags in wellFormed {
            let proof = try fixture.proof(secret: fixture.secret(tags: tags))
            #expect(!isSpendable([proof]), "\(tags)")
            #expect(isSpendable([try proof.signed(by: fixture.keys[0])]), "\(tags)")
        }
    }

    @Test("each malformed body; none of them is money for whoever comes first")
    func bodies() throws {
        let fixture = LockFixture()
        let key = fixture.hex(0)
        let malformed = [
            #"["P2PK",{"nonce":"a"}]"#, #"["P2PK",{"data":"\#(key)"}]"#, #"["P2PK",{"nonce":1,"data":"\#(key)"}]"#,
            #"["P2PK",{"nonce":"a","data":"\#(key)"},1]"#, #"["P2PK",{"nonce":"a","data":"\#(key)"}"#,
            #"["P2PK",{"nonce":"a","data":"\#(key)","data":"\#(key)"}]"#,
            #"["P2PK",{"nonce":"a","data":"04\#(key.dropFirst(2))"}]"#,
            #"["P2PK",{"nonce":"a","data":"\#(key.dropLast(2))"}]"#, #"["P2PK",{"nonce":"a","data":""}]"#,
            #"["P2PK",{"nonce":"a","data":"\#(fixture.points[0].xOnly.count)"}]"#, #" ["P2PK",{}]"#,
            "\n[\"P2PK\",{\"nonce\"",
            #"["p2pk",{"nonce":"a","data":"\#(key)"}]"#, #"["HTLC",{"nonce":"a","data":"00"}]"#,
            #"["",{"nonce":"a","data":"b"}]"#,
            #"["P2PK",{"nonce":"\ud800","data":"\#(key)"}]"#, String(repeating: "[", count: 1000),
        ]
        for secret in malformed {
            let signed = try fixture.proof(secret: secret).signed(by: fixture.keys[0])
            #expect(!isSpendable([signed], now: 1 << 40), "\(secret)")
        }
        let plain = [
            "P2PK", #"{"nonce":"a"}"#, "[]", "[1,2]", #"["P2PK"]"#, #"["P2PK","x"]"#, "x[\"P2PK\",{}]", " ", "null",
        ]
        for secret in plain {
            #expect(isSpendable([try fixture.proof(secret: secret)]), "\(secret)")
        }
    }

    @Test("a condition that can't be met can't be built")
    func building() throws {
        let fixture = LockFixture()
        let keys = fixture.points
        #expect(throws: CashuError.self) { try P2PKCondition(keys: []) }
        #expect(throws: CashuError.self) { try P2PKCondition(keys: [keys[0], keys[0].negated()]) }
        #expect(throws: CashuError.self) { try P2PKCondition(keys: [keys[0]], requiredSignatures: 2) }
        #expect(throws: CashuError.self) { try P2PKCondition(keys: [keys[0]], requiredSignatures: 0) }
        #expect(throws: CashuError.self) { try P2PKCondition(keys: [keys[0]], requiredRefundSignatures: 1) }
        let many = (0..<20).map { _ in Secp256k1.Point(multiplyingGeneratorBy: .random()) }
        let error = #expect(throws: CashuError.self) { try P2PKCondition(keys: many).secret(nonce: "n").serialized() }
        #expect(error?.code == .tooLarge)
    }
}
