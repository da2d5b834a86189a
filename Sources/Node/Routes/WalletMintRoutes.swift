internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Hummingbird
internal import Paywall
internal import Wallet

/// `/api/wallet/mints`, `/api/wallet/swaps`, `/api/wallet/inbox`, `/api/wallet/sent`: whom the wallet trusts, and what
/// is between it and others.
extension WalletRoutes {
    func addMints<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("mints") { _, _ in await OperatorResponses.answering { try await mints() } }
        group.post("mints/trust") { request, _ in
            await OperatorResponses.answering { try await trust(OperatorResponses.object(request)) }
        }
        group.post("mints/distrust") { request, _ in
            await OperatorResponses.answering {
                let object = try await OperatorResponses.object(request)
                try await wallet.distrustMint(try await known(object.string("mint")))
                return try await mints()
            }
        }
        group.post("mints/rename") { request, _ in
            await OperatorResponses.answering {
                let object = try await OperatorResponses.object(request)
                try await wallet.renameMint(try await known(object.string("mint")), to: object.string("name"))
                return try await mints()
            }
        }
        group.get("swaps") { _, _ in
            await OperatorResponses.answering { ["swaps": .array(try await wallet.swaps().map(Self.shown))] }
        }
        group.post("swaps") { request, _ in
            await OperatorResponses.answering { try await quoteSwap(OperatorResponses.object(request)) }
        }
        group.post("swaps/{id}") { _, context in
            await OperatorResponses.answering {
                Self.shown(try await wallet.performSwap(context.parameters.require("id")))
            }
        }
    }

    func addInbox<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("inbox") { request, _ in
            await OperatorResponses.answering {
                let all = request.uri.queryParameters.get("all") == "true"
                return ["tokens": .array(try await wallet.inbox(all: all).map(Self.shown))]
            }
        }
        group.post("inbox/{id}") { _, context in
            await OperatorResponses.answering {
                Self.shown(try await wallet.retryInbox(context.parameters.require("id")))
            }
        }
        group.get("sent") { _, _ in
            await OperatorResponses.answering {
                let tokens = try await wallet.sentTokens().map { token -> JSONValue in
                    [
                        "id": .string(token.id), "at": .string(token.at.rfc3339), "token": .string(token.token),
                        "mint": .string(token.mint.string), "amount": .string(String(token.amount)),
                        "unit": .string(token.unit.name),
                    ]
                }
                return ["tokens": .array(tokens)]
            }
        }
        group.post("sent/{id}/reclaim") { _, context in
            await OperatorResponses.answering {
                Self.shown(try await wallet.reclaim(context.parameters.require("id")))
            }
        }
    }

    /// The mint in the book that a user names.
    /// - Throws: `mintUnknown`.
    func known(_ text: String) async throws -> MintURL {
        guard let mint = try await wallet.mint(named: text) else {
            throw WalletError(.mintUnknown, "the mint \(text.prefix(200)) is not in this wallet")
        }
        return mint.url
    }

    private func mints() async throws -> JSONValue {
        let balances = try await wallet.balances()
        let lines = try await wallet.knownMints().map { mint -> JSONValue in
            let held = balances.filter { $0.mint == mint.url }.map { balance -> JSONValue in
                ["unit": .string(balance.unit.name), "available": .string(String(balance.available))]
            }
            return [
                "mint": .string(mint.url.string), "name": mint.name.map { .string($0) } ?? .null,
                "trusted": .bool(mint.isTrusted), "addedAt": .string(mint.addedAt.rfc3339), "balances": .array(held),
            ]
        }
        return ["mints": .array(lines)]
    }

    private func trust(_ object: JSONObject) async throws -> JSONValue {
        let text = try object.string("mint")
        let address = try await wallet.mint(named: text)?.url.string ?? text
        let terms = try await wallet.addMint(address)
        if let name = try object.optionalString("name") { try await wallet.renameMint(terms.mint, to: name) }
        return try await mints()
    }

    private func quoteSwap(_ object: JSONObject) async throws -> JSONValue {
        let swap = try await wallet.quoteSwap(
            try Self.amount(object, "amount"),
            from: try await known(object.string("from")),
            to: try await known(object.string("to")),
            unit: try Self.unit(object)
        )
        return Self.shown(swap)
    }

    private static func shown(_ swap: MintSwap) -> JSONValue {
        [
            "id": .string(swap.id), "from": .string(swap.source.string), "to": .string(swap.target.string),
            "amount": .string(String(swap.amount)), "unit": .string(swap.unit.name),
            "maximumFee": .string(String(swap.maximumFee)), "state": .string(swap.state.rawValue),
            "fee": swap.fee.map { .string(String($0)) } ?? .null,
        ]
    }

    static func shown(_ entry: InboxEntry) -> JSONValue {
        [
            "id": .string(entry.id), "mint": .string(entry.mint.string), "unit": .string(entry.unit.name),
            "amount": .string(String(entry.amount)), "state": .string(entry.state.rawValue),
            "received": .string(String(entry.received)), "fee": .string(String(entry.fee)),
            "reason": entry.reason.map { .string($0) } ?? .null,
            "request": entry.request.map { .string($0) } ?? .null,
            "receivedAt": .string(entry.receivedAt.rfc3339),
        ]
    }

    static func shown(_ token: ReceivedToken) -> JSONValue {
        [
            "mint": .string(token.mint.string), "unit": .string(token.unit.name),
            "amount": .string(String(token.amount)), "fee": .string(String(token.fee)),
        ]
    }
}
