public import CanonicalJSON
public import Cashu

/// Method `cashu`, intent `charge`: ecash under the `Payment` scheme, as `Specs/payment-cashu.md` defines it ([PMC-1]).
public enum CashuCharge {
    public static let method = "cashu"
    public static let intent = "charge"

    /// The `request` of a challenge: the NUT-24 challenge itself, with its amount and unit beside it ([PMC-2]).
    /// - Parameter paymentRequest: the value that `X-Cashu` would have.
    /// - Throws: ``CallRefusal`` `payment-malformed` where it is none.
    public static func request(paymentRequest: String) throws(CallRefusal) -> JSONObject {
        let read = try NUT24.parseChallenge(paymentRequest)
        guard let amount = read.amount, let unit = read.unit else {
            throw CallRefusal(.paymentMalformed, "The payment request names no amount or unit.")
        }
        return [
            "amount": .string(String(amount)), "currency": .string(unit.name),
            "methodDetails": .object(["paymentRequest": .string(paymentRequest)]),
        ]
    }

    /// The payment request of a challenge, as a buyer reads it ([PMC-3]).
    /// - Throws: ``CallRefusal`` `payment-malformed` where there is none, or what stands beside it says something else.
    public static func paymentRequest(of challenge: PaymentChallenge) throws(CallRefusal) -> PaymentRequest {
        guard challenge.method == method, challenge.intent == intent, let object = challenge.requestObject,
            let text = object["methodDetails"]?["paymentRequest"]?.stringValue
        else { throw CallRefusal(.paymentMalformed, "The challenge holds no Cashu payment request.") }
        let request = try NUT24.parseChallenge(text)
        guard object["amount"]?.stringValue == request.amount.map(String.init),
            object["currency"]?.stringValue == request.unit?.name
        else {
            throw CallRefusal(
                .paymentMalformed,
                "The challenge says something else than its payment request: don't pay it."
            )
        }
        return request
    }

    /// The payload of a credential ([PMC-4]).
    public static func payload(token: Token) -> JSONObject { ["token": .string(token.serialized())] }

    /// Reads the token of a credential that answers a challenge of ours for this call ([PMC-4], [PMC-5]). Whether the token
    /// can be taken is judged as one in `X-Cashu` is.
    /// - Throws: ``CallRefusal`` `method-unsupported`, `challenge-unknown`, `credential-expired`, `credential-malformed`,
    ///   `payment-malformed`.
    public static func token(_ credential: PaymentCredential, context: PaymentContext) throws(CallRefusal) -> Token {
        guard credential.challenge.method == method, credential.challenge.intent == intent else {
            throw CallRefusal(.methodUnsupported, "This credential is not a Cashu charge.")
        }
        try context.require(credential.challenge)
        guard let text = credential.payload["token"]?.stringValue else {
            throw PaymentCredential.malformed("the payload has no token")
        }
        guard let token = try NUT24.payment(headerValues: [text]) else {
            throw PaymentCredential.malformed("the payload has no token")
        }
        return token
    }
}
