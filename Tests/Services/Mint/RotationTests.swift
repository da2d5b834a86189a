import CanonicalJSON
import Cashu
import Encodings
import Lightning
import Mint
import Storage
import TestSupport
import Testing

/// Rotation by schedule, expiry, and units that are worth what the operator says.
@Suite struct RotationTests {
    private static let day: Int64 = 86_400

    @Test("By schedule a keyset is followed once it has signed long enough, not before, and stays redeemable")
    func schedule() async throws {
        let fixture = try await MintFixture(MintConfiguration(rotationSeconds: 7 * Self.day))
        let first = try fixture.keyset().id
        let proofs = try await fixture.issue([8])
        fixture.time.advance(seconds: 7 * Self.day - 1)
        #expect(try await fixture.mint.rotateDueKeysets() == [])
        fixture.time.advance(seconds: 1)
        let rotated = try await fixture.mint.rotateDueKeysets()
        #expect(rotated == [try fixture.keyset().id] && rotated != [first])
        #expect(try await fixture.mint.rotateDueKeysets() == [])
        _ = try await fixture.swap(proofs, into: fixture.secrets([8]))
        // The age counts from the making, across restarts.
        fixture.time.advance(seconds: 6 * Self.day)
        try await fixture.reopen()
        #expect(try await fixture.mint.rotateDueKeysets() == [])
        fixture.time.advance(seconds: Self.day)
        #expect(try await fixture.mint.rotateDueKeysets().count == 1)
        #expect(try fixture.mint.allKeysets.count == 3)
        try await fixture.requireSound()
    }

    @Test("Without a schedule nothing rotates by itself; two rotations at once leave one of them refused")
    func byHand() async throws {
        let fixture = try await MintFixture()
        fixture.time.advance(seconds: 10_000 * Self.day)
        #expect(try await fixture.mint.rotateDueKeysets() == [])
        let mint = try fixture.mint
        let outcomes = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 { group.addTask { (try? await mint.rotate(.sat)) != nil } }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(outcomes >= 1)
        #expect(mint.allKeysets.count == 1 + outcomes)
        #expect(mint.activeKeysets.count == 1)
        await #expect(throws: MintSetupError.self) { try await mint.rotate(.usd) }
    }

    @Test(
        "Keysets that end by their age overlap: the old one is redeemed until its expiry, then 12003, and never listed active"
    )
    func lifetime() async throws {
        let unit = MintConfiguration.Unit(unit: .sat, lifetimeSeconds: 30 * Self.day)
        let fixture = try await MintFixture(MintConfiguration(units: [unit], rotationSeconds: 20 * Self.day))
        let first = try fixture.keyset()
        let start = UInt64(MintFixture.start.secondsSince1970)
        #expect(first.info.finalExpiry == start + UInt64(30 * Self.day))
        let early = try await fixture.issue([8])
        let late = try await fixture.issue([4])
        fixture.time.advance(seconds: 20 * Self.day)
        try await fixture.mint.rotateDueKeysets()
        #expect(try fixture.keyset().info.finalExpiry == start + UInt64(50 * Self.day))
        fixture.time.advance(seconds: 10 * Self.day - 1)
        let kept = try await fixture.swap(early, into: fixture.secrets([8]))
        fixture.time.advance(seconds: 1)
        #expect(await code { try await fixture.swap(late, into: fixture.secrets([4])) } == .keysetExpired)
        _ = try await fixture.swap(kept, into: fixture.secrets([8]))
        let list = try KeysetsResponse(json: .parse(try fixture.mint.keysetList, limits: .amounts))
        #expect(list.keysets.map(\.isActive) == [false, true])
        // A mint that slept through it all wakes with a keyset that signs.
        fixture.time.advance(seconds: 100 * Self.day)
        try await fixture.reopen()
        _ = try await fixture.issue([2])
        try await fixture.requireSound()
    }

    @Test("An active keyset with a fixed expiry is not listed active after it, without a restart")
    func expiredIsNotActive() async throws {
        let expiry = UInt64(MintFixture.start.secondsSince1970 + 100)
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat, finalExpiry: expiry)]))
        let keyset = try fixture.keyset()
        fixture.time.advance(seconds: 99)
        #expect(try fixture.mint.activeKeysets == [keyset])
        fixture.time.advance(seconds: 1)
        #expect(try fixture.mint.activeKeysets == [])
        #expect(try KeysResponse(json: .parse(try fixture.mint.activeKeys, limits: .amounts)).keysets == [])
        let list = try KeysetsResponse(json: .parse(try fixture.mint.keysetList, limits: .amounts))
        #expect(list.keysets.map(\.isActive) == [false])
        #expect(await code { try await fixture.mint.rotate(.sat) } != nil)
    }

    @Test("Expiry by age without a rotation that comes before it is refused, as are rates that cannot be")
    func refused() async throws {
        let wrong: [MintConfiguration] = [
            MintConfiguration(units: [.init(unit: .sat, lifetimeSeconds: 100)]),
            MintConfiguration(units: [.init(unit: .sat, lifetimeSeconds: 100)], rotationSeconds: 100),
            MintConfiguration(units: [.init(unit: .sat, finalExpiry: 1, lifetimeSeconds: 100)], rotationSeconds: 10),
            MintConfiguration(rotationSeconds: 0),
            MintConfiguration(units: [.init(unit: .sat, msatPerUnit: 1000)]),
            MintConfiguration(units: [.init(unit: .usd, msatPerUnit: 0)]),
            MintConfiguration(units: [.init(unit: .usd, msatPerUnit: 1_000_000)]),
            MintConfiguration(units: [.init(unit: .auth)]),
        ]
        for configuration in wrong {
            await #expect(throws: MintSetupError.self) { _ = try await MintFixture(configuration) }
        }
    }

    @Test(
        "A unit without a rate is neither minted nor melted (11013, saying which setting), told in no method, but kept"
    )
    func withoutRate() async throws {
        let fixture = try await MintFixture(MintConfiguration(units: [.init(unit: .sat), .init(unit: .usd)]))
        #expect(try fixture.mint.activeKeysets.map(\.unit) == [.sat, .usd])
        #expect(try fixture.mint.info.mintMethods.map(\.unit) == [.sat])
        #expect(try fixture.mint.info.meltMethods.map(\.unit) == [.sat])
        do {
            _ = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 5, unit: .usd))
            Issue.record("a quote in usd was given without a rate")
        } catch {
            let refusal = MintFailure(sorting: error).error
            #expect(refusal.code == .unitNotSupported && refusal.detail.contains("mint.rates"))
        }
        let invoice = try fixture.lightning.foreignInvoice(amountMsat: 5000)
        let melt = MeltQuoteRequest(request: invoice, unit: .usd)
        #expect(await code { try await fixture.mint.requestMeltQuote(melt) } == .unitNotSupported)
    }

    @Test(
        "usd at the operator's rate: minted for its msat, melted rounded up, and a quote keeps the rate it was made at"
    )
    func rated() async throws {
        let usd = MintConfiguration.Unit(unit: .usd, msatPerUnit: 9_000, maximumAmount: 1_000_000)
        let fixture = try await MintFixture(
            MintConfiguration(units: [usd], feeReserve: .init(permille: 0, minimumMsat: 18_000))
        )
        let mint = try fixture.mint
        let quote = try await mint.requestMintQuote(MintQuoteRequest(amount: 64, unit: .usd))
        #expect(try BOLT11Invoice(decoding: quote.request).amountMsat == 576_000)
        // 100,000 msat is 11.11 cents: 12. The reserve of 18,000 msat is 2.
        let invoice = try fixture.lightning.foreignInvoice(amountMsat: 100_000)
        let melt = try await mint.requestMeltQuote(MeltQuoteRequest(request: invoice, unit: .usd))
        #expect((melt.amount, melt.feeReserve) == (12, 2))
        // At another rate from now on; both quotes stand as they were given.
        let dear = MintConfiguration(
            units: [.init(unit: .usd, msatPerUnit: 30_000, maximumAmount: 1_000_000)],
            feeReserve: .init(permille: 0, minimumMsat: 18_000)
        )
        try await fixture.reopen(with: dear)
        try fixture.lightning.receive(quote.request)
        let secrets = try fixture.secrets([64], of: fixture.keyset(.usd).id)
        let proofs = try fixture.unblind(try await fixture.mint.mint(fixture.mintBody(quote, secrets)), secrets)
        fixture.lightning.set(.settles(feeMsat: 9_001))
        let blanks = try fixture.secrets([1, 1, 1, 1, 1, 1], of: fixture.keyset(.usd).id)
        let paid = try await fixture.melt(melt, proofs, blanks: blanks)
        let keyset = try fixture.keyset(.usd)
        // 64 less 12 less 2 (9,001 msat at 9,000 each, rounded up).
        #expect(try paid.changeProofs(for: blanks) { _ in keyset }.map(\.amount).reduce(0, +) == 50)
        #expect(fixture.lightning.lastMaximumFeeMsat == 18_000)
        try await fixture.requireSound()
    }
}
