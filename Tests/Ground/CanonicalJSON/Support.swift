import CanonicalJSON
import Encodings
import TestSupport

/// The cases of a published vector file under `fixtures/`.
func vectors(_ path: String, _ list: String) throws -> [JSONValue] {
    try JSONValue.parse(try Fixtures.bytes(path)).array(list)
}

extension JSONValue {
    /// The bytes a vector writes in hexadecimal.
    func hex(_ key: String) throws -> [UInt8] { try Hex.decode(try string(key)) }
}

/// The code of the `JSONError` that `body` throws, or nil where it returns.
func code(of body: () throws -> Void) -> JSONError.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? JSONError)?.code
    }
}

/// The code with which the parser refuses `text`, or nil where it accepts it.
func refusal(_ text: String, limits: JSONLimits = JSONLimits()) -> JSONError.Code? {
    code { _ = try JSONValue.parse(text, limits: limits) }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
