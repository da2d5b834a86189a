internal import Encodings
internal import Foundation
public import Libp2p
internal import Logging
public import P2PTransport

extension Peering {
    /// Peers that are known or connected: the connected first.
    public func peers() async -> [PeerView] {
        let now = now
        var views: [PeerView] = []
        var shown: Set<PeerID> = []
        for connection in (try? await host?.connections()) ?? [] where shown.insert(connection.peer).inserted {
            var view = view(connection.peer)
            view.direction = connection.isInbound ? "inbound" : "outbound"
            view.remoteAddress = connection.remoteAddress
            view.agent = (try? await connection.identified())?.agentVersion
            view.score = try? await host?.score(of: connection.peer)
            view.lastConnected = now
            views.append(view)
        }
        views.sort { $0.peer < $1.peer }
        return views + book.all.filter { !shown.contains($0.peer) }.map { view($0.peer) }
    }

    private func view(_ peer: PeerID) -> PeerView {
        let entry = book.entry(peer)
        return PeerView(
            peer: peer,
            addresses: entry?.addresses ?? [],
            lastConnected: entry?.lastConnected,
            failures: entry?.failures ?? 0,
            notBefore: entry.map(\.notBefore).flatMap { $0 > now ? $0 : nil },
            ban: bans.with { book, now in book.isBanned(.peer(peer), at: now) ? book.ban(.peer(peer)) : nil }
        )
    }

    public func bansInForce() -> [BanBook.Ban] { bans.with { $0.inForce(at: $1) } }

    /// Adds a peer, keeps a connection with it from now on, and dials it where the host runs.
    /// - Parameter address: with the peer's id; a host name may stand in it.
    /// - Returns: whether it is connected.
    /// - Throws: `PeeringError`; `Libp2pError` where it cannot be reached now, and then it is kept and tried again.
    @discardableResult
    public func add(_ address: Multiaddr) async throws -> Bool {
        guard let endpoint = address.tcpEndpoint, let peer = endpoint.peer else {
            throw PeeringError(
                .invalid,
                "a peer is added by its address and id: /ip4/192.0.2.7/tcp/4402/p2p/12D3Koo…, not \(address)"
            )
        }
        guard peer != peerID else { throw PeeringError(.invalid, "this is the node itself") }
        guard bans.admits(address, peer) else {
            throw PeeringError(
                .invalid,
                "\(peer), or where it is, is banned here: `mintmark peers unban` takes that back"
            )
        }
        guard book.choose(peer, address, .manual, at: now) else {
            throw PeeringError(.full, "as many peers were added as may be: \(PeerBook.maximumChosen)")
        }
        await save()
        guard host != nil else { return false }
        try await dial(peer, [address.withoutPeer])
        return true
    }

    /// Forgets a peer; a connection with it stays.
    public func remove(_ peer: PeerID) async throws {
        guard book.forget(peer) else { throw PeeringError(.unknown, "the peer \(peer) is not known here") }
        await save()
    }

    /// Bans somebody and breaks the connections that fall under it.
    /// - Parameter seconds: nil: until it is taken back.
    public func ban(_ subject: BanBook.Subject, seconds: Int64?, reason: String) async throws {
        if subject == .peer(peerID) { throw PeeringError(.invalid, "this is the node itself") }
        guard bans.with({ $0.ban(subject, seconds: seconds, reason: reason, at: $1) }) else {
            throw PeeringError(.full, "there are as many bans as may be: \(BanBook.maximumManual)")
        }
        host?.recheck()
        await save()
    }

    /// - Throws: `PeeringError` `.unknown` where there is no ban on it.
    public func unban(_ subject: BanBook.Subject) async throws {
        guard bans.with({ book, _ in book.unban(subject) }) else {
            throw PeeringError(.unknown, "there is no ban on it")
        }
        await save()
    }

    /// The peer's score by its parts, and its strikes.
    public func standing(of peer: PeerID) async -> (standing: GossipStanding?, strikes: Double, ban: BanBook.Ban?) {
        let (strikes, ban) = bans.with { book, now in
            (book.strikes(.peer(peer), at: now), book.isBanned(.peer(peer), at: now) ? book.ban(.peer(peer)) : nil)
        }
        return ((try? await host?.standing(of: peer)) ?? nil, strikes, ban)
    }

    /// What passes from now on, of one topic or of all that are subscribed to. A topic that nothing here subscribes to is
    /// joined for as long as it is watched, and nothing of it is passed on. Who reads too slowly misses some.
    /// - Throws: `PeeringError` `.notRunning`, or `.full` where as many watch as may.
    public func watch(_ topic: String?) async throws -> AsyncStream<GossipPassage> {
        let host = try running()
        guard let (number, stream) = watchers.add(topic) else {
            throw PeeringError(.full, "as many watch as may: \(Watchers.maximum)")
        }
        if let topic {
            do {
                try await host.observe(topic)
            } catch {
                watchers.remove(number)
                throw error
            }
        }
        watchers.onEnd(number) {
            guard let topic else { return }
            Task { try? await host.stopObserving(topic) }
        }
        return stream
    }
}
