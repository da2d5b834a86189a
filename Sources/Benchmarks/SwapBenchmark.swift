internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Lightning
internal import Mint
internal import NIOCore
internal import Storage
internal import Workers

/// How many swaps the mint makes a second over HTTP, durable, while the load generator shares its cores; beside what one
/// core could do if a swap were nothing but its curve arithmetic.
struct SwapBenchmark {
    var clients = 32
    /// Inputs and outputs of each swap.
    var width = 1
    var swaps = 20_000

    func run() async throws -> [Measure] {
        try await MintSetting.with { setting in
            try await setting.serving { mint, port in try await load(mint, port: port) }
        }
    }

    private func load(_ mint: Mint, port: Int) async throws -> [Measure] {
        let ceiling = try cryptoCeiling(mint)
        let result = try await swap(mint, port: port)
        let name = "swap-\(width)-\(width)"
        return [
            Measure(name: "\(name)-\(clients)-clients", value: result.perSecond, unit: "1/s", yardstick: ceiling),
            Measure(name: "\(name)-p50", value: result.percentile(0.5), unit: "ms"),
            Measure(name: "\(name)-p99", value: result.percentile(0.99), unit: "ms"),
            Measure(
                name: "\(name)-cpu-of-everything",
                value: result.cpuMicroseconds,
                unit: "us",
                yardstick: 1e6 / ceiling
            ),
        ]
    }

    /// Swaps a second at a mint whose keys this signatory holds; nil: the mint itself.
    func perSecond(signing signatory: (@Sendable (WorkerPool) -> any Signatory)?) async throws -> Double {
        try await MintSetting.with { setting in
            try await setting.serving(signatory: signatory) { mint, port in
                try await swap(mint, port: port).perSecond
            }
        }
    }

    /// Makes all requests, warms the mint up with a few, and sends the rest.
    func swap(_ mint: Mint, port: Int) async throws -> LoadGenerator.Result {
        let warmUp = max(swaps / 10, clients)
        let requests = try await prepare(mint, count: swaps + warmUp)
        let generator = LoadGenerator(port: port, connections: clients)
        _ = try await generator.run(Array(requests.prefix(warmUp)))
        let result = try await generator.run(Array(requests.dropFirst(warmUp)))
        guard result.failures == 0 else { throw BenchmarkError("\(result.failures) of \(swaps) swaps were refused") }
        return result
    }

    // MARK: Requests made beforehand

    /// Real ecash: quotes, payments, mint requests, unblinding; and for each swap its outputs.
    private func prepare(_ mint: Mint, count: Int) async throws -> [ByteBuffer] {
        let keyset = try keyset(of: mint)
        var requests: [ByteBuffer] = []
        requests.reserveCapacity(count)
        var missing = count * width
        var proofs: [Proof] = []
        while missing > 0 {
            let batch = min(missing, 960)
            proofs += try await issue(mint, keyset, count: batch)
            missing -= batch
        }
        for index in 0..<count {
            let inputs = Array(proofs[(index * width)..<((index + 1) * width)])
            let outputs = try (0..<width).map { _ in try output(keyset).output() }
            let body = SwapRequest(inputs: inputs, outputs: outputs).json.serialized()
            requests.append(LoadGenerator.post("/mint/v1/swap", body))
        }
        return requests
    }

    private func keyset(of mint: Mint) throws -> Keyset {
        guard let keyset = mint.activeKeysets.first else { throw BenchmarkError("the mint has no keyset") }
        return keyset
    }

    private func output(_ keyset: Keyset) throws -> BlindingSecret {
        BlindingSecret(
            amount: 1,
            keysetID: keyset.id,
            secret: Hex.encode(SecureRandom.bytes(32)),
            blindingFactor: .random()
        )
    }

    private func issue(_ mint: Mint, _ keyset: Keyset, count: Int) async throws -> [Proof] {
        let quote = try await mint.requestMintQuote(MintQuoteRequest(amount: UInt64(count), unit: .sat))
        let secrets = try (0..<count).map { _ in try output(keyset) }
        let request = MintRequest(quote: quote.quote, outputs: try secrets.map { try $0.output() })
        let answer = try await mint.mint(request.json.serialized())
        let response = try SignaturesResponse(json: JSONValue.parse(answer))
        let key = try keyset.key(for: 1)
        return try zip(secrets, response.signatures).map { secret, signature in
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

    // MARK: Yardsticks

    /// Swaps a second of one core that does nothing but their curve arithmetic.
    private func cryptoCeiling(_ mint: Mint) throws -> Double {
        let keys = try MintKeyset(seed: SecureRandom.bytes(32), unit: .sat, counter: 0)
        let secret = try output(keys.keyset)
        let message = try secret.output()
        let signature = try keys.sign(message)
        let proof = try secret.proof(from: signature, keyset: keys.keyset)
        let rounds = max(1000 / width, 100)
        let seconds = try Timing.seconds {
            for _ in 0..<(rounds * width) {
                _ = try keys.verify(proof)
                _ = try keys.sign(message)
            }
        }
        return Double(rounds) / seconds
    }
}

/// A backend whose every invoice is paid the moment it is made.
struct PrepaidLightning: LightningBackend {
    let network = LightningNetwork.simulated
    private let key: Secp256k1.Scalar

    init() throws { key = .random() }

    func nodeID() async throws(LightningError) -> [UInt8] {
        Secp256k1.Point(multiplyingGeneratorBy: key).compressed
    }

    func balanceMsat() async throws(LightningError) -> UInt64 { 0 }

    func createInvoice(
        amountMsat: UInt64?,
        description: String,
        expirySeconds: UInt32
    ) async throws(LightningError) -> BOLT11Invoice {
        let contents = InvoiceContents(
            currency: network.currency,
            amountMsat: amountMsat,
            timestamp: Timestamp(secondsSince1970: WallClock.system.now().secondsSince1970),
            paymentHash: SecureRandom.bytes(32),
            paymentSecret: SecureRandom.bytes(32),
            purpose: .text(description),
            expirySeconds: UInt64(expirySeconds)
        )
        return try BOLT11Invoice.sign(contents, key: key)
    }

    func invoiceStatus(paymentHash: [UInt8]) async throws(LightningError) -> InvoiceStatus {
        .paid(amountMsat: LightningLimits.maximumAmountMsat, at: WallClock.system.now())
    }

    func pay(
        invoice: BOLT11Invoice,
        openAmountMsat: UInt64?,
        maximumFeeMsat: UInt64
    ) async throws(LightningError) -> PaymentOutcome {
        .failed(PaymentFailure(.noRoute, "this backend only receives"))
    }

    func paymentStatus(paymentHash: [UInt8]) async throws(LightningError) -> PaymentOutcome? { nil }
}
