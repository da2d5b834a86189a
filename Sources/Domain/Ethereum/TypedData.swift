internal import Cryptography

/// A structure to sign by EIP-712. Every value knows its type, so that the type's text, which is signed too, always is that
/// of the values.
public struct TypedStruct: Hashable, Sendable {
    /// A member's value, of the types that are used here.
    public indirect enum Value: Hashable, Sendable {
        case uint256(UInt256)
        case address(Address)
        case bool(Bool)
        /// Exactly 32 bytes; a mistake in the calling code otherwise.
        case bytes32([UInt8])
        case bytes([UInt8])
        case string(String)
        case structure(TypedStruct)

        fileprivate var typeName: String {
            switch self {
            case .uint256: "uint256"
            case .address: "address"
            case .bool: "bool"
            case .bytes32: "bytes32"
            case .bytes: "bytes"
            case .string: "string"
            case .structure(let structure): structure.name
            }
        }

        /// The 32 bytes that stand for the value (EIP-712, `encodeData`).
        fileprivate var word: [UInt8] {
            switch self {
            case .uint256(let number): return number.word
            case .address(let address): return address.word
            case .bool(let flag): return UInt256(flag ? 1 : 0).word
            case .bytes32(let bytes):
                precondition(bytes.count == 32, "bytes32 has 32 bytes")
                return bytes
            case .bytes(let bytes): return Keccak256.hash(bytes)
            case .string(let text): return Keccak256.hash(Array(text.utf8))
            case .structure(let structure): return structure.hash
            }
        }
    }

    public struct Member: Hashable, Sendable {
        public var name: String
        public var value: Value

        public init(_ name: String, _ value: Value) {
            self.name = name
            self.value = value
        }
    }

    public var name: String
    public var members: [Member]

    public init(_ name: String, _ members: [Member]) {
        self.name = name
        self.members = members
    }

    /// The type as text: its own, then those of the structures inside it in the order of their names (`encodeType`).
    public var encodedType: String {
        var inner: [String: String] = [:]
        collectTypes(into: &inner)
        let own = inner.removeValue(forKey: name) ?? ""
        return own + inner.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map(\.value).joined()
    }

    /// Keccak-256 of the type's text.
    public var typeHash: [UInt8] { Keccak256.hash(Array(encodedType.utf8)) }

    /// Keccak-256 of the type's hash and the members' words (`hashStruct`).
    public var hash: [UInt8] {
        Keccak256.hash(members.reduce(into: typeHash) { $0 += $1.value.word })
    }

    private func collectTypes(into types: inout [String: String]) {
        let list = members.map { "\($0.value.typeName) \($0.name)" }.joined(separator: ",")
        types[name] = "\(name)(\(list))"
        for case .structure(let structure) in members.map(\.value) {
            structure.collectTypes(into: &types)
        }
    }
}

/// Whom a typed signature is for (EIP-712, `EIP712Domain`): the application, its version, the chain and the contract.
/// Members that are nil do not stand in the type.
public struct TypedDataDomain: Hashable, Sendable {
    public var name: String?
    public var version: String?
    public var chainID: UInt256?
    public var verifyingContract: Address?

    public init(
        name: String? = nil,
        version: String? = nil,
        chainID: UInt256? = nil,
        verifyingContract: Address? = nil
    ) {
        self.name = name
        self.version = version
        self.chainID = chainID
        self.verifyingContract = verifyingContract
    }

    /// The domain separator: 32 bytes.
    public var separator: [UInt8] {
        var members: [TypedStruct.Member] = []
        if let name { members.append(.init("name", .string(name))) }
        if let version { members.append(.init("version", .string(version))) }
        if let chainID { members.append(.init("chainId", .uint256(chainID))) }
        if let verifyingContract { members.append(.init("verifyingContract", .address(verifyingContract))) }
        return TypedStruct("EIP712Domain", members).hash
    }

    /// What is signed for a structure in this domain: Keccak-256 over `19 01`, the separator and the structure's hash.
    public func digest(of structure: TypedStruct) -> [UInt8] {
        Keccak256.hash([0x19, 0x01] + separator + structure.hash)
    }
}
