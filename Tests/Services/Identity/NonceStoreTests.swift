import Cryptography
import Encodings
import SignedDocuments
import Testing

@testable import Identity

@Suite("Nonces")
struct NonceStoreTests {
    private let now = Timestamp(secondsSince1970: 1_795_219_200)
    private let key = DIDKey(Ed25519.PrivateKey().publicKey)

    @Test("[SIG-4] [SIG-8] kept until their end, bounded, and turned away when full")
    func bounded() {
        let store = NonceStore(limit: 10)
        let end = now.adding(seconds: 60)
        for round in 0..<10 { #expect(store.use("nonce \(round)", of: key, expires: end, now: now) == .fresh) }
        #expect(store.use("nonce 10", of: key, expires: end, now: now) == .full)
        #expect(store.use("nonce 3", of: key, expires: end, now: end) == .replayed)
        #expect(store.use("nonce 10", of: key, expires: end.adding(seconds: 60), now: end.adding(seconds: 1)) == .fresh)
        #expect(store.use("nonce 3", of: key, expires: end.adding(seconds: 60), now: end.adding(seconds: 1)) == .fresh)
    }

    @Test("[SIG-4] the same nonce under another end is a replay; under another key it is not")
    func keys() {
        let store = NonceStore()
        let other = DIDKey(Ed25519.PrivateKey().publicKey)
        #expect(store.use("n", of: key, expires: now.adding(seconds: 60), now: now) == .fresh)
        #expect(store.use("n", of: key, expires: now.adding(seconds: 30), now: now) == .replayed)
        #expect(store.use("n", of: other, expires: now.adding(seconds: 60), now: now) == .fresh)
    }
}
