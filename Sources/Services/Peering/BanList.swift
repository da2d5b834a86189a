internal import Encodings
internal import Libp2p
internal import P2PTransport
internal import Synchronization

/// The bans as the host asks for them, from its event loop, and as they are changed from elsewhere.
final class BanList: Sendable {
    private let book: Mutex<BanBook>
    private let clock: WallClock

    init(_ book: BanBook, clock: WallClock) {
        self.book = Mutex(book)
        self.clock = clock
    }

    private var now: Int64 { clock.now().millisecondsSince1970 }

    func admits(_ address: Multiaddr?, _ peer: PeerID?) -> Bool {
        let now = now
        return book.withLock { book in
            if let peer, book.isBanned(.peer(peer), at: now) { return false }
            if let place = address?.place, book.isBanned(.place(place), at: now) { return false }
            return true
        }
    }

    func with<Value>(_ work: (inout BanBook, Int64) -> Value) -> Value {
        let now = now
        return book.withLock { work(&$0, now) }
    }

    /// Judges what the host tells.
    /// - Returns: whether somebody is banned now who was not before.
    func judge(_ event: P2PEvent) -> Bool {
        switch event {
        case .disconnected(let connection, let error):
            guard let offence = Self.offence(error.code) else { return false }
            return offended(connection.peer, at: connection.remoteAddress, offence)
        case .handshakeFailed(let address, isInbound: true, let error):
            guard Self.handshakeOffences.contains(error.code) else { return false }
            return with { book, now in book.offended(from: Self.place(address), .handshake, at: now) }
        default: return false
        }
    }

    func offended(_ peer: PeerID, at address: Multiaddr?, _ offence: BanBook.Offence) -> Bool {
        with { book, now in book.offended(peer, from: Self.place(address), offence, at: now) }
    }

    /// Behind an address of a private network or of this machine many may stand, such as behind a proxy.
    private static func place(_ address: Multiaddr?) -> [UInt8]? {
        address?.reach == .internet ? address?.place : nil
    }

    /// What a proved peer is answerable for. Not what does not open: others on the way can bring that about.
    private static func offence(_ code: Libp2pError.Code) -> BanBook.Offence? {
        switch code {
        case .standingTooLow: .graylisted
        case .protocolViolation, .malformed, .tooLarge, .limitExceeded: .violation
        default: nil
        }
    }

    private static let handshakeOffences: Set<Libp2pError.Code> = [
        .malformed, .tooLarge, .invalidKey, .invalidSignature, .protocolViolation, .authenticationFailed, .timedOut,
    ]
}
