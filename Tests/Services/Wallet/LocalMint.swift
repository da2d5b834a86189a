import CanonicalJSON
import Cashu
import Encodings
import Mint
import Synchronization

@testable import Wallet

/// A real mint in the same process, spoken to in the bytes of its HTTP API, with faults that a test puts in its way.
final class LocalMint: MintAPI {
    enum Fault: Sendable, Equatable {
        /// No connection.
        case notSent
        /// The request is lost on its way; the caller can't know.
        case lostRequest
        /// The mint acts, and its answer is lost.
        case lostAnswer
        /// The mint refuses.
        case refused(Int)
        /// The mint acts, and one of its signatures is not one.
        case forgedAnswer
    }

    let url: MintURL
    private let mint: @Sendable () throws -> Mint
    /// Faults for the calls to come, by call (`swap`, `mint`, `melt`, `checkState`, `restore`, …), each used once.
    private let faults = Mutex<[String: [Fault]]>([:])
    private let chance = Mutex<(@Sendable (String) -> Fault?)?>(nil)
    private let tamper = Mutex<(@Sendable (String, JSONValue) -> JSONValue)?>(nil)
    private let counts = Mutex<[String: Int]>([:])
    private let meanwhile = Mutex<(@Sendable () async -> Void)?>(nil)
    private let gates = Mutex<[String: Gate]>([:])
    private let answerGates = Mutex<[String: Gate]>([:])

    init(url: MintURL, mint: @escaping @Sendable () throws -> Mint) {
        self.url = url
        self.mint = mint
    }

    func put(_ fault: Fault, on call: String, times: Int = 1) {
        faults.withLock { $0[call, default: []] += Array(repeating: fault, count: times) }
    }

    func clearFaults() { faults.withLock { $0 = [:] } }

    /// Asks for a fault at every call.
    func setChance(_ body: (@Sendable (String) -> Fault?)?) { chance.withLock { $0 = body } }

    /// What happens elsewhere while the mint is asked about a quote, once.
    func setMeanwhile(_ body: @escaping @Sendable () async -> Void) { meanwhile.withLock { $0 = body } }

    /// The next call of this kind waits before the mint hears of it.
    func holdNext(_ call: String) -> Gate { Self.gate(call, in: gates) }

    /// The mint acts on the next call of this kind, and its answer waits.
    func holdAnswer(_ call: String) -> Gate { Self.gate(call, in: answerGates) }

    private static func gate(_ call: String, in gates: borrowing Mutex<[String: Gate]>) -> Gate {
        let gate = Gate()
        gates.withLock { $0[call] = gate }
        return gate
    }

    func count(_ call: String) -> Int { counts.withLock { $0[call] ?? 0 } }

    private func exchange<T>(
        _ call: String,
        _ act: (Mint) async throws -> [UInt8],
        _ read: (JSONValue) throws -> T
    ) async throws(MintAPIError) -> T {
        counts.withLock { $0[call, default: 0] += 1 }
        await gates.withLock { $0.removeValue(forKey: call) }?.pass()
        var fault = faults.withLock { faults -> Fault? in
            guard let first = faults[call]?.first else { return nil }
            faults[call]?.removeFirst()
            return first
        }
        if fault == nil { fault = chance.withLock { $0 }?(call) }
        switch fault {
        case .notSent?: throw MintAPIError(.notSent, "the test cut the line")
        case .lostRequest?: throw MintAPIError(.unknown, "the test lost the request")
        case .refused(let code)?: throw MintAPIError(.refused(code: code), "the test refused")
        case .lostAnswer?, .forgedAnswer?, nil: break
        }
        var status = 200
        var body: [UInt8]
        do {
            body = try await act(mint())
        } catch {
            let failure = MintFailure(sorting: error)
            status = failure.status
            body = failure.error.json.serialized()
        }
        await answerGates.withLock { $0.removeValue(forKey: call) }?.pass()
        if fault == .lostAnswer { throw MintAPIError(.unknown, "the test lost the answer") }
        if fault == .forgedAnswer { body = Self.forged(body) }
        return try HTTPMint.answer(status: status, body: body, read: read)
    }

    /// Puts one signature in the place of another.
    private static func forged(_ body: [UInt8]) -> [UInt8] {
        guard case .object(var object)? = try? JSONValue.parse(body, limits: JSONLimits(acceptsUInt64: true)),
            var signatures = object["signatures"]?.arrayValue, signatures.count > 1,
            case .object(var first) = signatures[0]
        else { return body }
        first["C_"] = signatures[1]["C_"]
        signatures[0] = .object(first)
        object["signatures"] = .array(signatures)
        return JSONValue.object(object).serialized()
    }

    func info() async throws(MintAPIError) -> MintInfo {
        try await exchange("info", { $0.info.json.serialized() }, { try MintInfo(json: tampered("info", $0)) })
    }

    func keysets() async throws(MintAPIError) -> [KeysetInfo] {
        try await exchange("keysets", { $0.keysetList }, { try KeysetsResponse(json: $0).keysets })
    }

    func keys(of keyset: KeysetInfo) async throws(MintAPIError) -> Keyset {
        try await exchange("keys", { try $0.keys(of: keyset.id.hex) }) { json in
            try Keyset(info: keyset, keys: Keyset.keys(json: json.array("keysets")[0].object("keys")))
        }
    }

    func swap(_ request: SwapRequest) async throws(MintAPIError) -> [BlindSignature] {
        try await exchange("swap", { try await $0.swap(request.json.serialized()) }) {
            try SignaturesResponse(json: $0).signatures
        }
    }

    func requestMintQuote(_ request: MintQuoteRequest) async throws(MintAPIError) -> MintQuote {
        try await exchange("requestMintQuote", { try await $0.requestMintQuote(request.json.serialized()) }) {
            try MintQuote(json: $0)
        }
    }

    func mintQuote(_ id: QuoteID) async throws(MintAPIError) -> MintQuote {
        await meanwhile.withLock { $0.take() }?()
        return try await exchange("mintQuote", { try await $0.mintQuote(id.string) }) { try MintQuote(json: $0) }
    }

    func mint(_ request: MintRequest) async throws(MintAPIError) -> [BlindSignature] {
        try await exchange("mint", { try await $0.mint(request.json.serialized()) }) {
            try SignaturesResponse(json: $0).signatures
        }
    }

    func mintQuotes(_ request: MintQuoteCheckRequest) async throws(MintAPIError) -> [MintQuote] {
        try await exchange("mintQuotes", { try await $0.checkMintQuotes(request.json.serialized()) }) {
            try request.quotes(inAnswer: $0)
        }
    }

    func mintBatch(_ request: BatchMintRequest) async throws(MintAPIError) -> [BlindSignature] {
        try await exchange("mintBatch", { try await $0.mintBatch(request.json.serialized()) }) {
            try SignaturesResponse(json: $0).signatures
        }
    }

    func requestMeltQuote(_ request: MeltQuoteRequest) async throws(MintAPIError) -> MeltQuote {
        try await exchange("requestMeltQuote", { try await $0.requestMeltQuote(request.json.serialized()) }) {
            try MeltQuote(json: $0)
        }
    }

    func meltQuote(_ id: QuoteID) async throws(MintAPIError) -> MeltQuote {
        try await exchange("meltQuote", { try await $0.meltQuote(id.string) }) {
            try MeltQuote(json: tampered("meltQuote", $0))
        }
    }

    func melt(_ request: MeltRequest) async throws(MintAPIError) -> MeltQuote {
        try await exchange("melt", { try await $0.melt(request.json.serialized()) }) {
            try MeltQuote(json: tampered("melt", $0))
        }
    }

    func checkState(_ ys: [[UInt8]]) async throws(MintAPIError) -> [ProofState] {
        let request = CheckStateRequest(hashedSecrets: ys)
        return try await exchange("checkState", { try await $0.checkState(request.json.serialized()) }) {
            try CheckStateResponse(json: $0).states(for: request)
        }
    }

    func liabilities(_ path: String) async throws(MintAPIError) -> JSONValue {
        let parts = path.split(separator: "/").map(String.init)
        let answer = try await exchange("liabilities") { mint in
            switch parts.count {
            case 0, 1: try await mint.liabilityStatement(epoch: parts.first)
            case 3: try await mint.liabilityIndex(epoch: parts[0], keyset: parts[1], side: parts[2])
            default: try await mint.liabilityPage(epoch: parts[0], keyset: parts[1], side: parts[2], page: parts[3])
            }
        } _: {
            $0
        }
        return tampered(path, answer)
    }

    private func tampered(_ call: String, _ answer: JSONValue) -> JSONValue {
        tamper.withLock { $0 }?(call, answer) ?? answer
    }

    /// Changes what the mint says: of its liabilities, by path, and in answer to `info`, `melt` and `meltQuote`.
    func setTamper(_ body: (@Sendable (String, JSONValue) -> JSONValue)?) { tamper.withLock { $0 = body } }

    /// Changes one entry of what the mint says it can (NUT-06); nil: it says nothing of it.
    func setNUT(_ number: String, to value: JSONValue?) {
        setTamper { call, answer in
            guard call == "info", case .object(var info) = answer, case .object(var nuts)? = info["nuts"] else {
                return answer
            }
            nuts[number] = value
            info["nuts"] = .object(nuts)
            return .object(info)
        }
    }

    func restore(_ outputs: [BlindedMessage]) async throws(MintAPIError) -> [RestoredOutput] {
        try await exchange("restore", { try await $0.restore(RestoreRequest(outputs: outputs).json.serialized()) }) {
            let response = try RestoreResponse(json: $0)
            return zip(response.outputs, response.signatures).map { RestoredOutput(output: $0, signature: $1) }
        }
    }
}

/// A place where one call waits until a test lets it on.
final class Gate: Sendable {
    private let arrival = AsyncStream<Void>.makeStream()
    private let opening = AsyncStream<Void>.makeStream()

    /// Waits until it is open.
    func pass() async {
        arrival.continuation.finish()
        for await _ in opening.stream {}
    }

    /// Waits until a call stands before it.
    func reached() async { for await _ in arrival.stream {} }

    func open() { opening.continuation.finish() }
}
