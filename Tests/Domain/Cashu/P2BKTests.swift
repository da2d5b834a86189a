import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import TestSupport
import Testing

@Suite("Pay to blinded key (NUT-28)")
struct P2BKTests {
    @Test("the published shared secret, scalars and blinded keys, slot by slot")
    func published() throws {
        let file = try vectors("28")
        let shared = try P2BK.sharedX(file.scalar("e"), file.point("P"))
        #expect(try Hex.encode(shared) == file.string("Zx"))
        #expect(try P2BK.sharedX(file.scalar("p"), file.point("E")) == shared)
        let slots = try file.array("slots")
        #expect(slots.count == P2BK.maximumSlots)
        for slot in slots {
            let number = UInt8(try slot.uint64("slot"))
            #expect(try P2BK.blindingScalar(sharedX: shared, slot: number) == slot.scalar("r"))
        }
    }

    @Test("the published private keys: negated where the natural key has the other parity")
    func publishedKeys() throws {
        let file = try vectors("28")
        let slots = try file.array("slots")
        let ephemeral = try file.point("E")
        // Slots 0 to 4 on the main path and 5 to 9 on the refund path: one path may not name a key twice.
        let blinded = try slots.map { try $0.point("blinded") }
        let lock = SpendingCondition.p2pk(
            try P2PKCondition(keys: Array(blinded[0...5]), refundKeys: Array(blinded[6...10]))
        )
        let own = try file.scalar("p")
        #expect(try Hex.encode(Secp256k1.Point(multiplyingGeneratorBy: own).compressed) == file.string("pG"))
        let negated = try P2BK.keys(of: own, for: lock, ephemeralKey: ephemeral)
        #expect(try negated == slots.map { try $0.scalar("negated") })
        for (key, point) in zip(negated, blinded) {
            #expect(Secp256k1.Point(multiplyingGeneratorBy: key).xOnly == point.xOnly)
        }
        // The same lock made for the key of natural parity takes the standard way.
        let standard = try slots.map { try $0.scalar("standard") }
        let natural = SpendingCondition.p2pk(
            try P2PKCondition(keys: standard.map { Secp256k1.Point(multiplyingGeneratorBy: $0) })
        )
        #expect(try P2BK.keys(of: own, for: natural, ephemeralKey: ephemeral) == standard)
    }

    @Test("blinding a lock gives the published keys; the published proof is read, written and signed for")
    func publishedProof() throws {
        let file = try vectors("28")
        let slots = try file.array("slots")
        let ephemeral = try file.scalar("e")
        let lock = SpendingCondition.p2pk(
            try P2PKCondition(keys: [file.point("P")], locktime: 5, refundKeys: [file.point("P")])
        )
        let blinded = try P2BK.blind(lock, ephemeral: ephemeral)
        #expect(try blinded.keys == [slots[0].point("blinded")])
        #expect(try blinded.refundKeys == [slots[1].point("blinded")])
        #expect(blinded.locktime == 5)

        let proof = try Proof(json: file.value("proof"))
        #expect(try proof.ephemeralKey == file.point("E"))
        #expect(try proof.json["p2pk_e"]?.stringValue == file.string("E"))
        #expect(proof.jsonForMint["p2pk_e"] == nil)
        let signed = try SpendingSigner.sign(inputs: [proof], outputs: [], key: file.scalar("p"))
        #expect(isSpendable(signed))
        let stranger = try SpendingSigner.sign(inputs: [proof], outputs: [], key: ephemeral)
        #expect(stranger[0].witness == nil && !isSpendable(stranger))
    }

    @Test("a token keeps the ephemeral key, as JSON and as CBOR")
    func token() throws {
        let file = try vectors("28")
        let proof = try Proof(json: file.value("proof"))
        let token = try Token(mint: MintURL("https://m.example"), unit: .sat, proofs: [proof])
        let read = try Token(token.serialized()).proofs(knownKeysets: [proof.keysetID])
        #expect(read == [proof])
        #expect(throws: (any Error).self) {
            var broken = try #require(file["proof"]?.objectValue)
            broken["p2pk_e"] = "02"
            _ = try Proof(json: .object(broken))
        }
    }

    @Test("seeded: receivers of any parity, on any path, in either kind of lock, find and use exactly their keys")
    func property() throws {
        var fixture = LockFixture()
        var random = SeededRandom(seed: 28)
        let preimage = random.bytes(32)
        for round in 0..<12 {
            let receivers = (0..<4).map { _ in random.scalar() }
            // Half of them are known by the point of even y, as nostr keys are.
            let points = try receivers.map { key in
                let natural = Secp256k1.Point(multiplyingGeneratorBy: key)
                return round.isMultiple(of: 2) ? try Secp256k1.Point(xOnly: natural.xOnly) : natural
            }
            let flag: SignatureFlag = round % 3 == 0 ? .all : .inputs
            let lock: SpendingCondition =
                round % 4 < 2
                ? .p2pk(
                    try P2PKCondition(
                        keys: Array(points[0...1]),
                        requiredSignatures: 2,
                        locktime: 1000,
                        refundKeys: Array(points[2...3]),
                        requiredRefundSignatures: 2,
                        flag: flag
                    )
                )
                : .htlc(
                    try HTLCCondition(
                        hash: Hashing.sha256(preimage),
                        keys: Array(points[0...1]),
                        requiredSignatures: 2,
                        locktime: 1000,
                        refundKeys: Array(points[2...3]),
                        requiredRefundSignatures: 2,
                        flag: flag
                    )
                )
            let ephemeral = random.scalar()
            let blinded = try P2BK.blind(lock, ephemeral: ephemeral)
            #expect(Set(blinded.keys).isDisjoint(with: points))
            #expect(blinded.flag == lock.flag && blinded.requiredSignatures == 2 && blinded.hash == lock.hash)
            var proof = try fixture.proof(secret: blinded.secret(nonce: random.hex()).serialized())
            proof.ephemeralKey = Secp256k1.Point(multiplyingGeneratorBy: ephemeral)
            let outputs = [try fixture.output()]

            var received = try SpendingSigner.reveal(preimage: preimage, in: [proof])
            for key in receivers[0...1] {
                received = try SpendingSigner.sign(inputs: received, outputs: outputs, key: key)
            }
            #expect(isSpendable(received, outputs: outputs, now: 0))
            var refunded = [proof]
            for key in receivers[2...3] {
                refunded = try SpendingSigner.sign(inputs: refunded, outputs: outputs, key: key)
            }
            #expect(!isSpendable(refunded, outputs: outputs, now: 1000))
            #expect(isSpendable(refunded, outputs: outputs, now: 1001))
            let stranger = try P2BK.keys(
                of: random.scalar(),
                for: blinded,
                ephemeralKey: Secp256k1.Point(multiplyingGeneratorBy: ephemeral)
            )
            #expect(stranger.isEmpty)
        }
    }

    @Test("a hash lock counted from slot 0, as older wallets wrote it, is read too; eleven slots are the most")
    func slots() throws {
        let file = try vectors("28")
        let ephemeral = try file.point("E")
        let hash = Hashing.sha256([1])
        for slot in [0, 1] {
            let point = try file.array("slots")[slot].point("blinded")
            let lock = SpendingCondition.htlc(try HTLCCondition(hash: hash, keys: [point]))
            let keys = try P2BK.keys(of: file.scalar("p"), for: lock, ephemeralKey: ephemeral)
            #expect(try keys == [file.array("slots")[slot].scalar("negated")])
        }
        var random = SeededRandom(seed: 3)
        let many = (0..<11).map { _ in Secp256k1.Point(multiplyingGeneratorBy: random.scalar()) }
        let full = SpendingCondition.p2pk(try P2PKCondition(keys: many))
        #expect(try P2BK.blind(full, ephemeral: random.scalar()).keys.count == 11)
        let over = SpendingCondition.htlc(try HTLCCondition(hash: hash, keys: many))
        #expect(throws: CashuError.self) { try P2BK.blind(over, ephemeral: random.scalar()) }
    }
}
