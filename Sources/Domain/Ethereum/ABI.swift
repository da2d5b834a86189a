internal import Cryptography

/// Call data and answers of contracts (Solidity's contract ABI): the static types, and `bytes` and `string`.
public enum ABI {
    /// An argument of a call; each knows its type's name, so that the selector follows from the arguments.
    public enum Value: Hashable, Sendable {
        case uint256(UInt256)
        case uint8(UInt8)
        case address(Address)
        case bool(Bool)
        /// Exactly 32 bytes; a mistake in the calling code otherwise.
        case bytes32([UInt8])
        case bytes([UInt8])
        case string(String)

        var typeName: String {
            switch self {
            case .uint256: "uint256"
            case .uint8: "uint8"
            case .address: "address"
            case .bool: "bool"
            case .bytes32: "bytes32"
            case .bytes: "bytes"
            case .string: "string"
            }
        }
    }

    /// The first four bytes of Keccak-256 over a function's signature, such as `balanceOf(address)`.
    public static func selector(_ signature: String) -> [UInt8] {
        Array(Keccak256.hash(Array(signature.utf8)).prefix(4))
    }

    /// The call data of `function` with these arguments: selector, heads, tails.
    public static func call(_ function: String, _ arguments: [Value]) -> [UInt8] {
        let types = arguments.map(\.typeName).joined(separator: ",")
        return selector("\(function)(\(types))") + encode(arguments)
    }

    /// The arguments alone.
    public static func encode(_ values: [Value]) -> [UInt8] {
        var heads: [UInt8] = []
        var tails: [UInt8] = []
        for value in values {
            switch value {
            case .uint256(let number): heads += number.word
            case .uint8(let number): heads += UInt256(UInt64(number)).word
            case .address(let address): heads += address.word
            case .bool(let flag): heads += UInt256(flag ? 1 : 0).word
            case .bytes32(let bytes):
                precondition(bytes.count == 32, "bytes32 has 32 bytes")
                heads += bytes
            case .bytes(let bytes):
                heads += UInt256(UInt64(32 * values.count + tails.count)).word
                tails += tail(bytes)
            case .string(let text):
                heads += UInt256(UInt64(32 * values.count + tails.count)).word
                tails += tail(Array(text.utf8))
            }
        }
        return heads + tails
    }

    /// The length, and the bytes padded to whole words.
    static func tail(_ bytes: [UInt8]) -> [UInt8] {
        UInt256(UInt64(bytes.count)).word + bytes + [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32)
    }

    /// Reads an answer or call data that is exactly this many words.
    /// - Throws: `invalidABI`.
    public static func words(_ data: some Collection<UInt8>, count: Int) throws(EthereumError) -> [[UInt8]] {
        guard data.count == 32 * count else {
            throw EthereumError(
                .invalidABI,
                "the contract's answer must have \(32 * count) bytes, it has \(data.count)"
            )
        }
        let bytes = Array(data)
        return (0..<count).map { Array(bytes[32 * $0..<32 * $0 + 32]) }
    }

    /// Reads an answer that is one `uint256`.
    /// - Throws: `invalidABI`.
    public static func uint256(_ data: [UInt8]) throws(EthereumError) -> UInt256 {
        try UInt256(bigEndian: words(data, count: 1)[0])
    }

    /// Reads an answer that is one `bool`: 0 or 1 and nothing else.
    /// - Throws: `invalidABI`.
    public static func bool(_ data: [UInt8]) throws(EthereumError) -> Bool {
        switch try uint256(data).uint64Value {
        case 0: return false
        case 1: return true
        default: throw EthereumError(.invalidABI, "the contract's answer is no boolean")
        }
    }

    /// Reads a word that holds an address: its upper 12 bytes are zero.
    /// - Throws: `invalidABI`.
    public static func address(word: [UInt8]) throws(EthereumError) -> Address {
        guard word.count == 32, word.prefix(12).allSatisfy({ $0 == 0 }) else {
            throw EthereumError(.invalidABI, "the word holds no address")
        }
        return try Address(bytes: Array(word.suffix(20)))
    }

    /// Reads an answer that is one `string`, as `name()` and `version()` give it.
    /// - Parameter maximumBytes: the longest text that is read.
    /// - Throws: `invalidABI`.
    public static func string(_ data: [UInt8], maximumBytes: Int = 256) throws(EthereumError) -> String {
        let bytes = try bytes(data, maximumBytes: maximumBytes)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw EthereumError(.invalidABI, "the contract's answer is no string of UTF-8")
        }
        return text
    }

    /// Reads an answer that is one `bytes`.
    /// - Parameter maximumBytes: the most that are read.
    /// - Throws: `invalidABI`.
    public static func bytes(_ data: [UInt8], maximumBytes: Int) throws(EthereumError) -> [UInt8] {
        let refusal = EthereumError(
            .invalidABI,
            "the contract's answer is not one text of at most \(maximumBytes) bytes"
        )
        guard data.count >= 64, try UInt256(bigEndian: data[0..<32]) == UInt256(32),
            let count = try UInt256(bigEndian: data[32..<64]).uint64Value, count <= UInt64(maximumBytes)
        else { throw refusal }
        let padded = 64 + (Int(count) + 31) / 32 * 32
        guard data.count == padded, data[(64 + Int(count))...].allSatisfy({ $0 == 0 }) else { throw refusal }
        return Array(data[64..<64 + Int(count)])
    }
}
