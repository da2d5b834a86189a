internal import ArgumentParser
internal import CanonicalJSON
internal import Foundation
internal import GossipSimulation

extension GossipScenario.Attack: ExpressibleByArgument {}

/// GossipSub's engines, as a node runs them, under a made-up clock and network.
@main
struct GossipSimulator: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "GossipSimulator",
        abstract: "Plays a gossip network of many nodes, by a seed, and tells how messages spread.",
        discussion: """
            The engines are those of a real node; the clock, the links and the attacker are made up. The same seed gives \
            the same run.

            Examples:
              GossipSimulator --nodes 1000 --degree 20 --svg spread.svg
              GossipSimulator --nodes 100 --sybils 400 --attack eclipse
              GossipSimulator --nodes 300 --loss 0.02 --churn 0.5 --json
            """
    )

    @Option(help: "Honest nodes.") var nodes = 1_000
    @Option(help: "Links of each honest node, about.") var degree = 20
    @Option(help: "Nodes of the attacker; each is linked with a quarter of the honest ones.") var sybils = 0
    @Option(help: "What they do: \(GossipScenario.Attack.allCases.map(\.rawValue).joined(separator: ", ")).")
    var attack: GossipScenario.Attack?
    @Option(help: "Milliseconds from node to node.") var latency: Int64 = 25
    @Option(help: "Links differ by this share of it.") var jitter = 0.1
    @Option(help: "The share of frames that are lost.") var loss = 0.0
    @Option(help: "The share of honest nodes that are replaced in a minute.") var churn = 0.0
    @Flag(help: "Two halves hear nothing of each other until half of the messages are out.") var partition = false
    @Option(help: "Messages to publish.") var messages = 100
    @Option(help: "Milliseconds between them.") var interval: Int64 = 200
    @Option(help: "Bytes of each.") var bytes = 512
    @Option(help: "The seed of all chances.") var seed: UInt64 = 1
    @Option(help: "Writes the picture of the spread there.") var svg: String?
    @Flag(help: "Prints one JSON object.") var json = false
    @Option(help: "Ends with status 1 where a smaller share of deliveries is made.") var expectDelivered: Double?
    @Option(name: .customLong("expect-p99"), help: "Ends with status 1 where the 99th percentile takes longer, in ms.")
    var expectP99: Int?
    @Option(help: "Ends with status 1 where there are more copies for each delivery.") var expectCopies: Double?

    func run() throws {
        var scenario = GossipScenario()
        scenario.nodes = nodes
        scenario.degree = degree
        scenario.sybils = sybils
        scenario.attack = attack
        scenario.latency = latency
        scenario.jitter = jitter
        scenario.loss = loss
        scenario.churnPerMinute = churn
        scenario.isPartitioned = partition
        scenario.messages = messages
        scenario.intervalMilliseconds = interval
        scenario.messageBytes = bytes
        scenario.seed = seed
        let report: SpreadReport
        do {
            report = try scenario.run()
        } catch let error as GossipScenarioError {
            throw ValidationError(error.message)
        }
        if let svg { try Data(SpreadPicture(report).svg.utf8).write(to: URL(fileURLWithPath: svg)) }
        print(json ? Self.line(report) : Self.text(report))
        let failures = failures(of: report)
        for failure in failures { FileHandle.standardError.write(Data("\(failure)\n".utf8)) }
        if !failures.isEmpty { throw ExitCode.failure }
    }

    private func failures(of report: SpreadReport) -> [String] {
        var failures: [String] = []
        if let expectDelivered, report.deliveredShare < expectDelivered {
            failures.append("\(report.deliveredShare) of the deliveries were made, \(expectDelivered) were expected")
        }
        if let expectP99, report.milliseconds(percentile: 99) > expectP99 {
            failures.append("p99 is \(report.milliseconds(percentile: 99)) ms, at most \(expectP99) were expected")
        }
        if let expectCopies, report.copiesPerDelivery > expectCopies {
            failures.append("\(report.copiesPerDelivery) copies a delivery, at most \(expectCopies) were expected")
        }
        return failures
    }

    private static func text(_ report: SpreadReport) -> String {
        """
        delivered   \(report.deliveries) of \(report.expected) (\(100 * report.deliveredShare) %)
        delivery    p50 \(report.milliseconds(percentile: 50)) ms, p99 \(report.milliseconds(percentile: 99)) ms
        last node   p50 \(report.lastNodeMilliseconds(percentile: 50)) ms, \
        p99 \(report.lastNodeMilliseconds(percentile: 99)) ms
        copies      \(report.copiesPerDelivery) a delivery
        """
    }

    private static func line(_ report: SpreadReport) -> String {
        let object: JSONValue = [
            "seed": .string(String(report.scenario.seed)),
            "deliveries": .integer(Int64(report.deliveries)),
            "expected": .integer(Int64(report.expected)),
            "deliveredShare": .double(report.deliveredShare),
            "p50Milliseconds": .integer(Int64(report.milliseconds(percentile: 50))),
            "p99Milliseconds": .integer(Int64(report.milliseconds(percentile: 99))),
            "lastNodeP50Milliseconds": .integer(Int64(report.lastNodeMilliseconds(percentile: 50))),
            "lastNodeP99Milliseconds": .integer(Int64(report.lastNodeMilliseconds(percentile: 99))),
            "copiesPerDelivery": .double(report.copiesPerDelivery),
        ]
        return String(decoding: object.serialized(), as: UTF8.self)
    }
}
