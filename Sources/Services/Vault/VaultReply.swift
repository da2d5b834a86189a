internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Mint
internal import SignedDocuments

/// What a vault says of itself when a client comes ([VLT-3]).
struct VaultGreeting: Equatable {
    var isLocked: Bool
    /// The DIDs of the issuer's keys: whose vault it is, known also while it is locked.
    var node: String
    var p256: String
}

/// What a vault answers.
enum VaultReply {
    case hello(VaultGreeting)
    case signature([UInt8])
    case did(String)
    case keyset(id: [UInt8], keys: [[UInt8]])
    /// Each `Y` (33 bytes), and each signature with its DLEQ proof: C_ (33), e (32), s (32).
    case batch(hashedSecrets: [[UInt8]], signatures: [[UInt8]])
    case status(JSONValue)
    case done(VaultFrame.Kind)
    case failure(code: String, number: UInt32, message: String)

    private static let pointBytes = 33
    /// C_, e and s.
    private static let signatureBytes = 97

    init(_ keyset: Keyset) {
        let amounts = keyset.keys.keys.sorted()
        self = .keyset(id: keyset.id.bytes, keys: amounts.compactMap { keyset.keys[$0]?.compressed })
    }

    init(_ answer: SignatoryAnswer) {
        self = .batch(
            hashedSecrets: answer.hashedSecrets,
            signatures: answer.promises.map { $0.signature + $0.challenge + $0.response }
        )
    }

    init(failing error: any Error) {
        switch error {
        case let error as VaultError: self = .failure(code: error.code.rawValue, number: 0, message: error.message)
        case let error as MintError:
            self = .failure(code: "mint", number: UInt32(clamping: error.code.rawValue), message: error.detail)
        case let error as CashuError:
            self = .failure(code: "cashu-\(error.code.rawValue)", number: 0, message: error.message)
        default: self = .failure(code: VaultError.Code.failed.rawValue, number: 0, message: "\(error)")
        }
    }

    /// What a failure stands for.
    static func error(code: String, number: UInt32, message: String) -> any Error {
        if code == "mint" { return MintError(MintErrorCode(rawValue: Int(number)), message) }
        if code.hasPrefix("cashu-") {
            return CashuError(CashuError.Code(rawValue: String(code.dropFirst(6))), message)
        }
        return VaultError(VaultError.Code(rawValue: code), message)
    }

    func frame(answering id: UInt32) -> VaultFrame {
        var writer = BodyWriter()
        let kind: VaultFrame.Kind
        switch self {
        case .hello(let greeting):
            kind = .hello
            writer.byte(VaultFrame.version)
            writer.byte(greeting.isLocked ? 1 : 0)
            writer.text(greeting.node)
            writer.text(greeting.p256)
        case .signature(let bytes):
            kind = .sign
            writer.raw(bytes)
        case .did(let text):
            kind = .didKey
            writer.text(text)
        case .keyset(let id, let keys):
            kind = .addKeyset
            writer.counted(id)
            writer.byte(UInt8(clamping: keys.count))
            for key in keys { writer.raw(key) }
        case .batch(let hashedSecrets, let signatures):
            kind = .batch
            writer.integer(UInt32(clamping: hashedSecrets.count))
            for y in hashedSecrets { writer.raw(y) }
            writer.integer(UInt32(clamping: signatures.count))
            for signature in signatures { writer.raw(signature) }
        case .status(let value):
            kind = .status
            writer.counted(value.serialized())
        case .done(let done): kind = done
        case .failure(let code, let number, let message):
            kind = .failure
            writer.text(code)
            writer.integer(number)
            writer.text(String(message.prefix(1000)))
        }
        return VaultFrame(id: id, kind: kind, isAnswer: true, body: writer.bytes)
    }

    /// - Throws: `VaultError` `.malformed` for what is no answer.
    init(_ frame: VaultFrame) throws(VaultError) {
        guard frame.kind & VaultFrame.answerBit != 0,
            let kind = VaultFrame.Kind(rawValue: frame.kind & ~VaultFrame.answerBit)
        else { throw VaultError(.malformed, "there is no answer of kind \(frame.kind)") }
        do {
            self = try Self.read(kind, frame.body)
        } catch let error as VaultError {
            throw error
        } catch {
            throw VaultError(.malformed, "the vault's answer cannot be read: \(error)")
        }
    }

    private static func read(_ kind: VaultFrame.Kind, _ body: [UInt8]) throws -> VaultReply {
        var reader = ByteReader(body)
        let reply: VaultReply
        switch kind {
        case .hello:
            let version = try reader.byte()
            guard version == VaultFrame.version else {
                throw VaultError(.wrongVersion, "the vault speaks version \(version), this node \(VaultFrame.version)")
            }
            let isLocked = try reader.byte() != 0
            let node = try reader.text(atMost: 256)
            reply = .hello(VaultGreeting(isLocked: isLocked, node: node, p256: try reader.text(atMost: 256)))
        case .sign: reply = .signature(try reader.bytes(64))
        case .didKey: reply = .did(try reader.text(atMost: 256))
        case .addKeyset:
            let id = try reader.counted(atMost: 64)
            let count = Int(try reader.byte())
            reply = .keyset(id: id, keys: try (0..<count).map { _ in try reader.bytes(pointBytes) })
        case .batch:
            let ys = try list(&reader, of: pointBytes)
            reply = .batch(hashedSecrets: ys, signatures: try list(&reader, of: signatureBytes))
        case .status: reply = .status(try JSONValue.parse(try reader.counted(atMost: 65_536)))
        case .lock, .unlock: reply = .done(kind)
        case .failure:
            let code = try reader.text(atMost: 64)
            let number = try reader.uint32()
            reply = .failure(code: code, number: number, message: try reader.text(atMost: 8192))
        }
        try reader.expectEnd()
        return reply
    }

    private static func list(_ reader: inout ByteReader, of length: Int) throws -> [[UInt8]] {
        let count = try reader.uint32()
        guard count <= SignatoryBatch.maximumItems else {
            throw VaultError(.malformed, "the vault's answer is too long")
        }
        return try (0..<count).map { _ in try reader.bytes(length) }
    }
}
