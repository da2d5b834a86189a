internal import Foundation
public import Libp2p

/// Who is kept out, until when, and what for ([GSP-9] to [GSP-12]). No I/O and no clock: the time is milliseconds since
/// 1970.
public struct BanBook: Sendable {
    /// Whom a ban is about.
    public enum Subject: Hashable, Sendable {
        case peer(PeerID)
        /// An IPv4 address, or the first 64 bits of an IPv6 one (``Multiaddr/place``).
        case place([UInt8])
    }

    /// What somebody did.
    public enum Offence: String, Sendable, CaseIterable {
        /// GossipSub cut the peer off for its standing.
        case graylisted
        /// Frames, RPCs or records that break the rules, under the peer's own key.
        case violation
        /// A handshake that is none, or that never ends.
        case handshake

        /// How long the first ban for it lasts; each that follows twice as long as the one before.
        var seconds: Int64 {
            switch self {
            case .graylisted: 600
            case .violation, .handshake: 60
            }
        }

        /// How much it weighs on the place that it came from.
        var demerits: Double {
            switch self {
            case .graylisted: 3
            case .violation: 2
            case .handshake: 1
            }
        }
    }

    public struct Ban: Hashable, Sendable {
        public let subject: Subject
        public var since: Int64
        /// Nil: until it is taken back.
        public var until: Int64?
        public var reason: String
        /// Whether the operator made it.
        public var isManual: Bool
        /// How often it came to this, fading with time.
        public var strikes: Double
    }

    /// The longest ban that nobody made by hand.
    public static let maximumSeconds: Int64 = 86_400
    /// A strike counts half after this time.
    public static let strikeHalfLifeSeconds: Double = 6 * 3_600
    /// Demerits of a place count half after this time; from ``demeritLimit`` on it is banned.
    public static let demeritHalfLifeSeconds: Double = 60
    public static let demeritLimit = 8.0
    /// Bans that nobody made by hand, and places that are being watched; over it those that end first are forgotten.
    public static let maximumBans = 4_096
    public static let maximumManual = 1_024

    private struct Watched: Sendable {
        var demerits: Double
        var at: Int64
    }

    private var bans: [Subject: Ban] = [:]
    private var strikesAt: [Subject: Int64] = [:]
    private var watched: [[UInt8]: Watched] = [:]
    /// What changed since it was last kept on disk.
    private var changed: Set<Subject> = []

    public init(_ kept: [Ban] = []) {
        for ban in kept {
            bans[ban.subject] = ban
            strikesAt[ban.subject] = ban.since
        }
    }

    /// Bans in force, the latest first.
    public func inForce(at now: Int64) -> [Ban] {
        bans.values.filter { Self.holds($0, at: now) }.sorted { ($0.since, $0.reason) > ($1.since, $1.reason) }
    }

    public func isBanned(_ subject: Subject, at now: Int64) -> Bool {
        guard let ban = bans[subject] else { return false }
        return Self.holds(ban, at: now)
    }

    /// The ban that is, or was last, on this subject.
    public func ban(_ subject: Subject) -> Ban? { bans[subject] }

    /// Strikes as they count now.
    public func strikes(_ subject: Subject, at now: Int64) -> Double {
        guard let ban = bans[subject] else { return 0 }
        return Self.faded(ban.strikes, since: strikesAt[subject] ?? ban.since, at: now, Self.strikeHalfLifeSeconds)
    }

    private static func holds(_ ban: Ban, at now: Int64) -> Bool { ban.until.map { $0 > now } ?? true }

    private static func faded(_ value: Double, since: Int64, at now: Int64, _ halfLife: Double) -> Double {
        value * pow(0.5, Double(max(0, now - since)) / 1_000 / halfLife)
    }

    // MARK: What happens

    /// A peer whose identity is proved did this; the place that it came from is watched with it.
    /// - Parameter place: nil where it is none that others may not share: only addresses of the internet are banned for what
    ///   came from them.
    /// - Returns: whether somebody is banned now who was not before.
    public mutating func offended(_ peer: PeerID, from place: [UInt8]?, _ offence: Offence, at now: Int64) -> Bool {
        let isNew = strike(.peer(peer), offence, at: now)
        return watch(place, offence, at: now) || isNew
    }

    /// Somebody who did not say who he is did this.
    public mutating func offended(from place: [UInt8]?, _ offence: Offence, at now: Int64) -> Bool {
        watch(place, offence, at: now)
    }

    private mutating func watch(_ place: [UInt8]?, _ offence: Offence, at now: Int64) -> Bool {
        guard let place else { return false }
        var entry = watched[place] ?? Watched(demerits: 0, at: now)
        entry.demerits = Self.faded(entry.demerits, since: entry.at, at: now, Self.demeritHalfLifeSeconds)
        entry.demerits += offence.demerits
        entry.at = now
        guard entry.demerits < Self.demeritLimit else {
            watched[place] = nil
            return strike(.place(place), offence, at: now)
        }
        watched[place] = entry
        if watched.count > Self.maximumBans {
            // The quietest go: an eighth at once, so that a flood of addresses does not cost a search each.
            let quiet = watched.sorted { $0.value.at < $1.value.at }.prefix(Self.maximumBans / 8)
            for key in quiet.map(\.key) { watched[key] = nil }
        }
        return false
    }

    private mutating func strike(_ subject: Subject, _ offence: Offence, at now: Int64) -> Bool {
        let before = bans[subject]
        guard before?.isManual != true || before.map({ !Self.holds($0, at: now) }) == true else { return false }
        let strikes = strikes(subject, at: now)
        let factor = pow(2, min(strikes, 20))
        let seconds = Int64(min(Double(offence.seconds) * factor, Double(Self.maximumSeconds)))
        let until = max(now + seconds * 1_000, before?.until ?? 0)
        let wasBanned = before.map { Self.holds($0, at: now) } ?? false
        set(
            Ban(
                subject: subject,
                since: now,
                until: until,
                reason: offence.rawValue,
                isManual: false,
                strikes: strikes + 1
            ),
            at: now
        )
        return !wasBanned
    }

    private mutating func set(_ ban: Ban, at now: Int64) {
        bans[ban.subject] = ban
        strikesAt[ban.subject] = now
        changed.insert(ban.subject)
        if bans.count > Self.maximumBans + Self.maximumManual { shrink() }
    }

    /// Those that end first are forgotten, an eighth at once.
    private mutating func shrink() {
        let first = bans.values.filter { !$0.isManual }.sorted { $0.until ?? .max < $1.until ?? .max }
        for ban in first.prefix(Self.maximumBans / 8) { forget(ban.subject) }
    }

    private mutating func forget(_ subject: Subject) {
        bans[subject] = nil
        strikesAt[subject] = nil
        changed.insert(subject)
    }

    /// Forgets what is over and has faded: once in a while.
    public mutating func tidy(at now: Int64) {
        for (subject, ban) in bans where !Self.holds(ban, at: now) && strikes(subject, at: now) < 0.1 {
            forget(subject)
        }
        watched = watched.filter {
            Self.faded($0.value.demerits, since: $0.value.at, at: now, Self.demeritHalfLifeSeconds) >= 0.1
        }
    }

    // MARK: What the operator does

    /// - Parameter seconds: nil: until it is taken back.
    /// - Returns: whether there was room.
    public mutating func ban(_ subject: Subject, seconds: Int64?, reason: String, at now: Int64) -> Bool {
        guard bans[subject]?.isManual == true || bans.values.count(where: \.isManual) < Self.maximumManual else {
            return false
        }
        set(
            Ban(
                subject: subject,
                since: now,
                until: seconds.map { now + $0 * 1_000 },
                reason: reason,
                isManual: true,
                strikes: strikes(subject, at: now)
            ),
            at: now
        )
        return true
    }

    /// Takes a ban back, and what led to it with it.
    /// - Returns: whether there was one.
    public mutating func unban(_ subject: Subject) -> Bool {
        if case .place(let place) = subject { watched[place] = nil }
        guard bans[subject] != nil else { return false }
        forget(subject)
        return true
    }

    /// What changed since the last time, to keep or, where nil, to forget.
    mutating func takeChanges() -> [(Subject, Ban?)] {
        defer { changed = [] }
        return changed.map { ($0, bans[$0]) }
    }

    /// Puts back what could not be kept.
    mutating func restore(changes: [(Subject, Ban?)]) { changed.formUnion(changes.map(\.0)) }
}
