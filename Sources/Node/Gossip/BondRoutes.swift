internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Hummingbird
internal import Trading

/// The bonds that a node has to do with, on each of the three sides.
struct NodeBonds: Sendable {
    /// Those of others that it keeps.
    let keeper: BondKeeper
    /// Its own, left with others.
    let desk: BondDesk
    /// What it asks for out of those of sellers.
    let claims: BondClaims
}

/// Bonds (`Specs/bond.md`): `/market/bonds` for providers and buyers, `/api/market/bonds` for the operator.
struct BondRoutes: Sendable {
    /// A job's answer in base64url, and the documents around it.
    private static let maximumEvidenceBytes = 2 << 20

    let bonds: NodeBonds
    let arbiters: ArbiterLookup

    init(_ node: Node) {
        bonds = node.bonds
        arbiters = node.arbiters
    }

    func addPublic<Context: RequestContext>(to group: RouterGroup<Context>) {
        let keeper = bonds.keeper
        group.get("bonds") { _, _ in
            await OperatorResponses.answering { .object(try await keeper.terms()) }
        }
        group.post("bonds") { request, _ in
            await OperatorResponses.answering {
                .object(try await keeper.take(OperatorResponses.object(request)))
            }
        }
        group.post("bonds/{name}") { _, context in
            await OperatorResponses.answering { .object(try await keeper.told(context.parameters.require("name"))) }
        }
        group.post("bonds/{name}/claims") { request, context in
            await OperatorResponses.answering {
                .object(
                    try await keeper.claim(
                        context.parameters.require("name"),
                        OperatorResponses.object(request, upTo: Self.maximumEvidenceBytes)
                    )
                )
            }
        }
    }

    func addOperator<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.post("bonds") { request, _ in
            await OperatorResponses.answering {
                let body = try await OperatorResponses.object(request)
                guard let amount = UInt64(try body.string("amount")), amount > 0 else {
                    throw JobError(.invalid, "\"amount\" is a text of digits, above 0.")
                }
                let seconds = try body.optionalInt64("seconds") ?? 30 * 86_400
                return .object(
                    try await bonds.desk.leave(
                        amount,
                        CurrencyUnit(body.optionalString("unit") ?? "sat"),
                        with: arbiters.keeper(body.string("at")),
                        seconds: UInt64(max(0, seconds))
                    )
                )
            }
        }
        group.get("bonds") { request, _ in
            await OperatorResponses.answering {
                let limit = request.uri.queryParameters.get("limit", as: Int.self) ?? 50
                return [
                    "left": .array(try await bonds.desk.list().map { .object($0) }),
                    "claims": .array(try await bonds.claims.list(limit: limit).map { .object($0) }),
                    "kept": .array(try await bonds.keeper.list(limit: limit).map { .object($0) }),
                ]
            }
        }
        group.get("bonds/{id}") { _, context in
            await OperatorResponses.answering {
                .object(try await bonds.desk.shown(context.parameters.require("id")))
            }
        }
    }
}
