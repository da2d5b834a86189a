public import SignedDocuments
public import Storage

/// Keys that this node knows to be revoked, for services that must refuse what such a key signed in the transaction that
/// would rely on it.
public enum RevokedKeys {
    public static func contains(_ did: DIDKey, in connection: Connection) throws -> Bool {
        try AgentStore.isRevoked(did, in: connection)
    }
}
