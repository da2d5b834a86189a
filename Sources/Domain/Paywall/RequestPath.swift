/// A request path, read the way the most generous upstream might read it, so that no spelling of a priced path is cheaper.
///
/// Prices are matched on the decoded segments; the upstream still gets the bytes as they were sent. What two servers could
/// read differently (`..`, `//`, `%2F`, a backslash, a NUL, a bad escape) is refused, because a proxy that prices one
/// reading and forwards another gives the service away ([CALL-12]).
public struct RequestPath: Sendable, Equatable {
    /// The decoded segments, without path parameters (`;…`); a trailing slash does not make one.
    public let segments: [String]

    /// The longest path read, in bytes.
    public static let maximumBytes = 8192
    /// The most segments read.
    public static let maximumSegments = 256

    /// Reads `path`, which starts with `/` and holds no query.
    /// - Throws: ``CallRefusal`` with the code `ambiguous-path`.
    public init(_ path: some StringProtocol) throws(CallRefusal) {
        let bytes = Array(path.utf8)
        guard bytes.count <= Self.maximumBytes else {
            throw CallRefusal(.ambiguousPath, "The path is longer than \(Self.maximumBytes) bytes.")
        }
        guard bytes.first == UInt8(ascii: "/") else {
            throw CallRefusal(.ambiguousPath, "The path must start with \"/\".")
        }
        var segments: [String] = []
        let pieces = bytes.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        for (index, piece) in pieces.enumerated() {
            let isLast = index == pieces.count - 1
            if piece.isEmpty {
                guard isLast else {
                    throw CallRefusal(
                        .ambiguousPath,
                        "The path holds an empty segment (\"//\"); write it with single slashes."
                    )
                }
                continue
            }
            segments.append(try Self.decodeSegment(piece))
        }
        guard segments.count <= Self.maximumSegments else {
            throw CallRefusal(.ambiguousPath, "The path has more than \(Self.maximumSegments) segments.")
        }
        self.segments = segments
    }

    private static func decodeSegment(_ piece: ArraySlice<UInt8>) throws(CallRefusal) -> String {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(piece.count)
        var index = piece.startIndex
        while index < piece.endIndex {
            var byte = piece[index]
            if byte == UInt8(ascii: "%") {
                guard index + 2 < piece.endIndex, let high = hexValue(piece[index + 1]),
                    let low = hexValue(piece[index + 2])
                else {
                    throw CallRefusal(
                        .ambiguousPath,
                        "The path holds a \"%\" that does not start a percent-encoded byte."
                    )
                }
                byte = high << 4 | low
                index += 2
                // "%25…" would decode differently in an upstream that decodes twice.
                guard byte != UInt8(ascii: "/"), byte != UInt8(ascii: "%") else {
                    throw CallRefusal(
                        .ambiguousPath,
                        "The path holds an encoded slash or percent sign, which servers read differently."
                    )
                }
            }
            guard byte >= 0x20, byte != 0x7f, byte != UInt8(ascii: "\\") else {
                throw CallRefusal(.ambiguousPath, "The path holds a control character or a backslash.")
            }
            decoded.append(byte)
            index += 1
        }
        // Some servers cut path parameters off before routing ("/paid;x" is "/paid" to them): price that reading.
        let plain = decoded.prefix { $0 != UInt8(ascii: ";") }
        guard let text = String(validating: plain, as: UTF8.self) else {
            throw CallRefusal(.ambiguousPath, "The path is not UTF-8.")
        }
        guard !text.isEmpty, text != ".", text != ".." else {
            throw CallRefusal(.ambiguousPath, "The path holds a \".\", \"..\" or empty segment; write it without.")
        }
        return text
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
