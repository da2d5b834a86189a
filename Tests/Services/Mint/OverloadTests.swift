import CanonicalJSON
import Cashu
import Foundation
import Mint
import NIOCore
import Synchronization
import TestSockets
import TestSupport
import Testing
import Workers

/// More than the mint can do: 503 with `Retry-After` at once, nothing lost, and the rest of the server unmoved.
@Suite struct OverloadTests {
    /// Holds a pool's threads until the test lets go.
    private final class Plug: Sendable {
        private let wait = DispatchSemaphore(value: 0)
        private let running = Mutex(0)

        func hold(_ pool: WorkerPool, threads: Int) async {
            for _ in 0..<threads {
                Task {
                    try await pool.run {
                        self.running.withLock { $0 += 1 }
                        self.wait.wait()
                    }
                }
            }
            while running.withLock({ $0 }) < threads { await Task.yield() }
        }

        func release(_ threads: Int) {
            for _ in 0..<threads { wait.signal() }
        }
    }

    @Test("With every worker busy and the queue full a swap is 503 at once; what waited is done afterwards")
    func blockedWorkers() async throws {
        let fixture = try await MintFixture(workers: 1, queueLimit: 4)
        let proofs = try await fixture.issue([8, 8, 8, 8, 8])
        let bodies = try proofs.map { try fixture.swapBody([$0], fixture.secrets([8])) }
        try await fixture.serve { client in
            let plug = Plug()
            await plug.hold(fixture.workers, threads: 1)
            let waiting = bodies.prefix(3).map { body in Task { try await client.post("swap", body) } }
            while fixture.workers.load < 4 { await Task.yield() }
            for body in bodies.suffix(2) {
                let refused = try await client.post("swap", body)
                #expect(refused.status == 503)
                #expect(refused.retryAfter == "1")
                #expect(refused.detail?.isEmpty == false)
            }
            // What needs no worker is answered although all of them are held.
            #expect(try await client.get("keysets").status == 200)
            #expect(try await client.get("info").status == 200)
            #expect(fixture.workers.load == 4)
            plug.release(1)
            for task in waiting { #expect(try await task.value.status == 200) }
            // What was refused was not begun, so the same request succeeds now.
            for body in bodies.suffix(2) { #expect(try await client.post("swap", body).status == 200) }
        }
        try await fixture.requireSound()
    }

    @Test("Work that waited too long is not begun")
    func tooLate() async throws {
        let clock = Clock()
        let pool = WorkerPool(threads: 1, queueLimit: 8, waitLimitMilliseconds: 2000) { clock.now }
        let plug = Plug()
        await plug.hold(pool, threads: 1)
        let begun = Clock()
        let late = Task { try await pool.run { begun.advance(1) } }
        while pool.load < 2 { await Task.yield() }
        clock.advance(2_000_000_001)
        plug.release(1)
        let refusal = await #expect(throws: WorkerPoolError.self) { try await late.value }
        #expect(refusal?.code == .overloaded)
        #expect(begun.now == 0)
        #expect(try await pool.run { 7 } == 7)
        await pool.stop()
    }

    private final class Clock: Sendable {
        private let time = Mutex<UInt64>(0)
        var now: UInt64 { time.withLock { $0 } }
        func advance(_ nanoseconds: UInt64) { time.withLock { $0 += nanoseconds } }
    }

    @Test("Bodies of all requests together are bounded: over it 503, and small requests go on once others end")
    func bodyBudget() async throws {
        var configuration = MintConfiguration()
        configuration.limits.bodyBytes = 64 * 1024
        configuration.limits.bodyBytesAtOnce = 100 * 1024
        let fixture = try await MintFixture(configuration)
        let proofs = try await fixture.issue([8])
        let body = try fixture.swapBody(proofs, fixture.secrets([8]))
        try await fixture.serve { client in
            // Two requests that never end: the second asks for more than is left.
            let first = try await RawPeer.connect(client.port)
            let head = "POST /mint/v1/swap HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n"
            try await first.send(head)
            try await first.send([UInt8](repeating: 0x20, count: 60 * 1024))
            while try fixture.mint.bodyBytesHeld < 60 * 1024 { await Task.yield() }
            let second = try await RawPeer.connect(client.port)
            try await second.send(head)
            try await second.send([UInt8](repeating: 0x20, count: 60 * 1024))
            let refused = try await second.response()
            #expect(refused.head.hasPrefix("HTTP/1.1 503"))
            #expect(refused.head.lowercased().contains("retry-after: 1"))
            #expect(try await client.post("swap", body).status == 200)
            await first.close()
            await second.close()
            while try fixture.mint.bodyBytesHeld > 0 { await Task.yield() }
        }
    }
}
