extension String {
    /// Whether both hold the same UTF-8 bytes; `==` would also call canonically equivalent texts equal.
    package func hasSameCodeUnits(as other: String) -> Bool {
        // Equal bytes are always `==`, and that check is a memory comparison for most texts.
        utf8.count == other.utf8.count && self == other && utf8.elementsEqual(other.utf8)
    }

    /// The text of `bytes`, or nil where they are not valid UTF-8.
    package init?(strictUTF8 bytes: [UInt8]) {
        var union: UInt8 = 0
        for byte in bytes { union |= byte }
        // Several times quicker than the validating initializer, and ASCII needs no validation.
        if union < 0x80 {
            self = String(decoding: bytes, as: UTF8.self)
        } else {
            self.init(validating: bytes, as: UTF8.self)
        }
    }
}
