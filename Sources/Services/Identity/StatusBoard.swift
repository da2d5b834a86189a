import Cryptography
import Encodings
import Passports
import SignedDocuments
import Synchronization

/// Where in the lists a passport's two bits stand.
struct StatusPlace: Hashable, Sendable {
    var revocationList: Int64
    var revocationIndex: Int
    var suspensionList: Int64
    var suspensionIndex: Int
}

/// A list as it stands in memory.
struct BoardList: Sendable {
    var number: Int64
    var purpose: StatusPurpose
    var sequence: UInt64
    /// What is published.
    var bits: StatusBitmap
    /// Of a revocation list: which of its passports are suspended, for the Token Status List of the same number.
    var suspended = StatusBitmap()
    /// Which indices a passport holds.
    var taken: StatusBitmap
    var takenCount: Int
}

/// The status lists of this node, in memory: the passports' rows are their truth, this is what every call reads.
///
/// Indices are drawn at random, so that neighbours in a list say nothing of when or to whom they were given.
final class StatusBoard: Sendable {
    private struct State {
        var lists: [Int64: BoardList] = [:]
        /// The list of each purpose that new passports are put on.
        var current: [StatusPurpose: Int64] = [:]
    }

    private let state = Mutex(State())

    /// A list takes passports until it is half full, so that a free index is found in two draws on average.
    static let fillLimit = StatusBitmap.minimumEntries / 2

    init() {}

    // MARK: Loading

    func load(_ lists: [BoardList]) {
        state.withLock { state in
            for list in lists { Self.add(list, to: &state) }
        }
    }

    func add(_ list: BoardList) {
        state.withLock { Self.add(list, to: &$0) }
    }

    private static func add(_ list: BoardList, to state: inout State) {
        state.lists[list.number] = list
        let newest = state.current[list.purpose] ?? 0
        if list.number > newest { state.current[list.purpose] = list.number }
    }

    /// Which purposes need a new list before another passport can be placed.
    func purposesWithoutRoom() -> [StatusPurpose] {
        state.withLock { state in
            [.revocation, .suspension].filter { Self.roomiest($0, state) == nil }
        }
    }

    private static func roomiest(_ purpose: StatusPurpose, _ state: State) -> Int64? {
        if let number = state.current[purpose], let list = state.lists[number], list.takenCount < fillLimit {
            return number
        }
        return state.lists.values
            .filter { $0.purpose == purpose && $0.takenCount < fillLimit }
            .min { $0.takenCount < $1.takenCount }?.number
    }

    // MARK: Places

    /// Draws a free place on both lists and holds it, or `nil` where a list is missing or full.
    func take() -> StatusPlace? {
        state.withLock { state in
            guard let revocation = Self.roomiest(.revocation, state), let suspension = Self.roomiest(.suspension, state)
            else { return nil }
            return StatusPlace(
                revocationList: revocation,
                revocationIndex: Self.draw(revocation, &state),
                suspensionList: suspension,
                suspensionIndex: Self.draw(suspension, &state)
            )
        }
    }

    /// A random free index; the list is at most half full.
    private static func draw(_ number: Int64, _ state: inout State) -> Int {
        guard var list = state.lists.removeValue(forKey: number) else { return 0 }
        defer { state.lists[number] = list }
        var generator = SystemRandomNumberGenerator()
        var index = Int.random(in: 0..<list.taken.count, using: &generator)
        while list.taken.isSet(index) == true {
            index = Int.random(in: 0..<list.taken.count, using: &generator)
        }
        list.taken.set(index)
        list.takenCount += 1
        return index
    }

    /// Gives places back: of passports that were not issued after all, or that lapsed long ago. Their bits are cleared;
    /// where that changes what is published, `sequences` has the lists' new sequences.
    func release(_ places: [StatusPlace], sequences: [Int64: UInt64] = [:]) {
        state.withLock { state in
            for (number, sequence) in sequences { state.lists[number]?.sequence = sequence }
            for place in places {
                Self.release(place.revocationIndex, of: place.revocationList, &state)
                Self.release(place.suspensionIndex, of: place.suspensionList, &state)
            }
        }
    }

    private static func release(_ index: Int, of number: Int64, _ state: inout State) {
        guard var list = state.lists.removeValue(forKey: number) else { return }
        defer { state.lists[number] = list }
        if list.taken.isSet(index) == true {
            list.taken.set(index, to: false)
            list.takenCount -= 1
        }
        list.bits.set(index, to: false)
        list.suspended.set(index, to: false)
    }

    // MARK: Bits

    /// Publishes a change that is on the disk already.
    func apply(purpose: StatusPurpose, places: [StatusPlace], value: Bool, sequences: [Int64: UInt64]) {
        state.withLock { state in
            for place in places {
                let (number, index) =
                    purpose == .revocation
                    ? (place.revocationList, place.revocationIndex) : (place.suspensionList, place.suspensionIndex)
                guard var list = state.lists.removeValue(forKey: number) else { continue }
                list.bits.set(index, to: value)
                state.lists[number] = list
                guard purpose == .suspension, var revocations = state.lists.removeValue(forKey: place.revocationList)
                else { continue }
                revocations.suspended.set(place.revocationIndex, to: value)
                state.lists[place.revocationList] = revocations
            }
            for (number, sequence) in sequences { state.lists[number]?.sequence = sequence }
        }
    }

    func list(_ number: Int64) -> BoardList? {
        state.withLock { $0.lists[number] }
    }

    /// One bit, without copying the list.
    func isSet(_ number: Int64, purpose: StatusPurpose, index: Int) -> Bool? {
        state.withLock { state in
            guard let list = state.lists[number], list.purpose == purpose else { return nil }
            return list.bits.isSet(index)
        }
    }

    var numbers: [Int64] {
        state.withLock { $0.lists.keys.sorted() }
    }
}
