import Cashu
import Testing

@Suite("SIG_ALL (NUT-11)")
struct SignatureOverAllTests {
    @Test(
        "one witness on the first input covers inputs, outputs and quote, in their order",
        arguments: [nil, "quote-1"]
    )
    func covers(quote: String?) throws {
        var fixture = LockFixture()
        let condition = try P2PKCondition(keys: [fixture.points[0]], flag: .all)
        let inputs = [try fixture.proof(condition), try fixture.proof(condition)]
        let outputs = [try fixture.output(1), try fixture.output(2)]
        let signed = try SpendingSigner.sign(inputs: inputs, outputs: outputs, quote: quote, key: fixture.keys[0])
        #expect(signed[0].witness != nil && signed[1].witness == nil)
        #expect(isSpendable(signed, outputs: outputs, quote: quote))
        #expect(!isSpendable(signed, outputs: outputs.reversed(), quote: quote))
        #expect(!isSpendable(signed, outputs: [outputs[0]], quote: quote))
        #expect(!isSpendable([signed[0]], outputs: outputs, quote: quote))
        #expect(!isSpendable(signed, outputs: outputs, quote: "other"))
        var revalued = outputs
        revalued[0].amount = 4
        #expect(!isSpendable(signed, outputs: revalued, quote: quote))
        var moved = signed
        (moved[0].witness, moved[1].witness) = (nil, signed[0].witness)
        #expect(!isSpendable(moved, outputs: outputs, quote: quote))
    }

    @Test("all inputs must have the same condition, a plain one among them spoils it")
    func sameCondition() throws {
        var fixture = LockFixture()
        let all = try P2PKCondition(keys: [fixture.points[0]], flag: .all)
        let others = [
            try P2PKCondition(keys: [fixture.points[0]]),
            try P2PKCondition(keys: [fixture.points[1]], flag: .all),
            try P2PKCondition(keys: [fixture.points[0]], locktime: 5, flag: .all),
            try P2PKCondition(keys: [fixture.points[0]], flag: .all, otherTags: [["note"]]),
        ]
        var companions = try others.map { try fixture.proof($0) }
        companions.append(try fixture.proof(secret: "plain"))
        let first = try fixture.proof(all)
        for companion in companions {
            for inputs in [[first, companion], [companion, first]] {
                let signed = try SpendingSigner.sign(inputs: inputs, outputs: [], key: fixture.keys[0])
                #expect(!isSpendable(signed, now: 1 << 40))
            }
        }
    }

    @Test("a SIG_INPUTS signature doesn't serve SIG_ALL")
    func otherMessage() throws {
        var fixture = LockFixture()
        let proof = try fixture.proof(P2PKCondition(keys: [fixture.points[0]], flag: .all))
        #expect(!isSpendable([try proof.signed(by: fixture.keys[0])], outputs: [try fixture.output()]))
    }

    @Test("with SIG_INPUTS each input that names the key is signed, the others left alone")
    func signsItsOwn() throws {
        var fixture = LockFixture()
        let mine = try fixture.proof(P2PKCondition(keys: [fixture.points[0]]))
        let refund = try fixture.proof(
            P2PKCondition(keys: [fixture.points[1]], locktime: 5, refundKeys: [fixture.points[0]])
        )
        let others = try fixture.proof(P2PKCondition(keys: [fixture.points[2]]))
        let plain = try fixture.proof(secret: "plain")
        let signed = try SpendingSigner.sign(inputs: [mine, refund, others, plain], outputs: [], key: fixture.keys[0])
        #expect(signed.map { $0.witness != nil } == [true, true, false, false])
        #expect(isSpendable([signed[0], signed[1], signed[3]], now: 6))
        #expect(!isSpendable(signed, now: 6))
    }
}
