internal import CanonicalJSON
internal import Cryptography
internal import Encodings

/// What names a payment wherever it turns up again: of ecash SHA-256 over its proofs' sorted Y points ([CALL-7]), of a
/// Lightning payment SHA-256 over its payment hash ([GRA-3]).
///
/// The order of the proofs in a token, their witnesses and the token's version leave it unchanged.
public struct PaymentDigest: Sendable, Hashable, CustomStringConvertible {
    /// 32 bytes.
    public let bytes: [UInt8]

    /// The digest of proofs given by their Y points (33 bytes each, compressed).
    public init(ys: [[UInt8]]) {
        let sorted = ys.sorted { $0.lexicographicallyPrecedes($1) }
        bytes = Hashing.sha256(Array(sorted.joined()))
    }

    /// The digest of a Lightning payment: SHA-256 of a label and the payment hash. L402 and `Payment` show the same payment
    /// by the same digest, and it is no payment hash that could be mistaken for one.
    public init(paymentHash: [UInt8]) {
        bytes = Hashing.sha256(Array("mintmark-lightning-payment-1".utf8) + [0] + paymentHash)
    }

    /// The digest of one call of several that a Lightning payment bought, where nothing else tells it from the others.
    /// - Parameter callID: unique among all calls.
    public init(paymentHash: [UInt8], callID: String) {
        bytes = Hashing.sha256(
            Array("mintmark-lightning-call-1".utf8) + [0] + paymentHash + Array(callID.utf8)
        )
    }

    /// The digest of a payment of x402's `exact`: SHA-256 of a label and the canonical JSON (RFC 8785) of the whole payment as it
    /// was sent ([XEX-4]). An authorisation is public once it is settled; what the buyer wrote beside it, such as a
    /// payment identifier, is not.
    /// - Throws: ``X402Refusal`` `invalid_payload` where it has no canonical form.
    public init(x402 payment: X402.PaymentPayload) throws(X402Refusal) {
        let text = try X402.reading(.invalidPayload, "The payment has no canonical form") {
            try payment.json.canonicalized()
        }
        bytes = Hashing.sha256(Array("mintmark-x402-payment-1".utf8) + [0] + text)
    }

    /// A digest read back from storage; nil where it isn't 32 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// Lower-case hex.
    public var description: String { Hex.encode(bytes) }
}

/// The digest of a request's body as far as it is known before the payment is claimed.
public enum BodyDigest: Sendable, Hashable {
    /// SHA-256 of the whole body: read here, or promised by `Content-Digest` and checked while it streams.
    case sha256([UInt8])
    /// A body too long to hold that came without `Content-Digest`; `length` in bytes where the caller told it.
    case unread(length: UInt64?)

    var identity: [UInt8] {
        switch self {
        case .sha256(let digest): [1] + digest
        case .unread(let length): [2] + (length.map { Array("\($0)".utf8) } ?? [])
        }
    }
}

/// Whose call it is: the scope in which an `Idempotency-Key` is unique ([CALL-8]).
public enum CallOwner: Sendable, Hashable {
    /// The `did:key` that signed the request.
    case caller(String)
    /// Nobody signed: the payment itself is the owner.
    case payment(PaymentDigest)
}

/// A call's identity across retries ([CALL-8]): which earlier call it repeats, if any, and whether it asks for the same.
public struct IdempotencyScope: Sendable, Hashable {
    /// 32 bytes: owner and key, or owner and payment where the client sent no key. Unique among claims.
    public let id: [UInt8]
    /// 32 bytes: service, method, target and body. Differs where the same key asks for something else.
    public let requestDigest: [UInt8]
    /// Whether the client sent a key; else the payment alone tells the call.
    public let hasKey: Bool

    /// The longest `Idempotency-Key` taken, in bytes.
    public static let maximumKeyBytes = 255

    /// - Parameters:
    ///   - key: the client's `Idempotency-Key`, as sent.
    ///   - payment: the payment's digest; nil where the call carries none (a signed caller asking again by its key).
    ///   - target: path and query as the client sent them, without the service's prefix.
    /// - Returns: nil where there is neither a key nor a payment to tell the call by.
    public init?(
        owner: CallOwner,
        key: String?,
        payment: PaymentDigest?,
        service: String,
        method: String,
        target: String,
        body: BodyDigest
    ) {
        let ownerBytes: [UInt8] =
            switch owner {
            case .caller(let did): [1] + Array(did.utf8)
            case .payment(let digest): [2] + digest.bytes
            }
        hasKey = key != nil
        if let key {
            id = Self.digest("mintmark-call-key-1", [ownerBytes, Array(key.utf8)])
        } else if let payment {
            id = Self.digest("mintmark-call-payment-1", [ownerBytes, payment.bytes])
        } else {
            return nil
        }
        requestDigest = Self.digest(
            "mintmark-call-request-1",
            [Array(service.utf8), Array(method.utf8), Array(target.utf8), body.identity]
        )
    }

    /// Checks the client's `Idempotency-Key` header.
    /// - Throws: ``CallRefusal`` `malformed-request` where there are several, or it is empty, too long or not printable ASCII.
    public static func key(headerValues: [String]) throws(CallRefusal) -> String? {
        guard let key = headerValues.first else { return nil }
        guard headerValues.count == 1 else {
            throw CallRefusal(.malformedRequest, "The request has several Idempotency-Key headers; send one.")
        }
        guard !key.isEmpty, key.utf8.count <= maximumKeyBytes, key.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
        else {
            throw CallRefusal(
                .malformedRequest,
                "Idempotency-Key must be 1 to \(maximumKeyBytes) printable ASCII characters."
            )
        }
        return key
    }

    /// SHA-256 over a label and length-prefixed parts, so that no two lists of parts read the same.
    private static func digest(_ label: String, _ parts: [[UInt8]]) -> [UInt8] {
        var input = Array(label.utf8) + [0]
        for part in parts {
            input.append(contentsOf: bigEndian(UInt64(part.count)))
            input.append(contentsOf: part)
        }
        return Hashing.sha256(input)
    }

    private static func bigEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) }
    }
}
