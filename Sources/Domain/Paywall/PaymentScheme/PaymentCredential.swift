public import CanonicalJSON
internal import Encodings

/// What a client shows for a payment under the `Payment` scheme: the challenge it answers and the proof
/// (draft-httpauth-payment, 5.2; [PAY-3]). It can be money, so it never prints itself.
public struct PaymentCredential: Sendable, Equatable {
    /// The longest credential read, in bytes: a token of the longest kind that `X-Cashu` takes would not fit.
    public static let maximumBytes = 32_768
    static let limits = JSONLimits(maximumBytes: maximumBytes, maximumDepth: 8, maximumValues: 256)

    public let challenge: PaymentChallenge
    /// Who pays, by the client's own word; a DID by preference. Nothing is decided on it.
    public let source: String?
    /// The proof, by method and intent.
    public let payload: JSONObject

    public init(challenge: PaymentChallenge, source: String? = nil, payload: JSONObject) {
        self.challenge = challenge
        self.source = source
        self.payload = payload
    }

    /// The value of `Authorization`.
    /// - Throws: ``PaymentChallengeError`` `bad-field` where the payload has no canonical form.
    public func header() throws(PaymentChallengeError) -> String {
        var object: JSONObject = ["challenge": .object(challenge.echo), "payload": .object(payload)]
        object["source"] = source.map { .string($0) }
        do {
            return "\(PaymentChallenge.scheme) \(Base64URL.encode(try object.canonicalized()))"
        } catch {
            throw PaymentChallengeError(.badField, "The credential can't be written: \(error.message)")
        }
    }

    /// Reads the credential out of every `Authorization` line of a request; other schemes are left alone.
    /// - Returns: nil where no line speaks `Payment`.
    /// - Throws: ``CallRefusal`` `credential-malformed`, `several-payments` where two differ.
    public static func read(authorization values: [String]) throws(CallRefusal) -> PaymentCredential? {
        var found: PaymentCredential?
        for token in try tokens(values) {
            let credential = try decode(token)
            guard found == nil || found == credential else {
                throw CallRefusal(
                    .severalPayments,
                    "The request has two different Payment credentials; send one. Nothing was taken."
                )
            }
            found = credential
        }
        return found
    }

    static func speaksPayment(_ value: String) -> Bool {
        AuthorizationPart.parts(of: value).contains { $0.rest(afterScheme: "payment") != nil }
    }

    private static func tokens(_ values: [String]) throws(CallRefusal) -> [String] {
        var found: [String] = []
        for value in values {
            for part in AuthorizationPart.parts(of: value) {
                guard let token = token(part) else { continue }
                guard token.utf8.count <= maximumBytes else {
                    throw CallRefusal(.credentialMalformed, "The credential is longer than \(maximumBytes) bytes.")
                }
                found.append(token)
            }
        }
        return found
    }

    /// What follows the scheme, if this part of a line starts with it.
    private static func token(_ part: AuthorizationPart) -> String? {
        part.rest(afterScheme: "payment").map(AuthorizationPart.trimmed)
    }

    private static func decode(_ token: String) throws(CallRefusal) -> PaymentCredential {
        guard !token.isEmpty, let object = PaymentChallenge.decode(token) else {
            throw malformed("it is not base64url of a JSON object")
        }
        do {
            let echo = try object.object("challenge")
            for (name, value) in echo where value.stringValue == nil && challengeFields.contains(name) {
                throw malformed("the challenge's \(name) is no text")
            }
            guard let challenge = PaymentChallenge(received: { echo[$0]?.stringValue }) else {
                throw malformed("the challenge is not whole")
            }
            return PaymentCredential(
                challenge: challenge,
                source: try object.optionalString("source"),
                payload: try object.object("payload")
            )
        } catch let refusal as CallRefusal {
            throw refusal
        } catch let error as JSONError {
            throw malformed(error.message)
        } catch {
            throw malformed("it has another form")
        }
    }

    private static let challengeFields: Set<String> = [
        "id", "realm", "method", "intent", "request", "expires", "digest", "description", "opaque",
    ]

    static func malformed(_ reason: String) -> CallRefusal {
        CallRefusal(.credentialMalformed, "The Payment credential can't be read: \(reason). Nothing was taken.")
    }
}

extension PaymentCredential: CustomStringConvertible, CustomReflectable {
    public var description: String { "PaymentCredential(\(challenge.method)/\(challenge.intent), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
