import CZlib

/// The gzip file format (RFC 1952), one member, through zlib.
public enum Gzip {
    /// Window of 32 KiB, and 16 to ask zlib for the gzip wrapper.
    private static let gzipWindowBits: Int32 = 15 + 16

    /// `bytes` as one gzip member without name or time, so that equal input gives equal output.
    ///
    /// - Throws: `EncodingError` with `.tooLarge` beyond 1 GiB, or `.malformed` where zlib fails (out of memory).
    public static func compress(_ bytes: [UInt8]) throws(EncodingError) -> [UInt8] {
        try compress(bytes, windowBits: gzipWindowBits)
    }

    static func compress(_ bytes: [UInt8], windowBits: Int32) throws(EncodingError) -> [UInt8] {
        guard bytes.count <= 1 << 30 else { throw EncodingError(.tooLarge, "more than 1 GiB to compress at once") }
        var stream = z_stream()
        guard
            deflateInit2_(
                &stream,
                Z_DEFAULT_COMPRESSION,
                Z_DEFLATED,
                windowBits,
                8,
                Z_DEFAULT_STRATEGY,
                ZLIB_VERSION,
                Int32(MemoryLayout<z_stream>.size)
            ) == Z_OK
        else { throw failure(of: stream, "zlib could not start to compress") }
        defer { deflateEnd(&stream) }
        let bound = Int(deflateBound(&stream, UInt(bytes.count)))
        var status: Int32 = Z_OK
        // The pointers zlib keeps are used within these closures only.
        let output = [UInt8](unsafeUninitializedCapacity: bound) { target, written in
            bytes.withUnsafeBufferPointer { source in
                stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
                stream.avail_in = UInt32(source.count)
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(target.count)
                status = deflate(&stream, Z_FINISH)
            }
            written = target.count - Int(stream.avail_out)
        }
        guard status == Z_STREAM_END else { throw failure(of: stream, "zlib could not compress") }
        return output
    }

    /// The content of the one gzip member that `bytes` holds; checksum and length in its trailer are verified.
    ///
    /// Never inflates more than `maximumBytes`, however much the input announces.
    /// - Throws: `EncodingError` with `.tooLarge` where the content is longer than `maximumBytes`, `.truncated`,
    ///   `.trailingBytes` (a second member counts as such), `.invalidChecksum` or `.malformed`.
    public static func decompress(_ bytes: [UInt8], maximumBytes: Int) throws(EncodingError) -> [UInt8] {
        try decompress(bytes, maximumBytes: maximumBytes, windowBits: gzipWindowBits)
    }

    static func decompress(
        _ bytes: [UInt8],
        maximumBytes: Int,
        windowBits: Int32
    ) throws(EncodingError) -> [UInt8] {
        guard bytes.count <= 1 << 30 else { throw EncodingError(.tooLarge, "more than 1 GiB of gzip at once") }
        var stream = z_stream()
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw failure(of: stream, "zlib could not start to decompress")
        }
        defer { inflateEnd(&stream) }
        var output: [UInt8] = []
        var consumed = 0
        // Room for one byte more than allowed, so that content of exactly the maximum can be told from more.
        let limit = maximumBytes == .max ? maximumBytes : max(0, maximumBytes) + 1
        var chunkCount = 4096
        while true {
            let wanted = min(chunkCount, limit - output.count)
            let step = inflateStep(&stream, bytes, from: consumed, count: wanted)
            output.append(contentsOf: step.output)
            consumed = bytes.count - Int(stream.avail_in)
            guard output.count <= maximumBytes else {
                throw EncodingError(.tooLarge, "the content is longer than the \(maximumBytes) bytes allowed here")
            }
            switch step.status {
            case Z_STREAM_END:
                guard consumed == bytes.count else {
                    throw EncodingError(.trailingBytes, "\(bytes.count - consumed) bytes follow the compressed data")
                }
                return output
            case Z_OK, Z_BUF_ERROR:
                // No room left in the output means go on; room left means that the input is used up.
                guard stream.avail_out == 0 else { throw EncodingError(.truncated, "the compressed data ends early") }
                chunkCount = min(chunkCount * 2, 1 << 20)
            default: throw failure(of: stream, "the compressed data is damaged")
            }
        }
    }

    private static func inflateStep(
        _ stream: inout z_stream,
        _ input: [UInt8],
        from start: Int,
        count: Int
    ) -> (status: Int32, output: [UInt8]) {
        var status: Int32 = Z_OK
        let output = [UInt8](unsafeUninitializedCapacity: count) { target, written in
            input.withUnsafeBufferPointer { source in
                stream.next_in = source.baseAddress.map { UnsafeMutablePointer(mutating: $0 + start) }
                stream.avail_in = UInt32(source.count - start)
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(count)
                status = inflate(&stream, Z_NO_FLUSH)
            }
            written = count - Int(stream.avail_out)
        }
        return (status, output)
    }

    private static func failure(of stream: z_stream, _ what: String) -> EncodingError {
        guard let reason = stream.msg.map({ String(cString: $0) }) else { return EncodingError(.malformed, what) }
        let isChecksum = reason.contains("data check") || reason.contains("length check")
        return EncodingError(isChecksum ? .invalidChecksum : .malformed, "\(what): \(reason)")
    }
}
