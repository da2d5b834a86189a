public import CanonicalJSON
import Cryptography
public import Encodings
public import Passports
public import SignedDocuments
import Storage

/// An agent that asked to be registered, and how it stands.
public struct RegistrationRequest: Hashable, Sendable {
    public enum State: String, Sendable { case pending, approved, denied }

    /// Known to who asked, and the operator: whoever has it may fetch the agent's passport.
    public var id: String
    public var state: State
    public var name: String
    public var operatorName: String?
    /// What it asks for.
    public var capabilities: [String]
    public var did: DIDKey
    public var nextKeyDigest: String?
    /// The agent that it became.
    public var agentID: String?
    /// Why it was denied.
    public var reason: String?
    public var at: Timestamp

    public var json: JSONObject {
        var object: JSONObject = [
            "id": .string(id), "state": .string(state.rawValue), "name": .string(name),
            "capabilities": .array(capabilities.map { .string($0) }), "did": .string(did.string),
            "at": .string(at.rfc3339),
        ]
        object["operator"] = operatorName.map { .string($0) }
        object["nextKeyHash"] = nextKeyDigest.map { .string($0) }
        object["agent"] = agentID.map { .string($0) }
        object["reason"] = reason.map { .string($0) }
        return object
    }
}

/// Where agents register by themselves, each with a key of its own that it proves to hold ([REG-1] and on).
public final class RegistrationDesk: Sendable {
    /// What a request came to.
    public struct Answer: Sendable {
        public var request: RegistrationRequest
        /// The newest passport of the agent, once it is one.
        public var passport: Passport?
    }

    private let database: Database
    private let registry: AgentRegistry
    public let policy: RegistrationPolicy
    private let limit = HourlyLimit()
    /// What the paid way's address ends with: only the operator's service knows it.
    public let paidToken: String
    private var clock: WallClock { registry.clock }

    init(database: Database, registry: AgentRegistry, policy: RegistrationPolicy) {
        self.database = database
        self.registry = registry
        self.policy = policy
        paidToken = Base64URL.encode(
            Sealing.deriveKey(from: registry.nodeKeys.agentSealingKey, label: "mintmark v1 paid registration")
        )
    }

    /// Registers an agent, or keeps its request for the operator.
    ///
    /// - Parameters:
    ///   - address: where it comes from, for the limit.
    ///   - paidToken: what the address ended with, where it came through the paid service.
    /// - Throws: `IdentityError`: `.registrationClosed`, `.tooMany`, `.invalidRequest`, `.challengeUnknown`,
    ///   `.possessionNotProven`, `.agentExists`, `.keyRevoked`, `.limitReached`.
    public func register(
        _ description: AgentDescription,
        key: OwnKey,
        address: String,
        paidToken token: String? = nil
    ) async throws -> Answer {
        try requireOpen(token)
        try description.check()
        // Who paid is limited by the price.
        if policy.mode != .paid { try take(address) }
        try registry.prove(key, .registration)
        try AgentRegistry.checkDigest(key.nextKeyDigest)
        var request = RegistrationRequest(
            id: UUIDText.bare(UUIDText.randomURN()),
            state: .pending,
            name: description.name,
            operatorName: description.operatorName,
            capabilities: description.capabilities,
            did: key.did,
            nextKeyDigest: key.nextKeyDigest,
            at: clock.now()
        )
        guard policy.mode == .approved else {
            if let refused = description.capabilities.first(where: { !policy.capabilities.contains($0) }) {
                throw IdentityError(
                    .registrationClosed,
                    "`\(refused)` is not granted to agents that register by themselves; granted are:"
                        + " \(policy.capabilities.sorted().joined(separator: ", "))"
                )
            }
            let made = try await admit(&request, capabilities: description.capabilities, isKnown: false)
            return Answer(request: request, passport: made)
        }
        let waiting = request
        try await database.write { connection in
            guard try RegistrationStore.pendingCount(in: connection) < RegistrationPolicy.maximumPending else {
                throw IdentityError(.limitReached, "too many requests wait for the operator: try again later")
            }
            guard try !AgentStore.isRevoked(waiting.did, in: connection) else {
                throw IdentityError(.keyRevoked, "the key \(waiting.did) is revoked and can never serve again")
            }
            try RegistrationStore.insert(waiting, in: connection)
        }
        return Answer(request: request, passport: nil)
    }

    /// A challenge for who comes by itself, under the same limit.
    ///
    /// - Throws: `IdentityError`: `.registrationClosed`, `.tooMany`, `.limitReached`.
    public func challenge(address: String) throws -> (challenge: String, expires: Timestamp) {
        guard policy.mode != .off else { throw Self.closed }
        // Apart from the registrations, and more of them: a challenge may go unused.
        if let seconds = challengeLimit.take(
            address,
            each: policy.perAddressHourly * 4,
            all: policy.hourly * 4,
            now: clock.now()
        ) {
            throw Self.tooMany(seconds)
        }
        return try registry.challenge()
    }

    private let challengeLimit = HourlyLimit()

    // MARK: Asking

    /// How a request stands, with the agent's newest passport: it is renewed by the node, and fetched here.
    ///
    /// - Throws: `IdentityError` with `.requestNotFound`.
    public func answer(_ id: String) async throws -> Answer {
        let now = clock.now()
        return try await database.read { connection in
            let request = try RegistrationStore.find(id, in: connection)
            guard let agentID = request.agentID else { return Answer(request: request, passport: nil) }
            let agent = try AgentStore.find(agentID, in: connection).agent
            let newest = try PassportStore.newest(agent: agent.id, did: agent.did.string, in: connection)
            let passport = newest.flatMap { now < $0.passport.validUntil ? $0.passport : nil }
            return Answer(request: request, passport: passport)
        }
    }

    /// The requests that wait, oldest first.
    public func pending() async throws -> [RegistrationRequest] {
        try await database.read { try RegistrationStore.pending(in: $0) }
    }

    // MARK: Deciding

    /// Registers who asked.
    ///
    /// - Parameter capabilities: what is granted; nil: what was asked for.
    /// - Throws: `IdentityError`: `.requestNotFound`, `.agentExists`, `.keyRevoked`, `.limitReached`.
    public func approve(_ id: String, capabilities: [String]? = nil) async throws -> Answer {
        var request = try await database.read { try RegistrationStore.find(id, in: $0) }
        try Self.requirePending(request)
        let passport = try await admit(&request, capabilities: capabilities ?? request.capabilities, isKnown: true)
        return Answer(request: request, passport: passport)
    }

    public func deny(_ id: String, reason: String?) async throws -> RegistrationRequest {
        guard (reason?.utf8.count ?? 0) <= 256 else {
            throw IdentityError(.invalidRequest, "a reason has at most 256 bytes")
        }
        return try await database.write { connection in
            var request = try RegistrationStore.find(id, in: connection)
            try Self.requirePending(request)
            request.state = .denied
            request.reason = reason
            try RegistrationStore.update(request, in: connection)
            return request
        }
    }

    /// Forgets requests that nobody decided, and those that were decided long ago.
    func purge() async throws {
        let now = clock.now()
        try await database.write { try RegistrationStore.purge(now: now, in: $0) }
    }

    /// Makes an agent and marks the request in one transaction.
    private func admit(
        _ request: inout RegistrationRequest,
        capabilities: [String],
        isKnown: Bool
    ) async throws -> Passport {
        let description = AgentDescription(
            name: request.name,
            operatorName: request.operatorName,
            capabilities: capabilities
        )
        try description.check()
        var record = try registry.newRecord(id: UUIDText.randomURN(), description, now: clock.now())
        record.hold(elsewhere: request.did, nextKeyDigest: request.nextKeyDigest)
        request.agentID = record.agent.id
        request.state = .approved
        let decided = request
        return try await registry.keep(record) { connection in
            guard isKnown else { return try RegistrationStore.insert(decided, in: connection) }
            try Self.requirePending(try RegistrationStore.find(decided.id, in: connection))
            try RegistrationStore.update(decided, in: connection)
        }.passport
    }

    private func requireOpen(_ token: String?) throws(IdentityError) {
        guard policy.mode != .off else { throw Self.closed }
        let isPaid = token.map { ConstantTime.equal(Array($0.utf8), Array(paidToken.utf8)) } ?? false
        if policy.mode == .paid, !isPaid {
            throw IdentityError(
                .registrationClosed,
                "agents register here through a priced service of this node, and not here"
            )
        }
        if token != nil, policy.mode != .paid || !isPaid { throw Self.closed }
    }

    private func take(_ address: String) throws(IdentityError) {
        let now = clock.now()
        if let seconds = limit.take(address, each: policy.perAddressHourly, all: policy.hourly, now: now) {
            throw Self.tooMany(seconds)
        }
    }

    private static var closed: IdentityError {
        IdentityError(.registrationClosed, "this node registers no agents that come by themselves")
    }

    private static func tooMany(_ seconds: Int64) -> IdentityError {
        IdentityError(.tooMany, "too many registrations were asked for within the hour: try again in \(seconds) s")
    }

    private static func requirePending(_ request: RegistrationRequest) throws(IdentityError) {
        guard request.state == .pending else {
            throw IdentityError(.agentExists, "the request was \(request.state.rawValue) already")
        }
    }
}
