public import HTTPTypes
internal import Paywall

/// Which header fields cross the gateway, each way ([CALL-20]).
public enum HeaderRules {
    /// Fields that belong to one connection and never cross (RFC 9110 section 7.6.1).
    static let hopByHop: Set<String> = [
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    ]

    /// What a client may not tell the upstream: our own payment, what we set ourselves, and fields that make some
    /// frameworks serve another method or path than the one that was priced.
    static let neverForwarded: Set<String> = [
        "host", "content-length", "expect", "agent-caller", "agent-keys", "forwarded", "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto", "x-forwarded-port", "x-forwarded-prefix", "x-real-ip", "x-http-method-override",
        "x-http-method",
        "x-method-override", "x-original-url", "x-rewrite-url", "x-original-uri", "http2-settings",
    ]

    /// What an upstream may not tell the buyer in the gateway's name.
    static let neverReturned: Set<String> = [
        "x-cashu", "payment-receipt", "agent-receipt", "agent-receipt-id", "idempotent-replayed", "date", "server",
        "payment-required", "payment-response", "x-payment-response",
    ]

    /// The names that `Connection` lists besides its own (RFC 9110 section 7.6.1): they too stay on their connection.
    static func named(inConnection values: [String]) -> Set<String> {
        var names: Set<String> = []
        for value in values {
            for part in value.split(separator: ",") {
                let name = part.drop(while: { $0 == " " || $0 == "\t" }).lowercased()
                let trimmed = name.prefix { $0 != " " && $0 != "\t" }
                if !trimmed.isEmpty { names.insert(String(trimmed)) }
            }
        }
        return names
    }

    /// The request's fields that go on to the upstream, in their order.
    public static func forwarded(_ fields: HTTPFields) -> [(name: String, value: String)] {
        let listed = named(inConnection: fields[values: .connection])
        return fields.compactMap { field in
            let name = field.name.canonicalName
            guard !hopByHop.contains(name), !neverForwarded.contains(name), !listed.contains(name),
                !IncomingPayment.headerNames.contains(name)
            else { return nil }
            // A payment in it is money; another scheme's is between the client and the upstream ([CHS-3]).
            if name == "authorization", IncomingPayment.upstreamAuthorization([field.value]).isEmpty { return nil }
            return (field.name.rawName, field.value)
        }
    }

    /// The upstream's fields that go back to the client, in their order. `Content-Length` is left to the caller.
    public static func returned(_ fields: [(name: String, value: String)]) -> HTTPFields {
        let listed = named(inConnection: fields.filter { $0.name.lowercased() == "connection" }.map(\.value))
        var result = HTTPFields()
        result.reserveCapacity(fields.count + 4)
        for (name, value) in fields {
            let lower = name.lowercased()
            guard !hopByHop.contains(lower), !neverReturned.contains(lower), lower != "content-length",
                !listed.contains(lower),
                let fieldName = HTTPField.Name(name)
            else { continue }
            result.append(HTTPField(name: fieldName, value: value))
        }
        return result
    }
}

extension HTTPField.Name {
    private static func ours(_ text: String) -> HTTPField.Name {
        // These literals are valid tokens; `connection` can never be reached.
        HTTPField.Name(text) ?? .connection
    }

    /// NUT-24: the challenge in a 402, the payment in a request, a refund in an answer.
    public static let xCashu = ours("X-Cashu")
    static let paymentSignature = ours("Payment-Signature")
    static let xPayment = ours("X-Payment")
    /// Where a request's payment can be.
    static let payments: [HTTPField.Name] = [.xCashu, .authorization, .paymentSignature, .xPayment]
    static let acceptPayment = ours("Accept-Payment")
    /// That a payment under the `Payment` scheme was taken.
    static let paymentReceipt = ours("Payment-Receipt")
    public static let idempotencyKey = ours("Idempotency-Key")
    /// An answer given before.
    public static let idempotentReplayed = ours("Idempotent-Replayed")
    public static let agentPassport = ours("Agent-Passport")
    /// The signed receipt, base64url of its JSON; a header, or a trailer where the body was streamed.
    public static let agentReceipt = ours("Agent-Receipt")
    public static let agentReceiptID = ours("Agent-Receipt-ID")
    /// Tells the upstream who called, where somebody signed: a `did:key`.
    public static let agentCaller = ours("Agent-Caller")
    public static let contentDigest = ours("Content-Digest")
    static let signature = ours("Signature")
    static let signatureInput = ours("Signature-Input")
}
