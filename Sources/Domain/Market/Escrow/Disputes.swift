public import CanonicalJSON
public import Cashu
internal import Cryptography
internal import Encodings
public import SignedDocuments

/// A party takes a job in mode `arbiter` to its arbiter ([ESC-13]).
public struct Escalation: TradeContent {
    public static let type = "MintmarkEscalation"
    public static let known: Set<String> = ["party", "job", "delivery", "reason", "time"]

    /// The buyer or the provider.
    public var party: DIDKey
    public var job: [UInt8]
    /// Digest of the delivery, where there was one.
    public var delivery: [UInt8]?
    /// One line for people.
    public var reason: String
    public var time: UInt64

    public init(party: DIDKey, job: [UInt8], delivery: [UInt8]?, reason: String, time: UInt64) {
        self.party = party
        self.job = job
        self.delivery = delivery
        self.reason = reason
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        party = try fields.did("party")
        job = try fields.digest("job")
        if fields.has("delivery") { delivery = try fields.digest("delivery") }
        reason = try fields.line("reason")
        time = try fields.time("time")
    }

    public var signer: DIDKey { party }

    public var members: JSONObject {
        var members: JSONObject = [
            "party": .string(party.string), "job": .string(MultihashDigest.encode(job)), "reason": .string(reason),
            "time": JSONValue(time),
        ]
        members["delivery"] = delivery.map { .string(MultihashDigest.encode($0)) }
        return members
    }
}

/// What the arbiter decided ([ESC-14]). The amounts are what each side's outputs sum to: together the lock less the mint's fee.
public struct Ruling: TradeContent {
    public enum Outcome: String, Sendable, Codable {
        case paid
        case refunded
        case split
    }

    public static let type = "MintmarkRuling"
    public static let known: Set<String> = ["arbiter", "job", "outcome", "provider", "buyer", "reason", "time"]

    public var arbiter: DIDKey
    public var job: [UInt8]
    public var outcome: Outcome
    public var provider: UInt64
    public var buyer: UInt64
    public var reason: String
    public var time: UInt64

    public init(
        arbiter: DIDKey,
        job: [UInt8],
        outcome: Outcome,
        provider: UInt64,
        buyer: UInt64,
        reason: String,
        time: UInt64
    ) {
        self.arbiter = arbiter
        self.job = job
        self.outcome = outcome
        self.provider = provider
        self.buyer = buyer
        self.reason = reason
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        arbiter = try fields.did("arbiter")
        job = try fields.digest("job")
        provider = try fields.amount("provider", least: 0)
        buyer = try fields.amount("buyer", least: 0)
        reason = try fields.line("reason")
        time = try fields.time("time")
        switch (provider > 0, buyer > 0) {
        case (true, false): outcome = .paid
        case (false, true): outcome = .refunded
        case (true, true): outcome = .split
        case (false, false): throw TradeFields.refuse("provider", "or `buyer` gets something")
        }
        // Said in words as well, and the same.
        guard fields.object["outcome"]?.stringValue == outcome.rawValue else {
            throw TradeFields.refuse("outcome", "is `\(outcome.rawValue)` with these amounts")
        }
    }

    public var signer: DIDKey { arbiter }

    public var members: JSONObject {
        [
            "arbiter": .string(arbiter.string), "job": .string(MultihashDigest.encode(job)),
            "outcome": .string(outcome.rawValue), "provider": .string(String(provider)),
            "buyer": .string(String(buyer)), "reason": .string(reason), "time": JSONValue(time),
        ]
    }

    /// Shows to anybody that the ruling is against the evidence: it pays a provider whose own signature says that it was late ([ESC-15]).
    /// - Throws: `TradeRefusal` with `.unproven` where that is not so.
    public func contradiction(_ acceptance: Signed<Acceptance>, _ delivery: Signed<Delivery>) throws(TradeRefusal) {
        guard acceptance.digest == job, delivery.content.job == job, acceptance.content.arbiter == arbiter,
            provider > 0, delivery.content.time > acceptance.content.deliverBy
        else { throw TradeRefusal(.unproven, "the evidence does not speak against the ruling") }
    }
}

/// Where a party wants its part of a job in mode `arbiter` ([ESC-16]): two of three sign the swap to these outputs.
public struct PlannedOutputs: TradeContent {
    public static let type = "MintmarkOutputs"
    public static let known: Set<String> = ["party", "job", "outputs", "time"]
    /// The most outputs of one party.
    public static let maximumOutputs = 64

    public var party: DIDKey
    public var job: [UInt8]
    public var outputs: [BlindedMessage]
    public var time: UInt64

    public init(party: DIDKey, job: [UInt8], outputs: [BlindedMessage], time: UInt64) {
        self.party = party
        self.job = job
        self.outputs = outputs
        self.time = time
    }

    public init(_ fields: TradeFields) throws(TradeRefusal) {
        party = try fields.did("party")
        job = try fields.digest("job")
        time = try fields.time("time")
        guard let items = fields.object["outputs"]?.arrayValue, (1...Self.maximumOutputs).contains(items.count),
            let read = try? items.map(BlindedMessage.init(json:)), Set(read.map(\.blindedSecret)).count == read.count
        else { throw TradeFields.refuse("outputs", "are 1 to \(Self.maximumOutputs) blinded messages, none twice") }
        outputs = read
    }

    public var signer: DIDKey { party }

    public var members: JSONObject {
        [
            "party": .string(party.string), "job": .string(MultihashDigest.encode(job)),
            "outputs": .array(outputs.map(\.json)), "time": JSONValue(time),
        ]
    }

    /// What they sum to; nil beyond what a number holds.
    public var amount: UInt64? { try? Amounts.sum(outputs.map(\.amount)) }
}
