internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Logging
internal import Paywall
internal import Receipts
internal import Storage

/// The table `wallet_change_owed`: change that a seller's receipt names and that did not come with the answer, with what the call
/// is asked for again by.
enum OwedChange {
    static let tables = """
        CREATE TABLE wallet_change_owed (
            payment TEXT NOT NULL PRIMARY KEY,
            headers TEXT NOT NULL,
            body BLOB,
            asked INTEGER NOT NULL DEFAULT 0,
            next INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX wallet_change_owed_next ON wallet_change_owed (next);
        """

    /// When it is asked for at first: by then the call itself has asked.
    static let firstSeconds: Int64 = 3
    private static let longestPauseSeconds: Int64 = 3_600

    struct Row: Sendable {
        var payment: String
        var headers: [(name: String, value: String)]
        var body: [UInt8]?
    }

    /// Notes that a served call's change is to come, unless it is here.
    static func note(_ call: Call, of payment: String, at now: Timestamp, in connection: Connection) throws {
        var body: [UInt8]?
        switch call.request.body {
        case .none: break
        case .bytes(let bytes) where bytes.count <= Call.maximumKeptBody: body = bytes
        // It can't be asked for again once the process is gone.
        case .bytes, .stream: return
        }
        let headers = JSONValue.array(call.request.headers.map { .array([.string($0.name), .string($0.value)]) })
        try connection.execute(
            """
            INSERT INTO wallet_change_owed (payment, headers, body, next)
            SELECT id, ?, ?, ? FROM wallet_payments WHERE id = ? AND state = 'served' AND refund IS NULL
            ON CONFLICT (payment) DO NOTHING
            """,
            .text(String(decoding: headers.serialized(), as: UTF8.self)),
            .optional(body),
            .integer(now.adding(seconds: firstSeconds).millisecondsSince1970),
            .text(payment)
        )
    }

    static func forget(_ payment: String, in connection: Connection) throws {
        try connection.execute("DELETE FROM wallet_change_owed WHERE payment = ?", .text(payment))
    }

    /// Those that are due, each put off for longer every time.
    static func take(limit: Int, at now: Timestamp, in connection: Connection) throws -> [Row] {
        try connection.rows(
            """
            UPDATE wallet_change_owed SET asked = asked + 1, next = ?1 + 1000 * min(?2, 3 << min(asked, 20))
            WHERE payment IN (SELECT payment FROM wallet_change_owed WHERE next <= ?1 ORDER BY next LIMIT ?3)
            RETURNING payment, headers, body
            """,
            .integer(now.millisecondsSince1970),
            .integer(longestPauseSeconds),
            .int(limit)
        ).map { row in
            let headers = try JSONValue.parse(Array(row.text(1).utf8), limits: .walletTable).arrayValue ?? []
            return Row(
                payment: try row.text(0),
                headers: headers.compactMap { pair in
                    guard let name = pair[0]?.stringValue, let value = pair[1]?.stringValue else { return nil }
                    return (name, value)
                },
                body: try row.optionalBlob(2)
            )
        }
    }
}

extension Buyer {
    /// Payments asked about in one round.
    private static let owedAtOnce = 20

    /// Fetches change that sellers owe by their receipts, with the same key and payment, and takes in what is written down: what
    /// goes back for a promise that was not kept comes so, too ([CHG-2], [SLA-15]). A seller is asked for it for 30 days.
    ///
    /// - Parameter signer: of a call that was signed.
    public func collectChange(signer: @Sendable (PaymentRecord) async -> (any RequestSigning)?) async {
        do {
            let now = wallet.clock.now()
            let due = try await wallet.database.write { connection in
                try OwedChange.take(limit: Self.owedAtOnce, at: now, in: connection)
            }
            for row in due { try await collect(row, now: now, signer: signer) }
        } catch {
            wallet.logger.error("change that sellers owe can't be read", metadata: ["why": "\(error)"])
        }
        await claimChanges()
    }

    private func collect(
        _ row: OwedChange.Row,
        now: Timestamp,
        signer: @Sendable (PaymentRecord) async -> (any RequestSigning)?
    ) async throws {
        guard var payment = try await payment(row.payment), payment.refund == nil,
            now < payment.createdAt.adding(seconds: RefundTable.lifetimeSeconds)
        else { return try await forgetOwed(row.payment) }
        payment.headers = row.headers
        payment.body = row.body
        do {
            let call = try Call(stored: payment, signer: await signer(payment))
            let answer = try await send(call, payment: payment)
            await takeChange(payment, token: answer.header(NUT24.headerName))
            // The connection wants the body read.
            do { for try await _ in PaidResponseBody(answer.source) {} } catch {}
        } catch {
            wallet.logger.debug(
                "a seller could not be asked for change",
                metadata: ["payment": "\(payment.id)", "why": "\(error)"]
            )
        }
    }

    private func forgetOwed(_ id: String) async throws {
        try await wallet.database.write { connection in try OwedChange.forget(id, in: connection) }
    }
}

extension Receipt {
    /// Whether the seller has yet to give some of an ecash payment back for a call that it served.
    var owesChange: Bool {
        guard claims.outcome == .served, let settlement = claims.settlement else { return false }
        return settlement.returned > 0 && settlement.form == RefundTable.change.rawValue
    }
}
