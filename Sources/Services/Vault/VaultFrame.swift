internal import Encodings
internal import NIOCore

/// A frame of the vault's protocol: u32 length of what follows ‖ u32 number of the request ‖ u8 kind ‖ body, all integers
/// big-endian ([VLT-2]).
struct VaultFrame: Equatable {
    /// The longest frame, without its length, in bytes: a swap of a thousand inputs and outputs has a fifth of it.
    static let maximumBytes = 1 << 20
    static let headerBytes = 5
    /// Of the protocol.
    static let version: UInt8 = 1

    /// The kinds; an answer has the kind of its request with the highest bit set.
    enum Kind: UInt8 {
        case hello = 1
        case sign = 2
        case didKey = 3
        case addKeyset = 4
        case batch = 5
        case status = 6
        case lock = 7
        case unlock = 8
        case failure = 0x7F
    }

    static let answerBit: UInt8 = 0x80

    var id: UInt32
    /// With the answer's bit.
    var kind: UInt8
    var body: [UInt8]

    init(id: UInt32, kind: Kind, isAnswer: Bool, body: [UInt8]) {
        self.id = id
        self.kind = kind.rawValue | (isAnswer ? Self.answerBit : 0)
        self.body = body
    }

    /// The next whole frame of what has arrived; nil where more must come.
    /// - Throws: `VaultError` `.malformed` for one that is too long or too short, before it is kept.
    init?(from buffer: inout ByteBuffer) throws(VaultError) {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return nil }
        guard length >= Self.headerBytes, length <= Self.maximumBytes else {
            throw VaultError(.malformed, "a frame has \(Self.headerBytes) to \(Self.maximumBytes) bytes, not \(length)")
        }
        guard buffer.readableBytes >= 4 + Int(length) else { return nil }
        buffer.moveReaderIndex(forwardBy: 4)
        guard let id = buffer.readInteger(as: UInt32.self), let kind = buffer.readInteger(as: UInt8.self),
            let body = buffer.readBytes(length: Int(length) - Self.headerBytes)
        else { return nil }
        self.id = id
        self.kind = kind
        self.body = body
    }

    /// - Throws: `VaultError` `.malformed` where it would be too long.
    func write(to buffer: inout ByteBuffer) throws(VaultError) {
        let length = Self.headerBytes + body.count
        guard length <= Self.maximumBytes else {
            throw VaultError(.malformed, "a frame of \(length) bytes is longer than \(Self.maximumBytes)")
        }
        buffer.writeInteger(UInt32(length))
        buffer.writeInteger(id)
        buffer.writeInteger(kind)
        buffer.writeBytes(body)
    }
}

/// Puts a body together.
struct BodyWriter {
    private(set) var bytes: [UInt8] = []

    mutating func byte(_ value: UInt8) { bytes.append(value) }
    mutating func raw(_ value: [UInt8]) { bytes.append(contentsOf: value) }

    mutating func integer<Value: FixedWidthInteger>(_ value: Value) {
        var rest = Value.bitWidth
        while rest > 0 {
            rest -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> Value(rest)))
        }
    }

    /// Bytes after their count in 32 bits.
    mutating func counted(_ value: [UInt8]) {
        integer(UInt32(clamping: value.count))
        raw(value)
    }

    mutating func text(_ value: String) { counted(Array(value.utf8)) }
}

extension ByteReader {
    /// Bytes after their count in 32 bits.
    mutating func counted(atMost limit: Int = VaultFrame.maximumBytes) throws -> [UInt8] {
        let count = try uint32()
        guard count <= limit else { throw VaultError(.malformed, "a field has \(count) bytes; \(limit) are allowed") }
        return try bytes(Int(count))
    }

    mutating func text(atMost limit: Int) throws -> String {
        guard let text = String(validating: try counted(atMost: limit), as: UTF8.self) else {
            throw VaultError(.malformed, "a text is not UTF-8")
        }
        return text
    }
}
