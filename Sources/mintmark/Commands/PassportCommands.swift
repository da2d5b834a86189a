import ArgumentParser
import CanonicalJSON
import Foundation
import Node

struct PassportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "passport",
        abstract: "The passports this node issued: show, check, revoke, suspend.",
        discussion: """
            Examples:
              mintmark passport show ID --json > passport.json
              mintmark passport show planner --form dc+sd-jwt > passport.sd-jwt
              mintmark passport present planner --claims agentName --audience https://shop.example --nonce 7Fq…
              mintmark passport offer planner                 a link for an outside wallet
              mintmark passport verify passport.json          asks the issuer whether it is still good
              mintmark passport suspend ID                    until further notice
              mintmark passport restore ID
              mintmark passport revoke ID --reason keyCompromise   for good
              mintmark passport evidence                      issuers that contradicted themselves
            """,
        subcommands: [
            Show.self, Present.self, Offer.self, Verify.self, Revoke.self, Suspend.self, Restore.self, Evidence.self,
        ]
    )
}

extension PassportCommand {
    struct Show: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "A passport and its state; with --json the credential alone, as it can be handed over.",
            discussion: """
                With --form the same passport is signed in another form, for verifiers that know that one: \
                eddsa-jcs-2022, eddsa-rdfc-2022, ecdsa-jcs-2019, vc+jwt or dc+sd-jwt (of which the holder can show \
                some claims only). All forms are revoked together.
                  mintmark passport show planner --form vc+jwt
                  mintmark passport show planner --form eddsa-rdfc-2022 > passport.json
                """
        )
        @Argument(help: "The passport's id, or the agent's name for its latest.") var id: String
        @Option(help: "Print it in this form, and nothing else.") var form: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let record = try await PassportCommand.record(id, node)
            if let form { return try await show(record, form: form, node) }
            if options.json { return Output.json(record["passport"] ?? .null) }
            Output.facts(
                ["id", "state", "reason", "agent", "did", "validFrom", "validUntil", "changedAt"].map {
                    ($0, record.shown($0))
                }
            )
            Output.line("\n" + (record["passport"] ?? .null).prettyPrinted())
        }

        /// A token is printed as it is; with --json, beside its form and media type.
        private func show(_ record: JSONValue, form: String, _ node: NodeClient) async throws {
            let path = "/api/passports/\(try record.string("id").urlSegment)?form=\(form.urlSegment)"
            let answer = try await node.call(.get, path)
            if options.json { return Output.json(answer) }
            if let token = answer["passport"]?.stringValue { return Output.line(token) }
            Output.json(answer["passport"] ?? .null)
        }
    }

    struct Present: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Show a passport to one verifier, in answer to its nonce; of an SD-JWT only the claims you choose.",
            discussion: """
                For agents whose key this node keeps. The claims that can be kept back are agentName, operator and each \
                capability; limits, dates and the agent's key are always shown. The verifier checks it with \
                `mintmark verify FILE --audience … --nonce …`, or with any library for SD-JWT.
                  mintmark passport present planner --claims agentName,capability:pay \\
                      --audience https://shop.example --nonce 7FqX2
                  mintmark passport present planner --form vc+jwt --audience https://shop.example --nonce 7FqX2
                      (a W3C presentation of the whole passport)
                  mintmark passport present planner --form vp+jwt --audience https://shop.example --nonce 7FqX2
                      (the same as one JWT)
                """
        )
        @Argument(help: "The passport's id, or the agent's name for its latest.") var id: String
        @Option(help: "Claims to show, with commas between; `none` for none. All where it is left out.")
        var claims: String?
        @Option(help: "Who asks: what the verifier calls itself.") var audience: String
        @Option(help: "What the verifier gave to be answered.") var nonce: String
        @Option(help: "The passport's form: dc+sd-jwt, another to present it whole, or vp+jwt for a JWT of it.")
        var form = "dc+sd-jwt"
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            var body: JSONObject = [
                "audience": .string(audience), "nonce": .string(nonce), "form": .string(form),
            ]
            body["claims"] = claims.map { claims in
                claims == "none" ? [] : JSONValue(claims.split(separator: ",").map(String.init))
            }
            let record = try await PassportCommand.record(id, node)
            let answer = try await node.call(
                .post,
                "/api/passports/\(try record.string("id").urlSegment)/present",
                .object(body)
            )
            if options.json { return Output.json(answer) }
            if let text = answer["presentation"]?.stringValue { return Output.line(text) }
            Output.json(answer["presentation"] ?? .null)
        }
    }

    struct Verify: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a passport with the issuer's status lists fetched now.",
            discussion: """
                For a check with no network see `mintmark verify`.
                  mintmark passport verify passport.json --capability invoke
                """
        )
        @Argument(help: "The file: JSON, or the base64url of an Agent-Passport header; - for standard input.")
        var file: String
        @Option(help: "Require this capability.") var capability: String?
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let bytes = try VerifyCommand.read(file)
            var body: JSONObject = [
                "passport": try VerifyCommand.token(bytes).map { .string($0) }
                    ?? .object(try VerifyCommand.object(bytes))
            ]
            body["capability"] = capability.map { .string($0) }
            let answer = try await node.call(.post, "/api/passports/verify", .object(body))
            let valid = answer["valid"]?.boolValue == true
            if options.json {
                Output.json(answer)
            } else if valid {
                Output.line("The passport holds.")
            } else {
                for reason in answer["reasons"]?.arrayValue ?? [] {
                    Output.line("NOT VALID: \(reason.shown("message")) (\(reason.shown("code")))")
                }
            }
            if !valid { Foundation.exit(ExitStatus.refused.rawValue) }
        }
    }

    struct Revoke: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a passport for good, with every other unexpired one of its key.",
            discussion: """
                Renewal stops too. On this node the very next call is refused; others refuse once their copy of the \
                status list is older than they allow. Of a key that was stolen, --since tells when at the earliest: what it \
                signed counts only where a witness had seen it in a log before (mintmark delegations blame).
                  mintmark passport revoke planner --reason keyCompromise --since 2026-11-21T08:00:00Z
                """
        )
        @Argument(help: "The passport's id, or the agent's name for its latest.") var id: String
        @Option(
            help:
                "Why: keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn, unspecified."
        )
        var reason = "unspecified"
        @Option(help: "When the key was stolen at the earliest (RFC 3339).") var since: String?
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            do {
                try options.confirm("Revoke passport \(id), and every unexpired one of its key?")
                try await NodeClient.with(options) { try await run(on: $0) }
            } catch {
                Failure.end(error, json: options.json)
            }
        }

        func run(on node: NodeClient) async throws {
            var body: JSONObject = ["reason": .string(reason)]
            body["since"] = since.map { .string($0) }
            let answer = try await PassportCommand.change("revoke", id, .object(body), node)
            if options.json { return Output.json(answer) }
            Output.line("revoked for good, with every unexpired passport of its key (\(reason))")
        }
    }

    struct Suspend: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a passport not count until it is restored.",
            discussion: "  mintmark passport suspend planner"
        )
        @Argument(help: "The passport's id, or the agent's name for its latest.") var id: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await PassportCommand.change("suspend", id, [:], node)
            if options.json {
                Output.json(answer)
            } else {
                Output.line("suspended; see: mintmark passport restore \(id)")
            }
        }
    }

    struct Restore: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a suspended passport count again.",
            discussion: "  mintmark passport restore planner"
        )
        @Argument(help: "The passport's id, or the agent's name for its latest.") var id: String
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await PassportCommand.change("restore", id, [:], node)
            if options.json { Output.json(answer) } else { Output.line("restored") }
        }
    }

    struct Evidence: NodeCommand {
        static let configuration = CommandConfiguration(
            abstract: "What other issuers signed twice: two contents of one status list under one sequence.",
            discussion: """
                An issuer that tells you one thing of a passport and others another is caught by it. Both documents are kept \
                as it signed them, so that you can show them to anybody; its list is not relied on until it says \
                something newer. Consider not to trust that issuer any more.
                  mintmark passport evidence --json > evidence.json
                """
        )
        @OptionGroup var options: GlobalOptions

        func run(on node: NodeClient) async throws {
            let answer = try await node.call(.get, "/api/passports/evidence")
            if options.json { return Output.json(answer) }
            let found = try answer.array("evidence")
            if found.isEmpty { return Output.line("no issuer has contradicted itself") }
            Output.table(
                ["list", "sequence", "issuer", "seen"],
                found.map { [$0.shown("list"), $0.shown("sequence"), $0.shown("issuer"), $0.shown("seenAt")] }
            )
            Output.line("\nwhat was signed: mintmark passport evidence --json")
        }
    }

    /// A passport by its own id, or the latest of an agent by name, id or DID.
    static func record(_ id: String, _ node: NodeClient) async throws -> JSONValue {
        do {
            return try await node.call(.get, "/api/passports/\(id.urlSegment)")
        } catch let failure as Failure where failure.code == "passport-not-found" || failure.code == "invalid-request" {
            let agent = try? await node.call(.get, "/api/agents/\(id.urlSegment)")
            guard let latest = try agent?["passports"]?.arrayValue?.first?.string("id") else { throw failure }
            return try await node.call(.get, "/api/passports/\(latest.urlSegment)")
        }
    }

    static func change(_ verb: String, _ id: String, _ body: JSONValue, _ node: NodeClient) async throws -> JSONValue {
        let record = try await record(id, node)
        return try await node.call(.post, "/api/passports/\(try record.string("id").urlSegment)/\(verb)", body)
    }
}
