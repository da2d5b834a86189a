package import Encodings
internal import Storage

extension SQLiteMintStore {
    package func claimAuthToken(_ y: [UInt8], at: Timestamp) async throws -> Bool {
        try await database.write { connection in
            try connection.execute(
                "INSERT INTO mint_auth_tokens (y, used_at) VALUES (?, ?) ON CONFLICT (y) DO NOTHING",
                .blob(y),
                .integer(at.millisecondsSince1970)
            )
            return connection.changes == 1
        }
    }

    package func releaseAuthToken(_ y: [UInt8]) async throws {
        try await database.write { try $0.execute("DELETE FROM mint_auth_tokens WHERE y = ?", .blob(y)) }
    }
}
