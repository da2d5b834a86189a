import Cryptography
import Encodings
import Storage

extension IdentitySchema {
    /// Passports offered to outside wallets. Only digests of secrets are kept.
    static let offers = Migration(
        id: "identity-offers-1",
        sql: """
            CREATE TABLE identity_offers (
                id BLOB PRIMARY KEY,
                code BLOB NOT NULL UNIQUE,
                number BLOB,
                token BLOB UNIQUE,
                passport TEXT NOT NULL,
                tries INTEGER NOT NULL,
                uses INTEGER NOT NULL,
                until INTEGER NOT NULL
            ) STRICT;
            CREATE INDEX identity_offers_by_end ON identity_offers (until);
            """
    )
}

/// The rows of offers, within the transaction at hand. A row lives from the offer to the end of its access token.
enum PassportOfferStore {
    /// What a code came to.
    enum Exchange: Sendable, Equatable {
        case granted
        /// Not known, used, ended, or ended just now by the last wrong number.
        case refused
        case wrongNumber
        case numberMissing
        case numberUnexpected
    }

    static func count(in connection: Connection) throws -> Int64 {
        try connection.first("SELECT count(*) FROM identity_offers")?.int64(0) ?? 0
    }

    static func insert(_ offer: OfferSecrets, passport: String, until: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "INSERT INTO identity_offers (id, code, number, passport, tries, uses, until) VALUES (?, ?, ?, ?, 0, 0, ?)",
            .blob(offer.idDigest),
            .blob(OfferSecrets.digest(offer.code)),
            .optional(offer.number.map { OfferSecrets.digest(number: $0, code: offer.code) }),
            .text(passport),
            .integer(until.millisecondsSince1970)
        )
    }

    /// Whether an offer is there whose code was not exchanged yet, and whether it asks for a number.
    static func open(_ id: [UInt8], now: Timestamp, in connection: Connection) throws -> (found: Bool, asks: Bool) {
        let row = try connection.first(
            "SELECT number IS NOT NULL FROM identity_offers WHERE id = ? AND token IS NULL AND until > ?",
            .blob(id),
            .integer(now.millisecondsSince1970)
        )
        guard let row else { return (false, false) }
        return (true, try row.bool(0))
    }

    static func isKnown(code: [UInt8], now: Timestamp, in connection: Connection) throws -> Bool {
        try connection.first(
            "SELECT 1 FROM identity_offers WHERE code = ? AND token IS NULL AND until > ?",
            .blob(code),
            .integer(now.millisecondsSince1970)
        ) != nil
    }

    /// Exchanges a code for a token, once; counts a wrong number, and ends the offer with the last that is allowed.
    static func exchange(
        code: String,
        number: String?,
        token: [UInt8],
        until: Timestamp,
        now: Timestamp,
        in connection: Connection
    ) throws -> Exchange {
        let digest = OfferSecrets.digest(code)
        let row = try connection.first(
            "SELECT number, tries FROM identity_offers WHERE code = ? AND token IS NULL AND until > ?",
            .blob(digest),
            .integer(now.millisecondsSince1970)
        )
        guard let row else { return .refused }
        switch (try row.optionalBlob(0), number) {
        case (nil, nil): break
        case (nil, .some): return .numberUnexpected
        case (.some, nil): return .numberMissing
        case (let wanted?, let given?):
            guard ConstantTime.equal(wanted, OfferSecrets.digest(number: given, code: code)) else {
                let tries = try row.int64(1) + 1
                let isLast = tries >= PassportOffers.maximumTries
                if isLast {
                    try connection.execute("DELETE FROM identity_offers WHERE code = ?", .blob(digest))
                } else {
                    try connection.execute(
                        "UPDATE identity_offers SET tries = ? WHERE code = ?",
                        .integer(tries),
                        .blob(digest)
                    )
                }
                return isLast ? .refused : .wrongNumber
            }
        }
        try connection.execute(
            "UPDATE identity_offers SET token = ?, until = ? WHERE code = ?",
            .blob(token),
            .integer(until.millisecondsSince1970),
            .blob(digest)
        )
        return .granted
    }

    /// The passport that a token is for; counts the use, and is `nil` for one that is not known, has ended or is used up.
    static func use(token: [UInt8], now: Timestamp, in connection: Connection) throws -> String? {
        let row = try connection.first(
            "SELECT passport FROM identity_offers WHERE token = ? AND uses < ? AND until > ?",
            .blob(token),
            .integer(PassportOffers.maximumUses),
            .integer(now.millisecondsSince1970)
        )
        guard let row else { return nil }
        try connection.execute("UPDATE identity_offers SET uses = uses + 1 WHERE token = ?", .blob(token))
        return try row.text(0)
    }

    static func isKnown(token: [UInt8], now: Timestamp, in connection: Connection) throws -> Bool {
        try connection.first(
            "SELECT 1 FROM identity_offers WHERE token = ? AND until > ?",
            .blob(token),
            .integer(now.millisecondsSince1970)
        ) != nil
    }

    static func purge(now: Timestamp, in connection: Connection) throws {
        try connection.execute(
            "DELETE FROM identity_offers WHERE until <= ?",
            .integer(now.millisecondsSince1970)
        )
    }
}

/// What an offer is known by. The code follows from the id, so that the node can show the offer again and keeps only digests.
struct OfferSecrets: Sendable {
    /// What the link carries.
    let id: String
    /// Six digits that reach the wallet's user by another way.
    let number: String?

    init(withNumber: Bool) {
        id = Base64URL.encode(SecureRandom.bytes(24))
        number = withNumber ? Self.sixDigits() : nil
    }

    init(id: String) {
        self.id = id
        number = nil
    }

    var code: String { Base64URL.encode(Hashing.hmacSHA256(key: Array(id.utf8), Array("mintmark offer code".utf8))) }

    var idDigest: [UInt8] { Self.digest(id) }

    static func digest(_ secret: String) -> [UInt8] { Hashing.sha256(Array(secret.utf8)) }

    /// Keyed by the code, which is not kept: a million numbers are soon tried against a bare digest.
    static func digest(number: String, code: String) -> [UInt8] {
        Hashing.hmacSHA256(key: Array(code.utf8), Array(number.utf8))
    }

    private static func sixDigits() -> String {
        var generator = SystemRandomNumberGenerator()
        let digits = String(Int.random(in: 0..<1_000_000, using: &generator))
        return String(repeating: "0", count: 6 - digits.count) + digits
    }
}
