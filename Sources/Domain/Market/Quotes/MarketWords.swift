/// The words of a text, as sellers and buyers find each other by them: runs of letters, marks and digits, in small letters.
public enum MarketWords {
    /// Of a word in a call, in UTF-8.
    public static let maximumBytes = 64

    /// Each once, in order.
    public static func of(_ text: String) -> [String] {
        var words: [String] = []
        var seen: Set<String> = []
        var word = ""
        func end() {
            guard !word.isEmpty else { return }
            let small = word.lowercased()
            if seen.insert(small).inserted { words.append(small) }
            word = ""
        }
        for scalar in text.unicodeScalars {
            if isPart(scalar) { word.unicodeScalars.append(scalar) } else { end() }
        }
        end()
        return words
    }

    /// Whether a text is one word in the form that ``of(_:)`` gives.
    static func isWord(_ text: String) -> Bool {
        (1...maximumBytes).contains(text.utf8.count) && text.unicodeScalars.allSatisfy(isPart)
            && text.lowercased().utf8.elementsEqual(text.utf8)
    }

    private static func isPart(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber,
            .letterNumber, .otherNumber, .nonspacingMark, .spacingMark:
            true
        default: false
        }
    }
}
