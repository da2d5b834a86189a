public import CanonicalJSON
public import Encodings

/// A challenge that can't be made, for a reason on the seller's side.
public struct PaymentChallengeError: Error, Sendable, Equatable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public var rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public static let badField = Code(rawValue: "bad-field")
        public static let tooLarge = Code(rawValue: "too-large")
        public static let badInvoice = Code(rawValue: "bad-invoice")
    }
    public var code: Code
    public var message: String
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
    public var description: String { message }
}

/// One way to pay, as the `Payment` authentication scheme offers it (draft-httpauth-payment, 5.1; [PAY-1]).
public struct PaymentChallenge: Sendable, Equatable {
    public static let scheme = "Payment"
    /// The longest challenge written, in bytes.
    public static let maximumBytes = 6144

    /// Names the challenge: in those of ours an authentication code over all that can be changed ([PAY-2]).
    public let id: String
    public let realm: String
    /// In small letters, such as `lightning`.
    public let method: String
    /// Such as `charge`.
    public let intent: String
    /// base64url of canonical JSON, as it stands on the wire.
    public let request: String
    /// RFC 3339, as it stands on the wire.
    public let expires: String?
    /// RFC 9530, of the request's body.
    public let digest: String?
    /// For people; not bound by `id`.
    public let text: String?
    /// base64url of a JSON object of strings, which the client hands back.
    public let opaque: String?

    /// A new one, bound by the current secret.
    /// - Parameters:
    ///   - realm: where it holds, such as the seller's host name.
    ///   - opaque: what the credential must bring back.
    /// - Throws: ``PaymentChallengeError`` `bad-field` where a field can't be bound or written, `too-large`.
    public init(
        realm: String,
        method: String,
        intent: String,
        request: JSONObject,
        expires: Timestamp,
        digest: String? = nil,
        text: String? = nil,
        opaque: [String: String] = [:],
        secrets: PaymentSecrets
    ) throws(PaymentChallengeError) {
        guard !method.isEmpty, method.utf8.allSatisfy({ (97...122).contains($0) }), !realm.isEmpty, !intent.isEmpty
        else {
            throw PaymentChallengeError(
                .badField,
                "A challenge needs a realm, an intent and a method in small letters."
            )
        }
        self.realm = realm
        self.method = method
        self.intent = intent
        self.request = try Self.encode(request)
        self.expires = Timestamp(secondsSince1970: expires.secondsSince1970).rfc3339
        self.digest = digest
        self.text = text
        self.opaque =
            opaque.isEmpty ? nil : try Self.encode(JSONObject(opaque.map { ($0.key, JSONValue.string($0.value)) }))
        let fields = [realm, method, intent, self.request, self.expires, digest, self.opaque]
        guard let slots = Self.slots(fields) else {
            throw PaymentChallengeError(.badField, "A field of a challenge can't hold a \"|\".")
        }
        id = secrets.id(of: slots)
        _ = try header()
    }

    /// One that was received.
    init?(received value: (String) -> String?) {
        guard let id = value("id"), let realm = value("realm"), let method = value("method"),
            let intent = value("intent"), let request = value("request"), !id.isEmpty
        else { return nil }
        self.id = id
        self.realm = realm
        self.method = method
        self.intent = intent
        self.request = request
        expires = value("expires")
        digest = value("digest")
        text = value("description")
        opaque = value("opaque")
    }

    /// Every complete challenge in the values of `WWW-Authenticate`, in order; other schemes and incomplete ones are left out.
    public static func read(wwwAuthenticate values: [String]) -> [PaymentChallenge] {
        HTTPChallenge.read(values).filter { $0.isScheme(scheme) }.compactMap { challenge in
            PaymentChallenge(received: challenge.value)
        }
    }

    /// The value of one `WWW-Authenticate` line.
    /// - Throws: ``PaymentChallengeError`` `bad-field` where a field holds what no header can, `too-large`.
    public func header() throws(PaymentChallengeError) -> String {
        var parts: [String] = []
        for (name, value) in fields {
            guard let value else { continue }
            guard let quoted = HTTPChallenge.quoted(value) else {
                throw PaymentChallengeError(.badField, "The challenge's \(name) holds a control character.")
            }
            parts.append("\(name)=\(quoted)")
        }
        let text = "\(Self.scheme) \(parts.joined(separator: ", "))"
        guard text.utf8.count <= Self.maximumBytes else {
            throw PaymentChallengeError(.tooLarge, "The challenge has more than \(Self.maximumBytes) bytes.")
        }
        return text
    }

    /// What a credential brings back of it.
    public var echo: JSONObject {
        JSONObject(fields.compactMap { name, value in value.map { (name, JSONValue.string($0)) } })
    }

    private var fields: [(name: String, value: String?)] {
        [
            ("id", id), ("realm", realm), ("method", method), ("intent", intent), ("request", request),
            ("expires", expires), ("digest", digest), ("description", text), ("opaque", opaque),
        ]
    }

    /// Whether it is one of ours, unchanged in all but its description.
    public func isBound(by secrets: PaymentSecrets) -> Bool {
        guard let slots = Self.slots([realm, method, intent, request, expires, digest, opaque]) else { return false }
        return secrets.made(id, from: slots)
    }

    /// Seven slots joined by `|`, absent ones empty. The draft leaves a `|` within a slot unescaped, so that two sets of
    /// fields could share one code: such fields are bound by nothing here.
    private static func slots(_ fields: [String?]) -> String? {
        guard fields.allSatisfy({ $0?.utf8.contains(UInt8(ascii: "|")) != true }) else { return nil }
        return fields.map { $0 ?? "" }.joined(separator: "|")
    }

    /// The decoded `request`; nil where it is no object.
    public var requestObject: JSONObject? { Self.decode(request) }

    /// A value of the decoded `opaque`.
    func opaqueValue(_ name: String) -> String? { opaque.flatMap(Self.decode)?[name]?.stringValue }

    private static func encode(_ object: JSONObject) throws(PaymentChallengeError) -> String {
        do {
            return Base64URL.encode(try object.canonicalized())
        } catch {
            throw PaymentChallengeError(.badField, "The challenge can't be written: \(error.message)")
        }
    }

    static func decode(_ text: String) -> JSONObject? {
        guard text.utf8.count <= PaymentCredential.maximumBytes, let bytes = try? Base64URL.decode(text) else {
            return nil
        }
        return (try? JSONValue.parse(bytes, limits: PaymentCredential.limits))?.objectValue
    }
}
