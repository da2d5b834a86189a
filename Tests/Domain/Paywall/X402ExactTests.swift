import CanonicalJSON
import Cryptography
import Encodings
import Ethereum
import Paywall
import TestSupport
import Testing

@Suite("x402: the scheme `exact` on EVM")
struct X402ExactTests {
    private let now = Timestamp(secondsSince1970: 1_790_000_000)

    private func request(_ name: String = "verifyRequest") throws -> X402.FacilitatorRequest {
        try X402.FacilitatorRequest(json: X402.object(body: Array(x402Peer().string(name).utf8)))
    }

    private func check(
        _ request: X402.FacilitatorRequest,
        payload: JSONObject? = nil,
        now: Timestamp? = nil
    ) throws -> X402.ExactEVM.Checked {
        try X402.ExactEVM.check(
            X402.ExactEVM.Payload(json: payload ?? request.payment.payload),
            of: request.payment,
            against: request.requirements,
            now: now ?? self.now
        )
    }

    @Test("The reference client's payments hold, in both versions", arguments: ["verifyRequest", "verifyRequestV1"])
    func theReferenceClient(name: String) throws {
        let request = try request(name)
        let checked = try check(request)
        #expect(try checked.payer.description == x402Peer().string("payer"))
        guard case .account = checked.signature else {
            Issue.record("the signature was not recognised as the payer's own")
            return
        }
        #expect(checked.token.chainID == UInt256(84_532))
        #expect(
            try X402.ExactEVM.Payload(json: X402.ExactEVM.Payload(json: request.payment.payload).json).authorization
                == checked.authorization
        )
        #expect(try TransferAuthorization.parse(callData: checked.callData).authorization == checked.authorization)
        #expect(checked.id.hasPrefix("eip155:84532/0x036cbd53842c5426634e7929541ec2318f3dcf7e/0x"))
    }

    @Test("Every field that is changed is found, with the reference implementation's code")
    func changedRequirements() throws {
        let request = try request()
        func code(_ change: (inout X402.FacilitatorRequest) throws -> Void) rethrows -> X402Refusal.Code? {
            var changed = request
            try change(&changed)
            return x402Code { _ = try check(changed) }
        }
        #expect(code { _ in } == nil)
        #expect(code { $0.payment.scheme = "upto" } == .unsupportedScheme)
        #expect(code { $0.requirements.scheme = "upto" } == .unsupportedScheme)
        #expect(code { $0.requirements.network = "eip155:8453" } == .networkMismatch)
        #expect(
            code {
                $0.requirements.network = "solana:1"
                $0.payment.network = "solana:1"
            } == .noNetworkConfiguration
        )
        #expect(code { $0.requirements.extra = nil } == .missingDomain)
        #expect(code { $0.requirements.extra?["version"] = 2 } == .missingDomain)
        #expect(code { $0.requirements.extra?["assetTransferMethod"] = "permit2" } == .invalidRequirements)
        #expect(code { $0.requirements.asset = "0x1" } == .invalidRequirements)
        #expect(code { $0.requirements.payTo = "0x036CbD53842c5426634e7929541eC2318f3dCF7e" } == .recipientMismatch)
        #expect(code { $0.requirements.payTo = "0x209693bc6afc0C5328bA36FaF03C514EF312287C" } == .invalidRequirements)
        #expect(code { $0.requirements.amount = UInt256(9_999) } == .valueMismatch)
        #expect(code { $0.requirements.amount = UInt256(10_001) } == .valueMismatch)
        #expect(code { $0.payment.accepted?.amount = UInt256(1) } == .invalidRequirements)
        // Another domain: the signature is not the payer's own then, and only a contract could vouch for it.
        for (name, value) in [("name", "USD Coin"), ("version", "1")] {
            var changed = request
            changed.requirements.extra?[name] = .string(value)
            guard case .contract = try check(changed).signature else {
                Issue.record("a signature for another domain was taken as the payer's own")
                return
            }
        }
    }

    @Test("The window of time is kept, with six seconds to settle in")
    func time() throws {
        let request = try request()
        let authorization = try X402.ExactEVM.Payload(json: request.payment.payload).authorization
        let end = Int64(try #require(authorization.validBefore.uint64Value))
        let start = Int64(try #require(authorization.validAfter.uint64Value))
        func code(at second: Int64) -> X402Refusal.Code? {
            x402Code { _ = try check(request, now: Timestamp(secondsSince1970: second)) }
        }
        #expect(code(at: end - 6) == nil)
        #expect(code(at: end - 5) == .validBefore)
        #expect(code(at: end) == .validBefore)
        #expect(code(at: start) == nil)
        if start > 0 { #expect(code(at: start - 1) == .validAfter) }
    }

    @Test("Every field of the authorisation is signed; a changed signature is nobody's")
    func changedAuthorizations() throws {
        let request = try request()
        let payload = request.payment.payload
        var signature = try EthereumHex.bytes(payload.string("signature"))
        signature[10] ^= 1
        var changes: [JSONObject] = []
        for (name, value) in [
            ("from", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"), ("validAfter", "1"), ("validBefore", "1990000000"),
            ("nonce", "0x" + String(repeating: "1", count: 64)),
        ] {
            var fields = try payload.object("authorization")
            fields[name] = .string(value)
            var changed = payload
            changed["authorization"] = .object(fields)
            changes.append(changed)
        }
        var resigned = payload
        resigned["signature"] = .string(EthereumHex.text(signature))
        changes.append(resigned)
        for changed in changes {
            guard case .contract = try check(request, payload: changed).signature else {
                Issue.record("a changed authorisation was taken as signed")
                return
            }
        }
        var unsigned = payload
        unsigned["signature"] = "0x"
        #expect(x402Code { _ = try check(request, payload: unsigned) } == .invalidSignature)
        let mark = String(repeating: "6492", count: 16)
        unsigned["signature"] = .string("0x0102" + mark)
        #expect(x402Code { _ = try check(request, payload: unsigned) } == .undeployedWallet)
    }

    @Test("A payload that is malformed, or Permit2's, can't be read")
    func malformed() throws {
        let payload = try request().payment.payload
        var bad: [JSONObject] = [[:], ["signature": "0x01"], ["authorization": [:]]]
        for (name, value): (String, JSONValue) in [
            ("from", "x"), ("to", .null), ("value", 10_000), ("value", "-1"), ("validAfter", ""),
            ("validBefore", "1.5"),
            ("nonce", "0x01"), ("nonce", 5),
        ] {
            var fields = try payload.object("authorization")
            fields[name] = value
            var changed = payload
            changed["authorization"] = .object(fields)
            bad.append(changed)
        }
        var permit = payload
        permit["permit2Authorization"] = [:]
        var long = payload
        long["signature"] = .string("0x" + String(repeating: "00", count: X402.ExactEVM.maximumSignatureBytes + 1))
        for json in bad + [permit, long] {
            #expect(x402Code { _ = try X402.ExactEVM.Payload(json: json) } == .invalidPayload)
        }
    }
}
