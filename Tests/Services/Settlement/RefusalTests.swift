import AsyncHTTPClient
import CanonicalJSON
import Ethereum
import Paywall
import Settlement
import Testing

@Suite("What is refused before anything is sent")
struct RefusalTests {
    private func code(_ body: () async throws -> Void) async -> SettlementError.Code? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? SettlementError)?.code
        }
    }

    @Test("What the chain or the operator says no to is refused by verify and settle alike, and nothing is recorded")
    func refusals() async throws {
        try await SettlementFixture.run { fixture in
            let settler = try fixture.settler()
            func reason(_ request: X402.FacilitatorRequest, _ settler: ChainSettler) async throws -> String? {
                let verified = try await settler.verify(request)
                let settled = try await settler.settle(request)
                #expect(!verified.isValid)
                #expect(!settled.success)
                #expect(settled.transaction == "")
                #expect(verified.invalidReason == settled.errorReason)
                return settled.errorReason
            }
            let request = try fixture.request(fixture.authorization())
            let rich = try fixture.request(fixture.authorization(value: 2_000_000))
            #expect(try await reason(rich, settler) == "invalid_exact_evm_insufficient_balance")
            var changed = request
            changed.requirements.amount = UInt256(9_999)
            #expect(try await reason(changed, settler) == "invalid_exact_evm_payload_authorization_value_mismatch")
            var elsewhere = request
            elsewhere.requirements.network = "eip155:8453"
            elsewhere.payment.network = "eip155:8453"
            #expect(try await reason(elsewhere, settler) == "invalid_network")
            var renamed = request
            renamed.requirements.extra?["name"] = "USD Coin"
            #expect(try await reason(renamed, settler) == "invalid_exact_evm_payload_signature")

            var foreign = fixture.configuration
            foreign.payees = []
            #expect(try await reason(request, fixture.settler(foreign)) == "invalid_payment_requirements")
            var tokens = fixture.configuration
            tokens.tokens = []
            #expect(try await reason(request, fixture.settler(tokens)) == "invalid_payment_requirements")

            let payer = fixture.payer.address
            fixture.chain.change { $0.codes[payer] = [0x60] }
            #expect(try await reason(renamed, settler) == "invalid_exact_evm_token_name_mismatch")
            fixture.chain.change { $0.codes = [:] }
            #expect(try await reason(request, settler) == "asset_not_deployed_contract")
            #expect(fixture.chain.look { $0.received.isEmpty })
        }
    }

    @Test("Too dear, too poor, too many, or on another chain: nothing is sent, and it says so")
    func limits() async throws {
        try await SettlementFixture.run { fixture in
            let request = try fixture.request(fixture.authorization())
            var cheap = fixture.configuration
            cheap.maximumFeePerGas = UInt256(1_099)
            #expect(await code { _ = try await fixture.settler(cheap).settle(request) } == .tooExpensive)
            var small = fixture.configuration
            small.maximumGas = StandInChain.gasOfTransfer - 1
            #expect(await code { _ = try await fixture.settler(small).settle(request) } == .tooExpensive)
            let account = fixture.operatorKey.address
            fixture.chain.change { $0.ledger.coins[account] = UInt256(1) }
            #expect(await code { _ = try await fixture.settler().settle(request) } == .tooExpensive)
            fixture.chain.change {
                $0.ledger.coins[account] = UInt256(1_000_000_000_000)
                $0.chainID = UInt256(1)
            }
            #expect(await code { _ = try await fixture.settler().settle(request) } == .wrongChain)
            fixture.chain.change {
                $0.chainID = StandInChain.token.chainID
                $0.minesAtOnce = false
            }
            var one = fixture.configuration
            one.maximumOpen = 1
            let settler = try fixture.settler(one)
            #expect(try await settler.settle(request).errorReason == "settlement_pending")
            let other = try fixture.request(fixture.authorization(2))
            #expect(await code { _ = try await settler.settle(other) } == .overloaded)
            #expect(fixture.chain.look { Set($0.received.map(\.hash)).count } == 1)
        }
    }

    @Test("A node that lies, or does not answer, is no word on the payment")
    func strangeNodes() async throws {
        try await SettlementFixture.run { fixture in
            let request = try fixture.request(fixture.authorization())
            let faults: [(String, ChainFault, SettlementError.Code)] = [
                ("eth_chainId", .proxyError, .noAnswer), ("eth_getCode", .lie("code"), .invalidAnswer),
                ("eth_getBalance", .lie("0x00"), .invalidAnswer), ("eth_blockNumber", .lie(7), .invalidAnswer),
                ("eth_getTransactionCount", .lie("-1"), .invalidAnswer), ("eth_call", .proxyError, .noAnswer),
                ("eth_getBlockByNumber", .lie([:]), .invalidAnswer), ("eth_call", .refusal(-32005, "limit"), .refused),
                ("eth_estimateGas", .lie("0xffffffffffffffffff"), .invalidAnswer),
                ("eth_estimateGas", .proxyError, .noAnswer),
            ]
            for (method, fault, expected) in faults {
                fixture.chain.fail(method, fault)
                let found = await code { _ = try await fixture.settler().settle(request) }
                #expect(found == expected, "\(method)")
                fixture.chain.change { $0.faults = [] }
            }
            #expect(fixture.chain.look { $0.received.isEmpty })
            // Once it is sent, lies leave it pending.
            for lie: JSONValue in [["status": "0x1"], "0x1", ["status": "0x2", "transactionHash": "0x", "logs": []]] {
                fixture.chain.fail("eth_getTransactionReceipt", .lie(lie), times: 50)
                #expect(try await fixture.settler().settle(request).errorReason == "settlement_pending")
                fixture.chain.change { $0.faults = [] }
            }
            #expect(try await fixture.settler().settle(request).success)
        }
        let nobody = try JSONRPCChain(url: "http://127.0.0.1:1", chainID: UInt256(1), client: SettlementFixture.client)
        #expect(await code { _ = try await nobody.blockNumber() } == .unreachable)
        #expect(throws: SettlementError.self) {
            try JSONRPCChain(url: "ftp://a", chainID: UInt256(1), client: SettlementFixture.client)
        }
    }
}
