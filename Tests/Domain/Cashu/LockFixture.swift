import Cashu
import Cryptography
import Encodings
import TestSupport
import Testing

/// Keys and proofs for conditions; the proofs' mint signatures are arbitrary, as no condition looks at them.
struct LockFixture {
    var random = SeededRandom(seed: 11)
    let keys: [Secp256k1.Scalar]
    let points: [Secp256k1.Point]

    init() {
        let made = (0..<6).map { [random] number in
            var own = random
            for _ in 0..<number { _ = own.bytes(32) }
            return own.scalar()
        }
        keys = made
        points = made.map { Secp256k1.Point(multiplyingGeneratorBy: $0) }
    }

    func hex(_ index: Int) -> String { Hex.encode(points[index].compressed) }

    func proof(secret: String, amount: UInt64 = 1) throws -> Proof {
        Proof(amount: amount, keysetID: try KeysetID(hex: "009a1f293253e41e"), secret: secret, signature: points[5])
    }

    mutating func proof(_ condition: P2PKCondition) throws -> Proof {
        try proof(secret: condition.secret(nonce: random.hex()).serialized())
    }

    mutating func output(_ amount: UInt64 = 1) throws -> BlindedMessage {
        BlindedMessage(
            amount: amount,
            keysetID: try KeysetID(hex: "009a1f293253e41e"),
            blindedSecret: Secp256k1.Point(multiplyingGeneratorBy: random.scalar())
        )
    }

    /// A P2PK secret with these tags, as raw JSON.
    func secret(data: String? = nil, tags: String) -> String {
        #"["P2PK",{"nonce":"aa","data":"\#(data ?? hex(0))","tags":\#(tags)}]"#
    }
}

func isSpendable(
    _ inputs: [Proof],
    outputs: [BlindedMessage] = [],
    quote: String? = nil,
    now: UInt64 = 1000
) -> Bool {
    do {
        try SpendingCheck.verify(inputs: inputs, outputs: outputs, quote: quote, now: now)
        return true
    } catch {
        #expect(error.code == .proofVerificationFailed)
        return false
    }
}
