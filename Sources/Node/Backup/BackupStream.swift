internal import Cryptography
internal import Foundation

/// A file that is read or written from its start to its end, in pieces.
final class SequentialFile {
    let path: String
    private var descriptor: Int32

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    static func reading(_ path: String) throws -> SequentialFile {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("read", path) }
        return SequentialFile(path: path, descriptor: descriptor)
    }

    /// A new file of mode 0600.
    static func creating(_ path: String) throws -> SequentialFile {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("make", path) }
        return SequentialFile(path: path, descriptor: descriptor)
    }

    static func failure(_ verb: String, _ path: String) -> BackupError {
        let reason = errno == ENOSPC || errno == EDQUOT ? "no room is left" : String(cString: strerror(errno))
        return BackupError(.notPermitted, "cannot \(verb) \(path): \(reason)")
    }

    var size: UInt64 {
        get throws {
            var facts = stat()
            guard fstat(descriptor, &facts) == 0 else { throw Self.failure("read", path) }
            return UInt64(max(facts.st_size, 0))
        }
    }

    /// Up to `count` bytes; fewer at the end of the file only.
    func read(_ count: Int) throws -> [UInt8] {
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = Foundation.read(descriptor, buffer.baseAddress.map { $0 + filled }, count - filled)
                if got < 0, errno == EINTR { continue }
                failed = got < 0
                guard got > 0 else { return }
                filled += got
            }
        }
        if failed { throw Self.failure("read", path) }
        return bytes
    }

    func write(_ bytes: [UInt8]) throws {
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure("write", path) }
            written += count
        }
    }

    /// To the disk, and closed.
    func finish() throws {
        let result = fsync(descriptor)
        let saved = errno
        close(descriptor)
        descriptor = -1
        guard result == 0 else {
            errno = saved
            throw Self.failure("write", path)
        }
    }

    static func syncFolder(of path: String) throws {
        let folder = URL(filePath: path).deletingLastPathComponent().path
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open", folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("write", folder) }
    }
}

extension UInt32 {
    fileprivate var bigEndianBytes: [UInt8] {
        (0..<4).reversed().map { UInt8(truncatingIfNeeded: self >> (8 * UInt32($0))) }
    }

    fileprivate init(bigEndianBytes bytes: [UInt8]) { self = bytes.reduce(0) { $0 << 8 | UInt32($1) } }
}

/// Writes a backup, frame by frame.
struct BackupWriter {
    private let file: SequentialFile
    private let key: BackupFormat.FrameKey
    private var index: UInt64 = 0

    init(_ file: SequentialFile, header: BackupHeader, backupKey: [UInt8]) throws {
        self.file = file
        let bytes = header.bytes
        key = BackupFormat.FrameKey(backupKey: backupKey, salt: header.salt, header: bytes)
        try file.write(BackupFormat.magic + UInt32(bytes.count).bigEndianBytes + bytes)
    }

    mutating func write(_ bytes: [UInt8], _ kind: BackupFormat.Kind) throws {
        let sealed = try key.seal(bytes, kind, index)
        try file.write(UInt32(sealed.count).bigEndianBytes + sealed)
        index += 1
    }

    /// Seals the whole of a backup from a copy of the database.
    mutating func writeAll(
        _ manifest: BackupManifest,
        database: SequentialFile,
        progress: (UInt64) -> Void
    ) throws {
        try write(manifest.bytes, .manifest)
        var done: UInt64 = 0
        while done < manifest.databaseBytes {
            let bytes = try database.read(Int(min(UInt64(BackupFormat.chunkBytes), manifest.databaseBytes - done)))
            guard !bytes.isEmpty else { throw BackupError(.damaged, "the copy of the database ended too soon") }
            try write(bytes, .data)
            done += UInt64(bytes.count)
            progress(done)
        }
        try write([], .end)
        try file.finish()
    }
}

/// Reads a backup and checks every byte of it.
struct BackupReader {
    let header: BackupHeader
    private let path: String
    private let headerBytes: [UInt8]

    /// Reads what stands in the clear.
    init(path: String) throws {
        self.path = path
        let file = try SequentialFile.reading(path)
        headerBytes = try Self.header(file)
        header = try BackupHeader(bytes: headerBytes)
    }

    private static func header(_ file: SequentialFile) throws -> [UInt8] {
        guard try file.read(BackupFormat.magic.count) == BackupFormat.magic else {
            throw BackupError(.damaged, "\(file.path) is not a backup of mintmark")
        }
        let length = try count(file, maximum: BackupFormat.maximumHeaderBytes)
        let bytes = try file.read(length)
        guard bytes.count == length else { throw BackupError(.damaged, "\(file.path) is cut short") }
        return bytes
    }

    private static func count(_ file: SequentialFile, maximum: Int) throws -> Int {
        let bytes = try file.read(4)
        let count = Int(UInt32(bigEndianBytes: bytes))
        guard bytes.count == 4, count > 0, count <= maximum else {
            throw BackupError(.damaged, "\(file.path) is cut short, or its frames are damaged")
        }
        return count
    }

    /// Goes through the whole file once; what is not as it was sealed is an error before `take` sees it.
    /// - Parameter take: gets the database's bytes in order.
    func read(backupKey: [UInt8], take: ([UInt8]) throws -> Void, progress: (UInt64, UInt64) -> Void) throws
        -> BackupManifest
    {
        let file = try SequentialFile.reading(path)
        guard try Self.header(file) == headerBytes else {
            throw BackupError(.damaged, "\(path) was changed while it was read")
        }
        let key = BackupFormat.FrameKey(backupKey: backupKey, salt: header.salt, header: headerBytes)
        var index: UInt64 = 0
        func frame(_ kind: BackupFormat.Kind) throws -> [UInt8] {
            let maximum = max(BackupFormat.chunkBytes, BackupFormat.maximumManifestBytes) + Sealing.overhead
            let length = try Self.count(file, maximum: maximum)
            let sealed = try file.read(length)
            guard sealed.count == length else { throw BackupError(.damaged, "\(path) is cut short") }
            defer { index += 1 }
            return try key.open(sealed, kind, index)
        }
        let manifest = try BackupManifest(bytes: try frame(.manifest))
        var done: UInt64 = 0
        while done < manifest.databaseBytes {
            let bytes = try frame(.data)
            done += UInt64(bytes.count)
            guard !bytes.isEmpty, done <= manifest.databaseBytes else {
                throw BackupError(.damaged, "\(path) holds another amount of data than it says")
            }
            try take(bytes)
            progress(done, manifest.databaseBytes)
        }
        guard try frame(.end).isEmpty, try file.read(1).isEmpty else {
            throw BackupError(.damaged, "\(path) does not end as it was sealed")
        }
        return manifest
    }
}
