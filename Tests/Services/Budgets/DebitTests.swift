import Budgets
import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import Foundation
import Identity
import Logging
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing

@Suite("The accounting node")
struct DebitTests {
    @Test("[DLG-4] [DLG-7] a debit goes over every link, and its ticket holds for that call alone")
    func ticket() async throws {
        let bank = try Bank()
        let links = [try bank.link(0, 1, budget: 1000), try bank.link(1, 2, budget: 50)]
        let invocation = try bank.invocation(2, links, amount: 30, call: 1)
        let ticket = try await bank.office.ticket(invocation, chain: DelegationChain(links))
        try ticket.verify(for: invocation, chain: links.map(\.cid), node: bank.dids[0], now: bank.clock.now)
        #expect(try await bank.spent(links[0]) == 30)
        #expect(try await bank.spent(links[1]) == 30)
        // Over the inner budget: nothing moves on the outer one either.
        #expect(await bank.code { try await bank.spend(2, links, amount: 21, call: 2) } == "budget-exceeded")
        #expect(try await bank.spent(links[0]) == 30)
        try await bank.spend(2, links, amount: 20, call: 3)
        #expect(try await bank.spent(links[1]) == 50)
        #expect(try await bank.office.audit() == [])
    }

    @Test("[DLG-7] asked again for the same call it is one debit; other contents under its name are refused")
    func idempotent() async throws {
        let bank = try Bank()
        let links = [try bank.link(0, 1, budget: 100)]
        let first = try await bank.spend(1, links, amount: 10, call: 1)
        bank.clock.advance(200)
        let again = try await bank.spend(1, links, amount: 10, call: 1)
        #expect(again.id == first.id)
        #expect(again.expires > first.expires)
        #expect(try await bank.spent(links[0]) == 10)
        #expect(await bank.code { try await bank.spend(1, links, amount: 11, call: 1) } == "call-conflict")
        let other = try bank.invocation(1, links, amount: 10, call: 1) { $0.method = "POST" }
        #expect(
            await bank.code { try await bank.office.ticket(other, chain: DelegationChain(links)) } == "call-conflict"
        )
        #expect(try await bank.spent(links[0]) == 10)
    }

    @Test("[DLG-7] a budget with a period begins anew with it, and not where the clock was set back")
    func periods() async throws {
        let bank = try Bank()
        let links = [try bank.link(0, 1, budget: 100, period: 3600)]
        try await bank.spend(1, links, amount: 100, call: 1)
        #expect(await bank.code { try await bank.spend(1, links, amount: 1, call: 2) } == "budget-exceeded")
        bank.clock.advance(3600)
        #expect(try await bank.spent(links[0]) == 0)
        try await bank.spend(1, links, amount: 100, call: 3)
        bank.clock.advance(-3600)
        #expect(await bank.code { try await bank.spend(1, links, amount: 1, call: 4) } == "budget-exceeded")
    }

    @Test("[DLG-7] whose account it is: strangers' roots, and roots that name another node, have none here")
    func strangers() async throws {
        let bank = try Bank()
        let stranger = [try bank.link(5, 1, root: 5, budget: 100)]
        #expect(await bank.code { try await bank.spend(1, stranger, amount: 1, call: 1, root: 5) } == "untrusted-root")
        let elsewhere = [try bank.link(0, 1, budget: 100, accounting: bank.dids[6])]
        #expect(await bank.code { try await bank.spend(1, elsewhere, amount: 1, call: 1) } == "wrong-accounting-node")
        let links = [try bank.link(0, 1, budget: 100)]
        #expect(await bank.code { try await bank.spend(2, links, amount: 1, call: 1) } == "wrong-audience")
        #expect(await bank.code { try await bank.spend(1, links, amount: 101, call: 1) } == "over-call-limit")
        bank.clock.advance(2_000_000)
        #expect(await bank.code { try await bank.spend(1, links, amount: 1, call: 1) } == "expired")
    }

    @Test("[DLG-14] an agent's own spend limit holds over all it does, with a chain and without")
    func agentLimit() async throws {
        let bank = try Bank()
        bank.admit(4, RootAuthority(agentID: "urn:uuid:4", limit: try Budget(50, unit: "sat", periodSeconds: 86_400)))
        try await bank.spend(4, [], amount: 30, call: 1, root: 4)
        let links = [try bank.link(4, 1, root: 4, budget: 1000)]
        #expect(await bank.code { try await bank.spend(1, links, amount: 21, call: 2, root: 4) } == "budget-exceeded")
        try await bank.spend(1, links, amount: 20, call: 3, root: 4)
        #expect(await bank.code { try await bank.spend(4, [], amount: 1, call: 4, root: 4) } == "budget-exceeded")
        #expect(try await bank.spent(links[0]) == 20)
    }

    @Test("[DLG-14] what an agent spends beside its delegations leaves them less of its limit")
    func spentBeside() async throws {
        let bank = try Bank()
        let beside = Mutex<UInt64>(25)
        let limit = try Budget(50, unit: "sat", periodSeconds: 86_400)
        let start = Timestamp(secondsSince1970: limit.window(at: bank.clock.wall.now()) * 86_400)
        bank.admit(
            4,
            RootAuthority(agentID: "urn:uuid:4", limit: limit) { since, _ in
                #expect(since == start)
                return beside.withLock { $0 }
            }
        )
        let links = [try bank.link(4, 1, root: 4, budget: 1000)]
        #expect(await bank.code { try await bank.spend(1, links, amount: 26, call: 1, root: 4) } == "budget-exceeded")
        try await bank.spend(1, links, amount: 20, call: 2, root: 4)
        beside.withLock { $0 = 31 }
        #expect(await bank.code { try await bank.spend(1, links, amount: 1, call: 3, root: 4) } == "budget-exceeded")
        // Some of it came back.
        beside.withLock { $0 = 29 }
        try await bank.spend(1, links, amount: 1, call: 4, root: 4)
        beside.withLock { $0 = .max }
        #expect(await bank.code { try await bank.spend(1, links, amount: 1, call: 5, root: 4) } == "budget-exceeded")
        // The same call is the same debit, whatever was spent since.
        try await bank.spend(1, links, amount: 20, call: 2, root: 4)
        let spent = try await bank.database.read { [now = bank.clock.wall.now()] in
            try BudgetOffice.spent(onLimitOf: "urn:uuid:4", at: now, in: $0)
        }
        #expect(spent == 21)
    }

    @Test("[DLG-8] what is revoked, by name or by key, makes no ticket any more: not a new one, nor one of before")
    func revoking() async throws {
        let bank = try Bank()
        let links = [try bank.link(0, 1, budget: 100), try bank.link(1, 2), try bank.link(2, 3)]
        try await bank.spend(3, links, amount: 1, call: 1)
        try await bank.office.revoke(links[1].cid, by: "operator", reason: "test")
        #expect(await bank.code { try await bank.spend(3, links, amount: 1, call: 2) } == "revoked")
        #expect(await bank.code { try await bank.spend(3, links, amount: 1, call: 1) } == "revoked")
        // The link above still serves whoever it was given to.
        try await bank.spend(1, [links[0]], amount: 1, call: 3)
        try await bank.office.revoke(key: bank.dids[1], by: "operator", reason: nil)
        let fresh = [links[0], try bank.link(1, 4)]
        #expect(await bank.code { try await bank.spend(4, fresh, amount: 1, call: 4) } == "key-revoked")
        #expect(await bank.code { try await bank.spend(1, [links[0]], amount: 1, call: 5) } == "key-revoked")
        let list = try await bank.office.signedRevocations(after: 0)
        #expect(try DataIntegrity.verify(list).signer == bank.dids[0])
        #expect(list["revoked"]?.arrayValue?.count == 2)
    }

    @Test("[DLG-8] a key revoked as an agent's falls with its delegations and stands in the list, also one of before")
    func agentsKey() async throws {
        let bank = try Bank()
        let links = [try bank.link(0, 1, budget: 100), try bank.link(1, 2)]
        try await bank.spend(2, links, amount: 1, call: 1)
        let now = bank.clock.wall.now()
        let stolen = KeyRevocation(did: bank.dids[1], agentID: "planner", reason: .keyCompromise, at: now)
        for _ in 0..<2 { try await bank.database.write { try BudgetOffice.note(stolen, in: $0) } }
        #expect(await bank.code { try await bank.spend(2, links, amount: 1, call: 2) } == "key-revoked")
        #expect(try await bank.office.revocations().map(\.target) == [bank.dids[1].string])
        #expect(try await bank.office.revocations().first?.reason == "keyCompromise")

        let folder = try TemporaryFolder()
        let path = folder.path + "/node.sqlite"
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let older = try Database(
            path: path,
            migrations: IdentitySchema.migrations + BudgetTables.migrations.prefix(1),
            logger: logger
        )
        try await older.write { connection in
            try connection.execute(
                "INSERT INTO identity_revoked_keys (did, reason, revoked_at) VALUES (?, 'superseded', 5)",
                .text(bank.dids[2].string)
            )
        }
        await older.close()
        let newer = try Bank(folder: folder)
        #expect(try await newer.office.revocations().map(\.target) == [bank.dids[2].string])
    }

    @Test("[DLG-8] who issued a link, or one above it, revokes it from afar; nobody else does")
    func revokingFromAfar() async throws {
        let bank = try Bank()
        let links = [try bank.link(0, 1, budget: 100), try bank.link(1, 2), try bank.link(2, 3)]
        try await bank.spend(3, links, amount: 1, call: 1)
        func revocation(by index: Int, of cid: CID, nonce: UInt8) throws -> Invocation {
            try Invocation.issue(
                by: bank.keys[index],
                subject: bank.dids[index],
                command: Command("/ucan/revoke"),
                arguments: [CBORPair("ucan", .tagged(42, .bytes([0] + cid.bytes)))],
                proofs: [],
                expires: bank.clock.now.adding(seconds: 60)
            )
        }
        for index in [2, 3, 5] {
            let word = try revocation(by: index, of: links[1].cid, nonce: 1)
            #expect(await bank.code { try await bank.office.revoke(on: word) } == "forbidden")
        }
        let unknown = try revocation(by: 1, of: CID(of: [1]), nonce: 2)
        #expect(await bank.code { try await bank.office.revoke(on: unknown) } == "unknown")
        #expect(try await bank.office.revoke(on: revocation(by: 1, of: links[2].cid, nonce: 3)) == links[2].cid)
        #expect(await bank.code { try await bank.spend(3, links, amount: 1, call: 2) } == "revoked")
    }

    @Test("[DLG-12] what was not charged comes back once, to every link; a receipt of another call gives nothing back")
    func settling() async throws {
        let bank = try Bank()
        let seller = DocumentSigner(bank.keys[7])
        let links = [try bank.link(0, 1, budget: 100), try bank.link(1, 2, budget: 100)]
        let invocation = try bank.invocation(2, links, amount: 60, call: 1, recipient: seller.did)
        let ticket = try await bank.office.ticket(invocation, chain: DelegationChain(links))
        func receipt(_ outcome: String, amount: String, ticket id: String, by signer: DocumentSigner) throws
            -> JSONObject
        {
            try DataIntegrity.sign(
                [
                    "type": ["PaidCallReceipt"], "seller": ["id": .string(signer.did.string)],
                    "payment": ["amount": .string(amount), "unit": "sat"], "outcome": .string(outcome),
                    "delegation": ["ticket": .string("urn:uuid:\(id)")],
                ],
                by: signer,
                created: bank.clock.now
            )
        }
        let stranger = try receipt("refunded", amount: "60", ticket: ticket.id, by: DocumentSigner(bank.keys[2]))
        #expect(await bank.code { try await bank.office.settle(debit: ticket.id, receipt: stranger) } == "forbidden")
        let other = try receipt("refunded", amount: "60", ticket: UUID().uuidString.lowercased(), by: seller)
        #expect(await bank.code { try await bank.office.settle(debit: ticket.id, receipt: other) } == "forbidden")
        var forged = try receipt("served", amount: "60", ticket: ticket.id, by: seller)
        forged["outcome"] = "refunded"
        let forgery = forged
        #expect(
            await bank.code { try await bank.office.settle(debit: ticket.id, receipt: forgery) }
                == "forbidden"
        )
        #expect(try await bank.spent(links[0]) == 60)
        let good = try receipt("served", amount: "25", ticket: ticket.id, by: seller)
        #expect(try await bank.office.settle(debit: ticket.id, receipt: good) == 25)
        #expect(try await bank.office.settle(debit: ticket.id, charged: 0) == 25)
        #expect(try await bank.spent(links[0]) == 25)
        #expect(try await bank.spent(links[1]) == 25)
        // A settled debit makes no ticket: its call is over.
        #expect(
            await bank.code { try await bank.office.ticket(invocation, chain: DelegationChain(links)) }
                == "debit-settled"
        )
        #expect(try await bank.office.audit() == [])
    }

    @Test("[DLG-7] a restart forgets nothing")
    func restart() async throws {
        let folder = try TemporaryFolder()
        let clock = TestClock()
        let bank = try Bank(folder: folder, clock: clock)
        let links = [try bank.link(0, 1, budget: 100)]
        let ticket = try await bank.spend(1, links, amount: 90, call: 1)
        try await bank.office.revoke(CID(of: [9]), by: "operator", reason: nil)
        await bank.database.close()
        let again = try Bank(folder: folder, clock: clock)
        #expect(try await again.spend(1, links, amount: 90, call: 1).id == ticket.id)
        #expect(await again.code { try await again.spend(1, links, amount: 11, call: 2) } == "budget-exceeded")
        #expect(try await again.office.revocations().count == 1)
        #expect(try await again.office.chain(to: links[0].cid).cids == links.map(\.cid))
        await again.database.close()
    }

    @Test(
        "[DLG-18] what was taken back spares the calls of before; of a stolen key those that were witnessed before the theft"
    )
    func spared() async throws {
        let bank = try Bank()
        let now = bank.clock.now
        func revocation(_ target: String) async throws -> Revocation {
            try #require(try await bank.office.revocations(of: [target])[target])
        }
        /// Of four calls, each told by when it was made and when it was witnessed: which of them count.
        func counts(_ revocation: Revocation, since: Timestamp) -> [Bool] {
            [(-10, nil), (10, nil), (-10, -5), (-10, 5)].map { (dated: Int64, witnessed: Int64?) in
                revocation.spares(
                    dated: since.adding(seconds: dated),
                    witnessed: witnessed.map { since.adding(seconds: $0) }
                )
            }
        }
        let link = try bank.link(0, 1, budget: 10)
        try await bank.office.revoke(link.cid, by: "operator", reason: nil)
        #expect(counts(try await revocation("\(link.cid)"), since: now) == [true, false, true, true])
        let key = bank.dids[1]
        func note(_ reason: RevocationReason, since: Timestamp?) async throws {
            let revocation = KeyRevocation(did: key, agentID: nil, reason: reason, at: now, compromisedSince: since)
            try await bank.database.write { try BudgetOffice.note(revocation, in: $0) }
        }
        try await note(.superseded, since: nil)
        let moved = try await revocation(key.string)
        #expect(counts(moved, since: now) == [true, false, true, true])
        // Told afterwards that it was stolen: nothing is sure until an instant is told, of which the earliest counts.
        bank.clock.advance(100)
        try await note(.keyCompromise, since: nil)
        let stolen = try await revocation(key.string)
        #expect(counts(stolen, since: now) == [false, false, false, false] && stolen.at == now)
        #expect(stolen.sequence > moved.sequence)
        for (told, counted) in [(50, 50), (20, 20), (70, 20)] as [(Int64, Int64)] {
            try await note(.keyCompromise, since: now.adding(seconds: told))
            let since = now.adding(seconds: counted)
            let row = try await revocation(key.string)
            #expect(row.since == since && counts(row, since: since) == [false, false, true, false])
        }
        try await note(.superseded, since: nil)
        try await note(.keyCompromise, since: nil)
        #expect(try await revocation(key.string).since == now.adding(seconds: 20))
        // A cosignature tells whole seconds: within the theft's own it is not before.
        let row = try await revocation(key.string)
        #expect(!row.spares(dated: now, witnessed: now.adding(seconds: 20)))
        await #expect(throws: BudgetError.self) {
            try await bank.office.revoke(key: key, by: "operator", reason: nil, since: now.adding(seconds: 101))
        }
        #expect(try await bank.office.revocations().map(\.target) == ["\(link.cid)", key.string])
    }
}
