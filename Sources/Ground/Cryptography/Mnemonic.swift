import Foundation

/// Recovery words of BIP-39 in English. New ones have 12 words; 15, 18, 21 and 24 are read too. The description shows
/// no word.
public struct Mnemonic: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    /// 16, 20, 24, 28 or 32 random bytes that the words stand for: secret.
    public let entropy: [UInt8]

    /// The words, in lower case: secret.
    public let words: [String]

    /// Twelve new random words (128 bits).
    public init() {
        self.init(checked: SecureRandom.bytes(16))
    }

    /// The words of given entropy: 16, 20, 24, 28 or 32 bytes.
    public init(entropy: [UInt8]) throws(CryptographyError) {
        guard (16...32).contains(entropy.count), entropy.count.isMultiple(of: 4) else {
            throw CryptographyError(
                .invalidMnemonic,
                "the entropy of recovery words has 16, 20, 24, 28 or 32 bytes, this has \(entropy.count)"
            )
        }
        self.init(checked: entropy)
    }

    private init(checked entropy: [UInt8]) {
        self.entropy = entropy
        let checksum = Hashing.sha256(entropy)[0]
        let wordCount = entropy.count * 3 / 4
        let bits = entropy + [checksum]
        words = (0..<wordCount).map { position in
            var index = 0
            for bit in position * 11..<position * 11 + 11 {
                index = index << 1 | Int(bits[bit / 8] >> (7 - UInt8(bit % 8)) & 1)
            }
            return EnglishWords.all[index]
        }
    }

    /// Reads words as a person types them: any case, any white space between them.
    ///
    /// - Throws: `invalidMnemonic`, naming the first word that is not in the list (with its place, and the word that
    ///   was probably meant) or saying that the checksum does not fit.
    public init(words text: String) throws(CryptographyError) {
        guard text.utf8.count <= 1024 else {
            throw CryptographyError(.invalidMnemonic, "recovery words are at most 1024 bytes of text")
        }
        let words = text.lowercased().split(whereSeparator: \.isWhitespace).map(String.init)
        guard [12, 15, 18, 21, 24].contains(words.count) else {
            throw CryptographyError(
                .invalidMnemonic,
                "there are 12 recovery words (or 15, 18, 21, 24); this has \(words.count)"
            )
        }
        var bits: [UInt8] = []
        bits.reserveCapacity(words.count * 11)
        for (position, word) in words.enumerated() {
            guard let index = EnglishWords.indices[word] else {
                throw Self.unknown(word, at: position + 1)
            }
            for shift in stride(from: 10, through: 0, by: -1) {
                bits.append(UInt8(index >> shift & 1))
            }
        }
        let entropyBits = words.count * 32 / 3
        let entropy = stride(from: 0, to: entropyBits, by: 8).map { start in
            bits[start..<start + 8].reduce(0) { $0 << 1 | $1 }
        }
        let given = bits[entropyBits...].reduce(0) { $0 << 1 | $1 }
        guard given == Hashing.sha256(entropy)[0] >> UInt8(8 - words.count / 3) else {
            throw CryptographyError(
                .invalidMnemonic,
                "every recovery word is in the list, but the checksum does not fit: a word is wrong or out of place"
            )
        }
        self.entropy = entropy
        self.words = words
    }

    /// The 64-byte seed: PBKDF2-HMAC-SHA-512, 2048 rounds, over the words and "mnemonic" followed by the passphrase
    /// (in NFKD, as BIP-39 says). Takes about a millisecond.
    public func seed(passphrase: String = "") -> [UInt8] {
        let salt = Array(("mnemonic" + passphrase.decomposedStringWithCompatibilityMapping).utf8)
        let password = Array(words.joined(separator: " ").utf8)
        return Sealing.pbkdf2SHA512(password, salt: salt, rounds: 2048, count: 64)
    }

    public static func == (first: Mnemonic, second: Mnemonic) -> Bool {
        ConstantTime.equal(first.entropy, second.entropy)
    }

    public var description: String { "Mnemonic(\(words.count) words, redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }

    private static func unknown(_ word: String, at position: Int) -> CryptographyError {
        var message = "word \(position), \"\(word.prefix(24))\", is not in the BIP-39 English list"
        if let meant = EnglishWords.closest(to: word) {
            message += "; did you mean \"\(meant)\"?"
        }
        return CryptographyError(.invalidMnemonic, message)
    }
}
