/// A QR code (ISO/IEC 18004) in byte or alphanumeric mode, versions 1 to 40, error correction L or M.
///
/// A square of `size × size` modules, without the quiet zone. Text that the 45 alphanumeric characters can write goes in
/// that mode, everything else as the bytes of its UTF-8; both are one segment.
public struct QRCode: Sendable, Equatable {
    /// How much of the symbol may be damaged.
    public enum Correction: Sendable, CaseIterable {
        /// About 7 %.
        case low
        /// About 15 %.
        case medium
    }

    public enum Mode: Sendable {
        case alphanumeric
        case bytes
    }

    /// 1 to 40.
    public let version: Int
    public let correction: Correction
    public let mode: Mode
    /// 0 to 7.
    public let mask: Int
    /// 17 + 4 × version.
    public let size: Int
    let modules: [Bool]

    /// Whether the module is dark; anything outside the symbol is light.
    /// - Parameters:
    ///   - row: from the top, from 0.
    ///   - column: from the left, from 0.
    public func isDark(row: Int, column: Int) -> Bool {
        guard (0..<size).contains(row), (0..<size).contains(column) else { return false }
        return modules[row * size + column]
    }

    /// The smallest symbol that holds `text`.
    /// - Parameters:
    ///   - minimumVersion: 1 to 40.
    ///   - mask: 0 to 7; nil: the one with the lowest penalty (7.8.3 of the standard).
    /// - Throws: `tooLarge` where version 40 does not hold it: 4,296 characters or 2,953 bytes at L, 3,391 and 2,331 at M.
    public init(
        _ text: String,
        correction: Correction = .low,
        minimumVersion: Int = 1,
        mask: Int? = nil
    ) throws(EncodingError) {
        let bytes = Array(text.utf8)
        let codes = bytes.map { Self.alphanumericCodes[Int($0)] }
        let mode: Mode = !bytes.isEmpty && codes.allSatisfy { $0 != nil } ? .alphanumeric : .bytes
        let payload: [UInt8] = mode == .alphanumeric ? codes.compactMap { $0 } : bytes
        let versions = min(max(1, minimumVersion), 40)...40
        guard let version = versions.first(where: { Self.fits(payload.count, mode, $0, correction) }) else {
            throw EncodingError(.tooLarge, "a QR code of version 40 does not hold these \(bytes.count) bytes")
        }
        let data = Self.dataCodewords(payload, mode, version, correction)
        let codewords = QRCorrection.interleaved(data, QRBlocks(version, correction))
        var canvas = QRCanvas(version: version)
        canvas.draw(codewords)
        let chosen = mask.map { min(max(0, $0), 7) } ?? canvas.bestMask(correction)
        canvas.apply(mask: chosen)
        canvas.drawFormat(correction, mask: chosen)
        self.version = version
        self.correction = correction
        self.mode = mode
        self.mask = chosen
        size = canvas.size
        modules = canvas.modules
    }

    /// The symbol as text, two modules a character, dark ones drawn with ink: `█`, `▀`, `▄` and spaces.
    /// - Parameter quietZone: light modules on each side; readers want 4.
    public func halfBlocks(quietZone: Int = 4) -> [String] {
        stride(from: -quietZone, to: size + quietZone, by: 2).map { row in
            (-quietZone..<(size + quietZone)).map { column in
                switch (isDark(row: row, column: column), isDark(row: row + 1, column: column)) {
                case (true, true): "█"
                case (true, false): "▀"
                case (false, true): "▄"
                case (false, false): " "
                }
            }.joined()
        }
    }

    // MARK: The segment (7.4)

    private static let alphanumericCodes: [UInt8?] = {
        var codes = [UInt8?](repeating: nil, count: 256)
        for (code, character) in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:".utf8.enumerated() {
            codes[Int(character)] = UInt8(code)
        }
        return codes
    }()

    /// How many bits the number of characters takes.
    private static func countBits(_ mode: Mode, _ version: Int) -> Int {
        switch mode {
        case .alphanumeric: version < 10 ? 9 : version < 27 ? 11 : 13
        case .bytes: version < 10 ? 8 : 16
        }
    }

    private static func fits(_ count: Int, _ mode: Mode, _ version: Int, _ correction: Correction) -> Bool {
        let width = countBits(mode, version)
        guard count < 1 << width else { return false }
        let bits = mode == .bytes ? count * 8 : count / 2 * 11 + count % 2 * 6
        return 4 + width + bits <= QRBlocks(version, correction).dataCodewords * 8
    }

    private static func dataCodewords(
        _ payload: [UInt8],
        _ mode: Mode,
        _ version: Int,
        _ correction: Correction
    ) -> [UInt8] {
        var bits = BitWriter()
        bits.append(mode == .bytes ? 4 : 2, width: 4)
        bits.append(payload.count, width: countBits(mode, version))
        switch mode {
        case .bytes:
            for byte in payload { bits.append(Int(byte), width: 8) }
        case .alphanumeric:
            for place in stride(from: 0, to: payload.count, by: 2) {
                guard place + 1 < payload.count else {
                    bits.append(Int(payload[place]), width: 6)
                    break
                }
                bits.append(Int(payload[place]) * 45 + Int(payload[place + 1]), width: 11)
            }
        }
        let capacity = QRBlocks(version, correction).dataCodewords
        // The terminator, as much of it as there is room for, then whole codewords of padding.
        bits.append(0, width: min(4, capacity * 8 - bits.count))
        bits.append(0, width: (8 - bits.count % 8) % 8)
        var codewords = bits.bytes
        var padding: UInt8 = 0xEC
        while codewords.count < capacity {
            codewords.append(padding)
            padding ^= 0xEC ^ 0x11
        }
        return codewords
    }

    private struct BitWriter {
        private(set) var bytes: [UInt8] = []
        private(set) var count = 0

        mutating func append(_ value: Int, width: Int) {
            for place in stride(from: width - 1, through: 0, by: -1) {
                if count % 8 == 0 { bytes.append(0) }
                if value >> place & 1 == 1 { bytes[count / 8] |= 0x80 >> UInt8(count % 8) }
                count += 1
            }
        }
    }
}

/// How a version's codewords fall into blocks (table 9).
struct QRBlocks {
    let count: Int
    let correctionCodewords: Int
    let totalCodewords: Int
    var dataCodewords: Int { totalCodewords - count * correctionCodewords }

    init(_ version: Int, _ correction: QRCode.Correction) {
        let place = version - 1
        count = correction == .low ? Self.lowCounts[place] : Self.mediumCounts[place]
        correctionCodewords = correction == .low ? Self.lowCorrection[place] : Self.mediumCorrection[place]
        totalCodewords = Self.modulesForData(version) / 8
    }

    /// All modules less those that patterns, format and version take.
    private static func modulesForData(_ version: Int) -> Int {
        var count = (16 * version + 128) * version + 64
        if version >= 2 {
            let alignments = version / 7 + 2
            count -= (25 * alignments - 10) * alignments - 55
            if version >= 7 { count -= 36 }
        }
        return count
    }

    private static let lowCorrection = [
        7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26, 28, 30, 30,
        30,
        30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30,
    ]
    private static let mediumCorrection = [
        10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28, 28,
        28,
        28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    ]
    private static let lowCounts = [
        1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19,
        19, 20, 21, 22, 24, 25,
    ]
    private static let mediumCounts = [
        1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31,
        33,
        35, 37, 38, 40, 43, 45, 47, 49,
    ]
}
