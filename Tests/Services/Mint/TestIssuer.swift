import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Hummingbird
import Logging
import Synchronization
import WebServer

/// A small OpenID Connect issuer on a real socket, with keys of the three kinds.
final class TestIssuer: Sendable {
    struct State {
        var port = 0
        var keyIDs = ["rsa", "ec", "ed"]
        var asked = 0
        var isAway = false
        var issuer: String?
    }

    /// Made once: it takes a second where the library is not optimized.
    private static let rsaKey = Result { try RSA.PrivateKey() }

    let state = Mutex(State())
    let rsa: RSA.PrivateKey
    let ec = P256.PrivateKey()
    let ed: Ed25519.PrivateKey

    init() throws {
        rsa = try Self.rsaKey.get()
        ed = try Ed25519.PrivateKey(seed: [UInt8](repeating: 9, count: 32))
    }

    var url: String { "http://127.0.0.1:\(state.withLock { $0.port })/realm" }
    var discoveryURL: String { url + "/.well-known/openid-configuration" }
    /// How often somebody asked for the keys.
    var asked: Int { state.withLock { $0.asked } }

    func serve(_ work: @escaping @Sendable () async throws -> Void) async throws {
        let router = Router()
        router.get("realm/.well-known/openid-configuration") { [self] _, _ in
            let issuer = state.withLock { $0.issuer }
            return try document(["issuer": .string(issuer ?? url), "jwks_uri": .string(url + "/keys")])
        }
        router.get("realm/keys") { [self] _, _ in
            state.withLock { $0.asked += 1 }
            return try document(["keys": .array(try keys())])
        }
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        let application = Application(
            router: router,
            server: .plain(),
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in
                if let bound = channel.localAddress?.port { port.yield(bound) }
            },
            logger: MintFixture.logger
        )
        let running = Task { try await application.run() }
        var iterator = ports.makeAsyncIterator()
        let bound = await iterator.next() ?? 0
        state.withLock { $0.port = bound }
        let result = await Task { try await work() }.result
        running.cancel()
        _ = try? await running.value
        try result.get()
    }

    private func document(_ json: JSONValue) throws -> Response {
        guard !state.withLock({ $0.isAway }) else { return Response(status: .internalServerError) }
        return Response(status: .ok, body: ResponseBody(byteBuffer: .init(bytes: json.serialized())))
    }

    private func keys() throws -> [JSONValue] {
        let names = state.withLock { $0.keyIDs }
        func text(_ bytes: some Collection<UInt8>) -> JSONValue { .string(Base64URL.encode(Array(bytes))) }
        return [
            [
                "kty": "RSA", "use": "sig", "kid": .string(names[0]), "n": text(try rsa.modulus),
                "e": text(try rsa.exponent),
            ],
            [
                "kty": "EC", "crv": "P-256", "kid": .string(names[1]),
                "x": text(ec.publicKey.uncompressed[1..<33]), "y": text(ec.publicKey.uncompressed[33...]),
            ],
            ["kty": "OKP", "crv": "Ed25519", "kid": .string(names[2]), "x": text(ed.publicKey.bytes)],
            // What a wallet-side key set may also hold.
            ["kty": "oct", "kid": "secret", "k": "AAAA"],
        ]
    }

    /// The claims of a token that is good now.
    func claims(_ change: (inout JSONObject) -> Void = { _ in }) -> JSONObject {
        let now = MintFixture.start.secondsSince1970
        var claims: JSONObject = [
            "iss": .string(url), "sub": "alice", "azp": "cashu-client", "aud": "account",
            "iat": .integer(now), "exp": .integer(now + 300),
        ]
        change(&claims)
        return claims
    }

    func token(
        _ claims: JSONObject,
        algorithm: String = "RS256",
        keyID: String? = nil,
        signedWith other: (([UInt8]) throws -> [UInt8])? = nil
    ) throws -> String {
        let names = ["RS256": "rsa", "ES256": "ec", "EdDSA": "ed"]
        let header: JSONValue = ["alg": .string(algorithm), "kid": .string(keyID ?? names[algorithm] ?? "secret")]
        let input = [header.serialized(), JSONValue.object(claims).serialized()]
            .map { Base64URL.encode($0) }.joined(separator: ".")
        let bytes = Array(input.utf8)
        let signature: [UInt8]
        if let other {
            signature = try other(bytes)
        } else {
            switch algorithm {
            case "RS256": signature = try rsa.sign(bytes)
            case "ES256": signature = try ec.sign(bytes)
            case "EdDSA": signature = try ed.sign(bytes)
            default: signature = []
            }
        }
        return input + "." + Base64URL.encode(signature)
    }
}
