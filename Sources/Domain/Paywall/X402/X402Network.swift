public import Ethereum

extension X402 {
    /// The names of networks: CAIP-2 in version 2 (`eip155:84532`), plain words in version 1 (`base-sepolia`).
    public enum Network {
        /// Chain ids of version 1's words, as the reference implementation lists them.
        private static let chainIDs: [String: UInt64] = [
            "ethereum": 1, "base": 8453, "base-sepolia": 84_532, "polygon": 137, "polygon-amoy": 80_002,
            "avalanche": 43_114, "avalanche-fuji": 43_113, "monad": 143, "monad-testnet": 10_143, "megaeth": 4326,
            "sei": 1329, "sei-testnet": 1328, "iotex": 4689, "abstract": 2741, "abstract-testnet": 11_124,
            "peaq": 3338, "story": 1514,
        ]

        /// The chain id of a network's name on the wire of `version`; nil where it is no EVM chain.
        public static func chainID(of name: String, version: Version) -> UInt256? {
            switch version {
            case .v1:
                return chainIDs[name].map(UInt256.init)
            case .v2:
                let parts = name.split(separator: ":", omittingEmptySubsequences: false)
                // A CAIP-2 reference has at most 32 characters.
                guard parts.count == 2, parts[0] == "eip155", parts[1].utf8.count <= 32,
                    let id = try? UInt256(decimal: String(parts[1])), id != .zero
                else { return nil }
                return id
            }
        }

        /// The name of an EVM chain on the wire of `version`; nil where version 1 has no word for it.
        public static func name(chainID: UInt256, version: Version) -> String? {
            switch version {
            case .v1: chainIDs.first { UInt256($0.value) == chainID }?.key
            case .v2: "eip155:\(chainID)"
            }
        }

        /// Whether a text is a chain id of CAIP-2: namespace of 3 to 8, reference of 1 to 32 characters.
        public static func isCAIP2(_ name: String) -> Bool {
            // By hand: a regular expression costs more than all else that is read of a payment.
            let parts = name.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            guard parts.count == 2, (3...8).contains(parts[0].count), (1...32).contains(parts[1].count) else {
                return false
            }
            func isPlain(_ byte: UInt8) -> Bool {
                (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
            }
            return parts[0].allSatisfy(isPlain)
                && parts[1].allSatisfy { isPlain($0) || (0x41...0x5A).contains($0) || $0 == 0x5F }
        }
    }
}
