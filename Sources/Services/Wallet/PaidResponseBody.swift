internal import AsyncHTTPClient
internal import Cryptography
public import NIOCore

/// A response's body, read as it arrives. Reading it to its end settles the payment; where it breaks off, the payment
/// is settled as the seller says, and reading throws.
public struct PaidResponseBody: AsyncSequence, Sendable {
    public typealias Element = ByteBuffer

    enum Source: Sendable {
        case buffered(ByteBuffer)
        case streamed(HTTPClientResponse.Body)
    }

    /// How reading ended: with the digest of the whole body, or not.
    enum End: Sendable {
        case whole(digest: [UInt8])
        case broken(any Error)
    }

    let source: Source
    /// Whether the payment is open until this is read.
    let settlesPayment: Bool
    /// Runs once, when the body is read or has broken off. What it throws, the reader gets.
    let onEnd: @Sendable (End) async throws -> Void

    init(
        _ source: Source,
        settlesPayment: Bool = false,
        onEnd: @escaping @Sendable (End) async throws -> Void = { _ in }
    ) {
        self.source = source
        self.settlesPayment = settlesPayment
        self.onEnd = onEnd
    }

    public func makeAsyncIterator() -> Iterator {
        switch source {
        case .buffered(let buffer): Iterator(buffered: buffer, onEnd: onEnd)
        case .streamed(let body): Iterator(streamed: body.makeAsyncIterator(), onEnd: onEnd)
        }
    }

    /// The whole body.
    /// - Throws: `answerUnusable` where it is longer than `maximumBytes`.
    public func collect(upTo maximumBytes: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        for try await piece in self {
            guard bytes.count + piece.readableBytes <= maximumBytes else {
                throw WalletError(.answerUnusable, "the answer is longer than \(maximumBytes) bytes")
            }
            bytes.append(contentsOf: piece.readableBytesView)
        }
        return bytes
    }

    public struct Iterator: AsyncIteratorProtocol {
        private var buffered: ByteBuffer?
        private var streamed: HTTPClientResponse.Body.AsyncIterator?
        private let onEnd: @Sendable (End) async throws -> Void
        private var hash = SHA256Stream()
        private var isOver = false

        init(buffered: ByteBuffer, onEnd: @escaping @Sendable (End) async throws -> Void) {
            self.buffered = buffered
            self.onEnd = onEnd
        }

        init(
            streamed: HTTPClientResponse.Body.AsyncIterator,
            onEnd: @escaping @Sendable (End) async throws -> Void
        ) {
            self.streamed = streamed
            self.onEnd = onEnd
        }

        public mutating func next() async throws -> ByteBuffer? {
            guard !isOver else { return nil }
            let piece: ByteBuffer?
            do {
                if let whole = buffered {
                    piece = whole.readableBytes > 0 ? whole : nil
                    buffered = ByteBuffer()
                } else {
                    piece = try await streamed?.next()
                }
            } catch {
                isOver = true
                try await onEnd(.broken(error))
                throw WalletError(
                    .answerUnusable,
                    "the answer broke off: \(TransportFailure.sentence(error))",
                    cause: error
                )
            }
            guard let piece else {
                isOver = true
                try await onEnd(.whole(digest: hash.finalize()))
                return nil
            }
            piece.withUnsafeReadableBytes { hash.update($0) }
            return piece
        }
    }
}
