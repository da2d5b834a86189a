public import CanonicalJSON
internal import Cryptography
internal import Encodings
public import Lightning

/// Method `lightning`, intent `charge` (draft-lightning-charge): one invoice, one call ([PAY-7]).
public enum LightningCharge {
    public static let method = "lightning"
    public static let intent = "charge"

    /// A payment that was proven. The claim is the payment hash: the store takes each once.
    public struct Acceptance: Sendable, Equatable {
        public var challengeID: String
        /// 32 bytes.
        public var paymentHash: [UInt8]
        public var amountSats: UInt64
        public var source: String?

        public init(challengeID: String, paymentHash: [UInt8], amountSats: UInt64, source: String? = nil) {
            self.challengeID = challengeID
            self.paymentHash = paymentHash
            self.amountSats = amountSats
            self.source = source
        }
    }

    /// The `request` of a challenge. The amount, hash and network are the invoice's own.
    /// - Throws: ``PaymentChallengeError`` `bad-invoice` where it has no amount in whole sat, or a network the draft has no
    ///   name for.
    public static func request(invoice: BOLT11Invoice, text: String? = nil) throws(PaymentChallengeError) -> JSONObject
    {
        guard let msat = invoice.amountMsat, msat > 0, msat.isMultiple(of: 1000) else {
            throw PaymentChallengeError(.badInvoice, "The invoice must be for a whole number of sat.")
        }
        guard let network = networkName(invoice.currency) else {
            throw PaymentChallengeError(
                .badInvoice,
                "The draft has no name for the network of ln\(invoice.currency.rawValue)."
            )
        }
        var object: JSONObject = [
            "amount": .string(String(msat / 1000)), "currency": "sat",
            "methodDetails": .object([
                "invoice": .string(invoice.text), "paymentHash": .string(Hex.encode(invoice.paymentHash)),
                "network": .string(network),
            ]),
        ]
        object["description"] = text.map { .string($0) }
        return object
    }

    /// Reads the `request` of a challenge, as a buyer must before it pays: the invoice decides, and what stands beside it
    /// has to agree.
    /// - Throws: ``PaymentChallengeError`` `bad-invoice`.
    public static func invoice(of challenge: PaymentChallenge) throws(PaymentChallengeError) -> BOLT11Invoice {
        guard challenge.method == method, challenge.intent == intent, let object = challenge.requestObject,
            let details = object["methodDetails"]?.objectValue, let text = details["invoice"]?.stringValue
        else { throw PaymentChallengeError(.badInvoice, "The challenge holds no Lightning invoice.") }
        let invoice = try readInvoice(text)
        guard object["currency"]?.stringValue == "sat", let amount = object["amount"]?.stringValue,
            amount == invoice.amountMsat.map({ String($0 / 1000) }),
            invoice.amountMsat?.isMultiple(of: 1000) == true,
            details["paymentHash"].map({ $0.stringValue == Hex.encode(invoice.paymentHash) }) ?? true,
            details["network"]?.stringValue ?? "mainnet" == networkName(invoice.currency)
        else {
            throw PaymentChallengeError(
                .badInvoice,
                "The challenge says something else than its invoice: don't pay it."
            )
        }
        return invoice
    }

    /// Whether a credential proves the payment of its own invoice, made for this call.
    ///
    /// A preimage of 32 bytes that fits the hash is the proof: whoever has it paid, or was given it by who did. The price is
    /// the invoice's: a challenge keeps it while it lives, save where the context names another.
    /// - Throws: ``CallRefusal`` `method-unsupported`, `challenge-unknown`, `credential-expired`, `credential-malformed`,
    ///   `credential-invalid`, `credential-insufficient`.
    public static func judge(
        _ credential: PaymentCredential,
        context: PaymentContext
    ) throws(CallRefusal) -> Acceptance {
        let challenge = credential.challenge
        guard challenge.method == method, challenge.intent == intent else {
            throw CallRefusal(.methodUnsupported, "This credential is not a Lightning charge.")
        }
        try context.require(challenge)
        guard let invoice = try? invoice(of: challenge), let msat = invoice.amountMsat else {
            throw CallRefusal(.challengeUnknown, "This challenge holds no invoice; take a new one.")
        }
        try context.requireTime(of: invoice)
        guard let preimage = preimage(credential.payload["preimage"]) else {
            throw PaymentCredential.malformed("the payload has no preimage of 64 hexadecimal digits")
        }
        guard proves(preimage, invoice.paymentHash) else {
            throw CallRefusal(.credentialInvalid, "This is not the preimage of the challenge's invoice.")
        }
        guard msat >= context.minimumMsat ?? 0 else {
            throw CallRefusal(
                .credentialInsufficient,
                "This call costs more than the challenge was made for; take a new one. The old one is still good for what it"
                    + " was made for."
            )
        }
        return Acceptance(
            challengeID: challenge.id,
            paymentHash: invoice.paymentHash,
            amountSats: msat / 1000,
            source: credential.source
        )
    }

    /// Whether a preimage fits a hash, in constant time.
    static func proves(_ preimage: [UInt8], _ paymentHash: [UInt8]) -> Bool {
        ConstantTime.equal(Hashing.sha256(preimage), paymentHash)
    }

    /// 32 bytes from 64 hexadecimal digits in small letters, as the drafts ask.
    static func preimage(_ value: JSONValue?) -> [UInt8]? {
        guard let text = value?.stringValue, text.utf8.count == 64, text == text.lowercased() else { return nil }
        return try? Hex.decode(text)
    }

    static func readInvoice(_ text: String) throws(PaymentChallengeError) -> BOLT11Invoice {
        do {
            return try BOLT11Invoice(decoding: text)
        } catch {
            throw PaymentChallengeError(.badInvoice, "The invoice can't be read: \(error.message)")
        }
    }

    /// The drafts' name of a network; nil where they have none.
    static func networkName(_ currency: InvoiceCurrency) -> String? {
        switch currency {
        case LightningNetwork.mainnet.currency: "mainnet"
        case LightningNetwork.regtest.currency: "regtest"
        case LightningNetwork.signet.currency: "signet"
        default: nil
        }
    }
}
