import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Encodings
import Mint
import Synchronization
import Testing

@testable import Wallet

@Suite("Payment requests")
struct RequestTests {
    /// Posts land here; `respond` says what the payee answers.
    private func withPayee(
        _ world: WalletWorld,
        _ respond: @escaping @Sendable (SeenRequest) -> RawReply,
        _ body: (String, @Sendable (TestWallet) -> Buyer) async throws -> Void
    ) async throws {
        let server = try await RawServer { respond($0) }
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
        let buyer: @Sendable (TestWallet) -> Buyer = { wallet in
            Buyer(wallet: wallet.wallet, client: client, configuration: BuyerConfiguration(pause: { _ in }))
        }
        do {
            try await body(server.origin, buyer)
        } catch {
            await server.stop()
            try? await client.shutdown()
            throw error
        }
        await server.stop()
        try? await client.shutdown()
    }

    private func payload(_ payment: RequestPayment) throws -> PaymentRequestPayload {
        let bytes = Array(try #require(payment.payload).utf8)
        return try PaymentRequestPayload(json: JSONValue.parse(bytes, limits: JSONLimits(acceptsUInt64: true)))
    }

    @Test("a request is paid in band, fee and all, as creqA or creqb", arguments: [true, false])
    func inBand(isBech32: Bool) async throws {
        let world = try await WalletWorld(feePPK: 1000)
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let terms = RequestTerms(amount: 40, memo: "tea", isLocked: true)
        let own = try await bob.wallet.createRequest(terms, post: nil)
        try await withPayee(world, { _ in .answer(status: 404) }) { _, buyer in
            let text = isBech32 ? try own.request().serializedBech32() : own.text
            let payment = try await buyer(alice).payRequest(text)
            #expect(payment.state == .inBand)
            let entry = try await bob.wallet.takePayment(payload(payment), for: own.id)
            #expect(entry.state == .claimed && entry.received >= 40)
            #expect(try await bob.available == entry.received)
            // The same again is the same.
            #expect(try await bob.wallet.takePayment(payload(payment), for: own.id).received == entry.received)
            #expect(try await bob.wallet.requests().first?.received == entry.received)
        }
        try await world.requireSound(alice, bob)
    }

    @Test("a payment is posted to the payee, once, also where the answer was lost")
    func posted() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let steps = Script([.drop, .answer(status: 503), .answer(status: 200)])
        try await withPayee(world, { steps.next($0) }) { origin, buyer in
            let own = try await bob.wallet.createRequest(RequestTerms(amount: 40), post: { "\(origin)/requests/\($0)" })
            let alice = alice
            let payer = buyer(alice)
            #expect(await walletError { _ = try await payer.payRequest(own.text) } == .outcomeUnknown)
            #expect(try await payer.resumeRequestPayments() == 0)
            #expect(try await payer.resumeRequestPayments() == 1)
            #expect(try await payer.resumeRequestPayments() == 0)
            let bodies = steps.bodies
            #expect(bodies.count == 3 && Set(bodies).count == 1)
            #expect(try await alice.available == 460)
            let payload = try PaymentRequestPayload(json: JSONValue.parse(bodies[0]))
            #expect(payload.id == own.id)
            _ = try await bob.wallet.takePayment(payload, for: own.id)
            #expect(try await bob.available == 40)
        }
        try await world.requireSound(alice, bob)
    }

    @Test("what the payee refuses comes back; what it kept all the same counts as paid")
    func refused() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let steps = Script([.answer(status: 400), .drop, .answer(status: 400)])
        try await withPayee(world, { steps.next($0) }) { origin, buyer in
            let own = try await bob.wallet.createRequest(RequestTerms(amount: 40), post: { "\(origin)/requests/\($0)" })
            try await alice.wallet.setLimit(45, on: .host("127.0.0.1"))
            let payer = buyer(alice)
            #expect(await walletError { _ = try await payer.payRequest(own.text) } == .paymentRefused)
            #expect(try await alice.available == 500)
            #expect(try await alice.wallet.limits().first?.spentToday == 0)
            #expect(await walletError { _ = try await payer.payRequest(own.text) } == .outcomeUnknown)
            #expect(await walletError { _ = try await payer.payRequest(own.text) } == .limitExceeded)
            let payload = try PaymentRequestPayload(json: JSONValue.parse(steps.bodies[1]))
            _ = try await bob.wallet.takePayment(payload, for: own.id)
            #expect(try await payer.resumeRequestPayments() == 1)
            #expect(try await alice.available == 460)
        }
        try await world.requireSound(alice, bob)
    }

    @Test("a single-use request takes one of 16 payments, and the others keep their coins")
    func singleUse() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(1000)
        let bob = try await world.funded(0, "bob")
        let own = try await bob.wallet.createRequest(RequestTerms(amount: 10, isSingleUse: true), post: nil)
        var payloads: [PaymentRequestPayload] = []
        try await withPayee(world, { _ in .answer(status: 404) }) { _, buyer in
            for _ in 0..<16 { payloads.append(try self.payload(await buyer(alice).payRequest(own.text))) }
        }
        let wallet = bob.wallet
        let taken = await withTaskGroup(of: Int.self) { [payloads] group in
            for payload in payloads {
                group.addTask { (try? await wallet.takePayment(payload, for: own.id)) == nil ? 0 : 1 }
            }
            return await group.reduce(0, +)
        }
        #expect(taken == 1)
        #expect(try await bob.available == 10)
        #expect(try await bob.wallet.requests().first?.state == .paid)
        for token in try await alice.wallet.sentTokens() { _ = try? await alice.wallet.reclaim(token.id) }
        #expect(try await alice.available == 990)
        try await world.requireSound(alice, bob)
    }

    @Test("a payment that is too small, in another unit, of another mint or without the lock is refused untouched")
    func wrongPayments() async throws {
        let world = try await WalletWorld(feePPK: 1000)
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let own = try await bob.wallet.createRequest(RequestTerms(amount: 40, isLocked: true), post: nil)
        let keysets = world.mint.allKeysets.map(\.id)
        func payload(_ amount: UInt64, lock: TokenLock?) async throws -> PaymentRequestPayload {
            let token = try await alice.wallet.send(amount, at: world.url, lock: lock)
            let proofs = try Token(token.token).proofs(knownKeysets: keysets)
            return PaymentRequestPayload(id: own.id, mint: world.url, unit: .sat, proofs: proofs)
        }
        let toBob = TokenLock(key: try bob.wallet.receivingKey())
        let bare = try await payload(48, lock: nil)
        #expect(await walletError { _ = try await bob.wallet.takePayment(bare, for: own.id) } == .wrongPayment)
        let small = try await payload(40, lock: toBob)
        #expect(await walletError { _ = try await bob.wallet.takePayment(small, for: own.id) } == .wrongPayment)
        let toAlice = try await payload(64, lock: TokenLock(key: try alice.wallet.receivingKey()))
        #expect(await walletError { _ = try await bob.wallet.takePayment(toAlice, for: own.id) } == .tokenLocked)
        var other = try await payload(64, lock: toBob)
        other.unit = try CurrencyUnit("usd")
        #expect(await walletError { _ = try await bob.wallet.takePayment(other, for: own.id) } == .wrongPayment)
        other.unit = .sat
        other.mint = try MintURL("https://mint.example")
        #expect(await walletError { _ = try await bob.wallet.takePayment(other, for: own.id) } == .wrongPayment)
        other.mint = world.url
        other.id = "another"
        #expect(await walletError { _ = try await bob.wallet.takePayment(other, for: own.id) } == .wrongPayment)
        other.id = nil
        #expect(await walletError { _ = try await bob.wallet.takePayment(other, for: "unknown") } == .notFound)
        #expect(try await bob.wallet.inbox(all: true).isEmpty)
        #expect(try await bob.wallet.takePayment(other, for: own.id).state == .claimed)
        try await world.requireSound(alice, bob)
    }

    @Test("a payment that the mint does not answer for waits, holds the request, and is claimed by the sweep")
    func waiting() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(500)
        let bob = try await world.funded(0, "bob")
        let own = try await bob.wallet.createRequest(RequestTerms(amount: 40, isSingleUse: true), post: nil)
        try await withPayee(world, { _ in .answer(status: 404) }) { _, buyer in
            let first = try self.payload(await buyer(alice).payRequest(own.text))
            let second = try self.payload(await buyer(alice).payRequest(own.text))
            world.api.put(.lostAnswer, on: "swap")
            #expect(try await bob.wallet.takePayment(first, for: own.id).state == .waiting)
            #expect(await walletError { _ = try await bob.wallet.takePayment(second, for: own.id) } == .requestPaid)
            _ = try await bob.wallet.recover()
            #expect(try await bob.available == 40)
            #expect(try await bob.wallet.requests().first?.state == .paid)
        }
        try await world.requireSound(alice, bob)
    }

    @Test("what this wallet does not do is refused by name, with nothing paid")
    func unsupported() async throws {
        let world = try await WalletWorld()
        let alice = try await world.funded(100)
        let mint = world.url
        try await withPayee(world, { _ in .answer(status: 404) }) { _, buyer in
            let payer = buyer(alice)
            func pay(_ request: PaymentRequest, amount: UInt64? = nil) async -> WalletError.Code? {
                await walletError { _ = try await payer.payRequest(request.serialized(), amount: amount) }
            }
            let nostr = PaymentTransport(kind: "nostr", target: "nprofile1abc", tags: [["n", "17"]])
            let plain = PaymentTransport(kind: "post", target: "http://shop.example/pay")
            let key = Hex.encode(try alice.wallet.receivingKey())
            #expect(await pay(try PaymentRequest(amount: 1, unit: .sat, transports: [nostr])) == .challengeUnusable)
            #expect(await pay(try PaymentRequest(amount: 1, unit: .sat, transports: [plain])) == .invalidArgument)
            #expect(await pay(try PaymentRequest(unit: .sat, mints: [mint])) == .invalidArgument)
            #expect(await pay(try PaymentRequest(amount: 9, unit: .sat, mints: [mint]), amount: 8) == .limitExceeded)
            #expect(
                await pay(try PaymentRequest(amount: 1, unit: .sat, mints: [MintURL("https://mint.example")]))
                    == .mintUnknown
            )
            #expect(
                await pay(
                    try PaymentRequest(amount: 1, unit: .sat, lock: RequestedLock(kind: "HTLC", data: key))
                ) == .challengeUnusable
            )
            #expect(await walletError { _ = try await payer.payRequest("creqAxyz") } == .challengeUnusable)
            #expect(try await alice.available == 100)
        }
    }
}

/// Replies in order, and what they replied to.
private final class Script: Sendable {
    private let replies: Mutex<[RawReply]>
    private let seen = Mutex<[[UInt8]]>([])

    init(_ replies: [RawReply]) { self.replies = Mutex(replies) }

    var bodies: [[UInt8]] { seen.withLock { $0 } }

    func next(_ request: SeenRequest) -> RawReply {
        seen.withLock { $0.append(request.body) }
        return replies.withLock { $0.isEmpty ? .answer(status: 404) : $0.removeFirst() }
    }
}
