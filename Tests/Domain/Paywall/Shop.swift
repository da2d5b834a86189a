import CanonicalJSON
import Cryptography
import Encodings
import Lightning
import Paywall
import Testing

/// A seller's realm, secrets and invoices, and a call.
struct Shop {
    static let now = Timestamp(secondsSince1970: 1_800_000_000)
    let secrets: PaymentSecrets
    let scope = PaymentScope(service: "weather", method: "POST", target: "/today?x=1")
    let preimage = [UInt8](repeating: 5, count: 32)
    let key: Secp256k1.Scalar

    init() throws {
        secrets = try #require(PaymentSecrets(current: [UInt8](repeating: 1, count: 32)))
        key = try Secp256k1.Scalar(bytes: Hashing.sha256(Array("the payee of these tests".utf8)))
    }

    func invoice(
        msat: UInt64? = 100_000,
        preimage: [UInt8]? = nil,
        currency: InvoiceCurrency = .regtest,
        after seconds: Int64 = 0
    ) throws -> BOLT11Invoice {
        try BOLT11Invoice.sign(
            InvoiceContents(
                currency: currency,
                amountMsat: msat,
                timestamp: Self.now.adding(seconds: seconds),
                paymentHash: Hashing.sha256(preimage ?? self.preimage),
                paymentSecret: [UInt8](repeating: 8, count: 32),
                purpose: .text("weather"),
                expirySeconds: 60
            ),
            key: key
        )
    }

    func challenge(
        _ intent: String,
        method: String = "lightning",
        request: JSONObject,
        scope: PaymentScope? = nil,
        digest: String? = nil
    ) throws -> PaymentChallenge {
        let scope = scope ?? self.scope
        return try PaymentChallenge(
            realm: "node.example",
            method: method,
            intent: intent,
            request: request,
            expires: Self.now.adding(seconds: 60),
            digest: digest,
            opaque: intent == "session" ? scope.opaqueForSession : scope.opaqueForCall,
            secrets: secrets
        )
    }

    func context(
        realm: String = "node.example",
        scope: PaymentScope? = nil,
        body: [UInt8]? = nil,
        after seconds: Int64 = 0
    ) -> PaymentContext {
        PaymentContext(
            realm: realm,
            secrets: secrets,
            scope: scope ?? self.scope,
            bodyDigest: body.map { Hashing.sha256($0) },
            now: Self.now.adding(seconds: seconds)
        )
    }
}

/// The code of the refusal that `body` ends with, if it does.
func refusalCode(_ body: () throws -> Void) -> CallRefusal.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? CallRefusal)?.code
    }
}
