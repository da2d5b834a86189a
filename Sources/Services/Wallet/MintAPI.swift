public import CanonicalJSON
public import Cashu

/// A mint as the wallet sees it: the requests of NUT-01 to 07, 09 and 29. An adapter says exactly how a call ended, since
/// money hangs on the difference between refused and unknown.
public protocol MintAPI: Sendable {
    var url: MintURL { get }
    /// NUT-06.
    func info() async throws(MintAPIError) -> MintInfo
    /// NUT-02: every keyset, old ones too, without keys.
    func keysets() async throws(MintAPIError) -> [KeysetInfo]
    /// NUT-01: the keys of one listed keyset, whose id was computed from them and found right.
    func keys(of keyset: KeysetInfo) async throws(MintAPIError) -> Keyset
    /// NUT-03. One signature an output, in order.
    func swap(_ request: SwapRequest) async throws(MintAPIError) -> [BlindSignature]
    /// NUT-04 and 23.
    func requestMintQuote(_ request: MintQuoteRequest) async throws(MintAPIError) -> MintQuote
    func mintQuote(_ id: QuoteID) async throws(MintAPIError) -> MintQuote
    func mint(_ request: MintRequest) async throws(MintAPIError) -> [BlindSignature]
    /// NUT-29: the quotes as they stand, in the order asked, and the coins of several at once.
    func mintQuotes(_ request: MintQuoteCheckRequest) async throws(MintAPIError) -> [MintQuote]
    func mintBatch(_ request: BatchMintRequest) async throws(MintAPIError) -> [BlindSignature]
    /// NUT-05 and 23.
    func requestMeltQuote(_ request: MeltQuoteRequest) async throws(MintAPIError) -> MeltQuote
    func meltQuote(_ id: QuoteID) async throws(MintAPIError) -> MeltQuote
    func melt(_ request: MeltRequest) async throws(MintAPIError) -> MeltQuote
    /// NUT-07. One state a `Y`, in order.
    func checkState(_ ys: [[UInt8]]) async throws(MintAPIError) -> [ProofState]
    /// NUT-09: those of the outputs that the mint ever signed, each with its signature.
    func restore(_ outputs: [BlindedMessage]) async throws(MintAPIError) -> [RestoredOutput]
    /// What the mint shows of its liabilities at a path below `/liabilities` (`Specs/proof-of-liabilities.md`), which is
    /// empty or begins with a slash.
    func liabilities(_ path: String) async throws(MintAPIError) -> JSONValue
}

extension MintAPI {
    /// Most mints show none.
    public func liabilities(_ path: String) async throws(MintAPIError) -> JSONValue {
        throw MintAPIError(.refused(code: 0), "this mint shows no proof of its liabilities")
    }
}

/// An output that a mint signed before, as NUT-09 gives it back.
public struct RestoredOutput: Sendable {
    public var output: BlindedMessage
    public var signature: BlindSignature

    public init(output: BlindedMessage, signature: BlindSignature) {
        self.output = output
        self.signature = signature
    }
}

/// Where the wallet gets its mints from: `HTTPMint` in a node, a faulty one in tests.
public protocol MintConnector: Sendable {
    func mint(at url: MintURL) -> any MintAPI
    /// Opens a mint's WebSocket (NUT-17), and closes it when `body` returns.
    /// - Throws: where none comes about, where it breaks, and what `body` throws.
    func openSocket(at url: MintURL, _ body: @Sendable @escaping (any MintSocket) async throws -> Void) async throws
}

extension MintConnector {
    public func openSocket(at url: MintURL, _ body: @Sendable @escaping (any MintSocket) async throws -> Void)
        async throws
    {
        throw MintSocketError("there are no WebSockets here")
    }
}

/// How a call to a mint ended, other than well.
public struct MintAPIError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// No connection came about: the mint has seen nothing.
        case notSent
        /// It left, and no readable answer came: the mint may have acted.
        case unknown
        /// The mint answered that it does not act. `code` is its number, 0 where it gave none.
        case refused(code: Int)
    }

    public let kind: Kind
    public let message: String
    public var description: String { message }

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The mint's error number, where it refused.
    public var code: Int? {
        if case .refused(let code) = kind { return code }
        return nil
    }
}

extension WalletError {
    /// What a caller is told about a call that had no effect on money.
    init(_ error: MintAPIError, mint: MintURL) {
        switch error.kind {
        case .notSent:
            self.init(.mintUnreachable, "the mint \(mint) cannot be reached: \(error.message)", cause: error)
        case .unknown:
            self.init(.mintUnreachable, "the mint \(mint) gave no usable answer: \(error.message)", cause: error)
        case .refused(let code):
            let number = code == 0 ? "" : " (\(code))"
            self.init(.mintRefused, "the mint \(mint) refused: \(error.message)\(number)", mintCode: code, cause: error)
        }
    }
}
