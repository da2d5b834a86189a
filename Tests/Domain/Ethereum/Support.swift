import CanonicalJSON
import Ethereum
import TestSupport

/// A file of vectors under `fixtures/ethereum/`.
func vectors(_ name: String) throws -> JSONValue {
    try JSONValue.parse(Fixtures.bytes("ethereum/\(name).json"))
}

extension JSONValue {
    func hex(_ key: String) throws -> [UInt8] { try EthereumHex.bytes(string(key)) }
    func number(_ key: String) throws -> UInt256 { try UInt256(decimal: string(key)) }
    func address(_ key: String) throws -> Address { try Address(string(key)) }
}

/// The code of the `EthereumError` that `body` throws, or nil where it returns.
func code(of body: () throws -> Void) -> EthereumError.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? EthereumError)?.code
    }
}
