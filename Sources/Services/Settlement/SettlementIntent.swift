internal import Encodings
internal import Ethereum

/// A payment that is to be carried out, as it lies on disk before anything is sent.
struct SettlementIntent: Sendable, Equatable {
    enum State: Sendable, Equatable {
        /// Its outcome is not known.
        case open
        /// Carried out in this transaction, ours or another's.
        case settled(hash: [UInt8])
        /// It was not carried out, and will not be by us. The code is one of x402's.
        case failed(reason: String, hash: [UInt8]?)
    }

    /// The payment's one name.
    var id: String
    /// SHA-256 of the request that asked for it: only the same request gets its outcome.
    var request: [UInt8]
    var chainID: UInt256
    /// As the wire named it.
    var network: String
    var contract: Address
    var payer: Address
    /// The authorisation's nonce, 32 bytes.
    var authorization: [UInt8]
    var amount: UInt256
    /// The call that carries it out.
    var call: [UInt8]
    /// The latest block when the authorisation was last seen unused.
    var since: UInt64
    /// Of our account's transaction; given when it is recorded.
    var nonce: UInt64
    var state: State
    var at: Timestamp
}

/// A signed transaction that lies on disk.
struct StoredTransaction: Sendable, Equatable {
    var signed: SignedTransaction
    var at: Timestamp
}
