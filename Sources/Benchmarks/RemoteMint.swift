internal import AsyncHTTPClient
internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Foundation
internal import NIOCore
internal import NIOHTTP1

/// A mint that is reached over HTTP, ours or another: gets real ecash from it and makes swaps of it beforehand.
struct RemoteMint: Sendable {
    let http: HTTPClient
    /// Such as `http://127.0.0.1:3338` or `http://127.0.0.1:8402/mint`.
    let url: String
    /// Pays an invoice; does nothing where the mint calls its own invoices paid.
    let pay: @Sendable (String) async throws -> Void

    func get(_ path: String) async throws -> JSONValue { try await send(HTTPClientRequest(url: url + path)) }

    func post(_ path: String, _ body: JSONValue) async throws -> JSONValue {
        var request = HTTPClientRequest(url: url + path)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(body.serialized())
        return try await send(request)
    }

    private func send(_ request: HTTPClientRequest) async throws -> JSONValue {
        let response = try await http.execute(request, timeout: .seconds(60))
        let bytes = [UInt8](buffer: try await response.body.collect(upTo: 8 << 20))
        guard response.status == .ok else {
            throw BenchmarkError(
                "\(request.url): \(response.status.code) \(String(decoding: bytes.prefix(300), as: UTF8.self))"
            )
        }
        return try JSONValue.parse(bytes, limits: JSONLimits(maximumBytes: 8 << 20, acceptsUInt64: true))
    }

    /// The active keyset in sat, with its keys.
    func keyset() async throws -> Keyset {
        for entry in try await get("/v1/keys").array("keysets") where entry["unit"]?.stringValue == "sat" {
            if let keyset = try? KeysResponse(json: .object(["keysets": .array([entry])])).keysets.first {
                return keyset
            }
        }
        throw BenchmarkError("\(url) has no keyset in sat that can be read")
    }

    /// Swap requests of one proof each, whose inputs this mint has issued.
    func swaps(_ count: Int, path: String) async throws -> [ByteBuffer] {
        let keyset = try await keyset()
        var proofs: [Proof] = []
        while proofs.count < count { proofs += try await issue(keyset, count: min(count - proofs.count, 100)) }
        return try proofs.map { proof in
            let request = SwapRequest(inputs: [proof], outputs: [try output(keyset).output()])
            return LoadGenerator.post(path, request.json.serialized())
        }
    }

    private func output(_ keyset: Keyset) throws -> BlindingSecret {
        BlindingSecret(
            amount: 1,
            keysetID: keyset.id,
            secret: Hex.encode(SecureRandom.bytes(32)),
            blindingFactor: .random()
        )
    }

    private func issue(_ keyset: Keyset, count: Int) async throws -> [Proof] {
        let asked: JSONValue = ["amount": .integer(Int64(count)), "unit": "sat"]
        let quote = try await post("/v1/mint/quote/bolt11", asked)
        let id = try quote.string("quote")
        try await pay(try quote.string("request"))
        let secrets = try (0..<count).map { _ in try output(keyset) }
        let outputs = try secrets.map { try $0.output().json }
        for attempt in 1... {
            let state = try await get("/v1/mint/quote/bolt11/\(id)")["state"]?.stringValue
            if state == "PAID" { break }
            guard attempt < 100 else { throw BenchmarkError("\(url) does not see its invoice paid: \(state ?? "-")") }
            try await Task.sleep(for: .milliseconds(20))
        }
        let answer = try await post("/v1/mint/bolt11", ["quote": .string(id), "outputs": .array(outputs)])
        let key = try keyset.key(for: 1)
        return try zip(secrets, try SignaturesResponse(json: answer).signatures).map { secret, signature in
            Proof(
                amount: 1,
                keysetID: keyset.id,
                secret: secret.secret,
                signature: try BlindDH.unblind(
                    blindedSignature: signature.blindedSignature,
                    blindingFactor: secret.blindingFactor,
                    mintKey: key
                )
            )
        }
    }
}
