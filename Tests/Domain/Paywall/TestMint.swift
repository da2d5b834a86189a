import Cashu
import Cryptography
import Encodings
import Paywall
import TestSupport

/// A mint in memory: it signs whatever it is asked for.
struct TestMint {
    let keyset: MintKeyset
    let url: MintURL
    let unit: CurrencyUnit

    init(
        _ address: String = "http://127.0.0.1:3338",
        unit: CurrencyUnit = .sat,
        feePPK: UInt64 = 0,
        expiry: UInt64? = nil,
        seed: UInt8 = 7
    ) throws {
        keyset = try MintKeyset(
            seed: [UInt8](repeating: seed, count: 32),
            unit: unit,
            counter: 0,
            inputFeePPK: feePPK,
            finalExpiry: expiry
        )
        url = try MintURL(address)
        self.unit = unit
    }

    func terms(at now: Timestamp, clockOffset: Int64? = 0) -> MintTerms {
        MintTerms(
            mint: url,
            fetchedAt: now,
            clockOffsetMilliseconds: clockOffset,
            supportsSpendingConditions: true,
            supportsP2PK: true,
            supportsDLEQ: true,
            keysets: [keyset.keyset.id: keyset.keyset]
        )
    }

    func proof(_ amount: UInt64, secret: String) throws -> Proof {
        let blinding = BlindingSecret(
            amount: amount,
            keysetID: keyset.keyset.id,
            secret: secret,
            blindingFactor: .random()
        )
        return try blinding.proof(from: keyset.sign(blinding.output()), keyset: keyset.keyset)
    }

    /// A proof locked to `key` with further tags.
    func locked(_ amount: UInt64, to key: [UInt8], tags: [[String]] = [], kind: String = "P2PK") throws -> Proof {
        let secret = SpendingSecret(
            kind: kind,
            nonce: Hex.encode(SecureRandom.bytes(16)),
            data: Hex.encode(key),
            tags: tags
        )
        return try proof(amount, secret: secret.serialized())
    }

    func token(_ proofs: [Proof], mint: MintURL? = nil, unit: CurrencyUnit? = nil) throws -> Token {
        try Token(mint: mint ?? url, unit: unit ?? self.unit, proofs: proofs)
    }
}

let sellerSecret = [UInt8](repeating: 3, count: 32)

func sellerKey() throws -> [UInt8] {
    try Secp256k1.Point(multiplyingGeneratorBy: Secp256k1.Scalar(bytes: sellerSecret)).compressed
}

func otherKey() throws -> [UInt8] {
    try Secp256k1.Point(multiplyingGeneratorBy: Secp256k1.Scalar(bytes: [UInt8](repeating: 5, count: 32))).compressed
}

let testNow = Timestamp(secondsSince1970: 1_790_000_000)
