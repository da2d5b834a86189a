import CanonicalJSON
import Cryptography
import Encodings
import Passports
import SignedDocuments
import Testing

@Suite("Agent cards")
struct AgentCardTests {
    private let agent = DocumentKey(Ed25519.PrivateKey())
    private let nodeKey = DocumentKey(Ed25519.PrivateKey())
    private let stranger = DocumentKey(Ed25519.PrivateKey())
    private let keysURL = "https://node.example/agents/1/jwks.json"

    private var node: AgentCard.Node {
        AgentCard.Node(publicURL: "https://node.example", did: nodeKey.did.string, version: "1.0")
    }

    private func draft(_ name: String = "planner") -> JSONObject {
        AgentCard.draft(
            agent: name,
            id: "urn:uuid:7f2c1c1e-8a6e-4a7e-9b1c-0a9d1d6a3f01",
            did: agent.did.string,
            operatorName: "Example",
            capabilities: ["pay", "invoke"],
            registrationURL: "https://node.example/agents/1/registration.json",
            of: node
        )
    }

    private func signed() throws -> JSONObject {
        try AgentCard.sign(draft(), by: [(agent, keysURL), (nodeKey, "https://node.example/.well-known/jwks.json")])
            .document
    }

    /// The code of the first refusal, of reading or of the key; nil where it holds.
    private func code(_ document: JSONObject, by key: DIDKey? = nil) -> DocumentError.Code? {
        do throws(DocumentError) {
            return try AgentCard(document).problem(by: key ?? agent.did)?.code
        } catch {
            return error.code
        }
    }

    /// The card with the first signature's header changed and signed anew by a key of one's choice.
    private func resigned(_ document: JSONObject, by key: DocumentKey, _ change: (inout JSONObject) -> Void) throws
        -> JSONObject
    {
        var header: JSONObject = [
            "alg": "EdDSA", "typ": "JOSE", "kid": .string(agent.did.thumbprint), "jku": .string(keysURL),
        ]
        change(&header)
        var card = document
        card.removeValue(forKey: "signatures")
        let protected = Base64URL.encode(header.serialized())
        let payload = Base64URL.encode(try JSONValue.object(card).canonicalized())
        let signature = try key.sign(.token(Array("\(protected).\(payload)".utf8)))
        card["signatures"] = [["protected": .string(protected), "signature": .string(Base64URL.encode(signature))]]
        return card
    }

    @Test("[CARD-2] a card is signed by the agent and by its node, and says so in its own words")
    func roundTrip() throws {
        let document = try signed()
        let card = try AgentCard(bytes: document.serialized())
        #expect(card.problem(by: agent.did) == nil && card.problem(by: nodeKey.did) == nil)
        #expect(card.did == agent.did && card.node == nodeKey.did)
        #expect(card.signatures.map(\.keyID) == [agent.did.thumbprint, nodeKey.did.thumbprint])
        #expect(card.signatures[0].keysURL == keysURL)
        #expect(code(document, by: stranger.did) == .wrongSigner)
        #expect(code(draft()) == .wrongSigner)
        let set = try PublicKeySet(PublicKeySet.document([agent.did]).serialized())
        #expect(card.problem(by: set) == nil)
        #expect(
            card.problem(by: try PublicKeySet(PublicKeySet.document([stranger.did]).serialized()))?.code == .wrongSigner
        )
    }

    @Test("[CARD-3] every text of a card flipped, and every member taken out or added, is noticed")
    func flipped() throws {
        let document = try signed()
        var changed = 0
        func walk(_ value: JSONValue, _ rebuild: (JSONValue?) -> JSONValue) {
            switch value {
            case .string(let text): check(rebuild(.string(text + "x")))
            case .array(let items):
                for place in items.indices {
                    walk(items[place]) { new in
                        var copy = items
                        if let new { copy[place] = new } else { copy.remove(at: place) }
                        return rebuild(.array(copy))
                    }
                }
            case .object(let object):
                for (name, member) in object where name != "signatures" {
                    walk(member) { new in
                        var copy = object
                        copy[name] = new
                        return rebuild(.object(copy))
                    }
                    var without = object
                    without.removeValue(forKey: name)
                    check(rebuild(.object(without)))
                }
            default: break
            }
        }
        func check(_ value: JSONValue) {
            guard let object = value.objectValue else { return }
            changed += 1
            let found = code(object)
            #expect(
                found == .badSignature || found == .malformedProof,
                "\(JSONValue.object(object).serialized().count)"
            )
        }
        walk(.object(document)) { $0 ?? .null }
        #expect(changed > 40)
        var added = document
        added["iconUrl"] = "https://thief.example/icon.png"
        #expect(code(added) == .badSignature)
        // The order of members says nothing.
        #expect(code(JSONObject(Array(document).reversed().map { ($0.key, $0.value) })) == nil)
    }

    @Test("[CARD-3] alg none, an HMAC, another's key, an embedded key, an extension, an open header: each refused")
    func confusion() throws {
        let document = try signed()
        #expect(code(try resigned(document, by: agent) { _ in }) == nil)
        #expect(code(try resigned(document, by: stranger) { _ in }) == .badSignature)
        for algorithm in ["none", "HS256", "RS256", "", "eddsa"] {
            #expect(code(try resigned(document, by: agent) { $0["alg"] = .string(algorithm) }) == .unsupportedProof)
        }
        // An honest algorithm of another kind of key.
        #expect(code(try resigned(document, by: agent) { $0["alg"] = "ES256" }) == .badSignature)
        for name in ["jwk", "x5c", "crit", "x5u", "b64"] {
            let forged = try resigned(document, by: stranger) { $0[name] = .object(stranger.did.jwk) }
            #expect(code(forged) == .unsupportedProof)
        }
        #expect(code(try resigned(document, by: agent) { $0.removeValue(forKey: "kid") }) == .malformedProof)
        for name in ["../../keys/1", "https://thief.example/key", stranger.did.thumbprint, ""] {
            let found = code(try resigned(document, by: stranger) { $0["kid"] = .string(name) })
            #expect(found == .wrongSigner || found == .malformedProof)
        }
        // Where the keys are said to be is a hint: it moves nothing.
        let moved = try resigned(document, by: stranger) { $0["jku"] = "https://thief.example/jwks.json" }
        #expect(code(moved) == .badSignature)
        var open = document
        open["signatures"] = .array(
            (document["signatures"]?.arrayValue ?? []).map { signature in
                var object = signature.objectValue ?? JSONObject()
                object["header"] = ["kid": .string(stranger.did.thumbprint)]
                return .object(object)
            }
        )
        #expect(code(open) == .unsupportedProof)
    }

    @Test("[CARD-3] a forged signature beside a good one does not pass, nor do nine, nor an empty list")
    func several() throws {
        let document = try signed()
        let good = document["signatures"]?.arrayValue ?? []
        let forged = try resigned(document, by: stranger) { _ in }["signatures"]?.arrayValue ?? []
        var both = document
        both["signatures"] = .array(good + forged)
        #expect(code(both) == .badSignature)
        both["signatures"] = .array(Array(repeating: good[0], count: 9))
        #expect(code(both) == .malformedProof)
        both["signatures"] = []
        #expect(code(both) == .malformedProof)
        both["signatures"] = .array([good[1]])
        #expect(code(both) == .wrongSigner && code(both, by: nodeKey.did) == nil)
    }

    @Test("a signer that leaves empty members and defaults out signed the same card")
    func defaults() throws {
        let document = try signed()
        var padded = document
        padded["securityRequirements"] = []
        padded["documentationUrl"] = ""
        padded["capabilities"] = .object(
            [
                "extensions": .array(
                    (document["capabilities"]?["extensions"]?.arrayValue ?? []).map { item in
                        var object = item.objectValue ?? JSONObject()
                        object["required"] = false
                        return .object(object)
                    }
                )
            ]
        )
        #expect(code(padded) == nil)
        padded["documentationUrl"] = "https://thief.example"
        #expect(code(padded) == .badSignature)
    }

    @Test("[CARD-1] a service's card leads to its signed listing, and says how it is sold by escrow")
    func listed() throws {
        var service = OfferedService(
            name: "weather",
            summary: nil,
            url: "https://node.example/s/weather",
            prices: [],
            accepts: ["cashu"]
        )
        func sold() throws -> (skill: JSONValue?, sale: JSONValue?) {
            let card = try AgentCard.sign(AgentCard.draft(node, services: [service]), by: [(nodeKey, keysURL)]).document
            return (card["skills"]?[0], card["capabilities"]?["extensions"]?[1]?["params"]?["services"]?[0])
        }
        let plain = try sold()
        #expect(plain.skill?["name"] == "weather" && plain.sale?["listing"] == nil && plain.sale?["escrow"] == nil)
        (service.title, service.tags, service.escrow, service.isListed) = ("Weather now", ["sun"], ["key"], true)
        let told = try sold()
        #expect(told.skill?["name"] == "Weather now" && told.skill?["tags"] == ["http", "402", "cashu", "sun"])
        #expect(told.sale?["escrow"] == ["key"])
        #expect(told.sale?["listing"]?.stringValue == "\(node.publicURL)/market/listings/\(node.did)/weather")
    }

    @Test("[CARD-5] cards are ASCII without empty members, whatever agents and services are called, and bounded")
    func plain() throws {
        let odd = try AgentCard.sign(draft("Jürgens Planer 😀\u{0}"), by: [(agent, keysURL)])
        #expect(odd.document["name"] == "J?rgens Planer ??")
        #expect(odd.document.serialized().allSatisfy { $0 < 0x80 })
        let services = (0..<200).map { number in
            OfferedService(
                name: "s\(number)",
                summary: String(repeating: "ü", count: 512),
                url: "https://node.example/s/s\(number)",
                prices: (0..<20).map { OfferedService.Price(methods: ["GET"], path: "/\($0)/*", text: "2 sat") },
                accepts: ["cashu", "l402"]
            )
        }
        let card = try AgentCard.sign(AgentCard.draft(node, services: services), by: [(nodeKey, keysURL)])
        #expect(card.document["skills"]?.arrayValue?.count == 48)
        #expect(card.document.serialized().count <= 65_536)
        let sold = card.document["capabilities"]?["extensions"]?[1]?["params"]?["services"]?.arrayValue ?? []
        #expect(sold.count == 48)
        #expect(sold.allSatisfy { $0["prices"]?.arrayValue?.count == 8 })
        // Prices and paths as long as they may be: fewer services, and a card all the same.
        let long = services.map { service in
            var service = service
            service.prices = (0..<8).map { _ in
                OfferedService.Price(
                    methods: ["GET", "POST"],
                    path: "/" + String(repeating: "p", count: 600),
                    text: String(repeating: "2", count: 600)
                )
            }
            return service
        }
        let short = try AgentCard.sign(AgentCard.draft(node, services: long), by: [(nodeKey, keysURL)])
        #expect(short.document.serialized().count <= 65_536)
        #expect(short.problem(by: nodeKey.did) == nil)
        #expect((1..<AgentCard.maximumServices).contains(short.document["skills"]?.arrayValue?.count ?? 0))
        for value: JSONValue in ["", [], [:], 1, false, .null, "ü", ["a": ""], [[]]] {
            var odd = draft()
            odd["extra"] = value
            #expect(throws: DocumentError.self, "\(value)") {
                do {
                    _ = try AgentCard.sign(odd, by: [(agent, keysURL)])
                } catch let error as DocumentError {
                    #expect(error.code == .notSignable)
                    throw error
                }
            }
        }
        let whole = try signed().serialized()
        let room = 65_536 - whole.count
        #expect(throws: Never.self) { try AgentCard(bytes: whole + [UInt8](repeating: 0x20, count: room)) }
        #expect(throws: DocumentError.self) { try AgentCard(bytes: whole + [UInt8](repeating: 0x20, count: room + 1)) }
        // A node that sells nothing has a card all the same.
        #expect(
            try AgentCard.sign(AgentCard.draft(node, services: []), by: [(nodeKey, keysURL)]).problem(by: nodeKey.did)
                == nil
        )
    }
}
