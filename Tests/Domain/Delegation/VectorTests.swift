import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import SignedDocuments
import TestSupport
import Testing

/// UCAN's own vectors (ucan-wg/spec, fixtures/1.0.0).
@Suite("UCAN 1.0 vectors")
struct VectorTests {
    private func fixture(_ name: String) throws -> JSONValue {
        try JSONValue.parse(Fixtures.bytes("ucan/\(name).json"))
    }

    private func base64(_ text: String) throws -> [UInt8] { try Base64.decodeEitherAlphabet(text) }

    @Test("[DLG-1] a published delegation is read, its signature holds, and it has its published name")
    func delegations() throws {
        for item in try fixture("delegation").array("delegations") {
            let bytes = try base64(item.string("token"))
            let delegation = try Delegation(bytes: bytes)
            try delegation.verifySignature()
            #expect(delegation.cid.description == (try item.string("cid")))
            let payload = try item.object("payload")
            #expect(delegation.issuer.string == (try payload.string("iss")))
            #expect(delegation.audience.string == (try payload.string("aud")))
            #expect(delegation.subject?.string == (try payload.string("sub")))
            #expect(delegation.command.text == (try payload.string("cmd")))
            #expect(delegation.expires == Timestamp(secondsSince1970: try payload.int64("exp")))
            #expect(delegation.nonce == (try base64(payload.string("nonce"))))
            #expect(delegation.bytes == bytes)
        }
    }

    private func outcome(_ item: JSONValue) throws -> DelegationError.Code? {
        let rules = ChainRules(
            now: Timestamp(secondsSince1970: try item.int64("time")),
            trustedRoots: nil,
            appliesProfile: false
        )
        do throws(DelegationError) {
            let invocation = try Invocation(bytes: (try? base64(item.string("invocation"))) ?? [])
            var proofs: [Delegation] = []
            for proof in (try? item.strings("proofs")) ?? [] {
                proofs.append(try Delegation(bytes: (try? base64(proof)) ?? []))
            }
            try DelegationChain(of: invocation, from: proofs).verify(invocation, rules)
            return nil
        } catch {
            return error.code
        }
    }

    @Test("[DLG-1] the seven valid invocations are valid")
    func validInvocations() throws {
        let items = try fixture("invocation").array("valid")
        #expect(items.count == 7)
        for item in items {
            let name = try item.string("name")
            #expect(try outcome(item) == nil, "\(name)")
        }
    }

    /// UCAN's names of errors, and ours.
    private static let codes: [String: Set<DelegationError.Code>] = [
        "InvalidClaim": [.proofMissing, .subjectMissing], "UnavailableProof": [.proofUnavailable],
        "Expired": [.expired],
        "TooEarly": [.notYetValid], "InvalidAudience": [.brokenChain, .wrongAudience, .reordered],
        "InvalidSubject": [.wrongSubject, .selfIssued], "InvalidSignature": [.forged], "MatchError": [.policyViolated],
    ]

    @Test("[DLG-1] the thirteen invalid invocations are refused for the published reason")
    func invalidInvocations() throws {
        let items = try fixture("invocation").array("invalid")
        #expect(items.count == 13)
        for item in items {
            let code = try outcome(item)
            let expected = try #require(Self.codes[item.string("error")])
            let name = try item.string("name")
            #expect(code.map(expected.contains) == true, "\(name): \(code?.rawValue ?? "valid")")
        }
    }

    private func cbor(_ value: JSONValue) -> CBOR {
        switch value {
        case .null: .null
        case .bool(let flag): .bool(flag)
        case .integer(let number): number < 0 ? .negative(UInt64(-1 - number)) : .unsigned(UInt64(number))
        case .unsigned(let number): .unsigned(number)
        case .double(let number): .float(number)
        case .string(let text): .text(text)
        case .array(let items): .array(items.map(cbor))
        case .object(let object): .map(object.map { CBORPair($0.key, cbor($0.value)) })
        }
    }

    @Test("[DLG-1] every published policy holds or does not, as published")
    func policies() throws {
        let file = try fixture("policy")
        var count = 0
        for (member, holds) in [("valid", true), ("invalid", false)] {
            for item in try file.array(member) {
                let arguments = cbor(try item.value("args"))
                for policy in try item.array("policies") {
                    #expect(try Policy(cbor(policy)).holds(for: arguments) == holds, "\(policy)")
                    count += 1
                }
            }
        }
        #expect(count > 20)
    }

    @Test("[DLG-1] a CID is read in base32 and base58btc, and in no other form")
    func names() throws {
        let cid = CID(of: [1, 2, 3])
        #expect(cid.description.hasPrefix("bafyrei"))
        #expect(cid.base58btc.hasPrefix("zdpu"))
        #expect(try CID(parsing: cid.description) == cid)
        #expect(try CID(parsing: cid.base58btc) == cid)
        for text in [
            "", "b", "z", cid.description + "a", String(cid.description.dropLast()), cid.description.uppercased(),
            "f" + Hex.encode(cid.bytes), Multibase.encode([1, 0x55] + cid.bytes.dropFirst(2), as: .base32),
        ] {
            #expect(throws: DelegationError.self) { try CID(parsing: text) }
        }
    }
}
