import CanonicalJSON
import Delegation
import Storage

/// What the accounting node puts into the outbox of the transparency log, in the transaction of what it tells ([LOG-1]).
enum BudgetNotes {
    /// A delegation that this node issued, as the file of the chain that its holder got.
    static func issued(_ chain: DelegationChain, in connection: Connection) throws {
        guard let leaf = chain.leaf else { return }
        try Outbox.post(
            kind: "delegation",
            reference: "\(leaf.cid)",
            document: DelegationFile(chain).document.serialized(),
            in: connection
        )
    }

    /// What was taken back, by its CID or did:key.
    static func revoked(_ revocation: Revocation, in connection: Connection) throws {
        var document = revocation.json.objectValue ?? JSONObject()
        document["type"] = "DelegationRevocation"
        try Outbox.post(
            kind: "revocation",
            reference: revocation.target,
            document: document.serialized(),
            isOnlyCopy: true,
            in: connection
        )
    }
}
