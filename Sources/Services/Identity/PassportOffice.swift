import CanonicalJSON
import Cryptography
public import Encodings
import Passports
public import SignedDocuments
public import Storage
import Synchronization

/// A signed status list as it is served.
public struct PublishedStatusList: Sendable {
    /// The credential as compact JSON.
    public var bytes: [UInt8]
    /// With its quotes.
    public var etag: String
    public var sequence: UInt64
    public var validFrom: Timestamp
    public var validUntil: Timestamp
}

/// Issues passports, revokes, suspends and restores them, and publishes the status lists they stand on.
///
/// The database is the truth: a change is on the disk before it is published, and a passport is on the disk before it is
/// handed out.
public final class PassportOffice: Sendable {
    let database: Database
    let signer: DocumentSigner
    let p256: DocumentKey?
    let configuration: IdentityConfiguration
    let clock: WallClock
    let board: StatusBoard
    /// What ends together with a key, besides its passports.
    public let revocationHooks = KeyRevocationHooks()
    /// Are told the numbers of lists that have changed, once the change is published. They come back soon.
    public let statusHooks = StatusHooks()
    /// Held over every change of bits, so that sequences are published in the order they were written.
    let changes = AsyncLock()
    private struct PublishedName: Hashable {
        var number: Int64
        var notation: ListNotation
    }

    private let published = Mutex<[PublishedName: PublishedStatusList]>([:])

    /// The most lists of this node: room for 32 million passports that have not lapsed.
    static let maximumLists = 1_000

    /// Opens the office and loads its lists.
    ///
    /// - Parameters:
    ///   - database: with ``IdentitySchema/migrations``.
    ///   - signer: the node's identity.
    ///   - p256: its key of the forms that need P-256; `nil`: those are not issued.
    public init(
        database: Database,
        signer: DocumentSigner,
        p256: DocumentKey? = nil,
        configuration: IdentityConfiguration,
        clock: WallClock
    ) async throws {
        self.database = database
        self.signer = signer
        self.p256 = p256
        self.configuration = configuration
        self.clock = clock
        board = StatusBoard()
        board.load(try await database.read { try PassportStore.board(in: $0) })
    }

    /// The node's DID: the issuer of its passports.
    public var issuer: DIDKey { signer.did }

    // MARK: Issuing

    /// A passport that is signed and has its place, but is not kept yet.
    struct Prepared: Sendable {
        var passport: Passport
        var place: StatusPlace
    }

    /// Signs a passport for an agent. The caller keeps it in a transaction, or discards it.
    func prepare(_ agent: Agent) async throws -> Prepared {
        let place = try await takePlace()
        do {
            let now = clock.now()
            // Whole seconds: shorter, and no verifier's clock sees a beginning in the same second as ahead.
            let validFrom = Timestamp(secondsSince1970: now.secondsSince1970)
            let claims = PassportClaims(
                id: UUIDText.randomURN(),
                agentID: agent.id,
                subject: agent.did,
                name: agent.name,
                operatorName: agent.operatorName,
                capabilities: agent.capabilities,
                spendLimit: agent.spendLimit,
                nextKeyDigest: agent.nextKeyDigest,
                validFrom: validFrom,
                validUntil: validFrom.adding(seconds: agent.passportLifetimeSeconds),
                status: [
                    StatusEntry(
                        purpose: .revocation,
                        listURL: configuration.listURL(place.revocationList),
                        index: place.revocationIndex
                    ),
                    StatusEntry(
                        purpose: .suspension,
                        listURL: configuration.listURL(place.suspensionList),
                        index: place.suspensionIndex
                    ),
                ]
            )
            return Prepared(passport: try Passport.issue(claims, by: signer, now: validFrom), place: place)
        } catch {
            board.release([place])
            throw error
        }
    }

    /// Keeps a prepared passport, inside a transaction.
    ///
    /// - Throws: `IdentityError` with `.keyRevoked` where the key was revoked meanwhile.
    func keep(_ prepared: Prepared, in connection: Connection) throws {
        guard try !AgentStore.isRevoked(prepared.passport.subject, in: connection) else {
            throw IdentityError(
                .keyRevoked,
                "the key \(prepared.passport.subject) is revoked and can never serve again"
            )
        }
        try PassportStore.insert(
            prepared.passport,
            place: prepared.place,
            baseURL: configuration.publicURL,
            in: connection
        )
        try AuditNotes.issued(prepared.passport, in: connection)
    }

    /// Gives back the place of a passport that was not kept.
    func discard(_ prepared: Prepared) {
        board.release([prepared.place])
    }

    private func takePlace() async throws -> StatusPlace {
        if let place = board.take() { return place }
        try await changes.withLock {
            let purposes = self.board.purposesWithoutRoom()
            guard !purposes.isEmpty else { return }
            guard self.board.numbers.count + purposes.count <= Self.maximumLists else {
                throw IdentityError(
                    .limitReached,
                    "all \(Self.maximumLists) status lists are half full: wait for passports to lapse"
                )
            }
            let sequence = UInt64(max(self.clock.now().secondsSince1970, 1))
            let numbers = try await self.database.write { connection in
                try purposes.map { try PassportStore.insertList($0, sequence: sequence, in: connection) }
            }
            for (purpose, number) in zip(purposes, numbers) {
                self.board.add(
                    BoardList(
                        number: number,
                        purpose: purpose,
                        sequence: sequence,
                        bits: StatusBitmap(),
                        taken: StatusBitmap(),
                        takenCount: 0
                    )
                )
            }
        }
        guard let place = board.take() else {
            throw IdentityError(.limitReached, "no room on the status lists: try again")
        }
        return place
    }

    // MARK: Reading

    /// - Parameter id: with or without `urn:uuid:`.
    /// - Throws: `IdentityError` with `.passportNotFound`.
    public func passport(_ id: String) async throws -> PassportRecord {
        try await database.read { try PassportStore.find(id, in: $0) }
    }

    /// An agent's passports, newest first, at most 100.
    public func passports(agent: String) async throws -> [PassportRecord] {
        try await database.read { try PassportStore.list(agent: agent, limit: 100, in: $0) }
    }

    // MARK: Lists

    /// The signed list, as `/status/<number>` serves it: signed anew where it changed or grew old.
    ///
    /// - Returns: `nil` where there is no such list, or none in this notation.
    public func publishedList(
        _ number: Int64,
        notation: ListNotation = .bitstring
    ) throws -> PublishedStatusList? {
        guard let list = board.list(number), notation != .token || list.purpose == .revocation else { return nil }
        guard notation == .bitstring || p256 != nil else { return nil }
        let name = PublishedName(number: number, notation: notation)
        let now = clock.now()
        if let kept = published.withLock({ $0[name] }), kept.sequence == list.sequence,
            now < kept.validFrom.adding(seconds: configuration.listResignSeconds), now >= kept.validFrom
        {
            return kept
        }
        let fresh = verifiedList(list, url: configuration.listURL(number) + notation.suffix, now: now, notation)
        let bytes = try signed(fresh, notation)
        let result = PublishedStatusList(
            bytes: bytes,
            etag: "\"" + Base64URL.encode([UInt8](Hashing.sha256(bytes).prefix(18))) + "\"",
            sequence: list.sequence,
            validFrom: fresh.validFrom,
            validUntil: fresh.validUntil
        )
        published.withLock { $0[name] = result }
        return result
    }

    /// The numbers of all lists.
    public var listNumbers: [Int64] { board.numbers }

    /// What is to be told of a list as it stands now, without a document; nil where there is no such list.
    public func statusNews(of number: Int64) -> StatusListNews? {
        guard let list = board.list(number) else { return nil }
        let verified = verifiedList(list, url: configuration.listURL(number), now: clock.now(), .bitstring)
        return StatusListNews(
            url: verified.url,
            issuer: verified.issuer,
            sequence: verified.sequence,
            digest: verified.contentDigest,
            document: []
        )
    }

    private func signed(_ list: VerifiedStatusList, _ notation: ListNotation) throws -> [UInt8] {
        switch notation {
        case .bitstring:
            return JSONValue.object(try StatusListCredential.issue(list, by: signer, now: list.validFrom)).serialized()
        case .p256:
            return JSONValue.object(
                try StatusListCredential.issue(list, by: try key(.p256), suite: .ecdsaJCS2019, now: list.validFrom)
            ).serialized()
        case .token: return Array(try TokenStatusList.issue(list, by: try key(.sdJWT)).utf8)
        }
    }

    /// What this office knows of a list that one of its own passports names: never stale, with every change in it.
    ///
    /// The list is found by its number, whatever public URL the node had when the passport was issued.
    func localState(_ entry: StatusEntry, now: Timestamp) -> StatusListState {
        guard let (number, notation) = Self.list(at: entry.listURL), let list = board.list(number) else {
            return .refused(
                PassportReason(
                    .statusUnavailable,
                    "this node has no status list \(entry.listURL), though it signed the passport"
                )
            )
        }
        return .list(verifiedList(list, url: entry.listURL, now: now, notation))
    }

    /// Which list a URL of this node names, and in which notation.
    private static func list(at url: String) -> (number: Int64, notation: ListNotation)? {
        let slash = UInt8(ascii: "/")
        var rest = url.utf8[...]
        var notation = ListNotation.bitstring
        guard var mark = rest.lastIndex(of: slash) else { return nil }
        if let other = ListNotation(rawValue: String(url[rest.index(after: mark)...])), other != .bitstring {
            notation = other
            rest = rest[..<mark]
            guard let earlier = rest.lastIndex(of: slash) else { return nil }
            mark = earlier
        }
        return Int64(Substring(rest[rest.index(after: mark)...])).map { ($0, notation) }
    }

    private func verifiedList(
        _ list: BoardList,
        url: String,
        now: Timestamp,
        _ notation: ListNotation
    ) -> VerifiedStatusList {
        let validFrom = Timestamp(secondsSince1970: now.secondsSince1970)
        return VerifiedStatusList(
            url: url,
            issuer: notation == .bitstring ? signer.did : p256?.did ?? signer.did,
            purpose: list.purpose,
            sequence: list.sequence,
            validFrom: validFrom,
            validUntil: validFrom.adding(seconds: configuration.listValiditySeconds),
            ttlMilliseconds: configuration.listTTLMilliseconds,
            bitmap: list.bits,
            suspensions: notation == .token ? list.suspended : nil
        )
    }
}
