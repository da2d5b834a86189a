internal import CanonicalJSON
internal import Cryptography
internal import Encodings
internal import Foundation
internal import HTTPSignatures
internal import NIOHTTP1
internal import Passports
internal import SignedDocuments
internal import Storage

/// An agent with a key of its own, which a node gave a passport: it signs each call.
struct CallingAgent: Sendable {
    let passport: Passport
    private let key: Ed25519.PrivateKey

    /// Registers it, by proof that it has the key.
    init(_ name: String, at node: TradingNode) async throws {
        key = Ed25519.PrivateKey()
        let asked = try await node.call(.POST, "/api/agents/challenge", [:])
        let challenge = try asked.string("challenge")
        let issuer = try DIDKey(parsing: try asked.string("node"))
        let signature = try PossessionProof.sign(.registration, challenge: challenge, node: issuer, key: key)
        let answer = try await node.call(
            .POST,
            "/api/agents",
            [
                "name": .string(name), "capabilities": ["invoke"], "did": .string(DIDKey(key.publicKey).string),
                "challenge": .string(challenge), "signature": .string(signature),
            ]
        )
        passport = try Passport(document: try answer.object("passport"))
    }

    /// What makes a GET of `url` the agent's.
    func headers(_ url: String, more: [(String, String)] = []) throws -> [(String, String)] {
        let now = WallClock.system.now()
        let headers = [("Agent-Passport", passport.encodedHeader)] + more
        let signed = try HTTPSignatures.sign(
            RequestFacts(method: "GET", targetURI: url, headers: headers),
            key: key,
            created: now,
            expires: now.adding(seconds: 30)
        )
        return headers + [("Signature-Input", signed.signatureInput), ("Signature", signed.signature)]
    }
}
