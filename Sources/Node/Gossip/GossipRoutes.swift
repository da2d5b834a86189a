internal import CanonicalJSON
internal import Encodings
internal import Foundation
internal import Hummingbird
internal import Libp2p
internal import NIOCore
internal import P2PTransport
internal import Peering
internal import Storage

/// The operator's view of the gossip network: `/api/peers` and `/api/gossip`.
struct GossipRoutes: Sendable {
    let gossip: GossipNode?

    /// How often a watcher hears that nothing passed, so that one who went away is noticed.
    private static let silence = Duration.seconds(10)
    private static let maximumBanSeconds: Int64 = 10 * 365 * 86_400

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        let peers = group.group("peers")
        peers.get("") { _, _ in await OperatorResponses.answering { .object(try await list()) } }
        peers.post("") { request, _ in
            await OperatorResponses.answering {
                let text = try await OperatorResponses.object(request).string("address")
                guard let address = try? Multiaddr(parsing: text) else {
                    throw PeeringError(
                        .invalid,
                        "this is no address such as /ip4/192.0.2.7/tcp/4402/p2p/12D3Koo…"
                    )
                }
                return ["peer": peer(address), "connected": .bool(try await peering().add(address))]
            }
        }
        peers.delete("{id}") { _, context in
            await OperatorResponses.answering {
                let peer = try Self.peer(context.parameters.require("id"))
                try await peering().remove(peer)
                return ["peer": .string(peer.description), "removed": true]
            }
        }
        peers.get("{id}/score") { _, context in
            await OperatorResponses.answering { try await score(Self.peer(context.parameters.require("id"))) }
        }
        peers.post("bans") { request, _ in
            await OperatorResponses.answering { try await ban(await OperatorResponses.object(request)) }
        }
        peers.post("unban") { request, _ in
            await OperatorResponses.answering {
                let text = try await OperatorResponses.object(request).string("subject")
                try await peering().unban(try Self.subject(text))
                return ["subject": .string(text), "unbanned": true]
            }
        }
        group.get("gossip/watch") { request, _ in
            do {
                let topic = request.uri.queryParameters["topic"].map(String.init)
                return Self.streamed(try await peering().watch(topic))
            } catch {
                return OperatorResponses.problem(OperatorProblem.of(error))
            }
        }
    }

    private func peering() throws -> Peering {
        guard let gossip else { throw PeeringError(.notRunning, "gossip is turned off here: set gossip.enabled=true") }
        return gossip.peering
    }

    // MARK: Peers and bans

    private func list() async throws -> JSONObject {
        let peering = try peering()
        var answer = await gossip?.facts() ?? JSONObject()
        answer["peers"] = .array(await peering.peers().map { .object(Self.shown($0)) })
        answer["bans"] = .array(await peering.bansInForce().map { .object(Self.shown($0)) })
        return answer
    }

    private static func shown(_ view: PeerView) -> JSONObject {
        var shown: JSONObject = [
            "peer": .string(view.peer.description), "connected": .bool(view.direction != nil),
            "failures": .integer(Int64(view.failures)),
            "addresses": .array(
                view.addresses.map { known in
                    var address: JSONObject = [
                        "address": .string(known.address.description), "source": .string(known.source.rawValue),
                    ]
                    address["lastSuccess"] = known.lastSuccess.map(time)
                    address["lastFailure"] = known.lastFailure.map(time)
                    return .object(address)
                }
            ),
        ]
        shown["direction"] = view.direction.map { .string($0) }
        shown["remoteAddress"] = view.remoteAddress.map { .string($0.description) }
        shown["agent"] = view.agent.map { .string($0) }
        shown["score"] = view.score.map { .string(number($0)) }
        shown["lastConnected"] = view.lastConnected.map(time)
        shown["nextDial"] = view.notBefore.map(time)
        shown["ban"] = view.ban.map { .object(Self.shown($0)) }
        return shown
    }

    private static func shown(_ ban: BanBook.Ban) -> JSONObject {
        var shown: JSONObject = [
            "subject": .string(text(ban.subject)), "since": time(ban.since), "reason": .string(ban.reason),
            "by": .string(ban.isManual ? "operator" : "node"), "strikes": .string(number(ban.strikes)),
        ]
        shown["until"] = ban.until.map(time)
        return shown
    }

    private func ban(_ request: JSONObject) async throws -> JSONValue {
        let text = try request.string("subject")
        let seconds = request["seconds"] == nil ? nil : try request.int64("seconds")
        let reason = request["reason"]?.stringValue ?? "by hand"
        guard seconds.map({ (1...Self.maximumBanSeconds).contains($0) }) ?? true, reason.utf8.count <= 200 else {
            throw PeeringError(
                .invalid,
                "a ban lasts a second or more, up to ten years, and its reason has at most 200 bytes"
            )
        }
        let subject = try Self.subject(text)
        try await peering().ban(subject, seconds: seconds, reason: reason)
        return ["subject": .string(Self.text(subject)), "banned": true]
    }

    private func score(_ peer: PeerID) async throws -> JSONValue {
        let (standing, strikes, ban) = try await peering().standing(of: peer)
        var shown: JSONObject = [
            "peer": .string(peer.description), "known": .bool(standing != nil),
            "strikes": .string(Self.number(strikes)),
            "score": .string(Self.number(standing?.score ?? 0)),
        ]
        if let standing {
            shown["parts"] = [
                "delivering": .string(Self.number(standing.delivering)),
                "invalid": .string(Self.number(standing.invalid)),
                "application": .string(Self.number(standing.application)),
                "colocation": .string(Self.number(standing.colocation)),
                "behaviour": .string(Self.number(standing.behaviour)),
            ]
        }
        shown["ban"] = ban.map { .object(Self.shown($0)) }
        return .object(shown)
    }

    private func peer(_ address: Multiaddr) -> JSONValue {
        address.tcpEndpoint?.peer.map { .string($0.description) } ?? .null
    }

    static func peer(_ text: String) throws -> PeerID {
        guard let peer = try? PeerID(parsing: text) else {
            throw PeeringError(.invalid, "this is no peer id such as 12D3Koo…")
        }
        return peer
    }

    /// A peer id or an IP address, alone or at the beginning of an address.
    static func subject(_ text: String) throws -> BanBook.Subject {
        if let peer = try? PeerID(parsing: text) { return .peer(peer) }
        for candidate in [text, "/ip4/\(text)", "/ip6/\(text)"] {
            if let place = (try? Multiaddr(parsing: candidate))?.place { return .place(place) }
        }
        throw PeeringError(.invalid, "what is banned is a peer id (12D3Koo…) or an IP address")
    }

    static func text(_ subject: BanBook.Subject) -> String {
        switch subject {
        case .peer(let peer): peer.description
        case .place(let place) where place.count == 4: IPAddressText.text(place)
        case .place(let place): IPAddressText.text(place + [UInt8](repeating: 0, count: 8)) + "/64"
        }
    }

    private static func time(_ milliseconds: Int64) -> JSONValue {
        .string(Timestamp(millisecondsSince1970: milliseconds).rfc3339)
    }

    private static func number(_ value: Double) -> String { String(format: "%.2f", value) }

    // MARK: Watching

    private static func streamed(_ passages: AsyncStream<GossipPassage>) -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "application/x-ndjson", .cacheControl: "no-store"],
            body: ResponseBody { writer in
                let (lines, continuation) = AsyncStream.makeStream(
                    of: [UInt8].self,
                    bufferingPolicy: .bufferingOldest(1_024)
                )
                let passing = Task {
                    for await passage in passages { continuation.yield(line(passage)) }
                    continuation.finish()
                }
                let ticking = Task {
                    while (try? await Task.sleep(for: silence)) != nil { continuation.yield([]) }
                }
                defer {
                    passing.cancel()
                    ticking.cancel()
                }
                // The head goes out at once, so that the watcher knows that he is heard.
                try await writer.write(ByteBuffer(bytes: [0x0A]))
                for await line in lines { try await writer.write(ByteBuffer(bytes: line + [0x0A])) }
                try await writer.finish(nil)
            }
        )
    }

    private static func line(_ passage: GossipPassage) -> [UInt8] {
        let verdict =
            switch passage.verdict {
            case .accept: "accepted"
            case .reject: "rejected"
            case .ignore: "ignored"
            }
        var shown: JSONObject = [
            "at": time(WallClock.system.now().millisecondsSince1970), "topic": .string(passage.message.topic),
            "publisher": .string(passage.message.from.description), "verdict": .string(verdict),
            "bytes": .integer(Int64(passage.message.data.count)),
            "data": .string(Base64URL.encode(passage.message.data)),
        ]
        shown["from"] = passage.from.map { .string($0.description) }
        return JSONValue.object(shown).serialized()
    }
}
