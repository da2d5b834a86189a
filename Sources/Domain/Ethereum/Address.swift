public import Cryptography
internal import Encodings

/// The address of an account or contract: 20 bytes, written with the checksum of EIP-55.
public struct Address: Hashable, Sendable, CustomStringConvertible {
    /// 20 bytes.
    public let bytes: [UInt8]

    /// No account's address; a contract is created, or a token burnt, by naming it.
    public static let zero = Address(trusted: [UInt8](repeating: 0, count: 20))

    private init(trusted bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// - Throws: `invalidAddress` where there are not 20 bytes.
    public init(bytes: [UInt8]) throws(EthereumError) {
        guard bytes.count == 20 else {
            throw EthereumError(.invalidAddress, "an address has 20 bytes, this has \(bytes.count)")
        }
        self.bytes = bytes
    }

    /// The address of the account whose key this is: the last 20 bytes of Keccak-256 over x‖y.
    public init(publicKey: Secp256k1.Point) {
        bytes = Array(Keccak256.hash(Array(publicKey.uncompressed.dropFirst())).suffix(20))
    }

    /// Reads `0x` and 40 hex digits. All lower or all upper case carries no checksum; mixed case must be the checksum of
    /// EIP-55, so that a mistyped address is found.
    /// - Throws: `invalidAddress`.
    public init(_ text: String) throws(EthereumError) {
        guard let bytes = try? EthereumHex.bytes(text, count: 20) else {
            throw EthereumError(.invalidAddress, "an address is 0x and 40 hex digits")
        }
        self.bytes = bytes
        let digits = text.dropFirst(2)
        let isPlain = digits == digits.lowercased() || digits == digits.uppercased()
        guard isPlain || description == text else {
            throw EthereumError(
                .invalidAddress,
                "the address's capitals are not its checksum (EIP-55): a character may be mistyped"
            )
        }
    }

    /// `0x` and 40 hex digits in the mixed case of EIP-55: a digit is a capital where the same nibble of the Keccak-256 of
    /// the lower-case digits is 8 or more.
    public var description: String {
        let digits = Array(Hex.encode(bytes).utf8)
        let digest = Keccak256.hash(digits)
        var text = Array("0x".utf8)
        for (index, digit) in digits.enumerated() {
            let nibble = index.isMultiple(of: 2) ? digest[index / 2] >> 4 : digest[index / 2] & 15
            text.append(digit >= 0x61 && nibble >= 8 ? digit - 0x20 : digit)
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Left-padded to 32 bytes: a word of the ABI.
    public var word: [UInt8] {
        [UInt8](repeating: 0, count: 12) + bytes
    }
}
