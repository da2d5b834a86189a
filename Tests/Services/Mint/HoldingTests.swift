import Cashu
import Cryptography
import Storage
import Testing

@testable import Mint

/// Ecash that the node takes for its own calls, at its own mint ([CALL-24]).
@Suite("Proofs that are held for a call")
struct HoldingTests {
    private func hold(_ proofs: [Proof], at fixture: MintFixture) async throws {
        let (holding, ys) = (try fixture.mint.store, try Self.ys(proofs))
        try await fixture.database.write { try holding.hold(proofs, ys: ys, in: $0) }
    }

    private static func ys(_ proofs: [Proof]) throws -> [[UInt8]] {
        try proofs.map { try $0.hashedSecret().compressed }
    }

    @Test("nobody else can spend them; let go, they are good again")
    func held() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([4, 2])
        try await fixture.mint.recognise(proofs)
        try await hold(proofs, at: fixture)
        #expect(try await fixture.states(proofs) == [.pending, .pending])
        #expect(await code { try await fixture.swap(proofs, into: fixture.secrets([4, 2])) } == .proofsPending)
        await #expect(throws: MintError.self) { try await hold([proofs[0]], at: fixture) }
        try await fixture.requireSound()

        let (holding, ys) = (try fixture.mint.store, try Self.ys(proofs))
        try await fixture.database.write { try holding.release(ys, in: $0) }
        #expect(try await fixture.states(proofs) == [.unspent, .unspent])
        await #expect(throws: StorageError.self) {
            try await fixture.database.write { try holding.release(ys, in: $0) }
        }
        _ = try await fixture.swap(proofs, into: fixture.secrets([4, 2]))
        await #expect(throws: MintError.self) { try await hold(proofs, at: fixture) }
        try await fixture.requireSound()
    }

    @Test(
        "redeemed, they pay one quote, once, also where the answer was lost; the mint keeps its fee",
        arguments: [0, 250]
    )
    func redeemed(feePPK: UInt64) async throws {
        var configuration = MintConfiguration()
        configuration.units[0].inputFeePPK = feePPK
        let fixture = try await MintFixture(configuration)
        let proofs = try await fixture.issue([8, 4, 2, 2, 1])
        try await hold(proofs, at: fixture)
        let ys = try Self.ys(proofs)
        let quote = try await fixture.mint.redeem(held: ys, reference: "batch 1")
        let fee = feePPK == 0 ? 0 : 2
        #expect(quote.amount == UInt64(17 - fee) && quote.state == .paid && quote.unit == .sat)
        #expect(try await fixture.states(proofs).allSatisfy { $0 == .spent })
        #expect(try await fixture.mint.redeem(held: ys, reference: "batch 1") == quote)
        try await fixture.reopen()
        #expect(try await fixture.mint.redeem(held: ys, reference: "batch 1") == quote)
        await #expect(throws: StorageError.self) { try await fixture.mint.redeem(held: ys, reference: "batch 2") }

        let secrets = try fixture.secrets(feePPK == 0 ? [16, 1] : [8, 4, 2, 1])
        let coins = try fixture.unblind(try await fixture.mint.mint(fixture.mintBody(quote, secrets)), secrets)
        #expect(coins.count == secrets.count)
        #expect(
            await code { try await fixture.mint.mint(fixture.mintBody(quote, fixture.secrets([1]))) }
                == .quoteAlreadyIssued
        )
        #expect(
            await code { try await fixture.swap([proofs[0]], into: fixture.secrets(feePPK == 0 ? [8] : [4, 2, 1])) }
                == .proofsAlreadySpent
        )
        try await fixture.requireSound()
    }

    @Test("a batch with a proof that is not held spends none of them")
    func notHeld() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([4, 2])
        try await hold([proofs[0]], at: fixture)
        await #expect(throws: StorageError.self) {
            try await fixture.mint.redeem(held: Self.ys(proofs), reference: "batch")
        }
        #expect(try await fixture.states(proofs) == [.pending, .unspent])
        try await fixture.requireSound()
    }

    @Test("what the mint did not sign is told apart")
    func foreign() async throws {
        let fixture = try await MintFixture()
        var proofs = try await fixture.issue([4, 2])
        proofs[0].amount = 2
        let changed = proofs
        await #expect(throws: MintError.self) { try await fixture.mint.recognise(changed) }
    }
}
