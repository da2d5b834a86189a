import CanonicalJSON
import Encodings
import Market
import Passports
import Receipts
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing
import TransparencyLog

@testable import Trading

/// A node whose agent buys, with what it publishes.
private final class Shop: Sendable {
    let folder: TemporaryFolder
    let database: Database
    let book: CallBook
    let shelf: ReceiptShelf
    let buying = BuyingNode(20)
    private let bought: Calls

    final class Calls: Sendable {
        private let kept = Mutex<[TradedCall]>([])
        func add(_ receipt: Receipt, reference: String?) {
            kept.withLock { kept in
                let sequence = Int64(kept.count + 1)
                kept.append(
                    TradedCall(
                        side: .buyer,
                        sequence: sequence,
                        reference: reference ?? "payment-\(sequence)",
                        deed: Deed(receipt)
                    )
                )
            }
        }
        func after(_ sequence: Int64, _ count: Int) -> [TradedCall] {
            Array(kept.withLock { $0 }.filter { $0.sequence > sequence }.prefix(count))
        }
    }

    init(after before: Shop? = nil, maximumDocuments: Int = 1_000, markEvery: UInt64 = 4) throws {
        folder = try before?.folder ?? TemporaryFolder()
        let bought = before?.bought ?? Calls()
        self.bought = bought
        let buying = buying
        database = try Database(
            path: folder.path + "/node.sqlite",
            migrations: CallBook.migrations,
            logger: Sample.logger
        )
        let clock = WallClock.stopped(at: Sample.now.adding(seconds: 60))
        book = CallBook(
            database: database,
            viewer: buying.node.did,
            seeds: [],
            sources: .init(
                calls: { side, kind, sequence, count in
                    side == .buyer && kind == .call ? bought.after(sequence, count) : []
                },
                listing: { _, _ in nil },
                isOwn: { $0 == Sample.signer(60).did }
            ),
            clock: clock
        )
        let passport = try buying.passport()
        shelf = ReceiptShelf(
            database: database,
            calls: book,
            countersigner: { buyer, _ in buyer.did == buying.agent.did ? (buying.agent, passport) : nil },
            clock: clock,
            maximumDocuments: maximumDocuments,
            markEvery: markEvery
        )
    }

    func buy(_ numbers: ClosedRange<Int>, from seller: UInt8 = 50, status: Int = 200, buyer: DIDKey? = nil) throws {
        for number in numbers {
            bought.add(try buying.receipt(number, from: seller, buyer: buyer, status: status), reference: nil)
        }
    }

    func add(_ receipt: Receipt, reference: String) { bought.add(receipt, reference: reference) }

    /// The receipts' ids and what is said of them, as anybody reads them.
    func shown(from: UInt64 = 0) async throws -> [(id: String, outcome: CallOutcome)] {
        let page = try ReceiptsPage(try await shelf.page(from: from).serialized(), from: from)
        return try page.rows.map { row in
            let document = try row.document.get()
            _ = try document.call(publishedBy: buying.node.did, now: Sample.now.adding(seconds: 60))
            return (document.receipt.id, document.rating.content.outcome)
        }
    }
}

@Suite("Receipts that a node publishes", .timeLimit(.minutes(2))) struct ReceiptShelfTests {
    @Test("[RCPT-14] What is bought once the operator wants it is published, in order and once, and a restart keeps it")
    func published() async throws {
        let shop = try Shop()
        try shop.buy(1...2)
        try await shop.shelf.follow()
        #expect(try await shop.shelf.state() == nil)
        try shop.buy(3...4)
        try shop.buy(5...5, status: 500)
        try await shop.shelf.follow()
        try await shop.shelf.follow()
        let shown = try await shop.shown()
        #expect(shown.map(\.id) == [3, 4, 5].map(BuyingNode.uuid) && shown.map(\.outcome) == [.good, .good, .failed])
        let state = try #require(try await shop.shelf.state())
        #expect(state.count == 3 && state.from == Sample.now.adding(seconds: 60) && state.until == state.from)
        // A later receipt of the same payment: what was published stands.
        shop.add(try shop.buying.receipt(6, from: 50), reference: "payment-3")
        try await shop.shelf.follow()
        #expect(try await shop.shelf.state() == state)
        await shop.database.close()
        let again = try Shop(after: shop)
        #expect(try await again.shelf.state() == state)
        #expect(try await again.shown().map(\.id) == shown.map(\.id))
        try again.buy(7...7)
        try await again.shelf.follow()
        #expect(try await again.shown().map(\.id) == [3, 4, 5, 7].map(BuyingNode.uuid))
        // Taken back: what is bought meanwhile is not published afterwards either.
        try await again.shelf.pause()
        try again.buy(8...8)
        try await again.shelf.follow()
        try again.buy(9...9)
        try await again.shelf.follow()
        #expect(try await again.shown().map(\.id) == [3, 4, 5, 7, 9].map(BuyingNode.uuid))
    }

    @Test("[RCPT-14] What others would not count, or no key is here for, is left out")
    func leftOut() async throws {
        let shop = try Shop()
        try await shop.shelf.follow()
        try shop.buy(1...1, buyer: Sample.signer(70).did)
        // Of a key of its own operator.
        try shop.buy(2...2, from: 60)
        // The seller's key is the node's.
        try shop.buy(3...3, from: 20)
        shop.add(try shop.buying.receipt(4, from: 50, amount: 0), reference: "free")
        try shop.buy(5...5)
        try await shop.shelf.follow()
        #expect(try await shop.shown().map(\.id) == [BuyingNode.uuid(5)])
    }

    @Test("[RCPT-16] A page from anywhere leads to the root; it is bounded, and what is long ago is no longer told")
    func pages() async throws {
        let shop = try Shop(maximumDocuments: 68)
        try await shop.shelf.follow()
        let receipt = try shop.buying.receipt(1, from: 50)
        for number in 0..<70 { shop.add(receipt, reference: "r\(number)") }
        try await shop.shelf.follow()
        let state = try #require(try await shop.shelf.state())
        #expect(state.count == 70)
        for from: UInt64 in [2, 3, 4, 5, 8, 31, 64, 69] {
            let page = try ReceiptsPage(try await shop.shelf.page(from: from).serialized(), from: from)
            #expect(page.rows.count == min(64, 70 - Int(from)))
            var edge = page.edge
            for row in page.rows { edge.append(leaf: MerkleTree.leaf(row.entry)) }
            #expect((edge.root == state.root) == (edge.size == 70), "\(from)")
        }
        #expect(await code { _ = try await shop.shelf.page(from: 1) } == .noLongerKept)
        #expect(await code { _ = try await shop.shelf.page(from: 71) } == .invalidQuery)
        #expect(try await shop.shelf.page(from: 70)["receipts"] == [])
    }
}
