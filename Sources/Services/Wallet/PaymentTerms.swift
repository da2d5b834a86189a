internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Paywall
internal import Receipts

/// What a seller asks for a call, as far as this wallet can give it.
struct PaymentTerms: Sendable, Equatable {
    var amount: UInt64
    var unit: CurrencyUnit
    /// In the seller's order.
    var mints: [MintURL]
    /// The key to lock to, 33 bytes; nil where the seller takes coins without a lock.
    var seller: [UInt8]?
    /// The challenge, as it came.
    var text: String

    /// Reads the `X-Cashu` header of a 402 (NUT-24).
    /// - Throws: `challengeUnusable`, naming what this wallet does not do.
    init(challenge text: String) throws(WalletError) {
        let request: PaymentRequest
        do {
            request = try NUT24.parseChallenge(text)
        } catch {
            throw WalletError(
                .challengeUnusable,
                "the seller's payment request cannot be read: \(error.message)",
                cause: error
            )
        }
        guard let amount = request.amount, let unit = request.unit, amount > 0, amount <= UInt64(Int64.max) else {
            throw WalletError(.challengeUnusable, "the seller's payment request names no amount")
        }
        guard !request.mints.isEmpty, request.mints.count <= 100 else {
            throw WalletError(.challengeUnusable, "the seller's payment request names no mint, or too many")
        }
        self.amount = amount
        self.unit = unit
        self.text = text
        mints = request.mints
        seller = try request.lock.map { (lock) throws(WalletError) in try Self.key(of: lock) }
    }

    static func key(of lock: RequestedLock) throws(WalletError) -> [UInt8] {
        guard lock.kind == SpendingSecret.p2pk else {
            throw WalletError(
                .challengeUnusable,
                "the seller wants coins locked by \(lock.kind.prefix(20)), which this wallet cannot do"
            )
        }
        guard lock.tags.allSatisfy({ $0 == ["sigflag", "SIG_INPUTS"] }) else {
            throw WalletError(
                .challengeUnusable,
                "the seller wants a lock with conditions that this wallet does not make"
            )
        }
        guard let bytes = try? Hex.decode(lock.data), let point = try? Secp256k1.Point(compressed: bytes) else {
            throw WalletError(.challengeUnusable, "the key that the seller wants coins locked to is not a key")
        }
        return point.compressed
    }
}

/// What a seller's answer to a paid request means for the payment. Pure.
enum PaymentAnswer: Sendable, Equatable {
    /// Charged and answered.
    case served(receiptID: String?)
    /// Charged and answered earlier; the answer itself is gone.
    case servedBefore(receiptID: String?)
    /// Not charged: here is the money.
    case refund(token: String)
    /// Not taken; the coins are ours again.
    case refused(code: String)
    /// Not taken by this seller, who says that the coins are used up.
    case coinsDoubted(code: String)
    /// Ask again with the same payment.
    case wait(retryAfterSeconds: Int?, code: String)

    /// - Parameters:
    ///   - problem: the `code` of a problem document of ours in the body, nil where it is none.
    ///   - way: how it was paid.
    init(status: Int, header: (String) -> String?, problem: String?, way: PaymentWay = .cashu) {
        if let token = header(NUT24.headerName), token.hasPrefix("cashu"),
            !Self.isChange(status: status, header: header, problem: problem)
        {
            self = .refund(token: token)
            return
        }
        let receiptID = header("agent-receipt-id").flatMap(Self.receiptID)
        let retryAfter = header("retry-after").flatMap { Int($0) }.map { max(0, $0) }
        if let problem {
            self = Self.problem(problem, status: status, receiptID: receiptID, retryAfter: retryAfter)
            return
        }
        let isReceipted = header(PaymentReceipt.headerName).flatMap { PaymentReceipt(header: $0) } != nil
        if receiptID != nil || header("agent-receipt") != nil || isReceipted && status != 402 {
            self = .served(receiptID: receiptID)
            return
        }
        if way.via == .x402, let settlement = X402.SettleResponse(header: header) {
            self = Self.settlement(settlement, status: status, retryAfter: retryAfter)
            return
        }
        switch status {
        case 200..<400: self = .served(receiptID: nil)
        case 408, 409, 425, 429, 500...: self = .wait(retryAfterSeconds: retryAfter, code: "status-\(status)")
        // A seller that did not take the token says 402 or 401: any other answer is the service's own.
        case 400..<500 where way == .l402 && status != 402 && status != 401: self = .served(receiptID: nil)
        default: self = .refused(code: "status-\(status)")
        }
    }

    /// Whether the token that comes with an answer is change of a call that was served ([CHG-2]), and no refund.
    private static func isChange(status: Int, header: (String) -> String?, problem: String?) -> Bool {
        if let problem { return CallRefusal.Code(rawValue: problem) == .alreadyServed }
        if status < 400 { return true }
        // The service itself may answer so; then the receipt says that it was charged.
        return header("agent-receipt").flatMap { try? Receipt(header: $0) }?.claims.outcome == .served
    }

    private static func problem(_ code: String, status: Int, receiptID: String?, retryAfter: Int?) -> PaymentAnswer {
        switch CallRefusal.Code(rawValue: code) {
        case .alreadyServed: return .servedBefore(receiptID: receiptID)
        case .alreadySpent, .paymentReused: return .coinsDoubted(code: code)
        case .callRunning, .paymentPending, .overloaded, .storageFailed, .mintUnavailable, .tooManyRequests,
            .upstreamFailed, .upstreamTimeout:
            return .wait(retryAfterSeconds: retryAfter, code: code)
        default:
            return status >= 500 ? .wait(retryAfterSeconds: retryAfter, code: code) : .refused(code: code)
        }
    }

    /// What the settlement says that a seller of x402 sends with its answer.
    private static func settlement(_ said: X402.SettleResponse, status: Int, retryAfter: Int?) -> PaymentAnswer {
        let code = SellerText.code(said.errorReason) ?? "status-\(status)"
        if said.success { return status == 402 ? .coinsDoubted(code: "settled-and-refused") : .served(receiptID: nil) }
        if said.errorReason == X402Refusal.Code.settlementPending.rawValue || status == 429 || status >= 500 {
            return .wait(retryAfterSeconds: retryAfter, code: code)
        }
        // Not settled, and answered all the same: nothing is known to have moved, and it may yet.
        return (200..<400).contains(status) ? .served(receiptID: nil) : .refused(code: code)
    }

    /// What it means where an earlier attempt with the same coins may have been taken: a refusal then says nothing of
    /// that one (a seller that lost track challenges anew; a signature may have lapsed meanwhile).
    var afterUnknown: PaymentAnswer {
        if case .refused(let code) = self { return .coinsDoubted(code: code) }
        return self
    }

    /// A receipt's id goes into a path, so it must be plain.
    static func receiptID(_ text: String) -> String? {
        let isPlain = text.utf8.allSatisfy { byte in
            (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte) || (0x30...0x39).contains(byte)
                || byte == 0x2D || byte == 0x5F
        }
        return isPlain && (1...128).contains(text.utf8.count) ? text : nil
    }

    /// The code of a problem document of ours (RFC 9457 with a `urn:mintmark:problem:` type), nil for any other body.
    static func problemCode(body: [UInt8]) -> String? {
        guard let json = try? JSONValue.parse(body), let type = json["type"]?.stringValue else { return nil }
        let prefix = "urn:mintmark:problem:"
        guard type.hasPrefix(prefix), type.utf8.count <= 100 else { return nil }
        return String(type.dropFirst(prefix.count))
    }
}
