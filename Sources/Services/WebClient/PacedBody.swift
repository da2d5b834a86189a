package import NIOCore

/// A long body, handed over no faster than it leaves.
///
/// AsyncHTTPClient queues each piece at its event loop and hears only there that the socket is full: a loop that is behind
/// would find hundreds of megabytes waiting. So every megabyte the loops are waited for, which have then taken what was
/// queued and said whether there may be more.
package struct PacedBody<Pieces: AsyncSequence & Sendable>: AsyncSequence, Sendable where Pieces.Element == ByteBuffer {
    package typealias Element = ByteBuffer

    /// In bytes; longer pieces are waited for one by one.
    private static var stride: Int { 1 << 20 }

    private let pieces: Pieces
    private let group: any EventLoopGroup

    /// - Parameter group: the loops of the client that sends the body.
    package init(_ pieces: Pieces, group: any EventLoopGroup) {
        self.pieces = pieces
        self.group = group
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var pieces: Pieces.AsyncIterator
        fileprivate let group: any EventLoopGroup
        fileprivate var bytesSinceWait = 0

        package mutating func next() async throws -> ByteBuffer? {
            if bytesSinceWait >= PacedBody.stride {
                for loop in group.makeIterator() { try await loop.submit {}.get() }
                bytesSinceWait = 0
            }
            let piece = try await pieces.next()
            bytesSinceWait += piece?.readableBytes ?? 0
            return piece
        }
    }

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(pieces: pieces.makeAsyncIterator(), group: group)
    }
}
