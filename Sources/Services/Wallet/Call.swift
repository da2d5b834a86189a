internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Lightning
internal import NIOCore
internal import NIOHTTP1
internal import Paywall
internal import WebClient

/// A call, checked, with what stays the same over all its attempts.
struct Call: Sendable {
    static let maximumKeptBody = 1 << 20
    var request: PaidRequest
    let address: WebAddress
    let idempotencyKey: String
    /// SHA-256 of the body, of no bytes where there is none; nil where it is not known.
    let bodyDigest: [UInt8]?
    /// Asked again because its answer broke off; a second break is left for later.
    var isAfterBreak = false

    var priceKey: PriceBook.Key {
        PriceBook.Key(origin: address.origin, method: request.method, path: address.path)
    }

    /// Whether the caller gives an `Authorization` of its own.
    var hasAuthorization: Bool { request.headers.contains { $0.name.lowercased() == "authorization" } }

    /// The part of a seller's origin that one pass is taken to be good for: a service of a node like this one, else
    /// the first segment of the path.
    var passScope: String {
        let parts = address.path.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: true)
        guard let first = parts.first else { return "/" }
        guard first == "s", parts.count > 1 else { return "/\(first)" }
        return "/s/\(parts[1])"
    }

    init(_ request: PaidRequest, configuration: BuyerConfiguration) throws {
        address = try WebAddress(request.url, kind: "address of the service", maximumBytes: 8192)
        try address.requirePrivacy(plainHTTPHosts: configuration.plainHTTPHosts)
        guard (1...20).contains(request.method.utf8.count), request.method.utf8.allSatisfy(HeaderRule.isToken) else {
            throw WalletError(.invalidArgument, "\(request.method.prefix(40)) is no HTTP method")
        }
        guard request.headers.count <= 100 else {
            throw WalletError(.invalidArgument, "a call may have at most 100 headers")
        }
        for header in request.headers { try HeaderRule.check(header) }
        guard request.agent.utf8.count <= 256 else {
            throw WalletError(.invalidArgument, "an agent's name has at most 256 bytes")
        }
        let key = request.idempotencyKey ?? WalletID.random()
        guard (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw WalletError(.invalidArgument, "an idempotency key has 1 to 255 visible ASCII characters")
        }
        idempotencyKey = key
        self.request = request
        switch request.body {
        case .none: bodyDigest = Hashing.sha256([UInt8]())
        case .bytes(let bytes): bodyDigest = Hashing.sha256(bytes)
        case .stream(_, let digest, _):
            guard digest == nil || digest?.count == 32 else {
                throw WalletError(.invalidArgument, "the digest of a body has 32 bytes")
            }
            bodyDigest = digest
        }
    }

    /// The call as limits see it.
    func spend(_ terms: PaymentTerms, at now: Timestamp) -> Spend {
        Spend(
            agent: request.agent,
            host: (address.host, address.effectivePort),
            key: terms.seller,
            unit: terms.unit,
            amount: terms.amount,
            at: now
        )
    }

    /// A call that stands in the table, to be sent again.
    init(stored payment: PaymentRecord, signer: (any RequestSigning)?) throws {
        request = PaidRequest(
            method: payment.method,
            url: payment.url,
            headers: payment.headers,
            body: payment.body.map { .bytes($0) } ?? .none,
            maximum: payment.amount,
            unit: payment.unit,
            agent: payment.agent,
            idempotencyKey: payment.idempotencyKey,
            signer: signer
        )
        address = try WebAddress(payment.url, kind: "address of the service", maximumBytes: 8192)
        idempotencyKey = payment.idempotencyKey
        bodyDigest = payment.bodyDigest
    }

    var hasBody: Bool {
        if case .none = request.body { return false }
        return true
    }

    /// The intent of a call that coins pay for.
    func record(
        _ id: String,
        paying offer: EcashOffer,
        mint: MintURL,
        ys: [[UInt8]],
        at now: Timestamp
    ) -> PaymentRecord {
        var record = record(id, amount: offer.terms.amount, unit: offer.terms.unit, at: now)
        record.mint = mint
        record.way = offer.way
        record.challenge = offer.challenge
        record.seller = offer.terms.seller ?? []
        record.paymentDigest = PaymentDigest(ys: ys).bytes
        return record
    }

    /// The intent of a call that an invoice pays for, or a pass.
    func record(_ id: String, of invoice: CallInvoice, amount: UInt64, fee: UInt64, at now: Timestamp) -> PaymentRecord
    {
        var record = record(id, amount: amount, unit: invoice.unit, at: now)
        record.mint = amount > 0 ? invoice.mint : nil
        record.way = invoice.way
        record.fee = fee
        record.invoice = invoice.id
        record.paymentDigest = PaymentDigest(paymentHash: invoice.paymentHash).bytes
        return record
    }

    /// The intent of a call that a signed authorisation pays for.
    /// - Parameter amount: what it is worth in the call's unit.
    func record(
        _ id: String,
        of authorization: Authorization,
        amount: UInt64,
        at now: Timestamp
    ) throws -> PaymentRecord {
        var record = record(id, amount: amount, unit: request.unit, at: now)
        record.way = .x402Exact
        record.paymentDigest = try authorization.digest()
        return record
    }

    /// An invoice of this call, before it is paid.
    func invoice(_ offer: InvoiceOffer, amount: UInt64, at now: Timestamp) -> CallInvoice {
        CallInvoice(
            id: WalletID.random(),
            way: offer.way,
            challenge: offer.challenge,
            invoice: offer.invoice.text,
            paymentHash: offer.invoice.paymentHash,
            origin: address.origin,
            scope: passScope,
            path: address.path,
            agent: request.agent,
            unit: request.unit,
            amount: amount,
            fee: 0,
            createdAt: now,
            session: offer.session
        )
    }

    /// What bought before may pay for it.
    var passWays: [PaymentWay] {
        switch request.via {
        case nil: [.l402, .paymentSession]
        case .l402: [.l402]
        case .payment: [.paymentSession]
        case .cashu, .x402: []
        }
    }

    private func record(_ id: String, amount: UInt64, unit: CurrencyUnit, at now: Timestamp) -> PaymentRecord {
        var kept: [UInt8]?
        var kind = PaymentRecord.BodyKind.none
        switch request.body {
        case .none: break
        case .bytes(let bytes) where bytes.count <= Self.maximumKeptBody: (kept, kind) = (bytes, .kept)
        default: kind = .unkept
        }
        return PaymentRecord(
            id: id,
            idempotencyKey: idempotencyKey,
            agent: request.agent,
            method: request.method,
            url: address.string,
            unit: unit,
            amount: amount,
            state: .sent,
            receiptState: "none",
            returned: 0,
            createdAt: now,
            changedAt: now,
            headers: request.headers,
            body: kept,
            bodyKind: kind,
            bodyDigest: bodyDigest,
            seller: [],
            paymentDigest: []
        )
    }

    /// The HTTP request of one attempt.
    /// - Parameter proof: the payment; nil for the first question.
    func httpRequest(
        proof: (name: String, value: String)?,
        payment: PaymentRecord? = nil,
        over group: any EventLoopGroup
    ) async throws -> HTTPClientRequest {
        var headers = request.headers
        if let proof { headers.append(proof) }
        headers.append(("Idempotency-Key", idempotencyKey))
        if hasBody, let bodyDigest, !headers.contains(where: { $0.name.lowercased() == "content-digest" }) {
            headers.append(("Content-Digest", "sha-256=:\(Base64.encode(bodyDigest)):"))
        }
        if let signer = request.signer {
            guard !hasBody || bodyDigest != nil else {
                throw WalletError(.invalidArgument, "a signed call needs to know the digest of its body")
            }
            let signable = SignableRequest(
                method: request.method,
                url: address.string,
                headers: headers,
                hasBody: hasBody,
                bodyDigest: bodyDigest ?? Hashing.sha256([UInt8]()),
                payment: payment.map { SignablePayment(id: $0.id, amount: $0.amount, unit: $0.unit) }
            )
            headers += try await signer.signatureHeaders(for: signable)
        }
        var http = HTTPClientRequest(url: address.string)
        http.method = HTTPMethod(rawValue: request.method)
        for header in headers { http.headers.add(name: header.name, value: header.value) }
        switch request.body {
        case .none: break
        case .bytes(let bytes): http.body = .bytes(ByteBuffer(bytes: bytes))
        case .stream(let length, _, let open):
            http.body = .stream(PacedBody(open(), group: group), length: length.map { .known($0) } ?? .unknown)
        }
        return http
    }
}

/// What a caller may put into a call's headers.
enum HeaderRule {
    private static let reserved: Set<String> = [
        "x-cashu", "payment-signature", "x-payment", "idempotency-key", "agent-passport", "agent-delegation",
        "signature",
        "signature-input", "signature-agent", "connection", "keep-alive",
        "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection", "content-length", "host",
    ]

    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    static func check(_ header: (name: String, value: String)) throws(WalletError) {
        guard (1...200).contains(header.name.utf8.count), header.name.utf8.allSatisfy(isToken) else {
            throw WalletError(.invalidArgument, "\(header.name.prefix(40)) is no name of a header")
        }
        guard header.value.utf8.count <= 8192, header.value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 9 })
        else {
            throw WalletError(.invalidArgument, "the value of \(header.name) has a character that no header may have")
        }
        guard !reserved.contains(header.name.lowercased()) else {
            throw WalletError(.invalidArgument, "\(header.name) is set by the buyer itself and cannot be given")
        }
    }
}

/// What came back for one attempt.
struct Answer: Sendable {
    var status: Int
    var headers: [(name: String, value: String)]
    var source: PaidResponseBody.Source
    /// The code of a problem document of ours, and its sentence.
    var problem: String?
    var detail: String?
    /// What the problem document says that the call costs.
    var price: (amount: UInt64, unit: String)?
    /// The body of a 402 in which version 1 of x402 may ask; its first part where it is too long.
    var challengeBody: (bytes: [UInt8], isTooLong: Bool)?

    func header(_ name: String) -> String? {
        let wanted = name.lowercased()
        return headers.first { $0.name.lowercased() == wanted }?.value
    }

    /// A field that came after the body, which must have been read.
    func trailer(_ name: String) -> String? {
        guard case .streamed(let body) = source else { return nil }
        return body.trailers?[name].first
    }
}

/// An attempt that brought no answer.
struct SendFailure: Error, Sendable {
    /// Whether it is certain that nothing left.
    var isUnsent: Bool
    var message: String
}

/// A request that could not be put together: nothing was sent.
struct UnmadeRequest: Error, Sendable {
    var cause: any Error
}
