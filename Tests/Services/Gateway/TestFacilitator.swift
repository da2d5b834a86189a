import AsyncHTTPClient
import CanonicalJSON
import Cryptography
import Encodings
import Ethereum
import Foundation
import Gateway
import Hummingbird
import Paywall
import Settlement
import Synchronization
import Testing

/// A facilitator with a chain of its own in memory: it carries each payment out once, however often it is asked, and can be told
/// to misbehave.
final class TestFacilitator: Facilitator {
    enum Mood: Sendable {
        case settles
        /// Does nothing, and says so.
        case refuses(String)
        /// Does it, and does not know yet.
        case isPending
        /// Does nothing, and does not know.
        case isLost
        case isAway
        /// Takes its time.
        case isSlow(Int)
    }
    let mood = Mutex(Mood.settles)
    /// The ids of what was carried out.
    let moved = Mutex<[String]>([])
    let asked = Mutex(0)

    var movedCount: Int { moved.withLock { $0.count } }
    var askedCount: Int { asked.withLock { $0 } }

    func become(_ next: Mood) { mood.withLock { $0 = next } }

    func verify(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.VerifyResponse {
        X402.VerifyResponse(isValid: true)
    }

    func supported() async throws(SettlementError) -> X402.Supported {
        X402.Supported(kinds: [], extensions: [], signers: [:])
    }

    func settle(_ request: X402.FacilitatorRequest) async throws(SettlementError) -> X402.SettleResponse {
        asked.withLock { $0 += 1 }
        let network = request.requirements.network
        func failure(_ code: X402Refusal.Code) -> X402.SettleResponse {
            X402.SettleResponse(refusal: X402Refusal(code, "no"), network: network)
        }
        let checked: X402.ExactEVM.Checked
        do {
            checked = try X402.ExactEVM.check(
                X402.ExactEVM.Payload(json: request.payment.payload),
                of: request.payment,
                against: request.requirements,
                now: nil
            )
        } catch {
            return failure(error.code)
        }
        guard case .account = checked.signature else { return failure(.invalidSignature) }
        let mood = mood.withLock { $0 }
        switch mood {
        case .refuses(let reason): return failure(.init(rawValue: reason))
        case .isLost: return failure(.settlementPending)
        case .isAway: throw SettlementError(.unreachable, "nobody is there")
        case .isSlow(let milliseconds): try? await Task.sleep(for: .milliseconds(milliseconds))
        case .settles, .isPending: break
        }
        let place = moved.withLock { moved in
            if let place = moved.firstIndex(of: checked.id) { return place }
            moved.append(checked.id)
            return moved.count - 1
        }
        if case .isPending = mood { return failure(.settlementPending) }
        return X402.SettleResponse(
            success: true,
            transaction: "0x" + Hex.encode(Hashing.sha256(Array("\(place)".utf8))),
            network: network,
            payer: checked.payer.description,
            amount: checked.authorization.value.description
        )
    }
}

/// What the seller of these tests takes.
enum TestSale {
    static let chainID = UInt256(84_532)
    static let text = "usdc:0x036CbD53842c5426634e7929541eC2318f3dCF7e:USDC:2:usd=10000:sat=1040"

    static func payTo() throws -> Address { try EthereumKey(bytes: [UInt8](repeating: 0x23, count: 32)).address }

    static func make(_ facilitator: TestFacilitator, cap: UInt64? = nil, atOnce: Int = 4) throws -> ExactSale {
        ExactSale(
            assets: [try X402.Asset(text, chainID: chainID)],
            payTo: try payTo(),
            facilitator: facilitator,
            reserveCaps: cap.map { ["usdc": $0] } ?? [:],
            settlementsAtOnce: atOnce
        )
    }
}

/// A buyer who can sign.
struct TestPayer {
    let key: EthereumKey

    init(_ byte: UInt8 = 0x22) throws { key = try EthereumKey(bytes: [UInt8](repeating: byte, count: 32)) }

    /// What a payment says that differs from what is asked.
    struct Changes {
        var value: UInt64?
        var to: Address?
        var validAfter: UInt64 = 0
        var validBefore: UInt64?
        var chainID: UInt256?
        var contract: Address?
        var nonce: [UInt8]?
        var isHighS = false
        var url: String?
        var identifier: String?
        var accepted: ((inout X402.Requirements) -> Void)?
    }

    /// Signs what a challenge asks for.
    func payment(
        _ required: X402.PaymentRequired,
        now: Timestamp,
        _ change: (inout Changes) throws -> Void = { _ in }
    ) throws -> X402.PaymentPayload {
        var changes = Changes()
        try change(&changes)
        var way = try #require(required.accepts.first { $0.scheme == "exact" })
        let chain = try #require(X402.Network.chainID(of: way.network, version: required.version))
        let token = AuthorizedToken(
            contract: try changes.contract ?? Address(way.asset),
            chainID: changes.chainID ?? chain,
            name: way.extra?["name"]?.stringValue ?? "",
            version: way.extra?["version"]?.stringValue ?? ""
        )
        let seconds = UInt64(now.secondsSince1970)
        let authorization = try TransferAuthorization(
            from: key.address,
            to: changes.to ?? Address(way.payTo),
            value: changes.value.map { UInt256($0) } ?? way.amount,
            validAfter: UInt256(changes.validAfter),
            validBefore: UInt256(changes.validBefore ?? seconds + UInt64(way.maxTimeoutSeconds)),
            nonce: changes.nonce ?? SecureRandom.bytes(32)
        )
        var signature = authorization.sign(for: token, key: key).bytes
        if changes.isHighS { signature = try Self.otherHalf(signature) }
        let payload = X402.ExactEVM.Payload(authorization: authorization, signature: signature).json
        changes.accepted?(&way)
        guard required.version == .v2 else {
            return X402.PaymentPayload(scheme: way.scheme, network: way.network, payload: payload)
        }
        var resource = required.resource
        if let url = changes.url { resource?.url = url }
        return X402.PaymentPayload(
            accepted: way,
            payload: payload,
            resource: resource,
            extensions: changes.identifier.map { X402.PaymentIdentifier.adding($0, to: required.extensions) }
        )
    }

    /// The same signature with n − s for s and the other v: what a malleable check would take too.
    private static func otherHalf(_ signature: [UInt8]) throws -> [UInt8] {
        let order = try UInt256(
            bigEndian: Hex.decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
        )
        let s = try order.subtracting(UInt256(bigEndian: signature[32..<64]))
        return signature[..<32] + s.word + [signature[64] == 27 ? 28 : 27]
    }
}

extension Answer {
    /// The challenge over x402, version 2.
    func x402() throws -> X402.PaymentRequired {
        try X402.PaymentRequired(json: X402.object(header: try #require(header("PAYMENT-REQUIRED"))))
    }

    /// The challenge over x402, version 1: the body.
    func olderX402() throws -> X402.PaymentRequired { try X402.PaymentRequired(json: X402.object(body: body)) }

    func settlement(_ name: String = "PAYMENT-RESPONSE") throws -> X402.SettleResponse {
        try X402.SettleResponse(json: X402.object(header: try #require(header(name))))
    }
}

extension X402.PaymentPayload {
    /// The header that carries it.
    func field() throws -> [(String, String)] { [(version.paymentHeader, try X402.header(json))] }
}

/// A seller over x402 with its facilitator.
func withTokenSeller<T: Sendable>(
    cap: UInt64? = nil,
    idempotent: Bool = false,
    atOnce: Int = 4,
    sellsOverLightning: Bool = false,
    accepts: Set<PaymentDialect> = [.x402Exact, .cashu],
    service: @escaping @Sendable (inout ServiceDefinition) -> Void = { _ in },
    _ body: @escaping @Sendable (TestNode, TestFacilitator, TestUpstream, HTTPClient, Int) async throws -> T
) async throws -> T {
    let facilitator = TestFacilitator()
    let sale = try TestSale.make(facilitator, cap: cap, atOnce: atOnce)
    return try await withSeller(
        idempotent: idempotent,
        sellsOverLightning: sellsOverLightning,
        configure: { $0.exact = sale },
        service: {
            $0.accepts = accepts
            $0.reservesX402 = cap != nil
            service(&$0)
        }
    ) { node, upstream, client, port in
        let result = try await body(node, facilitator, upstream, client, port)
        #expect(try await node.requireConservation() == [])
        return result
    }
}
