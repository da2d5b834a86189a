internal import Lightning
internal import Synchronization

/// A fact that does not change, asked for until it is known and then kept.
final class Remembered<Value: Sendable>: Sendable {
    private let known = Mutex<Value?>(nil)

    func value(_ ask: () async throws(LightningError) -> Value) async throws(LightningError) -> Value {
        if let value = known.withLock({ $0 }) { return value }
        let value = try await ask()
        known.withLock { $0 = value }
        return value
    }
}
