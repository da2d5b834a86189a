public import CanonicalJSON
internal import Cryptography
internal import Encodings
public import SignedDocuments

/// The provider signs what it delivers ([ESC-8]).
public struct Delivery: TradeContent {
    public static let type = "MintmarkDelivery"
    public static let known: Set<String> = ["provider", "job", "index", "sealed", "response", "lock", "time"]

    public var provider: DIDKey
    /// Digest of the acceptance.
    public var job: [UInt8]
    /// Which chunk of a stream, from 0; 0 else.
    public var index: UInt64
    /// SHA-256 of the sealed answer that comes beside it; nil in mode `arbiter`, where the answer comes open.
    public var sealed: [UInt8]?
    /// SHA-256 of the answer.
    public var response: [UInt8]
    /// h, SHA-256 of the key that opens the seal; nil in mode `arbiter`.
    public var lock: [UInt8]?
    /// Seconds since 1970 on the mint's clock.
    public var time: UInt64

    /// Seals an answer.
    /// - Returns: what to sign, and the sealed answer that goes beside it.
    public static func sealing(
        _ response: [UInt8],
        key: [UInt8],
        by provider: DIDKey,
        job: [UInt8],
        index: UInt64 = 0,
        time: UInt64
    ) throws -> (delivery: Delivery, sealed: [UInt8]) {
        let sealed = try DeliverySeal.seal(response, key: key, job: job, index: index)
        var delivery = Delivery(open: response, by: provider, job: job, time: time)
        delivery.index = index
        delivery.sealed = Hashing.sha256(sealed)
        delivery.lock = Hashing.sha256(key)
        return (delivery, sealed)
    }

    /// Of an answer that comes open.
    public init(open response: [UInt8], by provider: DIDKey, job: [UInt8], time: UInt64) {
        self.provider = provider
        self.job = job
        index = 0
        self.response = Hashing.sha256(response)
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        provider = try fields.did("provider")
        job = try fields.digest("job")
        index = try fields.number("index", in: 0...(TradeBounds.chunks.upperBound - 1))
        if fields.has("sealed") { sealed = try fields.digest("sealed") }
        response = try fields.digest("response")
        if fields.has("lock") { lock = try fields.hex("lock", bytes: 32) }
        time = try fields.time("time")
        guard (sealed == nil) == (lock == nil) else { throw TradeFields.refuse("lock", "and `sealed` go together") }
    }

    public var signer: DIDKey { provider }

    public var members: JSONObject {
        var members: JSONObject = [
            "provider": .string(provider.string), "job": .string(MultihashDigest.encode(job)),
            "index": JSONValue(index), "response": .string(MultihashDigest.encode(response)), "time": JSONValue(time),
        ]
        members["sealed"] = sealed.map { .string(MultihashDigest.encode($0)) }
        members["lock"] = lock.map { .string(Hex.encode($0)) }
        return members
    }

    /// Whether it is what these terms ask for: this provider, job and chunk, in time, with what came beside it.
    ///
    /// - Parameter beside: the sealed answer, or the open one in mode `arbiter`.
    public func check(_ terms: EscrowTerms, index: UInt64, beside: [UInt8]) throws(TradeRefusal) {
        guard provider.string == terms.provider, Hex.encode(job) == terms.job, self.index == index,
            (lock == nil) == (terms.mode == .arbiter)
        else { throw TradeRefusal(.mismatch, "the delivery is of another provider, job, chunk or mode") }
        guard time <= terms.deliverBy else { throw TradeRefusal(.expired, "the delivery is dated too late") }
        guard beside.count <= DeliverySeal.maximumBytes else {
            throw TradeRefusal(.tooLarge, "the answer is too large")
        }
        guard Hashing.sha256(beside) == sealed ?? response else {
            throw TradeRefusal(.wrongDelivery, "what came beside the delivery is not what it names")
        }
    }

    /// The sealed answer and the key that a stranger shows beside a delivery, as `sealed` (base64url) and `key` (hex); nil where they are
    /// none, or too large.
    static func shown(in json: JSONObject) -> (sealed: [UInt8], key: [UInt8])? {
        guard let text = json["sealed"]?.stringValue, text.utf8.count <= DeliverySeal.maximumBytes * 4 / 3 + 4,
            let sealed = try? Base64URL.decode(text), let hex = json["key"]?.stringValue, hex.utf8.count == 64,
            let key = try? Hex.decode(hex)
        else { return nil }
        return (sealed, key)
    }

    /// Opens the answer.
    /// - Throws: `TradeRefusal` with `.mismatch` for a key that is not the one of the lock; `.wrongDelivery` where the seal does not open
    ///   with it, or holds another answer than was signed: that is fraud, see ``FraudProof``.
    public func open(_ beside: [UInt8], key: [UInt8]) throws(TradeRefusal) -> [UInt8] {
        guard let sealed, let lock, Hashing.sha256(beside) == sealed, Hashing.sha256(key) == lock else {
            throw TradeRefusal(.mismatch, "the key or the sealed answer is another than the delivery's")
        }
        guard let answer = try? DeliverySeal.open(beside, key: key, job: job, index: index),
            Hashing.sha256(answer) == response
        else { throw TradeRefusal(.wrongDelivery, "the answer under the seal is not the one that was signed") }
        return answer
    }
}

/// Shows to anybody that a provider sold garbage ([ESC-10]): its own signature, the sealed answer and the key say it.
public struct FraudProof: Sendable, Equatable {
    public static let type = "MintmarkFraudProof"

    public let acceptance: Signed<Acceptance>
    public let delivery: Signed<Delivery>
    public let sealed: [UInt8]
    public let key: [UInt8]

    /// - Throws: `TradeRefusal` with `.unproven` where the evidence does not bear it out, or the documents do not belong together.
    public init(
        acceptance: Signed<Acceptance>,
        delivery: Signed<Delivery>,
        sealed: [UInt8],
        key: [UInt8]
    ) throws(TradeRefusal) {
        guard delivery.content.job == acceptance.digest else {
            throw TradeRefusal(.unproven, "the delivery is of another job")
        }
        do {
            _ = try delivery.content.open(sealed, key: key)
        } catch  where error.code == .wrongDelivery {
            self.acceptance = acceptance
            self.delivery = delivery
            self.sealed = sealed
            self.key = key
            return
        } catch {
            throw TradeRefusal(.unproven, error.message)
        }
        throw TradeRefusal(.unproven, "the answer is the one that was signed")
    }

    public var document: JSONObject {
        [
            "type": .string(Self.type), "acceptance": .object(acceptance.document),
            "delivery": .object(delivery.document), "sealed": .string(Base64URL.encode(sealed)),
            "key": .string(Hex.encode(key)),
        ]
    }

    /// Checks what a stranger shows.
    public init(document: JSONObject) throws(TradeRefusal) {
        guard document["type"]?.stringValue == Self.type, document.count == 5,
            let acceptance = document["acceptance"]?.objectValue, let delivery = document["delivery"]?.objectValue,
            let shown = Delivery.shown(in: document)
        else { throw TradeRefusal(.malformed, "the document is no fraud proof") }
        try self.init(
            acceptance: Signed(document: acceptance),
            delivery: Signed(document: delivery),
            sealed: shown.sealed,
            key: shown.key
        )
    }
}
