import ArgumentParser
import CanonicalJSON
import Encodings
import Foundation
import Node

struct DisputeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dispute",
        abstract: "Jobs that an arbiter decides: bring yours to it, or decide those of others.",
        discussion: """
            A job that was bought with --arbiter has its money locked to two of three keys: the seller's, the buyer's, the arbiter's. \
            Where the two sides disagree, either brings it to the arbiter, which divides the money and signs what it gave.
              mintmark dispute open ID --reason "the picture is empty"
              mintmark job show ID                                      what came of it
            This node decides disputes of others where it runs with --set market.arbiterSeconds=86400, the time that it promises to \
            take; sellers and buyers name it by its URL.
              mintmark dispute list
              mintmark dispute show ID -o answer.png
              mintmark dispute rule ID --seller 12 --reason "half of it was there"
            What needs no person is ruled at once: nothing delivered in time is refunded, and so is what the seller's own signature \
            dates late. What nobody has decided in the promised time is paid, where it was delivered in time.
            """,
        subcommands: [Open.self, List.self, Show.self, Rule.self]
    )

    struct Open: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Bring a job that this node bought to its arbiter.",
            discussion: """
                The arbiter is given the signed documents, the request and the answer. What it gives back to the buyer comes into the \
                wallet by itself.
                  mintmark dispute open ID --reason "the answer is about another city"
                """
        )
        @Argument(help: "The job's id.") var id: String
        @Option(help: "What is wrong with it, in one line.") var reason: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let job = try await node.call(
                .post,
                "/api/market/jobs/\(id.urlSegment)/dispute",
                ["reason": .string(reason)]
            )
            if options.json { return Output.json(job) }
            Output.line("the job is \(job.shown("state"))")
            if let note = job["note"]?.stringValue { Output.line(note) }
        }
    }

    struct List: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "The disputes that this node was asked to decide, newest first."
        )
        @Option(help: "The most to show, up to 1000.") var limit: Int = 50
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/market/disputes?limit=\(limit)")
            if options.json { return Output.json(answer) }
            let disputes = try answer.array("disputes")
            if disputes.isEmpty { return Output.line("Nobody has brought a dispute here.") }
            Output.table(
                ["JOB", "PHASE", "SERVICE", "AMOUNT", "RULE BY", "SELLER GETS", "REASON"],
                disputes.map { dispute in
                    [
                        dispute.shown("job"), dispute.shown("phase"), dispute.shown("service"),
                        "\(dispute.shown("amount")) \(dispute.shown("unit"))", dispute.shown("ruleBy"),
                        dispute["sellerGets"] == nil ? "-" : dispute.shown("sellerGets"),
                        dispute["reason"]?.stringValue ?? "",
                    ]
                }
            )
        }
    }

    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "One dispute, with what its two sides showed.",
            discussion: "The answer's body goes to --output or standard output; the signed documents are under --json."
        )
        @Argument(help: "The job's id.") var id: String
        @Option(name: .shortAndLong, help: "Write the answer's body to this file.") var output: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let dispute = try await node.call(.get, "/api/market/disputes/\(id.urlSegment)")
            if options.json { return Output.json(dispute) }
            Output.facts(
                [
                    ("job", "job"), ("phase", "phase"), ("service", "service"), ("buyer", "buyer"),
                    ("seller", "seller"),
                    ("amount", "amount"), ("unit", "unit"), ("deliver by", "deliverBy"),
                    ("delivered", "deliveredAt"), ("buyer says", "buyerSays"), ("seller says", "sellerSays"),
                    ("rule by", "ruleBy"), ("locktime", "locktime"), ("seller gets", "sellerGets"),
                    ("buyer gets", "buyerGets"), ("reason", "reason"),
                ].filter { dispute[$0.1] != nil }.map { ($0.0, dispute.shown($0.1)) }
            )
            if let request = dispute["request"] {
                Output.facts([("request", "\(request.shown("method")) \(request.shown("target"))")])
            }
            if let answer = dispute["answer"] { try JobCommand.write(answer, to: output) }
        }
    }

    struct Rule: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Decide a dispute, once: what the seller gets; the buyer gets the rest.",
            discussion: """
                Both sides fetch the ruling, say where they want their part, and this node signs that.
                  mintmark dispute rule ID --seller 0 --reason "the answer is about another city"
                """
        )
        @Argument(help: "The job's id.") var id: String
        @Option(help: "What the seller gets, in whole parts of the job's unit: 0 up to the amount in dispute.")
        var seller: UInt64
        @Option(help: "Why, in one line, for both sides.") var reason: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let dispute = try await node.call(
                .post,
                "/api/market/disputes/\(id.urlSegment)/rule",
                ["seller": .string(String(seller)), "reason": .string(reason)]
            )
            if options.json { return Output.json(dispute) }
            Output.line(
                "ruled: \(dispute.shown("sellerGets")) \(dispute.shown("unit")) to the seller, \(dispute.shown("buyerGets")) \(dispute.shown("unit")) to the buyer"
            )
        }
    }
}
