internal import Cashu
internal import Cryptography
internal import Encodings
internal import Mint
internal import SignedDocuments

/// Who speaks to a vault.
enum VaultRole: UInt8 {
    /// Has signed and minted; one at a time.
    case node = 0
    /// Looks, locks and unlocks.
    case keeper = 1
}

/// Which of the issuer's keys signs.
enum VaultKeyName: Hashable {
    case node
    case p256
    /// The one of this entry of the node's did:webvh.
    case did(UInt32)
}

/// What is asked of a vault ([VLT-4] to [VLT-8]).
enum VaultRequest {
    case hello(version: UInt8, role: VaultRole)
    case sign(VaultKeyName, SigningInput)
    case didKey(UInt32)
    case addKeyset(KeysetPlan)
    case batch(SignatoryBatch)
    case status
    case lock
    case unlock([UInt8])
}

extension VaultRequest {
    var kind: VaultFrame.Kind {
        switch self {
        case .hello: .hello
        case .sign: .sign
        case .didKey: .didKey
        case .addKeyset: .addKeyset
        case .batch: .batch
        case .status: .status
        case .lock: .lock
        case .unlock: .unlock
        }
    }

    /// What a hello begins with, so that a stray client is told from a node.
    static let magic = Array("mintmark-vault".utf8)

    var body: [UInt8] {
        var writer = BodyWriter()
        switch self {
        case .hello(let version, let role):
            writer.raw(Self.magic)
            writer.byte(version)
            writer.byte(role.rawValue)
        case .sign(let key, let input):
            key.write(to: &writer)
            input.write(to: &writer)
        case .didKey(let number): writer.integer(number)
        case .addKeyset(let plan): plan.write(to: &writer)
        case .batch(let batch): batch.write(to: &writer)
        case .status, .lock: break
        case .unlock(let passphrase): writer.counted(passphrase)
        }
        return writer.bytes
    }

    /// - Throws: `VaultError` `.malformed`.
    init(_ frame: VaultFrame) throws(VaultError) {
        guard let kind = VaultFrame.Kind(rawValue: frame.kind), kind != .failure else {
            throw VaultError(.malformed, "there is no request of kind \(frame.kind)")
        }
        do {
            self = try Self.read(kind, frame.body)
        } catch let error as VaultError {
            throw error
        } catch {
            throw VaultError(.malformed, "a request cannot be read: \(error)")
        }
    }

    private static func read(_ kind: VaultFrame.Kind, _ body: [UInt8]) throws -> VaultRequest {
        var reader = ByteReader(body)
        let request: VaultRequest
        switch kind {
        case .hello:
            guard try reader.bytes(magic.count) == magic else {
                throw VaultError(.malformed, "this is no client of a vault")
            }
            let version = try reader.byte()
            // What follows in another version is not for this one to read.
            guard version == VaultFrame.version else { return .hello(version: version, role: .node) }
            guard let role = VaultRole(rawValue: try reader.byte()) else {
                throw VaultError(.malformed, "there is no such role")
            }
            request = .hello(version: version, role: role)
        case .sign: request = .sign(try VaultKeyName(from: &reader), try SigningInput(from: &reader))
        case .didKey: request = .didKey(try reader.uint32())
        case .addKeyset: request = .addKeyset(try KeysetPlan(from: &reader))
        case .batch: request = .batch(try SignatoryBatch(from: &reader))
        case .status: request = .status
        case .lock: request = .lock
        case .unlock: request = .unlock(try reader.counted(atMost: 1024))
        case .failure: throw VaultError(.malformed, "a failure is no request")
        }
        try reader.expectEnd()
        return request
    }
}

extension VaultKeyName {
    func write(to writer: inout BodyWriter) {
        switch self {
        case .node: writer.byte(0)
        case .p256: writer.byte(1)
        case .did(let number):
            writer.byte(2)
            writer.integer(number)
        }
    }

    init(from reader: inout ByteReader) throws {
        switch try reader.byte() {
        case 0: self = .node
        case 1: self = .p256
        case 2: self = .did(try reader.uint32())
        case let other: throw VaultError(.malformed, "there is no key \(other)")
        }
    }
}

extension SigningInput {
    func write(to writer: inout BodyWriter) {
        switch self {
        case .document(let suite, let proof, let document):
            writer.byte(0)
            writer.text(suite.rawValue)
            writer.counted(proof)
            writer.counted(document)
        case .token(let bytes): Self.write(1, bytes, to: &writer)
        case .note(let bytes): Self.write(2, bytes, to: &writer)
        case .delegation(let bytes): Self.write(3, bytes, to: &writer)
        case .request(let bytes): Self.write(4, bytes, to: &writer)
        }
    }

    private static func write(_ kind: UInt8, _ bytes: [UInt8], to writer: inout BodyWriter) {
        writer.byte(kind)
        writer.counted(bytes)
    }

    init(from reader: inout ByteReader) throws {
        switch try reader.byte() {
        case 0:
            guard let suite = Cryptosuite(rawValue: try reader.text(atMost: 64)) else {
                throw VaultError(.refused, "the vault knows no such cryptosuite")
            }
            self = .document(suite, proof: try reader.counted(), document: try reader.counted())
        case 1: self = .token(try reader.counted())
        case 2: self = .note(try reader.counted())
        case 3: self = .delegation(try reader.counted())
        case 4: self = .request(try reader.counted())
        case let other: throw VaultError(.refused, "the vault signs nothing of kind \(other)")
        }
    }
}

extension KeysetPlan {
    func write(to writer: inout BodyWriter) {
        writer.byte(version.rawValue)
        writer.text(unit.name)
        writer.integer(counter)
        writer.integer(inputFeePPK)
        writer.byte(finalExpiry == nil ? 0 : 1)
        writer.integer(finalExpiry ?? 0)
    }

    init(from reader: inout ByteReader) throws {
        let version = KeysetVersion(rawValue: try reader.byte())
        let unit = try CurrencyUnit(reader.text(atMost: 64))
        let counter = try reader.uint32()
        let fee = try reader.uint64()
        let expires = try reader.byte() == 1
        let expiry = try reader.uint64()
        self.init(
            version: version,
            unit: unit,
            counter: counter,
            inputFeePPK: fee,
            finalExpiry: expires ? expiry : nil
        )
    }
}

extension SignatoryBatch {
    /// The most proofs, and the most outputs, of one batch.
    static let maximumItems = 4096

    func write(to writer: inout BodyWriter) {
        writer.integer(UInt32(clamping: proofs.count))
        for proof in proofs {
            writer.counted(proof.keysetID.bytes)
            writer.integer(proof.amount)
            writer.text(proof.secret)
            writer.raw(proof.signature.compressed)
        }
        writer.integer(UInt32(clamping: outputs.count))
        for output in outputs {
            writer.counted(output.keysetID.bytes)
            writer.integer(output.amount)
            writer.raw(output.blindedSecret.compressed)
        }
    }

    init(from reader: inout ByteReader) throws {
        self.init()
        for _ in 0..<(try Self.count(&reader)) {
            let id = try KeysetID(bytes: reader.counted(atMost: 64))
            let amount = try reader.uint64()
            let secret = try reader.text(atMost: CashuLimits.secretBytes)
            let point = try Secp256k1.Point(compressed: reader.bytes(33))
            proofs.append(Proof(amount: amount, keysetID: id, secret: secret, signature: point))
        }
        for _ in 0..<(try Self.count(&reader)) {
            let id = try KeysetID(bytes: reader.counted(atMost: 64))
            let amount = try reader.uint64()
            let point = try Secp256k1.Point(compressed: reader.bytes(33))
            outputs.append(BlindedMessage(amount: amount, keysetID: id, blindedSecret: point))
        }
    }

    private static func count(_ reader: inout ByteReader) throws -> Int {
        let count = try reader.uint32()
        guard count <= maximumItems else {
            throw VaultError(.malformed, "a batch has at most \(maximumItems) of a kind")
        }
        return Int(count)
    }
}
