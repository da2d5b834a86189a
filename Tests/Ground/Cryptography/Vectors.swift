import Encodings
import Foundation
import TestSupport

/// A file of published vectors: where it comes from, and its cases.
struct Vectors<Case: Decodable>: Decodable {
    let source: String
    let cases: [Case]

    static func read(_ path: String) throws -> [Case] {
        let file = try JSONDecoder().decode(Self.self, from: Data(Fixtures.bytes(path)))
        return file.cases
    }
}

/// Bytes that stand in a vector as hex.
struct HexBytes: Decodable, Sendable {
    let bytes: [UInt8]

    init(from decoder: any Decoder) throws {
        bytes = try Hex.decode(decoder.singleValueContainer().decode(String.self))
    }
}

/// Bytes written in a test as hex.
func hex(_ text: String) throws -> [UInt8] {
    try Hex.decode(text)
}

/// Every one-bit change would be slow: one flipped bit in each byte, the bit chosen by the byte's place.
func flips(of bytes: [UInt8]) -> [[UInt8]] {
    bytes.indices.map { index in
        var changed = bytes
        changed[index] ^= 1 << UInt8(index % 8)
        return changed
    }
}
