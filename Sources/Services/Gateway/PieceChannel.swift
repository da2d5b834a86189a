import NIOCore
import Synchronization

/// Hands a body over piece by piece from the task that reads it to the one that sends it, a few pieces at a time.
///
/// Either side may go away at any moment: the writer is told by `send`, the reader by the end of the sequence.
final class PieceChannel: Sendable, AsyncSequence {
    typealias Element = ByteBuffer

    /// Pieces that may lie here unread.
    private static let capacity = 4

    private struct State {
        var pieces: [ByteBuffer] = []
        /// Set once nothing more comes.
        var end: Result<Void, any Error>?
        /// Set once nobody reads any more.
        var isClosed = false
        var reader: CheckedContinuation<Void, Never>?
        var writer: CheckedContinuation<Void, Never>?

        mutating func wakeReader() -> CheckedContinuation<Void, Never>? {
            defer { reader = nil }
            return reader
        }

        mutating func wakeWriter() -> CheckedContinuation<Void, Never>? {
            defer { writer = nil }
            return writer
        }
    }

    private let state = Mutex(State())

    // MARK: The writer

    /// Waits for room, then leaves a piece.
    /// - Returns: false where nobody reads any more.
    func send(_ piece: ByteBuffer) async -> Bool {
        while true {
            let (isSent, isClosed, reader) = state.withLock { state in
                if state.isClosed { return (false, true, nil as CheckedContinuation<Void, Never>?) }
                guard state.pieces.count < Self.capacity else { return (false, false, nil) }
                state.pieces.append(piece)
                return (true, false, state.wakeReader())
            }
            reader?.resume()
            if isClosed { return false }
            if isSent { return true }
            await withCheckedContinuation { continuation in
                let isReady = state.withLock { state in
                    if state.isClosed || state.pieces.count < Self.capacity { return true }
                    state.writer = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        }
    }

    /// Ends the body, well or not.
    func finish(_ error: (any Error)? = nil) {
        state.withLock { state in
            if state.end == nil { state.end = error.map { .failure($0) } ?? .success(()) }
            return state.wakeReader()
        }?.resume()
    }

    // MARK: The reader

    /// Nobody reads any more: wakes the writer, drops what lies here.
    func close() {
        let (reader, writer) = state.withLock { state in
            state.isClosed = true
            state.pieces = []
            if state.end == nil { state.end = .failure(CancellationError()) }
            return (state.wakeReader(), state.wakeWriter())
        }
        reader?.resume()
        writer?.resume()
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let channel: PieceChannel

        mutating func next() async throws -> ByteBuffer? {
            try await channel.next()
        }
    }

    func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(channel: self)
    }

    private enum Look {
        case piece(ByteBuffer, CheckedContinuation<Void, Never>?)
        case end(Result<Void, any Error>)
        case wait
    }

    private func next() async throws -> ByteBuffer? {
        while true {
            let look = state.withLock { state -> Look in
                if !state.pieces.isEmpty { return .piece(state.pieces.removeFirst(), state.wakeWriter()) }
                if let end = state.end { return .end(end) }
                return .wait
            }
            switch look {
            case .piece(let piece, let writer):
                writer?.resume()
                return piece
            case .end(let end):
                try end.get()
                return nil
            case .wait:
                await withTaskCancellationHandler {
                    await withCheckedContinuation { continuation in
                        let isReady = state.withLock { state in
                            if !state.pieces.isEmpty || state.end != nil { return true }
                            state.reader = continuation
                            return false
                        }
                        if isReady { continuation.resume() }
                    }
                } onCancel: {
                    close()
                }
            }
        }
    }
}
