internal import Encodings
internal import Foundation
internal import Libp2p
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Multicast DNS on the machine's IPv4 networks: one socket each.
final class LocalDiscovery: Sendable {
    private let engine: Mutex<LocalPeerDiscovery>
    private let channels = Mutex<[any Channel]>([])
    private let asking = Mutex<Task<Void, Never>?>(nil)
    private let group: SocketAddress
    private let onFound: @Sendable ([Multiaddr], Multiaddr?) -> Void

    /// - Parameter onFound: addresses with the ids of their peers, and where that was said.
    init(
        peer: PeerID,
        addresses: [Multiaddr],
        port: UInt16,
        onFound: @escaping @Sendable ([Multiaddr], Multiaddr?) -> Void
    ) throws {
        // Says nothing about who it is.
        let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
        let name = String((0..<40).map { _ in letters[Int.random(in: 0..<letters.count)] })
        engine = Mutex(LocalPeerDiscovery(peer: peer, addresses: addresses, name: name))
        group = try SocketAddress(ipAddress: LocalPeerDiscovery.group, port: Int(port))
        self.onFound = onFound
    }

    func setAddresses(_ addresses: [Multiaddr]) { engine.withLock { $0.addresses = addresses } }

    /// - Returns: on how many networks it listens.
    func start() async -> Int {
        let devices = ((try? System.enumerateDevices()) ?? []).filter { device in
            guard case .v4 = device.address else { return false }
            return device.multicastSupported
        }
        var open: [any Channel] = []
        // Where no device says that it can, the system's choice is tried.
        for device in devices.isEmpty ? [nil] : devices.map(Optional.some) {
            if let channel = try? await listen(on: device) { open.append(channel) }
        }
        channels.withLock { $0 = open }
        let count = open.count
        asking.withLock { asking in
            asking = Task { [weak self] in
                // At once, soon again, since the first may be lost, then every minute.
                for seconds in [1, 3] + [Int](repeating: 60, count: 1 << 20) {
                    self?.send(LocalPeerDiscovery.query)
                    guard (try? await Task.sleep(for: .seconds(seconds))) != nil else { return }
                }
            }
        }
        return count
    }

    private func listen(on device: NIONetworkDevice?) async throws -> any Channel {
        let handler = DatagramHandler { [weak self] bytes, sender in self?.received(bytes, from: sender) }
        let channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.socketOption(.so_reuseaddr), value: 1)
            .channelOption(.socketOption(.init(rawValue: SO_REUSEPORT)), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler) }
            }
            .bind(host: "0.0.0.0", port: group.port ?? Int(LocalPeerDiscovery.port)).get()
        do {
            guard let multicast = channel as? any MulticastChannel else { throw ChannelError.operationUnsupported }
            try await multicast.joinGroup(group, device: device).get()
            if let ip = device?.address?.ipAddress, let bytes = (try? Multiaddr(parsing: "/ip4/\(ip)"))?.place {
                // The bytes of the address, in the order of the network.
                let value = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }.bigEndian
                try await (channel as? any SocketOptionProvider)?
                    .unsafeSetSocketOption(level: .ip, name: .ip_multicast_if, value: value).get()
            }
            return channel
        } catch {
            try? await channel.close()
            throw error
        }
    }

    func stop() async {
        asking.withLock { $0?.cancel() }
        let open = channels.withLock { channels in
            defer { channels = [] }
            return channels
        }
        for channel in open { try? await channel.close() }
    }

    private func send(_ bytes: [UInt8]) {
        for channel in channels.withLock({ $0 }) {
            channel.writeAndFlush(AddressedEnvelope(remoteAddress: group, data: ByteBuffer(bytes: bytes)), promise: nil)
        }
    }

    private func received(_ bytes: [UInt8], from sender: SocketAddress) {
        guard let ip = sender.ipAddress, let address = try? Multiaddr(parsing: "/ip4/\(ip)") else { return }
        let now = Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000)
        for action in engine.withLock({ $0.receive(bytes, from: address.place ?? [], at: now) }) {
            switch action {
            case .answer(let bytes): send(bytes)
            case .found(let addresses): onFound(addresses, address)
            }
        }
    }
}

private final class DatagramHandler: ChannelInboundHandler, Sendable {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let received: @Sendable ([UInt8], SocketAddress) -> Void

    init(_ received: @escaping @Sendable ([UInt8], SocketAddress) -> Void) {
        self.received = received
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard envelope.data.readableBytes <= LocalPeerDiscovery.maximumBytes else { return }
        received([UInt8](envelope.data.readableBytesView), envelope.remoteAddress)
    }

    // A datagram that could not be sent or read is one that is lost.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

extension Peering {
    func startLocalDiscovery() async {
        let addresses = announced.filter { $0.reach != .machine }
        do {
            let discovery = try LocalDiscovery(peer: peerID, addresses: addresses, port: configuration.localPort) {
                [weak self] found, sender in
                Task { await self?.found(found, from: sender) }
            }
            let count = await discovery.start()
            guard count > 0 else {
                logger.warning("no network takes multicast: peers on the local network are not looked for")
                return
            }
            self.discovery = discovery
        } catch {
            logger.warning("peers on the local network are not looked for", metadata: ["error": "\(error)"])
        }
    }

    private func found(_ addresses: [Multiaddr], from sender: Multiaddr?) {
        for address in addresses { book.find(address, reach: sender?.reach, at: now) }
    }
}
