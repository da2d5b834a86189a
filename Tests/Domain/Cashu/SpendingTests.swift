import Cashu
import Cryptography
import Encodings
import Testing

@Suite("P2PK: signatures and paths (NUT-11)")
struct SpendingTests {
    @Test("a lock opens for its key and no other, and the signature covers this secret only")
    func basic() throws {
        var fixture = LockFixture()
        let proof = try fixture.proof(P2PKCondition(keys: [fixture.points[0]]))
        #expect(!isSpendable([proof]))
        #expect(isSpendable([try proof.signed(by: fixture.keys[0])]))
        #expect(!isSpendable([try proof.signed(by: fixture.keys[1])]))
        var other = try fixture.proof(P2PKCondition(keys: [fixture.points[0]]))
        other.witness = try proof.signed(by: fixture.keys[0]).witness
        #expect(!isSpendable([other]))
        #expect(!isSpendable([try proof.signed(by: fixture.keys[0]), other]))
    }

    @Test("a plain secret needs no witness and ignores one")
    func plain() throws {
        var fixture = LockFixture()
        var proof = try fixture.proof(secret: fixture.random.hex())
        #expect(isSpendable([proof]))
        proof.witness = "not even JSON"
        #expect(isSpendable([proof]))
    }

    @Test("n of m counts different keys, never one key twice")
    func multisig() throws {
        var fixture = LockFixture()
        let condition = try P2PKCondition(keys: Array(fixture.points[0...2]), requiredSignatures: 2)
        let proof = try fixture.proof(condition)
        let one = try proof.signed(by: fixture.keys[1])
        #expect(!isSpendable([one]))
        #expect(!isSpendable([try one.signed(by: fixture.keys[1])]))
        #expect(!isSpendable([try one.signed(by: fixture.keys[4])]))
        #expect(isSpendable([try one.signed(by: fixture.keys[2])]))
        #expect(isSpendable([try one.signed(by: fixture.keys[4]).signed(by: fixture.keys[0])]))
    }

    @Test("after the locktime the refund path opens beside the main one, and the two don't mix")
    func refund() throws {
        var fixture = LockFixture()
        let condition = try P2PKCondition(
            keys: [fixture.points[0], fixture.points[1]],
            requiredSignatures: 2,
            locktime: 500,
            refundKeys: [fixture.points[2], fixture.points[3]],
            requiredRefundSignatures: 2
        )
        let proof = try fixture.proof(condition)
        let main = try proof.signed(by: fixture.keys[0]).signed(by: fixture.keys[1])
        let refund = try proof.signed(by: fixture.keys[2]).signed(by: fixture.keys[3])
        let mixed = try proof.signed(by: fixture.keys[0]).signed(by: fixture.keys[2])
        for now in [0, 499, 500] as [UInt64] {
            #expect(isSpendable([main], now: now))
            #expect(!isSpendable([refund], now: now))
        }
        #expect(isSpendable([main], now: 501))
        #expect(isSpendable([refund], now: 501))
        #expect(!isSpendable([mixed], now: 501))
        #expect(!isSpendable([proof], now: 501))
    }

    @Test("after the locktime, without a refund tag, anyone can spend")
    func expiredWithoutRefund() throws {
        var fixture = LockFixture()
        let proof = try fixture.proof(P2PKCondition(keys: [fixture.points[0]], locktime: 500))
        #expect(!isSpendable([proof], now: 500))
        #expect(isSpendable([proof], now: 501))
    }

    @Test("a refund tag without keys opens nothing to anyone")
    func emptyRefund() throws {
        let fixture = LockFixture()
        let proof = try fixture.proof(secret: fixture.secret(tags: #"[["locktime","5"],["refund"]]"#))
        #expect(!isSpendable([proof], now: 501))
        #expect(isSpendable([try proof.signed(by: fixture.keys[0])], now: 501))
    }

    @Test(
        "a locktime that is no unix time leaves the lock shut for good",
        arguments: ["abc", "-1", "+1", "1.5", "1e3", " 1", "18446744073709551616", "0x10"]
    )
    func oddLocktimes(text: String) throws {
        let fixture = LockFixture()
        let proof = try fixture.proof(secret: fixture.secret(tags: #"[["locktime","\#(text)"]]"#))
        #expect(!isSpendable([proof], now: .max))
        #expect(isSpendable([try proof.signed(by: fixture.keys[0])], now: .max))
    }

    @Test("the last second of 64 bits is a locktime like another")
    func lastLocktime() throws {
        let fixture = LockFixture()
        let proof = try fixture.proof(secret: fixture.secret(tags: #"[["locktime","18446744073709551615"]]"#))
        #expect(!isSpendable([proof], now: .max))
    }

    @Test("witnesses that can't be read are refused; signatures that can't verify are passed over")
    func witnesses() throws {
        var fixture = LockFixture()
        var proof = try fixture.proof(P2PKCondition(keys: [fixture.points[0]]))
        let good = try #require(try P2PKWitness(proof.signed(by: fixture.keys[0]).witness ?? "").signatures.first)
        let hex = Hex.encode(good)
        for text in [
            "", "[]", "{}", #"{"signatures":null}"#, #"{"signatures":"\#(hex)"}"#, #"{"signatures":[5]}"#,
            #"{"signatures":[]}"#, #"{"signatures":["\#(hex.dropLast())"]}"#, "{\"signatures\":[\"\(hex)\"]",
            #"{"signatures":["\#(hex)"],"signatures":[]}"#, String(repeating: "[", count: 500),
        ] {
            proof.witness = text
            #expect(!isSpendable([proof]), "\(text)")
        }
        for text in [
            #"{"signatures":["00","zz","\#(hex)"]}"#, #"{"signatures":["\#(hex.uppercased())"],"preimage":"x"}"#,
        ] {
            proof.witness = text
            #expect(isSpendable([proof]), "\(text)")
        }
        proof.witness = #"{"signatures":["\#(hex)"]}"# + String(repeating: " ", count: 1024)
        #expect(!isSpendable([proof]))
    }

    @Test("a transaction that would need too many signature checks is refused, not computed")
    func checksAreBounded() throws {
        var fixture = LockFixture()
        let condition = try P2PKCondition(keys: Array(fixture.points[0...4]), requiredSignatures: 5)
        let proof = try fixture.proof(condition)
        let message = SpendingMessage.inputs(proof)
        var signed = proof
        for key in fixture.keys[0...4] { signed = try signed.signed(by: key) }
        let witness = try P2PKWitness(try #require(signed.witness))
        var enough = 25
        #expect(witness.signers(among: condition.keys, message: message, enough: 5, budget: &enough) == 5)
        #expect(enough >= 10)
        var few = 4
        #expect(witness.signers(among: condition.keys, message: message, enough: 5, budget: &few) < 5)
        #expect(few == 0)
        var costly = proof
        costly.witness = P2PKWitness(signatures: (0..<7).map { [UInt8](repeating: $0, count: 64) }).serialized()
        #expect(!isSpendable(Array(repeating: signed, count: 20) + Array(repeating: costly, count: 3)))
    }

    @Test("the lock that NUT-18 asks for and the lock that is made are the same")
    func written() throws {
        let fixture = LockFixture()
        let condition = try P2PKCondition(
            keys: Array(fixture.points[0...1]),
            requiredSignatures: 2,
            locktime: 99,
            refundKeys: [fixture.points[2], fixture.points[3]],
            requiredRefundSignatures: 2,
            flag: .all,
            otherTags: [["note", "x"]]
        )
        let text = try condition.secret(nonce: "n").serialized()
        guard case .conditional(let secret) = SecretKind(of: text) else {
            Issue.record("our own secret isn't read as one")
            return
        }
        #expect(try P2PKCondition(secret: secret) == condition)
        let plain = try P2PKCondition(keys: [fixture.points[0]]).secret(nonce: "n").serialized()
        #expect(plain == #"["P2PK",{"nonce":"n","data":"\#(fixture.hex(0))"}]"#)
    }
}
