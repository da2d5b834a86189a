extension GossipSub {
    /// Keeps meshes in size and good company, spreads gossip and lets the old go: once every heartbeat.
    public mutating func heartbeat(at now: Int64) {
        ticks += 1
        breakPromises(at: now)
        scores.decay(at: now)
        expire(at: now)
        for peer in peers.keys.filter({ !accepts($0, at: now) }).sorted() { act(.cutOff(peer)) }
        for topic in mesh.keys.sorted() {
            keepMesh(topic, at: now)
            gossip(topic, except: mesh[topic] ?? [], at: now)
        }
        for topic in fanout.keys.sorted() { keepFanout(topic, at: now) }
        cache.shift()
    }

    private mutating func breakPromises(at now: Int64) {
        for (id, promise) in promises where promise.until <= now {
            scores.misbehaved(promise.peer)
            promises[id] = nil
        }
    }

    private mutating func expire(at now: Int64) {
        for topic in Array(backoff.keys) {
            backoff[topic] = backoff[topic]?.filter { $0.value > now }
            if backoff[topic]?.isEmpty == true { backoff[topic] = nil }
        }
        for peer in Array(peers.keys) {
            guard var state = peers[peer] else { continue }
            state.haveMessages = 0
            state.askedIDs = 0
            if !state.dontWant.isEmpty { state.dontWant = state.dontWant.filter { $0.value > ticks } }
            peers[peer] = state
        }
    }

    private mutating func keepMesh(_ topic: String, at now: Int64) {
        for peer in (mesh[topic] ?? []).sorted() where scores.score(of: peer, at: now) < 0 {
            prune(peer, topic, at: now)
        }
        var members = mesh[topic] ?? []
        if members.count < parameters.degreeLow {
            for peer in pick(parameters.degree - members.count, of: eligible(topic, at: now)) {
                graft(peer, topic, at: now)
            }
        } else if members.count > parameters.degreeHigh {
            let kept = keep(members, at: now)
            for peer in members.subtracting(kept).sorted() { prune(peer, topic, at: now) }
        }
        members = mesh[topic] ?? []
        let outbound = members.count { peers[$0]?.isOutbound == true }
        if members.count >= parameters.degreeLow, outbound < parameters.degreeOutbound {
            let others = eligible(topic, at: now).filter { peers[$0]?.isOutbound == true }
            for peer in pick(parameters.degreeOutbound - outbound, of: others) { graft(peer, topic, at: now) }
        }
        if ticks.isMultiple(of: parameters.opportunisticGraftTicks) { graftBetter(topic, at: now) }
    }

    /// Whom a mesh that is too large keeps: the best, and by chance, with enough that this side dialed.
    private mutating func keep(_ members: Set<PeerID>, at now: Int64) -> Set<PeerID> {
        let ranked = members.sorted().shuffled(using: &random)
            .sorted { scores.score(of: $0, at: now) > scores.score(of: $1, at: now) }
        let best = ranked.prefix(parameters.degreeScore)
        var chosen = Array(best) + ranked.dropFirst(best.count).shuffled(using: &random)
        let outbound = chosen.prefix(parameters.degree).count { peers[$0]?.isOutbound == true }
        if outbound < parameters.degreeOutbound {
            // Those that this side dialed move up, in front of the others that were chosen by chance.
            let wanted = chosen.dropFirst(parameters.degree).filter { peers[$0]?.isOutbound == true }
                .prefix(parameters.degreeOutbound - outbound)
            chosen.removeAll { wanted.contains($0) }
            chosen.insert(contentsOf: wanted, at: min(best.count, chosen.count))
        }
        return Set(chosen.prefix(parameters.degree))
    }

    /// A mesh of poor company takes in some of the better peers outside it.
    private mutating func graftBetter(_ topic: String, at now: Int64) {
        let members = (mesh[topic] ?? []).map { scores.score(of: $0, at: now) }.sorted()
        guard members.count > 1 else { return }
        let median = members[members.count / 2]
        guard median < thresholds.opportunisticGraft else { return }
        let better = eligible(topic, at: now).filter { scores.score(of: $0, at: now) > median }
        for peer in pick(parameters.opportunisticGraftPeers, of: better) { graft(peer, topic, at: now) }
    }

    private mutating func keepFanout(_ topic: String, at now: Int64) {
        guard var out = fanout[topic], now - out.publishedAt < parameters.fanoutMilliseconds else {
            fanout[topic] = nil
            return
        }
        out.peers = out.peers.filter { scores.score(of: $0, at: now) >= thresholds.publish }
        if out.peers.count < parameters.degree {
            let others = (subscribers[topic] ?? []).filter {
                !out.peers.contains($0) && scores.score(of: $0, at: now) >= thresholds.publish
            }
            out.peers.formUnion(pick(parameters.degree - out.peers.count, of: others.sorted()))
        }
        fanout[topic] = out
        gossip(topic, except: out.peers, at: now)
    }

    /// Tells some peers outside the mesh what there is.
    private mutating func gossip(_ topic: String, except members: Set<PeerID>, at now: Int64) {
        let ids = cache.ids(of: topic, windows: parameters.historyGossip)
        guard !ids.isEmpty else { return }
        let able = (subscribers[topic] ?? []).filter {
            !members.contains($0) && scores.score(of: $0, at: now) >= thresholds.gossip
        }.sorted()
        let count = max(parameters.degreeLazy, Int(parameters.gossipFactor * Double(able.count)))
        for peer in pick(count, of: able) {
            // Each peer is told others where they are too many, so that together they hear of all.
            let told =
                ids.count <= parameters.maximumHaveIDs
                ? ids : Array(ids.shuffled(using: &random).prefix(parameters.maximumHaveIDs))
            tell(peer) { $0.have.append(.init(topic: topic, ids: told)) }
        }
    }
}
