import AsyncHTTPClient
import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Lightning
import Logging
import Mint
import SignedDocuments
import Storage
import Synchronization
import TestSupport
import Testing
import Workers

/// A mint on a database of its own, a clock that a test turns, a backend that a test commands, and a wallet.
final class MintFixture: Sendable {
    static let start = Timestamp(secondsSince1970: 1_790_000_000)
    static let seed = [UInt8](repeating: 0x5A, count: 32)
    static let signer = DocumentSigner(
        (try? Ed25519.PrivateKey(seed: [UInt8](repeating: 3, count: 32))) ?? Ed25519.PrivateKey()
    )
    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    let folder: TemporaryFolder
    let time: TestTime
    let lightning: TestLightning
    let workers: WorkerPool
    private let settings: Mutex<MintConfiguration>
    /// Nil: one in this process, of `seed`.
    private let signatory: Mutex<(any Signatory)?>
    var configuration: MintConfiguration { settings.withLock { $0 } }
    private let open = Mutex<(database: Database, mint: Mint)?>(nil)
    private let random = Mutex(SeededRandom(seed: 42))

    init(
        _ configuration: MintConfiguration = MintConfiguration(),
        workers threads: Int = 2,
        queueLimit: Int = 4096,
        signatory: (any Signatory)? = nil
    ) async throws {
        // Its time stands still: how long work waits for a busy machine is no matter of these tests.
        workers = WorkerPool(threads: threads, queueLimit: queueLimit, now: { 0 })
        folder = try TemporaryFolder()
        let time = TestTime()
        self.time = time
        lightning = try TestLightning { time.now }
        settings = Mutex(configuration)
        self.signatory = Mutex(signatory)
        try await start()
    }

    private func start() async throws {
        let database = try Database(
            path: folder.path + "/node.sqlite",
            migrations: Mint.migrations,
            logger: Self.logger
        )
        let mint = try await Mint(
            store: SQLiteMintStore(database: database),
            signatory: signatory.withLock { $0 } ?? InProcessSignatory(seed: Self.seed, workers: workers),
            lightning: lightning,
            workers: workers,
            clock: WallClock { [time] in time.now },
            configuration: configuration,
            issuerDocuments: HTTPIssuerDocuments(client: .shared),
            statementSigner: Self.signer,
            logger: Self.logger
        )
        open.withLock { $0 = (database, mint) }
    }

    /// Closes the database and opens all anew, as after a restart.
    func reopen(with configuration: MintConfiguration? = nil, signing: (any Signatory)? = nil) async throws {
        if let signing { signatory.withLock { $0 = signing } }
        if let configuration { settings.withLock { $0 = configuration } }
        await open.withLock { $0 }?.database.close()
        try await start()
    }

    var mint: Mint {
        get throws { try #require(open.withLock { $0 }?.mint) }
    }

    var database: Database {
        get throws { try #require(open.withLock { $0 }?.database) }
    }

    func keyset(_ unit: CurrencyUnit = .sat) throws -> Keyset {
        try #require(try mint.activeKeysets.first { $0.unit == unit })
    }

    /// - Throws: where the audit finds anything.
    func requireSound(_ location: SourceLocation = #_sourceLocation) async throws {
        let audit = try await mint.audit()
        #expect(audit.findings == [], sourceLocation: location)
    }

    /// What the audit says after a statement that is taken back again.
    func findings(after sql: String, _ argument: SQLValue) async throws -> [String] {
        let tables = ["mint_melt_quotes", "mint_proofs"]
        try await database.write { connection in
            for table in tables { try connection.execute("CREATE TEMP TABLE kept_\(table) AS SELECT * FROM \(table)") }
            try connection.execute(sql, argument)
        }
        let findings = try await mint.audit().findings
        try await database.write { connection in
            try connection.execute("PRAGMA defer_foreign_keys = ON")
            for table in tables.reversed() { try connection.execute("DELETE FROM \(table)") }
            for table in tables {
                try connection.execute("INSERT INTO \(table) SELECT * FROM kept_\(table)")
                try connection.execute("DROP TABLE kept_\(table)")
            }
        }
        return findings
    }

    // MARK: The wallet's side

    func randomBytes(_ count: Int) -> [UInt8] { random.withLock { $0.bytes(count) } }

    func secret(_ amount: UInt64, of keyset: KeysetID? = nil, secret: String? = nil) throws -> BlindingSecret {
        BlindingSecret(
            amount: amount,
            keysetID: try keyset ?? self.keyset().id,
            secret: secret ?? Hex.encode(randomBytes(32)),
            blindingFactor: try Secp256k1.Scalar(bytes: randomBytes(32))
        )
    }

    func secrets(_ amounts: [UInt64], of keyset: KeysetID? = nil) throws -> [BlindingSecret] {
        try amounts.map { try secret($0, of: keyset) }
    }

    func unblind(_ answer: [UInt8], _ secrets: [BlindingSecret]) throws -> [Proof] {
        let response = try SignaturesResponse(json: JSONValue.parse(answer, limits: .amounts))
        let keysets = try mint.allKeysets
        return try response.proofs(for: secrets) { id in keysets.first { $0.id == id } }
    }

    /// Ecash of these amounts, by quote, payment and mint.
    func issue(_ amounts: [UInt64], unit: CurrencyUnit = .sat, secrets given: [BlindingSecret]? = nil) async throws
        -> [Proof]
    {
        let quote = try await paidQuote(amounts.reduce(0, +), unit: unit)
        let secrets = try given ?? self.secrets(amounts, of: keyset(unit).id)
        return try unblind(try await mint.mint(mintBody(quote, secrets)), secrets)
    }

    func paidQuote(_ amount: UInt64, unit: CurrencyUnit = .sat) async throws -> MintQuote {
        let quote = try await mint.requestMintQuote(MintQuoteRequest(amount: amount, unit: unit))
        try lightning.receive(quote.request)
        return quote
    }

    func mintBody(_ quote: MintQuote, _ secrets: [BlindingSecret]) throws -> [UInt8] {
        MintRequest(quote: quote.quote, outputs: try secrets.map { try $0.output() }).json.serialized()
    }

    func swapBody(_ inputs: [Proof], _ secrets: [BlindingSecret]) throws -> [UInt8] {
        SwapRequest(inputs: inputs, outputs: try secrets.map { try $0.output() }).json.serialized()
    }

    func swap(_ inputs: [Proof], into secrets: [BlindingSecret]) async throws -> [Proof] {
        try unblind(try await mint.swap(swapBody(inputs, secrets)), secrets)
    }

    /// A quote to pay somebody else's invoice.
    func meltQuote(_ amount: UInt64, expirySeconds: UInt64 = 3600) async throws -> (quote: MeltQuote, request: String) {
        let request = try lightning.foreignInvoice(amountMsat: amount * 1000, expirySeconds: expirySeconds)
        return (try await mint.requestMeltQuote(MeltQuoteRequest(request: request, unit: .sat)), request)
    }

    func meltBody(
        _ quote: MeltQuote,
        _ inputs: [Proof],
        blanks: [BlindingSecret] = [],
        prefersAsync: Bool = false
    ) throws -> [UInt8] {
        MeltRequest(
            quote: quote.quote,
            inputs: inputs,
            outputs: try blanks.map { try $0.output() },
            prefersAsync: prefersAsync
        ).json.serialized()
    }

    func melt(_ quote: MeltQuote, _ inputs: [Proof], blanks: [BlindingSecret] = []) async throws -> MeltQuote {
        try MeltQuote(
            json: JSONValue.parse(try await mint.melt(meltBody(quote, inputs, blanks: blanks)), limits: .amounts)
        )
    }

    func look(_ quote: MeltQuote) async throws -> MeltQuote {
        try MeltQuote(json: JSONValue.parse(try await mint.meltQuote(quote.quote.string), limits: .amounts))
    }

    func states(_ proofs: [Proof]) async throws -> [ProofState.State] {
        let request = CheckStateRequest(hashedSecrets: try proofs.map { try $0.hashedSecret().compressed })
        let answer = try await mint.checkState(request.json.serialized())
        return try CheckStateResponse(json: JSONValue.parse(answer)).states(for: request).map(\.state)
    }
}

extension JSONLimits {
    static var amounts: JSONLimits {
        var limits = JSONLimits()
        limits.acceptsUInt64 = true
        return limits
    }
}

/// The clock of a test.
final class TestTime: Sendable {
    private let instant = Mutex(MintFixture.start)
    var now: Timestamp { instant.withLock { $0 } }
    func advance(seconds: Int64) { instant.withLock { $0 = $0.adding(seconds: seconds) } }
}

/// The code with which `work` is refused; nil where it is not.
func code(_ work: () async throws -> some Any) async -> MintErrorCode? {
    do {
        _ = try await work()
        return nil
    } catch {
        return MintFailure(sorting: error).error.code
    }
}

/// The HTTP status with which `work` fails; nil where it does not.
func status(_ work: () async throws -> some Any) async -> Int? {
    do {
        _ = try await work()
        return nil
    } catch {
        return MintFailure(sorting: error).status
    }
}
