internal import Cryptography

/// Calls and events of an ERC-8004 identity registry, as far as an anchor needs them.
public enum IdentityRegistryCalls {
    /// `register(string,(string,bytes)[])` with one entry of metadata: makes a token for the caller and answers its number.
    public static func register(uri: String, key: String, value: [UInt8]) -> [UInt8] {
        let text = ABI.tail(Array(uri.utf8))
        // Two heads, the text, and a list of one tuple, whose own heads count from behind the list's length.
        return ABI.selector("register(string,(string,bytes)[])") + UInt256(64).word
            + UInt256(UInt64(64 + text.count)).word + text + UInt256(1).word + UInt256(32).word
            + ABI.encode([.string(key), .bytes(value)])
    }

    /// `setMetadata(uint256,string,bytes)`.
    public static func setMetadata(of token: UInt256, key: String, value: [UInt8]) -> [UInt8] {
        ABI.call("setMetadata", [.uint256(token), .string(key), .bytes(value)])
    }

    /// `getMetadata(uint256,string)`: answers `bytes`.
    public static func metadata(of token: UInt256, key: String) -> [UInt8] {
        ABI.call("getMetadata", [.uint256(token), .string(key)])
    }

    /// `ownerOf(uint256)`: answers an `address`; a call for a token that is not there is undone.
    public static func owner(of token: UInt256) -> [UInt8] { ABI.call("ownerOf", [.uint256(token)]) }

    /// The topic of `Registered(uint256 indexed agentId, string agentURI, address indexed owner)`.
    public static var registeredTopic: [UInt8] { topic("Registered(uint256,string,address)") }

    /// The topic of `MetadataSet(uint256 indexed agentId, string indexed indexedMetadataKey, string metadataKey, bytes
    /// metadataValue)`.
    public static var metadataSetTopic: [UInt8] { topic("MetadataSet(uint256,string,string,bytes)") }

    /// How an indexed string stands in a topic.
    public static func topic(_ text: String) -> [UInt8] { Keccak256.hash(Array(text.utf8)) }
}
