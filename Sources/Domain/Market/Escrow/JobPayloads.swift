public import Cryptography
internal import Encodings

/// What a job asks of a service ([ESC-7]).
public struct JobRequest: Sendable, Equatable {
    /// 1 MiB.
    public static let maximumBodyBytes = 1 << 20
    private static let label = Array("Mintmark_JobRequest_v1".utf8)

    /// In capitals.
    public var method: String
    /// Path and query below the service, beginning with `/`.
    public var target: String
    public var contentType: String?
    public var body: [UInt8]

    public init(method: String, target: String, contentType: String?, body: [UInt8]) {
        self.method = method
        self.target = target
        self.contentType = contentType
        self.body = body
    }

    /// SHA-256 of a label and the parts, each after its length in 8 bytes, the highest first.
    public var digest: [UInt8] {
        var message = Self.label
        for part in [Array(method.utf8), Array(target.utf8), Array((contentType ?? "").utf8), body] {
            message += JobBytes.number(UInt64(part.count), bytes: 8) + part
        }
        return Hashing.sha256(message)
    }
}

/// What the service answered: the bytes that a delivery seals and signs ([ESC-7]).
public struct JobResponse: Sendable, Equatable {
    /// 1 MiB.
    public static let maximumBodyBytes = 1 << 20
    private static let maximumTypeBytes = 255

    public var status: Int
    public var contentType: String?
    public var body: [UInt8]

    /// - Throws: `TradeRefusal` with `.tooLarge`, `.malformed`.
    public init(status: Int, contentType: String?, body: [UInt8]) throws(TradeRefusal) {
        guard body.count <= Self.maximumBodyBytes else {
            throw TradeRefusal(.tooLarge, "the answer of a job has at most \(Self.maximumBodyBytes) bytes")
        }
        guard (100...599).contains(status), (contentType?.utf8.count ?? 0) <= Self.maximumTypeBytes else {
            throw TradeRefusal(.malformed, "the answer's status or type is none")
        }
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    /// Status in 2 bytes, the type's length in 1, the type, the body.
    public var bytes: [UInt8] {
        let type = Array((contentType ?? "").utf8)
        return JobBytes.number(UInt64(status), bytes: 2) + [UInt8(type.count)] + type + body
    }

    public init(bytes: [UInt8]) throws(TradeRefusal) {
        guard bytes.count >= 3, bytes.count >= 3 + Int(bytes[2]) else {
            throw TradeRefusal(.malformed, "the answer of the job is cut off")
        }
        let type = bytes[3..<(3 + Int(bytes[2]))]
        try self.init(
            status: Int(bytes[0]) << 8 | Int(bytes[1]),
            contentType: type.isEmpty ? nil : String(decoding: type, as: UTF8.self),
            body: Array(bytes[(3 + Int(bytes[2]))...])
        )
    }
}

enum JobBytes {
    static func number(_ value: UInt64, bytes count: Int) -> [UInt8] {
        (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }
}

/// How an answer is sealed until it is paid for ([ESC-7]).
public enum DeliverySeal {
    /// The bytes that a sealed answer has at most.
    public static let maximumBytes = JobResponse.maximumBodyBytes + 1_024

    /// k of a job's chunk, out of a secret of the provider's: it can be worked out again after a crash.
    /// - Parameter secret: at least 32 random bytes.
    public static func key(secret: [UInt8], job: [UInt8], index: UInt64) -> [UInt8] {
        Sealing.deriveKey(from: secret, label: "Mintmark_JobKey_v1 \(Hex.encode(job)) \(index)")
    }

    /// ChaCha20-Poly1305 under HKDF(k), bound to the job and the chunk.
    public static func seal(
        _ response: [UInt8],
        key: [UInt8],
        job: [UInt8],
        index: UInt64
    ) throws(CryptographyError) -> [UInt8] {
        try Sealing.seal(response, key: boxKey(key), context: context(job, index))
    }

    public static func open(
        _ sealed: [UInt8],
        key: [UInt8],
        job: [UInt8],
        index: UInt64
    ) throws(CryptographyError) -> [UInt8] {
        try Sealing.open(sealed, key: boxKey(key), context: context(job, index))
    }

    private static func boxKey(_ key: [UInt8]) -> [UInt8] {
        Sealing.deriveKey(from: key, label: "Mintmark_Delivery_v1")
    }

    private static func context(_ job: [UInt8], _ index: UInt64) -> [UInt8] {
        Array("Mintmark_Delivery_v1".utf8) + job + JobBytes.number(index, bytes: 8)
    }
}
