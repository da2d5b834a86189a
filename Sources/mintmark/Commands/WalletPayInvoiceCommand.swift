import ArgumentParser
import CanonicalJSON
import Foundation

extension WalletCommand {
    struct PayInvoice: NodeCommand {
        static let configuration = CommandConfiguration(
            commandName: "pay-invoice",
            abstract: "Pay a Lightning invoice with ecash (melt).",
            discussion: """
                With several mints, or `--mint automatic` for all that hold something, the first that holds enough pays it. \
                Where none does, each pays a part, if the mints say that they can (NUT-15): the payee takes all the parts \
                or none, and a part that fails gives its coins back. The same invoice again does not pay again; it says \
                how the parts stand.
                  mintmark wallet pay-invoice lnbc… --max-fee 10sat
                  mintmark wallet pay-invoice lnbc… --mint home --mint corner
                  mintmark wallet pay-invoice lnbc… --mint automatic
                """
        )
        @Argument(help: "The BOLT11 invoice.") var invoice: String
        @Option(help: "A mint to pay from, by name or address; may be repeated, or be `automatic`.")
        var mint: [String] = []
        @Option(name: .customLong("max-fee"), help: "The most that may go in fees, all parts together, such as 10sat.")
        var maximumFee: Amount?
        @Option(help: "Count it against the limits of this agent.") var agent: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = ["invoice": .string(invoice)]
            if mint.count == 1, mint != ["automatic"] {
                body["mint"] = .string(mint[0])
            } else if !mint.isEmpty {
                body["mints"] = .array(mint.map { .string($0) })
            }
            if let agent { body["agent"] = .string(agent) }
            if let maximumFee {
                body["maximumFee"] = maximumFee.json
                body["unit"] = .string(maximumFee.unit)
            }
            let answer = try await node.call(.post, "/api/wallet/pay-invoice", .object(body), timeoutSeconds: 600)
            let state = try answer.string("state")
            if options.json {
                Output.json(answer)
                // The answer says it all: a second object would be one too many.
                if state != "paid" { Foundation.exit((state == "pending" ? ExitStatus.pending : .failed).rawValue) }
                return
            }
            try show(answer)
            switch state {
            case "paid": return
            case "pending":
                throw Failure(
                    "it is not known yet what became of every part; the wallet finds out by itself, and this command again"
                        + " tells it",
                    .pending
                )
            default:
                throw Failure(
                    "the mints contradict each other: some say that they paid their part, others that they did not"
                )
            }
        }

        private func show(_ answer: JSONValue) throws {
            let unit = answer.shown("unit")
            let parts = try answer.array("parts")
            if parts.count > 1 {
                let rows = parts.map { part in
                    [part.shown("mint"), "\(part.shown("amount")) \(unit)", part.shown("fee"), part.shown("state")]
                }
                Output.table(["MINT", "PART", "FEE", "STATE"], rows)
            }
            for part in parts {
                if let reason = part["reason"]?.stringValue { Output.note("\(part.shown("mint")): \(reason)") }
            }
            Output.line("paid \(answer.shown("amount")) \(unit), fee \(answer.shown("fee"))")
        }
    }
}
