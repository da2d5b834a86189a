internal import Encodings

/// One channel of the private way to the payee (BOLT 11 `r` field).
public struct RouteHop: Hashable, Sendable {
    /// Bytes of one hop in an `r` field.
    static let byteCount = 51

    /// The node at the start of the channel, 33 bytes, compressed.
    public let nodeID: [UInt8]
    /// Block (24 bits), transaction (24 bits) and output (16 bits).
    public let shortChannelID: UInt64
    public let feeBaseMsat: UInt32
    public let feeProportionalMillionths: UInt32
    public let cltvExpiryDelta: UInt16

    /// - Throws: `malformedField` where the node id is not 33 bytes.
    public init(
        nodeID: [UInt8],
        shortChannelID: UInt64,
        feeBaseMsat: UInt32,
        feeProportionalMillionths: UInt32,
        cltvExpiryDelta: UInt16
    ) throws(LightningError) {
        guard nodeID.count == 33 else {
            throw LightningError(.malformedField, "a route hop's node id has 33 bytes, not \(nodeID.count)")
        }
        self.nodeID = nodeID
        self.shortChannelID = shortChannelID
        self.feeBaseMsat = feeBaseMsat
        self.feeProportionalMillionths = feeProportionalMillionths
        self.cltvExpiryDelta = cltvExpiryDelta
    }

    /// `block x transaction x output`, as BOLT 7 writes a channel.
    public var shortChannelName: String {
        "\(shortChannelID >> 40)x\(shortChannelID >> 16 & 0xFF_FFFF)x\(shortChannelID & 0xFFFF)"
    }

    /// The hops of one `r` field, in order from the public node to the payee.
    static func hops(_ bytes: [UInt8]) throws -> [RouteHop] {
        guard !bytes.isEmpty, bytes.count.isMultiple(of: byteCount) else {
            throw LightningError(.malformedField, "the invoice's routing field is not a whole number of hops")
        }
        var reader = ByteReader(bytes)
        var hops: [RouteHop] = []
        while reader.remaining > 0 {
            hops.append(
                try RouteHop(
                    nodeID: try reader.bytes(33),
                    shortChannelID: try reader.uint64(),
                    feeBaseMsat: try reader.uint32(),
                    feeProportionalMillionths: try reader.uint32(),
                    cltvExpiryDelta: try reader.uint16()
                )
            )
        }
        return hops
    }

    var bytes: [UInt8] {
        nodeID + bigEndian(shortChannelID) + bigEndian(feeBaseMsat) + bigEndian(feeProportionalMillionths)
            + bigEndian(cltvExpiryDelta)
    }

    private func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        stride(from: Number.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> Number($0)) }
    }
}

/// An on-chain address that a payer may use where Lightning fails (BOLT 11 `f` field). This program never does; it
/// keeps the field so that an invoice is shown whole.
public enum FallbackAddress: Hashable, Sendable {
    /// A witness version (0 to 16) and program (2 to 40 bytes; 20 or 32 for version 0).
    case witness(version: UInt8, program: [UInt8])
    /// A 20-byte public key hash.
    case publicKeyHash([UInt8])
    /// A 20-byte script hash.
    case scriptHash([UInt8])

    private static let publicKeyHashVersion: UInt8 = 17
    private static let scriptHashVersion: UInt8 = 18

    /// Nil for a version that is not known, which BOLT 11 says to skip, and for a program of the wrong size.
    init?(words: ArraySlice<UInt8>) {
        guard let version = words.first,
            let program = try? Bech32.bytes(fromWords: words.dropFirst(), allowsPadding: false)
        else { return nil }
        switch version {
        case 0 where program.count == 20 || program.count == 32: self = .witness(version: 0, program: program)
        case 1...16 where (2...40).contains(program.count): self = .witness(version: version, program: program)
        case Self.publicKeyHashVersion where program.count == 20: self = .publicKeyHash(program)
        case Self.scriptHashVersion where program.count == 20: self = .scriptHash(program)
        default: return nil
        }
    }

    var words: [UInt8] {
        switch self {
        case .witness(let version, let program): [version] + Bech32.words(fromBytes: program)
        case .publicKeyHash(let hash): [Self.publicKeyHashVersion] + Bech32.words(fromBytes: hash)
        case .scriptHash(let hash): [Self.scriptHashVersion] + Bech32.words(fromBytes: hash)
        }
    }
}
