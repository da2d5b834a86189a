internal import AuditLog
internal import TransparencyLog

extension NodeConfiguration {
    /// The most witnesses that a log has.
    static let maximumWitnesses = 16

    /// Reads `log.witnesses`: each a witness's key and its address, with a space between.
    static func witnesses(_ texts: [String]) throws(ConfigurationError) -> [LogWitness] {
        guard texts.count <= maximumWitnesses else {
            throw ConfigurationError("log.witnesses names at most \(maximumWitnesses)")
        }
        var witnesses: [LogWitness] = []
        for text in texts where !text.isEmpty {
            let parts = text.split(separator: " ").map(String.init)
            guard parts.count == 2, let key = try? NoteKey(vkey: parts[0]), key.kind == .cosignature,
                parts[1].hasPrefix("https://") || parts[1].hasPrefix("http://")
            else {
                throw ConfigurationError(
                    "log.witnesses lists witnesses as `name+id+key https://…`, separated by commas, as"
                        + " `mintmark witness key` prints them; not \(text)"
                )
            }
            witnesses.append(
                LogWitness(key: key, url: parts[1].hasSuffix("/") ? String(parts[1].dropLast()) : parts[1])
            )
        }
        return witnesses
    }
}
