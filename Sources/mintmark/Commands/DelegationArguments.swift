import ArgumentParser
import CanonicalJSON

/// What `service add` asks of callers' delegations.
struct DelegationArguments: ParsableArguments {
    @Option(help: "Count only chains of delegations from this root (did:key). May be repeated.")
    var trustRoot: [String] = []
    @Flag(help: "Serve only who shows such a chain; needs --trust-root.") var requireDelegation = false
    @Flag(help: "Of a chain with a budget, ask for the ticket of the node that keeps its account.")
    var requireTicket = false

    func validate() throws {
        if requireDelegation, trustRoot.isEmpty {
            throw ValidationError("--require-delegation needs --trust-root: whose delegations count?")
        }
    }

    /// nil where nothing is asked.
    var json: JSONValue? {
        guard !trustRoot.isEmpty || requireTicket else { return nil }
        return [
            "trustedRoots": JSONValue(trustRoot), "requiresTicket": .bool(requireTicket),
            "required": .bool(requireDelegation),
        ]
    }
}
