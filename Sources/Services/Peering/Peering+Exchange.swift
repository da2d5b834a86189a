internal import Encodings
internal import Foundation
internal import Libp2p
internal import Logging
internal import P2PTransport

extension Peering {
    var ownProtocols: [P2PProtocol] {
        [
            P2PProtocol(PeerExchange.protocolName) { [weak self] stream in
                stream.setDeadline(seconds: 10)
                guard let self else { throw Libp2pError(.closed, "the host is closed") }
                try await stream.write(try await self.peersToTell(stream.connection))
            },
            P2PProtocol(DialBack.protocolName) { [weak self] stream in
                stream.setDeadline(seconds: 20)
                guard let self else { throw Libp2pError(.closed, "the host is closed") }
                let message = try await Self.message(of: stream, maximumBytes: DialBack.maximumBytes)
                let answer = await self.dialBack(try DialBack.addresses(in: message[...]), for: stream.connection)
                try await stream.write(answer.delimited)
            },
        ]
    }

    /// The first message of a stream.
    private static func message(of stream: P2PStream, maximumBytes: Int) async throws -> [UInt8] {
        var reader = DelimitedReader(maximumBytes: maximumBytes)
        while let bytes = try await stream.read() {
            reader.append(bytes)
            if let message = try reader.next() { return [UInt8](message) }
        }
        throw Libp2pError(.malformed, "the stream ended inside a message")
    }

    // MARK: Peers of peers

    /// The answer to who asks: some peers that are connected now and can be dialed from where the asker is.
    private func peersToTell(_ asker: P2PConnection) async throws -> [UInt8] {
        let now = now
        guard now - (answered[asker.peer] ?? .min / 2) >= configuration.answerSeconds * 1_000 else {
            throw Libp2pError(.limitExceeded, "the peer asks too often")
        }
        answered[asker.peer] = now
        let connected = try await running().connections().map(\.peer)
        var records: [[UInt8]] = []
        for peer in Set(connected).shuffled(using: &random) where peer != asker.peer {
            guard records.count < PeerExchange.maximumRecords, let entry = book.entry(peer), let record = entry.record,
                let reach = asker.remoteAddress?.reach, bans.admits(nil, peer),
                entry.addresses.contains(where: { $0.address.reach.map { $0 >= reach } ?? false })
            else { continue }
            records.append(record)
        }
        return PeerExchange.answer(records)
    }

    /// Asks one of the peers that this side chose, now and then, while there are too few.
    func askAgain(_ connections: [P2PConnection]) async {
        guard now - asked >= configuration.exchangeSeconds * 1_000 else { return }
        let outbound = connections.filter { !$0.isInbound }
        guard outbound.count < configuration.outbound, let chosen = outbound.randomElement(using: &random) else {
            return
        }
        if let told = try? await chosen.identified(), told.protocols.contains(PeerExchange.protocolName) {
            askForPeers(chosen)
        }
        if reached.isStale(at: now, seconds: configuration.dialBackSeconds),
            let other = outbound.randomElement(using: &random), let told = try? await other.identified(),
            told.protocols.contains(DialBack.protocolName)
        {
            askToDialBack(other, observed: told.observedAddress)
        }
    }

    func askForPeers(_ connection: P2PConnection) {
        asked = now
        run { peering in
            do {
                let message = try await connection.withStream([PeerExchange.protocolName], deadlineSeconds: 10) {
                    stream in
                    stream.finish()
                    return try await Self.message(of: stream, maximumBytes: PeerExchange.maximumBytes)
                }
                await peering.take(message, from: connection)
            } catch {
                // A peer that does not answer is none the worse.
            }
        }
    }

    private func take(_ message: [UInt8], from connection: P2PConnection) async {
        do throws(Libp2pError) {
            learn(try PeerExchange.records(in: message[...]), from: connection)
        } catch {
            logger.info("peer passed on what nobody signed", metadata: ["peer": "\(connection.peer)"])
            if bans.offended(connection.peer, at: connection.remoteAddress, .violation) { host?.recheck() }
        }
    }

    /// Peers that another one passed on, by their own word.
    func learn(_ records: [SealedPeerRecord], from connection: P2PConnection) {
        for record in records.prefix(PeerExchange.maximumRecords) {
            book.learn(record, .exchange, reach: connection.remoteAddress?.reach, teller: connection.peer, at: now)
        }
    }

    // MARK: Dialing back

    /// Whether others can dial this node: asks one that it dialed itself.
    func askToDialBack(_ connection: P2PConnection, observed: Multiaddr?) {
        guard reached.wants(connection.peer, at: now, seconds: configuration.dialBackSeconds) else { return }
        run { peering in
            let addresses = await peering.addressesToAsk(observed)
            guard !addresses.isEmpty else { return }
            do {
                let message = try await connection.withStream([DialBack.protocolName], deadlineSeconds: 25) { stream in
                    try await stream.write(DialBack.question(addresses))
                    stream.finish()
                    return try await Self.message(of: stream, maximumBytes: DialBack.maximumBytes)
                }
                await peering.take(try DialBack.Answer(message[...]), of: addresses, from: connection.peer)
            } catch {
                // Nothing is known by it.
            }
        }
    }

    /// Those that are announced, and the address that the peer sees with each port that is listened on.
    private func addressesToAsk(_ observed: Multiaddr?) async -> [Multiaddr] {
        var addresses: [Multiaddr] = []
        let listening = (try? await host?.listenAddresses()) ?? []
        if let ip = observed?.parts.first, observed?.reach != nil {
            for port in listening.compactMap({ $0.tcpEndpoint?.port }) {
                if let address = try? Multiaddr([ip, .tcp(port)]) { addresses.append(address) }
            }
        }
        for address in announced where !addresses.contains(address) { addresses.append(address) }
        return Array(addresses.prefix(DialBack.maximumAddresses))
    }

    private func take(_ answer: DialBack.Answer, of addresses: [Multiaddr], from peer: PeerID) async {
        reached.take(answer, asked: addresses, from: peer, at: now)
        await refreshAddresses()
    }

    /// Serves one who asks ([GSP-6] to [GSP-8]).
    private func dialBack(_ addresses: [Multiaddr], for asker: P2PConnection) async -> DialBack.Answer {
        guard let host, let origin = asker.remoteAddress, let place = origin.place else {
            return DialBack.Answer(.refused)
        }
        let allowed = DialBack.allowed(addresses, from: origin)
        // Behind a proxy strangers come from this machine too; it is dialed only by a node that lives on it alone.
        let listening = (try? await host.listenAddresses()) ?? []
        guard !allowed.isEmpty, origin.reach != .machine || listening.allSatisfy({ $0.reach == .machine }),
            dialBacks.take(
                place,
                at: now,
                placeSeconds: configuration.dialBackPlaceSeconds,
                perMinute: configuration.dialBacksPerMinute
            )
        else { return DialBack.Answer(.refused) }
        for address in allowed {
            guard let named = try? address.naming(asker.peer) else { continue }
            do {
                try await host.probe(named, seconds: 4)
                return DialBack.Answer(.reachable, address: address)
            } catch {
                continue
            }
        }
        return DialBack.Answer(.unreachable)
    }

    /// Work that ends with the host.
    private func run(_ work: @escaping @Sendable (Peering) async -> Void) {
        guard dials.count < 64 else { return }
        dialNumber += 1
        let number = dialNumber
        dials[number] = Task { [weak self] in
            if let self { await work(self) }
            await self?.finished(number)
        }
    }

    private func finished(_ number: UInt64) { dials[number] = nil }
}
