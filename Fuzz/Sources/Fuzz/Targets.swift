import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Ethereum
import Foundation
import Libp2p
import Lightning
import Paywall

/// What was taken and then not read again from its own writing.
func again<T>(_ what: String, _ read: () throws -> T) -> T {
    do {
        return try read()
    } catch {
        preconditionFailure("\(what) cannot be read again: \(error)")
    }
}

/// What is fuzzed, by the name in `FUZZ_TARGET`. Each parses the bytes; whatever it took must come back the same from
/// its own writing. Refusals are what most inputs end with; a trap, too much memory or time is a finding.
enum FuzzTarget: String, CaseIterable {
    case token, request, secret, invoice, json, cbor, macaroon, challenge, x402, rlp, peer, yamux, gossip
    case record, negentropy, discovery

    static let chosen: FuzzTarget = {
        let name = ProcessInfo.processInfo.environment["FUZZ_TARGET"] ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            preconditionFailure("set FUZZ_TARGET to one of \(allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return target
    }()

    func run(_ bytes: [UInt8]) throws {
        switch self {
        case .token: try Self.token(bytes)
        case .request: try Self.request(bytes)
        case .secret: try Self.secret(bytes)
        case .invoice: try Self.invoice(bytes)
        case .json: try Self.json(bytes)
        case .cbor: try Self.cbor(bytes)
        case .macaroon: try Self.macaroon(bytes)
        case .challenge: try Self.challenge(bytes)
        case .x402: try Self.x402(bytes)
        case .rlp: try Self.rlp(bytes)
        case .peer: try Self.peer(bytes)
        case .yamux: try Self.yamux(bytes)
        case .gossip: try Self.gossip(bytes)
        case .discovery: Self.discovery(bytes)
        case .record: try RecordTargets.record(bytes)
        case .negentropy: try RecordTargets.negentropy(bytes)
        }
    }

    /// Addresses, peer ids, keys and what a peer tells about itself.
    private static func peer(_ bytes: [UInt8]) throws {
        if let address = try? Multiaddr(bytes: bytes) {
            precondition(address.bytes == bytes, "an address changes as it is written")
            precondition(again("an address") { try Multiaddr(parsing: address.description) } == address)
        }
        if let address = try? Multiaddr(parsing: text(bytes)) {
            precondition(again("an address") { try Multiaddr(bytes: address.bytes) } == address)
        }
        if let peer = try? PeerID(bytes: bytes) {
            precondition(again("a peer id") { try PeerID(parsing: peer.base36) } == peer)
        }
        _ = try? PeerID(parsing: text(bytes))
        _ = try? SignedEnvelope(opening: bytes, domain: "fuzz")
        var negotiation = ProtocolNegotiation(accepting: ["/a"])
        _ = try? negotiation.receive(bytes)
        var identify = Identify()
        try identify.merge(bytes[...])
        precondition(identify.listenAddresses.count <= 64 && identify.protocols.count <= 256)
    }

    /// A session that is sent the bytes in two pieces, and whose reader reads every other piece of data.
    private static func yamux(_ bytes: [UInt8]) throws {
        var session = Yamux(isDialer: false)
        let cut = bytes.count * 2 / 3
        for part in [bytes[..<cut], bytes[cut...]] {
            for case .data(let id, let data) in try session.receive(part) where data.count % 2 == 0 {
                session.consumed(data.count, on: id)
            }
            precondition(session.streamCount <= 256 && session.outputCount <= 1 << 20)
            _ = session.takeOutput()
        }
    }

    private static let names = (1...2).compactMap { number in
        try? Ed25519.PrivateKey(seed: [UInt8](repeating: number, count: 32))
    }.map { PeerKey($0).peerID }

    /// An RPC for a node that subscribes to `a`, and what a heartbeat makes of it.
    private static func gossip(_ bytes: [UInt8]) throws {
        var parameters = GossipParameters()
        parameters.checksSignatures = false
        var node = GossipSub(peerID: names[0], parameters: parameters, seed: 1)
        try node.subscribe("a", at: 0)
        node.addPeer(names[1], address: nil, isOutbound: false, speaksDontWant: true, at: 0)
        try node.receive(bytes[...], from: names[1], at: 1)
        for case .validate(let message, _) in node.takeActions() { node.validated(message.id, .accept, at: 2) }
        node.heartbeat(at: 5_000)
        _ = node.takeActions()
        precondition(node.meshPeers(of: "a").count <= 1 && node.topics == ["a"])
    }

    /// A datagram of multicast DNS, and what peers tell of others and ask to be dialed at.
    private static func discovery(_ bytes: [UInt8]) {
        var local = LocalPeerDiscovery(peer: names[0], addresses: own, name: "fuzz")
        for action in local.receive(bytes, from: [1], at: 0) {
            guard case .found(let found) = action else { continue }
            precondition(!found.isEmpty && found.count <= LocalPeerDiscovery.addressesPerSender)
            precondition(found.allSatisfy { $0.tcpEndpoint?.peer != nil && $0.tcpEndpoint?.peer != names[0] })
        }
        if let records = try? PeerExchange.records(in: bytes[...]) {
            precondition(records.count <= PeerExchange.maximumRecords)
        }
        if let asked = try? DialBack.addresses(in: bytes[...]) {
            let origin = asked.first
            precondition(DialBack.allowed(asked, from: origin).allSatisfy { $0.parts.first == origin?.parts.first })
        }
        if let answer = try? DialBack.Answer(bytes[...]) {
            precondition(again("an answer") { try DialBack.Answer(answer.delimited.dropFirst(answer.delimited.count > 128 ? 2 : 1)) } == answer)
        }
    }

    private static let own = [try? Multiaddr(parsing: "/ip4/10.0.0.1/tcp/1")].compactMap { $0 }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// Text with its prefix, and the CBOR that a binary token holds.
    private static func token(_ bytes: [UInt8]) throws {
        for read in [{ try Token.all(in: text(bytes)) }, { [try Token(binary: bytes)] }] {
            guard let tokens = try? read() else { continue }
            for token in tokens {
                let written = token.serialized()
                let same = again("a token") { try Token(written).serialized() }
                precondition(same == written, "a token changes as it is written")
                _ = try? token.amount()
                _ = try? token.proofs(knownKeysets: [KeysetID]())
            }
        }
    }

    private static func request(_ bytes: [UInt8]) throws {
        let written = try PaymentRequest(text(bytes)).serialized()
        let same = again("a request") { try PaymentRequest(written).serialized() }
        precondition(same == written, "a request changes as it is written")
    }

    private static func secret(_ bytes: [UInt8]) throws {
        let text = text(bytes)
        _ = try? P2PKWitness(text)
        guard case .conditional(let secret) = SecretKind(of: text) else { return }
        if let condition = try? P2PKCondition(secret: secret) { _ = condition.hasExpired(now: 1_800_000_000) }
        guard let written = try? secret.serialized() else { return }
        precondition(SecretKind(of: written) == .conditional(secret), "a secret changes as it is written")
    }

    private static func invoice(_ bytes: [UInt8]) throws {
        let invoice = try BOLT11Invoice(decoding: text(bytes))
        let same = again("an invoice") { try BOLT11Invoice(decoding: invoice.text) }
        precondition(same == invoice, "an invoice changes as it is written")
    }

    private static func json(_ bytes: [UInt8]) throws {
        let value = try JSONValue.parse(bytes)
        let same = again("a JSON value") { try JSONValue.parse(value.serialized()) }
        precondition(same == value, "a JSON value changes as it is written")
        let canonical = try value.canonicalized()
        let twice = again("a canonical form") { try JSONValue.parse(canonical).canonicalized() }
        precondition(twice == canonical, "a canonical form is not its own canonical form")
    }

    private static func cbor(_ bytes: [UInt8]) throws {
        let item = try CBOR.decode(bytes)
        let same = again("a CBOR item") { try CBOR.decode(item.encoded()) }
        precondition(same == item, "a CBOR item changes as it is written")
    }
}

extension FuzzTarget {
    /// The bytes of a macaroon; version 1 is read and written as version 2.
    private static func macaroon(_ bytes: [UInt8]) throws {
        let read = try Macaroon(serialized: bytes)
        guard let written = try? read.serialized() else { return }
        let same = again("a macaroon") { try Macaroon(serialized: written).serialized() }
        precondition(same == written, "a macaroon changes as it is written")
    }

    /// A header of a 402, or of the request that answers it: L402 and `Payment`.
    private static func challenge(_ bytes: [UInt8]) throws {
        let text = text(bytes)
        for found in L402.challenges(wwwAuthenticate: [text]) { _ = found.macaroon }
        for found in PaymentChallenge.read(wwwAuthenticate: [text]) {
            guard let written = try? found.header() else { continue }
            let same = PaymentChallenge.read(wwwAuthenticate: [written])
            precondition(same == [found], "a challenge changes as it is written")
        }
        if let read = try? L402Credential.read(authorization: [text]), let written = try? read.header() {
            let same = again("a credential") { try L402Credential.read(authorization: [written]) }
            precondition(same == read, "a credential changes as it is written")
        }
        if let read = try? PaymentCredential.read(authorization: [text]), let written = try? read.header() {
            let same = again("a credential") { try PaymentCredential.read(authorization: [written]) }
            precondition(same == read, "a credential changes as it is written")
        }
    }

    /// The JSON of x402's messages.
    private static func x402(_ bytes: [UInt8]) throws {
        let object = try X402.object(body: bytes)
        if let read = try? X402.PaymentRequired(json: object) {
            let same = again("PaymentRequired") { try X402.PaymentRequired(json: read.json) }
            precondition(same.json == read.json, "PaymentRequired changes as it is written")
        }
        let payment = try X402.PaymentPayload(json: object)
        let same = again("a payment") { try X402.PaymentPayload(json: payment.json) }
        precondition(same.json == payment.json, "a payment changes as it is written")
    }

    /// RLP is canonical: what is read is written as the same bytes.
    private static func rlp(_ bytes: [UInt8]) throws {
        _ = try? SignedTransaction(raw: bytes)
        let item = try RLP.decode(bytes)
        precondition(RLP.encode(item) == bytes, "an item is not written as it was read")
    }
}

/// What libFuzzer calls with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = start.map { Array(UnsafeBufferPointer(start: $0, count: count)) } ?? []
    // A refusal is a good answer.
    try? FuzzTarget.chosen.run(bytes)
    return 0
}
