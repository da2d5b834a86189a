/// Cuts a stream of bytes into messages that each stand behind their length as a varint, as identify and GossipSub
/// send them.
package struct DelimitedReader: Sendable {
    private let maximumBytes: Int
    private var buffer: [UInt8] = []
    private var position = 0

    /// - Parameter maximumBytes: the longest message; no more than this and the length before it is ever kept.
    package init(maximumBytes: Int) {
        self.maximumBytes = maximumBytes
    }

    /// Whether the bytes so far end between two messages.
    package var isAtBoundary: Bool { position == buffer.count }

    /// Bytes of a message that has not come whole.
    package var pendingCount: Int { buffer.count - position }

    /// Adds what was received; take what is whole out with ``next()`` before more is added.
    package mutating func append(_ bytes: some Collection<UInt8>) {
        if position > 0 {
            buffer.removeFirst(position)
            position = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next whole message; nil where it has not come yet.
    /// - Throws: `Libp2pError` with `.tooLarge` or `.malformed`.
    package mutating func next() throws(Libp2pError) -> ArraySlice<UInt8>? {
        var count = 0
        var index = position
        while true {
            guard index < buffer.count else { return nil }
            let byte = buffer[index]
            guard index - position < 4 else { throw tooLarge }
            count |= Int(byte & 0x7F) << (7 * (index - position))
            index += 1
            if byte < 0x80 {
                guard byte != 0 || index == position + 1 else {
                    throw Libp2pError(.malformed, "the length of a message is not in its shortest form")
                }
                break
            }
        }
        guard count <= maximumBytes else { throw tooLarge }
        guard buffer.count - index >= count else { return nil }
        position = index + count
        return buffer[index..<position]
    }

    private var tooLarge: Libp2pError {
        Libp2pError(.tooLarge, "a message has more than the \(maximumBytes) bytes that are read")
    }
}
