internal import Cryptography

/// A token that moves by signed authorisation (EIP-3009), such as USDC: its contract, its chain, and the name and version
/// that stand in its EIP-712 domain.
public struct AuthorizedToken: Hashable, Sendable {
    public var contract: Address
    public var chainID: UInt256
    public var name: String
    public var version: String

    public init(contract: Address, chainID: UInt256, name: String, version: String) {
        self.contract = contract
        self.chainID = chainID
        self.name = name
        self.version = version
    }

    public var domain: TypedDataDomain {
        TypedDataDomain(name: name, version: version, chainID: chainID, verifyingContract: contract)
    }
}

/// The holder's word that `value` of a token may move from `from` to `to`, once, in a window of time (EIP-3009). Whoever
/// has the signature may carry it out; nobody can change it.
public struct TransferAuthorization: Hashable, Sendable {
    public var from: Address
    public var to: Address
    /// In the token's smallest unit.
    public var value: UInt256
    /// Seconds since 1970; valid when the block's time is later than this.
    public var validAfter: UInt256
    /// Seconds since 1970; valid while the block's time is earlier than this.
    public var validBefore: UInt256
    /// 32 bytes, chosen at random by the holder and used once with this contract.
    public let nonce: [UInt8]

    /// - Throws: `invalidHex` where the nonce does not have 32 bytes.
    public init(
        from: Address,
        to: Address,
        value: UInt256,
        validAfter: UInt256,
        validBefore: UInt256,
        nonce: [UInt8]
    ) throws(EthereumError) {
        guard nonce.count == 32 else {
            throw EthereumError(.invalidHex, "an authorisation's nonce has 32 bytes, this has \(nonce.count)")
        }
        self.from = from
        self.to = to
        self.value = value
        self.validAfter = validAfter
        self.validBefore = validBefore
        self.nonce = nonce
    }

    /// What the holder signs: 32 bytes.
    public func digest(for token: AuthorizedToken) -> [UInt8] {
        token.domain.digest(
            of: TypedStruct(
                "TransferWithAuthorization",
                [
                    .init("from", .address(from)), .init("to", .address(to)), .init("value", .uint256(value)),
                    .init("validAfter", .uint256(validAfter)), .init("validBefore", .uint256(validBefore)),
                    .init("nonce", .bytes32(nonce)),
                ]
            )
        )
    }

    public func sign(for token: AuthorizedToken, key: EthereumKey) -> EthereumSignature {
        key.sign(digest: digest(for: token))
    }

    /// Whether the signature is that of `from`'s own key. A contract's account answers for itself (EIP-1271): there this
    /// is false though the signature may hold.
    public func isSigned(_ signature: EthereumSignature, for token: AuthorizedToken) -> Bool {
        (try? signature.signer(digest: digest(for: token))) == from
    }

    /// Whether the contract would take it at this second.
    public func isInTime(secondsSince1970 now: UInt64) -> Bool {
        validAfter < UInt256(now) && UInt256(now) < validBefore
    }

    /// `transferWithAuthorization` with v, r, s: the form that every EIP-3009 token has.
    public func callData(signature: EthereumSignature) -> [UInt8] {
        ABI.call(
            "transferWithAuthorization",
            arguments + [.uint8(signature.v), .bytes32(signature.r), .bytes32(signature.s)]
        )
    }

    /// `transferWithAuthorization` with the signature as bytes: for accounts that are contracts.
    public func callData(signatureBytes: [UInt8]) -> [UInt8] {
        ABI.call("transferWithAuthorization", arguments + [.bytes(signatureBytes)])
    }

    private var arguments: [ABI.Value] {
        [
            .address(from), .address(to), .uint256(value), .uint256(validAfter), .uint256(validBefore), .bytes32(nonce),
        ]
    }

    /// Reads the call data of the form with v, r, s, as ``callData(signature:)`` writes it.
    /// - Throws: `invalidABI` for anything else.
    public static func parse(
        callData: [UInt8]
    ) throws(EthereumError) -> (authorization: TransferAuthorization, signature: EthereumSignature) {
        let selector = ABI.selector(
            "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
        )
        guard callData.starts(with: selector) else {
            throw EthereumError(.invalidABI, "the call is no transferWithAuthorization with v, r and s")
        }
        let words = try ABI.words(callData.dropFirst(4), count: 9)
        guard let v = try UInt256(bigEndian: words[6]).uint64Value.flatMap(UInt8.init(exactly:)) else {
            throw EthereumError(.invalidABI, "the call's v is no byte")
        }
        return (
            try TransferAuthorization(
                from: ABI.address(word: words[0]),
                to: ABI.address(word: words[1]),
                value: UInt256(bigEndian: words[2]),
                validAfter: UInt256(bigEndian: words[3]),
                validBefore: UInt256(bigEndian: words[4]),
                nonce: words[5]
            ),
            try EthereumSignature(r: words[7], s: words[8], v: v)
        )
    }
}

/// The holder's word that an authorisation that was not used yet never will be (EIP-3009, `cancelAuthorization`).
public struct CancelAuthorization: Hashable, Sendable {
    public var authorizer: Address
    /// The 32 bytes of the authorisation that is cancelled.
    public let nonce: [UInt8]

    /// - Throws: `invalidHex` where the nonce does not have 32 bytes.
    public init(authorizer: Address, nonce: [UInt8]) throws(EthereumError) {
        guard nonce.count == 32 else {
            throw EthereumError(.invalidHex, "an authorisation's nonce has 32 bytes, this has \(nonce.count)")
        }
        self.authorizer = authorizer
        self.nonce = nonce
    }

    /// What the holder signs: 32 bytes.
    public func digest(for token: AuthorizedToken) -> [UInt8] {
        token.domain.digest(
            of: TypedStruct(
                "CancelAuthorization",
                [.init("authorizer", .address(authorizer)), .init("nonce", .bytes32(nonce))]
            )
        )
    }

    public func callData(signature: EthereumSignature) -> [UInt8] {
        ABI.call(
            "cancelAuthorization",
            [
                .address(authorizer), .bytes32(nonce), .uint8(signature.v), .bytes32(signature.r),
                .bytes32(signature.s),
            ]
        )
    }
}

/// The questions that are asked of a token's contract.
public enum TokenCalls {
    /// `balanceOf(address)`: answers a `uint256`.
    public static func balance(of holder: Address) -> [UInt8] {
        ABI.call("balanceOf", [.address(holder)])
    }

    /// `authorizationState(address,bytes32)`: answers whether the authorisation was used or cancelled.
    /// - Parameter nonce: 32 bytes.
    public static func authorizationState(authorizer: Address, nonce: [UInt8]) -> [UInt8] {
        ABI.call("authorizationState", [.address(authorizer), .bytes32(nonce)])
    }

    /// `name()`: answers a `string`.
    public static var name: [UInt8] { ABI.call("name", []) }

    /// `version()`: answers a `string`.
    public static var version: [UInt8] { ABI.call("version", []) }

    /// The topic of `AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)`, the event that a token's
    /// contract leaves in the receipt of the transaction that used an authorisation.
    public static var authorizationUsedTopic: [UInt8] {
        Keccak256.hash(Array("AuthorizationUsed(address,bytes32)".utf8))
    }

    /// The topic of `AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce)`, which the holder's cancelling
    /// leaves.
    public static var authorizationCanceledTopic: [UInt8] {
        Keccak256.hash(Array("AuthorizationCanceled(address,bytes32)".utf8))
    }
}
