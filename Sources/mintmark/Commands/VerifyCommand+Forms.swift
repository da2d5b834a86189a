import CanonicalJSON
import Encodings
import Foundation
import Passports
import SignedDocuments

/// Tokens, credentials of anybody and presentations.
extension VerifyCommand {
    /// The text of a token, or `nil` where the bytes are JSON or the base64url of it.
    static func token(_ bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        return !text.hasPrefix("{") && text.contains(".") ? text : nil
    }

    func check(token text: String, now: Timestamp) throws -> Finding {
        let type = Self.type(of: text)
        switch type {
        case PassportForm.sdJWT.rawValue:
            return try passport(now: now) { () throws(PassportReason) in try Passport(bytes: Array(text.utf8)) }
        case PassportForm.jwt.rawValue:
            if let credential = try? Credential(token: text), !credential.isPassport {
                return self.credential(.string(text), now: now)
            }
            return try passport(now: now) { () throws(PassportReason) in try Passport(bytes: Array(text.utf8)) }
        case Presentation.tokenType: return presentation(.string(text), now: now)
        case TokenStatusList.type:
            do {
                let (url, bytes) = try Self.listURL(Array(text.utf8), file)
                return Self.found(try StatusListCredential.verify(bytes: bytes, url: url), now: now)
            } catch let reason as PassportReason {
                return Finding(kind: "status list", facts: [], reasons: [(reason.code.rawValue, reason.message)])
            }
        default:
            return Finding(
                kind: "token",
                facts: [("type", type)],
                reasons: [("unsupported-proof", "a token must be of type vc+jwt, vp+jwt, dc+sd-jwt or statuslist+jwt")]
            )
        }
    }

    /// The `typ` that a token claims, without `application/`.
    private static func type(of text: String) -> String {
        let head = text.prefix { $0 != "." }
        guard let bytes = try? Base64URL.decode(String(head)), let header = try? JSONValue.parse(bytes) else {
            return ""
        }
        let type = (header["typ"]?.stringValue ?? "").lowercased()
        return type.hasPrefix("application/") ? String(type.dropFirst(12)) : type
    }

    /// The URL a status list says it stands at, in either notation.
    static func listURL(_ bytes: [UInt8], _ path: String) throws -> (url: String, bytes: [UInt8]) {
        if let text = token(bytes) {
            let list = try SignedToken(text, types: [TokenStatusList.type], maximumBytes: 1 << 20)
            guard let url = list.payload["sub"]?.stringValue else { throw Failure("\(path) names no URL", .usage) }
            return (url, Array(text.utf8))
        }
        let object = try object(bytes)
        guard let url = object["id"]?.stringValue else { throw Failure("\(path) names no id", .usage) }
        return (url, object.serialized())
    }

    static func found(_ list: VerifiedStatusList, now: Timestamp) -> Finding {
        Finding(
            kind: "status list",
            facts: [
                ("list", list.url), ("issuer", list.issuer.string),
                ("purpose", list.suspensions == nil ? list.purpose.rawValue : "revocation and suspension"),
                ("sequence", String(list.sequence)),
                ("valid", "\(list.validFrom.rfc3339) to \(list.validUntil.rfc3339)"),
            ],
            reasons: list.reason(now: now, maximumAgeSeconds: nil).map { [($0.code.rawValue, $0.message)] } ?? []
        )
    }

    /// Why an SD-JWT's holder did not show it to this verifier, where that was asked.
    func binding(_ passport: Passport, now: Timestamp) throws -> PassportReason? {
        guard audience != nil || nonce != nil else { return nil }
        guard let audience, let nonce else { throw Failure("--audience and --nonce go together", .usage) }
        guard passport.form == .sdJWT, let token = passport.token else {
            return PassportReason(.wrongHolder, "a passport in this form is shown in a presentation")
        }
        do {
            _ = try SDJWT(token, types: [PassportForm.sdJWT.rawValue])
                .keyBinding(audience: audience, nonce: nonce, now: now)
            return nil
        } catch {
            return PassportReason(.init(rawValue: error.code.rawValue), error.message)
        }
    }

    func credential(_ value: JSONValue, now: Timestamp) -> Finding {
        do {
            let credential = try Credential(value)
            var finding = Finding(
                kind: "credential",
                facts: [
                    ("credential", credential.document["id"]?.stringValue ?? "without an id"),
                    ("issuer", credential.issuer), ("about", credential.subjects.joined(separator: ", ")),
                ],
                reasons: credential.reasons(now: now, states: nil).map { ($0.code.rawValue, $0.message) }
            )
            if !credential.status.isEmpty || !credential.unknownStatus.isEmpty {
                finding.unchecked = "whether it has been revoked or suspended since"
            }
            return finding
        } catch {
            return Finding(kind: "credential", facts: [], reasons: [(error.code.rawValue, error.message)])
        }
    }

    func presentation(_ value: JSONValue, now: Timestamp) -> Finding {
        do {
            let presentation = try Presentation(value)
            let reasons = presentation.reasons(
                expecting: Presentation.Expectation(challenge: nonce, domain: audience),
                now: now,
                states: nil
            )
            var finding = Finding(
                kind: "presentation",
                facts: [
                    ("holder", presentation.holder ?? "not named"),
                    ("credentials", String(presentation.credentials.count)),
                ],
                reasons: reasons.map { ($0.code.rawValue, $0.message) }
            )
            finding.unchecked =
                nonce == nil
                ? "whom it was made for and when (give --audience and --nonce); revocation" : "revocation"
            return finding
        } catch {
            return Finding(kind: "presentation", facts: [], reasons: [(error.code.rawValue, error.message)])
        }
    }

    /// A card is checked by the keys that are given; without any, one of ours by the DID it names, which says that it is whole
    /// and whose it is, not that he is whom he says.
    func card(_ document: JSONObject) throws -> Finding {
        let card: AgentCard
        do {
            card = try AgentCard(document)
        } catch {
            return Finding(kind: "agent card", facts: [], reasons: [(error.code.rawValue, error.message)])
        }
        var facts = [
            ("name", document["name"]?.stringValue ?? "-"),
            ("agent", card.agentID ?? "-"), ("key", card.did?.string ?? "-"), ("node", card.node?.string ?? "-"),
            (
                "skills",
                (document["skills"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue }.joined(separator: ", ")
            ),
        ]
        facts.removeAll { $0.1 == "-" }
        func finding(_ problem: DocumentError?, _ unchecked: String? = nil) -> Finding {
            Finding(
                kind: "agent card",
                facts: facts,
                reasons: problem.map { [($0.code.rawValue, $0.message)] } ?? [],
                unchecked: unchecked
            )
        }
        let live = "whether the agent has been suspended or revoked since"
        if !issuer.isEmpty {
            let problems = try issuer.map { card.problem(by: try DIDKey(parsing: $0)) }
            return finding(problems.contains { $0 == nil } ? nil : problems.compactMap { $0 }.first, live)
        }
        if let keys {
            let set = try PublicKeySet(try Self.read(keys), namesThumbprints: false)
            return finding(card.problem(by: set), live)
        }
        // An agent that keeps its key itself is vouched for by its node.
        guard let did = card.did else {
            return finding(
                DocumentError(
                    .unresolvedDID,
                    "the card names no DID: give its signer's key set with --keys, or --issuer"
                )
            )
        }
        let problem = card.problem(by: did)
        guard problem?.code == .wrongSigner, let node = card.node else {
            return finding(problem, "who that is; " + live)
        }
        return finding(
            card.problem(by: node),
            "that the agent itself says so: only its node signed; who that is; " + live
        )
    }
}
