import ArgumentParser
import CanonicalJSON
import Cryptography
import Delegation
import Encodings
import Foundation
import SignedDocuments
import Storage

struct DelegateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delegate",
        abstract: "Let an agent spend, within a budget, for a while; and let it pass that on.",
        discussion: """
            The delegation is a UCAN 1.0. Its budget is kept by this node: every call debits each link of the chain at \
            once. Who is given one passes a part of it on with --under.
              mintmark delegate --to planner --can /pay --budget 1000sat --depth 3 --for 2h
              mintmark delegate --to planner --budget 1000sat --per day --per-call 50sat --for 30d
              mintmark delegate --to worker --under bafyrei… --budget 200sat          the planner passes it on
              mintmark delegate --to did:key:z6Mk… --budget 10sat --out chain.json    to a stranger, as a file
              mintmark delegate --to planner --budget 5sat --only 'https://weather.example/*'
            An agent that keeps its key itself needs no node:
              mintmark delegate --key scout.key --under chain.json --to did:key:z6Mk… --budget 5sat --out mine.json
            """
    )

    @Option(help: "Who may spend: an agent of this node by name or id, or a did:key.") var to: String
    @Option(help: "What for: /pay, or a path below it such as /pay/call.") var can = "/pay"
    @Option(help: "The most over all calls, such as 1000sat.") var budget: Amount?
    @Option(help: "Begin the budget anew every hour, day or week.") var per: Period?
    @Option(help: "The most for one call, such as 50sat.") var perCall: Amount?
    @Option(help: "The longest chain of delegations that may come of it, this one counted (1 to 8).") var depth: Int?
    @Option(name: .customLong("for"), help: "For how long: 90s, 30m, 2h, 7d.") var duration = Duration.day
    @Option(help: "Only calls to addresses like this; * stands for anything.") var only: String?
    @Option(name: .customLong("as"), help: "In the name of this agent, on its own authority, not the node's.")
    var issuer: String?
    @Option(help: "Pass on a part of this delegation: its CID, or with --key a chain's file.") var under: String?
    @Option(help: "Sign with this agent's key file, without a node.") var key: String?
    @Option(help: "A name for people.") var label: String?
    @Option(name: .shortAndLong, help: "Write the chain to this file.") var out: String?
    @OptionGroup var options: GlobalOptions

    enum Period: String, ExpressibleByArgument, CaseIterable {
        case hour, day, week
        var seconds: Int64 { self == .hour ? 3_600 : self == .day ? 86_400 : 604_800 }
    }

    /// `90s`, `30m`, `2h`, `7d`.
    struct Duration: ExpressibleByArgument {
        let seconds: Int64
        static let day = Duration(seconds: 86_400)
        var defaultValueDescription: String { "1d" }

        private init(seconds: Int64) { self.seconds = seconds }

        init?(argument: String) {
            let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
            guard let last = argument.last, let unit = units[last], let count = Int64(argument.dropLast()), count > 0,
                count <= 31_622_400 / unit
            else { return nil }
            seconds = count * unit
        }
    }

    func validate() throws {
        if per != nil, budget == nil { throw ValidationError("--per needs --budget.") }
        if let budget, let perCall, budget.unit != perCall.unit {
            throw ValidationError("--budget and --per-call must be in one unit.")
        }
        if key != nil, issuer != nil { throw ValidationError("--key says who signs; leave --as out.") }
        if key != nil, under == nil {
            throw ValidationError("--key passes on what was given: say which chain, with --under FILE.")
        }
    }

    func run() async throws {
        do {
            if let key { return try signHere(AgentKeyFile.read(key)) }
            try await NodeClient.with(options) { try await run(on: $0) }
        } catch {
            Failure.end(error, json: options.json)
        }
    }

    private func run(on node: NodeClient) async throws {
        var body: JSONObject = ["to": .string(to), "can": .string(can), "seconds": .integer(duration.seconds)]
        body["budget"] = budget.map { ["amount": $0.json, "unit": .string($0.unit)] }
        body["perCall"] = perCall.map { ["amount": $0.json, "unit": .string($0.unit)] }
        body["periodSeconds"] = per.map { .integer($0.seconds) }
        body["depth"] = depth.map { JSONValue($0) }
        body["only"] = only.map { .string($0) }
        body["as"] = issuer.map { .string($0) }
        body["under"] = under.map { .string($0) }
        body["label"] = label.map { .string($0) }
        let answer = try await node.call(.post, "/api/delegations", .object(body))
        if let out, let file = answer["file"] { try Self.write(file, to: out) }
        if options.json { return Output.json(answer) }
        Output.line(answer.shown("cid"))
        Output.note(
            "\(DelegationsCommand.who(answer["to"])) may \(can) within \(answer.shown("budget")) until \(answer.shown("expires"));"
                + " take it back with: mintmark delegations revoke \(answer.shown("cid").prefix(16))"
        )
    }

    static func write(_ file: JSONValue, to path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: Data((file.prettyPrinted() + "\n").utf8)) else {
            throw Failure("\(path) cannot be written", .usage)
        }
    }

    /// Passes on without a node: the agent's key, and the chain that it was given.
    private func signHere(_ key: Ed25519.PrivateKey) throws {
        let file = try DelegationFile(bytes: VerifyCommand.read(under ?? ""))
        let issuer = DIDKey(key.publicKey)
        guard let leaf = file.chain.leaf, let root = file.chain.root else { throw Failure("the chain has no links") }
        guard leaf.audience == issuer else {
            throw Failure("the chain was given to \(leaf.audience), and this key is \(issuer)", .refused)
        }
        let now = WallClock.system.now()
        let link = try Delegation.issue(
            by: key,
            to: DIDKey(parsing: to),
            subject: root.issuer,
            command: Command(can),
            policy: PaymentLimits(
                perCall: perCall?.value,
                unit: perCall?.unit ?? budget?.unit,
                depth: depth,
                target: only
            ).policy(),
            expires: now.adding(seconds: duration.seconds),
            terms: ProfileTerms(
                budget: try budget.map { try Budget($0.value, unit: $0.unit, periodSeconds: per?.seconds) },
                label: label
            )
        )
        let chain = DelegationChain(file.chain.links + [link])
        try chain.verify(ChainRules(now: now))
        let document = JSONValue.object(DelegationFile(chain).document)
        if let out { try Self.write(document, to: out) }
        if options.json { return Output.json(["cid": .string("\(link.cid)"), "file": document]) }
        Output.line(out == nil ? document.prettyPrinted() : "\(link.cid)")
    }
}
