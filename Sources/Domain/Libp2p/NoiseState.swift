internal import Crypto
internal import Cryptography
internal import Encodings

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// One direction of a Noise channel: ChaCha20-Poly1305 under a counter (Noise 5.1, 12.3).
struct NoiseCipher: Sendable {
    /// Bytes that a ciphertext is longer than its plaintext.
    static let tagBytes = 16

    private let key: SymmetricKey
    private var counter: UInt64 = 0

    init(key: [UInt8]) {
        self.key = SymmetricKey(data: key)
    }

    /// Appends the ciphertext and its tag to `output`.
    mutating func seal(
        _ plaintext: ArraySlice<UInt8>,
        authenticating context: [UInt8] = [],
        to output: inout [UInt8]
    ) throws(Libp2pError) {
        let nonce = try nextNonce()
        do {
            let box = try ChaChaPoly.seal(
                plaintext,
                using: key,
                nonce: ChaChaPoly.Nonce(data: nonce),
                authenticating: context
            )
            output.append(contentsOf: box.combined.dropFirst(nonce.count))
        } catch {
            throw Libp2pError(.failed, "a Noise message cannot be sealed")
        }
    }

    /// The plaintext of a ciphertext with its tag.
    mutating func open(
        _ sealed: ArraySlice<UInt8>,
        authenticating context: [UInt8] = []
    ) throws(Libp2pError) -> [UInt8] {
        guard sealed.count >= Self.tagBytes else {
            throw Libp2pError(.authenticationFailed, "a Noise message is shorter than its tag")
        }
        // In one piece, as it is kept: of its parts it would be put together piece by piece.
        var combined = try nextNonce()
        combined.reserveCapacity(combined.count + sealed.count)
        combined.append(contentsOf: sealed)
        do {
            let box = try ChaChaPoly.SealedBox(combined: combined)
            return [UInt8](try ChaChaPoly.open(box, using: key, authenticating: context))
        } catch {
            throw Libp2pError(.authenticationFailed, "a Noise message does not open: it was changed on its way")
        }
    }

    /// Twelve bytes.
    private mutating func nextNonce() throws(Libp2pError) -> [UInt8] {
        // The last value is reserved (Noise 5.1).
        guard counter < .max else { throw Libp2pError(.limitExceeded, "the Noise channel is used up") }
        var bytes = [UInt8](repeating: 0, count: 12)
        for index in 0..<8 { bytes[4 + index] = UInt8(truncatingIfNeeded: counter >> UInt64(8 * index)) }
        counter += 1
        return bytes
    }
}

/// The running hash and keys of a handshake (Noise 5.2), for `Noise_XX_25519_ChaChaPoly_SHA256`.
struct NoiseSymmetricState: Sendable {
    private(set) var hash: [UInt8]
    private var chainingKey: [UInt8]
    private var cipher: NoiseCipher?

    init(prologue: [UInt8]) {
        // 32 bytes, as long as the hash, so that it is used as it is.
        hash = [UInt8]("Noise_XX_25519_ChaChaPoly_SHA256".utf8)
        chainingKey = hash
        mixHash(prologue[...])
    }

    mutating func mixHash(_ data: ArraySlice<UInt8>) {
        hash = Hashing.sha256(hash + data)
    }

    mutating func mixKey(_ secret: [UInt8]) {
        let (first, second) = derive(secret)
        chainingKey = first
        cipher = NoiseCipher(key: second)
    }

    mutating func sealAndHash(_ plaintext: [UInt8], to output: inout [UInt8]) throws(Libp2pError) {
        let start = output.count
        if cipher != nil {
            try cipher?.seal(plaintext[...], authenticating: hash, to: &output)
        } else {
            output += plaintext
        }
        mixHash(output[start...])
    }

    mutating func openAndHash(_ sealed: ArraySlice<UInt8>) throws(Libp2pError) -> [UInt8] {
        let plaintext = try cipher?.open(sealed, authenticating: hash) ?? [UInt8](sealed)
        mixHash(sealed)
        return plaintext
    }

    /// Bytes that a sealed value is longer than its plaintext now.
    var overhead: Int { cipher == nil ? 0 : NoiseCipher.tagBytes }

    /// The two ciphers of the channel: the initiator's, then the responder's.
    func split() -> (NoiseCipher, NoiseCipher) {
        let (first, second) = derive([])
        return (NoiseCipher(key: first), NoiseCipher(key: second))
    }

    /// HKDF with two outputs (Noise 4.3).
    private func derive(_ secret: [UInt8]) -> ([UInt8], [UInt8]) {
        let temporary = Hashing.hmacSHA256(key: chainingKey, secret)
        let first = Hashing.hmacSHA256(key: temporary, [1])
        return (first, Hashing.hmacSHA256(key: temporary, first + [2]))
    }
}

/// The handshake XX (Noise 7.5): `e`; `e, ee, s, es`; `s, se`. The payloads are the caller's.
struct NoiseHandshake: Sendable {
    /// Bytes of an X25519 key.
    static let keyBytes = 32

    let isInitiator: Bool
    private let staticKey: Curve25519.KeyAgreement.PrivateKey
    private let ephemeralKey: Curve25519.KeyAgreement.PrivateKey
    private var state: NoiseSymmetricState
    private var remoteEphemeral: [UInt8] = []
    /// The other side's static key, once it was received.
    private(set) var remoteStatic: [UInt8] = []
    /// Messages sent and received so far: 0 to 3.
    private(set) var step = 0

    init(isInitiator: Bool, prologue: [UInt8] = []) {
        self.init(
            isInitiator: isInitiator,
            staticKey: Curve25519.KeyAgreement.PrivateKey(),
            ephemeralKey: Curve25519.KeyAgreement.PrivateKey(),
            prologue: prologue
        )
    }

    /// With given private keys of 32 bytes: for published vectors.
    init(isInitiator: Bool, staticKey: [UInt8], ephemeralKey: [UInt8], prologue: [UInt8]) throws {
        self.init(
            isInitiator: isInitiator,
            staticKey: try .init(rawRepresentation: staticKey),
            ephemeralKey: try .init(rawRepresentation: ephemeralKey),
            prologue: prologue
        )
    }

    private init(
        isInitiator: Bool,
        staticKey: Curve25519.KeyAgreement.PrivateKey,
        ephemeralKey: Curve25519.KeyAgreement.PrivateKey,
        prologue: [UInt8]
    ) {
        self.isInitiator = isInitiator
        self.staticKey = staticKey
        self.ephemeralKey = ephemeralKey
        state = NoiseSymmetricState(prologue: prologue)
    }

    var isComplete: Bool { step == 3 }
    var isOursToSend: Bool { !isComplete && (step % 2 == 0) == isInitiator }
    var publicStaticKey: [UInt8] { [UInt8](staticKey.publicKey.rawRepresentation) }
    /// Binds the channel: the same on both sides, of no other handshake.
    var hash: [UInt8] { state.hash }

    /// The next message; only where ``isOursToSend``.
    mutating func write(_ payload: [UInt8]) throws(Libp2pError) -> [UInt8] {
        var message: [UInt8] = []
        if step < 2 {
            message += ephemeralKey.publicKey.rawRepresentation
            state.mixHash(message[...])
        }
        if step == 1 { state.mixKey(try agree(ephemeralKey, remoteEphemeral)) }
        if step > 0 {
            try state.sealAndHash(publicStaticKey, to: &message)
            state.mixKey(try agree(staticKey, remoteEphemeral))
        }
        try state.sealAndHash(payload, to: &message)
        step += 1
        return message
    }

    /// Takes the other side's next message and gives back its payload; only where not ``isOursToSend``.
    mutating func read(_ message: ArraySlice<UInt8>) throws(Libp2pError) -> [UInt8] {
        var rest = message
        if step < 2 {
            remoteEphemeral = [UInt8](try take(Self.keyBytes, of: &rest))
            state.mixHash(remoteEphemeral[...])
        }
        if step == 1 { state.mixKey(try agree(ephemeralKey, remoteEphemeral)) }
        if step > 0 {
            remoteStatic = try state.openAndHash(try take(Self.keyBytes + state.overhead, of: &rest))
            state.mixKey(try agree(ephemeralKey, remoteStatic))
        }
        let payload = try state.openAndHash(rest)
        step += 1
        return payload
    }

    /// The ciphers of the channel, once the handshake is complete.
    func ciphers() -> (sending: NoiseCipher, receiving: NoiseCipher) {
        let (first, second) = state.split()
        return isInitiator ? (first, second) : (second, first)
    }

    private func take(_ count: Int, of rest: inout ArraySlice<UInt8>) throws(Libp2pError) -> ArraySlice<UInt8> {
        guard rest.count >= count else {
            throw Libp2pError(.protocolViolation, "a message of the Noise handshake is too short")
        }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    /// X25519; a key of small order, which would give all zeros, is refused.
    private func agree(
        _ own: Curve25519.KeyAgreement.PrivateKey,
        _ other: [UInt8]
    ) throws(Libp2pError) -> [UInt8] {
        guard let key = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: other),
            let shared = try? own.sharedSecretFromKeyAgreement(with: key)
        else { throw Libp2pError(.invalidKey, "the peer's key of the Noise handshake is not valid") }
        let secret = shared.withUnsafeBytes { [UInt8]($0) }
        // RFC 7748, 6.1; swift-crypto leaves it to the caller.
        guard secret.reduce(0, |) != 0 else {
            throw Libp2pError(.invalidKey, "the peer's key of the Noise handshake is of small order")
        }
        return secret
    }
}
