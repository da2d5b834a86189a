extension GossipSub {
    /// Takes one RPC of a peer, without its length.
    /// - Throws: `Libp2pError`: what was sent is no RPC; the peer's standing is lower for it.
    public mutating func receive(_ bytes: ArraySlice<UInt8>, from peer: PeerID, at now: Int64) throws(Libp2pError) {
        guard peers[peer] != nil else { return }
        // Who is listened to no more goes at once: a heartbeat of such a flood is ten thousand messages.
        guard accepts(peer, at: now) else { return act(.cutOff(peer)) }
        let rpc: GossipRPC
        do throws(Libp2pError) {
            rpc = try GossipRPC(bytes)
        } catch {
            scores.misbehaved(peer)
            counts.malformed += 1
            throw error
        }
        for subscription in rpc.subscriptions { take(subscription, from: peer, at: now) }
        for message in rpc.messages {
            // Looked at each time: the first few bad ones are the last that cost anything.
            guard accepts(peer, at: now) else { return act(.cutOff(peer)) }
            take(message, from: peer, at: now)
        }
        for prune in rpc.prune { take(prune, from: peer, at: now) }
        for topic in rpc.graft { takeGraft(topic, from: peer, at: now) }
        for have in rpc.have { take(have, from: peer, at: now) }
        takeWant(rpc.want, from: peer, at: now)
        takeDontWant(rpc.dontWant, from: peer)
    }

    private mutating func take(_ subscription: GossipRPC.Subscription, from peer: PeerID, at now: Int64) {
        let topic = subscription.topic
        if subscription.subscribes {
            guard !topic.isEmpty, (peers[peer]?.topics.count ?? 0) < parameters.maximumPeerTopics,
                peers[peer]?.topics.insert(topic).inserted == true
            else { return }
            subscribers[topic, default: []].insert(peer)
            // A mesh that lacks peers does not wait for the heartbeat.
            if let members = mesh[topic], members.count < parameters.degreeLow, backoff[topic]?[peer] == nil,
                scores.score(of: peer, at: now) >= 0
            {
                graft(peer, topic, at: now)
            }
        } else {
            guard peers[peer]?.topics.remove(topic) != nil else { return }
            unlist(peer, topic)
            if mesh[topic]?.remove(peer) != nil { scores.prune(peer, topic, at: now) }
            fanout[topic]?.peers.remove(peer)
        }
    }

    /// The peer began an RPC and did not end it in time.
    public mutating func stalled(_ peer: PeerID) { scores.misbehaved(peer) }

    // MARK: Messages

    private mutating func take(_ bytes: ArraySlice<UInt8>, from peer: PeerID, at now: Int64) {
        counts.received += 1
        guard bytes.count <= parameters.maximumMessageBytes else {
            counts.malformed += 1
            return scores.misbehaved(peer)
        }
        let message: GossipMessage
        let id: GossipMessageID
        do throws(Libp2pError) {
            let fields = try GossipMessageFields(protobuf: bytes)
            id = fields.id
            // Most of what comes is a copy: nothing of it is used, so no more of it is read.
            if seen.contains(id), !fields.from.elementsEqual(peerID.bytes) {
                promises[id] = nil
                return takeCopy(of: id, fields.topicName, from: peer)
            }
            message = try GossipMessage(fields)
        } catch {
            counts.malformed += 1
            return scores.misbehaved(peer)
        }
        promises[id] = nil
        guard mesh[message.topic] != nil, message.from != peerID else { return }
        guard validating.count < parameters.maximumValidating,
            validatingBytes + message.data.count <= parameters.maximumValidatingBytes
        else {
            counts.overflowed += 1
            return
        }
        // Before the id is remembered: a forged message must not keep the true one out.
        guard !parameters.checksSignatures || message.isSigned else {
            counts.rejected += 1
            return scores.deliveredInvalid(peer, message.topic)
        }
        _ = seen.insert(id, at: now)
        validating[id] = Validating(message: message, from: [peer])
        validatingBytes += message.data.count
        if bytes.count >= parameters.dontWantBytes {
            for other in mesh[message.topic] ?? [] where other != peer && peers[other]?.speaksDontWant == true {
                tell(other) { $0.dontWant.append(id) }
            }
        }
        act(.validate(message, from: peer))
    }

    private mutating func takeCopy(of id: GossipMessageID, _ topic: String?, from peer: PeerID) {
        guard let topic, mesh[topic] != nil else { return }
        counts.duplicates += 1
        if validating[id]?.from.contains(peer) == false { validating[id]?.from.append(peer) }
        scores.deliveredAgain(peer, topic)
    }

    /// Says what a message is worth that was to be validated; a second time does nothing.
    public mutating func validated(_ id: GossipMessageID, _ verdict: Verdict, at now: Int64) {
        guard let entry = validating.removeValue(forKey: id), let first = entry.from.first else { return }
        let message = entry.message
        validatingBytes -= message.data.count
        switch verdict {
        case .ignore: counts.ignored += 1
        case .reject:
            counts.rejected += 1
            for peer in entry.from { scores.deliveredInvalid(peer, message.topic) }
        case .accept:
            counts.accepted += 1
            scores.deliveredFirst(first, message.topic)
            for peer in entry.from.dropFirst() { scores.deliveredAgain(peer, message.topic) }
            let frame = GossipRPC.delimited(message: message.protobuf)
            cache.put(id, MessageCache.Entry(topic: message.topic, frame: frame))
            let to = (mesh[message.topic] ?? []).filter {
                $0 != message.from && !entry.from.contains($0) && wants($0, id)
            }
            counts.sent += UInt64(to.count)
            if !to.isEmpty { act(.send(to.sorted(), frame)) }
        }
    }

    // MARK: Control

    private mutating func takeGraft(_ topic: String, from peer: PeerID, at now: Int64) {
        // Topics that are not ours are not answered: whoever invents them gets nothing for it.
        guard let members = mesh[topic], !members.contains(peer) else { return }
        if let until = backoff[topic]?[peer], until > now {
            scores.misbehaved(peer)
            return prune(peer, topic, at: now)
        }
        let isFull = members.count >= parameters.degreeHigh && peers[peer]?.isOutbound != true
        guard !isFull, scores.score(of: peer, at: now) >= 0 else { return prune(peer, topic, at: now) }
        // Who grafts is in the topic, whether it said so before or not.
        if peers[peer]?.topics.contains(topic) != true {
            guard (peers[peer]?.topics.count ?? 0) < parameters.maximumPeerTopics else { return }
            peers[peer]?.topics.insert(topic)
            subscribers[topic, default: []].insert(peer)
        }
        mesh[topic]?.insert(peer)
        scores.graft(peer, topic, at: now)
    }

    private mutating func take(_ prune: GossipRPC.Prune, from peer: PeerID, at now: Int64) {
        guard mesh[prune.topic] != nil else { return }
        if mesh[prune.topic]?.remove(peer) != nil { scores.prune(peer, prune.topic, at: now) }
        back(off: peer, prune.topic, seconds: prune.backoffSeconds ?? parameters.pruneBackoffSeconds, at: now)
        guard !prune.peers.isEmpty, scores.score(of: peer, at: now) >= thresholds.acceptExchange else { return }
        var records: [SealedPeerRecord] = []
        for info in prune.peers.prefix(parameters.exchangedPeers) where info.peer != peerID {
            // Without its record a peer cannot be told from an invention.
            guard peers[info.peer] == nil, let sealed = info.signedRecord else { continue }
            guard let record = try? SealedPeerRecord(opening: sealed), record.record.peer == info.peer else {
                // Whoever passes records on has checked them.
                scores.misbehaved(peer)
                continue
            }
            records.append(record)
        }
        if !records.isEmpty { act(.connect(records, from: peer)) }
    }

    private mutating func take(_ have: GossipRPC.Have, from peer: PeerID, at now: Int64) {
        guard var state = peers[peer], scores.score(of: peer, at: now) >= thresholds.gossip else { return }
        state.haveMessages += 1
        defer { peers[peer] = state }
        guard mesh[have.topic] != nil, state.haveMessages <= parameters.maximumHaveMessages else { return }
        let room = parameters.maximumHaveIDs - state.askedIDs
        let missing = have.ids.filter { !seen.contains($0) && promises[$0] == nil }
        let asked = missing.count <= room ? missing : Array(missing.shuffled(using: &random).prefix(max(0, room)))
        guard let promised = asked.randomElement(using: &random) else { return }
        state.askedIDs += asked.count
        promises[promised] = (peer, now + parameters.followUpMilliseconds)
        tell(peer) { $0.want += asked }
    }

    private mutating func takeWant(_ ids: [GossipMessageID], from peer: PeerID, at now: Int64) {
        guard !ids.isEmpty, scores.score(of: peer, at: now) >= thresholds.gossip else { return }
        for id in ids where wants(peer, id) {
            guard let frame = cache.frame(id, for: peer, atMost: parameters.retransmissions) else { continue }
            counts.sent += 1
            act(.send([peer], frame))
        }
    }

    private mutating func takeDontWant(_ ids: [GossipMessageID], from peer: PeerID) {
        for id in ids where (peers[peer]?.dontWant.count ?? 0) < parameters.maximumDontWantIDs {
            peers[peer]?.dontWant[id] = ticks + 3
        }
    }
}
