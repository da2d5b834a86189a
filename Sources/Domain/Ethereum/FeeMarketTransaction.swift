internal import Cryptography

/// A transaction with a fee limit and a tip (EIP-1559, type 2), as it is signed. Its access list is always empty here.
public struct FeeMarketTransaction: Hashable, Sendable {
    public var chainID: UInt256
    public var nonce: UInt64
    /// The tip a gas, in wei; never above `maximumFeePerGas`.
    public var maximumPriorityFeePerGas: UInt256
    /// The most that is paid a gas, in wei, tip included.
    public var maximumFeePerGas: UInt256
    public var gasLimit: UInt64
    public var to: Address
    /// In wei.
    public var value: UInt256
    public var data: [UInt8]

    public init(
        chainID: UInt256,
        nonce: UInt64,
        maximumPriorityFeePerGas: UInt256,
        maximumFeePerGas: UInt256,
        gasLimit: UInt64,
        to: Address,
        value: UInt256 = .zero,
        data: [UInt8]
    ) {
        self.chainID = chainID
        self.nonce = nonce
        self.maximumPriorityFeePerGas = maximumPriorityFeePerGas
        self.maximumFeePerGas = maximumFeePerGas
        self.gasLimit = gasLimit
        self.to = to
        self.value = value
        self.data = data
    }

    /// What is signed: Keccak-256 over the type and the list without a signature.
    public var digest: [UInt8] {
        Keccak256.hash([0x02] + RLP.encode(.list(items)))
    }

    public func signed(by key: EthereumKey) -> SignedTransaction {
        let signature = key.sign(digest: digest)
        return SignedTransaction(transaction: self, signature: signature, sender: key.address)
    }

    fileprivate var items: [RLP.Item] {
        [
            .number(chainID), .number(UInt256(nonce)), .number(maximumPriorityFeePerGas), .number(maximumFeePerGas),
            .number(UInt256(gasLimit)), .bytes(to.bytes), .number(value), .bytes(data), .list([]),
        ]
    }
}

/// A signed EIP-1559 transaction: what a node takes, and what lies on disk before it is sent.
public struct SignedTransaction: Hashable, Sendable {
    public let transaction: FeeMarketTransaction
    public let signature: EthereumSignature
    /// Who pays the gas.
    public let sender: Address
    /// The bytes for `eth_sendRawTransaction`.
    public let raw: [UInt8]
    /// Keccak-256 of `raw`, 32 bytes: the transaction's name on the chain.
    public let hash: [UInt8]

    init(transaction: FeeMarketTransaction, signature: EthereumSignature, sender: Address) {
        self.transaction = transaction
        self.signature = signature
        self.sender = sender
        let items =
            transaction.items + [
                .number(UInt256(UInt64(signature.v - 27))), .bytes(Self.trimmed(signature.r)),
                .bytes(Self.trimmed(signature.s)),
            ]
        raw = [0x02] + RLP.encode(.list(items))
        hash = Keccak256.hash(raw)
    }

    /// Reads the raw form strictly, and recovers the sender.
    /// - Throws: `invalidTransaction`, `invalidRLP`, `invalidSignature`.
    public init(raw: [UInt8]) throws(EthereumError) {
        guard raw.first == 0x02 else {
            throw EthereumError(.invalidTransaction, "only transactions of type 2 (EIP-1559) are read")
        }
        let items = try RLP.decode(Array(raw.dropFirst())).requireList()
        guard items.count == 12, items[8] == .list([]) else {
            throw EthereumError(.invalidTransaction, "the transaction must have 12 fields and no access list")
        }
        let transaction = try FeeMarketTransaction(
            chainID: items[0].requireNumber(),
            nonce: Self.small(items[1], "nonce"),
            maximumPriorityFeePerGas: items[2].requireNumber(),
            maximumFeePerGas: items[3].requireNumber(),
            gasLimit: Self.small(items[4], "gas limit"),
            to: Address(bytes: items[5].requireBytes()),
            value: items[6].requireNumber(),
            data: items[7].requireBytes()
        )
        guard transaction.maximumPriorityFeePerGas <= transaction.maximumFeePerGas else {
            throw EthereumError(.invalidTransaction, "the tip is above the most that is paid")
        }
        let parity = try Self.small(items[9], "parity")
        guard parity <= 1 else { throw EthereumError(.invalidTransaction, "the signature's parity is 0 or 1") }
        let signature = try EthereumSignature(
            r: items[10].requireNumber().word,
            s: items[11].requireNumber().word,
            v: 27 + UInt8(parity)
        )
        let sender = try signature.signer(digest: transaction.digest)
        self.init(transaction: transaction, signature: signature, sender: sender)
    }

    private static func small(_ item: RLP.Item, _ name: String) throws(EthereumError) -> UInt64 {
        guard let value = try item.requireNumber().uint64Value else {
            throw EthereumError(.invalidTransaction, "the \(name) is beyond 64 bits")
        }
        return value
    }

    /// r and s travel as numbers, without leading zeros.
    private static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
        Array(bytes.drop { $0 == 0 })
    }
}
