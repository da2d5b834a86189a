internal import Dispatch
public import Identity
public import Logging
internal import NIOCore
public import SignedDocuments
internal import Synchronization

/// The issuer's keys in a `mintmark vault` process, over its socket.
///
/// A signature is waited for on the thread that asks. Where the vault is away, locked or overrun, the answer
/// is `.keyUnavailable` at once; where it hangs, after ``VaultLine/answerMilliseconds``, once, and then it counts as away.
public struct SocketVault: KeyVault {
    public let node: DocumentSigner
    public let p256: DocumentKey
    let line: VaultLine

    /// Reaches the vault.
    /// - Parameters:
    ///   - path: of its socket.
    ///   - patienceSeconds: how long to try.
    /// - Throws: `VaultError`.
    public static func open(path: String, patienceSeconds: Int64 = 15, logger: Logger) async throws -> SocketVault {
        try await open(
            path: path,
            patienceSeconds: patienceSeconds,
            answerMilliseconds: VaultLine.answerMilliseconds,
            logger: logger
        )
    }

    static func open(
        path: String,
        patienceSeconds: Int64,
        answerMilliseconds: Int64,
        logger: Logger
    ) async throws -> SocketVault {
        let line = try await VaultLine.open(
            path: path,
            role: .node,
            patienceSeconds: patienceSeconds,
            answerMilliseconds: answerMilliseconds,
            logger: logger
        )
        do {
            return try SocketVault(line)
        } catch {
            await line.close()
            throw error
        }
    }

    init(_ line: VaultLine) throws {
        guard let greeting = line.greeting else { throw VaultError(.unreachable, "the vault has not greeted") }
        self.line = line
        node = try DocumentSigner(heldBy: Key(line: line, name: .node, did: try DIDKey(parsing: greeting.node)))
        p256 = try DocumentKey(heldBy: Key(line: line, name: .p256, did: try DIDKey(parsing: greeting.p256)))
    }

    public func didKey(_ number: Int) throws -> DocumentSigner {
        guard let number = UInt32(exactly: number) else {
            throw DocumentError(.notSignable, "there is no entry \(number)")
        }
        guard case .did(let text) = try Self.answer(of: .didKey(number), on: line) else {
            throw DocumentError(.notSignable, "the vault answers something else than was asked")
        }
        return try DocumentSigner(heldBy: Key(line: line, name: .did(number), did: try DIDKey(parsing: text)))
    }

    /// Ends the connection. Nothing is signed any more.
    public func close() async { await line.close() }

    /// Waits for the answer on this thread, which is never one of the line's own.
    private static func answer(of request: VaultRequest, on line: VaultLine) throws -> VaultReply {
        do {
            let answer = Answer()
            try line.send(request).whenComplete { answer.come($0) }
            return try answer.wait(milliseconds: line.answerMilliseconds + 1000)
        } catch let error as VaultError {
            throw DocumentError(
                error.code.mayPass ? .keyUnavailable : .notSignable,
                "the vault does not sign: \(error.message)"
            )
        }
    }

    /// An answer that a thread waits for, not longer than it must.
    private final class Answer: Sendable {
        private let result = Mutex<Result<VaultReply, any Error>?>(nil)
        private let isThere = DispatchSemaphore(value: 0)

        func come(_ answer: Result<VaultReply, any Error>) {
            result.withLock { $0 = answer }
            isThere.signal()
        }

        func wait(milliseconds: Int64) throws -> VaultReply {
            guard isThere.wait(timeout: .now() + .milliseconds(Int(milliseconds))) == .success,
                let answer = result.withLock({ $0 })
            else { throw VaultError(.unreachable, "the vault did not answer in time; nothing was signed") }
            return try answer.get()
        }
    }

    private struct Key: SigningKey {
        let line: VaultLine
        let name: VaultKeyName
        let did: DIDKey

        var isAvailable: Bool { line.isUp }

        func sign(_ input: SigningInput) throws -> [UInt8] {
            guard case .signature(let bytes) = try SocketVault.answer(of: .sign(name, input), on: line) else {
                throw DocumentError(.notSignable, "the vault answers something else than was asked")
            }
            return bytes
        }
    }
}
