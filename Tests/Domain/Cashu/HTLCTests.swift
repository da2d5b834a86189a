import Cashu
import Cryptography
import Encodings
import Testing

/// Locks on SHA-256(0…01), the pair of NUT-14's page.
private struct HashLock {
    var fixture = LockFixture()
    let preimage = [UInt8](repeating: 0, count: 31) + [1]
    let hash = "ec4916dd28fc4c10d78e287ca5d9cc51ee1ae73cbfde08c6b37324cbfaac8bc5"

    func secret(data: String? = nil, tags: String) -> String {
        #"["HTLC",{"nonce":"aa","data":"\#(data ?? hash)","tags":\#(tags)}]"#
    }

    func proof(_ tags: String) throws -> Proof { try fixture.proof(secret: secret(tags: tags)) }

    func opened(_ tags: String) throws -> Proof { try proof(tags).revealing(preimage: preimage) }
}

@Suite("Hash locks (NUT-14)")
struct HTLCTests {
    @Test("the page's pair of hash and preimage")
    func pair() throws {
        let lock = HashLock()
        #expect(try Hex.encode(HTLCCondition.hash(ofPreimage: lock.preimage)) == lock.hash)
        #expect(throws: CashuError.self) { try HTLCCondition.hash(ofPreimage: [1]) }
    }

    @Test("without `pubkeys` the preimage alone spends; nothing, another or a shorter one doesn't")
    func preimageAlone() throws {
        let lock = HashLock()
        #expect(isSpendable([try lock.opened("[]")]))
        #expect(!isSpendable([try lock.proof("[]")]))
        #expect(!isSpendable([try lock.proof("[]").revealing(preimage: [UInt8](repeating: 0, count: 32))]))
        var short = try lock.proof("[]")
        short.witness = #"{"preimage":"01","signatures":[]}"#
        #expect(!isSpendable([short]))
        // A hash of 32 bytes that is the SHA-256 of a shorter text opens for nobody.
        let other = Hex.encode(Hashing.sha256([1]))
        var text = try lock.fixture.proof(secret: lock.secret(data: other, tags: "[]"))
        text.witness = #"{"preimage":"01"}"#
        #expect(!isSpendable([text]))
        var bare = try lock.proof("[]")
        bare.witness = #"{"preimage":"\#(Hex.encode(lock.preimage))"}"#
        #expect(isSpendable([bare]))
    }

    @Test("with `pubkeys` preimage and signatures are needed, both")
    func withKeys() throws {
        let lock = HashLock()
        let tags = #"[["pubkeys","\#(lock.fixture.hex(0))","\#(lock.fixture.hex(1))"],["n_sigs","2"]]"#
        let opened = try lock.opened(tags)
        #expect(!isSpendable([opened]))
        let once = try opened.signed(by: lock.fixture.keys[0])
        #expect(!isSpendable([once]))
        #expect(!isSpendable([try once.signed(by: lock.fixture.keys[0])]))
        #expect(isSpendable([try once.signed(by: lock.fixture.keys[1])]))
        let signed = try lock.proof(tags).signed(by: lock.fixture.keys[0]).signed(by: lock.fixture.keys[1])
        #expect(!isSpendable([signed]))
    }

    @Test("the receiver's way never expires; the sender's opens after the locktime, without the preimage")
    func bothWays() throws {
        let lock = HashLock()
        let tags =
            #"[["pubkeys","\#(lock.fixture.hex(0))"],["locktime","1000"],["refund","\#(lock.fixture.hex(2))"]]"#
        let received = try lock.opened(tags).signed(by: lock.fixture.keys[0])
        let refunded = try lock.proof(tags).signed(by: lock.fixture.keys[2])
        for now in [999, 1000, 1001, 1 << 40] as [UInt64] {
            #expect(isSpendable([received], now: now))
            #expect(isSpendable([refunded], now: now) == (now > 1000))
        }
        let mixed = try lock.opened(tags).signed(by: lock.fixture.keys[2])
        #expect(!isSpendable([mixed], now: 1000))
        #expect(isSpendable([mixed], now: 1001))
        #expect(!isSpendable([try lock.proof(tags).signed(by: lock.fixture.keys[0])], now: 1001))
    }

    @Test("past the locktime a lock without refund keys is anybody's; without a locktime never")
    func anyone() throws {
        let lock = HashLock()
        let timed = try lock.proof(#"[["locktime","1000"]]"#)
        #expect(!isSpendable([timed], now: 1000))
        #expect(isSpendable([timed], now: 1001))
        for tags in [
            "[]", #"[["locktime","abc"]]"#, #"[["locktime","-1"]]"#, #"[["locktime","18446744073709551616"]]"#,
        ] {
            #expect(!isSpendable([try lock.proof(tags)], now: .max), "\(tags)")
            #expect(isSpendable([try lock.opened(tags)], now: .max), "\(tags)")
        }
    }

    @Test("what is malformed can't be spent by anyone, preimage or not")
    func malformed() throws {
        let lock = HashLock()
        let one = lock.fixture.hex(0)
        for tags in [
            #"[["pubkeys"]]"#, #"[["n_sigs","1"]]"#, #"[["n_sigs","0"],["pubkeys","\#(one)"]]"#,
            #"[["n_sigs","2"],["pubkeys","\#(one)"]]"#, #"[["pubkeys","\#(one)","\#(one.uppercased())"]]"#,
            #"[["sigflag","SIG_X"]]"#, #"[["locktime","1"],["locktime","1"]]"#, #"[["n_sigs_refund","1"]]"#,
            #"[["refund","\#(one)","\#(one)"]]"#,
        ] {
            let proof = try lock.opened(tags).signed(by: lock.fixture.keys[0])
            #expect(!isSpendable([proof], now: 1 << 40), "\(tags)")
        }
        for data in [
            "", lock.hash + "00", String(lock.hash.dropLast(2)), lock.fixture.hex(0), "zz" + lock.hash.dropFirst(2),
        ] {
            let proof = try lock.fixture.proof(secret: lock.secret(data: data, tags: "[]"))
            #expect(!isSpendable([try proof.revealing(preimage: lock.preimage)]), "\(data)")
        }
    }

    @Test("SIG_ALL: the first input's witness opens and signs for all")
    func together() throws {
        var lock = HashLock()
        let tags = #"[["sigflag","SIG_ALL"],["pubkeys","\#(lock.fixture.hex(0))"]]"#
        let inputs = [try lock.proof(tags), try lock.proof(tags)]
        let outputs = [try lock.fixture.output()]
        let revealed = try SpendingSigner.reveal(preimage: lock.preimage, in: inputs)
        #expect(revealed.map { $0.witness != nil } == [true, false])
        let signed = try SpendingSigner.sign(inputs: revealed, outputs: outputs, key: lock.fixture.keys[0])
        #expect(isSpendable(signed, outputs: outputs))
        #expect(!isSpendable(signed, outputs: [try lock.fixture.output()]))
        let unopened = try SpendingSigner.sign(inputs: inputs, outputs: outputs, key: lock.fixture.keys[0])
        #expect(!isSpendable(unopened, outputs: outputs))
        // A P2PK input with the same keys isn't the same condition.
        let other = try lock.fixture.proof(secret: lock.fixture.secret(tags: #"[["sigflag","SIG_ALL"]]"#))
        #expect(!isSpendable([signed[0], other], outputs: outputs))
    }

    @Test("a condition survives its secret, and the signer finds its keys")
    func roundTrip() throws {
        var lock = HashLock()
        let condition = try HTLCCondition(
            hash: Hex.decode(lock.hash),
            keys: [lock.fixture.points[0], lock.fixture.points[1]],
            requiredSignatures: 2,
            locktime: 1000,
            refundKeys: [lock.fixture.points[2], lock.fixture.points[3]],
            requiredRefundSignatures: 2,
            flag: .inputs,
            otherTags: [["note", "x"]]
        )
        let secret = condition.secret(nonce: lock.fixture.random.hex())
        #expect(try HTLCCondition(secret: secret) == condition)
        #expect(try SpendingCondition(secret: secret) == .htlc(condition))
        #expect(throws: CashuError.self) { try P2PKCondition(secret: secret) }
        let proof = try lock.fixture.proof(secret: secret.serialized())
        var spent = try SpendingSigner.reveal(preimage: lock.preimage, in: [proof])
        for key in lock.fixture.keys.prefix(2) {
            spent = try SpendingSigner.sign(inputs: spent, outputs: [], key: key)
        }
        #expect(isSpendable(spent, now: 0))
        let stranger = try SpendingSigner.sign(inputs: [proof], outputs: [], key: lock.fixture.keys[5])
        #expect(stranger[0].witness == nil)
        #expect(try SpendingSigner.reveal(preimage: [UInt8](repeating: 9, count: 32), in: [proof])[0].witness == nil)
    }

    @Test("the witness keeps its form: preimage and signatures as NUT-14 writes them")
    func witness() throws {
        let lock = HashLock()
        let preimage = Hex.encode(lock.preimage)
        let text = P2PKWitness(preimage: lock.preimage).serialized()
        #expect(text == #"{"preimage":"\#(preimage)","signatures":[]}"#)
        #expect(try P2PKWitness(text) == P2PKWitness(preimage: lock.preimage))
        #expect(P2PKWitness().serialized() == #"{"signatures":[]}"#)
        #expect(try P2PKWitness(#"{"preimage":null,"signatures":[]}"#) == P2PKWitness())
        // As nutshell's wallet writes a preimage without signatures.
        let written = String(repeating: "ab", count: 32)
        let alone = P2PKWitness(preimage: Array(repeating: 0xAB, count: 32))
        #expect(try P2PKWitness(#"{"preimage":"\#(written)","signatures":null}"#) == alone)
        #expect(throws: (any Error).self) { try P2PKWitness("{}") }
        #expect(throws: (any Error).self) { try P2PKWitness(#"{"preimage":5,"signatures":[]}"#) }
    }
}
