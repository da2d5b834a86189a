public import Libp2p
public import P2PTransport

/// How a node meets others.
public struct PeeringConfiguration: Sendable {
    /// IP addresses and ports to listen on; none: it only dials.
    public var listen: [Multiaddr] = []
    /// Whether another port is taken where one of these is in use.
    public var takesOtherPorts = false
    /// What is told to others in place of what is listened on, such as the address of a router in front.
    public var announce: [Multiaddr] = []
    /// Peers to begin with, each with its id.
    public var bootstrap: [Multiaddr] = []
    /// Connections that this side dials and keeps.
    public var outbound = 8
    /// Connections that this side dials in one neighbourhood of the internet (``Multiaddr/neighbourhood``).
    public var outboundPerNeighbourhood = 2
    /// Whether peers are looked for on the local network.
    public var looksLocally = false
    /// Of multicast DNS; another one only in tests.
    public var localPort = LocalPeerDiscovery.port
    public var limits = P2PLimits()
    public var gossip = GossipParameters()
    /// How often is looked after what there is to do.
    public var roundMilliseconds: Int64 = 1_000
    /// How often others are asked for peers while there are too few.
    public var exchangeSeconds: Int64 = 30
    /// How often a peer is answered that asks for peers.
    public var answerSeconds: Int64 = 10
    /// How often others are asked whether this node can be reached.
    public var dialBackSeconds: Int64 = 600
    /// How often one place is dialed back, and how many are in a minute.
    public var dialBackPlaceSeconds: Int64 = 30
    public var dialBacksPerMinute = 30

    public init() {}
}

/// Something that uses the node's host besides peering: it has protocols of its own, and publishes and subscribes.
public protocol GossipPart: Sendable {
    /// What is served to peers; asked before the host starts.
    var protocols: [P2PProtocol] { get }
    /// The host is there, and nobody is connected yet: subscribe here.
    func start(on host: P2PHost) async throws
    /// What happened, on the host's event loop: come back at once.
    func take(_ event: P2PEvent)
    /// The host is about to close.
    func stop() async
}

/// Whether others can dial this node.
public enum Reachability: String, Sendable {
    case reachable
    case unreachable
    /// Nobody could be asked yet.
    case unknown
}

/// What the operator sees of a peer.
public struct PeerView: Sendable {
    public var peer: PeerID
    /// `inbound` or `outbound`; nil where there is no connection.
    public var direction: String?
    /// Where the connection is with.
    public var remoteAddress: Multiaddr?
    public var agent: String?
    public var score: Double?
    public var addresses: [PeerBook.Address]
    public var lastConnected: Int64?
    public var failures: Int
    public var notBefore: Int64?
    public var ban: BanBook.Ban?
}

/// What the operator is told where something is not to be had.
public struct PeeringError: Error, Sendable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// An address or a name that is none.
        public static let invalid = Code(rawValue: "invalid-request")
        /// As many as there may be.
        public static let full = Code(rawValue: "peers-full")
        /// It is not known.
        public static let unknown = Code(rawValue: "peer-unknown")
        /// The host does not run.
        public static let notRunning = Code(rawValue: "gossip-not-running")
        /// An address cannot be listened on.
        public static let addressInUse = Code(rawValue: "gossip-address-in-use")
    }

    public let code: Code
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
