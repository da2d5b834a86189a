import Cryptography
import Encodings

@testable import Lightning

/// Seals any words as an invoice, whatever they say, so that a test reaches what stands behind checksum and signature.
enum InvoiceSealing {
    static func key() throws -> Secp256k1.Scalar {
        try Secp256k1.Scalar(bytes: Hashing.sha256(Array("the payee of these tests".utf8)))
    }

    static func seal(hrp: String = "lnbcrt10u", words: [UInt8], key: Secp256k1.Scalar? = nil) throws -> String {
        let digest = try BOLT11Invoice.digest(hrp: hrp, words: words)
        let (signature, recoveryID) = Secp256k1.ECDSA.signRecoverable(digest: digest, key: try key ?? Self.key())
        let sealed = words + Bech32.words(fromBytes: signature + [recoveryID])
        return Bech32.encode(hrp: hrp, words: sealed, variant: .bech32)
    }

    /// A timestamp and the fields given, each a type and its words.
    static func invoice(_ fields: [(type: UInt8, words: [UInt8])], hrp: String = "lnbcrt10u") throws -> String {
        let timestamp: [UInt8] = [1, 12, 18, 31, 28, 25, 2]
        return try seal(
            hrp: hrp,
            words: timestamp
                + fields.flatMap { [$0.type, UInt8($0.words.count >> 5), UInt8($0.words.count & 31)] + $0.words }
        )
    }

    static func bytes(_ bytes: [UInt8]) -> [UInt8] { Bech32.words(fromBytes: bytes) }

    static let hash: (type: UInt8, words: [UInt8]) = (1, bytes([UInt8](repeating: 7, count: 32)))
    static let secret: (type: UInt8, words: [UInt8]) = (16, bytes([UInt8](repeating: 8, count: 32)))
    static let text: (type: UInt8, words: [UInt8]) = (13, bytes(Array("tea".utf8)))
    static let required = [hash, secret, text]
}
