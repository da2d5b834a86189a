import ArgumentParser
import Node

@main
struct Mintmark: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mintmark",
        abstract: "Passports and payment per call for AI agents.",
        discussion: """
            See it work, with nothing set up:
              mintmark demo

            Run a node:
              mintmark lightning-simulator      in a terminal of its own: a Lightning network of TEST MONEY
              mintmark init
              mintmark serve

            Then, in another terminal:
              mintmark agent register planner --capability pay,invoke --spend-limit 5000sat/day
              mintmark service add weather --upstream http://127.0.0.1:9000 --price 2sat
              mintmark market search weather --max-price 5sat
              mintmark wallet fund 1000sat
              mintmark pay http://127.0.0.1:8402/s/weather/today --max 5sat --agent planner
              mintmark proxy --max 5sat         and any HTTP client pays: curl -x http://127.0.0.1:8403 …
              mintmark delegate --to planner --budget 1000sat --for 2h
              mintmark passport revoke ID --reason keyCompromise
              mintmark verify receipt.json

            Every command takes --json and --data FOLDER. A command talks to the running node through the socket in \
            its data directory, and starts the node for its own length where none runs.
            Exit status: 0 done, 1 failed, 2 refused, 3 no node, 4 outcome not known yet, 64 wrong usage.
            """,
        version: NodeFacts.version,
        subcommands: [
            DemoCommand.self, InitCommand.self, ServeCommand.self, StatusCommand.self, BackupCommand.self,
            RestoreCommand.self, AgentCommand.self,
            PassportCommand.self, DIDCommand.self, DelegateCommand.self, DelegationsCommand.self, ServiceCommand.self,
            PaywallCommand.self, WalletCommand.self, MintCommand.self,
            PayCommand.self, ProxyCommand.self, ReceiptCommand.self, PeersCommand.self, GossipCommand.self,
            MarketCommand.self, JobCommand.self, DisputeCommand.self, BondCommand.self, ReputationCommand.self,
            SLACommand.self,
            VerifyCommand.self, LogCommand.self, WitnessCommand.self, VaultCommand.self, LightningSimulatorCommand.self,
            DemoServiceCommand.self,
        ]
    )
}
