/// IP addresses as text, read strictly and without the operating system.
enum IPAddressText {
    /// Digits without a sign or a leading zero, up to `maximum`.
    static func decimal(_ text: some Collection<UInt8>, maximum: Int) -> Int? {
        guard (1...5).contains(text.count), text.count == 1 || text.first != UInt8(ascii: "0") else { return nil }
        var value = 0
        for digit in text {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            value = value * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return value <= maximum ? value : nil
    }

    /// Four decimal numbers from 0 to 255.
    static func parse4(_ text: [UInt8]) -> [UInt8]? {
        let words = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let bytes = words.compactMap { decimal($0, maximum: 255) }
        return words.count == 4 && bytes.count == 4 ? bytes.map(UInt8.init) : nil
    }

    static func text4(_ bytes: [UInt8]) -> String {
        bytes.map(String.init).joined(separator: ".")
    }

    /// RFC 4291, 2.2: up to eight groups of hexadecimal digits, one `::`, the last four bytes also as IPv4. No zone.
    static func parse6(_ text: [UInt8]) -> [UInt8]? {
        guard text.count <= 45 else { return nil }
        let colon = UInt8(ascii: ":")
        var gap: Int?
        for index in text.indices.dropLast() where text[index] == colon && text[index + 1] == colon {
            guard gap == nil else { return nil }
            gap = index
        }
        guard let gap else {
            guard let bytes = groups(text[...]), bytes.count == 16 else { return nil }
            return bytes
        }
        let after = text[(gap + 2)...]
        guard let head = gap == 0 ? [] : groups(text[..<gap]), let tail = after.isEmpty ? [] : groups(after),
            head.count + tail.count <= 14, gap == 0 || !text[..<gap].contains(UInt8(ascii: "."))
        else { return nil }
        return head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail
    }

    private static func groups(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        let words = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        var bytes: [UInt8] = []
        for (index, word) in words.enumerated() {
            if index == words.count - 1, word.contains(UInt8(ascii: ".")) {
                guard let tail = parse4([UInt8](word)) else { return nil }
                return bytes + tail
            }
            guard (1...4).contains(word.count) else { return nil }
            var value = 0
            for digit in word {
                switch digit {
                case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | Int(digit - UInt8(ascii: "0"))
                case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | Int(digit - UInt8(ascii: "a")) + 10
                case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | Int(digit - UInt8(ascii: "A")) + 10
                default: return nil
                }
            }
            bytes += [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
        }
        return bytes
    }

    /// RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`.
    static func text6(_ bytes: [UInt8]) -> String {
        let groups = stride(from: 0, to: 16, by: 2).map { Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]) }
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(best.count, 1) { best = start..<end }
            start = max(end, start + 1)
        }
        func text(_ groups: ArraySlice<Int>) -> String {
            groups.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard !best.isEmpty else { return text(groups[...]) }
        return text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
    }
}

/// Names of hosts in addresses.
enum HostName {
    /// Labels of 1 to 63 letters, digits, hyphens and underscores between dots, 253 bytes at most (RFC 1123, 2.1; the
    /// underscore is used in practice). Other scripts stand in their ASCII form.
    static func isValid(_ name: String) -> Bool {
        guard (1...253).contains(name.utf8.count) else { return false }
        return name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.count)
                && label.allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                        true
                    default: false
                    }
                }
        }
    }
}
