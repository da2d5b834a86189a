import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Mint
import TestSupport
import Testing

/// The mint over a real socket: the whole way of a coin, and requests that mean harm.
@Suite struct RouteTests {
    @Test("Quote, pay, mint, swap, check, restore and melt over HTTP")
    func wholeWay() async throws {
        let fixture = try await MintFixture()
        try await fixture.serve { client in
            let keys = try await client.get("keys")
            #expect(keys.status == 200)
            let keyset = try #require(try KeysResponse(json: keys.json).keysets.first)
            #expect(try await client.get("keys/\(keyset.id)").json == keys.json)
            #expect(try await KeysetsResponse(json: client.get("keysets").json).keysets.map(\.id) == [keyset.id])
            #expect(try await MintInfo(json: client.get("info").json).supports(12))

            let quoted = try await client.post("mint/quote/bolt11", "{\"amount\": 96, \"unit\": \"sat\"}")
            let quote = try MintQuote(json: quoted.json)
            try fixture.lightning.receive(quote.request)
            #expect(try await client.get("mint/quote/bolt11/\(quote.quote)").json["state"] == "PAID")
            // nutshell 0.21 reads no quote without it.
            #expect(quoted.json["method"] == "bolt11")
            let secrets = try fixture.secrets([32, 64])
            let minted = try await client.post("mint/bolt11", fixture.mintBody(quote, secrets))
            let proofs = try SignaturesResponse(json: minted.json).proofs(for: secrets) { _ in keyset }

            let fresh = try fixture.secrets([64])
            let body = try fixture.swapBody([proofs[1]], fresh)
            let swapped = try await client.post("swap", body, contentType: "text/plain")
            #expect(swapped.status == 200)
            let coin = try SignaturesResponse(json: swapped.json).proofs(for: fresh) { _ in keyset }
            let retried = try await client.post("swap", body)
            #expect((retried.status, retried.json) == (200, swapped.json))
            let restored = try await client.post(
                "restore",
                RestoreRequest(outputs: try fresh.map { try $0.output() }).json.serialized()
            )
            #expect(restored.json["signatures"] == swapped.json["signatures"])

            let states = CheckStateRequest(hashedSecrets: try proofs.map { try $0.hashedSecret().compressed })
            let checked = try await client.post("checkstate", states.json.serialized())
            #expect(try CheckStateResponse(json: checked.json).states.map(\.state) == [.unspent, .spent])

            let invoice = try fixture.lightning.foreignInvoice(amountMsat: 60_000)
            let asked = try await client.post("melt/quote/bolt11", "{\"request\":\"\(invoice)\",\"unit\":\"sat\"}")
            let meltQuote = try MeltQuote(json: asked.json)
            let melted = try await client.post("melt/bolt11", fixture.meltBody(meltQuote, coin))
            #expect((melted.status, melted.json["state"]) == (200, "PAID"))
            #expect(try await client.get("melt/quote/bolt11/\(meltQuote.quote)").json["state"] == "PAID")
        }
        try await fixture.requireSound()
    }

    @Test("Hostile requests get the code of the specification and take nothing", arguments: Hostile.all)
    func hostile(_ hostile: Hostile) async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([8, 4])
        let body = try fixture.swapBody(proofs, fixture.secrets([8, 4]))
        let tampered = try hostile.change(body)
        try await fixture.serve { client in
            let answer = try await client.post("swap", tampered)
            #expect(answer.status == 400)
            #expect(answer.code == Int64(hostile.code.rawValue), "\(answer.detail ?? "")")
            #expect(answer.detail?.isEmpty == false)
        }
        #expect(try await fixture.states(proofs) == [.unspent, .unspent])
        try await fixture.requireSound()
    }

    @Test("32 clients race for one proof over HTTP: one wins")
    func race() async throws {
        let fixture = try await MintFixture()
        let proofs = try await fixture.issue([8])
        let bodies = try (0..<32).map { _ in try fixture.swapBody(proofs, fixture.secrets([8])) }
        try await fixture.serve { client in
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for body in bodies { group.addTask { try await client.post("swap", body) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.filter { $0.status == 200 }.count == 1)
            #expect(answers.filter { $0.code == 11001 }.count == 31)
        }
        try await fixture.requireSound()
    }

    @Test("Limits: 1001 outputs or inputs, the mint's own smaller limits, a body over the limit announced or not")
    func limits() async throws {
        let fixture = try await MintFixture(
            MintConfiguration(limits: .init(inputs: 4, outputs: 2, bodyBytes: 400_000))
        )
        let proofs = try await fixture.issue([1, 1])
        try await fixture.serve { client in
            let three = try fixture.swapBody(proofs, fixture.secrets([1, 1, 1]))
            #expect(try await client.post("swap", three).code == 11015)
            let five = try fixture.swapBody(proofs + proofs + [proofs[0]], fixture.secrets([1]))
            #expect(try await client.post("swap", five).code == 11014)
            let output = String(decoding: try fixture.secret(1).output().json.serialized(), as: UTF8.self)
            let many = Array(repeating: output, count: 1001).joined(separator: ",")
            #expect(try await client.post("swap", "{\"inputs\":[],\"outputs\":[\(many)]}").code == 11015)
            let ys = Array(repeating: "\"\(String(repeating: "02", count: 33))\"", count: 5).joined(separator: ",")
            #expect(try await client.post("checkstate", "{\"Ys\":[\(ys)]}").code == 11014)

            let announced = try await client.post("swap", [UInt8](repeating: 0x20, count: 400_001))
            #expect(announced.status == 413)
            let chunked = try await client.postChunked("swap", pieces: 8, of: [UInt8](repeating: 0x20, count: 65_536))
            #expect(chunked.status == 413)
        }
    }

    @Test("Unknown paths and ids: 404 for no route, the protocol's error for an id the mint does not have")
    func unknown() async throws {
        let fixture = try await MintFixture()
        try await fixture.serve { client in
            #expect(try await client.get("nothing").status == 404)
            let quote = try await client.get("mint/quote/bolt11/019e6d5a-2347-7000-8322-05d51d498303")
            #expect((quote.status, quote.code) == (400, 20007))
            #expect(try await client.get("melt/quote/bolt11/x").code == 20007)
            #expect(try await client.get("keys/0011223344556677").code == 12001)
            fixture.lightning.setAway(true)
            let away = try await client.post("mint/quote/bolt11", "{\"amount\":1,\"unit\":\"sat\"}")
            #expect((away.status, away.retryAfter != nil) == (503, true))
        }
    }

    @Test("A busy mint answers 503 with Retry-After, never a time-out, and keeps nothing of what it refused")
    func overload() async throws {
        let fixture = try await MintFixture(MintConfiguration(), workers: 1, queueLimit: 2)
        let proofs = try await fixture.issue(Array(repeating: 1, count: 64))
        let bodies = try proofs.map { try fixture.swapBody([$0], fixture.secrets([1])) }
        try await fixture.serve { client in
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for body in bodies { group.addTask { try await client.post("swap", body) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let refused = answers.filter { $0.status != 200 }
            #expect(refused.allSatisfy { $0.status == 503 && $0.retryAfter != nil })
            let audit = try await fixture.mint.audit()
            #expect(audit.keysets.map(\.redeemed) == [UInt64(64 - refused.count)])
        }
        try await fixture.requireSound()
    }
}

/// One way of spoiling a good swap of `[8, 4]` into `[8, 4]`.
struct Hostile: Sendable, CustomTestStringConvertible {
    var name: String
    var code: MintErrorCode
    var change: @Sendable ([UInt8]) throws -> [UInt8]

    var testDescription: String { name }

    /// Replaces the first `old` with `new` in the request's text.
    private static func text(_ name: String, _ code: MintErrorCode, _ old: String, _ new: String) -> Hostile {
        Hostile(name: name, code: code) { body in
            let text = String(decoding: body, as: UTF8.self)
            guard text.contains(old) else { throw Missing(text: old) }
            return Array(text.replacing(old, with: new, maxReplacements: 1).utf8)
        }
    }

    struct Missing: Error { var text: String }

    /// Sets a member of the first input or output.
    private static func member(
        _ name: String,
        _ code: MintErrorCode,
        _ side: String,
        _ key: String,
        _ value: JSONValue
    ) -> Hostile {
        Hostile(name: name, code: code) { body in
            guard case .object(var request) = try JSONValue.parse(body, limits: .amounts),
                case .array(var parts)? = request[side], case .object(var part) = parts[0]
            else { throw Missing(text: side) }
            part[key] = value
            parts[0] = .object(part)
            request[side] = .array(parts)
            return JSONValue.object(request).serialized()
        }
    }

    private static func whole(_ name: String, _ code: MintErrorCode, _ text: String) -> Hostile {
        Hostile(name: name, code: code) { _ in Array(text.utf8) }
    }

    private static let infinity = String(repeating: "0", count: 66)
    /// x = 5 is on no point of the curve.
    private static let offCurve = "02" + String(repeating: "0", count: 63) + "5"
    private static let deep = String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000)

    static let all: [Hostile] = [
        text("an amount of −1", .malformedRequest, "\"amount\":8", "\"amount\":-1"),
        text("an amount of 0", .malformedRequest, "\"amount\":8", "\"amount\":0"),
        text("an amount of 2^64", .malformedRequest, "\"amount\":8", "\"amount\":18446744073709551616"),
        text("a fraction", .malformedRequest, "\"amount\":8", "\"amount\":8.5"),
        text("an amount as text", .malformedRequest, "\"amount\":8", "\"amount\":\"8\""),
        text("an exponent", .malformedRequest, "\"amount\":8", "\"amount\":1e400"),
        member("an input of 2^63", .transactionNotBalanced, "inputs", "amount", .unsigned(1 << 63)),
        member("an input of 3", .transactionNotBalanced, "inputs", "amount", 3),
        member("an output of 0", .amountOutsideLimits, "outputs", "amount", 0),
        member("an output of 3", .amountOutsideLimits, "outputs", "amount", 3),
        member("an output of 2^63", .transactionNotBalanced, "outputs", "amount", .unsigned(1 << 63)),
        member("an unknown keyset", .keysetUnknown, "inputs", "id", .string("01" + String(repeating: "ab", count: 32))),
        member("an unknown v1 keyset", .keysetUnknown, "outputs", "id", "00ffffffffffffff"),
        member("a keyset id that is none", .malformedRequest, "outputs", "id", "ff"),
        member("a bad point C", .malformedRequest, "inputs", "C", .string(offCurve)),
        member("infinity as C", .malformedRequest, "inputs", "C", .string(infinity)),
        member("a bad point B_", .malformedRequest, "outputs", "B_", .string(offCurve)),
        member("infinity as B_", .malformedRequest, "outputs", "B_", .string(infinity)),
        member(
            "an uncompressed B_",
            .malformedRequest,
            "outputs",
            "B_",
            .string("04" + String(repeating: "11", count: 64))
        ),
        member("a short C", .malformedRequest, "inputs", "C", "02ab"),
        member(
            "a secret of 1025 bytes",
            .malformedRequest,
            "inputs",
            "secret",
            .string(String(repeating: "a", count: 1025))
        ),
        member("no secret", .malformedRequest, "inputs", "secret", ""),
        member(
            "a witness of 1025 bytes",
            .malformedRequest,
            "inputs",
            "witness",
            .string(String(repeating: "w", count: 1025))
        ),
        member("another secret", .proofVerificationFailed, "inputs", "secret", "other"),
        member(
            "a condition of a kind that this mint does not know",
            .proofVerificationFailed,
            "inputs",
            "secret",
            "[\"VAULT\",{\"nonce\":\"n\",\"data\":\"d\"}]"
        ),
        member(
            "an HTLC whose hash is none",
            .proofVerificationFailed,
            "inputs",
            "secret",
            "[\"HTLC\",{\"nonce\":\"n\",\"data\":\"d\"}]"
        ),
        member(
            "a broken condition",
            .proofVerificationFailed,
            "inputs",
            "secret",
            "[\"P2PK\",{\"nonce\":\"n\",\"data\":\"02\"}]"
        ),
        Hostile(name: "inputs beyond 2^64 together", code: .amountOutsideLimits) { body in
            let text = String(decoding: body, as: UTF8.self)
            let large = text.replacing("\"amount\":8,", with: "\"amount\":9223372036854775808,")
                .replacing("\"amount\":4,", with: "\"amount\":9223372036854775808,")
            guard large != text else { throw Missing(text: "amount") }
            return Array(large.utf8)
        },
        text("a duplicate member", .malformedRequest, "\"outputs\":", "\"inputs\":[],\"outputs\":"),
        whole("no inputs", .malformedRequest, "{\"inputs\":[],\"outputs\":[]}"),
        whole("no members", .malformedRequest, "{}"),
        whole("an array", .malformedRequest, "[]"),
        whole("nothing", .malformedRequest, ""),
        whole("no JSON", .malformedRequest, "inputs=1"),
        whole("bytes that are no UTF-8 text", .malformedRequest, "{\"inputs\":\"\u{FFFE}"),
        whole("deep nesting", .malformedRequest, deep),
        whole("deep nesting inside", .malformedRequest, "{\"inputs\":\(deep),\"outputs\":[]}"),
        Hostile(name: "cut short", code: .malformedRequest) { Array($0.dropLast(1)) },
        Hostile(name: "something after the end", code: .malformedRequest) { $0 + [0x7B] },
        Hostile(name: "no UTF-8", code: .malformedRequest) { $0.dropLast(3) + [0xC3, 0x28] },
    ]
}
