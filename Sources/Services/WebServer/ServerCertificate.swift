internal import Glibc
internal import NIOSSL
internal import Synchronization

/// A server's certificate and key, which can be exchanged while it runs: a connection gets the one that is there when it begins.
public final class ServerCertificate: Sendable {
    /// What tells that a file is another one: who renews certificates replaces files or writes over them.
    private struct Stamp: Equatable {
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int

        init?(_ path: String) {
            var facts = stat()
            guard stat(path, &facts) == 0 else { return nil }
            inode = UInt64(facts.st_ino)
            size = Int64(facts.st_size)
            seconds = facts.st_mtim.tv_sec
            nanoseconds = facts.st_mtim.tv_nsec
        }
    }

    private struct State {
        var context: NIOSSLContext
        var stamps: [Stamp?]
    }

    private let certificatePath: String
    private let keyPath: String
    private let state: Mutex<State>

    /// - Throws: where the files can't be read, are no PEM, or do not belong together.
    public init(certificatePath: String, keyPath: String) throws {
        self.certificatePath = certificatePath
        self.keyPath = keyPath
        let stamps = [Stamp(certificatePath), Stamp(keyPath)]
        state = Mutex(State(context: try Self.read(certificatePath, keyPath), stamps: stamps))
    }

    var context: NIOSSLContext { state.withLock { $0.context } }

    /// Reads the files anew where they changed.
    /// - Parameter always: whether or not they look changed.
    /// - Returns: whether there is a new certificate.
    /// - Throws: where they can't be used; the old ones stay, and the files are tried again when they change again.
    public func reload(always: Bool) throws -> Bool {
        let stamps = [Stamp(certificatePath), Stamp(keyPath)]
        let isNew = state.withLock { state in
            defer { state.stamps = stamps }
            return state.stamps != stamps
        }
        guard isNew || always else { return false }
        let context = try Self.read(certificatePath, keyPath)
        state.withLock { $0.context = context }
        return true
    }

    private static func read(_ certificatePath: String, _ keyPath: String) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMFile(certificatePath)
        let key = try NIOSSLPrivateKey(file: keyPath, format: .pem)
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        tls.minimumTLSVersion = .tlsv12
        tls.applicationProtocols = ["h2", "http/1.1"]
        return try NIOSSLContext(configuration: tls)
    }
}
