import CanonicalJSON
import Ethereum
import Paywall
import Settlement
import Synchronization
import Testing

@Suite("Another's facilitator, whose word is held against the chain")
struct WitnessTests {
    private let pending = X402Refusal.Code.settlementPending.rawValue

    /// A facilitator that says what a test tells it, and does what a test tells it.
    private final class Puppet: Facilitator {
        typealias Act = @Sendable (X402.FacilitatorRequest) async throws -> X402.SettleResponse
        let act: Mutex<Act>
        let asked = Mutex(0)

        init(_ act: @escaping Act) { self.act = Mutex(act) }

        func become(_ next: @escaping Act) { act.withLock { $0 = next } }

        func verify(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.VerifyResponse {
            X402.VerifyResponse(isValid: true)
        }

        func supported() async throws(SettlementError) -> X402.Supported {
            X402.Supported(kinds: [], extensions: [], signers: [:])
        }

        func settle(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.SettleResponse {
            asked.withLock { $0 += 1 }
            do {
                return try await act.withLock { $0 }(request)
            } catch {
                throw SettlementError(.unreachable, "\(error)")
            }
        }
    }

    private static func says(_ isSettled: Bool, _ request: X402.FacilitatorRequest) -> X402.SettleResponse {
        X402.SettleResponse(
            success: isSettled,
            errorReason: isSettled ? nil : "transaction_failed",
            transaction: isSettled ? "0x" + String(repeating: "ab", count: 32) : "",
            network: request.requirements.network
        )
    }

    private func witnessed(_ puppet: Puppet, _ fixture: SettlementFixture) throws -> WitnessedFacilitator {
        WitnessedFacilitator(
            puppet,
            chain: try JSONRPCChain(
                url: fixture.url,
                chainID: StandInChain.token.chainID,
                client: SettlementFixture.client
            ),
            clock: fixture.clock.wall,
            logger: SettlementFixture.logger,
            waitMilliseconds: 1000,
            sleep: { _ in }
        )
    }

    @Test("XEX-6: one that says it settled and did not is not believed; what it did is found, and named by the chain")
    func lies() async throws {
        try await SettlementFixture.run { fixture in
            let request = try fixture.request(fixture.authorization())
            let puppet = Puppet { Self.says(true, $0) }
            let witnessed = try witnessed(puppet, fixture)
            #expect(try await witnessed.settle(request).errorReason == pending)
            #expect(fixture.chain.tokens(of: fixture.payee) == .zero)
            let honest = try fixture.settler()
            puppet.become { try await honest.settle($0) }
            let settled = try await witnessed.settle(request)
            #expect(settled.success)
            #expect(settled.transaction != "0x" + String(repeating: "ab", count: 32))
            #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))
            // Asked again, the chain alone answers.
            let before = puppet.asked.withLock { $0 }
            #expect(try await witnessed.settle(request) == settled)
            #expect(puppet.asked.withLock { $0 } == before)
        }
    }

    @Test(
        "XEX-6: one that settles after it reported a failure, or hangs up: pending, then settled; never failed, never twice"
    )
    func settlesLate() async throws {
        try await SettlementFixture.run { fixture in
            let request = try fixture.request(fixture.authorization())
            let honest = try fixture.settler()
            let puppet = Puppet { Self.says(false, $0) }
            let witnessed = try witnessed(puppet, fixture)
            #expect(try await witnessed.settle(request).errorReason == pending)
            puppet.become { _ in throw SettlementError(.unreachable, "gone") }
            #expect(try await witnessed.settle(request).errorReason == pending)
            #expect(try await honest.settle(request).success)
            #expect(try await witnessed.settle(request).success)
            #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))
            puppet.become {
                _ = try await honest.settle($0)
                return Self.says(false, $0)
            }
            let second = try fixture.request(fixture.authorization(2))
            #expect(try await witnessed.settle(second).success)
        }
    }

    @Test("XEX-6: a payment ends as failed only when it can't be carried out any more, or was cancelled")
    func ends() async throws {
        try await SettlementFixture.run { fixture in
            let puppet = Puppet { Self.says(false, $0) }
            let witnessed = try witnessed(puppet, fixture)
            let request = try fixture.request(fixture.authorization(seconds: 600))
            fixture.clock.advance(601)
            #expect(try await witnessed.settle(request).errorReason == pending)
            fixture.clock.advance(WitnessedFacilitator.spareSeconds)
            #expect(
                try await witnessed.settle(request).errorReason
                    == "invalid_exact_evm_payload_authorization_valid_before"
            )
            #expect(puppet.asked.withLock { $0 } == 1)
        }
        try await SettlementFixture.run { fixture in
            let puppet = Puppet { Self.says(true, $0) }
            let witnessed = try witnessed(puppet, fixture)
            let authorization = try fixture.authorization()
            let cancel = try CancelAuthorization(authorizer: fixture.payer.address, nonce: authorization.nonce)
            let signature = fixture.payer.sign(digest: cancel.digest(for: StandInChain.token))
            _ = try fixture.elsewhere(cancel.callData(signature: signature))
            fixture.chain.mine()
            let answer = try await witnessed.settle(fixture.request(authorization))
            #expect(answer.errorReason == "invalid_exact_evm_nonce_already_used")
            #expect(puppet.asked.withLock { $0 } == 0)
            #expect(
                try await witnessed.verify(fixture.request(authorization)).invalidReason
                    == "invalid_exact_evm_nonce_already_used"
            )
        }
    }

    @Test("XEX-6: a chain that can't be asked knows nothing: nothing is handed over, nothing ends")
    func away() async throws {
        try await SettlementFixture.run { fixture in
            let puppet = Puppet { Self.says(true, $0) }
            let witnessed = try witnessed(puppet, fixture)
            let request = try fixture.request(fixture.authorization())
            fixture.chain.fail("eth_call", .proxyError)
            await #expect(throws: SettlementError.self) { try await witnessed.settle(request) }
            #expect(puppet.asked.withLock { $0 } == 0)
            fixture.clock.advance(10_000)
            fixture.chain.fail("eth_call", .proxyError)
            await #expect(throws: SettlementError.self) { try await witnessed.settle(request) }
        }
    }
}
