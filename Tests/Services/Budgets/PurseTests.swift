import Budgets
import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import Foundation
import Logging
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

/// The buyer's side of budgets: tickets from another node's account, and debits that end at what was paid.
@Suite("The buyer's budgets")
struct PurseTests {
    /// The way to another node's account, which loses answers as it is told.
    private final class Line: AccountingLine {
        private struct Lost: Error {}
        let bank: Bank
        let state = Mutex((toLose: 0, asked: 0))

        init(_ bank: Bank) { self.bank = bank }

        func lose(_ count: Int) { state.withLock { $0 = (count, 0) } }
        var asked: Int { state.withLock { $0.asked } }

        /// What sellers say of invocations, by its address.
        let words = Mutex<[String: [UInt8]]>([:])

        func get(_ url: String, limit: Int) async throws -> (status: Int, body: [UInt8]) {
            state.withLock { $0.asked += 1 }
            guard let bytes = words.withLock({ $0[url] }) else { return (404, []) }
            return (200, bytes)
        }

        func post(_ url: String, _ body: [UInt8], limit: Int) async throws -> (status: Int, body: [UInt8]) {
            let answer: (Int, JSONObject)
            do {
                let object = try JSONValue.parse(body).requireObject()
                if url.hasSuffix("/delegations/debits") {
                    let call = try DelegatedCall(header: object.string("call"))
                    let ticket = try await bank.office.ticket(call.invocation, chain: call.chain)
                    answer = (200, ["ticket": .object(ticket.document)])
                } else {
                    let id = url.split(separator: "/").dropLast().last.map(String.init) ?? ""
                    let receipt = try object.object("receipt")
                    let charged = try await bank.office.settle(debit: id, receipt: receipt)
                    answer = (200, ["charged": .string("\(charged)")])
                }
            } catch let error as DelegationError {
                answer = (403, ["code": .string(error.code.rawValue)])
            } catch let error as BudgetError {
                answer = (error.status, ["code": .string(error.code.rawValue)])
            }
            let isLost = state.withLock { state in
                state.asked += 1
                guard state.toLose > 0 else { return false }
                state.toLose -= 1
                return true
            }
            if isLost { throw Lost() }
            return (answer.0, answer.1.serialized())
        }
    }

    /// The account's node, the buyer's node, and an agent of the buyer's on a chain.
    private final class Setting: Sendable {
        let bank: Bank
        let home: Bank
        let line: Line
        let purse: DelegatedPurse
        let links: [Delegation]
        let payments = Mutex<[String: DelegatedOutcome]>([:])

        /// - Parameter isOwn: whether the buyer's node keeps the account itself.
        init(isOwn: Bool) throws {
            bank = try Bank()
            home = isOwn ? bank : try Bank(keys: 9, clock: bank.clock)
            let elsewhere = Ed25519.PrivateKey()
            line = Line(bank)
            let database = home.database
            let office =
                isOwn
                ? bank.office
                : BudgetOffice(database: database, signer: DocumentSigner(elsewhere), clock: bank.clock.wall) { _ in nil
                }
            purse = DelegatedPurse(
                office: office,
                line: line,
                clock: bank.clock.wall,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                pause: { _ in }
            )
            links = [try bank.link(0, 1, budget: 100), try bank.link(1, 2, budget: 60)]
        }

        func call(_ id: String, amount: UInt64, seller: DIDKey? = nil) async throws -> DelegatedCall {
            try await purse.call(
                DelegatedPayment(
                    id: id,
                    amount: amount,
                    unit: "sat",
                    method: "GET",
                    url: Bank.target,
                    digest: Hashing.sha256([]),
                    seller: seller
                ),
                on: DelegationChain(links),
                by: DocumentSigner(bank.keys[2])
            )
        }

        func ended(_ id: String, _ outcome: DelegatedOutcome) { payments.withLock { $0[id] = outcome } }

        @discardableResult
        func settle(receipt: [UInt8]? = nil) async throws -> Int {
            try await purse.settle(
                outcome: { id in self.payments.withLock { $0[id] } ?? .unknown },
                receipt: { _ in receipt }
            )
        }

        func spent() async throws -> [UInt64] { [try await bank.spent(links[0]), try await bank.spent(links[1])] }
    }

    @Test("[DLG-7] a lost answer is asked for again, as one debit with one ticket; a refusal is not")
    func lostAnswer() async throws {
        let setting = try Setting(isOwn: false)
        setting.line.lose(2)
        let call = try await setting.call("p1", amount: 30)
        #expect(setting.line.asked == 3)
        #expect(try await setting.spent() == [30, 30])
        let again = try await setting.call("p1", amount: 30)
        #expect(again.ticket?.id == call.ticket?.id)
        #expect(try await setting.spent() == [30, 30])
        setting.line.lose(0)
        setting.ended("p2", .open)
        #expect(await setting.bank.code { try await setting.call("p2", amount: 31) } == "accounting-refused")
        #expect(setting.line.asked == 1)
        // Lost for good: nothing is paid, and the debit stays, as nobody can show that no ticket was taken from it.
        setting.line.lose(9)
        #expect(await setting.bank.code { try await setting.call("p3", amount: 5) } == "accounting-unreachable")
        #expect(setting.line.asked == 3)
        setting.ended("p3", .free)
        setting.ended("p1", .open)
        setting.bank.clock.advance(10)
        #expect(try await setting.settle() == 1)
        #expect(try await setting.spent() == [35, 35])
        #expect(try await setting.bank.office.audit() == [])
    }

    @Test("[DLG-12] change that comes late lowers the debit, once; until then it counts whole")
    func lateChange() async throws {
        let setting = try Setting(isOwn: true)
        _ = try await setting.call("p1", amount: 50)
        setting.ended("p1", .charged(returned: 0, isFinal: false))
        setting.ended("p2", .open)
        for _ in 0..<5 {
            setting.bank.clock.advance(3600)
            #expect(try await setting.settle() == 0)
            #expect(try await setting.spent() == [50, 50])
            #expect(await setting.bank.code { try await setting.call("p2", amount: 11) } == "budget-exceeded")
        }
        setting.ended("p1", .charged(returned: 30, isFinal: true))
        setting.bank.clock.advance(3600)
        #expect(try await setting.settle() == 1)
        #expect(try await setting.spent() == [20, 20])
        setting.ended("p1", .charged(returned: 50, isFinal: true))
        setting.bank.clock.advance(86_400)
        #expect(try await setting.settle() == 0)
        #expect(try await setting.spent() == [20, 20])
        #expect(try await setting.bank.office.audit() == [])
    }

    @Test("[DLG-12] change that never comes is waited for 31 days; then the debit stands at what was paid")
    func noChange() async throws {
        let setting = try Setting(isOwn: true)
        _ = try await setting.call("p1", amount: 50)
        _ = try await setting.call("p2", amount: 10)
        setting.ended("p1", .charged(returned: 5, isFinal: false))
        setting.ended("p2", .open)
        setting.bank.clock.advance(31 * 86_400 - 1)
        _ = try await setting.bank.office.maintain()
        #expect(try await setting.settle() == 0)
        setting.bank.clock.advance(3600)
        #expect(try await setting.settle() == 1)
        #expect(try await setting.spent() == [55, 55])
        // One that stays open for ever is taken to be charged, and its buyer is not told off for it.
        setting.bank.clock.advance(86_400)
        _ = try await setting.bank.office.maintain()
        setting.ended("p2", .free)
        #expect(try await setting.settle() == 1)
        #expect(try await setting.settle() == 0)
        #expect(try await setting.spent() == [55, 55])
        #expect(try await setting.bank.office.audit() == [])
    }

    @Test("[DLG-16] a seller's word is fetched once the call is settled, kept, and of that call alone")
    func words() async throws {
        let setting = try Setting(isOwn: true)
        let seller = DocumentSigner(setting.bank.keys[7])
        let id = "0190a1b2-0000-7000-8000-000000000001"
        let call = try await setting.call("p1", amount: 4)
        let receipt = try DataIntegrity.sign(
            [
                "id": .string("urn:uuid:\(id)"), "type": ["PaidCallReceipt"],
                "seller": ["id": .string(seller.did.string)], "response": ["status": 200],
                "payment": ["amount": "4", "unit": "sat"], "outcome": "served",
                "respondedAt": .string(setting.bank.clock.now.rfc3339),
            ],
            by: seller,
            created: setting.bank.clock.now
        )
        let word = try InvocationReceipt.issue(of: call.invocation, receipt: receipt, chain: nil, by: seller.key)
        let place = InvocationReceiptPlace(origin: "https://shop.example", receiptID: id)
        #expect(try await setting.purse.invocationReceipt(place) == nil)
        let bytes = word.document.serialized()
        setting.line.words.withLock { $0["https://shop.example/receipts/\(id)/invocation"] = bytes }
        setting.ended("p1", .charged(returned: 0, isFinal: true))
        setting.bank.clock.advance(10)
        _ = try await setting.purse.settle(
            outcome: { _ in .charged(returned: 0, isFinal: true) },
            receipt: { _ in nil },
            place: { _ in place }
        )
        setting.line.words.withLock { $0 = [:] }
        #expect(try await setting.purse.invocationReceipt(place) == word)
        // A word on another call is not taken for this one's.
        let other = InvocationReceiptPlace(
            origin: "https://shop.example",
            receiptID: "0190a1b2-0000-7000-8000-000000000002"
        )
        setting.line.words.withLock { $0["https://shop.example/receipts/\(other.receiptID)/invocation"] = bytes }
        #expect(await setting.bank.code { try await setting.purse.invocationReceipt(other) } == "receipt-mismatch")
    }

    @Test("[DLG-12] another node's account gives back on the receipt of the seller that the call was for, once")
    func elsewhere() async throws {
        let setting = try Setting(isOwn: false)
        let seller = DocumentSigner(setting.bank.keys[7])
        let call = try await setting.call("p1", amount: 40, seller: seller.did)
        let ticket = try #require(call.ticket)
        let receipt = try DataIntegrity.sign(
            [
                "type": ["PaidCallReceipt"], "seller": ["id": .string(seller.did.string)],
                "payment": ["amount": "15", "unit": "sat"], "outcome": "served",
                "delegation": ["ticket": .string("urn:uuid:\(ticket.id)")],
            ],
            by: seller,
            created: setting.bank.clock.now
        )
        setting.ended("p1", .charged(returned: 25, isFinal: true))
        setting.bank.clock.advance(10)
        setting.line.lose(1)
        // The answer is lost: the account has it, and it is told again.
        #expect(try await setting.settle(receipt: receipt.serialized()) == 0)
        #expect(try await setting.spent() == [15, 15])
        setting.bank.clock.advance(10)
        #expect(try await setting.settle(receipt: receipt.serialized()) == 1)
        #expect(try await setting.spent() == [15, 15])
        #expect(try await setting.bank.office.audit() == [])
    }
}
