import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Mint
import Testing

/// A key of a test, with its point in hex.
struct TestKey: Sendable {
    let scalar: Secp256k1.Scalar
    var point: Secp256k1.Point { Secp256k1.Point(multiplyingGeneratorBy: scalar) }
    var hex: String { Hex.encode(point.compressed) }

    init(_ number: UInt8) throws {
        scalar = try Secp256k1.Scalar(bytes: [UInt8](repeating: 0, count: 31) + [number])
    }
}

extension MintFixture {
    /// A secret of NUT-10 as raw JSON, with a nonce of its own.
    func lock(_ kind: String, _ data: String, tags: String = "[]") -> String {
        #"["\#(kind)",{"nonce":"\#(Hex.encode(randomBytes(16)))","data":"\#(data)","tags":\#(tags)}]"#
    }

    /// Ecash of one coin under this secret.
    func locked(_ amount: UInt64, _ secret: String) async throws -> Proof {
        try #require(try await issue([amount], secrets: [self.secret(amount, secret: secret)]).first)
    }

    /// The body of a swap of the inputs into one fresh coin of their sum.
    func swapBody(_ inputs: [Proof]) throws -> [UInt8] {
        try swapBody(inputs, secrets([inputs.map(\.amount).reduce(0, +)]))
    }

    /// A quote that belongs to a key, paid.
    func paidQuote(_ amount: UInt64, lockedTo key: TestKey) async throws -> MintQuote {
        let quote = try await mint.requestMintQuote(
            MintQuoteRequest(amount: amount, unit: .sat, publicKey: key.point)
        )
        try lightning.receive(quote.request)
        return quote
    }

    /// A request for a quote's ecash, signed.
    func mintBody(
        _ quote: MintQuote,
        _ secrets: [BlindingSecret],
        signedBy key: TestKey,
        form: MintQuoteSignature.Form = .plain
    ) throws -> [UInt8] {
        let outputs = try secrets.map { try $0.output() }
        let signature = try MintQuoteSignature.sign(
            quote: quote.quote,
            outputs: outputs,
            key: key.scalar,
            form: form
        )
        return MintRequest(quote: quote.quote, outputs: outputs, signature: signature).json.serialized()
    }

    func batchBody(
        _ quotes: [MintQuote],
        _ secrets: [BlindingSecret],
        amounts: [UInt64]? = nil,
        keys: [TestKey?]? = nil
    ) throws -> [UInt8] {
        let outputs = try secrets.map { try $0.output() }
        let signatures = try keys.map { keys in
            try zip(quotes, keys).map { quote, key in
                try key.map {
                    try MintQuoteSignature.sign(quote: quote.quote, outputs: outputs, key: $0.scalar)
                }
            }
        }
        return BatchMintRequest(
            quotes: quotes.map(\.quote),
            amounts: amounts,
            outputs: outputs,
            signatures: signatures
        ).json.serialized()
    }

    /// Coins out of an answer that came over HTTP.
    func unblind(_ answer: Answer, _ secrets: [BlindingSecret]) throws -> [Proof] {
        try unblind(answer.json.serialized(), secrets)
    }
}

/// Sends all bodies to one path at once.
func all(_ bodies: [[UInt8]], to path: String, _ client: MintClient) async throws -> [Answer] {
    try await withThrowingTaskGroup(of: (Int, Answer).self) { group in
        for (index, body) in bodies.enumerated() {
            group.addTask { (index, try await client.post(path, body)) }
        }
        return try await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
    }
}
