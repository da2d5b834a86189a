public import CanonicalJSON
internal import Cryptography
public import Encodings

/// A JWT whose claims its holder may show one by one (SD-JWT, RFC 9901), in the compact form
/// `<JWT>~<disclosure>~…~[<key binding JWT>]`.
///
/// Reading checks the shape; ``claims()`` puts the disclosed claims into their places by the rules of section 7.1; the
/// signatures are checked by ``token`` and ``keyBinding(audience:nonce:now:maximumAgeSeconds:)``.
public struct SDJWT: Sendable {
    /// The longest text read, in bytes.
    public static let maximumBytes = 64 * 1_024
    /// The most claims that may be disclosed one by one.
    public static let maximumDisclosures = 128
    /// How deep disclosures may lie in disclosures and objects in objects.
    static let maximumDepth = 16

    /// One claim that can be shown or kept back.
    public struct Disclosure: Sendable {
        /// As it travels, base64url.
        public let text: String
        /// `nil` for an element of a list.
        public let name: String?
        public let value: JSONValue

        /// What stands in its place in the token: base64url of SHA-256 of ``text``.
        public let digest: String

        /// - Throws: `DocumentError` with `.malformedDisclosure`.
        init(_ text: String) throws(DocumentError) {
            guard !text.isEmpty, !text.utf8.contains(UInt8(ascii: "=")), let bytes = try? Base64URL.decode(text),
                let list = (try? JSONValue.parse(bytes, limits: JSONLimits(maximumDepth: SDJWT.maximumDepth)))?
                    .arrayValue, (2...3).contains(list.count), list[0].stringValue != nil
            else {
                throw DocumentError(
                    .malformedDisclosure,
                    "a disclosure is base64url of [salt, name, value] or [salt, value]"
                )
            }
            if list.count == 3 {
                guard let name = list[1].stringValue else {
                    throw DocumentError(.malformedDisclosure, "the name in a disclosure must be a string")
                }
                guard name != "_sd", name != "..." else {
                    throw DocumentError(.malformedDisclosure, "a disclosure may not be named `\(name)`")
                }
                self.name = name
            } else {
                name = nil
            }
            value = list[list.count - 1]
            self.text = text
            digest = Base64URL.encode(Hashing.sha256(Array(text.utf8)))
        }
    }

    /// The issuer's JWT.
    public let token: SignedToken
    public let disclosures: [Disclosure]
    /// The holder's JWT, where there is one.
    public let keyBindingText: String?
    /// What the holder's JWT is bound to: all before it.
    public let presentation: String

    /// - Parameter types: the `typ` of the issuer's JWT that are accepted.
    /// - Throws: `DocumentError`: those of ``SignedToken/init(_:types:maximumBytes:limits:allowsEmbeddedKey:)``, and
    ///   `.malformedDisclosure`.
    public init(_ text: String, types: [String]) throws(DocumentError) {
        guard text.utf8.count <= Self.maximumBytes else {
            throw DocumentError(.malformedDisclosure, "an SD-JWT has at most \(Self.maximumBytes) bytes")
        }
        let bytes = Array(text.utf8)
        let parts = bytes.split(
            separator: UInt8(ascii: "~"),
            maxSplits: Self.maximumDisclosures + 2,
            omittingEmptySubsequences: false
        )
        func string(_ part: ArraySlice<UInt8>) -> String { String(decoding: part, as: UTF8.self) }
        guard parts.count >= 2, parts.count <= Self.maximumDisclosures + 2 else {
            throw DocumentError(
                .malformedDisclosure,
                "an SD-JWT is a JWT, at most \(Self.maximumDisclosures) disclosures and a key binding, each after a `~`"
            )
        }
        token = try SignedToken(string(parts[0]), types: types, maximumBytes: Self.maximumBytes)
        var disclosures: [Disclosure] = []
        for part in parts[1..<(parts.count - 1)] { disclosures.append(try Disclosure(string(part))) }
        self.disclosures = disclosures
        let last = parts[parts.count - 1]
        keyBindingText = last.isEmpty ? nil : string(last)
        presentation = string(bytes[..<last.startIndex])
    }

    /// The token without key binding, showing only these disclosures, in the order they came.
    public func presenting(_ shown: (Disclosure) -> Bool) -> String {
        let jwt = presentation.prefix { $0 != "~" }
        return ([String(jwt)] + disclosures.filter(shown).map(\.text)).joined(separator: "~") + "~"
    }

    // MARK: Claims

    /// The payload with what was disclosed in its place, and nothing of the mechanism left (7.1).
    ///
    /// - Throws: `DocumentError` with `.malformedDisclosure`: another digest algorithm than SHA-256, a digest that occurs
    ///   twice, a claim that is there twice, a disclosure that nothing refers to.
    public func claims() throws(DocumentError) -> JSONObject {
        guard token.payload["_sd_alg"] == nil || token.payload["_sd_alg"] == "sha-256" else {
            throw DocumentError(.malformedDisclosure, "the digests must be of sha-256")
        }
        var run = Unveiling(disclosures: [:], seen: [], used: 0)
        for disclosure in disclosures {
            guard run.disclosures.updateValue(disclosure, forKey: disclosure.digest) == nil else {
                throw DocumentError(.malformedDisclosure, "a disclosure is there twice")
            }
        }
        var payload = token.payload
        payload.removeValue(forKey: "_sd_alg")
        let claims = try run.object(payload, depth: 0)
        guard run.used == disclosures.count else {
            throw DocumentError(.malformedDisclosure, "a disclosure is there that nothing in the token refers to")
        }
        return claims
    }

    private struct Unveiling {
        var disclosures: [String: Disclosure]
        var seen: Set<String>
        var used: Int

        private mutating func disclosure(_ value: JSONValue) throws(DocumentError) -> Disclosure? {
            guard let digest = value.stringValue else {
                throw DocumentError(.malformedDisclosure, "digests must be strings")
            }
            guard seen.insert(digest).inserted else {
                throw DocumentError(.malformedDisclosure, "a digest occurs twice")
            }
            guard let found = disclosures[digest] else { return nil }
            used += 1
            return found
        }

        mutating func object(_ object: JSONObject, depth: Int) throws(DocumentError) -> JSONObject {
            var result = JSONObject()
            for (name, member) in object where name != "_sd" {
                guard name != "..." else {
                    throw DocumentError(.malformedDisclosure, "`...` is there outside a list")
                }
                result[name] = try value(member, depth: depth + 1)
            }
            guard let digests = object["_sd"] else { return result }
            guard let list = digests.arrayValue else {
                throw DocumentError(.malformedDisclosure, "`_sd` must be a list")
            }
            for item in list {
                guard let found = try disclosure(item) else { continue }
                guard let name = found.name else {
                    throw DocumentError(.malformedDisclosure, "an element of a list is disclosed as a member")
                }
                guard !result.contains(name) else {
                    throw DocumentError(.malformedDisclosure, "`\(name.prefix(64))` is there twice")
                }
                result[name] = try value(found.value, depth: depth + 1)
            }
            return result
        }

        mutating func value(_ value: JSONValue, depth: Int) throws(DocumentError) -> JSONValue {
            guard depth <= SDJWT.maximumDepth else {
                throw DocumentError(.malformedDisclosure, "claims lie more than \(SDJWT.maximumDepth) deep")
            }
            if let nested = value.objectValue { return .object(try object(nested, depth: depth)) }
            guard let list = value.arrayValue else { return value }
            var result: [JSONValue] = []
            for item in list {
                guard let digest = item["..."] else {
                    result.append(try self.value(item, depth: depth + 1))
                    continue
                }
                guard item.objectValue?.count == 1 else {
                    throw DocumentError(.malformedDisclosure, "beside `...` nothing else may stand")
                }
                guard let found = try disclosure(digest) else { continue }
                guard found.name == nil else {
                    throw DocumentError(.malformedDisclosure, "a member is disclosed as an element of a list")
                }
                result.append(try self.value(found.value, depth: depth + 1))
            }
            return .array(result)
        }
    }

    // MARK: Key binding

    /// How far a holder's clock may be ahead, in seconds.
    static let clockSkewSeconds: Int64 = 60

    /// The holder's key that the issuer bound the token to (`cnf.jwk`).
    public func holder() throws(DocumentError) -> DIDKey? {
        guard let confirmation = token.payload["cnf"] else { return nil }
        guard let jwk = confirmation["jwk"] else {
            throw DocumentError(.unsupportedKey, "`cnf` must hold a `jwk`")
        }
        return try DIDKey(jwk: jwk)
    }

    /// Checks that the holder made this presentation, for this verifier, just now (7.3).
    ///
    /// - Parameters:
    ///   - audience: who this verifier is.
    ///   - nonce: what this verifier asked.
    ///   - maximumAgeSeconds: how long ago it may have been made.
    /// - Returns: the holder's key.
    /// - Throws: `DocumentError` with `.keyBindingMissing`, `.badKeyBinding`, `.wrongAudience`, `.wrongNonce`,
    ///   `.stalePresentation`.
    public func keyBinding(
        audience: String,
        nonce: String,
        now: Timestamp,
        maximumAgeSeconds: Int64 = 300
    ) throws(DocumentError) -> DIDKey {
        let (binding, holder) = try binding()
        guard binding.payload["aud"]?.stringValue?.utf8.elementsEqual(audience.utf8) == true else {
            throw DocumentError(.wrongAudience, "the presentation was made for another verifier than \(audience)")
        }
        guard binding.payload["nonce"]?.stringValue?.utf8.elementsEqual(nonce.utf8) == true else {
            throw DocumentError(.wrongNonce, "the presentation answers another nonce")
        }
        guard let made = binding.payload["iat"]?.int64Value else {
            throw DocumentError(.badKeyBinding, "the key binding does not say when it was made")
        }
        let (age, overflow) = now.secondsSince1970.subtractingReportingOverflow(made)
        guard !overflow, age >= -Self.clockSkewSeconds, age <= maximumAgeSeconds else {
            throw DocumentError(.stalePresentation, "the presentation was not made within \(maximumAgeSeconds) s")
        }
        return holder
    }

    /// The key binding, signed by the holder's key over just this presentation; for whom it was made is left open.
    ///
    /// - Throws: `DocumentError` with `.keyBindingMissing` or `.badKeyBinding`.
    public func binding() throws(DocumentError) -> (token: SignedToken, holder: DIDKey) {
        guard let text = keyBindingText else {
            throw DocumentError(.keyBindingMissing, "the presentation is not bound to its holder's key")
        }
        guard let holder = try holder() else {
            throw DocumentError(.badKeyBinding, "the token names no holder's key that could be bound")
        }
        let binding: SignedToken
        do {
            binding = try SignedToken(text, types: ["kb+jwt"], maximumBytes: 8_192)
        } catch {
            throw DocumentError(.badKeyBinding, "the key binding: \(error.message)")
        }
        guard binding.jws.isSigned(by: holder) else {
            throw DocumentError(.badKeyBinding, "the key binding is not signed by the holder's key")
        }
        guard binding.payload["sd_hash"]?.stringValue == Self.hash(presentation) else {
            throw DocumentError(.badKeyBinding, "the key binding was made for other disclosures")
        }
        return (binding, holder)
    }

    /// A presentation bound to the holder's key.
    ///
    /// - Parameter presentation: as ``presenting(_:)`` makes it.
    public static func bind(
        _ presentation: String,
        audience: String,
        nonce: String,
        by holder: DocumentKey,
        now: Timestamp
    ) throws(DocumentError) -> String {
        let payload: JSONObject = [
            "iat": .integer(now.secondsSince1970), "aud": .string(audience), "nonce": .string(nonce),
            "sd_hash": .string(hash(presentation)),
        ]
        return presentation + (try SignedToken.sign(payload, type: "kb+jwt", by: holder, namesKey: false))
    }

    private static func hash(_ presentation: String) -> String {
        Base64URL.encode(Hashing.sha256(Array(presentation.utf8)))
    }
}

/// Makes an SD-JWT: claims are hidden one by one while the payload is put together.
///
/// What is hidden inside something that is hidden itself makes a recursive disclosure (RFC 9901, 4.2.6).
public struct SDJWTBuilder: Sendable {
    public private(set) var disclosures: [String] = []
    private let salt: @Sendable () -> String

    public init() {
        salt = { Base64URL.encode(SecureRandom.bytes(16)) }
    }

    /// Hides members in `object`: their digests go into its `_sd`, in order of the digests, so that their order says
    /// nothing of the members'. `decoys` digests of nothing are mixed in (4.2.7).
    public mutating func hide(_ members: [(String, JSONValue)], in object: inout JSONObject, decoys: Int = 0) {
        var digests = object["_sd"]?.arrayValue?.compactMap(\.stringValue) ?? []
        for (name, value) in members { digests.append(add([.string(salt()), .string(name), value])) }
        for _ in 0..<decoys { digests.append(Base64URL.encode(Hashing.sha256(SecureRandom.bytes(32)))) }
        if !digests.isEmpty { object["_sd"] = JSONValue(digests.sorted()) }
    }

    /// What stands in a list for a hidden element.
    public mutating func hidden(element: JSONValue) -> JSONValue {
        ["...": .string(add([.string(salt()), element]))]
    }

    private mutating func add(_ list: [JSONValue]) -> String {
        let text = Base64URL.encode(JSONValue.array(list).serialized())
        disclosures.append(text)
        return Base64URL.encode(Hashing.sha256(Array(text.utf8)))
    }

    /// Signs the payload, and adds all disclosures.
    public func issue(_ payload: JSONObject, type: String, by key: DocumentKey) throws(DocumentError) -> String {
        var payload = payload
        if !disclosures.isEmpty { payload["_sd_alg"] = "sha-256" }
        let token = try SignedToken.sign(payload, type: type, by: key)
        return ([token] + disclosures).joined(separator: "~") + "~"
    }
}
