internal import Encodings
internal import Foundation
internal import Libp2p
internal import Logging
internal import NIOCore
internal import P2PTransport

extension Peering {
    /// Dials that are begun in one round, and that are under way at most.
    private static let dialsPerRound = 4
    private static let dialsAtOnce = 16

    /// Dials whom the operator added, and others until there are enough connections that this side chose ([GSP-3]).
    func dialSome(_ connections: [P2PConnection]) async {
        guard host != nil else { return }
        let now = now
        let connected = Set(connections.map(\.peer)).union(dialing.keys)
        var missing = configuration.outbound - connections.count { !$0.isInbound } - dialing.count
        var near: [[UInt8]: Int] = [:]
        for connection in connections where !connection.isInbound {
            if let place = Self.neighbourhood(connection.remoteAddress) { near[place, default: 0] += 1 }
        }
        for case .some(let place) in dialing.values { near[place, default: 0] += 1 }
        let candidates = book.candidates(at: now, connected: connected, using: &random) { [bans] peer, address in
            bans.admits(address, peer)
        }
        var begun = 0
        for candidate in candidates where begun < Self.dialsPerRound && dialing.count < Self.dialsAtOnce {
            guard candidate.isManual || missing > 0 else { break }
            let place = candidate.addresses.lazy.compactMap(Self.neighbourhood).first
            if let place, !candidate.isManual, near[place, default: 0] >= configuration.outboundPerNeighbourhood {
                continue
            }
            if let place { near[place, default: 0] += 1 }
            begin(candidate.peer, Array(candidate.addresses.prefix(3)), place)
            missing -= 1
            begun += 1
        }
    }

    /// Only of the internet: on a local network all peers are neighbours.
    private static func neighbourhood(_ address: Multiaddr?) -> [UInt8]? {
        address?.reach == .internet ? address?.neighbourhood : nil
    }

    private func begin(_ peer: PeerID, _ addresses: [Multiaddr], _ place: [UInt8]?) {
        dialing[peer] = .some(place)
        dialNumber += 1
        let number = dialNumber
        dials[number] = Task { [weak self] in
            _ = try? await self?.dial(peer, addresses)
            await self?.ended(number, peer)
        }
    }

    private func ended(_ number: UInt64, _ peer: PeerID) {
        dials[number] = nil
        dialing[peer] = nil
    }

    /// One address after the other, until the peer answers.
    /// - Throws: what was wrong with the last.
    @discardableResult
    func dial(_ peer: PeerID, _ addresses: [Multiaddr]) async throws -> P2PConnection {
        let host = try running()
        var last: any Error = Libp2pError(.unreachable, "no address of the peer is known")
        for address in addresses {
            do {
                let connection = try await host.dial(address.naming(peer))
                book.reached(peer, at: address, now)
                return connection
            } catch {
                last = error
                if Task.isCancelled { throw error }
            }
        }
        // Where this side had no room the peer is not to blame.
        let code = (last as? Libp2pError)?.code
        if code != .limitExceeded {
            let jitter = Double.random(in: 0...1, using: &random)
            book.failed(peer, at: addresses, now, jitter: jitter, isUnreachable: code == .unreachable)
        }
        throw last
    }

    // MARK: Own addresses

    /// What others are told: the configuration's addresses, else what is listened on, with every address of this machine in
    /// place of "all", and where others have dialed back to. Peers hear of it when it changes (identify/push).
    func refreshAddresses() async {
        guard let host else { return }
        var addresses = configuration.announce.map(\.withoutPeer)
        if addresses.isEmpty {
            let own = Self.ownIPs()
            for listening in (try? await host.listenAddresses()) ?? [] {
                addresses += Self.expanded(listening, own)
            }
            addresses += reached.confirmed(at: now)
        }
        var seen: Set<Multiaddr> = []
        addresses = Array(addresses.filter { seen.insert($0).inserted }.prefix(16))
        guard addresses != announced else { return }
        announced = addresses
        try? await host.announce(addresses)
        discovery?.setAddresses(addresses.filter { $0.reach != .machine })
        // Peers that do not take it hold up nobody.
        Task { try? await host.pushIdentity() }
    }

    static func expanded(_ address: Multiaddr, _ own: [Multiaddr.Part]) -> [Multiaddr] {
        guard let first = address.parts.first, let port = address.tcpEndpoint?.port else { return [] }
        switch first {
        case .ip4(let bytes) where bytes.allSatisfy({ $0 == 0 }):
            return own.compactMap { part in
                guard case .ip4 = part else { return nil }
                return try? Multiaddr([part, .tcp(port)])
            }
        case .ip6(let bytes) where bytes.allSatisfy({ $0 == 0 }):
            return own.compactMap { part in try? Multiaddr([part, .tcp(port)]) }
        default: return [address.withoutPeer]
        }
    }

    /// The addresses of this machine that others may know: no loopback, none that hold only on one link.
    private static func ownIPs() -> [Multiaddr.Part] {
        ((try? System.enumerateDevices()) ?? []).compactMap { device in
            guard let ip = device.address?.ipAddress,
                let address = try? Multiaddr(
                    parsing: ip.utf8.contains(UInt8(ascii: ":")) ? "/ip6/\(ip)" : "/ip4/\(ip)"
                ),
                let reach = address.reach, reach > .machine
            else { return nil }
            return address.parts.first
        }
    }
}
