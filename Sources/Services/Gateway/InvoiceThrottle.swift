import Cryptography
import Encodings
import NIOCore
import Synchronization

/// How sparingly invoices are made ([GRA-7]), for calls and for deposits together: whoever makes one asks here first.
final class InvoiceThrottle: Sendable {
    let limits: InvoiceLimits
    private let limiter = RateLimiter()

    init(_ limits: InvoiceLimits) { self.limits = limits }

    /// Takes one of what is allowed to an address's group, and to all together.
    func allows(_ group: String, now: Timestamp) -> Bool {
        let moment = NIODeadline.uptimeNanoseconds(UInt64(max(0, now.millisecondsSince1970)) * 1_000_000)
        return limiter.take("all", limit: limits.all, now: moment) == nil
            && limiter.take(group, limit: limits.perAddress, now: moment) == nil
    }

    /// Who asks for what, as a name of 32 bytes.
    static func asker(_ label: StaticString, _ parts: [String]) -> [UInt8] {
        var input = label.withUTF8Buffer { Array($0) } + [0]
        for part in parts {
            input += Array("\(part.utf8.count):".utf8)
            input += Array(part.utf8)
        }
        return Hashing.sha256(input)
    }
}

/// What is being made, by asker: who asks meanwhile waits for the same, and nobody longer than a 402 should take.
final class InvoicesInMaking<Made: Sendable>: Sendable {
    private let tasks = Mutex<[[UInt8]: Task<Made?, Never>]>([:])
    private let limit: Int

    /// - Parameter limit: the most that are made at a time.
    init(limit: Int) { self.limit = limit }

    /// - Returns: nil where there is none to be had now.
    func value(for asker: [UInt8], _ make: @escaping @Sendable () async -> Made?) async -> Made? {
        let task = tasks.withLock { table in
            if let task = table[asker] { return task }
            guard table.count < limit else { return Task { nil } }
            let task = Task { [self] in
                defer { _ = tasks.withLock { $0.removeValue(forKey: asker) } }
                return await make()
            }
            table[asker] = task
            return task
        }
        return await Patience.value(of: task, milliseconds: InvoiceDesk.waitMilliseconds)
    }
}
