import CanonicalJSON
import Encodings
import TestSupport
import Testing

@Suite("Bech32 and Bech32m")
struct Bech32Tests {
    static let file = "bech32/vectors.json"

    @Test(
        "The valid texts of BIP-173 and BIP-350 are read and written again",
        arguments: [
            ("validBech32", Bech32.Variant.bech32), ("validBech32m", .bech32m),
        ]
    )
    func valid(list: String, variant: Bech32.Variant) throws {
        let cases = try vectors(Self.file, list)
        #expect(cases.count == 7)
        for vector in cases {
            let text = try #require(vector.stringValue)
            let parts = try Bech32.decode(text)
            #expect(parts.variant == variant)
            #expect(Bech32.encode(hrp: parts.hrp, words: parts.words, variant: variant) == text.lowercased())
            #expect(
                Bech32.encode(hrp: parts.hrp.uppercased(), words: parts.words, variant: variant) == text.lowercased()
            )
            // One changed character is always detected.
            var characters = [UInt8](text.utf8)
            let position = (characters.lastIndex(of: UInt8(ascii: "1")) ?? 0) + 1
            characters[position] = characters[position] == UInt8(ascii: "q") ? UInt8(ascii: "p") : UInt8(ascii: "q")
            let changed = String(decoding: characters, as: UTF8.self)
            let failure = code { _ = try Bech32.decode(changed) }
            #expect(failure == .invalidChecksum || failure == .mixedCase)
        }
    }

    @Test(
        "The invalid texts are refused",
        arguments: [
            ("invalidBech32", Bech32.Variant.bech32), ("invalidBech32m", .bech32m),
        ]
    )
    func invalid(list: String, variant: Bech32.Variant) throws {
        let cases = try vectors(Self.file, list)
        #expect(cases.count >= 12)
        for vector in cases {
            let text = try #require(vector.stringValue)
            // A text invalid for one variant may, by the other's rules, be valid.
            #expect(throws: EncodingError.self, "\(text)") {
                guard try Bech32.decode(text).variant == variant else {
                    throw EncodingError(.invalidChecksum, "the other variant")
                }
            }
        }
    }

    @Test("Witness programs convert between words and bytes")
    func addresses() throws {
        for vector in try vectors(Self.file, "validAddresses") {
            let parts = try Bech32.decode(try vector.string("text"))
            let script = try vector.hex("scriptHex")
            let program = try Bech32.bytes(fromWords: parts.words.dropFirst())
            #expect(program == [UInt8](script.dropFirst(2)))
            #expect(Bech32.words(fromBytes: program) == [UInt8](parts.words.dropFirst()))
        }
    }

    @Test("Surplus or non-zero padding bits are refused, or filled up where a signature covers them")
    func padding() throws {
        for vector in try vectors(Self.file, "badPadding") {
            let words = try Bech32.decode(try #require(vector.stringValue)).words.dropFirst()
            #expect(code { _ = try Bech32.bytes(fromWords: words) } == .invalidPadding)
        }
        #expect(code { _ = try Bech32.bytes(fromWords: [0] as [UInt8]) } == .invalidPadding)
        #expect(code { _ = try Bech32.bytes(fromWords: [31, 28, 1] as [UInt8]) } == .invalidPadding)
        #expect(try Bech32.bytes(fromWords: [31, 28] as [UInt8]) == [0xFF])
        #expect(try Bech32.bytes(fromWords: [31, 30] as [UInt8], allowsPadding: true) == [0xFF, 0b1000_0000])
        #expect(try Bech32.bytes(fromWords: [0b10101] as [UInt8], allowsPadding: true) == [0b1010_1000])
        #expect(try Bech32.bytes(fromWords: [] as [UInt8], allowsPadding: true) == [])
        #expect(code { _ = try Bech32.bytes(fromWords: [32] as [UInt8]) } == .invalidCharacter)
    }

    @Test("Words and bytes round trip", arguments: [7, 8] as [UInt64])
    func roundTrips(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for count in 0..<100 {
            let bytes = random.bytes(count)
            let words = Bech32.words(fromBytes: bytes)
            #expect(words.count == (count * 8 + 4) / 5)
            #expect(try Bech32.bytes(fromWords: words) == bytes)
            let text = Bech32.encode(hrp: "creqb", words: words, variant: .bech32m)
            let parts = try Bech32.decode(text, maximumLength: 500)
            #expect(parts.hrp == "creqb" && parts.words == words && parts.variant == .bech32m)
        }
    }

    @Test("The reasons are told apart")
    func reasons() {
        #expect(code { _ = try Bech32.decode("a12UEL5L") } == .mixedCase)
        #expect(code { _ = try Bech32.decode("") } == .malformed)
        #expect(code { _ = try Bech32.decode("pzry9x0s0muk") } == .malformed)
        #expect(code { _ = try Bech32.decode("1pzry9x0s0muk") } == .malformed)
        #expect(code { _ = try Bech32.decode("li1dgmt3") } == .truncated)
        #expect(code { _ = try Bech32.decode("x1b4n0q5v") } == .invalidCharacter)
        #expect(code { _ = try Bech32.decode(" 1nwldj5") } == .invalidCharacter)
        #expect(code { _ = try Bech32.decode("a12uel5m") } == .invalidChecksum)
        let long = Bech32.encode(hrp: "a", words: [UInt8](repeating: 0, count: 83), variant: .bech32)
        #expect(long.utf8.count == 91)
        #expect(code { _ = try Bech32.decode(long) } == .tooLarge)
        #expect(code { _ = try Bech32.decode(long, maximumLength: 91) } == nil)
    }
}
