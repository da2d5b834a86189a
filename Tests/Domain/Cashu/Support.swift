import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import TestSupport

/// `fixtures/nuts/<name>.json`; amounts there may be 2^63.
func vectors(_ name: String) throws -> JSONValue {
    try JSONValue.parse(Fixtures.bytes("nuts/\(name).json"), limits: JSONLimits(acceptsUInt64: true))
}

func parse(_ text: String) throws -> JSONValue {
    try JSONValue.parse(text, limits: JSONLimits(acceptsUInt64: true))
}

func point(_ hex: String) throws -> Secp256k1.Point {
    try Secp256k1.Point(compressed: Hex.decode(hex))
}

func scalar(_ hex: String) throws -> Secp256k1.Scalar {
    try Secp256k1.Scalar(bytes: Hex.decode(hex))
}

extension JSONValue {
    /// The compressed point in hex under `key`.
    func point(_ key: String) throws -> Secp256k1.Point { try Secp256k1.Point(compressed: Hex.decode(string(key))) }
    func scalar(_ key: String) throws -> Secp256k1.Scalar { try Secp256k1.Scalar(bytes: Hex.decode(string(key))) }
}

extension SeededRandom {
    mutating func scalar() -> Secp256k1.Scalar {
        while true {
            if let scalar = try? Secp256k1.Scalar(bytes: bytes(32)) { return scalar }
        }
    }

    mutating func hex() -> String { Hex.encode(bytes(32)) }
}

/// A mint with one keyset, as far as a test of pure rules needs one.
struct TestMint {
    let keyset: MintKeyset
    var random: SeededRandom

    init(seed: UInt64 = 1, unit: CurrencyUnit = .sat, feePPK: UInt64 = 0, finalExpiry: UInt64? = nil) throws {
        random = SeededRandom(seed: seed)
        keyset = try MintKeyset(
            seed: random.bytes(32),
            unit: unit,
            counter: 0,
            inputFeePPK: feePPK,
            finalExpiry: finalExpiry
        )
    }

    /// A valid proof, made the whole way: blind, sign, unblind.
    mutating func proof(_ amount: UInt64, secret: String? = nil) throws -> Proof {
        let output = output(amount, secret: secret)
        return try output.proof(from: keyset.sign(output.output()), keyset: keyset.keyset)
    }

    mutating func output(_ amount: UInt64, secret: String? = nil) -> BlindingSecret {
        BlindingSecret(
            amount: amount,
            keysetID: keyset.id,
            secret: secret ?? random.hex(),
            blindingFactor: random.scalar()
        )
    }
}
