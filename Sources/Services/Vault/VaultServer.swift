internal import Foundation
internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A vault's Unix socket. Who connects is told by the kernel (SO_PEERCRED), not by what it says ([VLT-1]).
public final class VaultServer: Sendable {
    private let channel: any Channel
    private let group: MultiThreadedEventLoopGroup
    private let path: String
    private let door: VaultDoor

    /// Listens.
    /// - Parameter path: of the socket, in a folder that only its owner can write to. A file that is there is replaced:
    ///   the caller holds the lock of the vault's folder.
    /// - Throws: `VaultError` `.failed` where the folder is open to others, or the path is too long.
    public static func listen(at path: String, keeper: VaultKeeper) async throws -> VaultServer {
        guard path.utf8.count <= 100 else {
            throw VaultError(.failed, "\(path) is too long for a socket: 100 bytes at most")
        }
        let folder = URL(filePath: path).deletingLastPathComponent().path
        var facts = stat()
        guard stat(folder, &facts) == 0, facts.st_uid == geteuid(), facts.st_mode & 0o022 == 0 else {
            throw VaultError(.failed, "\(folder) must be this user's, and nobody else may write to it")
        }
        unlink(path)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let door = VaultDoor(keeper: keeper)
        do {
            let channel = try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 16)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(VaultSession(door: door))
                    }
                }
                .bind(unixDomainSocketPath: path).get()
            // Other users reach it only where the operator let them; then the kernel's word on who they are decides.
            chmod(path, keeper.limits.nodeUsers.isEmpty ? 0o600 : 0o666)
            return VaultServer(channel: channel, group: group, path: path, door: door)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private init(channel: any Channel, group: MultiThreadedEventLoopGroup, path: String, door: VaultDoor) {
        self.channel = channel
        self.group = group
        self.path = path
        self.door = door
    }

    /// Stops listening and ends the connections.
    public func close() async {
        try? await channel.close()
        door.closeAll()
        try? await group.shutdownGracefully()
        unlink(path)
    }
}

/// What all connections of one vault share.
final class VaultDoor: Sendable {
    private struct State {
        var open: [ObjectIdentifier: any Channel] = [:]
        /// The connection of the one node, and its process.
        var node: (channel: ObjectIdentifier, process: Int32)?
    }

    let keeper: VaultKeeper
    private let state = Mutex(State())

    init(keeper: VaultKeeper) {
        self.keeper = keeper
    }

    /// - Throws: `VaultError` `.busy` where too many are connected.
    func enter(_ channel: any Channel) throws(VaultError) {
        let isIn = state.withLock { state in
            guard state.open.count < keeper.limits.connections else { return false }
            state.open[ObjectIdentifier(channel)] = channel
            return true
        }
        guard isIn else { throw VaultError(.busy, "\(keeper.limits.connections) are connected to the vault already") }
    }

    /// One node alone: two with the same keys would each hold a truth of its own about what was spent ([VLT-4]).
    func admitNode(_ channel: any Channel, process: Int32) throws(VaultError) {
        let other = state.withLock { state -> Int32? in
            if let node = state.node, node.channel != ObjectIdentifier(channel) { return node.process }
            state.node = (ObjectIdentifier(channel), process)
            return nil
        }
        if let other { throw VaultError(.inUse, "another node is connected to the vault (pid \(other))") }
    }

    /// A locked vault has no node: it comes back when there is something to be had.
    func dismissNode() {
        let channel = state.withLock { state in state.node.flatMap { state.open[$0.channel] } }
        channel?.close(promise: nil)
    }

    func leave(_ channel: any Channel) {
        state.withLock { state in
            state.open[ObjectIdentifier(channel)] = nil
            if state.node?.channel == ObjectIdentifier(channel) { state.node = nil }
        }
    }

    func closeAll() {
        for channel in state.withLock({ Array($0.open.values) }) { channel.close(promise: nil) }
    }
}
