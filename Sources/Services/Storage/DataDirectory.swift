internal import Foundation

/// A node's folder: mode 0700, held by one process at a time through a lock on the file `lock`.
///
/// The lock goes with the process, however it ends.
public final class DataDirectory: Sendable {
    public let path: String
    private let lockDescriptor: Int32

    /// Opens the folder, creating it where it is missing, and takes its lock.
    /// - Throws: `StorageError`: `locked` with the holder's process id, `notPermitted` with what to change.
    public init(path: String) throws(StorageError) {
        self.path = path
        try Self.createFolder(path)
        let lockPath = path + "/lock"
        let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw StorageError(.notPermitted, "\(lockPath): \(Self.reason()): check the folder's owner and mode")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var text = [UInt8](repeating: 0, count: 32)
            let count = read(descriptor, &text, text.count)
            close(descriptor)
            let holder = String(decoding: text.prefix(max(count, 0)), as: UTF8.self)
                .trimmingCharacters(in: .whitespacesAndNewlines)
            throw StorageError(
                .locked,
                "\(path) is in use by another mintmark process\(holder.isEmpty ? "" : " (pid \(holder))")"
            )
        }
        let pid = [UInt8]("\(getpid())\n".utf8)
        ftruncate(descriptor, 0)
        _ = pwrite(descriptor, pid, pid.count, 0)
        lockDescriptor = descriptor
    }

    deinit {
        close(lockDescriptor)
    }

    /// The path of a file in the folder.
    public func file(_ name: String) -> String { path + "/" + name }

    /// Whether a process holds the folder's lock now.
    public static func isHeld(path: String) -> Bool {
        let descriptor = open(path + "/lock", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return errno == EWOULDBLOCK }
        return false
    }

    /// Writes a file of mode 0600 whole or not at all: a new file beside it, flushed to the disk, then renamed.
    public func replaceFile(_ name: String, with bytes: [UInt8]) throws(StorageError) {
        let target = file(name)
        let temporary = target + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure(temporary) }
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let error = Self.failure(temporary)
                close(descriptor)
                unlink(temporary)
                throw error
            }
            written += count
        }
        guard fsync(descriptor) == 0, close(descriptor) == 0, rename(temporary, target) == 0 else {
            let error = Self.failure(target)
            unlink(temporary)
            throw error
        }
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }

    private static func createFolder(_ path: String) throws(StorageError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
        } catch {
            throw StorageError(.notPermitted, "\(path) cannot be created: \(error.localizedDescription)")
        }
        var facts = stat()
        guard stat(path, &facts) == 0 else { throw failure(path) }
        guard facts.st_uid == geteuid() else {
            throw StorageError(.notPermitted, "\(path) belongs to another user: run as its owner, or choose another")
        }
        guard facts.st_mode & 0o077 == 0 else {
            throw StorageError(.notPermitted, "\(path) can be read by others: run chmod 700 \(path)")
        }
    }

    private static func reason() -> String { String(cString: strerror(errno)) }

    private static func failure(_ path: String) -> StorageError {
        errno == ENOSPC || errno == EDQUOT
            ? StorageError(.full, "no room to write \(path): free some space; nothing was changed")
            : StorageError(.notPermitted, "\(path): \(reason())")
    }
}
