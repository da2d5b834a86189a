import Cashu
import Logging
import Storage
import TestSupport
import Testing

@testable import Wallet

@Suite("A wallet's database of an earlier version")
struct UpgradeTests {
    @Test("payments made before Lightning was a way to pay are read as they were, and take part in what follows")
    func paymentsOfBefore() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/node.sqlite"
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let earlier = Array(Wallet.migrations.prefix { $0.id != "wallet-invoices-1" })
        #expect(earlier.count < Wallet.migrations.count)
        let before = try Database(path: path, migrations: earlier, logger: logger)
        try await before.write { connection in
            for (id, state) in [("a", "served"), ("b", "pending")] {
                try connection.execute(
                    """
                    INSERT INTO wallet_payments (id, idempotency_key, agent, method, url, headers, body_kind, seller, mint,
                        unit, amount, payment_digest, state, returned, created_at, changed_at)
                    VALUES (?, ?, 'planner', 'GET', 'https://shop.example/x', '[]', 'none', ?, 'https://mint.example',
                        'sat', 5, ?, ?, 1, 1790000000000, 1790000000001)
                    """,
                    .text(id),
                    .text("key-" + id),
                    .blob([UInt8](repeating: 2, count: 33)),
                    .blob([UInt8](repeating: 7, count: 32)),
                    .text(state)
                )
            }
        }
        await before.close()
        let after = try Database(path: path, migrations: Wallet.migrations, logger: logger)
        let found = try await after.read { connection in
            try ["a", "b"].compactMap { try PaymentStore.find($0, in: connection) }
        }
        #expect(found.map(\.id) == ["a", "b"])
        #expect(found.map(\.state) == [.served, .pending])
        for payment in found {
            #expect((payment.amount, payment.fee, payment.way) == (5, 0, .cashu))
            #expect(payment.mint?.string == "https://mint.example")
            #expect(payment.paymentDigest == [UInt8](repeating: 7, count: 32))
        }
        await after.close()
    }
}
