import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Encodings
import Ethereum
import Lightning
import Mint
import Paywall
import Synchronization

@testable import Wallet

/// A seller that speaks x402, and a chain that its payments would be settled on. It breaks off where a test says so.
final class X402Seller: Sendable {
    enum Step: Sendable, Equatable {
        case serve
        /// The request is lost.
        case drop
        /// Settles and serves; the answer is lost.
        case serveThenDrop
        /// 503 `payment-pending`.
        case pending
        /// 402 with a settlement that failed for this reason.
        case refuse(String)
        /// Settles, and answers with a fresh challenge, as sellers do whose settlement timed out.
        case settleThenChallenge
        /// A fresh challenge, at this price.
        case challengeAgain(String)
        /// The service itself has nothing there, so nothing is settled.
        case notFound
        case turnAway
    }

    struct State {
        var version = X402.Version.v2
        var accepts: [X402.Requirements] = []
        var steps: [Step] = []
        /// What else its 402 says.
        var otherHeaders: [(String, String)] = []
        /// In place of its challenge.
        var challenge: RawReply?
        var extensions: JSONObject?
        var resource: X402.Resource?
        var seen: [SeenRequest] = []
        /// Every payment that was shown, as it came.
        var shown: [String] = []
        var charges = 0
        var answers: [String: RawReply] = [:]
        var used: Set<[UInt8]> = []
        var blockSeconds: UInt64?
        var balance = UInt256(1_000_000_000)
        var isChainDown = false
        /// Runs while a payment is in the seller's hands.
        var onPayment: (@Sendable (String) async -> Void)?
    }

    static let usdc = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
    static let payee = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
    let state = Mutex(State())
    private let time: TestTime
    private let keysets: [KeysetID]

    init(_ world: WalletWorld) {
        time = world.time
        keysets = world.mint.allKeysets.map(\.id)
        state.withLock { $0.accepts = [Self.exact()] }
    }

    /// A way to pay in USDC on Base Sepolia; 10,000 are a cent.
    static func exact(
        _ amount: UInt64 = 10_000,
        version: X402.Version = .v2,
        asset: String = usdc,
        payTo: String = payee,
        extra: JSONObject = ["name": "USDC", "version": "2"],
        timeout: Int64 = 60
    ) -> X402.Requirements {
        X402.Requirements(
            scheme: "exact",
            network: version == .v2 ? "eip155:84532" : "base-sepolia",
            amount: UInt256(amount),
            asset: asset,
            payTo: payTo,
            maxTimeoutSeconds: timeout,
            extra: extra,
            details: version == .v1 ? .init(resource: "http://shop.example/weather") : nil
        )
    }

    func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
    func script(_ steps: Step...) { state.withLock { $0.steps = steps } }
    var charges: Int { state.withLock { $0.charges } }
    var shown: [String] { state.withLock { $0.shown } }

    func respond(_ request: SeenRequest) async -> RawReply {
        state.withLock { $0.seen.append(request) }
        let version = state.withLock { $0.version }
        guard let value = request.header(version.paymentHeader) else { return challenge() }
        state.withLock { $0.shown.append(value) }
        await state.withLock { $0.onPayment }?(value)
        let key = request.header("Idempotency-Key") ?? ""
        if let earlier = state.withLock({ $0.answers[key] }) { return earlier }
        let step = state.withLock { $0.steps.isEmpty ? .serve : $0.steps.removeFirst() }
        switch step {
        case .drop: return .drop
        case .pending:
            let body = Array(#"{"type":"urn:mintmark:problem:payment-pending","status":503}"#.utf8)
            return .answer(status: 503, headers: [("Content-Type", "application/problem+json")], body: body)
        case .refuse(let reason): return settlement(402, success: false, reason: reason)
        case .challengeAgain(let amount):
            state.withLock { state in
                for place in state.accepts.indices {
                    state.accepts[place].amount = (try? UInt256(decimal: amount)) ?? .zero
                }
            }
            return challenge()
        case .notFound: return .answer(status: 404, body: Array("nothing there".utf8))
        case .turnAway: return .answer(status: 429, headers: [("Retry-After", "1")])
        case .serve, .serveThenDrop, .settleThenChallenge: break
        }
        guard take(value, version) else { return settlement(402, success: false, reason: "invalid_payload") }
        if step == .settleThenChallenge { return challenge() }
        let reply = settlement(200, success: true, reason: nil)
        state.withLock { $0.answers[key] = reply }
        return step == .serveThenDrop ? .drop : reply
    }

    /// Checks a payment as a facilitator does, and settles it.
    private func take(_ value: String, _ version: X402.Version) -> Bool {
        guard let payment = try? X402.PaymentPayload.payment(headerValues: [value]), payment.version == version,
            let chosen = payment.chosen(of: state.withLock { $0.accepts })
        else { return false }
        switch chosen.scheme {
        case "cashu":
            guard let token = try? X402.CashuScheme.token(of: payment, against: chosen),
                let proofs = try? token.proofs(knownKeysets: keysets), !proofs.isEmpty
            else { return false }
        case "upfront":
            guard let resource = state.withLock({ $0.resource }),
                (try? X402.LightningScheme.check(
                    payment,
                    against: chosen,
                    resource: resource,
                    network: .simulated,
                    now: time.now
                )) != nil
            else { return false }
        default:
            guard let payload = try? X402.ExactEVM.Payload(json: payment.payload),
                let checked = try? X402.ExactEVM.check(payload, of: payment, against: chosen, now: time.now),
                case .account = checked.signature,
                state.withLock({ $0.used.insert(checked.authorization.nonce).inserted })
            else { return false }
        }
        state.withLock { $0.charges += 1 }
        return true
    }

    private func settlement(_ status: Int, success: Bool, reason: String?) -> RawReply {
        let (version, accepts) = state.withLock { ($0.version, $0.accepts) }
        let said = X402.SettleResponse(
            success: success,
            errorReason: reason,
            transaction: success ? "0xabcd" : "",
            network: accepts.first?.network ?? ""
        )
        let header = (try? X402.header(said.json)) ?? ""
        return .answer(status: status, headers: [(version.responseHeader, header)], body: Array("weather".utf8))
    }

    private func challenge() -> RawReply {
        let state = state.withLock { $0 }
        if let challenge = state.challenge { return challenge }
        let required = X402.PaymentRequired(
            version: state.version,
            error: "pay",
            resource: state.version == .v2 ? state.resource ?? .init(url: "http://shop.example/weather") : nil,
            accepts: state.accepts,
            extensions: state.extensions
        )
        if state.version == .v1 {
            let headers = state.otherHeaders + [("Content-Type", "application/json")]
            return .answer(status: 402, headers: headers, body: JSONValue.object(required.json).serialized())
        }
        let header = Base64.encode(JSONValue.object(required.json).serialized())
        return .answer(status: 402, headers: state.otherHeaders + [(X402.challengeHeader, header)], body: [])
    }
}

extension X402Seller: TokenChain {
    private struct Down: Error {}

    var chainID: UInt256 { UInt256(84_532) }

    func balance(of holder: Address, token: Address) async throws -> UInt256 {
        try state.withLock { state throws(Down) in
            if state.isChainDown { throw Down() }
            return state.balance
        }
    }

    func authorization(_ nonce: [UInt8], of payer: Address, token: Address) async throws -> AuthorizationState {
        let now = UInt64(time.now.secondsSince1970)
        return try state.withLock { state throws(Down) in
            if state.isChainDown { throw Down() }
            return AuthorizationState(isUsed: state.used.contains(nonce), blockSeconds: state.blockSeconds ?? now)
        }
    }
}

/// A wallet, a seller of x402 and the line between them.
final class X402Line: Sendable {
    let world: WalletWorld
    let seller: X402Seller
    let server: RawServer
    let client: HTTPClient

    private init() async throws {
        world = try await WalletWorld()
        let seller = X402Seller(world)
        self.seller = seller
        server = try await RawServer { await seller.respond($0) }
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: HTTPMint.clientConfiguration)
    }

    func buyer(_ wallet: TestWallet, attempts: Int = 3, hasChain: Bool = true, rates: [String] = ["usd=10400"]) throws
        -> Buyer
    {
        let configuration = BuyerConfiguration(
            attempts: attempts,
            network: .simulated,
            assets: [try EVMAsset("eip155:84532/\(X402Seller.usdc)=usd:6")],
            rates: try PriceRates(rates),
            pause: { _ in }
        )
        let chains: [any TokenChain] = hasChain ? [seller] : []
        return Buyer(wallet: wallet.wallet, client: client, chains: chains, configuration: configuration)
    }

    /// A cent is 10.4 sat.
    func request(
        maximum: UInt64 = 20,
        unit: CurrencyUnit = .sat,
        key: String? = nil,
        via: PaymentVia? = nil,
        headers: [(name: String, value: String)] = []
    ) -> PaidRequest {
        PaidRequest(
            url: server.origin + "/weather",
            headers: headers,
            maximum: maximum,
            unit: unit,
            idempotencyKey: key,
            via: via
        )
    }

    /// Runs a test and cleans up after it.
    static func run(_ body: (X402Line) async throws -> Void) async throws {
        let line = try await X402Line()
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
