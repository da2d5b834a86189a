import AsyncHTTPClient
import Cashu
import Encodings
import Lightning
import Storage
import TestSupport
import Testing

@testable import Wallet

@Suite("Buyer: calls paid over Lightning")
struct InvoiceCallTests {
    private func record(of response: PaidResponse, _ buyer: Buyer) async throws -> PaymentRecord {
        let id = try #require(response.payment).id
        return try #require(try await buyer.payment(id))
    }

    @Test(
        "a seller of any form is paid with ecash, once, and the credential is as its specification writes it",
        arguments: [ForeignSeller.Form.specification, .aperture, .lsat, .payment]
    )
    func forms(form: ForeignSeller.Form) async throws {
        try await ForeignLine.run(form) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            let payments = line.world.lightning.paymentCount
            line.world.lightning.setFee(1000)
            let response = try await buyer.pay(line.request())
            #expect(response.outcome == .served && response.status == 200)
            #expect(
                String(decoding: try await response.body.collect(upTo: 100), as: UTF8.self) == "served /weather/today"
            )
            #expect(line.seller.charges == 1 && line.world.lightning.paymentCount == payments + 1)
            let payment = try await record(of: response, buyer)
            #expect(payment.way == (form == .payment ? .paymentLightning : .l402))
            #expect(payment.state == .served && payment.amount == 10 && payment.fee == 1)
            #expect(payment.mint == line.world.url)
            #expect((payment.paymentReceipt?.contains("\"reference\":\"abc\"") ?? false) == (form == .payment))
            #expect(try await alice.available == 989)
            let entry = try #require(try await alice.wallet.history().first)
            #expect(entry.kind == .paidCall && entry.change == -11 && entry.fee == 1 && entry.reference == payment.id)
            let credential = try #require(line.seller.shown.last)
            switch form {
            case .payment: #expect(credential.hasPrefix("Payment "))
            case .lsat: #expect(credential.hasPrefix("LSAT ") && credential.split(separator: ":").count == 2)
            default: #expect(credential.hasPrefix("L402 ") && credential.split(separator: ":").count == 2)
            }
            #expect(line.seller.shown.count == 1)
            try await line.world.requireSound(alice)
        }
    }

    @Test("ecash goes before Lightning, and what is asked for goes before both")
    func preference() async throws {
        try await ForeignLine.run(.everything) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            let payments = line.world.lightning.paymentCount
            for (via, way) in [
                (PaymentVia?.none, PaymentWay.cashu), (.payment, .paymentCashu), (.l402, .l402), (.cashu, .cashu),
            ] {
                // A pass from the round before must not hide what is tested.
                for pass in try await alice.wallet.passes() { try await alice.wallet.forgetPass(pass.id) }
                let response = try await buyer.pay(line.request(via: via))
                _ = try await response.body.collect(upTo: 100)
                #expect(response.payment?.way == way)
            }
            #expect(line.world.lightning.paymentCount == payments + 1)
            #expect(line.seller.charges == 4)
            try await line.world.requireSound(alice)
            let other = try await line.world.funded(0, "bob")
            // Without ecash, the node's own Lightning backend pays.
            let response = try await line.buyer(other).pay(line.request())
            #expect(response.payment?.way == .l402 && response.payment?.mint == nil)
        }
    }

    @Test("ecash in a credential is taken once, and a refusal brings it back")
    func ecashCredential() async throws {
        try await ForeignLine.run(.paymentCashu) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            line.seller.script(.pending, .serve)
            let response = try await buyer.pay(line.request())
            _ = try await response.body.collect(upTo: 100)
            let payment = try await record(of: response, buyer)
            #expect(payment.way == .paymentCashu && payment.state == .served && payment.paymentReceipt != nil)
            #expect(line.seller.charges == 1 && Set(line.seller.shown).count == 1 && line.seller.shown.count == 2)
            #expect(try await alice.holdings == 990)
            line.seller.script(.challengeAgain)
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .paymentRefused)
            #expect(try await alice.available == 990)
            try await line.world.requireSound(alice)
        }
    }

    @Test("a caller's own Authorization is never replaced")
    func ownAuthorization() async throws {
        try await ForeignLine.run(.aperture) { line in
            let alice = try await line.world.funded(100)
            var request = line.request()
            request.headers = [("Authorization", "Bearer mine")]
            #expect(
                await walletError { _ = try await line.buyer(alice).pay(request) } == .challengeUnusable
            )
            #expect(try await alice.available == 100)
        }
    }

    // MARK: What is not paid

    @Test("an invoice over the maximum, fees included, is refused before a coin moves")
    func maximum() async throws {
        try await ForeignLine.run(.aperture) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            let swaps = line.world.api.count("swap")
            #expect(await walletError { _ = try await buyer.pay(line.request(maximum: 9)) } == .limitExceeded)
            // 10 sat, and 2 that the mint wants to keep ready for fees: too much for it, and the own backend needs none.
            let response = try await buyer.pay(line.request(maximum: 11))
            #expect(response.payment?.mint == nil && response.payment?.amount == 10)
            #expect(line.world.api.count("melt") == 0 && line.world.api.count("swap") == swaps)
            #expect(try await alice.available == 1000)
        }
    }

    @Test("limits count the fees, and are held before a coin moves; what was not needed is given back")
    func limits() async throws {
        try await ForeignLine.run(.payment) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice)
            line.world.lightning.setFee(1000)
            try await alice.wallet.setLimit(20, on: .host("127.0.0.1"))
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            #expect(try await alice.wallet.limits().first?.spentToday == 11)
            let lightning = line.world.lightning.paymentCount
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .limitExceeded)
            #expect(line.world.lightning.paymentCount == lightning && line.seller.charges == 1)
            #expect(try await alice.available == 989)
            #expect(try await alice.wallet.limits().first?.spentToday == 11)
            // A limit that is set later counts the same.
            try await alice.wallet.setLimit(500, on: .wallet)
            #expect(try await alice.wallet.limits().first { $0.subject == .wallet }?.spentToday == 11)
        }
    }

    @Test("an invoice that is not what the challenge or the price says is not paid", arguments: 0..<7)
    func dishonestInvoices(number: Int) async throws {
        try await ForeignLine.run(number == 6 ? .payment : .specification) { line in
            let alice = try await line.world.funded(1000)
            let lightning = line.world.lightning
            var network = LightningNetwork.simulated
            let expected: WalletError.Code
            switch number {
            case 0:
                line.seller.set { $0.saidPrice = 9 }
                expected = .invoiceTooHigh
            case 1:
                let invoice = try lightning.invoice(10_000, expirySeconds: 1)
                line.seller.set { $0.invoice = invoice }
                line.world.time.advance(seconds: 2)
                expected = .invoiceExpired
            case 2:
                network = .mainnet
                expected = .invoiceWrongNetwork
            case 3:
                let invoice = try lightning.invoice(nil)
                line.seller.set { $0.invoice = invoice }
                expected = .invoiceWithoutAmount
            case 4:
                line.seller.set { $0.tokenHash = Array(repeating: 1, count: 32) }
                expected = .challengeUnusable
            case 5:
                // Two calls for the price of two.
                line.seller.set { ($0.saidPrice, $0.calls, $0.priceMsat) = (5, 2, 10_001) }
                expected = .invoiceTooHigh
            default:
                line.seller.set { $0.saidAmount = "9" }
                expected = .challengeUnusable
            }
            let payments = lightning.paymentCount
            let buyer = line.buyer(alice, network: network)
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == expected)
            #expect(lightning.paymentCount == payments && line.world.api.count("melt") == 0)
            #expect(try await alice.available == 1000)
            #expect(try await buyer.payments().isEmpty)
        }
    }

    @Test("an invoice that was paid for one call is not paid for another")
    func reusedInvoice() async throws {
        try await ForeignLine.run(.payment) { line in
            let alice = try await line.world.funded(1000)
            let invoice = try line.world.lightning.invoice(10_000)
            line.seller.set { $0.invoice = invoice }
            let buyer = line.buyer(alice)
            _ = try await buyer.pay(line.request()).body.collect(upTo: 100)
            let payments = line.world.lightning.paymentCount
            #expect(await walletError { _ = try await buyer.pay(line.request()) } == .invoiceReused)
            #expect(line.world.lightning.paymentCount == payments)
            #expect(try await alice.available == 990)
            try await line.world.requireSound(alice)
        }
    }

    @Test("of the trusted mints that hold enough, the cheapest pays")
    func cheapestMint() async throws {
        let mints = try await TwoMints(feePPK: 1000)
        let alice = try await mints.wallet("alice", trusts: [mints.world.url, mints.otherURL], funded: 500)
        _ = try await alice.wallet.fund(100, at: mints.otherURL)
        let seller = ForeignSeller(.aperture, world: mints.world)
        let server = try await RawServer { seller.respond($0) }
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
        let configuration = BuyerConfiguration(attempts: 1, network: .simulated, pause: { _ in })
        let buyer = Buyer(wallet: alice.wallet, client: client, configuration: configuration)
        let response = try await buyer.pay(PaidRequest(url: server.origin + "/weather", maximum: 30))
        #expect(response.payment?.mint == mints.otherURL)
        #expect(try await mints.available(alice, mints.otherURL) == 90)
        #expect(try await mints.available(alice, mints.world.url) == 500)
        // What a mint that is not trusted holds is left alone.
        try await alice.wallet.distrustMint(mints.otherURL)
        let other = try await buyer.pay(PaidRequest(url: server.origin + "/else", maximum: 40))
        #expect(other.payment?.mint == mints.world.url)
        try await mints.requireSound(alice)
        await server.stop()
        try await client.shutdown()
    }
}
