import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Ethereum
import Paywall
import Storage
import Synchronization
import Testing

@testable import Wallet

@Suite("Buyer: calls paid over x402")
struct X402CallTests {
    private func record(of response: PaidResponse, _ buyer: Buyer) async throws -> PaymentRecord {
        let id = try #require(response.payment).id
        return try #require(try await buyer.payment(id))
    }

    @Test("The account is the first of any Ethereum wallet with the same recovery words (BIP-44)")
    func account() throws {
        let words = try Mnemonic(
            words: "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
        )
        let account = try WalletKeys(seed: words.seed()).evmAccount()
        #expect(account.address.description == "0x9858EfFD232B4033E47d90003D41EC34EcaEda94")
    }

    @Test("A token's worth is told by the configured decimals and rates alone, rounded up")
    func worth() throws {
        let rates = try PriceRates(["usd=10400"])
        let usdc = try EVMAsset("eip155:8453/\(X402Seller.usdc)=usd:6")
        #expect(try usdc.cost(of: UInt256(10_000), in: .usd, rates: rates) == 1)
        #expect(try usdc.cost(of: UInt256(10_001), in: .usd, rates: rates) == 2)
        #expect(try usdc.cost(of: UInt256(1), in: .usd, rates: rates) == 1)
        #expect(try usdc.cost(of: UInt256(10_000), in: .sat, rates: rates) == 11)
        #expect(try usdc.cost(of: UInt256(10_000), in: .msat, rates: rates) == 10_400)
        // A tenth of a cent is a tenth of its satoshis, not a cent's.
        #expect(try usdc.cost(of: UInt256(1000), in: .sat, rates: rates) == 2)
        let wide = try EVMAsset("eip155:1/\(X402Seller.usdc)=usd:18")
        let dollar = try UInt256(decimal: "1000000000000000000")
        #expect(try wide.cost(of: dollar, in: .usd, rates: rates) == 100)
        let coarse = try EVMAsset("eip155:1/\(X402Seller.usdc)=usd:0")
        #expect(try coarse.cost(of: UInt256(3), in: .usd, rates: rates) == 300)
        let bitcoin = try EVMAsset("eip155:1/\(X402Seller.usdc)=sat:8")
        #expect(try bitcoin.cost(of: UInt256(21), in: .sat, rates: rates) == 21)
        #expect(throws: WalletError.self) { try usdc.cost(of: .max, in: .usd, rates: rates) }
        #expect(throws: WalletError.self) { try usdc.cost(of: UInt256(1), in: .eur, rates: rates) }
        for wrong in [
            "", "eip155:1", "eip155:1/0x00=usd:6", "eip155:0/\(X402Seller.usdc)=usd:6", "base/\(X402Seller.usdc)=usd:6",
            "eip155:1/\(X402Seller.usdc)=usd:19", "eip155:1/\(X402Seller.usdc)=usd:-1",
            "eip155:1/\(X402Seller.usdc)=doge:8", "eip155:1/\(X402Seller.usdc)=usd:6=6",
        ] {
            #expect(throws: WalletError.self, "\(wrong)") { try EVMAsset(wrong) }
        }
    }

    @Test(
        "Either version is paid by one authorisation, which is on disk before it leaves",
        arguments: X402.Version.allCases
    )
    func pays(version: X402.Version) async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice)
            let kept = Mutex<[Bool]>([])
            line.seller.set { state in
                state.version = version
                state.accepts = [X402Seller.exact(version: version)]
                state.extensions = [
                    X402.PaymentIdentifier.id: .object(X402.PaymentIdentifier.declaration(isRequired: true))
                ]
                state.onPayment = { header in
                    let row = try? await alice.database.read { connection in
                        try connection.first("SELECT header FROM wallet_authorizations")?.text(0)
                    }
                    kept.withLock { $0.append(row == header) }
                }
            }
            try await alice.wallet.setLimit(100, on: .wallet)
            let response = try await buyer.pay(line.request())
            #expect(response.outcome == .served && response.status == 200)
            #expect(try await response.body.collect(upTo: 100) == Array("weather".utf8))
            #expect(kept.withLock { $0 } == [true])
            #expect(line.seller.charges == 1)
            let payment = try await record(of: response, buyer)
            #expect(payment.way == .x402Exact && payment.state == .served)
            #expect(payment.amount == 11 && payment.unit == .sat && payment.mint == nil)
            #expect(payment.paymentReceipt?.contains("0xabcd") == true)
            #expect(try await buyer.authorizationSummary(payment.id)?.state == "used")
            #expect(try await alice.wallet.limits().first?.spentToday == 11)
            let entry = try #require(try await alice.wallet.history().first)
            #expect(entry.change == -11 && entry.isOnChain)
            let paid = try #require(try X402.PaymentPayload.payment(headerValues: line.seller.shown))
            if version == .v2 {
                #expect(try X402.PaymentIdentifier.identifier(of: paid, isRequired: true) == payment.id)
            }
            let payload = try X402.ExactEVM.Payload(json: paid.payload)
            #expect(payload.authorization.from == (try alice.wallet.evmAddress()))
            let now = UInt64(line.world.time.now.secondsSince1970)
            #expect(payload.authorization.validBefore == UInt256(now + 60))
            #expect(try await alice.wallet.audit() == [])
            // Another call is another authorisation.
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            #expect(Set(line.seller.shown).count == 2 && line.seller.charges == 2)
        }
    }

    @Test("A lost answer, a full seller and a pending settlement are asked again with the same authorisation")
    func lostAnswers() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice, attempts: 5)
            line.seller.script(.drop, .pending, .turnAway, .serveThenDrop)
            let response = try await buyer.pay(line.request())
            #expect(try await response.body.collect(upTo: 100) == Array("weather".utf8))
            #expect(line.seller.shown.count == 5 && Set(line.seller.shown).count == 1)
            #expect(line.seller.charges == 1)
            #expect(try await record(of: response, buyer).state == .served)
        }
    }

    @Test("A seller that turns every attempt away holds the authorisation: it stays spent")
    func turnedAway() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice)
            line.seller.script(.turnAway, .turnAway, .turnAway)
            try await alice.wallet.setLimit(100, on: .wallet)
            #expect(await walletError { _ = try await buyer.pay(line.request(key: "one")) } == .outcomeUnknown)
            #expect(try await buyer.payment(idempotencyKey: "one")?.state == .pending)
            #expect(try await alice.wallet.limits().first?.spentToday == 11)
            // The same key goes on with the same one.
            let response = try await buyer.pay(line.request(key: "one"))
            #expect(try await response.body.collect(upTo: 100) == Array("weather".utf8))
            #expect(Set(line.seller.shown).count == 1 && line.seller.charges == 1)
        }
    }

    @Test(
        "A seller that answers a payment with a fresh 402 gets no second one, whatever it asks then",
        arguments: ["10000", "20000", "1"]
    )
    func freshChallenge(amount: String) async throws {
        try await X402Line.run { line in
            let alice = try await line.world.funded(1000)
            let buyer = try line.buyer(alice)
            let request = try PaymentRequest(amount: 50, unit: .sat, mints: [line.world.url])
            line.seller.set { state in
                state.otherHeaders = [("X-Cashu", request.serialized())]
            }
            line.seller.script(.challengeAgain(amount))
            try await alice.wallet.setLimit(100, on: .wallet)
            #expect(
                await walletError { _ = try await buyer.pay(line.request(maximum: 60, key: "one")) } == .paymentRefused
            )
            #expect(line.seller.shown.count == 1)
            #expect(try await buyer.payment(idempotencyKey: "one")?.state == .pending)
            // The same call under another key, while the seller may still use the first: not in any other way either.
            for via in [nil, PaymentVia.cashu, .x402] {
                #expect(
                    await walletError { _ = try await buyer.pay(line.request(maximum: 60, via: via)) }
                        == .outcomeUnknown
                )
            }
            #expect(line.seller.shown.count == 1 && line.seller.charges == 0)
            #expect(try await alice.available == 1000)
            #expect(try await alice.wallet.limits().first?.spentToday == 11)
            // It goes on being asked of the chain alone.
            let open = try #require(try await buyer.openPayments().first)
            #expect(try await buyer.resume(open.id).state == .pending)
            #expect(line.seller.shown.count == 1)
            // The authorisation has ended, and the chain says that it was not used: the limit is given back.
            line.world.time.advance(seconds: 60 + 121)
            #expect(try await buyer.resume(open.id).state == .refused)
            #expect(try await buyer.authorizationSummary(open.id)?.state == "lapsed")
            #expect(try await alice.wallet.limits().first?.spentToday == 0)
            line.seller.set { $0.accepts = [X402Seller.exact()] }
            _ = try await buyer.pay(line.request(key: "one")).body.collect(upTo: 100)
            #expect(line.seller.charges == 1 && Set(line.seller.shown).count == 2)
        }
    }

    @Test("What a chain that is behind, or does not answer, cannot say stays open")
    func chainBehind() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice)
            line.seller.script(.refuse("invalid_exact_evm_insufficient_balance"))
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .paymentRefused)
            let open = try #require(try await buyer.openPayments().first)
            #expect(open.code == "refused:invalid_exact_evm_insufficient_balance")
            line.world.time.advance(seconds: 3600)
            let authorization = try await buyer.authorization(of: open.id)
            for (block, isDown) in [(UInt64(authorization.validBefore), false), (UInt64.max, true)] {
                line.seller.set { ($0.blockSeconds, $0.isChainDown) = (block, isDown) }
                #expect(try await buyer.resume(open.id).state == .pending)
            }
            line.seller.set { ($0.blockSeconds, $0.isChainDown) = (UInt64(authorization.validBefore) + 121, false) }
            #expect(try await buyer.resume(open.id).state == .refused)
        }
    }

    @Test(
        "A seller that took the money and challenges again: the chain says so, nothing more is paid, and it may serve yet"
    )
    func takenAndRefused() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice)
            line.seller.script(.settleThenChallenge)
            #expect(await walletError { _ = try await buyer.pay(line.request(key: "one")) } == .paymentRefused)
            let payment = try #require(try await buyer.payment(idempotencyKey: "one"))
            #expect(payment.state == .unserved && payment.code == "settled-not-served")
            #expect(try await alice.wallet.history().first?.change == -11)
            // Asked again by its key, it shows the same payment.
            #expect(await walletError { _ = try await buyer.pay(line.request(key: "one")) } == .paymentRefused)
            #expect(Set(line.seller.shown).count == 1 && line.seller.charges == 1)
        }
    }

    @Test("Without a chain to ask, what ended unanswered counts as spent")
    func noChain() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice, hasChain: false)
            try await alice.wallet.setLimit(100, on: .wallet)
            line.seller.script(.notFound)
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .paymentRefused)
            let open = try #require(try await buyer.openPayments().first)
            line.world.time.advance(seconds: 60)
            #expect(try await buyer.resume(open.id).state == .pending)
            line.world.time.advance(seconds: 121)
            #expect(try await buyer.resume(open.id).state == .unserved)
            #expect(try await buyer.payment(open.id)?.code == "settlement-unknown")
            #expect(try await alice.wallet.limits().first?.spentToday == 11)
        }
    }

    @Test("A payment that another process left under way is sent again unchanged")
    func resumes() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice, attempts: 1)
            line.seller.script(.serveThenDrop)
            #expect(await walletError { _ = try await buyer.pay(line.request(key: "one")) } == .outcomeUnknown)
            await alice.close()
            let again = try await line.world.wallet()
            let other = try line.buyer(again)
            let open = try #require(try await other.openPayments().first)
            #expect(try await other.resume(open.id).state == .served)
            #expect(Set(line.seller.shown).count == 1 && line.seller.charges == 1)
            #expect(try await other.openPayments().isEmpty)
        }
    }
}
