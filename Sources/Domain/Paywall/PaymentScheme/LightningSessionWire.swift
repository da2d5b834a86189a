public import CanonicalJSON
public import Encodings
public import Lightning

/// Method `lightning`, intent `session` (draft-lightning-session): a deposit that many calls are paid from ([PAY-8]).
public enum LightningSessionWire {
    public static let method = "lightning"
    public static let intent = "session"

    /// The `request` of a challenge.
    /// - Parameters:
    ///   - unitSats: what one unit costs, in sat, at least 1. For people: what is charged comes from the price list.
    ///   - unitName: such as `request` or `token`.
    ///   - deposit: the invoice that opens a session or adds to one, for whole sat and at least one unit.
    ///   - idleSeconds: after how long without use the seller ends a session.
    /// - Throws: ``PaymentChallengeError`` `bad-invoice`.
    public static func request(
        unitSats: UInt64,
        unitName: String?,
        deposit: BOLT11Invoice,
        idleSeconds: UInt64?,
        text: String? = nil
    ) throws(PaymentChallengeError) -> JSONObject {
        guard let msat = deposit.amountMsat, msat.isMultiple(of: 1000), unitSats >= 1, msat / 1000 >= unitSats else {
            throw PaymentChallengeError(.badInvoice, "A deposit is for whole sat and at least one unit.")
        }
        guard LightningCharge.networkName(deposit.currency) != nil else {
            throw PaymentChallengeError(
                .badInvoice,
                "The draft has no name for the network of ln\(deposit.currency.rawValue)."
            )
        }
        var object: JSONObject = [
            "amount": .string(String(unitSats)), "currency": "sat", "depositInvoice": .string(deposit.text),
            "depositAmount": .string(String(msat / 1000)), "paymentHash": .string(Hex.encode(deposit.paymentHash)),
        ]
        object["unitType"] = unitName.map { .string($0) }
        object["idleTimeout"] = idleSeconds.map { .string(String($0)) }
        object["description"] = text.map { .string($0) }
        return object
    }

    /// The deposit of a challenge, as a buyer must read it before it pays: the invoice decides.
    /// - Throws: ``PaymentChallengeError`` `bad-invoice` where what stands beside it says something else.
    public static func deposit(of challenge: PaymentChallenge) throws(PaymentChallengeError) -> BOLT11Invoice {
        guard challenge.method == method, challenge.intent == intent, let object = challenge.requestObject,
            object["currency"]?.stringValue == "sat", let text = object["depositInvoice"]?.stringValue
        else { throw PaymentChallengeError(.badInvoice, "The challenge holds no deposit invoice.") }
        let invoice = try LightningCharge.readInvoice(text)
        guard let msat = invoice.amountMsat, msat.isMultiple(of: 1000),
            LightningCharge.networkName(invoice.currency) != nil,
            object["paymentHash"]?.stringValue == Hex.encode(invoice.paymentHash),
            object["depositAmount"].map({ $0.stringValue == String(msat / 1000) }) ?? true
        else {
            throw PaymentChallengeError(
                .badInvoice,
                "The challenge says something else than its invoice: don't pay it."
            )
        }
        return invoice
    }

    /// Reads and proves what a credential asks of a session. What the store must know (that the session exists and is open,
    /// that a deposit counts once) is left to it.
    /// - Throws: ``CallRefusal`` `method-unsupported`, `challenge-unknown`, `credential-expired`, `credential-malformed`,
    ///   `credential-invalid`, `return-invoice-invalid`.
    public static func judge(
        _ credential: PaymentCredential,
        context: PaymentContext
    ) throws(CallRefusal) -> LightningSessionDemand {
        let challenge = credential.challenge
        guard challenge.method == method, challenge.intent == intent else {
            throw CallRefusal(.methodUnsupported, "This credential is not for a Lightning session.")
        }
        let payload = credential.payload
        switch payload["action"]?.stringValue {
        case "open":
            let deposit = try proven(challenge, payload["preimage"], context)
            let invoice = try returnInvoice(payload["returnInvoice"], like: deposit.invoice, now: context.now)
            return .open(deposit.paid, returnInvoice: invoice.text)
        case "topUp":
            let session = try sessionID(payload)
            return .topUp(session: session, try proven(challenge, payload["topUpPreimage"], context).paid)
        case "bearer":
            return .bearer(session: try ownedSession(challenge, payload, context))
        case "close":
            return .close(session: try ownedSession(challenge, payload, context))
        default:
            throw PaymentCredential.malformed("the payload's action is not open, bearer, topUp or close")
        }
    }

    /// A deposit: bound, in time, and its preimage known.
    private static func proven(
        _ challenge: PaymentChallenge,
        _ value: JSONValue?,
        _ context: PaymentContext
    ) throws(CallRefusal) -> (paid: LightningSessionDeposit, invoice: BOLT11Invoice) {
        try context.require(challenge, isSession: true)
        guard let invoice = try? deposit(of: challenge), let msat = invoice.amountMsat else {
            throw CallRefusal(.challengeUnknown, "This challenge holds no deposit invoice; take a new one.")
        }
        try context.requireTime(of: invoice)
        guard let preimage = LightningCharge.preimage(value) else {
            throw PaymentCredential.malformed("the payload has no preimage of 64 hexadecimal digits in small letters")
        }
        guard LightningCharge.proves(preimage, invoice.paymentHash) else {
            throw CallRefusal(.credentialInvalid, "This is not the preimage of the challenge's deposit invoice.")
        }
        return (
            LightningSessionDeposit(
                challengeID: challenge.id,
                paymentHash: invoice.paymentHash,
                amountSats: msat / 1000
            ), invoice
        )
    }

    /// A session whose first preimage is shown. The challenge only shows that the client met this seller: it may be old.
    private static func ownedSession(
        _ challenge: PaymentChallenge,
        _ payload: JSONObject,
        _ context: PaymentContext
    ) throws(CallRefusal) -> [UInt8] {
        try context.require(challenge, isSession: true, mayBeExpired: true)
        let session = try sessionID(payload)
        guard let preimage = LightningCharge.preimage(payload["preimage"]) else {
            throw PaymentCredential.malformed("the payload has no preimage of 64 hexadecimal digits in small letters")
        }
        guard LightningCharge.proves(preimage, session) else {
            throw CallRefusal(.credentialInvalid, "This is not the preimage of the session's first deposit.")
        }
        return session
    }

    private static func sessionID(_ payload: JSONObject) throws(CallRefusal) -> [UInt8] {
        // 64 hexadecimal digits as well: the payment hash of the first deposit.
        guard let id = LightningCharge.preimage(payload["sessionId"]) else {
            throw PaymentCredential.malformed("the payload has no sessionId of 64 hexadecimal digits in small letters")
        }
        return id
    }

    /// Reads another invoice for a remainder whose payment failed ([PAY-10]).
    /// - Parameter other: the one before, BOLT 11: of its network.
    /// - Throws: ``CallRefusal`` `return-invoice-invalid`.
    public static func readReturnInvoice(
        _ text: String,
        like other: String,
        now: Timestamp
    ) throws(CallRefusal) -> BOLT11Invoice {
        guard let before = try? BOLT11Invoice(decoding: other) else { throw PaymentCredential.malformed("no invoice") }
        return try returnInvoice(.string(text), like: before, now: now)
    }

    private static func returnInvoice(
        _ value: JSONValue?,
        like deposit: BOLT11Invoice,
        now: Timestamp
    ) throws(CallRefusal) -> BOLT11Invoice {
        guard let text = value?.stringValue, let invoice = try? BOLT11Invoice(decoding: text),
            invoice.currency == deposit.currency, invoice.amountMsat ?? 0 == 0, !invoice.isExpired(at: now)
        else {
            throw CallRefusal(
                .returnInvoiceInvalid,
                "returnInvoice must be an invoice without amount, of the deposit's network and not expired. Send the same"
                    + " proof again with another."
            )
        }
        return invoice
    }
}

/// A deposit that was proven. The claim is the payment hash: the store takes each once, whether it opens or adds.
public struct LightningSessionDeposit: Sendable, Equatable {
    public var challengeID: String
    /// 32 bytes.
    public var paymentHash: [UInt8]
    public var amountSats: UInt64

    public init(challengeID: String, paymentHash: [UInt8], amountSats: UInt64) {
        self.challengeID = challengeID
        self.paymentHash = paymentHash
        self.amountSats = amountSats
    }
}

/// What a proven credential asks. A session's id is the payment hash of its first deposit, 32 bytes.
public enum LightningSessionDemand: Sendable, Equatable {
    case open(LightningSessionDeposit, returnInvoice: String)
    case topUp(session: [UInt8], LightningSessionDeposit)
    case bearer(session: [UInt8])
    case close(session: [UInt8])
}

/// What a stream says when the money of its session is used up, as the data of the event `payment-need-topup`.
public struct LightningSessionNeed: Sendable, Equatable {
    public static let eventName = "payment-need-topup"
    public static let timeoutEventName = "session-timeout"

    /// The payment hash of the first deposit, 32 bytes.
    public var session: [UInt8]
    public var spentSats: UInt64
    public var requiredSats: UInt64

    public init(session: [UInt8], spentSats: UInt64, requiredSats: UInt64) {
        self.session = session
        self.spentSats = spentSats
        self.requiredSats = requiredSats
    }

    public var json: JSONObject {
        [
            "sessionId": .string(Hex.encode(session)), "balanceSpent": JSONValue(spentSats),
            "balanceRequired": JSONValue(requiredSats),
        ]
    }
}
