import CanonicalJSON
import Encodings
import TestSupport

/// The cases of a published vector file under `fixtures/`.
func vectors(_ path: String, _ list: String) throws -> [JSONValue] {
    try JSONValue.parse(try Fixtures.bytes(path), limits: JSONLimits(acceptsUInt64: true)).array(list)
}

extension JSONValue {
    /// The bytes a vector writes in hexadecimal.
    func hex(_ key: String) throws -> [UInt8] { try Hex.decode(try string(key)) }
}

/// The code of the `EncodingError` that `body` throws, or nil where it returns.
func code(of body: () throws -> Void) -> EncodingError.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? EncodingError)?.code
    }
}
