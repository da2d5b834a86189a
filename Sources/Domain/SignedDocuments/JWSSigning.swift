internal import CanonicalJSON
internal import Cryptography
internal import Encodings

extension DocumentSigner {
    /// A compact JWS (RFC 7515) over these bytes with `EdDSA`; `kid` is the DID URL of the key, so that whoever resolves
    /// `did:key` can check it.
    /// - Throws: `CryptographyError` where the key can't sign.
    public func compactJWS(_ payload: [UInt8]) throws -> String {
        let header: JSONObject = ["alg": "EdDSA", "kid": .string(verificationMethod)]
        let input = Base64URL.encode(header.serialized()) + "." + Base64URL.encode(payload)
        return input + "." + Base64URL.encode(try key.sign(.token(Array(input.utf8))))
    }
}
