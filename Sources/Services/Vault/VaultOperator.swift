public import CanonicalJSON
public import Logging
internal import NIOCore

/// What the operator asks of a running vault, over its socket.
public struct VaultOperator: Sendable {
    private let line: VaultLine
    /// To unlock takes a scrypt, which a small or busy machine takes its time for.
    private static let answerMilliseconds: Int64 = 60_000

    /// - Throws: `VaultError`.
    public static func open(path: String, logger: Logger) async throws -> VaultOperator {
        VaultOperator(
            line: try await VaultLine.open(
                path: path,
                role: .keeper,
                patienceSeconds: 0,
                answerMilliseconds: answerMilliseconds,
                logger: logger
            )
        )
    }

    /// - Throws: `VaultError`.
    public func status() async throws -> JSONValue {
        guard case .status(let value) = try await line.send(.status).get() else {
            throw VaultError(.malformed, "the vault answers something else than was asked")
        }
        return value
    }

    /// Forgets the keys until ``unlock(_:)``.
    public func lock() async throws { _ = try await line.send(.lock).get() }

    /// - Throws: `VaultError` `.wrongPassphrase`, `.busy` where it was tried too often.
    public func unlock(_ passphrase: [UInt8]) async throws { _ = try await line.send(.unlock(passphrase)).get() }

    public func close() async { await line.close() }
}
