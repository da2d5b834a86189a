import Cashu
import Cryptography
import Encodings
import SignedDocuments
import Testing

@testable import Market

/// Three parties with fixed keys, and what they agree on.
struct TradeSample {
    static let start: UInt64 = 1_795_219_200
    static let buyer = DocumentSigner(Sample.key(21))
    static let provider = DocumentSigner(Sample.key(22))
    static let arbiter = DocumentSigner(Sample.key(23))
    static let stranger = DocumentSigner(Sample.key(24))

    let mint: MemoryMint
    let buyerKey: Secp256k1.Scalar
    let providerKey: Secp256k1.Scalar
    let arbiterKey: Secp256k1.Scalar

    init(feePPK: UInt64 = 100) throws {
        mint = try MemoryMint(feePPK: feePPK, now: Self.start)
        buyerKey = try Secp256k1.Scalar(bytes: [UInt8](repeating: 1, count: 32))
        providerKey = try Secp256k1.Scalar(bytes: [UInt8](repeating: 2, count: 32))
        arbiterKey = try Secp256k1.Scalar(bytes: [UInt8](repeating: 3, count: 32))
    }

    static func point(_ key: Secp256k1.Scalar) -> Secp256k1.Point { Secp256k1.Point(multiplyingGeneratorBy: key) }
    static func stamp(_ seconds: UInt64) -> Timestamp { Timestamp(secondsSince1970: Int64(seconds)) }

    static let request = JobRequest(
        method: "POST",
        target: "/q",
        contentType: "application/json",
        body: Array("{}".utf8)
    )

    func asked(_ change: (inout QuoteRequest) -> Void = { _ in }) -> QuoteRequest {
        let wanted = Wanted(
            buyer: Self.buyer.did,
            service: "weather",
            request: Self.request.digest,
            maximumPrice: 100,
            unit: .sat,
            mints: [mint.url],
            escrow: [.key, .arbiter, .stream],
            nonce: [UInt8](repeating: 9, count: 16),
            time: Self.start
        )
        var asked = QuoteRequest(wanted, deadline: Self.start + 400)
        change(&asked)
        return asked
    }

    /// Bids are committed to for 10 seconds, and shown for 10 more.
    func call(_ change: (inout OpenCall) -> Void = { _ in }) throws -> Signed<OpenCall> {
        var call = OpenCall(
            buyer: Self.buyer.did,
            words: ["weather", "today"],
            request: Self.request,
            maximumPrice: 100,
            unit: .sat,
            mints: [mint.url],
            escrow: [.key],
            deliverWithinSeconds: 60,
            commitUntil: Self.start + 10,
            revealUntil: Self.start + 20,
            nonce: [UInt8](repeating: 9, count: 16),
            time: Self.start
        )
        change(&call)
        return try .sign(call, by: Self.buyer, now: Self.stamp(Self.start))
    }

    func bid(_ signer: DocumentSigner, on call: [UInt8], price: UInt64 = 20, salt: UInt8 = 1) throws -> Bid {
        Bid(
            bidder: signer.did,
            call: call,
            service: "weather",
            node: try #require(ListingURL("https://node.example")),
            price: price,
            deliverWithinSeconds: 30,
            mint: mint.url,
            mode: .key,
            salt: [UInt8](repeating: salt, count: 32),
            time: Self.start
        )
    }

    func offer(_ mode: Listing.Escrow = .key, _ change: (inout Quote) -> Void = { _ in }) -> Quote {
        var quote = Quote(
            provider: Self.provider.did,
            buyer: Self.buyer.did,
            service: "weather",
            price: 20,
            unit: .sat,
            mint: mint.url,
            mode: mode,
            deliverWithinSeconds: 300,
            lockSeconds: mode == .arbiter ? 1_800 : 900,
            lockKey: Self.point(providerKey),
            validUntil: Self.start + 3_600,
            nonce: [UInt8](repeating: 8, count: 16),
            time: Self.start
        )
        quote.request = Self.request.digest
        if mode == .stream { quote.chunks = 3 }
        if mode == .arbiter {
            quote.arbiters = [Quote.Arbiter(did: Self.arbiter.did, key: Self.point(arbiterKey), withinSeconds: 600)]
        }
        change(&quote)
        return quote
    }

    func quote(_ mode: Listing.Escrow = .key, _ change: (inout Quote) -> Void = { _ in }) throws -> Signed<Quote> {
        try .sign(offer(mode, change), by: Self.provider, now: Self.stamp(Self.start))
    }

    func acceptance(
        _ quote: Signed<Quote>,
        by signer: DocumentSigner = TradeSample.buyer,
        nonce: UInt8 = 5,
        _ change: (inout Acceptance) -> Void = { _ in }
    ) throws -> Signed<Acceptance> {
        var acceptance = Acceptance(
            of: quote,
            request: Self.request.digest,
            refundKey: Self.point(buyerKey),
            arbiter: quote.content.mode == .arbiter ? Self.arbiter.did : nil,
            nonce: [UInt8](repeating: nonce, count: 16),
            time: Self.start
        )
        change(&acceptance)
        return try .sign(acceptance, by: signer, now: Self.stamp(Self.start))
    }

    func terms(_ mode: Listing.Escrow = .key) throws -> EscrowTerms {
        let quote = try quote(mode)
        return try EscrowTerms(quote: quote, acceptance: acceptance(quote))
    }
}
