public import Cashu
public import Encodings
internal import Storage

/// A mint in the wallet's book.
public struct KnownMint: Sendable, Equatable {
    public var url: MintURL
    /// What the operator calls it; nil: nothing yet.
    public var name: String?
    /// Whether the wallet takes and buys its ecash. What it holds of other mints can still be spent or moved away.
    public var isTrusted: Bool
    public var addedAt: Timestamp
}

extension Wallet {
    /// Every mint in the book, trusted ones first.
    public func knownMints() async throws -> [KnownMint] {
        try await database.read { connection in
            try connection.rows("SELECT url, name, trusted, added_at FROM wallet_mints ORDER BY trusted DESC, url").map
            {
                KnownMint(
                    url: try MintURL(stored: $0.text(0)),
                    name: try $0.optionalText(1),
                    isTrusted: try $0.bool(2),
                    addedAt: Timestamp(millisecondsSince1970: try $0.int64(3))
                )
            }
        }
    }

    /// Stops taking and buying a mint's ecash.
    /// - Throws: `mintUnknown`.
    public func distrustMint(_ mint: MintURL) async throws {
        try await database.write { connection in
            try connection.execute("UPDATE wallet_mints SET trusted = 0 WHERE url = ?", .text(mint.string))
            guard connection.changes == 1 else { throw Self.unknown(mint) }
        }
    }

    /// Gives a mint a name that stands for its address.
    /// - Parameter name: 1 to 40 letters, digits, dots, dashes or underscores, that no other mint has.
    /// - Throws: `mintUnknown`, `invalidArgument`.
    public func renameMint(_ mint: MintURL, to name: String) async throws {
        let isPlain: (UInt8) -> Bool = { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
            default: false
            }
        }
        guard (1...40).contains(name.utf8.count), name.utf8.allSatisfy(isPlain) else {
            throw WalletError(
                .invalidArgument,
                "a mint's name has 1 to 40 letters, digits, dots, dashes or underscores"
            )
        }
        try await database.write { connection in
            let other = try connection.first("SELECT url FROM wallet_mints WHERE name = ?", .text(name))?.text(0)
            guard other == nil || other == mint.string else {
                throw WalletError(.invalidArgument, "the mint \(other ?? "") has the name \(name) already")
            }
            try connection.execute("UPDATE wallet_mints SET name = ? WHERE url = ?", .text(name), .text(mint.string))
            guard connection.changes == 1 else { throw Self.unknown(mint) }
        }
    }

    /// The mint that a user means by its name or address; nil for an address that is not in the book.
    /// - Throws: `invalidArgument` for what is neither a name in the book nor an address.
    public func mint(named text: String) async throws -> KnownMint? {
        let known = try await knownMints()
        if let named = known.first(where: { $0.name == text }) { return named }
        let url = try MintURL(checking: text, plainHTTPHosts: configuration.plainHTTPHosts)
        return known.first { $0.url == url }
    }

    static func unknown(_ mint: MintURL) -> WalletError {
        WalletError(.mintUnknown, "the mint \(mint) is not in this wallet: add it first if you trust it")
    }

    /// - Throws: `mintUnknown`, `mintUntrusted`.
    func requireTrust(in mint: MintURL) async throws {
        let trusted = try await database.read { connection in
            try connection.first("SELECT trusted FROM wallet_mints WHERE url = ?", .text(mint.string))?.bool(0)
        }
        guard let trusted else { throw Self.unknown(mint) }
        guard trusted else {
            throw WalletError(
                .mintUntrusted,
                "the mint \(mint) is not trusted: trust it first, or have its ecash swapped to a mint that is"
            )
        }
    }

    /// Puts a mint into the book without trusting it, so that its ecash can be moved away.
    func addUntrustedMint(_ mint: MintURL) async throws {
        guard try await !mints().contains(mint) else { return }
        _ = try await book.refresh(mint, trusts: false)
    }
}
