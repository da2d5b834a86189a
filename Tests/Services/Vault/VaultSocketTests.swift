import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Foundation
import Identity
import Mint
import NIOCore
import NIOPosix
import SignedDocuments
import Synchronization
import TestSupport
import Testing
import Workers

@testable import Vault

/// The protocol over the real socket, with clients that keep to it and clients that do not.
@Suite("Vault over its socket")
struct VaultSocketTests {
    private let bench: VaultBench
    private static let note = Array("node.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".utf8)

    init() throws {
        bench = try VaultBench()
    }

    /// A point whose product with a key is that key's own public key.
    private static var point: Secp256k1.Point {
        get throws {
            Secp256k1.Point(multiplyingGeneratorBy: try Secp256k1.Scalar(bytes: [UInt8](repeating: 0, count: 31) + [1]))
        }
    }

    private func signs(_ vault: SocketVault) -> Bool { (try? vault.node.key.sign(.note(Self.note))) != nil }

    private func code(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch let error as VaultError {
            return error.code.rawValue
        } catch let error as DocumentError {
            return error.code.rawValue
        } catch {
            return "\(error)"
        }
    }

    @Test("VLT-1: the socket is its owner's alone, and so must its folder be")
    func modes() async throws {
        try await bench.serving { _, _ in
            let facts = try FileManager.default.attributesOfItem(atPath: bench.path)
            #expect((facts[.posixPermissions] as? NSNumber)?.intValue == 0o600)
        }
        let open = try VaultBench(seed: 2)
        try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: open.folder.path)
        #expect(await code { _ = try await open.listen() } == "failed")
        #expect(!FileManager.default.fileExists(atPath: open.path))
    }

    @Test("VLT-3: another version, a stranger's bytes, or a request before the hello: told why, and the line is ended")
    func greetings() async throws {
        try await bench.serving { _, vault in
            let magic = VaultRequest.magic
            for (body, expected) in [(magic + [9, 0, 1, 2], "wrong-version"), (magic + [0], "wrong-version")] {
                let raw = try await RawClient(bench.path)
                try await raw.send(VaultFrame(id: 7, kind: .hello, isAnswer: false, body: body))
                #expect(try await raw.next()?.failure == expected)
                #expect(try await raw.isEnded())
            }
            let stranger = try await RawClient(bench.path)
            try await stranger.send(bytes: Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
            #expect(try await stranger.next()?.failure == "malformed")
            #expect(try await stranger.isEnded())
            let hasty = try await RawClient(bench.path)
            try await hasty.send(VaultFrame(id: 1, kind: .status, isAnswer: false, body: []))
            #expect(try await hasty.next()?.failure == "malformed")
            #expect(try await hasty.isEnded())
            #expect(signs(vault))
        }
    }

    @Test("VLT-2: a frame over the limit ends the line before it is kept; a torn or bent one too; the node goes on")
    func frames() async throws {
        // Room for all: a line that was ended may hold its place a little longer.
        try await bench.serving(VaultLimits(connections: 32)) { _, vault in
            for bytes: [UInt8] in [
                [0x00, 0x10, 0x00, 0x01], [0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 4, 1, 2, 3, 4], [0, 0, 0, 0],
            ] {
                let raw = try await RawClient(bench.path)
                try await raw.greet(.keeper)
                try await raw.send(bytes: bytes)
                #expect(try await raw.next()?.failure == "malformed")
                #expect(try await raw.isEnded())
            }
            for (kind, body): (VaultFrame.Kind, [UInt8]) in [
                (.status, [1]), (.unlock, [0, 0, 4, 1]), (.failure, []), (.hello, VaultRequest.magic + [1, 0]),
            ] {
                let raw = try await RawClient(bench.path)
                try await raw.greet(.keeper)
                try await raw.send(VaultFrame(id: 3, kind: kind, isAnswer: false, body: body))
                #expect(try await raw.next()?.failure == "malformed", "\(kind)")
            }
            // Of a frame that never ends nothing more than itself is kept, and its line takes nobody's place for long.
            let torn = try await RawClient(bench.path)
            try await torn.greet(.keeper)
            try await torn.send(bytes: [0, 0, 1, 0, 0, 0])
            #expect(signs(vault))
        }
    }

    @Test("VLT-4: one node at a time; the next is let in when the first has gone")
    func oneNode() async throws {
        try await bench.serving { _, vault in
            #expect(
                await code {
                    _ = try await SocketVault.open(path: bench.path, patienceSeconds: 0, logger: VaultBench.quiet)
                } == "in-use"
            )
            #expect(signs(vault))
            await vault.close()
            let next = try await bench.connect()
            #expect(signs(next))
            #expect(!signs(vault))
            await next.close()
        }
    }

    @Test("VLT-8: the operator has nothing signed, and a node locks nothing")
    func roles() async throws {
        try await bench.serving { _, vault in
            let raw = try await RawClient(bench.path)
            try await raw.greet(.keeper)
            try await raw.send(.sign(.node, .note(Self.note)))
            #expect(try await raw.next()?.failure == "not-permitted")
            try await raw.send(.batch(SignatoryBatch()))
            #expect(try await raw.next()?.failure == "not-permitted")
            for request in [VaultRequest.lock, .unlock(VaultBench.passphrase)] {
                #expect(await code { _ = try await vault.line.send(request).get() } == "not-permitted")
            }
            #expect(signs(vault))
        }
    }

    @Test("VLT-7: a locked vault signs nothing; a wrong passphrase is counted; the right one brings the node back")
    func locking() async throws {
        try await bench.serving { _, vault in
            let control = try await VaultOperator.open(path: bench.path, logger: VaultBench.quiet)
            try await control.lock()
            try await VaultBench.until("the node knows") { !vault.node.key.isAvailable }
            #expect(await code { _ = try vault.node.key.sign(.note(Self.note)) } == "key-unavailable")
            let signatory = SocketSignatory(vault, workers: bench.workers)
            await #expect(throws: SignatoryUnavailable.self) {
                _ = try await signatory.add(KeysetPlan(unit: .sat, counter: 0, inputFeePPK: 0, finalExpiry: nil))
            }
            // A node that comes to a locked vault waits, and is told what for.
            #expect(
                await code {
                    _ = try await SocketVault.open(path: bench.path, patienceSeconds: 0, logger: VaultBench.quiet)
                } == "locked"
            )
            #expect(await code { try await control.unlock(Array("wrong horse".utf8)) } == "wrong-passphrase")
            let status = try await control.status()
            #expect(status["isLocked"] == true && status["wrongPassphrases"] == 1)
            #expect(status["node"]?.stringValue == vault.node.did.string)
            try await control.unlock(VaultBench.passphrase)
            try await VaultBench.until("the node is back") { signs(vault) }
            await control.close()
        }
    }

    @Test("VLT-7: passphrases cannot be tried faster than two a second")
    func guessing() async throws {
        let clock = Mutex<UInt64>(1)
        let keeper = try bench.keeper(uptime: { clock.withLock { $0 } })
        var codes: [String?] = []
        for _ in 0..<4 { codes.append(await code { try await keeper.unlock(Array("guess number".utf8)) }) }
        #expect(codes == ["wrong-passphrase", "wrong-passphrase", "busy", "busy"])
    }

    @Test("VLT-9: a vault that dies fails what waits, is refused at once while away, and serves again when it is back")
    func restart() async throws {
        let first = try await bench.listen()
        let vault = try await bench.connect()
        let signatory = SocketSignatory(vault, workers: bench.workers)
        let keyset = try await signatory.add(KeysetPlan(unit: .sat, counter: 0, inputFeePPK: 0, finalExpiry: nil))
        let output = BlindedMessage(amount: 4, keysetID: keyset.id, blindedSecret: try Self.point)
        let before = try await signatory.sign([output])
        await first.close()
        try await VaultBench.until("the line is down") { !vault.node.key.isAvailable }
        #expect(await code { _ = try vault.node.key.sign(.note(Self.note)) } == "key-unavailable")
        await #expect(throws: SignatoryUnavailable.self) { _ = try await signatory.sign([output]) }
        let second = try await bench.listen()
        try await VaultBench.until("the line is up") { signs(vault) }
        // The new process knows no keyset until it is told again, which nobody notices.
        let after = try await signatory.sign([output])
        #expect(after.map(\.signature) == before.map(\.signature))
        #expect(await code { _ = try await signatory.sign([Self.foreign(output)]) }?.contains("12001") == true)
        await vault.close()
        await second.close()
    }

    private static func foreign(_ output: BlindedMessage) throws -> BlindedMessage {
        var output = output
        output.keysetID = try KeysetID(bytes: [1] + [UInt8](repeating: 7, count: 32))
        return output
    }

    @Test("a vault with another node's keys in its place is not taken for the node's")
    func foreignVault() async throws {
        let first = try await bench.listen()
        let vault = try await bench.connect()
        await first.close()
        let other = try VaultBench(seed: 9)
        let second = try await VaultServer.listen(at: bench.path, keeper: try other.keeper())
        try await VaultBench.until("it has tried") {
            do {
                _ = try vault.node.key.sign(.note(Self.note))
                return true
            } catch { return "\(error)".contains("holds the keys of") }
        }
        #expect(!vault.node.key.isAvailable && !signs(vault))
        await vault.close()
        await second.close()
    }

    @Test("VLT-9: a vault that hangs is given up, once; what asks later is refused at once")
    func hanging() async throws {
        let silent = try await SilentVault.listen(
            at: bench.path,
            did: bench.keys.node.did.string,
            p256: bench.keys.p256.did
        )
        let vault = try await SocketVault.open(
            path: bench.path,
            patienceSeconds: 5,
            answerMilliseconds: 100,
            logger: VaultBench.quiet
        )
        #expect(await code { _ = try vault.node.key.sign(.note(Self.note)) } == "key-unavailable")
        try await VaultBench.until("it is given up") { !vault.node.key.isAvailable || silent.greetings > 1 }
        await vault.close()
        try await silent.channel.close()
    }

    @Test("many requests are under way at once, and each gets its own answer")
    func pipelining() async throws {
        try await bench.serving { _, vault in
            let signatory = SocketSignatory(vault, workers: bench.workers)
            let keyset = try await signatory.add(KeysetPlan(unit: .sat, counter: 0, inputFeePPK: 0, finalExpiry: nil))
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in UInt64(0)..<64 {
                    group.addTask {
                        let output = BlindedMessage(
                            amount: 1 << (number % 20),
                            keysetID: keyset.id,
                            blindedSecret: try Self.point
                        )
                        let promise = try await signatory.sign([output])[0]
                        return promise.amount == output.amount
                            && promise.signature == keyset.keys[output.amount]?.compressed
                    }
                }
                for try await isRight in group { #expect(isRight) }
            }
        }
    }

    @Test("VLT-10: more connections than the limit are turned away")
    func crowd() async throws {
        try await bench.serving(VaultLimits(connections: 2)) { _, vault in
            let second = try await RawClient(bench.path)
            try await second.greet(.keeper)
            let third = try await RawClient(bench.path)
            #expect(try await third.next()?.failure == "busy")
            #expect(signs(vault))
        }
    }
}

extension VaultFrame {
    /// The code of a failure; nil for another answer.
    fileprivate var failure: String? {
        guard case .failure(let code, _, _)? = try? VaultReply(self) else { return nil }
        return code
    }
}

/// A client that sends what the test says.
private final class RawClient: Sendable {
    private let stream: NIOAsyncChannel<ByteBuffer, ByteBuffer>
    private let received = Mutex(ByteBuffer())
    private let incoming: AsyncStream<ByteBuffer>
    private let pump: Task<Void, Never>
    private let outgoing: AsyncStream<ByteBuffer>.Continuation

    init(_ path: String) async throws {
        let stream = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(unixDomainSocketPath: path) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        self.stream = stream
        let (incoming, arrived) = AsyncStream<ByteBuffer>.makeStream()
        let (toSend, outgoing) = AsyncStream<ByteBuffer>.makeStream()
        self.incoming = incoming
        self.outgoing = outgoing
        pump = Task {
            try? await stream.executeThenClose { inbound, outbound in
                async let sending: Void = {
                    for await buffer in toSend { try? await outbound.write(buffer) }
                }()
                do {
                    for try await buffer in inbound { arrived.yield(buffer) }
                } catch {}
                arrived.finish()
                outgoing.finish()
                await sending
            }
        }
    }

    deinit {
        outgoing.finish()
        pump.cancel()
        stream.channel.close(promise: nil)
    }

    func send(bytes: [UInt8]) async throws { outgoing.yield(ByteBuffer(bytes: bytes)) }

    func send(_ frame: VaultFrame) async throws {
        var buffer = ByteBuffer()
        try frame.write(to: &buffer)
        outgoing.yield(buffer)
    }

    func send(_ request: VaultRequest) async throws {
        try await send(VaultFrame(id: 5, kind: request.kind, isAnswer: false, body: request.body))
    }

    func greet(_ role: VaultRole) async throws {
        try await send(.hello(version: VaultFrame.version, role: role))
        guard let frame = try await next(), case .hello = try VaultReply(frame) else {
            throw VaultBench.Late(what: "a greeting")
        }
    }

    /// The next frame; nil at the end.
    func next() async throws -> VaultFrame? {
        while true {
            if let frame = try received.withLock({ try VaultFrame(from: &$0) }) { return frame }
            var iterator = incoming.makeAsyncIterator()
            guard var more = await iterator.next() else { return nil }
            received.withLock { _ = $0.writeBuffer(&more) }
        }
    }

    func isEnded() async throws -> Bool { try await next() == nil }
}

/// Greets and then never answers.
private final class SilentVault: Sendable {
    let channel: any Channel
    private let count: Counter

    final class Counter: Sendable {
        let value = Mutex(0)
    }

    var greetings: Int { count.value.withLock { $0 } }

    private init(channel: any Channel, count: Counter) {
        self.channel = channel
        self.count = count
    }

    static func listen(at path: String, did: String, p256: DIDKey) async throws -> SilentVault {
        let count = Counter()
        let greeting = VaultGreeting(isLocked: false, node: did, p256: p256.string)
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Greeter(greeting: greeting, count: count))
                }
            }
            .bind(unixDomainSocketPath: path).get()
        return SilentVault(channel: channel, count: count)
    }

    private final class Greeter: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        let greeting: VaultGreeting
        let count: Counter

        init(greeting: VaultGreeting, count: Counter) {
            self.greeting = greeting
            self.count = count
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var buffer = unwrapInboundIn(data)
            guard let frame = try? VaultFrame(from: &buffer), frame.kind == VaultFrame.Kind.hello.rawValue else {
                return
            }
            count.value.withLock { $0 += 1 }
            var answer = ByteBuffer()
            try? VaultReply.hello(greeting).frame(answering: frame.id).write(to: &answer)
            context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
        }
    }
}
