/// Reed-Solomon over GF(2⁸) with 0x11D (7.5).
enum QRCorrection {
    /// Data and correction codewords in the order in which they are drawn.
    static func interleaved(_ data: [UInt8], _ blocks: QRBlocks) -> [UInt8] {
        let divisor = generator(degree: blocks.correctionCodewords)
        let short = blocks.dataCodewords / blocks.count
        let longCount = blocks.dataCodewords % blocks.count
        var pieces: [[UInt8]] = []
        var start = 0
        for block in 0..<blocks.count {
            let length = block < blocks.count - longCount ? short : short + 1
            pieces.append(Array(data[start..<start + length]))
            start += length
        }
        let corrections = pieces.map { remainder($0, divisor) }
        var result: [UInt8] = []
        result.reserveCapacity(blocks.totalCodewords)
        for place in 0...short {
            for piece in pieces where place < piece.count { result.append(piece[place]) }
        }
        for place in 0..<blocks.correctionCodewords {
            for correction in corrections { result.append(correction[place]) }
        }
        return result
    }

    private static func multiply(_ left: UInt8, _ right: UInt8) -> UInt8 {
        var product: Int = 0
        for place in stride(from: 7, through: 0, by: -1) {
            product = product << 1 ^ (product >> 7) * 0x11D
            if right >> UInt8(place) & 1 == 1 { product ^= Int(left) }
        }
        return UInt8(truncatingIfNeeded: product)
    }

    private static func generator(degree: Int) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: degree)
        result[degree - 1] = 1
        var root: UInt8 = 1
        for _ in 0..<degree {
            for place in 0..<degree {
                result[place] = multiply(result[place], root)
                if place + 1 < degree { result[place] ^= result[place + 1] }
            }
            root = multiply(root, 2)
        }
        return result
    }

    private static func remainder(_ data: [UInt8], _ divisor: [UInt8]) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: divisor.count)
        for byte in data {
            let factor = byte ^ result[0]
            result.removeFirst()
            result.append(0)
            for place in divisor.indices { result[place] ^= multiply(divisor[place], factor) }
        }
        return result
    }
}

/// A symbol while it is drawn.
struct QRCanvas {
    let version: Int
    let size: Int
    private(set) var modules: [Bool]
    /// Modules of patterns, format and version: neither data nor mask touch them.
    private var isFixed: [Bool]

    init(version: Int) {
        self.version = version
        size = 17 + 4 * version
        modules = Array(repeating: false, count: size * size)
        isFixed = modules
        drawPatterns()
    }

    private mutating func fix(_ row: Int, _ column: Int, _ isDark: Bool) {
        guard (0..<size).contains(row), (0..<size).contains(column) else { return }
        modules[row * size + column] = isDark
        isFixed[row * size + column] = true
    }

    // MARK: Patterns (6.3)

    private mutating func drawPatterns() {
        for place in 0..<size {
            fix(6, place, place % 2 == 0)
            fix(place, 6, place % 2 == 0)
        }
        for (row, column) in [(3, 3), (3, size - 4), (size - 4, 3)] {
            for down in -4...4 {
                for right in -4...4 {
                    let distance = max(abs(down), abs(right))
                    fix(row + down, column + right, distance != 2 && distance != 4)
                }
            }
        }
        let centres = alignmentCentres
        for (first, row) in centres.enumerated() {
            for (second, column) in centres.enumerated() {
                let last = centres.count - 1
                // Three corners are finders.
                if first == 0 && (second == 0 || second == last) || first == last && second == 0 { continue }
                for down in -2...2 {
                    for right in -2...2 { fix(row + down, column + right, max(abs(down), abs(right)) != 1) }
                }
            }
        }
        // Holds the places of the format until the mask is known.
        drawFormat(.low, mask: 0)
        drawVersion()
    }

    /// Annex E.
    private var alignmentCentres: [Int] {
        guard version > 1 else { return [] }
        let count = version / 7 + 2
        let step = version == 32 ? 26 : (version * 4 + count * 2 + 1) / (count * 2 - 2) * 2
        return [6] + (0..<(count - 1)).map { size - 7 - $0 * step }.reversed()
    }

    /// 15 bits of correction level and mask (7.9), twice.
    mutating func drawFormat(_ correction: QRCode.Correction, mask: Int) {
        let data = (correction == .low ? 1 : 0) << 3 | mask
        var remainder = data
        for _ in 0..<10 { remainder = remainder << 1 ^ (remainder >> 9) * 0x537 }
        let bits = (data << 10 | remainder) ^ 0x5412
        func bit(_ place: Int) -> Bool { bits >> place & 1 == 1 }
        for place in 0...5 { fix(place, 8, bit(place)) }
        fix(7, 8, bit(6))
        fix(8, 8, bit(7))
        fix(8, 7, bit(8))
        for place in 9..<15 { fix(8, 14 - place, bit(place)) }
        for place in 0..<8 { fix(8, size - 1 - place, bit(place)) }
        for place in 8..<15 { fix(size - 15 + place, 8, bit(place)) }
        fix(size - 8, 8, true)
    }

    /// 18 bits of the version from 7 on (7.10), twice.
    private mutating func drawVersion() {
        guard version >= 7 else { return }
        var remainder = version
        for _ in 0..<12 { remainder = remainder << 1 ^ (remainder >> 11) * 0x1F25 }
        let bits = version << 12 | remainder
        for place in 0..<18 {
            let isDark = bits >> place & 1 == 1
            fix(size - 11 + place % 3, place / 3, isDark)
            fix(place / 3, size - 11 + place % 3, isDark)
        }
    }

    // MARK: Data and mask (7.7, 7.8)

    mutating func draw(_ codewords: [UInt8]) {
        var place = 0
        for pair in stride(from: size - 1, through: 1, by: -2) {
            // The vertical timing pattern is no column of data.
            let right = pair <= 6 ? pair - 1 : pair
            for step in 0..<size {
                let isUpward = (right + 1) & 2 == 0
                let row = isUpward ? size - 1 - step : step
                for column in [right, right - 1] where !isFixed[row * size + column] && place < codewords.count * 8 {
                    modules[row * size + column] = codewords[place / 8] >> UInt8(7 - place % 8) & 1 == 1
                    place += 1
                }
            }
        }
    }

    mutating func apply(mask: Int) {
        for row in 0..<size {
            for column in 0..<size where !isFixed[row * size + column] {
                if Self.inverts(mask, row, column) { modules[row * size + column].toggle() }
            }
        }
    }

    private static func inverts(_ mask: Int, _ row: Int, _ column: Int) -> Bool {
        switch mask {
        case 0: (row + column) % 2 == 0
        case 1: row % 2 == 0
        case 2: column % 3 == 0
        case 3: (row + column) % 3 == 0
        case 4: (row / 2 + column / 3) % 2 == 0
        case 5: row * column % 2 + row * column % 3 == 0
        case 6: (row * column % 2 + row * column % 3) % 2 == 0
        default: ((row + column) % 2 + row * column % 3) % 2 == 0
        }
    }

    /// The mask with the lowest penalty.
    func bestMask(_ correction: QRCode.Correction) -> Int {
        var best = (mask: 0, penalty: Int.max)
        for mask in 0..<8 {
            var canvas = self
            canvas.apply(mask: mask)
            canvas.drawFormat(correction, mask: mask)
            let penalty = canvas.penalty
            if penalty < best.penalty { best = (mask, penalty) }
        }
        return best.mask
    }

    /// Runs, blocks, finder-like patterns and imbalance (table 11).
    private var penalty: Int {
        var total = 0
        for line in 0..<size {
            total += Self.penalty(ofLine: (0..<size).map { modules[line * size + $0] })
            total += Self.penalty(ofLine: (0..<size).map { modules[$0 * size + line] })
        }
        for row in 0..<(size - 1) {
            for column in 0..<(size - 1) {
                let place = row * size + column
                let isDark = modules[place]
                if modules[place + 1] == isDark, modules[place + size] == isDark, modules[place + size + 1] == isDark {
                    total += 3
                }
            }
        }
        let dark = modules.count { $0 }
        return total + abs(dark * 20 - modules.count * 10) / modules.count * 10
    }

    private static func penalty(ofLine line: [Bool]) -> Int {
        var total = 0
        var run = 1
        for place in 1...line.count {
            if place < line.count, line[place] == line[place - 1] {
                run += 1
                continue
            }
            if run >= 5 { total += run - 2 }
            run = 1
        }
        let finder = [true, false, true, true, true, false, true]
        for start in 0...(line.count - 7) where Array(line[start..<start + 7]) == finder {
            // Four light modules beside it, those of the quiet zone among them.
            let before = (start - 4..<start).allSatisfy { $0 < 0 || !line[$0] }
            let after = (start + 7..<start + 11).allSatisfy { $0 >= line.count || !line[$0] }
            if before || after { total += 40 }
        }
        return total
    }
}
