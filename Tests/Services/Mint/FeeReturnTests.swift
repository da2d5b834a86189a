import CanonicalJSON
import Cashu
import Encodings
import Lightning
import Mint
import TestSupport
import Testing

/// Change of a melt over HTTP (NUT-08).
@Suite("Fee return (NUT-08)") struct FeeReturnTests {
    /// 1000 sat set aside for routing.
    private func fixture() async throws -> MintFixture {
        try await MintFixture(MintConfiguration(feeReserve: .init(permille: 0, minimumMsat: 1_000_000)))
    }

    @Test("NUT-08's example: a reserve of 1000, ten blank outputs, a fee of 100: 900 comes back as 4, 128, 256, 512")
    func example() async throws {
        let fixture = try await fixture()
        let coins = try await fixture.issue([65536, 32768, 2048, 512, 128, 8])
        let (quote, _) = try await fixture.meltQuote(100_000)
        #expect(quote.feeReserve == 1000)
        #expect(BlankOutputs.count(feeReserve: quote.feeReserve) == 10)
        fixture.lightning.set(.settles(feeMsat: 100_000))
        let blanks = try fixture.secrets(Array(repeating: 1, count: 10))
        let keyset = try fixture.keyset()
        try await fixture.serve { client in
            let answer = try await client.post("melt/bolt11", fixture.meltBody(quote, coins, blanks: blanks))
            let paid = try MeltQuote(json: answer.json)
            let change = try paid.changeProofs(for: blanks) { _ in keyset }
            #expect(change.map(\.amount) == [4, 128, 256, 512])
            // The six outputs that were not needed are free.
            let spare = try fixture.relabelled(blanks[9], 4)
            let swapped = try await client.post("swap", fixture.swapBody([change[0]], [spare]))
            #expect(swapped.status == 200)
        }
        try await fixture.requireSound()
    }

    @Test(
        "change whose answer was missed is got again: by the quote, by the same request, and from the outputs (NUT-09)"
    )
    func missed() async throws {
        let fixture = try await fixture()
        let coins = try await fixture.issue([1024, 64])
        let (quote, request) = try await fixture.meltQuote(80)
        let blanks = try fixture.secrets(Array(repeating: 1, count: 10))
        let body = try fixture.meltBody(quote, coins, blanks: blanks)
        fixture.lightning.set(.pends)
        let keyset = try fixture.keyset()
        try await fixture.serve { client in
            let pending = try await client.post("melt/bolt11", body)
            #expect(pending.json["state"] == "PENDING")
            #expect(pending.json["change"] == nil)
            let outputs = RestoreRequest(outputs: try blanks.map { try $0.output() }).json.serialized()
            // Held, but not signed yet.
            #expect(try await client.post("restore", outputs).json["signatures"]?.arrayValue?.isEmpty == true)
            try fixture.lightning.setPayment(
                request,
                .settled(preimage: fixture.lightning.preimage(request), feeMsat: 8_000)
            )
            let looked = try await client.get("melt/quote/bolt11/\(quote.quote)")
            let change = try MeltQuote(json: looked.json).changeProofs(for: blanks) { _ in keyset }
            #expect(change.map(\.amount).reduce(0, +) == 1000)
            #expect(try await client.post("melt/bolt11", body).json == looked.json)
            let restored = try RestoreResponse(json: await client.post("restore", outputs).json)
            #expect(try restored.proofs(for: blanks) { _ in keyset }.map(\.proof) == change)
        }
        try await fixture.reopen()
        try await fixture.serve { client in
            let looked = try await client.get("melt/quote/bolt11/\(quote.quote)")
            #expect(looked.json["change"]?.arrayValue?.count == 6)
        }
        try await fixture.requireSound()
    }

    @Test("an answer in advance (prefer_async) says PENDING; the change is with the quote afterwards")
    func inAdvance() async throws {
        let fixture = try await fixture()
        let coins = try await fixture.issue([1024, 64])
        let (quote, _) = try await fixture.meltQuote(80)
        let blanks = try fixture.secrets(Array(repeating: 1, count: 10))
        fixture.lightning.holdPayments()
        try await fixture.serve { client in
            let body = try fixture.meltBody(quote, coins, blanks: blanks, prefersAsync: true)
            let early = try await client.post("melt/bolt11", body)
            #expect((early.status, early.json["state"]) == (200, "PENDING"))
            await fixture.lightning.paymentIsWaiting()
            fixture.lightning.letPaymentsGo()
            var looked = try await client.get("melt/quote/bolt11/\(quote.quote)")
            while looked.json["state"] == "PENDING" {
                looked = try await client.get("melt/quote/bolt11/\(quote.quote)")
            }
            #expect(looked.json["state"] == "PAID")
            // 1008 = 512 + 256 + 128 + 64 + 32 + 16.
            #expect(looked.json["change"]?.arrayValue?.count == 6)
        }
        try await fixture.requireSound()
    }

    @Test("no blank outputs, no change; nothing overpaid, none either; too few give the largest parts")
    func edges() async throws {
        let fixture = try await fixture()
        for (blankCount, feeMsat, expected) in [
            (0, 0, nil), (10, 1_000_000, nil), (1, 100_000, [512]), (2, 100_000, [256, 512]),
        ] as [(Int, UInt64, [UInt64]?)] {
            let coins = try await fixture.issue([1024, 8])
            let (quote, _) = try await fixture.meltQuote(32)
            fixture.lightning.set(.settles(feeMsat: feeMsat))
            let blanks = try fixture.secrets(Array(repeating: 1, count: blankCount))
            let body = try fixture.meltBody(quote, coins, blanks: blanks)
            try await fixture.serve { client in
                let paid = try MeltQuote(json: await client.post("melt/bolt11", body).json)
                #expect(paid.state == .paid)
                #expect(paid.change?.map(\.amount) == expected)
            }
        }
        try await fixture.requireSound()
    }
}
