import ArgumentParser
import CanonicalJSON
import Node

extension PassportCommand {
    struct Offer: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Offer a passport to an outside wallet: a link to fetch it with (OpenID4VCI 1.0).",
            discussion: """
                The wallet must hold the agent's own key, and proves it; it gets the passport as dc+sd-jwt, jwt_vc_json \
                or ldp_vc. The link serves once, for ten minutes. Whoever sees it first could use it up: with --code the \
                wallet must also send a number of six digits, which you tell its user by another way.
                  mintmark passport offer planner
                  mintmark passport offer planner --code --qr
                """
        )
        @Argument(help: "The passport's id, or the agent's name for its latest.") var id: String
        @Flag(help: "Ask for a number of six digits as well.") var code = false
        @Flag(help: "Show a QR code also where no terminal is.") var qr = false
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await PassportCommand.change("offer", id, ["transactionCode": .bool(code)], node)
            if options.json {
                Output.json(answer)
            } else {
                Output.line(try answer.string("offer"))
                if let number = answer["transactionCode"]?.stringValue { Output.line("number: \(number)") }
                Output.note("It serves once, until \(answer.shown("expiresAt")).")
                if node.isTemporary {
                    Output.note("No node is running that the wallet could ask: start `mintmark serve`.")
                }
            }
            QRText.show(try answer.string("offer"), isWanted: qr, isJSON: options.json)
        }
    }
}
