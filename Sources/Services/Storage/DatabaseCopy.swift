internal import Foundation
internal import GRDB

extension Database {
    /// Writes a consistent copy of the database to a new file of mode 0600, as of one moment, while others write on.
    /// The file holds everything, with no log beside it.
    /// - Parameter path: must not be there yet; what is written of it is taken away again where the copy fails.
    /// - Throws: `StorageError`: `full`, `ioFailure`, `notPermitted`, `corrupt`.
    public func copy(to path: String) async throws {
        let source = self.path
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            // A connection and a thread of its own: the copy may take minutes, and the readers are few.
            let thread = Thread {
                do {
                    try Self.copy(source, to: path)
                    continuation.resume()
                } catch {
                    continuation.resume(throwing: error)
                }
            }
            thread.name = "mintmark-copy"
            thread.start()
        }
    }

    private static func copy(_ source: String, to path: String) throws {
        let descriptor = Foundation.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw StorageError(.notPermitted, "\(path) cannot be made: \(String(cString: strerror(errno)))")
        }
        Foundation.close(descriptor)
        do {
            var configuration = GRDB.Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
            let queue = try DatabaseQueue(path: source, configuration: configuration)
            try queue.inDatabase { try $0.execute(sql: "VACUUM INTO ?", arguments: [path]) }
            try queue.close()
        } catch {
            unlink(path)
            throw StorageError(error, path: path)
        }
    }
}
