/// The header of a Yamux frame: 12 bytes, big-endian (hashicorp/yamux spec.md).
struct YamuxHeader: Sendable {
    static let byteCount = 12

    enum Kind: UInt8, Sendable {
        case data = 0
        case windowUpdate = 1
        case ping = 2
        case goAway = 3
    }

    struct Flags: OptionSet, Sendable {
        let rawValue: UInt16

        static let syn = Flags(rawValue: 1)
        static let ack = Flags(rawValue: 2)
        static let fin = Flags(rawValue: 4)
        static let rst = Flags(rawValue: 8)
        static let known: Flags = [.syn, .ack, .fin, .rst]
    }

    let kind: Kind
    let flags: Flags
    let stream: UInt32
    /// Bytes that follow for data, credit for a window update, the value of a ping, the reason of a go-away.
    let length: UInt32

    init(_ kind: Kind, _ flags: Flags = [], stream: UInt32 = 0, length: UInt32 = 0) {
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.length = length
    }

    /// Reads 12 bytes.
    init(_ bytes: some RandomAccessCollection<UInt8>) throws(Libp2pError) {
        func number(_ offset: Int, _ count: Int) -> UInt32 {
            bytes.dropFirst(offset).prefix(count).reduce(0) { $0 << 8 | UInt32($1) }
        }
        guard number(0, 1) == 0, let kind = Kind(rawValue: UInt8(truncatingIfNeeded: number(1, 1))) else {
            throw Libp2pError(.protocolViolation, "the frame is not of Yamux version 0")
        }
        let flags = Flags(rawValue: UInt16(truncatingIfNeeded: number(2, 2)))
        guard flags.isSubset(of: .known) else {
            throw Libp2pError(.protocolViolation, "the Yamux frame has flags that no version has")
        }
        self.init(kind, flags, stream: number(4, 4), length: number(8, 4))
        let ofConnection = kind == .ping || kind == .goAway
        guard (stream == 0) == ofConnection else {
            throw Libp2pError(
                .protocolViolation,
                "the Yamux frame names a stream where it may not, or none where it must"
            )
        }
    }

    func append(to output: inout [UInt8]) {
        output.append(0)
        output.append(kind.rawValue)
        output.append(UInt8(truncatingIfNeeded: flags.rawValue >> 8))
        output.append(UInt8(truncatingIfNeeded: flags.rawValue))
        for number in [stream, length] {
            output.append(UInt8(truncatingIfNeeded: number >> 24))
            output.append(UInt8(truncatingIfNeeded: number >> 16))
            output.append(UInt8(truncatingIfNeeded: number >> 8))
            output.append(UInt8(truncatingIfNeeded: number))
        }
    }
}
