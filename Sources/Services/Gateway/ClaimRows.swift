import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Paywall
import Storage

/// How claims and proofs stand in rows.
enum ClaimRows {
    static let columns = """
        id, scope, request, payment, service, method, target, body, caller, agent, passport, mint, unit, total, fee, price,
        online, state, at, settled_at, kept_until, dialect, grant_hash,
        (SELECT document FROM gateway_delegations WHERE claim = gateway_claims.id)
        """

    static func record(_ row: Row) throws -> ClaimRecord {
        guard let state = CallState(rawValue: try row.text(17)), let payment = PaymentDigest(bytes: try row.blob(3))
        else {
            throw GatewayError(.corrupt, "a claim has an unknown state or payment")
        }
        let id = try row.text(0)
        let settledAt = try row.optionalInt64(19).map { Timestamp(millisecondsSince1970: $0) }
        let dialect = try dialect(row.optionalText(21))
        return ClaimRecord(
            call: StoredCall(
                id: id,
                scopeID: try row.blob(1),
                requestDigest: try row.blob(2),
                payment: payment,
                state: state,
                receiptID: settledAt == nil ? nil : id,
                responseKeptUntil: try row.optionalInt64(20).map { Timestamp(millisecondsSince1970: $0) }
            ),
            service: try row.text(4),
            method: try row.text(5),
            target: try row.text(6),
            bodyDigest: try row.optionalBlob(7),
            caller: try row.optionalText(8).map { did in
                CallerIdentity(
                    did: did,
                    agentID: try row.optionalText(9),
                    passportID: try row.optionalText(10),
                    delegation: try row.optionalText(23).map { try CallerDelegation(stored: $0) }
                )
            },
            source: try source(row, dialect: dialect),
            dialect: dialect,
            unit: try CurrencyUnit(row.text(12)),
            total: try row.uint64(13),
            fee: try row.uint64(14),
            price: try row.uint64(15),
            isOnline: try row.bool(16),
            at: Timestamp(millisecondsSince1970: try row.int64(18)),
            settledAt: settledAt
        )
    }

    /// A token's name stands where of ecash its mint does.
    private static func source(_ row: Row, dialect: PaymentDialect) throws -> PaymentSource {
        if dialect == .x402Exact { return .exact(asset: try row.text(11)) }
        return try row.optionalBlob(22).map { .grant(paymentHash: $0) } ?? .ecash(MintURL(row.text(11)))
    }

    /// Claims of before the column was there are ecash in `X-Cashu`; so are those that leave it empty.
    private static func dialect(_ text: String?) throws(GatewayError) -> PaymentDialect {
        guard let text else { return .cashu }
        guard let dialect = PaymentDialect(rawValue: text) else {
            throw GatewayError(.corrupt, "a claim was paid in an unknown dialect")
        }
        return dialect
    }

    static let proofColumns = "y, keyset, amount, secret, signature, dleq"

    static func proof(_ row: Row) throws -> (y: [UInt8], proof: Proof) {
        let proof = Proof(
            amount: try row.uint64(2),
            keysetID: try KeysetID(bytes: row.blob(1)),
            secret: try row.text(3),
            signature: try Secp256k1.Point(compressed: row.blob(4)),
            dleq: try row.optionalBlob(5).map(dleq)
        )
        return (try row.blob(0), proof)
    }

    /// e ‖ s, or e ‖ s ‖ r.
    static func dleqBytes(_ dleq: DLEQProof?) -> [UInt8]? {
        dleq.map { $0.challenge + $0.response + ($0.blindingFactor ?? []) }
    }

    private static func dleq(_ bytes: [UInt8]) throws -> DLEQProof {
        guard bytes.count == 64 || bytes.count == 96 else {
            throw GatewayError(.corrupt, "a stored DLEQ proof has \(bytes.count) bytes")
        }
        return DLEQProof(
            challenge: Array(bytes[0..<32]),
            response: Array(bytes[32..<64]),
            blindingFactor: bytes.count == 96 ? Array(bytes[64...]) : nil
        )
    }

    static func headerBytes(_ headers: [(name: String, value: String)]) -> [UInt8] {
        JSONValue.array(headers.map { .array([.string($0.name), .string($0.value)]) }).serialized()
    }

    static func headers(_ bytes: [UInt8]) throws -> [(name: String, value: String)] {
        let json = try JSONValue.parse(bytes)
        guard let lines = json.arrayValue else { throw GatewayError(.corrupt, "stored headers can't be read") }
        return try lines.map { line in
            guard let name = line[0]?.stringValue, let value = line[1]?.stringValue else {
                throw GatewayError(.corrupt, "a stored header can't be read")
            }
            return (name, value)
        }
    }
}
