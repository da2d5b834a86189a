public import Encodings
public import Passports
import SignedDocuments

/// Finds the lists a passport names: this node's own in memory, others through the cache.
public struct StatusResolver: Sendable {
    let office: PassportOffice
    let cache: StatusListCache

    public init(office: PassportOffice, cache: StatusListCache) {
        self.office = office
        self.cache = cache
    }

    /// What is known of each list, by URL. For a passport whose signature was checked and whose issuer is trusted: others
    /// could name any URL they like.
    ///
    /// - Parameter maximumAgeSeconds: a copy signed longer ago than this is asked for anew, whatever its own `ttl`.
    public func states(
        for passport: Passport,
        now: Timestamp,
        maximumAgeSeconds: Int64? = nil
    ) async -> [String: StatusListState] {
        guard office.isIssuer(passport.issuer) else {
            return await cache.states(of: Set(passport.status.map(\.listURL)), maximumAgeSeconds: maximumAgeSeconds)
        }
        var states: [String: StatusListState] = [:]
        for entry in passport.status where states[entry.listURL] == nil {
            states[entry.listURL] = office.localState(entry, now: now)
        }
        return states
    }
}
