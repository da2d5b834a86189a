// What the decoders of this room share: points in hex, exact decimals, bounded arrays.
import CanonicalJSON
import Cryptography
import Encodings

/// Compressed points as they stand in JSON.
enum Points {
    /// A 33-byte compressed point in hex. `name` says in the error which member it was.
    static func parse(hex: String, as name: @autoclosure () -> String) throws(CashuError) -> Secp256k1.Point {
        guard hex.utf8.count == 66, let bytes = try? Hex.decode(hex) else {
            throw CashuError(.malformed, "\(name()) must be a compressed point: 66 hex digits")
        }
        return try parse(bytes: bytes, as: name())
    }

    static func parse(bytes: [UInt8], as name: @autoclosure () -> String) throws(CashuError) -> Secp256k1.Point {
        guard bytes.count == 33, bytes[0] == 2 || bytes[0] == 3 else {
            throw CashuError(.malformed, "\(name()) must be a compressed point of 33 bytes, starting with 02 or 03")
        }
        do {
            return try Secp256k1.Point(compressed: bytes)
        } catch {
            throw CashuError(.malformed, "\(name()) isn't a point of secp256k1", cause: error)
        }
    }
}

/// Unsigned decimal numbers written as text, as in keys of a keyset and tags of a secret.
enum Decimal {
    /// Digits only (no sign, no space), at most 2^64 − 1; nil otherwise.
    static func uint64(_ text: String) -> UInt64? {
        guard !text.isEmpty, text.utf8.count <= 20, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return UInt64(text)
    }
}

extension JSONValue {
    /// The array under `key`, refused beyond `maximum` entries.
    func boundedArray(_ key: String, maximum: Int) throws -> [JSONValue] {
        let values = try array(key)
        guard values.count <= maximum else {
            throw CashuError(.tooLarge, "`\(key)` has \(values.count) entries; at most \(maximum) are taken")
        }
        return values
    }

    /// The array of inputs of a request; too many answer 11014.
    func inputs(_ key: String = "inputs") throws -> [Proof] {
        let values = try array(key)
        guard values.count <= CashuLimits.arrayLength else {
            throw MintError(.maximumInputsExceeded, "at most \(CashuLimits.arrayLength) inputs are taken at once")
        }
        return try values.map(Proof.init(json:))
    }

    /// The array of outputs of a request; too many answer 11015.
    func outputs(_ key: String = "outputs") throws -> [BlindedMessage] {
        let values = try array(key)
        guard values.count <= CashuLimits.arrayLength else {
            throw MintError(.maximumOutputsExceeded, "at most \(CashuLimits.arrayLength) outputs are taken at once")
        }
        return try values.map(BlindedMessage.init(json:))
    }

    /// The array of blind signatures of an answer.
    func signatures(_ key: String) throws -> [BlindSignature] {
        try boundedArray(key, maximum: CashuLimits.arrayLength).map(BlindSignature.init(json:))
    }

    /// A string of at most `maximumBytes` bytes of UTF-8.
    func boundedString(_ key: String, maximumBytes: Int) throws -> String {
        let text = try string(key)
        guard text.utf8.count <= maximumBytes else {
            throw CashuError(.tooLarge, "`\(key)` has \(text.utf8.count) bytes; at most \(maximumBytes) are taken")
        }
        return text
    }

    /// As ``boundedString(_:maximumBytes:)``; nil where absent or null.
    func optionalBoundedString(_ key: String, maximumBytes: Int) throws -> String? {
        switch self[key] {
        case nil, .null?: nil
        default: try boundedString(key, maximumBytes: maximumBytes)
        }
    }
}
