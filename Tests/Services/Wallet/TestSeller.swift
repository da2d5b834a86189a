import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Mint
import Paywall
import Receipts
import SignedDocuments
import Synchronization

@testable import Wallet

/// A seller that keeps to the wire of the paid call, and breaks off where a test says so.
final class TestSeller: Sendable {
    enum Step: Sendable, Equatable {
        case serve
        /// Takes the payment and answers; the answer is lost.
        case serveThenDrop
        /// The request is lost.
        case drop
        /// Says that it does not know yet; the payment is not claimed.
        case pending
        case refuse(String)
        /// The upstream failed; the same coins come back, signed.
        case refund
        /// The answer breaks off in its middle; asked again, the coins come back.
        case breakOff
        /// Another challenge, as sellers send who lost track.
        case challengeAgain
        /// No sign of a receipt, as other people's paywalls answer.
        case serveBare
        case serveWithForgedReceipt
        /// Too many requests.
        case turnAway
        /// Charges half and gives the other half back with the answer.
        case change
        /// The same, but the change is only there when it is asked for again.
        case lateChange
        /// The same, but the change is only there after it was asked for so many times.
        case owedChange(Int)
    }

    struct State {
        var price: UInt64 = 2
        var steps: [Step] = []
        var answers: [String: RawReply] = [:]
        var taken: Set<[UInt8]> = []
        var accepted: [Proof] = []
        var receipts: [String: [UInt8]] = [:]
        var seen: [SeenRequest] = []
        var charges = 0
        var isFree = false
        var wantsNoLock = false
        /// What an answer that is given again has besides, after so many times.
        var owed: [String: (token: String, times: Int)] = [:]
    }

    let key: Secp256k1.Scalar
    let state = Mutex(State())
    private let mint: MintURL
    private let keysets: [KeysetID]
    private let identity = Ed25519.PrivateKey()
    private let now: @Sendable () -> Timestamp

    init(world: WalletWorld) throws {
        key = try Secp256k1.Scalar(bytes: Array(repeating: 7, count: 32))
        mint = world.url
        keysets = world.mint.allKeysets.map(\.id)
        let time = world.time
        now = { time.now }
    }

    var publicKey: [UInt8] { Secp256k1.Point(multiplyingGeneratorBy: key).compressed }

    func script(_ steps: Step...) { state.withLock { $0.steps = steps } }
    var charges: Int { state.withLock { $0.charges } }
    var requests: [SeenRequest] { state.withLock { $0.seen } }
    /// What the seller may redeem.
    var accepted: [Proof] { state.withLock { $0.accepted } }

    func respond(_ request: SeenRequest) -> RawReply {
        state.withLock { $0.seen.append(request) }
        if request.uri.hasPrefix("/receipts/") {
            let document = state.withLock { $0.receipts[String(request.uri.dropFirst(10))] }
            return document.map { .answer(status: 200, body: $0) } ?? .answer(status: 404)
        }
        if state.withLock({ $0.isFree }) { return .answer(status: 200, body: Array("free".utf8)) }
        guard let text = request.header("X-Cashu") else { return challenge() }
        let idempotencyKey = request.header("Idempotency-Key") ?? ""
        if let earlier = state.withLock({ $0.answers[idempotencyKey] }) {
            return earlierAnswer(earlier, idempotencyKey)
        }
        let step = state.withLock { $0.steps.isEmpty ? .serve : $0.steps.removeFirst() }
        switch step {
        case .drop: return .drop
        case .pending:
            return problem(503, "payment-pending", headers: [("Retry-After", "1")])
        case .challengeAgain: return challenge()
        case .turnAway: return problem(429, "too-many-requests", headers: [("Retry-After", "1")])
        case .refuse(let code): return problem(400, code)
        default: break
        }
        let price = state.withLock { $0.price }
        guard let proofs = proofs(text) else { return problem(400, "payment-malformed") }
        let sum = proofs.reduce(0) { $0 + $1.amount }
        guard sum == price else { return problem(400, sum < price ? "amount-too-low" : "amount-too-high") }
        guard state.withLock({ $0.wantsNoLock }) || proofs.allSatisfy(isLockedToUs) else {
            return problem(400, "wrong-lock")
        }
        return claim(proofs, request, idempotencyKey, step)
    }

    /// An answer again, with the change that is there by now.
    private func earlierAnswer(_ earlier: RawReply, _ key: String) -> RawReply {
        state.withLock { state in
            guard let owed = state.owed[key] else { return earlier }
            state.owed[key]?.times -= 1
            return owed.times > 0 ? earlier : earlier.adding("X-Cashu", owed.token)
        }
    }

    private func proofs(_ text: String) -> [Proof]? {
        guard let token = try? Token(text), token.mint == mint else { return nil }
        return try? token.proofs(knownKeysets: keysets)
    }

    private func isLockedToUs(_ proof: Proof) -> Bool {
        guard case .conditional(let secret) = SecretKind(of: proof.secret),
            let condition = try? P2PKCondition(secret: secret)
        else { return false }
        let lasts = Int64(condition.locktime ?? 0) > now().secondsSince1970 + 600 + 3600
        return condition.keys.map(\.compressed) == [publicKey] && lasts && proof.dleq?.blindingFactor != nil
    }

    private func claim(_ proofs: [Proof], _ request: SeenRequest, _ idempotencyKey: String, _ step: Step) -> RawReply {
        guard let ys = try? proofs.map({ try $0.hashedSecret().compressed }) else {
            return problem(400, "payment-malformed")
        }
        let isNew = state.withLock { state in
            guard state.taken.isDisjoint(with: ys) else { return false }
            state.taken.formUnion(ys)
            return true
        }
        guard isNew else { return problem(400, "payment-reused") }
        if step == .refund || step == .breakOff {
            let reply = refund(proofs)
            state.withLock { $0.answers[idempotencyKey] = reply }
            return step == .refund
                ? reply : .broken(status: 200, headers: [("Agent-Receipt-ID", "broken-1")], body: [1, 2])
        }
        var owedTimes: Int?
        if case .owedChange(let times) = step { owedTimes = times }
        let givesBack = step == .change || step == .lateChange || owedTimes != nil
        let back = givesBack ? proofs.max { $0.amount < $1.amount } : nil
        state.withLock {
            $0.charges += 1
            $0.accepted += proofs.filter { $0.secret != back?.secret }
        }
        var reply = served(request, ys, step, returned: back?.amount)
        // Signed by the seller, they are the buyer's to swap.
        let token = back.flatMap { try? Token(mint: mint, unit: .sat, proofs: [$0.signed(by: key)]).serialized() }
        let full = owedTimes == nil ? token.map { reply.adding("X-Cashu", $0) } ?? reply : reply
        state.withLock { state in
            state.answers[idempotencyKey] = full
            if let owedTimes, let token { state.owed[idempotencyKey] = (token, owedTimes) }
        }
        if step == .change { reply = full }
        return step == .serveThenDrop ? .drop : reply
    }

    private func refund(_ proofs: [Proof]) -> RawReply {
        guard let signed = try? proofs.map({ try $0.signed(by: key) }),
            let token = try? Token(mint: mint, unit: .sat, proofs: signed)
        else { return .drop }
        return problem(502, "upstream-failed", headers: [("X-Cashu", token.serialized())])
    }

    private func served(
        _ request: SeenRequest,
        _ ys: [[UInt8]],
        _ step: Step,
        returned: UInt64?
    ) -> RawReply {
        let body = Array("served \(request.uri)".utf8)
        guard step != .serveBare else { return .answer(status: 200, body: body) }
        let number = state.withLock { state in
            state.receipts["\(state.receipts.count)"] = []
            return String(state.receipts.count)
        }
        let id = "receipt-\(number)"
        let claims = ReceiptClaims(
            id: "0198c0de-0000-4000-8000-" + String(repeating: "0", count: 12 - number.count) + number,
            seller: ReceiptParty(did: DIDKey(identity.publicKey)),
            buyer: nil,
            service: "weather",
            method: request.method,
            target: request.uri,
            requestDigest: Hashing.sha256(request.body),
            responseDigest: step == .serveWithForgedReceipt ? Hashing.sha256([1]) : Hashing.sha256(body),
            status: 200,
            amount: state.withLock { $0.price },
            unit: "sat",
            paymentDigest: PaymentDigest(ys: ys).bytes,
            dialect: "nut24",
            requestedAt: now(),
            respondedAt: now(),
            outcome: .served,
            settlement: returned.map { ReceiptSettlement(returned: $0, form: "fresh-token") }
        )
        guard let receipt = try? Receipt.issue(claims, key: identity, now: now()) else { return .drop }
        state.withLock { $0.receipts[id] = receipt.bytes }
        var headers = [("Agent-Receipt-ID", id)]
        // Long answers carry the receipt elsewhere.
        if !request.uri.contains("long") { headers.append(("Agent-Receipt", receipt.encodedHeader)) }
        return .answer(status: 200, headers: headers, body: body)
    }

    private func challenge() -> RawReply {
        let price = state.withLock { $0.price }
        let lock =
            state.withLock { $0.wantsNoLock }
            ? nil : RequestedLock(kind: SpendingSecret.p2pk, data: Hex.encode(publicKey))
        let value = try? PaymentRequest(id: "c1", amount: price, unit: .sat, mints: [mint], lock: lock).serialized()
        return problem(402, "payment-required", headers: [("X-Cashu", value ?? "")])
    }

    private func problem(_ status: Int, _ code: String, headers: [(String, String)] = []) -> RawReply {
        let body: JSONValue = .object([
            "type": .string("urn:mintmark:problem:\(code)"), "title": .string(code), "status": .integer(Int64(status)),
            "detail": .string("the test says \(code)"), "code": .string(code),
        ])
        return .answer(
            status: status,
            headers: headers + [("Content-Type", "application/problem+json")],
            body: body.serialized()
        )
    }
}
