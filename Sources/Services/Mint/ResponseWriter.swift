internal import Cashu
internal import Encodings

/// Writes the answers of the busy routes byte by byte: an array of signatures costs less than a microsecond each.
struct ResponseWriter {
    private(set) var bytes: [UInt8] = []

    init(capacity: Int) {
        bytes.reserveCapacity(capacity)
    }

    /// `{"signatures":[…]}`, the answer of NUT-03 and NUT-04.
    static func signatures(_ promises: [IssuedPromise]) -> [UInt8] {
        var writer = ResponseWriter(capacity: 32 + 330 * promises.count)
        writer.raw("{\"signatures\":")
        writer.promises(promises)
        writer.raw("}")
        return writer.bytes
    }

    /// The answer of NUT-09: the outputs that were signed, with their signatures.
    static func restored(_ promises: [IssuedPromise]) -> [UInt8] {
        var writer = ResponseWriter(capacity: 64 + 520 * promises.count)
        writer.raw("{\"outputs\":[")
        for (index, promise) in promises.enumerated() {
            if index > 0 { writer.raw(",") }
            writer.raw("{\"amount\":\(promise.amount),\"id\":\"")
            writer.hex(promise.keyset.bytes)
            writer.raw("\",\"B_\":\"")
            writer.hex(promise.blinded)
            writer.raw("\"}")
        }
        writer.raw("],\"signatures\":")
        writer.promises(promises)
        writer.raw("}")
        return writer.bytes
    }

    mutating func promises(_ promises: [IssuedPromise]) {
        raw("[")
        for (index, promise) in promises.enumerated() {
            if index > 0 { raw(",") }
            raw("{\"amount\":\(promise.amount),\"id\":\"")
            hex(promise.keyset.bytes)
            raw("\",\"C_\":\"")
            hex(promise.signature)
            raw("\",\"dleq\":{\"e\":\"")
            hex(promise.challenge)
            raw("\",\"s\":\"")
            hex(promise.response)
            raw("\"}}")
        }
        raw("]")
    }

    mutating func raw(_ text: String) {
        bytes.append(contentsOf: text.utf8)
    }

    mutating func hex(_ data: [UInt8]) {
        for byte in data {
            bytes.append(Self.digit(byte >> 4))
            bytes.append(Self.digit(byte & 15))
        }
    }

    private static func digit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? 0x30 + nibble : 0x57 + nibble
    }
}
