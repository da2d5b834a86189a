import CanonicalJSON
import Encodings
import TestSupport
import Testing

@Suite("QR codes")
struct QRCodeTests {
    private static let file = "qr-code/matrices.json"

    private static func text(_ entry: JSONValue) throws -> String {
        let patterns = try JSONValue.parse(Fixtures.bytes(file)).object("patterns")
        let pattern = try patterns.string(entry.string("mode"))
        let length = Int(try entry.int64("length"))
        return String(String(repeating: pattern, count: length / pattern.count + 1).prefix(length))
    }

    private static func correction(_ entry: JSONValue) throws -> QRCode.Correction {
        try entry.string("level") == "L" ? .low : .medium
    }

    private static func digest(_ code: QRCode) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for row in 0..<code.size {
            for column in 0..<code.size {
                hash = (hash ^ (code.isDark(row: row, column: column) ? 1 : 0)) &* 0x100_0000_01B3
            }
        }
        return Hex.encode(withUnsafeBytes(of: hash.bigEndian) { Array($0) })
    }

    private static func rows(_ code: QRCode) -> [String] {
        (0..<code.size).map { row in
            (0..<code.size).map { code.isDark(row: row, column: $0) ? "#" : "." }.joined()
        }
    }

    @Test("every mask draws the matrices of python-qrcode, module by module")
    func matrices() throws {
        for entry in try vectors(Self.file, "whole") {
            let code = try QRCode(
                entry.string("text"),
                correction: Self.correction(entry),
                minimumVersion: Int(entry.int64("version")),
                mask: Int(entry.int64("mask"))
            )
            #expect(try Self.rows(code) == entry.array("rows").compactMap(\.stringValue))
            #expect(try (code.mode == .bytes) == (entry.string("mode") == "byte"))
        }
    }

    @Test("all 40 versions, both levels and modes, filled to the last character, as segno draws them")
    func versions() throws {
        let entries = try vectors(Self.file, "digests")
        #expect(entries.count == 160)
        for entry in entries {
            let text = try Self.text(entry)
            let code = try QRCode(text, correction: Self.correction(entry), mask: Int(entry.int64("mask")))
            #expect(try code.version == Int(entry.int64("version")))
            #expect(try Self.digest(code) == entry.string("fnv1a"), "version \(code.version) \(code.mode)")
        }
    }

    @Test("without a mask given, one is chosen that hides no finder: the same each time, and drawn as if given")
    func masks() throws {
        var chosen: Set<Int> = []
        for length in 1...60 {
            let text = String(repeating: "0A", count: length)
            let code = try QRCode(text)
            chosen.insert(code.mask)
            #expect(try code == QRCode(text, mask: code.mask))
        }
        #expect(chosen.count > 3)
    }

    @Test("what version 40 does not hold is refused; nothing at all is a code too")
    func limits() throws {
        let most = String(repeating: "A", count: 4296)
        #expect(try QRCode(most).version == 40)
        #expect(code { _ = try QRCode(most + "A") } == .tooLarge)
        #expect(code { _ = try QRCode(String(repeating: "a", count: 2954)) } == .tooLarge)
        #expect(code { _ = try QRCode(String(repeating: "a", count: 2332), correction: .medium) } == .tooLarge)
        #expect(try QRCode("").mode == .bytes)
        #expect(try QRCode("é").mode == .bytes)
    }

    @Test("as text it keeps its quiet zone and every module")
    func halfBlocks() throws {
        let code = try QRCode("HELLO WORLD")
        let lines = code.halfBlocks()
        #expect(code.size == 21 && lines.count == 15)
        #expect(lines.allSatisfy { $0.count == 29 })
        #expect(lines[0].allSatisfy { $0 == " " } && lines[1].allSatisfy { $0 == " " })
        for row in 0..<21 {
            for column in 0..<21 {
                let character = Array(lines[(row + 4) / 2])[column + 4]
                let isDark = character == "█" || character == ((row + 4) % 2 == 0 ? "▀" : "▄")
                #expect(isDark == code.isDark(row: row, column: column))
            }
        }
    }
}
