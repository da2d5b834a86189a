/// multistream-select 1.0.0: two sides agree on a protocol, each on its own without I/O.
///
/// The dialer sends the header and its first proposal together, so that agreement on it costs one round trip. What
/// follows the agreement in the same bytes is handed back for the protocol that was agreed.
public struct ProtocolNegotiation: Sendable {
    /// What came of the bytes that were received.
    public struct Progress: Sendable {
        /// To send to the other side; may be empty.
        public var send: [UInt8] = []
        /// The protocol, once there is agreement; from then on nothing is to be fed in here any more.
        public var agreed: String?
        /// What was received behind the agreement.
        public var rest: ArraySlice<UInt8> = []
    }

    private enum Role: Sendable {
        case proposing([String], next: Int)
        case accepting([String])
    }

    /// The longest name of a protocol, in bytes.
    public static let maximumNameBytes = 256
    /// The most proposals of a peer that are answered.
    static let maximumProposals = 32
    private static let header = "/multistream/1.0.0"

    private var role: Role
    private var buffer: [UInt8] = []
    private var sawHeader = false
    private var answered = 0

    /// The dialer's side.
    /// - Parameter proposals: from the most wanted to the least; not empty.
    public init(proposing proposals: [String]) {
        role = .proposing(proposals, next: 0)
    }

    /// The listener's side.
    /// - Parameter protocols: those that are spoken.
    public init(accepting protocols: [String]) {
        role = .accepting(protocols)
    }

    /// What to send before anything is received: empty for a listener, which answers.
    public mutating func start() -> [UInt8] {
        guard case .proposing(let proposals, _) = role, let first = proposals.first else { return [] }
        role = .proposing(proposals, next: 1)
        return Self.message(Self.header) + Self.message(first)
    }

    /// Takes what was received.
    /// - Throws: `Libp2pError` with `.protocolViolation`, `.tooLarge`, or `.notNegotiated` where nothing proposed is
    ///   spoken by the other side.
    public mutating func receive(_ bytes: some Collection<UInt8>) throws(Libp2pError) -> Progress {
        buffer.append(contentsOf: bytes)
        var progress = Progress()
        var position = 0
        while progress.agreed == nil, let line = try nextLine(&position) {
            if !sawHeader {
                guard line == Self.header else {
                    throw Libp2pError(.protocolViolation, "the peer does not speak multistream-select 1.0.0")
                }
                sawHeader = true
                if case .accepting = role { progress.send += Self.message(Self.header) }
                continue
            }
            try take(line, &progress)
        }
        if progress.agreed == nil {
            buffer.removeFirst(position)
        } else {
            progress.rest = buffer[position...]
            buffer = []
        }
        return progress
    }

    private mutating func take(_ line: String, _ progress: inout Progress) throws(Libp2pError) {
        switch role {
        case .proposing(let proposals, let next):
            if line == proposals[next - 1] {
                progress.agreed = line
            } else if line == "na" {
                guard next < proposals.count else {
                    throw Libp2pError(.notNegotiated, "the peer speaks none of the protocols proposed to it")
                }
                progress.send += Self.message(proposals[next])
                role = .proposing(proposals, next: next + 1)
            } else {
                throw Libp2pError(.protocolViolation, "the peer answered with a protocol that was not proposed")
            }
        case .accepting(let protocols):
            if let known = protocols.first(where: { $0.utf8.elementsEqual(line.utf8) }) {
                progress.send += Self.message(known)
                progress.agreed = known
            } else {
                answered += 1
                guard answered <= Self.maximumProposals else {
                    throw Libp2pError(.notNegotiated, "the peer proposes one unknown protocol after the other")
                }
                progress.send += Self.message("na")
            }
        }
    }

    /// The next whole line in the buffer without its length and its end; nil where it has not come yet.
    private func nextLine(_ position: inout Int) throws(Libp2pError) -> String? {
        guard position < buffer.count else { return nil }
        var count = Int(buffer[position])
        var start = position + 1
        if count >= 0x80 {
            guard start < buffer.count else { return nil }
            guard (1..<0x80).contains(buffer[start]) else {
                throw Libp2pError(
                    .tooLarge,
                    "a line of a negotiation is too long, or its length not in its shortest form"
                )
            }
            count = count & 0x7F | Int(buffer[start]) << 7
            start += 1
        }
        guard count <= Self.maximumNameBytes + 1 else {
            throw Libp2pError(.tooLarge, "a name of a protocol has at most \(Self.maximumNameBytes) bytes")
        }
        guard buffer.count - start >= count else { return nil }
        let line = buffer[start..<(start + count)]
        guard line.last == UInt8(ascii: "\n"), line.dropLast().allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Libp2pError(.protocolViolation, "a line of a negotiation is the name of a protocol and a line feed")
        }
        position = start + count
        return String(decoding: line.dropLast(), as: UTF8.self)
    }

    private static func message(_ line: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(varint: UInt64(line.utf8.count + 1))
        bytes += line.utf8
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }
}
