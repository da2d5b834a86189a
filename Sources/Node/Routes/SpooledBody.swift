internal import CanonicalJSON
internal import Cryptography
internal import Foundation
internal import Hummingbird
internal import NIOCore
internal import Wallet

/// The body of a call to be paid. A short one stays in memory; a longer one is spooled to the data directory, because
/// an attempt whose answer is lost sends it again from the beginning.
final class SpooledBody: Sendable {
    /// Kept in memory, and on disk with the payment, up to this.
    static let memoryLimitBytes = 1 << 20
    static let spoolLimitBytes: Int64 = 4 << 30

    let body: PaidBody
    private let path: String?

    private init(_ body: PaidBody, path: String? = nil) {
        self.body = body
        self.path = path
    }

    deinit {
        if let path { unlink(path) }
    }

    static func read(_ request: Request, spool folder: String) async throws -> SpooledBody {
        var head: [UInt8] = []
        var spool: Spool?
        for try await piece in request.body {
            if spool == nil, head.count + piece.readableBytes > memoryLimitBytes {
                spool = try Spool(folder: folder)
                try spool?.append(head)
            }
            if spool == nil {
                head.append(contentsOf: piece.readableBytesView)
            } else {
                try spool?.append([UInt8](piece.readableBytesView))
            }
        }
        guard var spool else { return SpooledBody(head.isEmpty ? .none : .bytes(head)) }
        return SpooledBody(spool.finish(), path: spool.path)
    }

    private struct Spool {
        let path: String
        private let handle: FileHandle
        private var hash = SHA256Stream()
        private var length: Int64 = 0

        init(folder: String) throws {
            try FileManager.default.createDirectory(
                atPath: folder,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
            path = "\(folder)/\(UUID().uuidString)"
            let created = FileManager.default.createFile(
                atPath: path,
                contents: nil,
                attributes: [.posixPermissions: 0o600]
            )
            guard created, let handle = FileHandle(forWritingAtPath: path) else {
                throw ProblemDetails(code: "spool-failed", title: "The body cannot be kept", status: 503, detail: path)
            }
            self.handle = handle
        }

        mutating func append(_ bytes: [UInt8]) throws {
            length += Int64(bytes.count)
            guard length <= SpooledBody.spoolLimitBytes else {
                throw ProblemDetails(code: "body-too-large", title: "The body is larger than 4 GiB", status: 413)
            }
            hash.update(bytes)
            try handle.write(contentsOf: Data(bytes))
        }

        mutating func finish() -> PaidBody {
            try? handle.close()
            let path = path
            return .stream(length: length, digest: hash.finalize()) { SpooledBody.pieces(of: path) }
        }
    }

    private static func pieces(of path: String) -> AsyncThrowingStream<ByteBuffer, any Error> {
        let handle = FileHandle(forReadingAtPath: path)
        return AsyncThrowingStream(unfolding: {
            guard let handle else { throw CocoaError(.fileReadNoSuchFile) }
            guard let data = try handle.read(upToCount: 64 * 1024), !data.isEmpty else {
                try handle.close()
                return nil
            }
            return ByteBuffer(bytes: data)
        })
    }
}
