internal import Cryptography

/// What a repeated request is known by (NUT-19): a hash of its method, its path and its whole body.
///
/// Only the digest is kept, never an answer: what was signed stands in the tables anyway, and the answer is written anew
/// from it, byte for byte. So a cache that somebody could poison does not exist.
package struct RequestDigest: Sendable, Hashable {
    /// The routes whose answers can be had again, by their paths under the mint's address.
    package enum Route: String, Sendable, CaseIterable {
        case swap = "/v1/swap"
        case mint = "/v1/mint/bolt11"
        case batch = "/v1/mint/bolt11/batch"
        case melt = "/v1/melt/bolt11"
    }

    static let byteCount = 16

    /// The first 16 bytes of SHA-256 over `POST`, the path and the body: another body with the same ones cannot be found,
    /// and it would get only what NUT-09 gives to everyone who has the outputs.
    package let bytes: [UInt8]

    package init(_ route: Route, body: [UInt8]) {
        var hash = SHA256Stream()
        hash.update(Array("POST \(route.rawValue)\n".utf8))
        hash.update(body)
        bytes = Array(hash.finalize().prefix(Self.byteCount))
    }
}
