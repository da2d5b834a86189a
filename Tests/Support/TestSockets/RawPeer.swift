internal import NIOCore
internal import NIOPosix

/// A TCP client that sends and reads bytes as a test says, HTTP and WebSocket frames among them.
///
/// It is written against RFC 9112 and RFC 6455 and shares no code with the server it talks to.
public final class RawPeer: Sendable {
    public struct Ended: Error, CustomStringConvertible {
        public var description: String
    }

    /// A frame that the server sent (RFC 6455, 5.2).
    public struct Frame: Sendable, Equatable {
        public var opcode: UInt8
        public var payload: [UInt8]

        public init(opcode: UInt8, payload: [UInt8]) {
            self.opcode = opcode
            self.payload = payload
        }

        public var text: String { String(decoding: payload, as: UTF8.self) }
        /// The status code of a goodbye.
        public var closeCode: Int? {
            opcode == 8 && payload.count >= 2 ? Int(payload[0]) << 8 | Int(payload[1]) : nil
        }
    }

    private let channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>
    private let inbox: Inbox

    /// Connects to a port of this machine.
    public static func connect(_ port: Int) async throws -> RawPeer {
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return RawPeer(channel)
    }

    private init(_ channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>) {
        self.channel = channel
        inbox = Inbox()
        let inbox = inbox
        Task {
            try? await channel.executeThenClose { inbound, _ in
                do {
                    for try await piece in inbound { await inbox.append(Array(piece.readableBytesView)) }
                } catch {
                    // A reset is an end like any other here.
                }
                await inbox.end()
            }
            await inbox.end()
        }
    }

    public func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    public func send(_ bytes: [UInt8]) async throws {
        try await channel.channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    public func close() async { try? await channel.channel.close() }

    /// Whether the server has ended the connection; waits for it.
    public func isEnded() async -> Bool { await inbox.ended() }

    // MARK: HTTP

    /// The next head of a response, with its blank line.
    public func head() async throws -> String {
        String(decoding: try await inbox.take(through: Array("\r\n\r\n".utf8)), as: UTF8.self)
    }

    public func bytes(_ count: Int) async throws -> [UInt8] { try await inbox.take(count) }

    /// What has come, at least one byte.
    public func some() async throws -> [UInt8] { try await inbox.takeAll() }

    /// The next head, and a body of the length it says.
    public func response() async throws -> (head: String, body: String) {
        let head = try await head()
        let length = head.lowercased().split(separator: "\r\n").compactMap { line in
            line.hasPrefix("content-length: ") ? Int(line.dropFirst(16)) : nil
        }.first
        return (head, String(decoding: try await bytes(length ?? 0), as: UTF8.self))
    }

    // MARK: WebSocket

    /// The handshake of RFC 6455, 1.3, with the key that stands there.
    /// - Returns: the head of the answer.
    public func openWebSocket(_ path: String, headers: [String] = []) async throws -> String {
        let lines =
            [
                "GET \(path) HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
            ] + headers
        try await send(lines.joined(separator: "\r\n") + "\r\n\r\n")
        return try await head()
    }

    /// Sends a masked frame.
    public func sendFrame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) async throws {
        var bytes: [UInt8] = [(isFinal ? 0x80 : 0) | opcode]
        switch payload.count {
        case ..<126: bytes.append(0x80 | UInt8(payload.count))
        case ..<65536: bytes += [0x80 | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default: bytes += [0x80 | 127] + (0..<8).reversed().map { UInt8(truncatingIfNeeded: payload.count >> ($0 * 8)) }
        }
        let mask: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
        bytes += mask
        bytes += payload.enumerated().map { $0.element ^ mask[$0.offset & 3] }
        try await send(bytes)
    }

    public func sendText(_ text: String) async throws { try await sendFrame(1, Array(text.utf8)) }

    /// The server's next frame.
    public func frame() async throws -> Frame {
        let start = try await inbox.take(2)
        guard start[0] & 0x80 != 0, start[1] & 0x80 == 0 else {
            throw Ended(description: "the server sent a piece of a message, or masked it")
        }
        var length = Int(start[1])
        if length == 126 { length = try await inbox.take(2).reduce(0) { $0 << 8 | Int($1) } }
        if length == 127 { length = try await inbox.take(8).reduce(0) { $0 << 8 | Int($1) } }
        return Frame(opcode: start[0] & 0x0F, payload: try await inbox.take(length))
    }

    /// The server's next text; pings before it are answered.
    public func text() async throws -> String {
        while true {
            let frame = try await frame()
            switch frame.opcode {
            case 1: return frame.text
            case 9: try await sendFrame(10, frame.payload)
            default: throw Ended(description: "a frame of opcode \(frame.opcode) came: \(frame.closeCode ?? 0)")
            }
        }
    }
}

/// What has come and was not taken yet.
private actor Inbox {
    private var bytes: [UInt8] = []
    private var isEnded = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func append(_ piece: [UInt8]) {
        bytes += piece
        wake()
    }

    func end() {
        isEnded = true
        wake()
    }

    private func wake() {
        for continuation in waiting { continuation.resume() }
        waiting = []
    }

    private func more() async throws {
        guard !isEnded else {
            throw RawPeer.Ended(description: "the connection ended after \(String(decoding: bytes, as: UTF8.self))")
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    func take(_ count: Int) async throws -> [UInt8] {
        while bytes.count < count { try await more() }
        defer { bytes.removeFirst(count) }
        return Array(bytes.prefix(count))
    }

    func takeAll() async throws -> [UInt8] {
        while bytes.isEmpty { try await more() }
        defer { bytes = [] }
        return bytes
    }

    func take(through mark: [UInt8]) async throws -> [UInt8] {
        while true {
            if bytes.count >= mark.count,
                let end = (mark.count...bytes.count).first(where: { bytes[($0 - mark.count)..<$0].elementsEqual(mark) })
            {
                defer { bytes.removeFirst(end) }
                return Array(bytes.prefix(end))
            }
            try await more()
        }
    }

    func ended() async -> Bool {
        while !isEnded { await withCheckedContinuation { waiting.append($0) } }
        return true
    }
}
