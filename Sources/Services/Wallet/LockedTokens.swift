public import Cashu
public import Encodings
internal import Paywall
internal import Storage

/// A mint as it says of itself just now, with its keysets.
public struct MintSnapshot: Sendable {
    public let info: MintInfo
    /// With keys that were checked against their ids.
    public let keysets: [KeysetID: Keyset]
    /// When it was asked, and when it answered, on the clock here.
    public let asked: Timestamp
    public let answered: Timestamp
}

/// What escrow needs of a wallet besides sending and receiving: a lock is a token that is sent with a reference, and what takes it
/// back or claims it is a token that is received.
extension Wallet {
    /// Asks a trusted mint what it says of itself (NUT-06).
    /// - Throws: `mintUnknown`, `mintUntrusted`, `mintUnreachable`.
    public func snapshot(of mint: MintURL) async throws -> MintSnapshot {
        try await requireTrust(in: mint)
        let terms = try await book.terms(mint)
        let asked = clock.now()
        do {
            let info = try await book.client(mint).info()
            return MintSnapshot(info: info, keysets: terms.keysets, asked: asked, answered: clock.now())
        } catch {
            throw WalletError(error, mint: mint)
        }
    }

    /// What a coin that is made now costs when it is spent, in parts per thousand.
    /// - Throws: `mintUnknown`, `mintUnreachable`, and where the mint has no keyset of the unit.
    public func inputFeePPK(ofNewCoinsAt mint: MintURL, unit: CurrencyUnit) async throws -> UInt64 {
        try await book.terms(mint).keysetForNewCoins(unit: unit, at: clock.now()).info.inputFeePPK
    }

    /// What a mint says of coins, one state a `Y`, in order (NUT-07).
    /// - Throws: `mintUnreachable`, `mintRefused`.
    public func coinStates(_ ys: [[UInt8]], at mint: MintURL) async throws -> [ProofState] {
        do {
            return try await book.client(mint).checkState(ys)
        } catch {
            throw WalletError(error, mint: mint)
        }
    }

    /// The coins of a token, with full keyset ids and their DLEQ proofs checked where they are there.
    /// - Throws: `invalidToken`, `mintUnknown`.
    public func coins(of token: String) async throws -> [Proof] {
        let read: Token
        do {
            read = try Token(token)
        } catch {
            throw WalletError(.invalidToken, "this is not a token: \(error)", cause: error)
        }
        return try await verified(read, at: read.mint)
    }

    /// What became of a token that was to be sent for a reference.
    public enum SentFor: Sendable {
        case sent(SentToken)
        /// It is being made, and nobody knows yet whether the mint has done it.
        case unknown
        /// There is none.
        case none
    }

    /// Makes none.
    public func token(sentFor reference: String) async throws -> SentFor {
        try await database.read { connection in
            if let token = try TokenStore.find(reference: reference, in: connection) { return .sent(token) }
            return try Operation.live(reference: reference, in: connection) == nil ? .none : .unknown
        }
    }

    /// What came into this wallet when it received these coins; 0 where it did not, or not yet.
    /// - Throws: `invalidToken`.
    public func received(of token: String) async throws -> UInt64 {
        guard let read = try? Token(token) else { throw WalletError(.invalidToken, "this is not a token") }
        let id = InboxStore.id(of: read)
        return try await database.read { connection in
            guard let entry = try InboxStore.find(id, in: connection), entry.state == .claimed else { return 0 }
            return entry.received
        }
    }
}
