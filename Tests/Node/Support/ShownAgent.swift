import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import HTTPSignatures
import NIOHTTP1
import Passports
import SignedDocuments
import Storage
import TestSupport
import Testing

/// An agent that keeps its own key, with a passport of the buyer's node.
struct ShownAgent: Sendable {
    let key: Ed25519.PrivateKey
    var passport: Passport
    let url: String

    var header: String { passport.encodedHeader }

    /// What makes a GET of the URL the agent's.
    func headers(
        passport header: String? = nil,
        key other: Ed25519.PrivateKey? = nil,
        age: Int64 = 0,
        more: [(String, String)] = []
    ) throws -> [(String, String)] {
        let created = WallClock.system.now().adding(seconds: -age)
        let shown = [("Agent-Passport", header ?? self.header)] + more
        let signed = try HTTPSignatures.sign(
            RequestFacts(method: "GET", targetURI: url, headers: shown.map { (name: $0.0, value: $0.1) }),
            key: other ?? key,
            created: created,
            expires: created.adding(seconds: 30)
        )
        return shown + [("Signature-Input", signed.signatureInput), ("Signature", signed.signature)]
    }
}

extension World {
    /// Puts `weather` on sale for holders of the buyer's passports, and registers an agent there.
    func shownAgent(maximumAgeSeconds: Int = 300, trusting more: [String] = []) async throws -> ShownAgent {
        let issuer = try await buyer.call(.GET, "/api/node").json.string("did")
        var arguments = [
            "service", "add", "weather", "--upstream", "http://127.0.0.1:\(upstreamPort)", "--price", "2sat",
            "--capability", "invoke", "--status-max-age", String(maximumAgeSeconds), "--data", seller.directory,
        ]
        for trusted in [issuer] + more { arguments += ["--trust", trusted] }
        let added = try await Program.run(arguments)
        #expect(added.status == 0, "\(added)")
        let path = folder.path + "/agent.key"
        #expect(try await Program.run(["agent", "key", path]).status == 0)
        let registered = try await buyer.command(
            "agent",
            "register",
            "scout",
            "--key",
            path,
            "--capability",
            "invoke",
            "--json"
        )
        #expect(registered.status == 0, "\(registered)")
        let seed = try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        return ShownAgent(
            key: try Ed25519.PrivateKey(seed: Hex.decode(seed)),
            passport: try Passport(document: registered.json.object("passport")),
            url: seller.url + "/s/weather/now/1"
        )
    }
}
