import Cashu
import Cryptography
import Encodings
import Ledger
import Mint
import TestSupport
import Testing

/// What every `MintStore` must do, whatever it is made of. An adapter's suite calls `run` with a way to make an empty
/// store and to open the same one anew.
struct MintStoreConformance: Sendable {
    /// A fresh, empty store.
    var make: @Sendable () async throws -> any MintStore
    /// The last made store, closed and opened again.
    var reopen: @Sendable () async throws -> any MintStore

    let keyset: KeysetID
    let at = MintFixture.start

    init(
        make: @escaping @Sendable () async throws -> any MintStore,
        reopen: @escaping @Sendable () async throws -> any MintStore
    ) throws {
        self.make = make
        self.reopen = reopen
        keyset = try KeysetID(bytes: [1] + [UInt8](repeating: 3, count: 32))
    }

    func run() async throws {
        try await keysets()
        try await spending()
        try await allOrNothing()
        try await conservation()
        try await quotes()
        try await melts()
        try await forgetting()
        try await answers()
    }

    // MARK: Material

    private func point(_ number: UInt8, _ kind: UInt8) -> [UInt8] {
        [2, kind] + [UInt8](repeating: number, count: 31)
    }

    private func proof(_ number: UInt8, _ amount: UInt64, witness: String? = nil) -> SpentProof {
        SpentProof(y: point(number, 1), keyset: keyset, amount: amount, witness: witness)
    }

    private func promise(_ number: UInt8, _ amount: UInt64) -> IssuedPromise {
        IssuedPromise(
            blinded: point(number, 2),
            keyset: keyset,
            amount: amount,
            signature: point(number, 3),
            challenge: [UInt8](repeating: number, count: 32),
            response: [UInt8](repeating: number, count: 32)
        )
    }

    private func quote(_ id: String, _ amount: UInt64, hash: UInt8) -> StoredMintQuote {
        StoredMintQuote(
            id: id,
            unit: .sat,
            amount: amount,
            request: "lnbcrt1\(id)",
            paymentHash: Hashing.sha256([UInt8](repeating: hash, count: 32)),
            state: .unpaid,
            expiry: at.adding(seconds: 60),
            updatedAt: at
        )
    }

    private func meltQuote(_ id: String, _ amount: UInt64, hash: UInt8) -> StoredMeltQuote {
        StoredMeltQuote(
            id: id,
            unit: .sat,
            amount: amount,
            feeReserve: 2,
            request: "lnbcrt1\(id)",
            paymentHash: Hashing.sha256([UInt8](repeating: hash, count: 32)),
            expiry: at.adding(seconds: 60),
            updatedAt: at
        )
    }

    /// A store with one active keyset and `amount` outstanding.
    private func funded(_ amount: UInt64) async throws -> any MintStore {
        let store = try await make()
        try await store.add(KeysetRecord(info: KeysetInfo(id: keyset, unit: .sat, isActive: true), counter: 0))
        try await store.add(quote("funding", amount, hash: 0xF0))
        try await store.markPaid(mintQuote: "funding", at: at)
        try await store.issue([promise(0xF0, amount)], for: "funding", at: at)
        return store
    }

    private func expectSound(_ store: any MintStore, _ location: SourceLocation = #_sourceLocation) async throws {
        #expect(try await store.audit().findings == [], sourceLocation: location)
    }

    // MARK: Clauses

    private func keysets() async throws {
        var store = try await make()
        let other = try KeysetID(bytes: [1] + [UInt8](repeating: 4, count: 32))
        try await store.add(KeysetRecord(info: KeysetInfo(id: keyset, unit: .sat, isActive: true), counter: 0))
        let second = KeysetInfo(id: other, unit: .sat, isActive: true, inputFeePPK: 7, finalExpiry: 9)
        try await store.add(KeysetRecord(info: second, counter: 1))
        for isReopened in [false, true] {
            if isReopened { store = try await reopen() }
            let records = try await store.keysets()
            #expect(records.map(\.info.id) == [keyset, other])
            #expect(records.map(\.info.isActive) == [false, true])
            #expect(records.map(\.counter) == [0, 1])
            #expect(records[1].info == second)
        }
        await #expect(throws: (any Error).self) {
            try await store.add(KeysetRecord(info: second, counter: 1))
        }
        #expect(await code { try await store.spend([proof(1, 1)], issuing: [], unit: .sat, at: at) } != nil)
    }

    private func spending() async throws {
        var store = try await funded(8)
        try await store.spend([proof(1, 8, witness: "w")], issuing: [promise(1, 4), promise(2, 4)], unit: .sat, at: at)
        for isReopened in [false, true] {
            if isReopened { store = try await reopen() }
            let states = try await store.states(of: [point(9, 1), point(1, 1)])
            #expect(states == [.init(state: .unspent, witness: nil), .init(state: .spent, witness: "w")])
            let promises = try await store.promises(on: [point(2, 2), point(9, 2), point(1, 2)])
            #expect(promises == [promise(2, 4), nil, promise(1, 4)])
            let again = await code {
                try await store.spend([proof(1, 8)], issuing: [promise(3, 8)], unit: .sat, at: at)
            }
            #expect(again == .proofsAlreadySpent)
            let signed = await code {
                try await store.spend([proof(3, 4)], issuing: [promise(1, 4)], unit: .sat, at: at)
            }
            #expect(signed == .outputsAlreadySigned)
            try await expectSound(store)
        }
    }

    /// One bad part undoes the whole transaction.
    private func allOrNothing() async throws {
        let store = try await funded(8)
        try await store.spend([proof(1, 4)], issuing: [promise(1, 4)], unit: .sat, at: at)
        #expect(
            await code {
                try await store.spend([proof(2, 2), proof(1, 2)], issuing: [promise(2, 4)], unit: .sat, at: at)
            } == .proofsAlreadySpent
        )
        #expect(
            await code {
                try await store.spend([proof(2, 4)], issuing: [promise(2, 2), promise(1, 2)], unit: .sat, at: at)
            } == .outputsAlreadySigned
        )
        #expect(try await store.states(of: [point(2, 1)]).map(\.state) == [.unspent])
        #expect(try await store.promises(on: [point(2, 2)]) == [nil])
        #expect(
            await code { try await store.spend([proof(2, 2)], issuing: [promise(2, 4)], unit: .sat, at: at) }
                == .transactionNotBalanced
        )
        try await expectSound(store)
    }

    /// A fee is booked, and no keyset redeems more than it issued.
    private func conservation() async throws {
        let store = try await funded(8)
        try await store.spend([proof(1, 4)], issuing: [promise(1, 2), promise(2, 1)], unit: .sat, at: at)
        var audit = try await store.audit()
        #expect(audit.keysets.map(\.outstanding) == [7])
        #expect(audit.accounts.first { $0.account.name == "mint:fees" }?.balance == 1)
        #expect(
            await code { try await store.spend([proof(2, 64)], issuing: [promise(3, 32)], unit: .sat, at: at) }
                == .proofVerificationFailed
        )
        audit = try await store.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.outstanding) == [7])
    }

    private func quotes() async throws {
        let store = try await funded(8)
        let first = quote("q", 16, hash: 1)
        try await store.add(first)
        #expect(try await store.mintQuote("q") == first)
        #expect(try await store.mintQuote(paymentHash: first.paymentHash) == first)
        #expect(try await store.mintQuote("other") == nil)
        #expect(await code { try await store.issue([promise(1, 16)], for: "q", at: at) } == .quoteNotPaid)
        #expect(await code { try await store.issue([promise(1, 16)], for: "other", at: at) } == .quoteExpired)
        try await store.markPaid(mintQuote: "q", at: at)
        try await store.markPaid(mintQuote: "q", at: at)
        #expect(await code { try await store.issue([promise(1, 8)], for: "q", at: at) } == .transactionNotBalanced)
        #expect(await code { try await store.issue([promise(1, 32)], for: "q", at: at) } == .transactionNotBalanced)
        let used = await code { try await store.issue([promise(0xF0, 8), promise(1, 8)], for: "q", at: at) }
        #expect(used == .outputsAlreadySigned)
        #expect(try await store.mintQuote("q")?.state == .paid)
        try await store.issue([promise(1, 16)], for: "q", at: at)
        try await store.markPaid(mintQuote: "q", at: at)
        #expect(try await store.mintQuote("q")?.state == .issued)
        #expect(await code { try await store.issue([promise(2, 16)], for: "q", at: at) } == .quoteAlreadyIssued)
        try await expectSound(store)
        #expect(try await store.audit().keysets.map(\.outstanding) == [24])
    }

    private func melts() async throws {
        var store = try await funded(64)
        try await store.add(meltQuote("m", 20, hash: 2))
        try await store.add(meltQuote("same invoice", 20, hash: 2))
        let blanks = [
            BlankOutput(blinded: point(1, 2), keyset: keyset), BlankOutput(blinded: point(2, 2), keyset: keyset),
        ]
        func begin(_ id: String, _ proofs: [SpentProof], _ blanks: [BlankOutput] = [], after: Int64 = 0) async throws
            -> MeltStart
        {
            try await store.beginMelt(
                id,
                holding: proofs,
                fee: 0,
                blanks: blanks,
                changeInside: [],
                at: at.adding(seconds: after)
            )
        }
        #expect(await code { try await begin("m", [proof(1, 16)]) } == .transactionNotBalanced)
        #expect(await code { try await begin("m", [proof(1, 32)], after: 60) } == .quoteExpired)
        #expect(await code { try await begin("none", [proof(1, 32)]) } == .quoteExpired)
        guard case .pay(let pending) = try await begin("m", [proof(1, 32, witness: "w")], blanks) else {
            Issue.record("a melt of a foreign invoice is paid, not settled inside")
            return
        }
        #expect((pending.state, pending.inputTotal) == (.pending, 32))
        store = try await reopen()
        #expect(try await store.pendingMelts(after: "", count: 10).map(\.id) == ["m"])
        #expect(try await store.blanks(ofMelt: "m") == blanks)
        #expect(try await store.states(of: [point(1, 1)]) == [.init(state: .pending, witness: "w")])
        #expect(await code { try await begin("m", [proof(2, 32)]) } == .quotePending)
        #expect(await code { try await begin("same invoice", [proof(2, 32)]) } == .quotePending)
        #expect(
            await code { try await store.spend([proof(1, 32)], issuing: [promise(9, 32)], unit: .sat, at: at) }
                == .proofsPending
        )
        #expect(
            await code { try await store.spend([proof(2, 32)], issuing: [promise(1, 32)], unit: .sat, at: at) }
                == .outputsPending
        )
        #expect(try await store.promises(on: [point(1, 2)]) == [nil])

        try await store.releaseMelt("m", at: at)
        try await store.releaseMelt("m", at: at)
        #expect(try await store.states(of: [point(1, 1)]).map(\.state) == [.unspent])
        #expect(try await store.pendingMelts(after: "", count: 10) == [])
        try await expectSound(store)

        _ = try await begin("m", [proof(1, 32)], blanks)
        let preimage = [UInt8](repeating: 2, count: 32)
        for _ in 0..<2 {
            let paid = try await store.settleMelt(
                "m",
                preimage: preimage,
                lightningFee: 1,
                change: [promise(1, 8)],
                at: at
            )
            #expect((paid.state, paid.preimage) == (.paid, preimage))
        }
        try await store.releaseMelt("m", at: at)
        #expect(try await store.states(of: [point(1, 1)]).map(\.state) == [.spent])
        #expect(try await store.change(ofMelt: "m") == [promise(1, 8)])
        #expect(try await store.promises(on: [point(1, 2), point(2, 2)]) == [promise(1, 8), nil])
        #expect(await code { try await begin("same invoice", [proof(2, 32)]) } == .invoiceAlreadyPaid)
        // 32 in; 20 to the payee, 1 for routing, 8 back, 3 kept.
        let audit = try await store.audit()
        #expect(audit.findings == [])
        #expect(audit.keysets.map(\.outstanding) == [40])
        #expect(audit.accounts.first { $0.account.name == "mint:fees" }?.balance == 3)
        #expect(audit.accounts.first { $0.account.name == "mint:lightning" }?.balance == 43)
    }

    private func forgetting() async throws {
        let store = try await funded(8)
        try await store.add(quote("old", 1, hash: 1))
        try await store.add(quote("paid", 1, hash: 2))
        try await store.markPaid(mintQuote: "paid", at: at)
        try await store.add(meltQuote("m", 1, hash: 3))
        #expect(try await (store.unpaidMintQuoteCount(), store.unpaidMeltQuoteCount()) == (1, 1))
        #expect(try await store.unpaidMintQuotes(expiredBefore: at.adding(seconds: 60), count: 10) == [])
        #expect(try await store.unpaidMintQuotes(expiredBefore: at.adding(seconds: 61), count: 10).map(\.id) == ["old"])
        try await store.removeUnpaid(mintQuote: "old")
        try await store.removeUnpaid(mintQuote: "paid")
        #expect(try await store.mintQuote("old") == nil)
        #expect(try await store.mintQuote("paid")?.state == .paid)
        #expect(try await store.removeUnpaidMeltQuotes(expiredBefore: at.adding(seconds: 60), count: 10) == 0)
        #expect(try await store.removeUnpaidMeltQuotes(expiredBefore: at.adding(seconds: 61), count: 10) == 1)
        #expect(try await store.meltQuote("m") == nil)
        try await expectSound(store)
    }
}
