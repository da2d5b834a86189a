import Cashu
import Encodings
import Mint
import TestSupport
import Testing

/// What every `MintStore` remembers of the requests it answered (NUT-19), and of keys and batches of quotes.
extension MintStoreConformance {
    private func digest(_ number: UInt8) -> RequestDigest { RequestDigest(.swap, body: [number]) }

    private func blob(_ kind: UInt8, _ number: UInt8) -> [UInt8] { [2, kind] + [UInt8](repeating: number, count: 31) }

    private func promise(_ number: UInt8, _ amount: UInt64) -> IssuedPromise {
        IssuedPromise(
            blinded: blob(9, number),
            keyset: keyset,
            amount: amount,
            signature: blob(8, number),
            challenge: [UInt8](repeating: number, count: 32),
            response: [UInt8](repeating: number, count: 32)
        )
    }

    private func quote(_ id: String, _ amount: UInt64, _ number: UInt8, key: [UInt8]? = nil) -> StoredMintQuote {
        StoredMintQuote(
            id: id,
            unit: .sat,
            amount: amount,
            request: "ln\(id)",
            paymentHash: [UInt8](repeating: number, count: 32),
            state: .unpaid,
            expiry: at.adding(seconds: 60),
            updatedAt: at,
            publicKey: key
        )
    }

    func answers() async throws {
        var store = try await make()
        try await store.add(
            KeysetRecord(info: KeysetInfo(id: keyset, unit: .sat, isActive: true, inputFeePPK: 0), counter: 0)
        )
        // Two quotes in one batch, one of them with a key; a third in another unit spoils it.
        let key = blob(7, 7)
        for (id, amount, number) in [("a", 4, 1), ("b", 8, 2), ("c", 2, 3)] as [(String, UInt64, UInt8)] {
            try await store.add(quote(id, amount, number, key: id == "b" ? key : nil))
        }
        try await store.markPaid(mintQuote: "a", at: at)
        let batch = [promise(1, 8), promise(2, 4)]
        func issue(_ quotes: [String], _ promises: [IssuedPromise], _ digest: RequestDigest?) async -> MintErrorCode? {
            await code { try await store.issue(promises, for: quotes, answering: digest, at: at) }
        }
        #expect(await issue(["a", "b"], batch, digest(1)) == .quoteNotPaid)
        try await store.markPaid(mintQuote: "b", at: at)
        #expect(await issue(["a", "b"], [promise(1, 8)], digest(1)) == .transactionNotBalanced)
        #expect(await issue(["a", "nothing"], batch, digest(1)) == .quoteExpired)
        #expect(await issue(["a", "b"], batch, digest(1)) == nil)
        #expect(await issue(["b"], [promise(3, 8)], digest(2)) == .quoteAlreadyIssued)
        store = try await reopen()
        #expect(try await store.mintQuote("b")?.publicKey == key)
        #expect(try await store.mintQuote("a")?.publicKey == nil)
        #expect(try await store.hasAnswered(mint: digest(1), quote: "a"))
        #expect(try await store.hasAnswered(mint: digest(1), quote: "b"))
        #expect(try await !store.hasAnswered(mint: digest(2), quote: "b"))
        #expect(try await !store.hasAnswered(mint: digest(1), quote: "c"))

        try await swaps(store)
        try await melts(store)
        #expect(try await store.audit().findings == [])
    }

    private func swaps(_ store: any MintStore) async throws {
        let later = at.adding(seconds: 3600)
        let proofs = [SpentProof(y: blob(1, 1), keyset: keyset, amount: 4)]
        try await store.spend(proofs, issuing: [promise(4, 4)], unit: .sat, answering: digest(3), at: at)
        // What is refused leaves no trace.
        let refused = await code {
            try await store.spend(proofs, issuing: [promise(5, 4)], unit: .sat, answering: digest(4), at: at)
        }
        #expect(refused == .proofsAlreadySpent)
        #expect(try await store.hasAnswered(swap: digest(3), from: at, to: at))
        #expect(try await store.hasAnswered(swap: digest(3), from: at, to: later))
        #expect(try await !store.hasAnswered(swap: digest(3), from: later, to: later))
        #expect(try await !store.hasAnswered(swap: digest(4), from: at, to: later))
        #expect(try await store.forgetAnswers(before: at, keeping: 1, count: 10) == 0)
        #expect(try await store.forgetAnswers(before: at, keeping: 0, count: 10) == 1)
        #expect(try await store.forgetAnswers(before: later, keeping: 0, count: 10) == 0)
        #expect(try await !store.hasAnswered(swap: digest(3), from: at, to: at))
    }

    private func melts(_ store: any MintStore) async throws {
        try await store.add(
            StoredMeltQuote(
                id: "m",
                unit: .sat,
                amount: 4,
                feeReserve: 0,
                request: "lnm",
                paymentHash: [UInt8](repeating: 9, count: 32),
                expiry: at.adding(seconds: 60),
                updatedAt: at
            )
        )
        let proofs = [SpentProof(y: blob(1, 4), keyset: keyset, amount: 4)]
        func begin(_ digest: RequestDigest) async throws {
            _ = try await store.beginMelt(
                "m",
                holding: proofs,
                fee: 0,
                blanks: [],
                changeInside: [],
                answering: digest,
                at: at
            )
        }
        try await begin(digest(5))
        #expect(try await store.hasAnswered(melt: digest(5), quote: "m"))
        try await store.releaseMelt("m", at: at)
        // It failed: that request was not answered, and another may be.
        #expect(try await !store.hasAnswered(melt: digest(5), quote: "m"))
        try await begin(digest(6))
        #expect(try await !store.hasAnswered(melt: digest(5), quote: "m"))
        #expect(try await store.hasAnswered(melt: digest(6), quote: "m"))
        try await store.releaseMelt("m", at: at)
    }
}
