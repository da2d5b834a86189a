import NIOCore
import NIOPosix
import Synchronization

/// A server on loopback that answers each request with what a test says, byte by byte.
final class WordyServer: Sendable {
    enum Reply: Sendable {
        case bytes(String)
        /// A head, and then a body of so many bytes.
        case long(String, Int)
        /// The connection stays open, and nothing comes.
        case nothing
        /// The connection is closed.
        case close
    }

    private let channel: any Channel
    private let state: State
    let port: Int

    /// What came and went.
    final class State: Sendable {
        private let seen = Mutex<(heads: [String], sent: Int)>(([], 0))
        let reply: Reply

        init(_ reply: Reply) { self.reply = reply }

        var heads: [String] { seen.withLock { $0.heads } }
        var sent: Int { seen.withLock { $0.sent } }
        func saw(_ head: String) { seen.withLock { $0.heads.append(head) } }
        func sent(_ count: Int) { seen.withLock { $0.sent += count } }
    }

    init(_ reply: Reply) async throws {
        let state = State(reply)
        self.state = state
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(state))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }

    /// The heads of the requests, each in its lines.
    var heads: [[String]] {
        state.heads.map { $0.split(separator: "\r\n").map(String.init) }
    }

    /// Bytes of bodies that were taken from it.
    var sent: Int { state.sent }

    func stop() async { try? await channel.close().get() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let state: State
        private var text = ""

        init(_ state: State) { self.state = state }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            text += String(buffer: unwrapInboundIn(data))
            guard text.contains("\r\n\r\n") else { return }
            state.saw(text)
            text = ""
            Self.begin(state, context.channel)
        }

        private static func begin(_ state: State, _ channel: any Channel) {
            Task { await answer(state, channel) }
        }

        private static func answer(_ state: State, _ channel: any Channel) async {
            switch state.reply {
            case .bytes(let text): try? await channel.writeAndFlush(ByteBuffer(string: text))
            case .nothing: return
            case .close: try? await channel.close()
            case .long(let head, let count):
                let piece = ByteBuffer(bytes: [UInt8](repeating: 0x61, count: 1 << 16))
                do {
                    try await channel.writeAndFlush(ByteBuffer(string: head))
                    var left = count
                    while left > 0 {
                        try await channel.writeAndFlush(piece)
                        state.sent(piece.readableBytes)
                        left -= piece.readableBytes
                    }
                } catch {
                    // The other side has gone.
                }
            }
        }
    }
}
