internal import Encodings

/// Bytes as Ethereum's interfaces write them: `0x` and two hex digits a byte.
public enum EthereumHex {
    /// `0x` and lower-case digits.
    public static func text(_ bytes: [UInt8]) -> String {
        "0x" + Hex.encode(bytes)
    }

    /// Reads `0x` and whole bytes of either case.
    /// - Parameters:
    ///   - count: how many bytes there must be; any number where nil.
    ///   - maximum: the most bytes that are read where `count` is nil.
    /// - Throws: `invalidHex`.
    public static func bytes(
        _ text: String,
        count: Int? = nil,
        maximum: Int = 131_072
    ) throws(EthereumError) -> [UInt8] {
        let limit = count ?? maximum
        guard text.utf8.starts(with: "0x".utf8), text.utf8.count <= 2 + 2 * limit else {
            throw EthereumError(.invalidHex, "bytes are written as 0x and hex digits, at most \(limit) bytes")
        }
        guard let bytes = try? Hex.decode(String(text.dropFirst(2))) else {
            throw EthereumError(.invalidHex, "bytes are written as 0x and an even number of hex digits")
        }
        guard count == nil || bytes.count == count else {
            throw EthereumError(.invalidHex, "\(limit) bytes are needed here, found \(bytes.count)")
        }
        return bytes
    }
}
