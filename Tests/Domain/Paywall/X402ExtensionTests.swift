import CanonicalJSON
import Encodings
import Ethereum
import Paywall
import TestSupport
import Testing

@Suite("x402: the extensions")
struct X402ExtensionTests {
    private func payment(_ extensions: JSONObject?) throws -> X402.PaymentPayload {
        var payment = try X402.PaymentPayload(json: X402.object(header: x402Peer().string("payment")))
        payment.extensions = extensions
        return payment
    }

    @Test("payment-identifier: the client's name of its payment is read, demanded and bounded")
    func identifiers() throws {
        typealias Extension = X402.PaymentIdentifier
        let declared: JSONObject = [Extension.id: .object(Extension.declaration(isRequired: true))]
        let name = "pay_7d5d747be160e280504c099d984bcfe0"
        let named = Extension.adding(name, to: declared)
        #expect(try Extension.identifier(of: payment(named), isRequired: true) == name)
        #expect(X402.echoes(named, challenge: declared))
        #expect(try Extension.identifier(of: payment(declared), isRequired: false) == nil)
        #expect(try Extension.identifier(of: payment(nil), isRequired: false) == nil)
        #expect(
            x402Code { _ = try Extension.identifier(of: payment(declared), isRequired: true) } == .identifierRequired
        )
        #expect(Extension.isWellFormed(String(repeating: "a", count: 16)))
        #expect(Extension.isWellFormed(String(repeating: "-", count: 128)))
        let bad = [
            String(repeating: "a", count: 15), String(repeating: "a", count: 129), name + "!", name + " ", name + "é",
            "",
        ]
        for text in bad {
            let changed = Extension.adding(text, to: declared)
            #expect(
                x402Code { _ = try Extension.identifier(of: payment(changed), isRequired: false) } == .invalidPayload
            )
        }
    }

    @Test("What a challenge says may be added to, not changed")
    func echoes() {
        let challenge: JSONObject = ["a": ["info": ["x": 1, "y": ["z": true]], "schema": [:]]]
        #expect(X402.echoes(nil, challenge: challenge))
        #expect(X402.echoes([:], challenge: challenge))
        #expect(X402.echoes(["a": ["info": ["x": 1, "y": ["z": true, "w": 2], "v": 3]]], challenge: challenge))
        #expect(X402.echoes(["b": 1], challenge: nil))
        for info: JSONValue in [["x": 1], ["x": 2, "y": ["z": true]], ["x": 1, "y": ["z": false]], .null, 1] {
            #expect(!X402.echoes(["a": ["info": info]], challenge: challenge))
        }
    }

    @Test("bazaar: all three ways of calling go through the wire and back")
    func bazaar() throws {
        let inputs: [X402.Bazaar.Input] = [
            .query(method: "GET", parameters: ["city": "Bern"]), .query(method: "DELETE", parameters: nil),
            .body(method: "POST", bodyType: "json", body: ["query": "example"]),
            .body(method: "PUT", bodyType: "text", body: "hello"),
            .tool(name: "analysis", description: "of finances", inputSchema: ["type": "object"]),
        ]
        for input in inputs {
            for output: JSONObject? in [nil, ["type": "json", "example": ["a": 1]]] {
                let bazaar = X402.Bazaar(input: input, output: output)
                #expect(try X402.Bazaar(json: bazaar.json) == bazaar)
            }
        }
        let schema: JSONValue = [:]
        let bad: [JSONValue] = [
            ["type": "ftp"], ["type": "http", "method": "PURGE"], ["type": "http", "method": "POST"],
            ["type": "http", "method": "POST", "bodyType": "xml", "body": "x"],
            ["type": "http", "method": "POST", "bodyType": "json"], ["type": "mcp", "tool": "a"], 7,
        ]
        for input in bad {
            #expect(
                x402Code { _ = try X402.Bazaar(json: ["info": ["input": input], "schema": schema]) } == .invalidPayload
            )
        }
        #expect(
            x402Code { _ = try X402.Bazaar(json: ["info": ["input": ["type": "http", "method": "GET"]]]) }
                == .invalidPayload
        )
    }

    @Test("offer-receipt: digests and signers are those of eth-account; what is changed is another's")
    func offersAndReceipts() throws {
        typealias Extension = X402.OfferReceipt
        let peer = try x402Peer()
        let key = try EthereumKey(bytes: [UInt8](repeating: 0x11, count: 32))
        let offer = try Extension.Artifact(json: peer.object("offer"))
        let terms = try Extension.Offer(json: offer.payload())
        #expect(EthereumHex.text(terms.digest) == (try peer.string("offerDigest")))
        #expect(try Extension.signer(ofOffer: offer) == key.address)
        #expect(Extension.sign(terms, key: key) == offer)
        #expect(offer.json(acceptIndex: 0) == (try peer.object("offer")))
        let receipt = try Extension.Artifact(json: peer.object("receipt"))
        let paid = try Extension.Receipt(json: receipt.payload())
        #expect(EthereumHex.text(paid.digest) == (try peer.string("receiptDigest")))
        #expect(try Extension.signer(ofReceipt: receipt) == key.address)
        #expect(Extension.sign(paid, key: key) == receipt)

        let accepts = try X402.PaymentRequired(json: X402.object(header: peer.string("paymentRequired"))).accepts
        #expect(terms.matches(accepts[0]))
        var dearer = accepts[0]
        dearer.amount = UInt256(10_001)
        #expect(!terms.matches(dearer))
        for name in ["resourceUrl", "scheme", "network", "asset", "payTo", "amount"] {
            guard case .eip712(var payload, let signature) = offer else { return }
            payload[name] = "x"
            let changed = Extension.Artifact.eip712(payload: payload, signature: signature)
            #expect((try? Extension.signer(ofOffer: changed)) != key.address)
        }
        var later = try offer.payload()
        later["version"] = 2
        #expect(x402Code { _ = try Extension.Offer(json: later) } == .invalidPayload)
    }

    @Test("offer-receipt: a JWS is carried whole, and its payload read without a word on its signature")
    func jws() throws {
        typealias Artifact = X402.OfferReceipt.Artifact
        let payload: JSONObject = ["version": 1, "payer": "x"]
        let compact = "e30." + Base64URL.encode(payload.serialized()) + ".c2ln"
        let artifact = try Artifact(json: ["format": "jws", "signature": .string(compact)])
        #expect(try artifact.payload() == payload)
        #expect(x402Code { _ = try X402.OfferReceipt.signer(ofOffer: artifact) } == .invalidPayload)
        let bad: [JSONObject] = [
            ["format": "jws", "signature": "a.b"], ["format": "pgp", "signature": "x"],
            ["format": "eip712", "signature": "0x"],
            ["format": "jws", "signature": .string(compact), "payload": [:]], [:],
        ]
        for json in bad { #expect(x402Code { _ = try Artifact(json: json) } == .invalidPayload) }
    }
}
