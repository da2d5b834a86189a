import Cryptography
import Encodings
import Paywall
import Testing

/// A seller's grant, keys and macaroon, and the call that was paid for.
struct Sale {
    static let now = Timestamp(secondsSince1970: 1_800_000_000)
    let preimage = [UInt8](repeating: 5, count: 32)
    let keyID: L402KeyID
    let key: L402RootKey
    var grant: L402Grant

    init() throws {
        keyID = try #require(L402KeyID(bytes: Array("key-no-1".utf8)))
        key = try #require(L402RootKey(id: keyID, secret: [UInt8](repeating: 9, count: 32)))
        grant = L402Grant(
            paymentHash: Hashing.sha256(preimage),
            service: "weather",
            methods: ["GET"],
            path: try PathPattern("/today/*"),
            price: Price(amount: 2),
            calls: 3,
            validUntil: Self.now.adding(seconds: 60)
        )
    }

    func macaroon(nonce: UInt8 = 1) throws -> Macaroon {
        try grant.macaroon(key: key, nonce: [UInt8](repeating: nonce, count: 24), location: "node.example")
    }

    func request(
        _ method: String = "GET",
        _ path: String = "/today/berlin",
        service: String = "weather",
        price: Price = Price(amount: 2),
        capability: String? = nil
    ) throws -> L402Request {
        L402Request(
            service: service,
            method: method,
            path: try RequestPath(path),
            price: price,
            capability: capability
        )
    }

    func judge(
        _ macaroons: [Macaroon],
        preimage: [UInt8]? = nil,
        request: L402Request? = nil,
        keys: L402KeyRing? = nil,
        now: Timestamp = Sale.now
    ) throws -> L402Judgement {
        let credential = try #require(L402Credential(macaroons: macaroons, preimage: preimage ?? self.preimage))
        return L402.judge(
            credential,
            keys: keys ?? L402KeyRing([key]),
            request: try request ?? self.request(),
            now: now
        )
    }

    func code(
        adding caveats: [String],
        request: L402Request? = nil,
        now: Timestamp = Sale.now
    ) throws -> CallRefusal.Code? {
        let macaroon = try caveats.reduce(macaroon()) { try $0.adding($1) }
        guard case .refused(let refusal) = try judge([macaroon], request: request, now: now) else { return nil }
        #expect(refusal.status == 402)
        return refusal.code
    }
}
