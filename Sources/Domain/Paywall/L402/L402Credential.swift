internal import Encodings

/// What a client shows for a payment over L402: macaroons and the preimage that paying revealed ([LSAT-4]).
///
/// It is money until it is used up, so it never prints itself.
public struct L402Credential: Sendable, Equatable {
    /// 1 to ``maximumMacaroons``, each in either binary form.
    public let macaroons: [Macaroon]
    /// 32 bytes.
    public let preimage: [UInt8]

    /// The most macaroons in one credential.
    public static let maximumMacaroons = 8
    /// The longest `Authorization` value read, in bytes.
    public static let maximumBytes = 16_384

    /// - Returns: nil where the preimage has not 32 bytes or there are no macaroons or too many.
    public init?(macaroons: [Macaroon], preimage: [UInt8]) {
        guard preimage.count == 32, (1...Self.maximumMacaroons).contains(macaroons.count) else { return nil }
        self.macaroons = macaroons
        self.preimage = preimage
    }

    /// The value of `Authorization`.
    /// - Throws: ``MacaroonError`` `too-large`.
    public func header() throws(MacaroonError) -> String {
        var tokens: [String] = []
        for macaroon in macaroons { tokens.append(Base64.encode(try macaroon.serialized())) }
        return "L402 \(tokens.joined(separator: ",")):\(Hex.encode(preimage))"
    }

    /// Reads the credential out of every `Authorization` line of a request.
    ///
    /// Schemes that are not L402 (or LSAT, its old name) are left alone, in whatever order they come: Aperture's clients send
    /// one line of each name with the same credential, and some HTTP libraries join lines by commas.
    /// - Returns: nil where no line speaks L402.
    /// - Throws: ``CallRefusal`` `credential-malformed` where one does and can't be read, `several-payments` where two differ.
    public static func read(authorization values: [String]) throws(CallRefusal) -> L402Credential? {
        var texts: [(macaroons: [String], preimage: String)] = []
        for value in values where speaksL402(value) {
            guard value.utf8.count <= maximumBytes else {
                throw CallRefusal(
                    .credentialMalformed,
                    "The L402 credential is longer than \(maximumBytes) bytes."
                )
            }
            texts += try split(value)
        }
        var found: L402Credential?
        for text in texts {
            let credential = try decode(text.macaroons, preimage: text.preimage)
            guard found == nil || found == credential else {
                throw CallRefusal(
                    .severalPayments,
                    "The request has two different L402 credentials; send one. Nothing was taken."
                )
            }
            found = credential
        }
        return found
    }

    /// Whether any part of the value has the scheme.
    static func speaksL402(_ value: String) -> Bool {
        AuthorizationPart.parts(of: value).contains { credentials(in: $0) != nil }
    }

    private static func credentials(in part: AuthorizationPart) -> Substring.UTF8View? {
        part.rest(afterScheme: "l402") ?? part.rest(afterScheme: "lsat")
    }

    /// `scheme token[,token…]:preimage`, one or more joined by commas, beside credentials of other schemes.
    private static func split(_ value: String) throws(CallRefusal) -> [(macaroons: [String], preimage: String)] {
        var found: [(macaroons: [String], preimage: String)] = []
        var open: [String]?
        for part in AuthorizationPart.parts(of: value) {
            var text = part.bytes
            if let credentials = credentials(in: part) {
                guard open == nil else { throw malformed("it has no preimage") }
                open = []
                text = credentials
            }
            // Not ours, or behind the end of ours: parameters and credentials of another scheme.
            guard var tokens = open else { continue }
            let pieces = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            tokens.append(AuthorizationPart.trimmed(pieces[0]))
            guard tokens.count <= maximumMacaroons, pieces.count <= 2 else {
                throw malformed("it has too many parts")
            }
            if pieces.count == 2 {
                found.append((tokens, AuthorizationPart.trimmed(pieces[1])))
                open = nil
            } else {
                open = tokens
            }
        }
        guard open == nil else { throw malformed("it has no preimage") }
        return found
    }

    private static func decode(_ tokens: [String], preimage text: String) throws(CallRefusal) -> L402Credential {
        guard text.utf8.count == 64, let preimage = try? Hex.decode(text) else {
            throw malformed("the preimage is not 64 hexadecimal digits")
        }
        var macaroons: [Macaroon] = []
        for token in tokens {
            // Standard and padded by the specification; JavaScript's libraries write the URL alphabet without padding.
            guard let bytes = try? Base64.decodeEitherAlphabet(token) else { throw malformed("a token is not base64") }
            do {
                macaroons.append(try Macaroon(serialized: bytes))
            } catch {
                throw malformed(error.message)
            }
        }
        guard let credential = L402Credential(macaroons: macaroons, preimage: preimage) else {
            throw malformed("it has no token, or too many")
        }
        return credential
    }

    private static func malformed(_ reason: String) -> CallRefusal {
        CallRefusal(.credentialMalformed, "The L402 credential can't be read: \(reason). Nothing was taken.")
    }
}

extension L402Credential: CustomStringConvertible, CustomReflectable {
    public var description: String { "L402Credential(\(macaroons.count) macaroons, redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
