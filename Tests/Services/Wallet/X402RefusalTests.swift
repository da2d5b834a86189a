import CanonicalJSON
import Cashu
import Encodings
import Ethereum
import Lightning
import Paywall
import Storage
import Synchronization
import Testing

@testable import Wallet

@Suite("Buyer: what x402 may not do, and which offer is taken")
struct X402RefusalTests {
    /// Nothing is signed for it.
    struct Case: Sendable, CustomStringConvertible {
        var description: String
        var code: WalletError.Code
        var maximum: UInt64 = 20
        var unit = CurrencyUnit.sat
        var rates = ["usd=10400"]
        var change: @Sendable (inout X402Seller.State) -> Void = { _ in }
    }

    static let cases: [Case] = [
        Case(description: "over the most it may cost", code: .limitExceeded, maximum: 10),
        Case(description: "over it in the token's own unit", code: .limitExceeded, maximum: 1, unit: .usd) {
            $0.accepts = [X402Seller.exact(10_001)]
        },
        Case(description: "another token", code: .assetUntrusted) {
            $0.accepts = [X402Seller.exact(asset: "0x0000000000000000000000000000000000000001")]
        },
        Case(description: "the token of another chain", code: .assetUntrusted) {
            $0.accepts[0].network = "eip155:8453"
        },
        Case(description: "no EVM chain", code: .assetUntrusted) {
            $0.accepts[0].network = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
        },
        Case(description: "decimals that make it look cheap", code: .limitExceeded) {
            $0.accepts = [
                X402Seller.exact(
                    10_000_000,
                    extra: ["name": "USDC", "version": "2", "decimals": 18, "amount": "1", "price": "$0.01"]
                )
            ]
        },
        Case(description: "no rate", code: .challengeUnusable, rates: []),
        Case(description: "nobody to pay", code: .challengeUnusable) {
            $0.accepts = [X402Seller.exact(payTo: "0x0000000000000000000000000000000000000000")]
        },
        Case(description: "a mistyped payee", code: .challengeUnusable) {
            $0.accepts = [X402Seller.exact(payTo: "0x209693Bc6afc0C5328bA36FaF03C514EF312287c")]
        },
        Case(description: "Permit2", code: .challengeUnusable) {
            $0.accepts = [X402Seller.exact(extra: ["name": "USDC", "version": "2", "assetTransferMethod": "permit2"])]
        },
        Case(description: "escrow", code: .challengeUnusable) {
            $0.accepts = [X402Seller.exact(extra: ["name": "USDC", "version": "2", "paymentFlow": "escrow"])]
        },
        Case(description: "no domain", code: .challengeUnusable) { $0.accepts = [X402Seller.exact(extra: [:])] },
        Case(description: "no time", code: .challengeUnusable) { $0.accepts = [X402Seller.exact(timeout: 5)] },
        Case(description: "nothing", code: .challengeUnusable) { $0.accepts = [X402Seller.exact(0)] },
        Case(description: "another scheme", code: .challengeUnusable) { $0.accepts[0].scheme = "upto" },
        Case(description: "an empty account", code: .insufficientFunds) { $0.balance = UInt256(9999) },
        Case(description: "line ends in a name", code: .challengeUnusable) {
            $0.accepts[0].asset = X402Seller.usdc + "\r\nX-Payment: a"
        },
        Case(description: "no base64", code: .challengeUnusable) {
            $0.challenge = .answer(status: 402, headers: [(X402.challengeHeader, "%%%")])
        },
        Case(description: "two challenges", code: .challengeUnusable) {
            let required = X402.PaymentRequired(version: .v2, accepts: $0.accepts)
            let header = Base64.encode(JSONValue.object(required.json).serialized())
            $0.challenge = .answer(
                status: 402,
                headers: [(X402.challengeHeader, header), (X402.challengeHeader, header)]
            )
        },
        Case(description: "33 offers", code: .challengeUnusable) {
            $0.accepts = Array(repeating: X402Seller.exact(), count: 33)
        },
        Case(description: "10,000 offers", code: .challengeUnusable) {
            $0.version = .v1
            $0.accepts = Array(repeating: X402Seller.exact(version: .v1), count: 10_000)
        },
        Case(description: "a header of a megabyte", code: .serviceUnreachable) {
            $0.challenge = .answer(
                status: 402,
                headers: [(X402.challengeHeader, String(repeating: "A", count: 1 << 20))]
            )
        },
    ]

    @Test("Nothing is signed for an offer that must not be paid", arguments: cases)
    func refused(it: Case) async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice, rates: it.rates)
            line.seller.set { it.change(&$0) }
            #expect(
                await walletError { _ = try await buyer.pay(line.request(maximum: it.maximum, unit: it.unit)) }
                    == it.code
            )
            #expect(line.seller.shown.isEmpty)
            #expect(try await buyer.payments().isEmpty)
            let signed = try await alice.database.read { connection in
                try connection.first("SELECT count(*) FROM wallet_authorizations")?.int64(0)
            }
            #expect(signed == 0)
            // A dry run says the same, and pays nothing either.
            guard it.code != .serviceUnreachable else { return }
            let preview = try await buyer.preview(line.request(maximum: it.maximum, unit: it.unit))
            #expect(preview.status == 402 && preview.picked == nil && !preview.offers.isEmpty)
            #expect(preview.offers.contains { $0.obstacle?.code == it.code }, "\(preview)")
        }
    }

    @Test("What the account holds is not counted twice: of eight calls at once no more are signed than it covers")
    func balance() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice)
            let refused = Count()
            line.seller.set {
                $0.balance = UInt256(29_999)
                // All eight are under way at once: what is settled would not be counted, nor be in the account, any more.
                $0.onPayment = { _ in
                    for _ in 0..<2_000 where refused.value.withLock({ $0 < 6 }) {
                        try? await Task.sleep(for: .milliseconds(5))
                    }
                }
            }
            let request = line.request()
            let codes = await withTaskGroup(of: WalletError.Code?.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        do {
                            _ = try await buyer.pay(request).body.collect(upTo: 100)
                            return nil
                        } catch {
                            refused.value.withLock { $0 += 1 }
                            return (error as? WalletError)?.code
                        }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(codes.filter { $0 == nil }.count == 2)
            #expect(codes.filter { $0 == .insufficientFunds }.count == 6)
        }
    }

    @Test("The agent's limit and the days' limits hold before anything is signed, also for sixteen calls at once")
    func limits() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.wallet()
            let buyer = try line.buyer(alice)
            var request = line.request()
            request.agent = "a"
            request.spendingLimit = SpendingLimit(10, windowSeconds: 86_400)
            #expect(await walletError { _ = try await buyer.pay(request) } == .limitExceeded)
            for subject in [LimitSubject.host("127.0.0.1"), .wallet, .agent("a")] {
                try await alice.wallet.setLimit(10, on: subject)
                request.spendingLimit = nil
                #expect(await walletError { _ = try await buyer.pay(request) } == .limitExceeded)
                try await alice.wallet.removeLimit(on: subject)
            }
            #expect(line.seller.shown.isEmpty)
            request.spendingLimit = SpendingLimit(33, windowSeconds: 86_400)
            let limited = request
            let served = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        guard let response = try? await buyer.pay(limited) else { return false }
                        return (try? await response.body.collect(upTo: 100)) != nil
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(served == 3 && line.seller.charges == 3)
        }
    }

    @Test("Of several offers the cheapest is paid; of two that cost the same, ecash")
    func picking() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.funded(1000)
            let buyer = try line.buyer(alice)
            func ecash(_ amount: UInt64) throws -> [(String, String)] {
                let mints = [line.world.url]
                return [("X-Cashu", try PaymentRequest(amount: amount, unit: .sat, mints: mints).serialized())]
            }
            let dear = try ecash(12)
            line.seller.set { $0.otherHeaders = dear }
            var preview = try await buyer.preview(line.request())
            #expect(preview.picked?.way == .x402Exact && preview.picked?.cost == 11)
            #expect(preview.offers.map(\.way) == [.cashu, .x402Exact])
            #expect(preview.offers.map(\.cost) == [12, 11])
            #expect(preview.offers.last?.network == "eip155:84532" && preview.offers.last?.amount == "10000")
            let response = try await buyer.pay(line.request())
            #expect(response.payment?.way == .x402Exact)
            _ = try await response.body.collect(upTo: 100)
            let equal = try ecash(11)
            line.seller.set { $0.otherHeaders = equal }
            preview = try await buyer.preview(line.request())
            #expect(preview.picked?.way == .cashu)
            preview = try await buyer.preview(line.request(via: .x402))
            #expect(preview.picked?.way == .x402Exact)
            #expect(preview.offers.first { $0.way == .cashu }?.obstacle != nil)
            // The call may have an Authorization of its own, as this payment needs none.
            let own = line.request(via: .x402, headers: [("Authorization", "Bearer abc")])
            _ = try await buyer.pay(own).body.collect(upTo: 100)
            #expect(line.seller.charges == 2)
            #expect(try await alice.available == 1000)
        }
    }

    @Test("Ecash and Lightning go over the same wire, and are paid as their pages say")
    func ourSchemes() async throws {
        try await X402Line.run { line in
            let alice = try await line.world.funded(1000)
            let buyer = try line.buyer(alice)
            let seller = try TestSeller(world: line.world)
            let mint = line.world.url
            line.seller.set {
                $0.accepts = [
                    X402.CashuScheme.requirements(
                        amount: 7,
                        unit: .sat,
                        mint: mint,
                        sellerKey: seller.publicKey,
                        maxTimeoutSeconds: 60
                    )
                ]
            }
            let first = try await buyer.pay(line.request())
            #expect(first.payment?.way == .x402Cashu && first.payment?.amount == 7 && first.payment?.mint == mint)
            _ = try await first.body.collect(upTo: 100)
            #expect(line.seller.charges == 1)

            let resource = X402.Resource(url: "http://shop.example/weather")
            let payee = try line.world.lightning.invoice(9000).payeeNodeID
            let terms = X402.LightningScheme.terms(
                amountMsat: 9000,
                network: .simulated,
                payee: payee,
                maxTimeoutSeconds: 60
            )
            let hash = try X402.LightningScheme.requirementsHash(terms, resource: resource)
            let text = X402.LightningScheme.invoiceDescription("weather", requirementsHash: hash)
            let invoice = try line.world.lightning.invoice(9000, description: text)
            let offer = try X402.LightningScheme.offer(terms, invoice: invoice, resource: resource, network: .simulated)
            line.seller.set { ($0.accepts, $0.resource) = ([offer], resource) }
            let second = try await buyer.pay(line.request(maximum: 30))
            #expect(second.payment?.way == .x402Lightning && second.payment?.amount == 9)
            _ = try await second.body.collect(upTo: 100)
            #expect(line.seller.charges == 2)

            // An invoice that is not for these terms is not paid.
            var dearer = offer
            dearer.amount = UInt256(9001)
            line.seller.set { $0.accepts = [dearer] }
            #expect(await walletError { _ = try await buyer.pay(line.request(maximum: 30)) } == .challengeUnusable)
            // A network that does not name its mint neither.
            line.seller.set {
                $0.accepts = [
                    X402.CashuScheme.requirements(
                        amount: 7,
                        unit: .sat,
                        mint: mint,
                        sellerKey: seller.publicKey,
                        maxTimeoutSeconds: 60
                    )
                ]
                $0.accepts[0].network = "cashu:00000000000000000000000000000000"
            }
            #expect(await walletError { _ = try await buyer.pay(line.request(maximum: 30)) } == .challengeUnusable)
            try await line.world.requireSound(alice)
        }
    }

    @Test("A dry run of a free service says so, and one with a pass says which")
    func freePreview() async throws {
        try await X402Line.run { line in
            let buyer = try line.buyer(try await line.world.wallet())
            line.seller.set { $0.challenge = .answer(status: 200, body: Array("free".utf8)) }
            let preview = try await buyer.preview(line.request())
            #expect(preview.status == 200 && preview.offers.isEmpty && preview.picked == nil)
        }
    }
}

private final class Count: Sendable {
    let value = Mutex(0)
}
