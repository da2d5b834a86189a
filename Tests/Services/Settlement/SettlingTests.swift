import CanonicalJSON
import Ethereum
import Paywall
import Settlement
import Storage
import Testing

@Suite("Settling on a chain: once, and never called failed while it is unknown")
struct SettlingTests {
    private let pending = X402Refusal.Code.settlementPending.rawValue

    @Test("A payment is checked, carried out once, and answered the same again; then it counts as used")
    func once() async throws {
        try await SettlementFixture.run { fixture in
            let settler = try fixture.settler()
            let request = try fixture.request(fixture.authorization())
            #expect(
                try await settler.verify(request)
                    == X402.VerifyResponse(isValid: true, payer: fixture.payer.address.description)
            )
            let settled = try await settler.settle(request)
            #expect(settled.success)
            #expect(settled.network == SettlementFixture.network)
            // [LOG-1]: once, though it is asked for again below.
            let logged = try await fixture.database.read { try Outbox().pending(limit: 9, in: $0) }
            #expect(logged.map(\.kind) == ["settlement"])
            #expect(try JSONValue.parse(logged[0].document)["outcome"]?.stringValue == "settled")
            #expect(settled.amount == "10000")
            #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))
            #expect(fixture.chain.tokens(of: fixture.payer.address) == UInt256(990_000))
            #expect(try await settler.settle(request) == settled)
            #expect(fixture.chain.look { $0.received.count } == 1)
            let again = try await settler.verify(request)
            #expect(again.invalidReason == "invalid_exact_evm_nonce_already_used")
            // The same authorisation for something else is no second payment.
            let other = try await settler.settle(
                fixture.request(fixture.authorization(), resource: "https://a.example/y")
            )
            #expect(other.errorReason == "invalid_exact_evm_nonce_already_used")
            #expect(fixture.chain.look { $0.received.count } == 1)
        }
    }

    @Test("What ended long ago is forgotten, and counts as used by the chain's word")
    func forgetting() async throws {
        try await SettlementFixture.run { fixture in
            let settler = try fixture.settler()
            let request = try fixture.request(fixture.authorization(seconds: 100 * 86_400))
            let settled = try await settler.settle(request)
            fixture.clock.advance(29 * 86_400)
            try await settler.forget()
            #expect(try await settler.settle(request) == settled)
            #expect(try await fixture.database.read { try Outbox().count(in: $0) } == 1)
            fixture.clock.advance(2 * 86_400)
            try await settler.forget()
            #expect(try await settler.settle(request).errorReason == "invalid_exact_evm_nonce_already_used")
            #expect(fixture.chain.look { $0.received.count } == 1)
        }
    }

    @Test("Many at once have nonces one after the other, none twice and none left out")
    func many() async throws {
        try await SettlementFixture.run { fixture in
            let settler = try fixture.settler()
            let answers = try await withThrowingTaskGroup(of: X402.SettleResponse.self) { group in
                for number in 1...20 {
                    let request = try fixture.request(fixture.authorization(UInt8(number)))
                    group.addTask { try await settler.settle(request) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            fixture.chain.mine()
            await settler.maintain()
            for number in 1...20 {
                let settled = try await settler.settle(fixture.request(fixture.authorization(UInt8(number))))
                #expect(settled.success)
            }
            #expect(answers.count == 20)
            let nonces = fixture.chain.look { Set($0.received.map(\.transaction.nonce)) }
            #expect(nonces == Set(0..<20))
            #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(200_000))
        }
    }

    @Test("One payment asked for ten times at once is one transaction")
    func raced() async throws {
        try await SettlementFixture.run { fixture in
            let settler = try fixture.settler()
            let request = try fixture.request(fixture.authorization())
            let answers = try await withThrowingTaskGroup(of: X402.SettleResponse.self) { group in
                for _ in 0..<10 { group.addTask { try await settler.settle(request) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            // None is told that the nonce is used: that would be an end, though the money came.
            #expect(answers.allSatisfy { $0.success || $0.errorReason == pending })
            #expect(answers.contains { $0.success })
            #expect(fixture.chain.look { Set($0.received.map(\.hash)).count } == 1)
            #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))
        }
    }

    @Test("An answer that is lost, or a proxy's error, leaves the payment pending, and the same transaction is found")
    func lostAnswers() async throws {
        for fault in [ChainFault.silence, .proxyError, .refusal(-32000, "busy")] {
            try await SettlementFixture.run { fixture in
                fixture.chain.change { $0.minesAtOnce = false }
                fixture.chain.fail("eth_sendRawTransaction", fault, times: 100)
                let settler = try fixture.settler(timeoutMilliseconds: 10_000)
                let request = try fixture.request(fixture.authorization())
                var configuration = fixture.configuration
                configuration.waitMilliseconds = 0
                let impatient = try fixture.settler(configuration, timeoutMilliseconds: 10_000)
                let answer = try await impatient.settle(request)
                #expect(!answer.success)
                #expect(answer.errorReason == pending)
                #expect(answer.transaction.count == 66)
                fixture.chain.change {
                    $0.faults = []
                    $0.minesAtOnce = true
                }
                await settler.maintain()
                fixture.chain.mine()
                let settled = try await settler.settle(request)
                #expect(settled.success)
                #expect(settled.transaction == answer.transaction)
                #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))
            }
        }
    }

    @Test("A restart in the middle sends the very same bytes again")
    func restart() async throws {
        try await SettlementFixture.run { fixture in
            fixture.chain.change { $0.dropsWhatComes = true }
            let request = try fixture.request(fixture.authorization())
            let first = try await fixture.settler().settle(request)
            #expect(first.errorReason == pending)
            let sent = fixture.chain.look { $0.received.map(\.raw) }
            fixture.chain.change { $0.dropsWhatComes = false }
            let restarted = try fixture.settler()
            await restarted.maintain()
            #expect(fixture.chain.look { Set($0.received.map(\.raw)) } == Set(sent))
            let settled = try await restarted.settle(request)
            #expect(settled.success)
            #expect(settled.transaction == first.transaction)
        }
    }

    @Test("A payment under way gets its outcome though its time has run out meanwhile")
    func late() async throws {
        try await SettlementFixture.run { fixture in
            fixture.chain.change { $0.minesAtOnce = false }
            let settler = try fixture.settler()
            let request = try fixture.request(fixture.authorization())
            #expect(try await settler.settle(request).errorReason == pending)
            fixture.chain.mine()
            fixture.clock.advance(10_000)
            #expect(try await settler.settle(request).success)
            let other = try await settler.settle(fixture.request(fixture.authorization(2)))
            #expect(other.errorReason == "invalid_exact_evm_payload_authorization_valid_before")
        }
    }

    @Test("A fee that is too low is raised in the same place, up to the operator's limit")
    func raising() async throws {
        try await SettlementFixture.run { fixture in
            fixture.chain.change { $0.minesAtOnce = false }
            let settler = try fixture.settler()
            let request = try fixture.request(fixture.authorization())
            let answer = try await settler.settle(request)
            fixture.chain.change { $0.baseFee = UInt256(40_000) }
            fixture.chain.mine()
            await settler.maintain()
            #expect(fixture.chain.look { Set($0.received.map(\.hash)).count } == 1)
            fixture.clock.advance(31)
            await settler.maintain()
            let received = fixture.chain.look { $0.pool }
            #expect(received.count == 1)
            #expect(received.first?.transaction.nonce == 0)
            #expect(received.first?.transaction.maximumFeePerGas == UInt256(80_113))
            // Over the limit nothing is raised any more.
            fixture.chain.change { $0.baseFee = UInt256(200_000) }
            for _ in 0..<3 {
                fixture.clock.advance(31)
                await settler.maintain()
            }
            #expect(
                fixture.chain.look { $0.received.allSatisfy { $0.transaction.maximumFeePerGas <= UInt256(100_000) } }
            )
            fixture.chain.change { $0.baseFee = UInt256(1_000) }
            fixture.chain.mine()
            let settled = try await settler.settle(request)
            #expect(settled.success)
            #expect(settled.transaction != answer.transaction)
            #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))
        }
    }

    @Test("A block that is undone before it is deep enough counts for nothing")
    func reorganisation() async throws {
        try await SettlementFixture.run { fixture in
            fixture.chain.change { $0.minesAtOnce = false }
            var configuration = fixture.configuration
            configuration.confirmations = 3
            let settler = try fixture.settler(configuration)
            let request = try fixture.request(fixture.authorization())
            #expect(try await settler.settle(request).errorReason == pending)
            fixture.chain.mine(2)
            #expect(try await settler.settle(request).errorReason == pending)
            fixture.chain.undo(2, keepsTransactions: false)
            fixture.chain.mine(5)
            #expect(try await settler.settle(request).errorReason == pending)
            #expect(fixture.chain.tokens(of: fixture.payee) == .zero)
            await settler.maintain()
            fixture.chain.mine(3)
            #expect(try await settler.settle(request).success)
            #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))
        }
    }

    @Test("Where another carries the same authorisation out first, the payment is settled by that")
    func overtaken() async throws {
        try await SettlementFixture.run { fixture in
            fixture.chain.change { $0.minesAtOnce = false }
            let settler = try fixture.settler()
            let authorization = try fixture.authorization()
            let request = fixture.request(authorization)
            #expect(try await settler.settle(request).errorReason == pending)
            let signature = authorization.sign(for: StandInChain.token, key: fixture.payer)
            let other = try fixture.elsewhere(authorization.callData(signature: signature))
            fixture.chain.mine()
            let settled = try await settler.settle(request)
            #expect(settled.success)
            #expect(settled.transaction == EthereumHex.text(other.hash))
            #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))
        }
    }

    @Test("Where the payer cancels it, or has nothing left, the payment has failed, and only then")
    func failures() async throws {
        try await SettlementFixture.run { fixture in
            fixture.chain.change { $0.minesAtOnce = false }
            let settler = try fixture.settler()
            let first = try fixture.request(fixture.authorization())
            #expect(try await settler.settle(first).errorReason == pending)
            let cancel = try CancelAuthorization(
                authorizer: fixture.payer.address,
                nonce: fixture.authorization().nonce
            )
            let signature = fixture.payer.sign(digest: cancel.digest(for: StandInChain.token))
            _ = try fixture.elsewhere(cancel.callData(signature: signature))
            fixture.chain.mine()
            #expect(try await settler.settle(first).errorReason == "invalid_exact_evm_nonce_already_used")

            let second = try fixture.request(fixture.authorization(2))
            #expect(try await settler.settle(second).errorReason == pending)
            let holder = fixture.payer.address
            fixture.chain.change { $0.ledger.tokens[holder] = .zero }
            fixture.chain.mine()
            let failed = try await settler.settle(second)
            #expect(failed.errorReason == "transaction_failed")
            #expect(failed.transaction.count == 66)
            #expect(fixture.chain.tokens(of: fixture.payee) == .zero)
        }
    }

    @Test("A nonce that went to another transaction of the account is replaced by a new one")
    func takenNonce() async throws {
        try await SettlementFixture.run { fixture in
            fixture.chain.change { $0.dropsWhatComes = true }
            let settler = try fixture.settler()
            let request = try fixture.request(fixture.authorization())
            #expect(try await settler.settle(request).errorReason == pending)
            fixture.chain.change { $0.dropsWhatComes = false }
            let foreign = try fixture.elsewhere([0, 1, 2, 3], key: fixture.operatorKey)
            fixture.chain.mine()
            #expect(fixture.chain.look { $0.ledger.receipts[foreign.hash] != nil })
            await settler.maintain()
            #expect(fixture.chain.tokens(of: fixture.payee) == .zero)
            fixture.clock.advance(31)
            await settler.maintain()
            #expect(try await settler.settle(request).success)
            #expect(fixture.chain.tokens(of: fixture.payee) == UInt256(10_000))
        }
    }
}
