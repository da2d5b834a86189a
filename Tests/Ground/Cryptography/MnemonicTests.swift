import Cryptography
import TestSupport
import Testing

@Suite struct MnemonicTests {
    struct Case: Decodable {
        let entropy: HexBytes
        let words: String
        let seed: HexBytes
    }

    private func expectRefusal(_ words: String, saying parts: String...) {
        #expect { try Mnemonic(words: words) } throws: { error in
            guard let error = error as? CryptographyError, error.code == .invalidMnemonic else { return false }
            return parts.allSatisfy { error.message.contains($0) }
        }
    }

    private static let legal = "legal winner thank year wave sausage worth useful legal winner thank yellow"

    @Test func holdsThePublishedVectors() throws {
        for vector in try Vectors<Case>.read("bip-0039/english.json") {
            let made = try Mnemonic(entropy: vector.entropy.bytes)
            #expect(made.words.joined(separator: " ") == vector.words)
            #expect(made.seed(passphrase: "TREZOR") == vector.seed.bytes)
            let read = try Mnemonic(words: vector.words)
            #expect(read == made)
            #expect(read.entropy == vector.entropy.bytes)
            #expect(read.words == made.words)
        }
    }

    @Test func randomWordsComeBackAndDiffer() throws {
        var seen: Set<[UInt8]> = []
        for _ in 0..<100 {
            let mnemonic = Mnemonic()
            #expect(mnemonic.words.count == 12)
            #expect(try Mnemonic(words: mnemonic.words.joined(separator: " ")) == mnemonic)
            seen.insert(mnemonic.entropy)
        }
        #expect(seen.count == 100)
    }

    @Test func everyEntropyOfEveryLengthComesBack() throws {
        var random = SeededRandom(seed: 80)
        for length in [16, 20, 24, 28, 32] {
            for _ in 0..<20 {
                let entropy = random.bytes(length)
                let mnemonic = try Mnemonic(entropy: entropy)
                #expect(mnemonic.words.count == length * 3 / 4)
                #expect(try Mnemonic(words: mnemonic.words.joined(separator: " ")).entropy == entropy)
            }
        }
        for length in [0, 1, 12, 15, 17, 31, 33, 64] {
            #expect(throws: CryptographyError.self) { try Mnemonic(entropy: random.bytes(length)) }
        }
    }

    @Test func readsWhatAPersonTypes() throws {
        let typed = "\n  Legal WINNER\tthank  year wave sausage worth\r\nuseful legal winner thank yellow "
        #expect(try Mnemonic(words: typed) == Mnemonic(words: Self.legal))
    }

    @Test func namesTheWordThatIsWrong() {
        expectRefusal(Self.legal.replacing("sausage", with: "sausages"), saying: "word 6", "sausages", "\"sausage\"")
        expectRefusal(Self.legal.replacing("year", with: "yaer"), saying: "word 4", "yaer", "\"year\"")
        expectRefusal(Self.legal.replacing("wave", with: "wavr"), saying: "word 5", "wavr")
        expectRefusal(Self.legal.replacing("thank", with: "xyzzy"), saying: "word 3", "xyzzy", "not in the")
        expectRefusal(Self.legal.replacing("legal", with: "lega"), saying: "word 1", "\"legal\"")
        expectRefusal(Self.legal.replacing("legal", with: "ｌｅｇａｌ"), saying: "word 1")
    }

    @Test func refusesACountOrAChecksumThatDoesNotFit() {
        expectRefusal("", saying: "0")
        expectRefusal("legal", saying: "12", "1")
        expectRefusal(Self.legal + " yellow", saying: "13")
        expectRefusal(Self.legal.replacing("yellow", with: "year"), saying: "checksum")
        expectRefusal(
            "winner legal thank year wave sausage worth useful legal winner thank yellow",
            saying: "checksum"
        )
        expectRefusal(Array(repeating: "abandon", count: 12).joined(separator: " "), saying: "checksum")
        expectRefusal(String(repeating: "abandon ", count: 100_000), saying: "1024")
    }

    /// Twelve words carry 4 bits of checksum, twenty-four carry 8: of the 2048 last words so many fit.
    @Test func oneLastWordInSixteenFits() throws {
        for (count, fitting) in [(11, 128), (23, 8)] {
            let start = Array(repeating: "zoo ", count: count).joined()
            let read = EnglishWords.all.filter { (try? Mnemonic(words: start + $0)) != nil }
            #expect(read.count == fitting)
        }
    }

    /// Made with Python's hashlib and unicodedata: BIP-39 normalizes the passphrase by NFKD.
    @Test func normalizesThePassphrase() throws {
        let mnemonic = try Mnemonic(words: Self.legal)
        let composed = mnemonic.seed(passphrase: "\u{E9}\u{FB01}\u{3300}")
        let decomposed = mnemonic.seed(passphrase: "e\u{301}fi\u{30A2}\u{30CF}\u{309A}\u{30FC}\u{30C8}")
        #expect(composed == decomposed)
        #expect(try composed == hex(Self.seedOfComposedPassphrase))
        #expect(try mnemonic.seed() == hex(Self.seedWithoutPassphrase))
    }

    @Test func showsNoWord() throws {
        let mnemonic = try Mnemonic(words: Self.legal)
        var dumped = ""
        dump(mnemonic, to: &dumped)
        for text in ["\(mnemonic)", String(reflecting: mnemonic), dumped] {
            #expect(!text.contains("winner"))
            #expect(!text.contains("legal"))
            #expect(!text.contains("127"))
        }
    }

    private static let seedOfComposedPassphrase =
        "7b2045b8506d196689a062b2db88070eb7ac8486bb3102b97e6064da9412b898"
        + "62de7f7a5d538246d27556779f1650aa94591553570a678fe6b42b43c30c4aac"
    private static let seedWithoutPassphrase =
        "878386efb78845b3355bd15ea4d39ef97d179cb712b77d5c12b6be415fffeffe"
        + "5f377ba02bf3f8544ab800b955e51fbff09828f682052a20faa6addbbddfb096"
}
