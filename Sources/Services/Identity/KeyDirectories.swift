import Encodings
import HTTPSignatures
import Logging
import NIOHTTP1
import SignedDocuments
import Synchronization

/// Whose key directories are fetched to check signatures of strangers.
public enum SignatureAgentPolicy: Hashable, Sendable {
    /// Those at these origins, such as `https://chatgpt.com`; none: only this node's own agents are recognised.
    case origins(Set<String>)
    /// Any that a request names. Each may make this node ask an address that a stranger chose.
    case any

    func allows(_ agent: SignatureAgent) -> Bool {
        switch self {
        case .any: true
        case .origins(let origins): origins.contains(agent.origin)
        }
    }
}

/// Fetches the key sets of others.
public protocol KeySetFetching: Sendable {
    /// - Throws: where there was no answer of 200 in time, or a longer one than ``PublicKeySet/maximumBytes``.
    func fetch(_ url: String) async throws -> [UInt8]
}

/// Fetches over https, as ``GuardedFetch`` does: no redirects, bounded, and never from a private address.
public struct HTTPKeySetFetcher: KeySetFetching {
    private let guarded: GuardedFetch

    /// - Parameter allowsLocal: see ``IdentityConfiguration/allowsLocalLists``.
    public init(allowsLocal: Bool) { guarded = GuardedFetch(allowsLocal: allowsLocal) }

    public func fetch(_ url: String) async throws -> [UInt8] {
        let headers: HTTPHeaders = ["Accept": "\(SignatureAgent.directoryMediaType), application/jwk-set+json"]
        let answer = try await guarded.get(url, headers: headers, maximumBytes: PublicKeySet.maximumBytes)
        guard answer.status == 200 else { throw FetchError(description: "\(url) answered \(answer.status)") }
        return answer.body
    }
}

/// The keys that others publish for request signatures, by the address they are published at: a key that was learned from one
/// address never verifies what claims to be from another.
///
/// Bounded: at most ``maximumSets`` are remembered and ``maximumFetches`` fetched at once; over that nothing is known of a key
/// that is not remembered. A set that can't be fetched does not drop the one at hand, which serves for a day at most.
final class KeyDirectories: Sendable {
    static let maximumSets = 256
    static let maximumFetches = 8
    /// How long a set is believed before it is asked for again, in seconds.
    static let freshSeconds: Int64 = 300
    /// How long after a fetch it is asked again, where that failed or lacks the key in question.
    static let retrySeconds: Int64 = 15
    static let staleSeconds: Int64 = 86_400
    /// The keys of RFC 9421's examples (B.1.4, B.1.1), whose private halves everybody has.
    static let knownTestKeys: Set<String> = ["poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"]

    enum Finding: Equatable {
        case key(DIDKey)
        /// The set was asked, and has no such key now.
        case absent
        /// Nothing can be said: the set is not to be had, or may not be asked for.
        case unknown(String)
    }

    private struct Entry: Sendable {
        var keys: PublicKeySet?
        var keysAt: Timestamp
        var askedAt: Timestamp
        var lastUsed: Timestamp
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var running: [String: Task<Entry, Never>] = [:]
    }

    private let own: KeyBoard
    private let policy: SignatureAgentPolicy
    private let fetcher: any KeySetFetching
    private let clock: WallClock
    private let logger: Logger
    private let state = Mutex(State())

    init(
        own: KeyBoard,
        policy: SignatureAgentPolicy,
        fetcher: any KeySetFetching,
        clock: WallClock,
        logger: Logger
    ) {
        self.own = own
        self.policy = policy
        self.fetcher = fetcher
        self.clock = clock
        self.logger = logger
    }

    /// The key with this thumbprint, as it is published at the agent's address now.
    func key(_ thumbprint: String, of agent: SignatureAgent) async -> Finding {
        guard !Self.knownTestKeys.contains(thumbprint) else { return .absent }
        let now = clock.now()
        do {
            if let known = try await own.key(thumbprint, of: agent, now: now) {
                return known.map { .key($0) } ?? .absent
            }
        } catch {
            return .unknown("this node's own keys could not be read")
        }
        guard policy.allows(agent) else {
            return .unknown("\(agent.origin) is not among the origins whose keys are asked for")
        }
        guard let entry = await entry(agent.keysURL, wants: thumbprint, now: now) else {
            return .unknown("too many key sets are asked for at once")
        }
        let later = max(now, clock.now())
        guard let keys = entry.keys, later < entry.keysAt.adding(seconds: Self.staleSeconds) else {
            return .unknown("the keys at \(agent.keysURL) could not be had")
        }
        return keys.key(thumbprint, now: later).map { .key($0) } ?? .absent
    }

    private func entry(_ url: String, wants thumbprint: String, now: Timestamp) async -> Entry? {
        enum Next {
            case known(Entry)
            case wait(Task<Entry, Never>)
            case full
        }
        let next: Next = state.withLock { state in
            if let entry = state.entries[url], now >= entry.askedAt {
                let lasts = entry.keys?.key(thumbprint, now: now) == nil ? Self.retrySeconds : Self.freshSeconds
                let isFresh =
                    now < entry.askedAt.adding(seconds: entry.askedAt == entry.keysAt ? lasts : Self.retrySeconds)
                if isFresh {
                    state.entries[url]?.lastUsed = now
                    return .known(entry)
                }
            }
            if let task = state.running[url] { return .wait(task) }
            guard state.running.count < Self.maximumFetches else { return .full }
            let task = Task { await self.refresh(url) }
            state.running[url] = task
            return .wait(task)
        }
        switch next {
        case .known(let entry): return entry
        case .wait(let task): return await task.value
        case .full: return nil
        }
    }

    private func refresh(_ url: String) async -> Entry {
        var keys: PublicKeySet?
        do {
            // In the directory a name must be the thumbprint; elsewhere it is the set's own affair.
            let isDirectory = url.hasSuffix(SignatureAgent.directoryPath)
            keys = try PublicKeySet(try await fetcher.fetch(url), namesThumbprints: isDirectory)
        } catch {
            logger.notice("a key set is not to be had", metadata: ["url": "\(url)", "error": "\(error)"])
        }
        let now = clock.now()
        let fetched = keys
        return state.withLock { state in
            state.running[url] = nil
            let old = state.entries[url]
            let entry = Entry(
                keys: fetched ?? old?.keys,
                keysAt: fetched == nil ? old?.keysAt ?? Timestamp(secondsSince1970: 0) : now,
                askedAt: now,
                lastUsed: now
            )
            if state.entries.count >= Self.maximumSets, old == nil,
                let leastUsed = state.entries.min(by: { $0.value.lastUsed < $1.value.lastUsed })?.key
            {
                state.entries[leastUsed] = nil
            }
            state.entries[url] = entry
            return entry
        }
    }
}
