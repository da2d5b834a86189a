internal import Synchronization

/// The epoch that is under way: rows written now belong to it (`Specs/proof-of-liabilities.md`, [POL-1]).
///
/// It is read and changed by the store's writer only, inside its transactions, which run one after the other. So every row
/// that was committed before an epoch closed carries at most its number, and every later one a greater.
final class OpenEpoch: Sendable {
    private let value: Mutex<Int64>

    init(_ number: Int64) {
        value = Mutex(number)
    }

    var number: Int64 {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}
