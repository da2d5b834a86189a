internal import Cashu
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import NIOWebSocket
internal import Synchronization

/// One open WebSocket of a mint (NUT-17).
public protocol MintSocket: Sendable {
    /// Hands over each text message, one after the other, until the connection ends. Called once.
    /// - Throws: where it did not end with a goodbye.
    func read(_ handle: @Sendable @escaping ([UInt8]) async throws -> Void) async throws
    func send(_ text: [UInt8]) async throws
}

/// Why a mint's WebSocket is of no use now. Nothing hangs on it but how soon news come.
struct MintSocketError: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// Bounds of a wallet's WebSocket.
struct MintSocketLimits: Sendable {
    /// Until the handshake is done, TLS and all.
    var openSeconds: Int64 = 10
    /// Bytes of one message, in one frame or in several: a mint quote has some 700.
    var messageBytes = 64 * 1024
    /// How often a ping is sent; a mint that was silent since the last one is given up.
    var pingMilliseconds: Int64 = 20_000
}

/// The client's side of RFC 6455 over NIO, over TLS where the mint's address is https.
struct WebSocketClient: Sendable {
    var limits = MintSocketLimits()
    /// Whose certificates are believed.
    var tls = TLSConfiguration.makeClientConfiguration()

    private enum Opened: Sendable {
        case socket(NIOAsyncChannel<WebSocketFrame, WebSocketFrame>)
        case refused
    }

    /// Opens `/v1/ws` of a mint and keeps it open while `body` runs.
    /// - Throws: `MintSocketError` or an error of NIO where none comes about, or it breaks.
    func open(_ url: MintURL, _ body: @Sendable @escaping (any MintSocket) async throws -> Void) async throws {
        let address = try WebAddress(url.string, kind: "mint address", maximumBytes: 200)
        guard case .socket(let channel) = try await connect(to: address) else {
            throw MintSocketError("the mint opens no WebSocket")
        }
        let limits = limits
        try await channel.executeThenClose { inbound, outbound in
            try await body(OpenSocket(inbound: inbound, outbound: outbound, limits: limits))
            // RFC 6455, 7.1.1; whether it still arrives does not matter.
            try? await outbound.write(OpenSocket.frame(.connectionClose, [0x03, 0xE8]))
        }
    }

    private func connect(to address: WebAddress) async throws -> Opened {
        let context = address.scheme == "https" ? try NIOSSLContext(configuration: tls) : nil
        let host = address.host.hasPrefix("[") ? String(address.host.dropFirst().dropLast()) : address.host
        let limits = limits
        let result = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(.seconds(limits.openSeconds))
            .connect(host: host, port: address.effectivePort) { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let context {
                        let isNumber = (try? SocketAddress(ipAddress: host, port: 0)) != nil
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: context, serverHostname: isNumber ? nil : host)
                        )
                    }
                    let opened = try Self.shakeHands(channel, address, limits)
                    let late = channel.eventLoop.scheduleTask(in: .seconds(limits.openSeconds)) {
                        channel.close(promise: nil)
                    }
                    opened.whenComplete { _ in late.cancel() }
                    return opened
                }
            }
        return try await result.get()
    }

    private static func shakeHands(
        _ channel: any Channel,
        _ address: WebAddress,
        _ limits: MintSocketLimits
    ) throws -> EventLoopFuture<Opened> {
        let upgrader = NIOTypedWebSocketClientUpgrader<Opened>(
            maxFrameSize: limits.messageBytes,
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture {
                    .socket(try NIOAsyncChannel<WebSocketFrame, WebSocketFrame>(wrappingChannelSynchronously: channel))
                }
            }
        )
        let authority = String(address.origin.dropFirst(address.scheme.count + 3))
        var base = address.path
        while base.hasSuffix("/") { base.removeLast() }
        let head = HTTPRequestHead(
            version: .http1_1,
            method: .GET,
            uri: base + "/v1/ws",
            headers: ["host": authority, "content-length": "0"]
        )
        let upgrade = NIOTypedHTTPClientUpgradeConfiguration(
            upgradeRequestHead: head,
            upgraders: [upgrader],
            notUpgradingCompletionHandler: { channel in
                channel.close(promise: nil)
                return channel.eventLoop.makeSucceededFuture(.refused)
            }
        )
        var configuration = NIOUpgradableHTTPClientPipelineConfiguration(upgradeConfiguration: upgrade)
        // The mint's first message may come in the same packet as its answer.
        configuration.leftOverBytesStrategy = .forwardBytes
        return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(configuration: configuration)
    }
}

/// Whether anything came since the last ping.
private final class Heard: Sendable {
    private let flag = Atomic<Bool>(true)
    func note() { flag.store(true, ordering: .relaxed) }
    /// - Returns: what it was.
    func forget() -> Bool { flag.exchange(false, ordering: .relaxed) }
}

/// Puts messages together, answers pings, and gives up a mint that breaks the rules or falls silent.
private struct OpenSocket: MintSocket {
    let inbound: NIOAsyncChannelInboundStream<WebSocketFrame>
    let outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>
    let limits: MintSocketLimits

    func send(_ text: [UInt8]) async throws { try await outbound.write(Self.frame(.text, text)) }

    func read(_ handle: @Sendable @escaping ([UInt8]) async throws -> Void) async throws {
        let heard = Heard()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while true {
                    guard heard.forget() else {
                        throw MintSocketError("the mint does not answer a ping")
                    }
                    try await outbound.write(Self.frame(.ping, []))
                    try await Task.sleep(for: .milliseconds(limits.pingMilliseconds))
                }
            }
            group.addTask {
                var message: [UInt8]?
                for try await frame in inbound {
                    heard.note()
                    guard let whole = try await take(frame, &message) else { continue }
                    guard !whole.isEmpty else { return }
                    try await handle(whole)
                }
                throw MintSocketError("the connection ended without a goodbye")
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// - Returns: a whole message; an empty one for a goodbye; nil: more is to come.
    private func take(_ frame: WebSocketFrame, _ message: inout [UInt8]?) async throws -> [UInt8]? {
        // A server never masks, and no extension is agreed on (RFC 6455, 5.1 and 5.2).
        guard frame.maskKey == nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
            throw MintSocketError("a frame is masked, or uses a reserved bit")
        }
        let bytes = [UInt8](frame.data.readableBytesView)
        switch (frame.opcode, message) {
        case (.ping, _): try await outbound.write(Self.frame(.pong, bytes))
        case (.pong, _): break
        case (.connectionClose, _): return []
        case (.text, nil): message = bytes
        case (.continuation, let earlier?): message = earlier + bytes
        default: throw MintSocketError("a frame is out of order, or not text")
        }
        guard let text = message, frame.opcode == .text || frame.opcode == .continuation else { return nil }
        guard text.count <= limits.messageBytes else {
            throw MintSocketError("a message has more than \(limits.messageBytes) bytes")
        }
        guard frame.fin else { return nil }
        message = nil
        return text.isEmpty ? nil : text
    }

    static func frame(_ opcode: WebSocketOpcode, _ bytes: [UInt8]) -> WebSocketFrame {
        // A client masks (RFC 6455, 5.3); the encoder does it.
        WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(), data: ByteBuffer(bytes: bytes))
    }
}
