import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Lightning
import Mint
import Synchronization

@testable import Wallet

/// A seller that speaks L402 and `Payment`, written from the specifications alone: it knows nothing of this project's
/// paywall, and writes and reads its headers by hand. It breaks off where a test says so.
final class ForeignSeller: Sendable {
    /// How its 402 asks for money.
    enum Form: Sendable, CaseIterable {
        /// `L402 version="0", token="…", invoice="…"`
        case specification
        /// Aperture's two lines, the old name first.
        case aperture
        /// A seller that only knows the old name.
        case lsat
        case payment
        /// Ecash under `Payment`.
        case paymentCashu
        /// All of it, and `X-Cashu`.
        case everything
    }

    enum Step: Sendable, Equatable {
        case serve
        /// The request is lost.
        case drop
        /// Serves; the answer is lost.
        case serveThenDrop
        /// 503 `payment-pending`.
        case pending
        /// A fresh 402 for a good credential.
        case challengeAgain
        case turnAway
        /// The service itself has nothing there.
        case notFound
        /// One of ours whose upstream failed: 502 with a receipt that says refunded, in this form.
        case failed(form: String)
        /// The same, with a receipt that somebody wrote over.
        case failedWithForgedReceipt(form: String)
    }

    struct State {
        var form: Form
        var steps: [Step] = []
        var seen: [SeenRequest] = []
        var charges = 0
        var challenges = 0
        /// By token or challenge id: the payment hash, and the calls that are left.
        var sold: [String: (hash: [UInt8], calls: Int)] = [:]
        var requests: [String: String] = [:]
        var answers: [String: RawReply] = [:]
        var tokens: Set<String> = []
        var priceMsat: UInt64 = 10_000
        var invoice: BOLT11Invoice?
        /// What the token says and the seller keeps to.
        var calls: Int?
        var validUntil: Int64?
        /// Says this payment hash in the token in place of the invoice's.
        var tokenHash: [UInt8]?
        /// What the problem document of the 402 says a call costs, in sat.
        var saidPrice: UInt64?
        var saidAmount: String?
    }

    let state: Mutex<State>
    private let lightning: LoopLightning
    private let mint: MintURL
    private let keysets: [KeysetID]

    init(_ form: Form, world: WalletWorld) {
        state = Mutex(State(form: form))
        lightning = world.lightning
        mint = world.url
        keysets = world.mint.allKeysets.map(\.id)
    }

    func script(_ steps: Step...) { state.withLock { $0.steps = steps } }
    func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
    var charges: Int { state.withLock { $0.charges } }
    var challenges: Int { state.withLock { $0.challenges } }
    var requests: [SeenRequest] { state.withLock { $0.seen } }
    /// Every credential that was shown, in order.
    var shown: [String] { requests.compactMap { $0.header("Authorization") } }

    func respond(_ request: SeenRequest) -> RawReply {
        state.withLock { $0.seen.append(request) }
        let idempotencyKey = request.header("Idempotency-Key") ?? ""
        if let earlier = state.withLock({ $0.answers[idempotencyKey] }) { return earlier }
        guard let key = proven(request) else { return challenge() }
        switch state.withLock({ $0.steps.isEmpty ? .serve : $0.steps.removeFirst() }) {
        case .drop: return .drop
        case .pending:
            let body = Array(#"{"type":"urn:mintmark:problem:payment-pending","status":503}"#.utf8)
            let headers = [("Content-Type", "application/problem+json"), ("Retry-After", "1")]
            return .answer(status: 503, headers: headers, body: body)
        case .challengeAgain: return challenge()
        case .turnAway: return .answer(status: 429, headers: [("Retry-After", "1")])
        case .notFound: return .answer(status: 404, body: Array("nothing there".utf8))
        case .failed(let form): return RefundingAnswer.make(request, form: form, isForged: false)
        case .failedWithForgedReceipt(let form): return RefundingAnswer.make(request, form: form, isForged: true)
        case .serve: return serve(request, key, idempotencyKey)
        case .serveThenDrop:
            _ = serve(request, key, idempotencyKey)
            return .drop
        }
    }

    private func serve(_ request: SeenRequest, _ key: String, _ idempotencyKey: String) -> RawReply {
        var headers: [(String, String)] = []
        if request.header("Authorization")?.hasPrefix("Payment ") == true {
            let receipt =
                #"{"method":"lightning","reference":"abc","status":"success","timestamp":"2026-09-21T00:00:00Z"}"#
            headers.append(("Payment-Receipt", Base64URL.encode(Array(receipt.utf8))))
        }
        let reply = RawReply.answer(status: 200, headers: headers, body: Array("served \(request.uri)".utf8))
        state.withLock { state in
            state.charges += 1
            state.sold[key]?.calls -= 1
            state.answers[idempotencyKey] = reply
        }
        return reply
    }

    // MARK: What is shown

    /// - Returns: the name of what was bought, where the request proves a payment.
    private func proven(_ request: SeenRequest) -> String? {
        if let token = request.header("X-Cashu") { return ecash(token, of: "x-cashu") }
        let lines = request.headers.filter { $0.name.lowercased() == "authorization" }.map(\.value)
        guard lines.count == 1, let space = lines[0].firstIndex(of: " ") else { return nil }
        let value = String(lines[0][lines[0].index(after: space)...])
        switch lines[0][..<space] {
        case "L402" where state.withLock({ $0.form }) != .lsat: return l402(value)
        case "LSAT": return l402(value)
        case "Payment": return payment(value)
        default: return nil
        }
    }

    private func l402(_ value: String) -> String? {
        let parts = value.split(separator: ":").map(String.init)
        guard parts.count == 2, parts[1] == parts[1].lowercased(), let preimage = try? Hex.decode(parts[1]) else {
            return nil
        }
        return state.withLock { state in
            guard let sale = state.sold[parts[0]], sale.calls > 0, Hashing.sha256(preimage) == sale.hash else {
                return nil
            }
            return parts[0]
        }
    }

    private func payment(_ value: String) -> String? {
        guard let bytes = try? Base64URL.decode(value), let json = try? JSONValue.parse(bytes),
            let id = json["challenge"]?["id"]?.stringValue,
            let request = json["challenge"]?["request"]?.stringValue,
            state.withLock({ $0.requests[id] }) == request, json["challenge"]?["realm"]?.stringValue == "a \"shop\""
        else { return nil }
        if let token = json["payload"]?["token"]?.stringValue { return ecash(token, of: id) }
        guard let text = json["payload"]?["preimage"]?.stringValue, let preimage = try? Hex.decode(text) else {
            return nil
        }
        return state.withLock { state in
            guard let sale = state.sold[id], sale.calls > 0, Hashing.sha256(preimage) == sale.hash else { return nil }
            return id
        }
    }

    private func ecash(_ text: String, of id: String) -> String? {
        guard let token = try? Token(text), token.mint == mint,
            let proofs = try? token.proofs(knownKeysets: keysets), proofs.reduce(0, { $0 + $1.amount }) == 10
        else { return nil }
        state.withLock { _ = $0.tokens.insert(text) }
        return id
    }

    // MARK: What is asked

    private func challenge() -> RawReply {
        let (form, made) = state.withLock { state in
            state.challenges += 1
            return (state.form, state.invoice)
        }
        guard let invoice = try? made ?? lightning.invoice(state.withLock { $0.priceMsat }) else { return .drop }
        let token = sell(invoice)
        let macaroon = "macaroon=\"\(token)\", invoice=\"\(invoice.text)\""
        var headers: [(String, String)] = [("WWW-Authenticate", "Basic realm=\"other, things\"")]
        switch form {
        case .specification:
            headers.append(("WWW-Authenticate", "L402 version=\"0\", token=\"\(token)\", invoice=\"\(invoice.text)\""))
        case .aperture:
            headers += [("WWW-Authenticate", "LSAT \(macaroon)"), ("WWW-Authenticate", "L402 \(macaroon)")]
        case .lsat: headers.append(("WWW-Authenticate", "LSAT \(macaroon)"))
        case .payment: headers.append(("WWW-Authenticate", charge(invoice)))
        case .paymentCashu: headers.append(("WWW-Authenticate", ecashCharge()))
        case .everything:
            headers += [
                ("WWW-Authenticate", charge(invoice)), ("WWW-Authenticate", "L402 \(macaroon)"),
                ("WWW-Authenticate", ecashCharge()), ("X-Cashu", ecashRequest()),
            ]
        }
        var body: [UInt8] = []
        if let price = state.withLock({ $0.saidPrice }) {
            headers.append(("Content-Type", "application/problem+json"))
            body = Array(#"{"type":"about:blank","price":{"amount":"\#(price)","unit":"sat"}}"#.utf8)
        }
        return .answer(status: 402, headers: headers, body: body)
    }

    /// A macaroon in binary version 2, byte by byte; what stands in the place of its signature only this seller knows.
    private func sell(_ invoice: BOLT11Invoice) -> String {
        state.withLock { state in
            let number = UInt8(truncatingIfNeeded: state.challenges)
            let identifier = [0, 0] + (state.tokenHash ?? invoice.paymentHash) + Array(repeating: number, count: 32)
            var bytes: [UInt8] = [2, 2, UInt8(identifier.count)] + identifier + [0]
            var caveats = ["services=weather:0"]
            if let calls = state.calls { caveats.append("weather_calls=\(calls)") }
            if let until = state.validUntil { caveats.append("weather_valid_until=\(until)") }
            for caveat in caveats { bytes += [2, UInt8(caveat.utf8.count)] + Array(caveat.utf8) + [0] }
            bytes += [0, 6, 32] + Array(repeating: number &+ 7, count: 32)
            let token = Base64.encode(bytes)
            state.sold[token] = (invoice.paymentHash, state.calls ?? .max)
            return token
        }
    }

    private func charge(_ invoice: BOLT11Invoice) -> String {
        let amount = state.withLock { $0.saidAmount } ?? String((invoice.amountMsat ?? 0) / 1000)
        let details =
            #"{"invoice":"\#(invoice.text)","network":"regtest","paymentHash":"\#(Hex.encode(invoice.paymentHash))"}"#
        return written("lightning", #"{"amount":"\#(amount)","currency":"sat","methodDetails":\#(details)}"#, invoice)
    }

    private func ecashRequest() -> String {
        (try? PaymentRequest(id: "c1", amount: 10, unit: .sat, mints: [mint], lock: nil).serialized()) ?? ""
    }

    private func ecashCharge() -> String {
        let details = #"{"paymentRequest":"\#(ecashRequest())"}"#
        return written("cashu", #"{"amount":"10","currency":"sat","methodDetails":\#(details)}"#, nil)
    }

    private func written(_ method: String, _ json: String, _ invoice: BOLT11Invoice?) -> String {
        let request = Base64URL.encode(Array(json.utf8))
        return state.withLock { state in
            let id = "challenge-\(method)-\(state.challenges)"
            state.requests[id] = request
            if let invoice { state.sold[id] = (invoice.paymentHash, 1) }
            // A realm with quotes, and an opaque that has to come back.
            return #"Payment id="\#(id)", realm="a \"shop\"", method="\#(method)", intent="charge", "#
                + #"request="\#(request)", expires="2030-01-01T00:00:00Z", opaque="eyJhIjoiYiJ9""#
        }
    }
}

/// A wallet, a foreign seller and the line between them.
final class ForeignLine: Sendable {
    let world: WalletWorld
    let seller: ForeignSeller
    let server: RawServer
    let client: HTTPClient

    private init(_ form: ForeignSeller.Form) async throws {
        world = try await WalletWorld()
        let seller = ForeignSeller(form, world: world)
        self.seller = seller
        server = try await RawServer { seller.respond($0) }
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
    }

    func buyer(_ wallet: TestWallet, attempts: Int = 3, network: LightningNetwork = .simulated) -> Buyer {
        let configuration = BuyerConfiguration(attempts: attempts, network: network, pause: { _ in })
        return Buyer(wallet: wallet.wallet, client: client, configuration: configuration)
    }

    func request(
        _ path: String = "/weather/today",
        maximum: UInt64 = 20,
        key: String? = nil,
        via: PaymentVia? = nil
    ) -> PaidRequest {
        PaidRequest(url: server.origin + path, maximum: maximum, idempotencyKey: key, via: via)
    }

    /// Runs a test and cleans up after it.
    static func run(_ form: ForeignSeller.Form, _ body: (ForeignLine) async throws -> Void) async throws {
        let line = try await ForeignLine(form)
        do {
            try await body(line)
        } catch {
            await line.stop()
            throw error
        }
        await line.stop()
    }

    private func stop() async {
        await server.stop()
        try? await client.shutdown()
    }
}
