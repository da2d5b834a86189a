/// Keccak[c = 512] with the original multi-rate padding: swift-crypto offers SHA-3 only, whose padding differs.
package enum Keccak256 {
    /// Bytes taken in per permutation.
    private static let rate = 136

    /// The digest of a message. `padding` is 0x01 for Keccak; with 0x06 the same sponge is SHA3-256, which lets tests
    /// hold it against another implementation.
    package static func hash(_ message: [UInt8], padding: UInt8 = 0x01) -> [UInt8] {
        var state = [UInt64](repeating: 0, count: 25)
        message.withUnsafeBytes { input in
            state.withUnsafeMutableBufferPointer { lanes in
                var offset = 0
                while input.count - offset >= rate {
                    absorb(UnsafeRawBufferPointer(rebasing: input[offset..<offset + rate]), into: lanes)
                    permute(lanes)
                    offset += rate
                }
                var last = [UInt8](repeating: 0, count: rate)
                for index in offset..<input.count {
                    last[index - offset] = input[index]
                }
                last[input.count - offset] ^= padding
                last[rate - 1] ^= 0x80
                last.withUnsafeBytes { absorb($0, into: lanes) }
                permute(lanes)
            }
        }
        return [UInt8](unsafeUninitializedCapacity: 32) { output, count in
            for index in 0..<32 {
                output[index] = UInt8(truncatingIfNeeded: state[index / 8] >> (8 * UInt64(index % 8)))
            }
            count = 32
        }
    }

    /// XORs one block of `rate` bytes into the state, lanes little-endian.
    private static func absorb(_ block: UnsafeRawBufferPointer, into lanes: UnsafeMutableBufferPointer<UInt64>) {
        for lane in 0..<rate / 8 {
            lanes[lane] ^= UInt64(littleEndian: block.loadUnaligned(fromByteOffset: lane * 8, as: UInt64.self))
        }
    }

    /// Keccak-f[1600]: 24 rounds of θ, ρ, π, χ and ι (FIPS 202, 3.2).
    private static func permute(_ lanes: UnsafeMutableBufferPointer<UInt64>) {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 30) { scratch in
            scratch.initialize(repeating: 0)
            let moved = UnsafeMutableBufferPointer(rebasing: scratch[0..<25])
            let parity = UnsafeMutableBufferPointer(rebasing: scratch[25..<30])
            for constant in roundConstants {
                for x in 0..<5 {
                    parity[x] = lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]
                }
                for x in 0..<5 {
                    let mix = parity[(x + 4) % 5] ^ rotated(parity[(x + 1) % 5], by: 1)
                    for y in 0..<5 {
                        lanes[x + 5 * y] ^= mix
                    }
                }
                for x in 0..<5 {
                    for y in 0..<5 {
                        moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotated(lanes[x + 5 * y], by: rotations[x + 5 * y])
                    }
                }
                for y in 0..<5 {
                    for x in 0..<5 {
                        lanes[x + 5 * y] =
                            moved[x + 5 * y] ^ (~moved[(x + 1) % 5 + 5 * y] & moved[(x + 2) % 5 + 5 * y])
                    }
                }
                lanes[0] ^= constant
            }
        }
    }

    @inline(__always)
    private static func rotated(_ lane: UInt64, by bits: UInt64) -> UInt64 {
        (lane &<< bits) | (lane &>> (64 &- bits))
    }

    /// ρ offsets, indexed x + 5·y (FIPS 202, table 2, modulo 64).
    private static let rotations: [UInt64] = [
        0, 1, 62, 28, 27,
        36, 44, 6, 55, 20,
        3, 10, 43, 25, 39,
        41, 45, 15, 21, 8,
        18, 2, 61, 56, 14,
    ]

    /// ι constants of the 24 rounds (FIPS 202, 3.2.5).
    private static let roundConstants: [UInt64] = [
        0x0000_0000_0000_0001, 0x0000_0000_0000_8082, 0x8000_0000_0000_808A, 0x8000_0000_8000_8000,
        0x0000_0000_0000_808B, 0x0000_0000_8000_0001, 0x8000_0000_8000_8081, 0x8000_0000_0000_8009,
        0x0000_0000_0000_008A, 0x0000_0000_0000_0088, 0x0000_0000_8000_8009, 0x0000_0000_8000_000A,
        0x0000_0000_8000_808B, 0x8000_0000_0000_008B, 0x8000_0000_0000_8089, 0x8000_0000_0000_8003,
        0x8000_0000_0000_8002, 0x8000_0000_0000_0080, 0x0000_0000_0000_800A, 0x8000_0000_8000_000A,
        0x8000_0000_8000_8081, 0x8000_0000_0000_8080, 0x0000_0000_8000_0001, 0x8000_0000_8000_8008,
    ]
}
