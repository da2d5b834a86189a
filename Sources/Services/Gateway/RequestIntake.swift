import Cryptography
import HTTPTypes
import Hummingbird
import NIOCore
import Paywall
import Synchronization

/// A request's body as the gateway holds it: whole where it is short, else a stream in bounded memory.
enum IntakeBody: Sendable {
    case none
    case whole(ByteBuffer, sha256: [UInt8])
    case long(LongBody)

    /// SHA-256 of no bytes.
    static let emptyDigest = Hashing.sha256([])

    /// The digest for scope and receipt, as far as it is known or promised.
    var digest: BodyDigest {
        switch self {
        case .none: .sha256(Self.emptyDigest)
        case .whole(_, let digest): .sha256(digest)
        case .long(let body):
            body.promisedDigest.map { .sha256($0) } ?? .unread(length: body.declaredLength.map(UInt64.init))
        }
    }

    var knownDigest: [UInt8]? {
        if case .sha256(let digest) = digest { return digest }
        return nil
    }

    var fact: BodyFact {
        switch self {
        case .none: .none
        case .whole(_, let digest): .digest(digest)
        case .long(let body): body.promisedDigest.map { .promised($0) } ?? .unread
        }
    }

    /// Whether the buyer may still be sending it while the upstream works.
    var isPaced: Bool {
        if case .long = self { return true }
        return false
    }

    /// How much of it has come so far, in bytes.
    var receivedBytes: Int64 {
        switch self {
        case .none: 0
        case .whole(let buffer, _): Int64(buffer.readableBytes)
        case .long(let body): body.received.withLock { $0 }
        }
    }

    /// Stops reading, and waits until nothing reads any more: the connection's next request must find it free.
    func abandon() async {
        if case .long(let body) = self { await body.abandon() }
    }
}

/// A number that one task counts and another reads.
final class SharedCount: Sendable {
    private let count = Mutex<Int64>(0)
    func withLock<T: Sendable>(_ body: (inout sending Int64) -> sending T) -> T { count.withLock(body) }
}

/// A body that is passed on while it is read. A task reads it from the client, counts and hashes, and hands it over piece
/// by piece; a few pieces are in memory at a time.
struct LongBody: Sendable {
    /// What the upstream's client reads; ends with an error where the body breaks its promises.
    let stream: PieceChannel
    let pump: Task<Void, Never>
    /// `Content-Length`, where there is one.
    let declaredLength: Int64?
    /// From `Content-Digest`.
    let promisedDigest: [UInt8]?
    /// How much was read.
    let received: SharedCount

    /// Wants no more of it. A client that is still sending would not see an answer on a connection that is closed in
    /// its face, so a rest of moderate size is read and dropped, for a moderate time.
    func abandon() async {
        stream.close()
        let impatience = Task {
            try? await Task.sleep(for: .seconds(RequestIntake.drainSeconds))
            pump.cancel()
        }
        await pump.value
        impatience.cancel()
    }
}

/// Reads a request's body up to what can be held, and turns the rest into a stream.
struct RequestIntake: Sendable {
    /// Bodies up to this are read before the call, so that their digest can be part of its identity.
    static let wholeLimitBytes = 1 << 20

    /// How much of a body that nobody wants is read and dropped, and for how long.
    static let drainLimitBytes = 8 << 20
    static let drainSeconds: Int64 = 5

    /// The longest body the service takes.
    var limitBytes: Int64
    /// From `Content-Digest`; nil where there is none.
    var promisedDigest: [UInt8]?
    /// How long it may take to come whole, or as far as is read before the call, in seconds; and between two pieces after it.
    var totalSeconds: Int64 = 300
    var idleSeconds: Int64 = 30

    /// - Throws: ``CallRefusal`` 413, 408 and 400; the connection's own errors.
    func read(_ request: Request) async throws -> IntakeBody {
        let declared = try Self.declaredLength(request.headers)
        if let declared, declared > limitBytes { throw tooLarge }
        if declared == 0 || (declared == nil && request.headers[.transferEncoding] == nil) {
            // No body by the rules of HTTP/1.1; nothing is read, so that a request without one costs nothing.
            return try finished(ByteBuffer(), declared: 0)
        }
        let isLate = Atomic(false)
        let reading = Task { try await collect(request, declared: declared) }
        let watch = Task {
            try await Task.sleep(for: .seconds(min(totalSeconds, Self.wholeSeconds)))
            isLate.store(true, ordering: .relaxed)
            reading.cancel()
        }
        defer { watch.cancel() }
        do {
            return try await withTaskCancellationHandler {
                try await reading.value
            } onCancel: {
                reading.cancel()
            }
        } catch {
            throw isLate.load(ordering: .relaxed) ? Self.late : error
        }
    }

    /// How long the part that is read before the call may take, in seconds: a megabyte at the pace of a poor connection.
    static let wholeSeconds: Int64 = 60

    static let late = CallRefusal(
        .requestTimeout,
        status: 408,
        "The request's body did not come in time. Nothing was taken."
    )

    private func collect(_ request: Request, declared: Int64?) async throws -> IntakeBody {
        var iterator = request.body.makeAsyncIterator()
        var collected = ByteBuffer()
        while let piece = try await iterator.next() {
            collected.writeImmutableBuffer(piece)
            guard collected.readableBytes <= limitBytes else { throw tooLarge }
            if collected.readableBytes > Self.wholeLimitBytes {
                return .long(stream(collected, then: iterator, declared: declared))
            }
        }
        return try finished(collected, declared: declared)
    }

    private var tooLarge: CallRefusal {
        CallRefusal(.bodyTooLarge, "The request's body is longer than the \(limitBytes) bytes this service takes.")
    }

    private func finished(_ body: ByteBuffer, declared: Int64?) throws(CallRefusal) -> IntakeBody {
        if let declared, declared != body.readableBytes { throw Self.truncated }
        let digest = body.readableBytes == 0 ? IntakeBody.emptyDigest : Hashing.sha256(Array(body.readableBytesView))
        if let promisedDigest, promisedDigest != digest { throw Self.mismatch }
        return body.readableBytes == 0 ? .none : .whole(body, sha256: digest)
    }

    static let truncated = CallRefusal(.malformedRequest, "The request's body ended before its announced length.")
    static let mismatch = CallRefusal(
        .contentDigestMismatch,
        "The request's body is not the one that Content-Digest names. Nothing was taken."
    )

    static func declaredLength(_ headers: HTTPFields) throws(CallRefusal) -> Int64? {
        let values = headers[values: .contentLength]
        guard let first = values.first else { return nil }
        guard values.allSatisfy({ $0 == first }), !first.isEmpty, first.utf8.allSatisfy({ (48...57).contains($0) }),
            let length = Int64(first), headers[.transferEncoding] == nil
        else {
            throw CallRefusal(.malformedRequest, "The request's length is announced in two ways, or not as a number.")
        }
        return length
    }

    private func stream(
        _ head: ByteBuffer,
        then iterator: sending RequestBody.AsyncIterator,
        declared: Int64?
    ) -> LongBody {
        let channel = PieceChannel()
        let limitBytes = limitBytes
        let promised = promisedDigest
        let tooLarge = tooLarge
        let pace = PaceWatch(seconds: idleSeconds) { channel.finish(Self.late) }
        let received = SharedCount()
        received.withLock { $0 = Int64(head.readableBytes) }
        let pump = Task {
            defer { pace.end() }
            var iterator = iterator
            var count = Int64(head.readableBytes)
            var hash = SHA256Stream()
            if promised != nil { head.withUnsafeReadableBytes { hash.update($0) } }
            do {
                var isWanted = await channel.send(head)
                var unwanted = 0
                while unwanted < Self.drainLimitBytes, !pace.isOver {
                    pace.waits(true)
                    guard let piece = try await iterator.next() else { break }
                    pace.waits(false)
                    guard isWanted else {
                        unwanted += piece.readableBytes
                        continue
                    }
                    count += Int64(piece.readableBytes)
                    guard count <= limitBytes else { throw tooLarge }
                    let sum = count
                    received.withLock { $0 = sum }
                    if promised != nil { piece.withUnsafeReadableBytes { hash.update($0) } }
                    isWanted = await channel.send(piece)
                }
                guard isWanted else { return }
                if let declared, declared != count { throw Self.truncated }
                if let promised, hash.finalize() != promised { throw Self.mismatch }
                channel.finish()
            } catch {
                channel.finish(error)
            }
        }
        pace.begin(pump)
        return LongBody(
            stream: channel,
            pump: pump,
            declaredLength: declared,
            promisedDigest: promised,
            received: received
        )
    }
}

/// Ends a body whose sender stops in the middle. Time in which nobody reads, because the upstream is slow, does not count.
private final class PaceWatch: Sendable {
    private struct State {
        var waitingSince: NIODeadline? = .now()
        var isOver = false
        var watch: Task<Void, Never>?
    }

    private let seconds: Int64
    private let late: @Sendable () -> Void
    private let state = Mutex(State())

    /// - Parameter late: called once where the sender is too slow, before the pump is cancelled.
    init(seconds: Int64, late: @escaping @Sendable () -> Void) {
        self.seconds = seconds
        self.late = late
    }

    var isOver: Bool { state.withLock { $0.isOver } }

    func waits(_ waits: Bool) {
        state.withLock { $0.waitingSince = waits ? .now() : nil }
    }

    func begin(_ pump: Task<Void, Never>) {
        let limit = TimeAmount.seconds(seconds)
        let watch = Task { [self] in
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(min(1, seconds)))
                let isLate = state.withLock { state in
                    guard !state.isOver, let since = state.waitingSince, NIODeadline.now() - since > limit else {
                        return false
                    }
                    state.isOver = true
                    return true
                }
                guard isLate else { continue }
                late()
                pump.cancel()
                return
            }
        }
        state.withLock { state in
            if state.isOver { watch.cancel() } else { state.watch = watch }
        }
    }

    func end() {
        state.withLock { state in
            state.isOver = true
            return state.watch
        }?.cancel()
    }
}
