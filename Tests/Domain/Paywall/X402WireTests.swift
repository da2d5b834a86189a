import CanonicalJSON
import Encodings
import Ethereum
import Paywall
import TestSupport
import Testing

/// What the reference implementation wrote.
func x402Peer() throws -> JSONObject {
    try JSONValue.parse(Fixtures.bytes("x402/peer.json")).requireObject()
}

func x402Code(_ body: () throws -> Void) -> X402Refusal.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? X402Refusal)?.code
    }
}

@Suite("x402: the wire, versions 2 and 1")
struct X402WireTests {
    @Test("What the reference implementation writes is read, and written back the same")
    func roundTrips() throws {
        let peer = try x402Peer()
        let challenge = try X402.object(header: peer.string("paymentRequired"))
        #expect(try X402.PaymentRequired(json: challenge).json == challenge)
        let payment = try X402.object(header: peer.string("payment"))
        #expect(try X402.PaymentPayload(json: payment).json == payment)
        let older = try X402.object(body: Array(peer.string("paymentRequiredV1").utf8))
        #expect(try X402.PaymentRequired(json: older).json == older)
        let olderPayment = try X402.object(header: peer.string("paymentV1"))
        #expect(try X402.PaymentPayload(json: olderPayment).json == olderPayment)
        for name in ["settled", "pending"] {
            let settled = try X402.object(header: peer.string(name))
            let read = try X402.SettleResponse(json: settled)
            #expect(read.json == settled)
            #expect(try X402.object(header: X402.header(read.json)) == settled)
        }
        for name in ["verifyRequest", "verifyRequestV1"] {
            let request = try X402.object(body: Array(peer.string(name).utf8))
            #expect(try X402.FacilitatorRequest(json: request).json == request)
        }
        let supported = try X402.object(body: Array(peer.string("supported").utf8))
        #expect(try X402.Supported(json: supported).json == supported)
    }

    @Test("A payment answers the way to pay that it repeats to the letter, and no other")
    func chosen() throws {
        let peer = try x402Peer()
        let challenge = try X402.PaymentRequired(json: X402.object(header: peer.string("paymentRequired")))
        let payment = try X402.PaymentPayload(json: X402.object(header: peer.string("payment")))
        #expect(payment.chosen(of: challenge.accepts) == challenge.accepts[0])
        var dearer = challenge.accepts[0]
        dearer.amount = UInt256(10_001)
        #expect(payment.chosen(of: [dearer]) == nil)
        var other = challenge.accepts[0]
        other.extra?["name"] = "USD Coin"
        #expect(payment.chosen(of: [other, challenge.accepts[0]]) == challenge.accepts[0])
        let older = try X402.PaymentRequired(json: X402.object(body: Array(peer.string("paymentRequiredV1").utf8)))
        let olderPayment = try X402.PaymentPayload(json: X402.object(header: peer.string("paymentV1")))
        #expect(olderPayment.chosen(of: older.accepts) == older.accepts[0])
        #expect(olderPayment.chosen(of: challenge.accepts) == nil)
    }

    @Test("Members that are missing or of another form are refused with the code of the specification")
    func malformed() throws {
        let peer = try x402Peer()
        let request = try X402.object(body: Array(peer.string("verifyRequest").utf8))
        func code(_ path: [String], _ value: JSONValue?) -> X402Refusal.Code? {
            var changed = JSONValue.object(request)
            change(&changed, path, value)
            return x402Code { _ = try X402.FacilitatorRequest(json: changed.requireObject()) }
        }
        #expect(code([], .object(request)) == nil)
        let versions: [JSONValue?] = [nil, 3, 0, "2", 2.5, -1, .null, 1]
        for version in versions { #expect(code(["x402Version"], version) == .invalidVersion) }
        for path in [["paymentPayload"], ["paymentPayload", "payload"], ["paymentPayload", "accepted"]] {
            #expect(code(path, nil) == .invalidPayload)
            #expect(code(path, "x") == .invalidPayload)
        }
        let amounts: [JSONValue?] = [
            nil, 10_000, "-1", "1.0", "0x10", "", "01", .string(String(repeating: "9", count: 90)),
        ]
        for amount in amounts {
            #expect(code(["paymentRequirements", "amount"], amount) == .invalidRequirements)
            #expect(code(["paymentPayload", "accepted", "amount"], amount) == .invalidPayload)
        }
        for network in ["", "base", "eip155", "eip155:", "EIP155:1", "eip155:1:2", "eip155:1 "] {
            #expect(code(["paymentRequirements", "network"], .string(network)) == .invalidRequirements)
        }
        for timeout: JSONValue? in [nil, "60", -1, 1.5, .integer(.max)] {
            #expect(code(["paymentRequirements", "maxTimeoutSeconds"], timeout) == .invalidRequirements)
        }
        for text in ["", "a\nb", "é", String(repeating: "x", count: 513)] {
            #expect(code(["paymentRequirements", "scheme"], .string(text)) == .invalidRequirements)
        }
        #expect(code(["paymentRequirements", "extra"], []) == .invalidRequirements)
        #expect(code(["paymentRequirements", "unknown"], [1, 2]) == nil)
    }

    private func change(_ value: inout JSONValue, _ path: [String], _ new: JSONValue?) {
        guard let first = path.first else {
            if let new { value = new }
            return
        }
        var object = value.objectValue ?? [:]
        if path.count == 1 {
            object[first] = new
        } else {
            var inner = object[first] ?? .null
            change(&inner, Array(path.dropFirst()), new)
            object[first] = inner
        }
        value = .object(object)
    }

    @Test("Headers are one base64 of one bounded JSON object")
    func headers() throws {
        let peer = try x402Peer()
        let value = try peer.string("payment")
        #expect(try X402.PaymentPayload.payment(headerValues: []) == nil)
        #expect(try X402.PaymentPayload.payment(headerValues: [value])?.scheme == "exact")
        let array = Base64.encode(Array("[]".utf8))
        let twice = Base64.encode(Array(#"{"x402Version":2,"x402Version":2}"#.utf8))
        let deep = Base64.encode(Array(("{\"a\":" + String(repeating: "[", count: 40)).utf8))
        let bad = [
            [value, value], [""], ["!"], [String(value.dropLast())], [value + "A"], [array], [twice], [deep],
            [String(repeating: "A", count: X402.maximumReadBytes + 4)],
        ]
        for values in bad {
            #expect(x402Code { _ = try X402.PaymentPayload.payment(headerValues: values) } == .invalidPayload)
        }
        let long: JSONObject = ["a": .string(String(repeating: "x", count: X402.maximumWrittenHeaderBytes))]
        #expect(x402Code { _ = try X402.header(long) } == .invalidPayload)
    }

    @Test("A buyer leaves aside ways to pay that it can't read, but not all of them")
    func strangeWays() throws {
        var challenge = try X402.object(header: x402Peer().string("paymentRequired"))
        let ways = try challenge.array("accepts")
        challenge["accepts"] = .array([["scheme": "fiat", "amount": "1.50"], "x"] + ways)
        #expect(try X402.PaymentRequired(json: challenge).accepts.count == 1)
        challenge["accepts"] = [["scheme": "fiat"]]
        #expect(x402Code { _ = try X402.PaymentRequired(json: challenge) } == .invalidRequirements)
        challenge["accepts"] = .array([JSONValue](repeating: ways[0], count: X402.maximumAccepts + 1))
        #expect(x402Code { _ = try X402.PaymentRequired(json: challenge) } == .invalidRequirements)
    }

    @Test("A settlement that names no transaction has not succeeded")
    func settlements() throws {
        let bad: [JSONObject] = [
            ["success": true, "transaction": "", "network": "eip155:1"], ["success": true, "network": "eip155:1"],
            ["success": "true", "transaction": "0x1", "network": "eip155:1"], ["transaction": "0x1", "network": "a"],
        ]
        for json in bad { #expect(x402Code { _ = try X402.SettleResponse(json: json) } == .unexpectedSettleError) }
        #expect(x402Code { _ = try X402.VerifyResponse(json: ["isValid": 1]) } == .unexpectedVerifyError)
        let refused = X402.SettleResponse(refusal: X402Refusal(.nonceUsed, "used"), network: "eip155:1", payer: "0x1")
        #expect(refused.json["errorReason"] == "invalid_exact_evm_nonce_already_used")
        #expect(refused.json["transaction"] == "")
    }

    @Test("Networks are named by CAIP-2 in version 2 and by words in version 1")
    func networks() {
        #expect(X402.Network.chainID(of: "base-sepolia", version: .v1) == UInt256(84_532))
        #expect(X402.Network.chainID(of: "eip155:84532", version: .v2) == UInt256(84_532))
        #expect(X402.Network.name(chainID: UInt256(8453), version: .v1) == "base")
        #expect(X402.Network.name(chainID: UInt256(8453), version: .v2) == "eip155:8453")
        for name in [
            "eip155:0", "eip155:01", "eip155:x", "solana:1", "base", "eip155:" + String(repeating: "9", count: 33),
        ] {
            #expect(X402.Network.chainID(of: name, version: .v2) == nil)
        }
        #expect(X402.Network.chainID(of: "eip155:1", version: .v1) == nil)
    }

    @Test("A catalogue is given page by page")
    func discovery() throws {
        let accepts = try X402.PaymentRequired(json: X402.object(header: x402Peer().string("paymentRequired"))).accepts
        let all = (0..<150).map { index in
            X402.DiscoveredResource(
                resource: "https://a.example/\(index)",
                type: index.isMultiple(of: 3) ? "mcp" : "http",
                accepts: accepts,
                lastUpdated: Int64(index)
            )
        }
        let page = X402.DiscoveryPage(of: all, limit: nil, offset: nil)
        #expect(page.items.count == 20)
        #expect(page.json["pagination"] == ["limit": 20, "offset": 0, "total": 150])
        #expect(X402.DiscoveryPage(of: all, .init(type: "mcp"), limit: 1000, offset: 0).items.count == 50)
        #expect(
            X402.DiscoveryPage(of: all, .init(type: "http"), limit: 0, offset: 99).items.map(\.resource) == [
                "https://a.example/149"
            ]
        )
        #expect(X402.DiscoveryPage(of: all, limit: 5, offset: 1000).items.isEmpty)
        #expect(X402.DiscoveryPage(of: all, limit: 5, offset: -5).offset == 0)
        #expect(page.items[1].json["accepts"]?[0]?["amount"] == "10000")
    }

    @Test("[XEX-11] A catalogue is asked by way to pay and extension, and tells name and words where clients look")
    func discoveryQueries() throws {
        let ways = try X402.PaymentRequired(json: X402.object(header: x402Peer().string("paymentRequired"))).accepts
        var other = ways[0]
        (other.network, other.payTo) = ("eip155:1", "0x" + String(repeating: "aB", count: 20))
        var all = [ways, [ways[0], other]].map {
            X402.DiscoveredResource(resource: "https://a.example/\($0.count)", accepts: $0, lastUpdated: 1)
        }
        all[1].metadata = ["serviceName": "tea", "tags": ["green"], "else": 1]
        all[1].extensions = ["bazaar": ["info": [:]]]
        func found(_ query: X402.DiscoveryQuery) -> [Bool] {
            let page = X402.DiscoveryPage(of: all, query, limit: nil, offset: nil)
            return all.map { page.items.contains($0) }
        }
        #expect(found(.init(scheme: "exact", network: ways[0].network)) == [true, true])
        #expect(found(.init(network: "eip155:1")) == [false, true])
        // Of one way, not of two together.
        #expect(found(.init(network: "eip155:1", payTo: ways[0].payTo)) == [false, false])
        #expect(found(.init(payTo: other.payTo.lowercased())) == [false, true])
        #expect(found(.init(scheme: "upto")) == [false, false])
        #expect(found(.init(extensionName: "bazaar")) == [false, true])
        let json = all[1].json
        #expect(json["serviceName"] == "tea" && json["tags"] == ["green"] && json["else"] == nil)
        #expect(json["metadata"]?["else"] == 1 && json["extensions"]?["bazaar"] == ["info": [:]])
        #expect(all[0].json["extensions"] == nil && all[0].json["description"] == nil)
    }
}
