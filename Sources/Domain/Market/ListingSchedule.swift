public import CanonicalJSON
public import Encodings
public import Records

/// What a seller's node has to publish and to take back, so that what others find is what it sells ([LST-8], [LST-9]).
public struct ListingSchedule: Sendable {
    /// How long a listing lives: a seller that went away is forgotten within it.
    public static let lifetimeSeconds: Int64 = 86_400
    /// A listing with less than that to live is published anew.
    public static let renewalSeconds: Int64 = lifetimeSeconds / 2

    public enum Action: Sendable, Equatable {
        /// Under the name of the service.
        case publish(String, JSONObject)
        case withdraw(String)
    }

    /// The body of each service that is to be found, by its name.
    public var offered: [String: JSONObject]

    public init(offered: [String: JSONObject]) {
        self.offered = offered
    }

    /// What is to be done, by name.
    /// - Parameter standing: the node's own listings and tombstones that are in the store, of a name one.
    public func actions(standing: [Record], now: Timestamp) -> [Action] {
        var found: [String: Record] = [:]
        for record in standing where record.key.kind == Listing.kind.name { found[record.key.name] = record }
        var actions: [(name: String, action: Action)] = []
        for (name, body) in offered where !Self.stands(found[name], saying: body, now: now) {
            actions.append((name, .publish(name, body)))
        }
        for (name, record) in found where offered[name] == nil && !record.isTombstone {
            actions.append((name, .withdraw(name)))
        }
        return actions.sorted { $0.name < $1.name }.map(\.action)
    }

    private static func stands(_ record: Record?, saying body: JSONObject, now: Timestamp) -> Bool {
        guard let record, let said = record.body, said == body else { return false }
        return record.expires > now.adding(seconds: renewalSeconds)
    }
}
