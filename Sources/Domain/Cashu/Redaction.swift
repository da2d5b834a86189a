// Ecash and seeds never print themselves: a log line that holds a proof holds money.

extension Proof: CustomStringConvertible, CustomReflectable {
    /// Amount and keyset; never the secret.
    public var description: String { "Proof(\(amount) of keyset \(keysetID), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension ProofBody: CustomStringConvertible, CustomReflectable {
    public var description: String { "ProofBody(\(amount), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension BlindingSecret: CustomStringConvertible, CustomReflectable {
    public var description: String { "BlindingSecret(\(amount) of keyset \(keysetID), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension Token: CustomStringConvertible, CustomReflectable {
    /// Mint, unit and number of proofs. To hand the token over, use ``serialized(shortensKeysetIDs:)``.
    public var description: String { "Token(\(count) proofs in \(unit) of \(mint), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension MintKeyset: CustomStringConvertible, CustomReflectable {
    public var description: String { "MintKeyset(\(id), redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension DeterministicSecrets: CustomStringConvertible, CustomReflectable {
    public var description: String { "DeterministicSecrets(redacted)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension DLEQProof: CustomStringConvertible, CustomReflectable {
    /// Never `r`, which links a proof to its output.
    public var description: String { "DLEQProof(\(blindingFactor == nil ? "without" : "with") r)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
