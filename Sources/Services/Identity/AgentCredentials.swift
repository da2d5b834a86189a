public import Encodings
public import HTTPSignatures
public import Passports
public import SignedDocuments

/// What an agent whose key the node keeps needs to make a call: its key and its current passport.
public struct AgentCredentials: Sendable, CustomStringConvertible, CustomReflectable {
    public let signer: DocumentSigner
    public let passport: Passport
    private let passportHeader: String

    init(signer: DocumentSigner, passport: Passport) {
        self.signer = signer
        self.passport = passport
        passportHeader = passport.encodedHeader
    }

    /// The agent's stable id.
    public var agentID: String { passport.agentID }

    /// Whether the passport still serves at `now`.
    public func isCurrent(at now: Timestamp) -> Bool { now < passport.validUntil }

    /// The headers that say who asks: `Agent-Passport`, `Signature-Input` and `Signature`. Sign each attempt anew: a
    /// signature is good once.
    ///
    /// - Parameters:
    ///   - facts: the request with all its other headers, `content-digest` among them where it has a body.
    ///   - agent: where the key is published: then a second signature in the Web Bot Auth profile is added, and
    ///     `Signature-Agent`.
    public func headers(
        for facts: RequestFacts,
        now: Timestamp,
        publishedAt agent: SignatureAgent? = nil
    ) throws -> [(name: String, value: String)] {
        var facts = facts
        let own = ["agent-passport", "signature", "signature-input", "signature-agent"]
        facts.headers.removeAll { own.contains($0.name.lowercased()) }
        facts.headers.append(("Agent-Passport", passportHeader))
        let signed = try HTTPSignatures.sign(
            facts,
            by: signer,
            created: now,
            expires: now.adding(seconds: HTTPSignatures.maximumLifetimeSeconds)
        )
        guard let agent else {
            return [
                ("Agent-Passport", passportHeader), ("Signature-Input", signed.signatureInput),
                ("Signature", signed.signature),
            ]
        }
        let bot = try WebBotAuth.sign(
            facts,
            by: signer,
            agent: agent,
            created: now,
            expires: now.adding(seconds: HTTPSignatures.maximumLifetimeSeconds)
        )
        return [
            ("Agent-Passport", passportHeader), ("Signature-Agent", bot.signatureAgent),
            ("Signature-Input", "\(signed.signatureInput), \(bot.signatureInput)"),
            ("Signature", "\(signed.signature), \(bot.signature)"),
        ]
    }

    public var description: String { "AgentCredentials(\(signer.did), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
