package import Libp2p

/// A network, what befalls it, and what is published on it meanwhile.
package struct GossipScenario: Sendable {
    /// What nodes do that one attacker runs. All of them have addresses of their own, so that no address gives them away.
    package enum Attack: String, CaseIterable, Sendable {
        /// All of them are linked with one honest node, and pass nothing on to it or from it.
        case eclipse
        /// They pass on everything but the messages of one honest node.
        case censor
        /// They come as the messages do, take places in the meshes, and pass nothing on.
        case degrade
        /// They behave for a minute and earn a standing; then all stop passing on at once.
        case covertFlash
        /// They are there from the first moment, more than the honest, while the meshes form, and pass nothing on.
        case coldBoot
    }

    /// Honest nodes.
    package var nodes = 1_000
    /// Links of each with other honest nodes, about.
    package var degree = 20
    /// The attacker's nodes; each is linked with a quarter of the honest ones.
    package var sybils = 0
    package var attack: Attack?
    package var latency: Int64 = 25
    package var jitter = 0.1
    /// The share of frames that are lost, where over TCP none would be.
    package var loss = 0.0
    /// The share of the honest nodes that leave in each minute, for new ones that come.
    package var churnPerMinute = 0.0
    /// Whether all links between two halves are broken for the first half of the messages.
    package var isPartitioned = false
    package var messages = 100
    package var intervalMilliseconds: Int64 = 200
    package var messageBytes = 512
    /// Until the first message, so that meshes are there.
    package var warmUpMilliseconds: Int64 = 15_000
    /// After the last message, so that what is late is counted.
    package var settleMilliseconds: Int64 = 10_000
    package var seed: UInt64 = 1
    package var parameters = GossipParameters()
    package var scoring = GossipScoreParameters()

    package static let maximumNodes = 20_000

    package init() {
        // Nobody forges here, and signatures would be all of the time.
        parameters.checksSignatures = false
    }

    static let topic = "news"

    /// - Throws: `GossipScenarioError` where the numbers make no network.
    package func run() throws -> SpreadReport {
        try check()
        var stage = try GossipStage(self)
        try stage.play()
        return stage.report()
    }

    private func check() throws {
        let checks: [(Bool, String)] = [
            ((2...Self.maximumNodes).contains(nodes), "there are 2 to \(Self.maximumNodes) honest nodes"),
            (
                (0...Self.maximumNodes).contains(sybils),
                "there are at most \(Self.maximumNodes) of the attacker's nodes"
            ),
            (
                (2...min(200, max(2, nodes - 1))).contains(degree),
                "the degree is 2 to 200, and below the number of nodes"
            ),
            ((1...SimulatedNetwork.maximumLatency / 2).contains(latency), "the latency is 1 to 500 ms"),
            ((0...1).contains(jitter), "the jitter is a share, 0 to 1"),
            ((0..<1).contains(loss), "the loss is a share below 1"),
            ((0...10).contains(churnPerMinute), "the churn is a share, 0 to 10"),
            ((1...100_000).contains(messages), "there are 1 to 100000 messages"),
            ((1...60_000).contains(intervalMilliseconds), "a message comes every 1 to 60000 ms"),
            ((1...65_536).contains(messageBytes), "a message has 1 to 65536 bytes"),
            ((attack == nil) == (sybils == 0), "an attack needs attacker's nodes, and those an attack"),
        ]
        for (holds, what) in checks where !holds { throw GossipScenarioError(message: what) }
    }
}

/// A scenario that can't be played.
package struct GossipScenarioError: Error, CustomStringConvertible {
    package let message: String
    package var description: String { message }
}

/// A scenario as it is played.
private struct GossipStage {
    let scenario: GossipScenario
    var network: SimulatedNetwork
    var random: SplitMix
    /// Honest nodes that are up.
    var honest: [Int]
    var sybils: Set<Int> = []
    let victim = 0
    /// Honest nodes that were up all the time from each message's publication, by message.
    private var audiences: [Set<Int>] = []
    private var leftAt: [Int: Int] = [:]
    private var cameAt: [Int: Int] = [:]

    init(_ scenario: GossipScenario) throws {
        self.scenario = scenario
        var conditions = SimulatedNetwork.Conditions()
        conditions.latency = scenario.latency
        conditions.jitter = scenario.jitter
        conditions.loss = scenario.loss
        conditions.staggersHeartbeats = true
        network = SimulatedNetwork(conditions, seed: scenario.seed)
        random = SplitMix(seed: scenario.seed &+ 1)
        honest = Array(0..<scenario.nodes)
        for _ in honest {
            try network.addNode(parameters: scenario.parameters, scoring: scenario.scoring)
        }
        network.linkRandomly(degree: scenario.degree, among: honest, seed: scenario.seed &+ 2)
    }

    mutating func play() throws {
        let comesEarly = scenario.attack == .coldBoot || scenario.attack == .eclipse
        if comesEarly { try bringSybils() }
        try network.subscribeAll(GossipScenario.topic)
        if comesEarly { strike() }
        try network.run(milliseconds: scenario.warmUpMilliseconds)
        if !comesEarly, scenario.attack != nil {
            try bringSybils()
            if scenario.attack == .covertFlash {
                try flatter()
            } else {
                try network.run(milliseconds: 5_000)
            }
            strike()
        }
        network.resetCopies()
        try publish()
    }

    // MARK: Messages

    private mutating func publish() throws {
        let data = [UInt8](repeating: 1, count: scenario.messageBytes)
        let first = network.publications.count
        var broken = scenario.isPartitioned ? network.cut { [half = scenario.nodes / 2] in $0 < half } : []
        for number in 0..<scenario.messages {
            if number == scenario.messages / 2 {
                for link in broken { network.link(link.dialer, link.listener) }
                broken = []
            }
            try network.publish(author(number), GossipScenario.topic, data, sequence: UInt64(number))
            try churn()
            try network.run(milliseconds: scenario.intervalMilliseconds)
        }
        try network.run(milliseconds: scenario.settleMilliseconds)
        measured = first..<network.publications.count
    }

    private var measured = 0..<0

    /// Who publishes: the victim where there is one, in every other message; else anybody.
    private mutating func author(_ number: Int) -> Int {
        let hasVictim = scenario.attack == .eclipse || scenario.attack == .censor
        if hasVictim, number.isMultiple(of: 2) { return victim }
        return honest[Int(random.next() % UInt64(honest.count))]
    }

    // MARK: Churn

    private mutating func churn() throws {
        let perMessage =
            scenario.churnPerMinute * Double(scenario.nodes) * Double(scenario.intervalMilliseconds) / 60_000
        var count = Int(perMessage)
        if random.share() < perMessage - Double(count) { count += 1 }
        for _ in 0..<count where honest.count > scenario.degree {
            let leaving = honest.remove(at: Int(random.next() % UInt64(honest.count)))
            leftAt[leaving] = network.publications.count
            network.remove(leaving)
            let coming = try network.addNode(parameters: scenario.parameters, scoring: scenario.scoring)
            cameAt[coming] = network.publications.count
            for _ in 0..<scenario.degree {
                network.link(coming, honest[Int(random.next() % UInt64(honest.count))])
            }
            try network.nodes[coming].subscribe(GossipScenario.topic, at: network.now)
            honest.append(coming)
        }
    }

    // MARK: The attacker

    private mutating func bringSybils() throws {
        for _ in 0..<scenario.sybils {
            let sybil = try network.addNode(parameters: scenario.parameters)
            sybils.insert(sybil)
            var targets = Set(honest.filter { _ in random.share() < 0.25 })
            if scenario.attack == .eclipse { targets.insert(victim) }
            for target in targets.sorted() { network.link(sybil, target) }
            try network.nodes[sybil].subscribe(GossipScenario.topic, at: network.now)
        }
    }

    /// A minute of good behaviour, with messages to pass on.
    private mutating func flatter() throws {
        for number in 0..<120 {
            let author = honest[Int(random.next() % UInt64(honest.count))]
            try network.publish(author, GossipScenario.topic, [0], sequence: UInt64(1_000_000 + number))
            try network.run(milliseconds: 500)
        }
    }

    /// What the attacker's nodes take from now on they keep to themselves: it is neither passed on nor told of.
    private mutating func strike() {
        let (sybils, victim) = (sybils, network.keys[victim].peerID)
        let onlyOfVictim = scenario.attack == .censor
        network.verdict = { node, message in
            sybils.contains(node) && (!onlyOfVictim || message.from == victim) ? .ignore : .accept
        }
    }

    // MARK: What came of it

    func report() -> SpreadReport {
        var report = SpreadReport(scenario: scenario)
        for index in measured {
            let publication = network.publications[index]
            // Who was there when it was published, and still when nothing more could come of it.
            let audience = network.nodes.indices.filter { node in
                !sybils.contains(node) && node != publication.author
                    && (cameAt[node] ?? 0) <= index && leftAt[node] == nil
            }
            let times = audience.map { node -> Int32 in
                publication.arrivals.indices.contains(node) ? publication.arrivals[node] : -1
            }
            report.add(times)
        }
        let observed = network.nodes.indices.filter { !sybils.contains($0) }
        report.copies = observed.reduce(0) { $0 + network.copiesAt[$1] }
        return report
    }
}
