import AsyncHTTPClient
import CFaultyDisk
import CanonicalJSON
import Foundation
import NIOCore
import NIOHTTP1
import Node
import Storage
import TestSupport
import Testing

/// A disk that fails under a whole node: it stops taking money and says why; after the restart nothing is lost.
@Suite("A failing disk under a node", .serialized)
struct DiskFaultTests {
    /// The seller in this process, where its disk can be made to fail.
    private func whileSelling(_ world: World, _ body: () async throws -> Void) async throws {
        let directory = world.seller.directory
        let configuration = try NodeConfiguration.load(dataDirectory: directory)
        let secret = try String(contentsOfFile: directory + "/passphrase", encoding: .utf8)
        let passphrase = Array(secret.trimmingCharacters(in: .newlines).utf8)
        let node = try await Node.open(configuration, passphrase: passphrase)
        try await node.whileRunning(.everything, body)
    }

    /// Gives the database's files new inodes and forgets their shared memory, as a crash does: within this process SQLite
    /// would go on with what the failed connections, which never close, had in memory.
    private func renewFiles(in directory: String) throws {
        let files = FileManager.default
        for name in ["node.sqlite", "node.sqlite-wal"] {
            let path = directory + "/" + name
            try files.copyItem(atPath: path, toPath: path + ".new")
            try files.removeItem(atPath: path)
            try files.moveItem(atPath: path + ".new", toPath: path)
        }
        try files.removeItem(atPath: directory + "/node.sqlite-shm")
    }

    private func requestMintQuote(_ world: World) async throws -> PlainAnswer {
        var request = HTTPClientRequest(url: world.seller.url + "/mint/v1/mint/quote/bolt11")
        request.method = .POST
        request.body = .bytes(Array(#"{"amount":1,"unit":"sat"}"#.utf8))
        let response = try await world.http.execute(request, timeout: .seconds(30))
        let body = [UInt8](buffer: try await response.body.collect(upTo: 1 << 20))
        return PlainAnswer(status: Int(response.status.code), headers: response.headers, body: body)
    }

    private func expectStopped(_ world: World, code: String, says: String) async throws {
        let health = try await world.get(world.seller.url + "/health")
        #expect(health.status == 503 && health.code == code, "\(health.text)")
        #expect(health.text.contains(says) && !health.text.contains(world.folder.path), "\(health.text)")
        #expect(health.headers.first(name: "Retry-After") != nil)
        let quote = try await requestMintQuote(world)
        #expect(quote.status == 503 && quote.headers.first(name: "Retry-After") != nil, "\(quote.text)")
        let call = try await world.buyer.pay(
            "\(world.seller.url)/s/weather/now/call?key=stopped-\(code)",
            key: "stopped-\(code)"
        )
        #expect(call.status != 200, "\(call)")
        #expect(world.upstream.calls("stopped-\(code)") == 0)
    }

    @Test("No room, and later an fsync that fails: no money is taken, /health says why, and a restart loses nothing")
    func wholeNode() async throws {
        #expect(faulty_disk_install() == 0)
        try await World.with(starts: false) { world in
            try await world.buyer.start()
            let place = world.seller.directory + "/"
            try await whileSelling(world) {
                let service: JSONValue = [
                    "name": "weather", "upstream": .string("http://127.0.0.1:\(world.upstreamPort)"),
                    "prices": [["path": "/*", "amount": "2"]],
                ]
                #expect(try await world.seller.call(.POST, "/api/services", service).status == 201)
                #expect(try await world.fund(128).status == 200)
                let paid = try await world.buyer.pay("\(world.seller.url)/s/weather/now/call?key=a", key: "a")
                #expect(paid.status == 200, "\(paid)")

                #expect(faulty_disk_arm(place, "-wal", FAULTY_DISK_WRITE, FAULTY_DISK_ENOSPC, 0, -1) == 1)
                #expect(try await world.fund(8).status != 200)
                try await expectStopped(world, code: "storage-full", says: "full")
                #expect(faulty_disk_disarm(place) > 0)
                #expect(try await world.get(world.seller.url + "/health").status == 200)
                #expect(try await world.fund(16).status == 200)

                #expect(faulty_disk_arm(place, "-wal", FAULTY_DISK_SYNC, FAULTY_DISK_LOST_SYNC, 0, 1) == 1)
                #expect(try await world.fund(32).status != 200)
                #expect(faulty_disk_disarm(place) == 1)
                // The disk works again, and is not trusted.
                try await expectStopped(world, code: "storage-io-failure", says: "started again")
            }
            // As after a crash: the next process reads the log anew.
            for _ in 0..<500 where DataDirectory.isHeld(path: world.seller.directory) {
                try await Task.sleep(for: .milliseconds(10))
            }
            try renewFiles(in: world.seller.directory)
            try await world.seller.start()
            #expect(try await world.get(world.seller.url + "/health").status == 200)
            _ = try await world.buyer.call(.POST, "/api/payments/resume", [:])
            let deadline = ContinuousClock.now + .seconds(30)
            var seller = try Books(world.seller).sums()
            var buyer = try Books(world.buyer).sums()
            while ContinuousClock.now < deadline {
                for quote in try Books(world.buyer).texts(
                    "SELECT quote FROM wallet_fundings WHERE state IN ('open', 'paying')"
                ) {
                    _ = try? await world.buyer.call(.POST, "/api/wallet/fund/\(quote)")
                }
                seller = try Books(world.seller).sums()
                buyer = try Books(world.buyer).sums()
                if seller.unissued == 0, seller.circulating == buyer.wallet + seller.wallet + seller.unredeemed {
                    break
                }
                try await Task.sleep(for: .milliseconds(100))
            }
            let payments = try Books(world.buyer).texts(
                "SELECT idempotency_key || ' ' || state || ' ' || amount FROM wallet_payments"
            )
            #expect(
                seller.circulating == buyer.wallet + seller.wallet + seller.unredeemed,
                "\(seller)\n\(buyer)\n\(payments)"
            )
            #expect(try world.paidOverLightning() == seller.circulating + seller.unissued)
            #expect(seller.losses + buyer.losses == 0)
            let again = try await world.buyer.pay("\(world.seller.url)/s/weather/now/call?key=b", key: "b")
            #expect(again.status == 200, "\(again)")
            for node in [world.seller, world.buyer] {
                let audit = try await node.command("status", "--audit", "--json")
                #expect(audit.status == 0, "\(audit)")
            }
        }
    }
}
