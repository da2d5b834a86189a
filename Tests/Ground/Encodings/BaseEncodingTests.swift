import CanonicalJSON
import Encodings
import TestSupport
import Testing

@Suite("Hex, base64, base58, multibase")
struct BaseEncodingTests {
    static let file = "base-encodings/vectors.json"

    @Test("RFC 4648 vectors of base64, base64url and base32")
    func rfc4648() throws {
        let cases = try vectors(Self.file, "rfc4648")
        #expect(cases.count == 7)
        for vector in cases {
            let bytes = try vector.hex("hex")
            let base64 = try vector.string("base64")
            #expect(Base64.encode(bytes) == base64)
            #expect(try Base64.decode(base64) == bytes)
            let unpadded = String(base64.prefix { $0 != "=" })
            #expect(Base64URL.encode(bytes) == unpadded)
            #expect(try Base64URL.decode(unpadded) == bytes)
            #expect(try Base64URL.decode(base64) == bytes)
            let base32 = "b" + (try vector.string("base32"))
            #expect(Multibase.encode(bytes, as: .base32) == base32)
            #expect(try Multibase.decode(base32) == bytes)
        }
    }

    @Test("Base58 vectors of Bitcoin Core and the draft")
    func base58() throws {
        let cases = try vectors(Self.file, "base58")
        #expect(cases.count == 15)
        for vector in cases {
            #expect(Base58.encode(try vector.hex("hex")) == (try vector.string("text")))
            #expect(try Base58.decode(try vector.string("text")) == (try vector.hex("hex")))
        }
    }

    @Test("Multibase vectors, leading zeros included")
    func multibase() throws {
        let bases: [String: Multibase.Base] = [
            "base58btc": .base58btc, "base64url": .base64url, "base32": .base32, "base16": .base16,
        ]
        let cases = try vectors(Self.file, "multibase")
        #expect(cases.count == 12)
        for vector in cases {
            let base = try #require(bases[try vector.string("base")])
            #expect(Multibase.encode(try vector.hex("hex"), as: base) == (try vector.string("text")))
            #expect(try Multibase.decode(try vector.string("text")) == (try vector.hex("hex")))
        }
    }

    @Test("Varint vectors")
    func varint() throws {
        for vector in try vectors(Self.file, "varint") {
            let bytes = try vector.hex("hex")
            #expect(Varint.encode(try vector.uint64("value")) == bytes)
            var reader = ByteReader(bytes)
            #expect(try Varint.decode(&reader) == (try vector.uint64("value")))
            try reader.expectEnd()
        }
    }

    @Test("Whatever is encoded decodes to the same bytes", arguments: [1, 2, 3] as [UInt64])
    func roundTrips(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for count in 0..<130 {
            var bytes = random.bytes(count)
            // Leading zeros are what base58 gets wrong.
            for index in 0..<min(count, Int.random(in: 0..<4, using: &random)) { bytes[index] = 0 }
            #expect(try Hex.decode(Hex.encode(bytes)) == bytes)
            #expect(Hex.encode(bytes[...]) == Hex.encode(bytes))
            #expect(try Hex.decode(Hex.encode(bytes).uppercased()) == bytes)
            #expect(try Base64.decode(Base64.encode(bytes)) == bytes)
            #expect(try Base64.decodeEitherAlphabet(Base64.encode(bytes)) == bytes)
            #expect(try Base64.decodeEitherAlphabet(Base64URL.encode(bytes)) == bytes)
            #expect(try Base64URL.decode(Base64URL.encode(bytes)) == bytes)
            #expect(try Base58.decode(Base58.encode(bytes)) == bytes)
            for base in Multibase.Base.allCases {
                #expect(try Multibase.decode(Multibase.encode(bytes, as: base)) == bytes)
            }
            let value = random.next() >> UInt64.random(in: 0..<64, using: &random)
            var reader = ByteReader(Varint.encode(value))
            #expect(try Varint.decode(&reader) == value)
        }
    }

    @Test("Base58 agrees with division of the whole number, digit by digit")
    func base58AgreesWithLongDivision() throws {
        let alphabet = Array("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
        var random = SeededRandom(seed: 58)
        for count in 0..<80 {
            var bytes = random.bytes(count)
            // Runs of zeros inside the number, whole words of them, must not fall out.
            if count > 20 { for index in 5..<14 { bytes[index] = 0 } }
            var number = bytes
            var text: [Character] = []
            while number.contains(where: { $0 != 0 }) {
                var remainder = 0
                for index in number.indices {
                    let value = remainder << 8 | Int(number[index])
                    number[index] = UInt8(value / 58)
                    remainder = value % 58
                }
                text.append(alphabet[remainder])
            }
            text += Array(repeating: "1", count: bytes.prefix { $0 == 0 }.count)
            #expect(Base58.encode(bytes) == String(text.reversed()))
            #expect(try Base58.decode(Base58.encode(bytes)) == bytes)
        }
    }

    @Test(
        "Base64 refuses what another encoder would not write",
        arguments: [
            ("Zg", EncodingError.Code.invalidPadding), ("Zg=", .invalidPadding), ("Zg===", .invalidPadding),
            ("Zm9v=", .invalidPadding), ("====", .invalidCharacter), ("Z", .invalidLength), ("Zm9vY", .invalidLength),
            ("Zh==", .invalidPadding), ("Zm9=", .invalidPadding), ("Zm-v", .invalidCharacter),
            ("Zm_v", .invalidCharacter), ("Zm9v\n", .invalidLength), ("Zm 9", .invalidCharacter),
            ("Z===", .invalidCharacter), ("=Zg=", .invalidCharacter), ("Zg==Zg==", .invalidCharacter),
            ("Zm9é", .invalidLength), ("é/==", .invalidPadding),
        ]
    )
    func base64Refuses(text: String, expected: EncodingError.Code) {
        #expect(code { _ = try Base64.decode(text) } == expected)
    }

    @Test(
        "Base64url refuses the standard alphabet, partial padding and loose bits",
        arguments: [
            ("Zm+v", EncodingError.Code.invalidCharacter), ("Zm/v", .invalidCharacter), ("Zg=", .invalidPadding),
            ("Zh", .invalidPadding), ("Zm9", .invalidPadding), ("Zm9vY", .invalidLength), ("Zg===", .invalidPadding),
        ]
    )
    func base64URLRefuses(text: String, expected: EncodingError.Code) {
        #expect(code { _ = try Base64URL.decode(text) } == expected)
    }

    @Test("Every byte outside of an alphabet is refused wherever it stands")
    func alphabetsAreExact() throws {
        let alphanumeric = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
        for byte in UInt8(0)...127 where byte != UInt8(ascii: "=") {
            let symbol = String(decoding: [byte], as: UTF8.self)
            for position in 0..<4 {
                var digits = ["A", "A", "A", "A"]
                digits[position] = symbol
                let text = digits.joined()
                let isStandard = alphanumeric.contains(byte) || "+/".utf8.contains(byte)
                let isURL = alphanumeric.contains(byte) || "-_".utf8.contains(byte)
                #expect((code { _ = try Base64.decode(text) } == nil) == isStandard)
                #expect((code { _ = try Base64URL.decode(text) } == nil) == isURL)
                #expect((code { _ = try Base64.decodeEitherAlphabet(text) } == nil) == (isStandard || isURL))
            }
            let isHex = "0123456789abcdefABCDEF".utf8.contains(byte)
            #expect((code { _ = try Hex.decode("a" + symbol) } == nil) == isHex)
            #expect((code { _ = try Hex.decode(symbol + "a") } == nil) == isHex)
            let isBase58 = alphanumeric.contains(byte) && !"0OIl".utf8.contains(byte)
            #expect((code { _ = try Base58.decode("2" + symbol) } == nil) == isBase58)
        }
    }

    @Test("Hex names the character that is wrong, and refuses odd lengths")
    func hexRefuses() {
        #expect(throws: EncodingError(.invalidCharacter, "character 2 is not a hexadecimal digit")) {
            try Hex.decode("0g")
        }
        #expect(throws: EncodingError(.invalidCharacter, "character 3 is not a hexadecimal digit")) {
            try Hex.decode("00g0")
        }
        #expect(code { _ = try Hex.decode("abc") } == .invalidLength)
        #expect(code { _ = try Hex.decode("é") } == .invalidCharacter)
    }

    @Test("Base58 and multibase keep to their bounds")
    func bounds() throws {
        let bytes = [UInt8](repeating: 0xFF, count: 32)
        let text = Base58.encode(bytes)
        #expect(try Base58.decode(text, maximumBytes: 32) == bytes)
        #expect(code { _ = try Base58.decode(text, maximumBytes: 31) } == .tooLarge)
        #expect(code { _ = try Base58.decode(String(repeating: "1", count: 257)) } == .tooLarge)
        // A megabyte is refused by its length, before any quadratic work.
        #expect(code { _ = try Base58.decode(String(repeating: "z", count: 1 << 20)) } == .tooLarge)
        for base in Multibase.Base.allCases {
            let text = Multibase.encode(bytes, as: base)
            #expect(try Multibase.decode(text, maximumBytes: 32) == bytes)
            #expect(code { _ = try Multibase.decode(text, maximumBytes: 31) } == .tooLarge)
            #expect(code { _ = try Multibase.decode(text, maximumBytes: 0) } == .tooLarge)
        }
        #expect(try Multibase.decode("z", maximumBytes: 0) == [])
        #expect(try Multibase.decode(Multibase.encode(bytes, as: .base16), maximumBytes: .max) == bytes)
    }

    @Test(
        "Multibase refuses other prefixes and second spellings",
        arguments: [
            ("", EncodingError.Code.truncated), ("Zabc", .unsupported), ("mZm9v", .unsupported), ("é", .unsupported),
            ("uZg==", .invalidPadding), ("fAB", .invalidCharacter), ("bMY", .invalidCharacter),
            ("bmy======", .invalidCharacter), ("bm", .invalidLength), ("bmz", .invalidPadding),
            ("b1", .invalidCharacter),
            ("z0", .invalidCharacter), ("fa", .invalidLength), ("u\u{301}Zg", .invalidCharacter),
        ]
    )
    func multibaseRefuses(text: String, expected: EncodingError.Code) {
        #expect(code { _ = try Multibase.decode(text) } == expected)
    }

    @Test("Varints take their minimal form in at most ten bytes")
    func varintRefuses() throws {
        func decodeFailure(_ bytes: [UInt8]) -> EncodingError.Code? {
            var reader = ByteReader(bytes)
            return code { _ = try Varint.decode(&reader) }
        }
        #expect(Varint.encode(.max) == [UInt8](repeating: 0xFF, count: 9) + [1])
        #expect(Varint.encode(0) == [0])
        #expect(decodeFailure([]) == .truncated)
        #expect(decodeFailure([0x80]) == .truncated)
        #expect(decodeFailure([0x80, 0]) == .notMinimal)
        #expect(decodeFailure([0x81, 0]) == .notMinimal)
        #expect(decodeFailure([UInt8](repeating: 0xFF, count: 9) + [2]) == .tooLarge)
        #expect(decodeFailure([UInt8](repeating: 0xFF, count: 10)) == .tooLarge)
        #expect(decodeFailure([UInt8](repeating: 0x80, count: 11)) == .tooLarge)
        #expect(decodeFailure([UInt8](repeating: 0xFF, count: 9) + [1]) == nil)
    }
}

@Suite("ByteReader")
struct ByteReaderTests {
    @Test("Reads big-endian integers and bytes in order, up to the end")
    func reads() throws {
        var reader = ByteReader([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17])
        #expect(reader.next == 1)
        #expect(try reader.byte() == 1)
        #expect(try reader.uint16() == 0x0203)
        #expect(try reader.uint32() == 0x0405_0607)
        #expect(try reader.uint64() == 0x0809_0A0B_0C0D_0E0F)
        #expect(reader.remaining == 2)
        #expect(reader.offset == 15)
        #expect(code { try reader.expectEnd() } == .trailingBytes)
        #expect(try reader.bytes(2) == [16, 17])
        #expect(try reader.bytes(0) == [])
        try reader.expectEnd()
        #expect(reader.next == nil)
    }

    @Test("A failed read takes nothing")
    func refuses() {
        var reader = ByteReader([1])
        #expect(code { _ = try reader.uint16() } == .truncated)
        #expect(code { _ = try reader.uint32() } == .truncated)
        #expect(code { _ = try reader.uint64() } == .truncated)
        #expect(code { _ = try reader.bytes(2) } == .truncated)
        #expect(code { _ = try reader.bytes(-1) } == .truncated)
        #expect(code { _ = try reader.bytes(.max) } == .truncated)
        #expect(reader.remaining == 1)
        var empty = ByteReader([])
        #expect(code { _ = try empty.byte() } == .truncated)
    }
}
