/// The zlib format (RFC 1950) around deflate, as Token Status Lists carry it.
public enum Zlib {
    private static let windowBits: Int32 = 15

    /// - Throws: as ``Gzip/compress(_:)``.
    public static func compress(_ bytes: [UInt8]) throws(EncodingError) -> [UInt8] {
        try Gzip.compress(bytes, windowBits: windowBits)
    }

    /// The content; its checksum is verified, and never more than `maximumBytes` are inflated.
    ///
    /// - Throws: as ``Gzip/decompress(_:maximumBytes:)``.
    public static func decompress(_ bytes: [UInt8], maximumBytes: Int) throws(EncodingError) -> [UInt8] {
        try Gzip.decompress(bytes, maximumBytes: maximumBytes, windowBits: windowBits)
    }
}
