import Libp2p
import TestSupport
import Testing

@Suite("Protocol Buffers")
struct ProtobufTests {
    @Test("The examples of https://protobuf.dev/programming-guides/encoding/")
    func examples() throws {
        var first = ProtobufReader([0x08, 0x96, 0x01])
        let field = try #require(try first.next())
        #expect(field.number == 1)
        #expect(try field.varint() == 150)
        #expect(try first.next() == nil)
        var second = ProtobufReader([0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67])
        #expect(try #require(try second.next()).text(maximum: 7) == "testing")
        var writer = ProtobufWriter()
        writer.varint(1, 150)
        writer.text(2, "testing")
        #expect(writer.bytes == [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67])
    }

    @Test("The largest number, and the fixed widths")
    func widths() throws {
        var writer = ProtobufWriter()
        writer.varint(536_870_911, .max)
        var reader = ProtobufReader(writer.bytes)
        #expect(try #require(try reader.next()).varint() == .max)
        var fixed = ProtobufReader([0x0D, 1, 2, 3, 4, 0x11, 1, 0, 0, 0, 0, 0, 0, 0x80])
        var values: [UInt64] = []
        while let field = try fixed.next() {
            if case .fixed32(let value) = field.value { values.append(UInt64(value)) }
            if case .fixed64(let value) = field.value { values.append(value) }
        }
        #expect(values == [0x0403_0201, 0x8000_0000_0000_0001])
    }

    @Test(
        "What is not read",
        arguments: [
            [0x08], [0x08, 0x80], [0x08, 0x80, 0x00], [0x12, 0x05, 0x01], [0x00, 0x01], [0x0B], [0x0C], [0x0E], [0x0F],
            [0x0D, 1, 2, 3], [0x11, 1, 2, 3, 4, 5, 6, 7],
            [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
            [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            [0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            [0x80, 0x80, 0x80, 0x80, 0x10, 0x01],
        ] as [[UInt8]]
    )
    func refused(bytes: [UInt8]) {
        var reader = ProtobufReader(bytes)
        #expect(throws: Libp2pError.self) { while try reader.next() != nil {} }
    }

    @Test("Too many fields, too long a field, another type than expected")
    func bounds() throws {
        var many = ProtobufReader([0x08, 1, 0x08, 1, 0x08, 1], maximumFields: 2)
        #expect(throws: Libp2pError.self) { while try many.next() != nil {} }
        var reader = ProtobufReader([0x0A, 0x02, 0xC3, 0x28, 0x08, 0x01])
        let bytes = try #require(try reader.next())
        #expect(throws: Libp2pError.self) { try bytes.bytes(maximum: 1) }
        #expect(throws: Libp2pError.self) { try bytes.text(maximum: 2) }
        #expect(throws: Libp2pError.self) { try bytes.varint() }
        let number = try #require(try reader.next())
        #expect(throws: Libp2pError.self) { try number.bytes(maximum: 9) }
    }

    @Test("Random bytes crash nothing")
    func random() {
        var random = SeededRandom(seed: 4)
        for _ in 0..<5_000 {
            var reader = ProtobufReader(random.bytes(Int(random.next() % 40)))
            while let field = try? reader.next(), field.number > 0 {}
        }
    }
}
