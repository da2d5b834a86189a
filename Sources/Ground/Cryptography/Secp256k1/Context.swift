import CSecp256k1

/// The curve of Bitcoin and Cashu, over libsecp256k1.
public enum Secp256k1 {
    /// The library's context: made once, blinded with fresh randomness against side channels, never changed again, so
    /// that all threads may share it.
    nonisolated(unsafe) static let context: OpaquePointer = {
        // The library stops the process itself where it has no memory; it never returns null here.
        let context = secp256k1_context_create(UInt32(SECP256K1_FLAGS_TYPE_CONTEXT))!
        var seed = [UInt8](repeating: 0, count: 32)
        seed.withUnsafeMutableBytes { SecureRandom.fill($0) }
        // Without blinding the context is still correct: a failure changes nothing that a caller can see.
        _ = secp256k1_context_randomize(context, seed)
        return context
    }()
}

/// Thirty-two bytes held inline: no allocation where a scalar is copied.
struct Bytes32: Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init() {}

    /// Nil where there are not exactly 32 bytes.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        withUnsafeMutableBytes { $0.copyBytes(from: bytes) }
    }

    var array: [UInt8] {
        withUnsafeBytes { [UInt8]($0) }
    }

    @inline(__always)
    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        Swift.withUnsafeBytes(of: words) { body($0) }
    }

    @inline(__always)
    mutating func withUnsafeMutableBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        Swift.withUnsafeMutableBytes(of: &words) { body($0) }
    }

    /// The address as C's `unsigned char *`.
    @inline(__always)
    func withPointer<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
        withUnsafeBytes { buffer in
            // A tuple of four words is never empty: the address exists.
            body(buffer.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
    }

    @inline(__always)
    mutating func withMutablePointer<Result>(_ body: (UnsafeMutablePointer<UInt8>) -> Result) -> Result {
        withUnsafeMutableBytes { buffer in
            body(buffer.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
    }

    /// The four 64-bit limbs of the big-endian number, least significant first.
    var limbs: (UInt64, UInt64, UInt64, UInt64) {
        get {
            (
                UInt64(bigEndian: words.3), UInt64(bigEndian: words.2),
                UInt64(bigEndian: words.1), UInt64(bigEndian: words.0)
            )
        }
        set {
            words = (newValue.3.bigEndian, newValue.2.bigEndian, newValue.1.bigEndian, newValue.0.bigEndian)
        }
    }

    /// Equality in constant time.
    func isEqual(_ other: Bytes32) -> Bool {
        let difference =
            (words.0 ^ other.words.0) | (words.1 ^ other.words.1) | (words.2 ^ other.words.2)
            | (words.3 ^ other.words.3)
        return difference == 0
    }
}
