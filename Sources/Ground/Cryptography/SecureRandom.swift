#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Randomness of the operating system, fit for keys.
public enum SecureRandom {
    /// `count` random bytes; none where `count` is not positive.
    public static func bytes(_ count: Int) -> [UInt8] {
        guard count > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            fill(UnsafeMutableRawBufferPointer(buffer))
            initialized = count
        }
    }

    /// Fills the buffer with one call to the kernel per 256 bytes (the call's maximum). Where the kernel refuses, the
    /// standard library's generator takes over: it never returns weak bytes (it stops the process instead).
    package static func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var filled = 0
        #if canImport(Glibc) || canImport(Musl)
            while filled < buffer.count, let start = buffer.baseAddress {
                let part = min(256, buffer.count - filled)
                guard getentropy(start + filled, part) == 0 else { break }
                filled += part
            }
        #endif
        var generator = SystemRandomNumberGenerator()
        while filled < buffer.count {
            buffer[filled] = generator.next()
            filled += 1
        }
    }
}
