internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Foundation
internal import Gateway
internal import Hummingbird
internal import Identity
internal import Mint

/// The operator's side of the mint, `/api/mint/…`. Amounts are strings of digits.
struct MintOperatorRoutes: Sendable {
    /// nil where this node runs none.
    let mint: Mint?

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("status") { _, _ in await OperatorResponses.answering { try await status() } }
        group.get("keysets") { _, _ in await OperatorResponses.answering { try await keysets() } }
        group.post("rotate") { request, _ in
            await OperatorResponses.answering { try await rotate(OperatorResponses.object(request)) }
        }
        group.get("quotes") { request, _ in
            await OperatorResponses.answering {
                try await quotes(
                    kind: request.uri.queryParameters.get("kind"),
                    state: request.uri.queryParameters.get("state"),
                    count: request.uri.queryParameters.get("limit", as: Int.self) ?? 50
                )
            }
        }
        group.get("quotes/{id}") { _, context in
            await OperatorResponses.answering { try await evidence(context.parameters.require("id")) }
        }
        group.post("quotes/{id}/resolve") { request, context in
            await OperatorResponses.answering {
                try await resolve(context.parameters.require("id"), OperatorResponses.object(request))
            }
        }
        group.post("audit") { _, _ in await OperatorResponses.answering { try await audit() } }
        group.get("liabilities") { _, _ in
            await OperatorResponses.answering {
                try JSONValue.parse(await running().liabilityStatement(epoch: nil))
            }
        }
        group.post("liabilities") { _, _ in
            await OperatorResponses.answering { try JSONValue.parse(Array(await running().closeEpoch().utf8)) }
        }
    }

    private func running() throws -> Mint {
        guard let mint else {
            throw ProblemDetails(
                code: "no-mint",
                title: "Not found",
                status: 404,
                detail: "this node runs no mint: set mint.enabled to true and choose a lightning.backend"
            )
        }
        return mint
    }

    private static func amount(_ value: UInt64) -> JSONValue { .string(String(value)) }
    private static func time(_ value: Timestamp?) -> JSONValue { value.map { .string($0.rfc3339) } ?? .null }

    private func status() async throws -> JSONValue {
        let status = try await running().status()
        let units = status.units.map { unit -> JSONValue in
            [
                "unit": .string(unit.unit.name), "outstanding": Self.amount(unit.outstanding),
                "unissued": Self.amount(unit.unissued), "fees": Self.amount(unit.fees),
                "losses": Self.amount(unit.losses), "lightning": Self.amount(unit.lightning),
                "msatPerUnit": unit.msatPerUnit.map(Self.amount) ?? .null,
            ]
        }
        return [
            "units": .array(units), "keysets": .integer(Int64(status.keysets)),
            "activeKeysets": .integer(Int64(status.activeKeysets)), "network": .string(status.network),
            "backendBalanceMsat": status.backendBalanceMsat.map(Self.amount) ?? .null,
            "backendError": status.backendError.map { .string($0) } ?? .null,
            "openMintQuotes": .integer(Int64(status.openMintQuotes)),
            "openMeltQuotes": .integer(Int64(status.openMeltQuotes)),
            "pendingMelts": .integer(Int64(status.pendingMelts)),
            "lastEpoch": status.lastEpoch.map { .integer($0) } ?? .null,
            "lastEpochClosedAt": Self.time(status.lastEpochClosedAt),
        ]
    }

    private func keysets() async throws -> JSONValue {
        let keysets = try await running().keysetStatuses().map { keyset -> JSONValue in
            let expiry = keyset.finalExpiry.map { Timestamp(secondsSince1970: Int64(clamping: $0)) }
            return [
                "id": .string(keyset.sums.id.hex), "unit": .string(keyset.sums.unit.name),
                "active": .bool(keyset.isActive), "expired": .bool(keyset.hasExpired),
                "inputFeePPK": Self.amount(keyset.inputFeePPK), "issued": Self.amount(keyset.sums.issued),
                "redeemed": Self.amount(keyset.sums.redeemed), "held": Self.amount(keyset.sums.held),
                "outstanding": Self.amount(keyset.sums.outstanding), "createdAt": Self.time(keyset.createdAt),
                "rotatesAt": Self.time(keyset.rotatesAt), "finalExpiry": Self.time(expiry),
            ]
        }
        return ["keysets": .array(keysets)]
    }

    private func rotate(_ body: JSONObject) async throws -> JSONValue {
        let unit = try CurrencyUnit(body.optionalString("unit") ?? "sat")
        let mint = try running()
        let former = mint.activeKeysets.first { $0.unit == unit }?.id
        let new = try await mint.rotate(unit)
        return [
            "unit": .string(unit.name), "keyset": .string(new.hex),
            "former": former.map { .string($0.hex) } ?? .null,
        ]
    }

    private func quotes(kind: String?, state: String?, count: Int) async throws -> JSONValue {
        guard kind == nil || ["mint", "melt"].contains(kind), QuoteLine.states.contains(state ?? "paid") else {
            throw ProblemDetails(
                code: "invalid-request",
                title: "The request cannot be carried out as it is",
                status: 400,
                detail: "kind is mint or melt; state is one of \(QuoteLine.states.joined(separator: ", "))"
            )
        }
        let lines = try await running().quotes(kind: kind, state: state, count: count).map { line -> JSONValue in
            [
                "kind": .string(line.kind), "id": .string(line.id), "unit": .string(line.unit.name),
                "amount": Self.amount(line.amount), "state": .string(line.state),
                "updatedAt": Self.time(line.updatedAt), "startedAt": Self.time(line.startedAt),
            ]
        }
        return ["quotes": .array(lines)]
    }

    private func evidence(_ id: String) async throws -> JSONValue {
        let found = try await running().evidence(onMelt: id)
        let notes = found.notes.map { note -> JSONValue in
            ["at": Self.time(note.at), "kind": .string(note.kind.rawValue), "text": .string(note.text)]
        }
        return [
            "quote": .string(found.quote), "unit": .string(found.unit.name), "amount": Self.amount(found.amount),
            "feeReserve": Self.amount(found.feeReserve), "state": .string(found.state),
            "invoice": .string(found.invoice), "paymentHash": .string(found.paymentHash),
            "startedAt": Self.time(found.startedAt), "invoiceExpiresAt": Self.time(found.invoiceExpiresAt),
            "heldProofs": .integer(Int64(found.heldProofs)), "heldAmount": Self.amount(found.heldAmount),
            "isBeingPaid": .bool(found.isBeingPaid), "backendSays": .string(found.backendSays),
            "askedAt": Self.time(found.askedAt), "notes": .array(notes),
        ]
    }

    private func resolve(_ id: String, _ body: JSONObject) async throws -> JSONValue {
        guard let resolution = MeltResolution(rawValue: try body.string("as")) else {
            throw ProblemDetails(
                code: "invalid-request",
                title: "The request cannot be carried out as it is",
                status: 400,
                detail: "a melt is resolved as settled or failed"
            )
        }
        let preimage = try body.optionalString("preimage").map { text in
            guard text.utf8.count == 64, let bytes = try? Hex.decode(text) else {
                throw MintOperationError(.preimageWrong, "a preimage is 64 hex digits")
            }
            return bytes
        }
        let sentence = try await running().resolve(
            melt: id,
            as: resolution,
            preimage: preimage,
            force: body.optionalString("force")
        )
        return ["quote": .string(id), "as": .string(resolution.rawValue), "noted": .string(sentence)]
    }

    private func audit() async throws -> JSONValue {
        let audit = try await running().audit()
        let keysets = audit.keysets.map { keyset -> JSONValue in
            [
                "id": .string(keyset.id.hex), "unit": .string(keyset.unit.name), "issued": Self.amount(keyset.issued),
                "redeemed": Self.amount(keyset.redeemed), "held": Self.amount(keyset.held),
                "outstanding": Self.amount(keyset.outstanding),
            ]
        }
        return ["keysets": .array(keysets), "findings": .array(audit.findings.map { .string($0) })]
    }
}
