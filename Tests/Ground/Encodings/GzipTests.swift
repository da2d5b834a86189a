import Encodings
import TestSupport
import Testing

@Suite("Gzip")
struct GzipTests {
    @Test("The example list of Bitstring Status List 1.0 is 16 KiB of zeros")
    func publishedList() throws {
        // W3C Bitstring Status List v1.0, example 2.
        let encoded = "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"
        let list = try Gzip.decompress(try Multibase.decode(encoded), maximumBytes: 1 << 20)
        #expect(list == [UInt8](repeating: 0, count: 16_384))
    }

    @Test("Content of every size comes back, at its exact bound", arguments: [0, 1, 100, 4095, 4096, 4097, 300_000])
    func roundTrips(count: Int) throws {
        var random = SeededRandom(seed: UInt64(count))
        for content in [random.bytes(count), [UInt8](repeating: 7, count: count)] {
            let member = try Gzip.compress(content)
            #expect(try Gzip.decompress(member, maximumBytes: count) == content)
            #expect(try Gzip.decompress(member, maximumBytes: .max) == content)
            #expect(try Gzip.compress(content) == member)
            if count > 0 { #expect(code { _ = try Gzip.decompress(member, maximumBytes: count - 1) } == .tooLarge) }
        }
    }

    @Test("A bomb is given up at the bound")
    func bomb() throws {
        let member = try Gzip.compress([UInt8](repeating: 0, count: 50_000_000))
        #expect(member.count < 60_000)
        #expect(code { _ = try Gzip.decompress(member, maximumBytes: 16_384) } == .tooLarge)
        #expect(code { _ = try Gzip.decompress(member, maximumBytes: 0) } == .tooLarge)
        #expect(code { _ = try Gzip.decompress(member, maximumBytes: -5) } == .tooLarge)
    }

    @Test("Every cut is refused, and so is whatever follows the member")
    func exactEnd() throws {
        var random = SeededRandom(seed: 1)
        let content = random.bytes(500)
        let member = try Gzip.compress(content)
        for count in 0..<member.count {
            #expect(code { _ = try Gzip.decompress([UInt8](member[..<count]), maximumBytes: 1000) } == .truncated)
        }
        #expect(code { _ = try Gzip.decompress(member + [0], maximumBytes: 1000) } == .trailingBytes)
        #expect(code { _ = try Gzip.decompress(member + member, maximumBytes: 10_000) } == .trailingBytes)
    }

    @Test("No flipped bit passes for the same content")
    func damage() throws {
        var random = SeededRandom(seed: 2)
        let content = [UInt8]("status list ".utf8) + random.bytes(64)
        let member = try Gzip.compress(content)
        for index in member.indices {
            for bit in 0..<8 {
                var damaged = member
                damaged[index] ^= 1 << UInt8(bit)
                // Time, flags and system of the header carry no content; all else is caught.
                if let result = try? Gzip.decompress(damaged, maximumBytes: 1000) { #expect(result == content) }
            }
        }
        var wrongChecksum = member
        wrongChecksum[member.count - 8] ^= 1
        #expect(code { _ = try Gzip.decompress(wrongChecksum, maximumBytes: 1000) } == .invalidChecksum)
        var wrongLength = member
        wrongLength[member.count - 4] ^= 1
        #expect(code { _ = try Gzip.decompress(wrongLength, maximumBytes: 1000) } == .invalidChecksum)
        #expect(code { _ = try Gzip.decompress([UInt8]("no gzip at all".utf8), maximumBytes: 1000) } == .malformed)
        // zlib's own wrapper (RFC 1950) is not gzip.
        #expect(code { _ = try Gzip.decompress([0x78, 0x9C, 0x03, 0, 0, 0, 0, 1], maximumBytes: 1000) } == .malformed)
    }
}
