internal import CanonicalJSON
internal import Cashu
internal import Cryptography
internal import Encodings
internal import Hummingbird
internal import Identity
internal import Paywall
internal import Storage
internal import Wallet

/// The operator's side of the wallet, `/api/wallet/…`. Amounts are strings of digits.
struct WalletRoutes: Sendable {
    let wallet: Wallet
    /// The node's own mint, where it runs one.
    let ownMint: String?
    let hasLightning: Bool
    let isTestMoney: Bool
    let registry: AgentRegistry

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("balance") { _, _ in await OperatorResponses.answering { try await balance() } }
        group.post("fund") { request, _ in
            await OperatorResponses.answering { try await fund(OperatorResponses.object(request)) }
        }
        group.post("fund/{quote}") { request, context in
            await OperatorResponses.answering {
                let seconds = request.uri.queryParameters.get("wait", as: Int64.self) ?? 0
                return try await collect(context.parameters.require("quote"), waitSeconds: seconds)
            }
        }
        group.post("send") { request, _ in
            await OperatorResponses.answering { try await send(OperatorResponses.object(request)) }
        }
        group.post("receive") { request, _ in
            await OperatorResponses.answering { try await receive(OperatorResponses.object(request)) }
        }
        group.get("history") { request, _ in
            await OperatorResponses.answering {
                try await history(limit: request.uri.queryParameters.get("limit", as: Int.self) ?? 50)
            }
        }
        group.post("restore") { request, _ in
            await OperatorResponses.answering { try await restore(OperatorResponses.object(request)) }
        }
        group.post("pay-invoice") { request, _ in
            await OperatorResponses.answering { try await payInvoice(OperatorResponses.object(request)) }
        }
        group.post("check") { _, _ in await OperatorResponses.answering { try await check() } }
        addLimits(to: group)
        addMints(to: group)
        addInbox(to: group)
        addPasses(to: group)
        group.post("audit") { request, _ in
            await OperatorResponses.answering { try await auditLiabilities(OperatorResponses.object(request)) }
        }
        group.get("key") { _, _ in
            await OperatorResponses.answering { ["key": .string(Hex.encode(try wallet.receivingKey()))] }
        }
    }

    // MARK: What comes in a request

    /// An amount: digits as text, or a JSON integer.
    static func amount(_ object: JSONObject, _ key: String) throws -> UInt64 {
        guard let text = object[key]?.stringValue else { return try object.uint64(key) }
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let value = UInt64(text), value > 0 else {
            throw WalletError(.invalidArgument, "`\(key)` must be a whole number above zero")
        }
        return value
    }

    /// On whose account a spend goes: the agent that the request names, else the operator's own.
    func account(_ object: JSONObject) async throws -> SpendingAccount {
        guard let name = try object.optionalString("agent") else { return SpendingAccount() }
        return SpendingAccount(agent: try await registry.agent(name).id)
    }

    static func unit(_ object: JSONObject) throws -> CurrencyUnit {
        try CurrencyUnit(object.optionalString("unit") ?? "sat")
    }

    /// The mint that a request names, known to the wallet from now on; else the node's own; else the only one.
    func mint(_ object: JSONObject) async throws -> MintURL {
        let known = try await wallet.mints()
        if let text = try object.optionalString("mint") ?? ownMint {
            if let mint = try await wallet.mint(named: text) { return mint.url }
            return try await wallet.addMint(text).mint
        }
        guard let only = known.first, known.count == 1 else {
            throw WalletError(.mintUnknown, "say which mint: --mint https://…")
        }
        return only
    }

    // MARK: Handlers

    private func balance() async throws -> JSONValue {
        let mints = try await wallet.balances().map { balance -> JSONValue in
            [
                "mint": .string(balance.mint.string), "unit": .string(balance.unit.name),
                "available": .string(String(balance.available)), "locked": .string(String(balance.locked)),
                "pending": .string(String(balance.inFlight)), "sent": .string(String(balance.sentUnclaimed)),
            ]
        }
        return ["mints": .array(mints), "testMoney": .bool(isTestMoney)]
    }

    private func fund(_ object: JSONObject) async throws -> JSONValue {
        let amount = try Self.amount(object, "amount")
        let unit = try Self.unit(object)
        let mint = try await mint(object)
        let paysItself = try object.optionalBool("payInvoice") ?? true
        let funding =
            hasLightning && paysItself
            ? try await wallet.fund(amount, at: mint, unit: unit)
            : try await wallet.requestInvoice(amount, at: mint, unit: unit)
        return shown(funding)
    }

    /// - Parameter waitSeconds: how long the caller is willing to wait for the payment, at most 60.
    private func collect(_ quote: String, waitSeconds: Int64) async throws -> JSONValue {
        shown(try await wallet.awaitFunding(quote, seconds: min(max(0, waitSeconds), 60)))
    }

    private func shown(_ funding: Funding) -> JSONValue {
        let state =
            switch funding.state {
            case .open: "unpaid"
            case .paying: "paid"
            case .issued: "issued"
            case .expired: "expired"
            }
        return [
            "id": .string(funding.quote.string), "mint": .string(funding.mint.string),
            "amount": .string(String(funding.amount)), "unit": .string(funding.unit.name),
            "invoice": .string(funding.invoice), "state": .string(state), "testMoney": .bool(isTestMoney),
        ]
    }

    private func send(_ object: JSONObject) async throws -> JSONValue {
        let lock = try lock(object)
        let sent = try await wallet.send(
            try Self.amount(object, "amount"),
            at: try await mint(object),
            unit: try Self.unit(object),
            lock: lock,
            reference: try object.optionalString("reference"),
            account: try await account(object)
        )
        return [
            "id": .string(sent.id), "token": .string(sent.token), "mint": .string(sent.mint.string),
            "amount": .string(String(sent.amount)), "unit": .string(sent.unit.name),
        ]
    }

    /// The node's own mint is trusted unless the operator says otherwise.
    func addOwnMint() async throws {
        if let ownMint, try await wallet.mint(named: ownMint) == nil { try await wallet.addMint(ownMint) }
    }

    /// The lock that a request asks for: a key, a hash or both, and when it may be taken back.
    private func lock(_ object: JSONObject) throws -> TokenLock? {
        let key = try object.optionalString("lock").map { text in
            guard let key = try? Hex.decode(text), key.count == 33, (try? Secp256k1.Point(compressed: key)) != nil
            else {
                throw WalletError(.invalidArgument, "`lock` must be a compressed secp256k1 public key, 66 hex digits")
            }
            return key
        }
        let hash = try object.optionalString("hash").map { text in
            guard let hash = try? Hex.decode(text), hash.count == 32 else {
                throw WalletError(.invalidArgument, "`hash` must be the SHA-256 of a preimage, 64 hex digits")
            }
            return hash
        }
        let seconds = try object.optionalInt64("refundAfterSeconds")
        guard key != nil || hash != nil else {
            guard seconds == nil, try object.optionalBool("blind") != true else {
                throw WalletError(.invalidArgument, "only a locked token can be blinded or taken back after a time")
            }
            return nil
        }
        guard seconds ?? 1 > 0, seconds ?? 1 <= 315_360_000 else {
            throw WalletError(.invalidArgument, "`refundAfterSeconds` is 1 second to ten years")
        }
        return TokenLock(
            key: key,
            hash: hash,
            isBlinded: try object.optionalBool("blind") ?? false,
            locktime: seconds.map { WallClock.system.now().adding(seconds: $0).secondsSince1970 },
            refundKey: seconds == nil ? nil : try wallet.receivingKey()
        )
    }

    private func receive(_ object: JSONObject) async throws -> JSONValue {
        var swapTo: MintURL?
        if let text = try object.optionalString("swapTo") { swapTo = try await known(text) }
        if let ownMint, let token = try? Token.all(in: object.string("token")), token.first?.mint.string == ownMint {
            try await addOwnMint()
        }
        let received = try await wallet.receive(
            try object.string("token"),
            addsMint: try object.optionalBool("trust") ?? false,
            swapTo: swapTo,
            preimage: try object.optionalString("preimage").map { try Hex.decode($0) }
        )
        let tokens = received.map(Self.shown)
        var answer = tokens.first?.objectValue ?? JSONObject()
        answer["tokens"] = .array(tokens)
        return .object(answer)
    }

    private func history(limit: Int) async throws -> JSONValue {
        let entries = try await wallet.history(limit: limit).map { entry -> JSONValue in
            [
                "at": .string(entry.at.rfc3339), "kind": .string(entry.kind.rawValue),
                "mint": .string(entry.mint?.string ?? (entry.isOnChain ? "evm" : "lightning")),
                "unit": .string(entry.unit.name),
                "change": .string(String(entry.change)), "fee": .string(String(entry.fee)),
                "reference": .string(entry.reference),
            ]
        }
        return ["entries": .array(entries)]
    }

    private func restore(_ object: JSONObject) async throws -> JSONValue {
        let mint = try await mint(object)
        let keysets = try await wallet.restore(from: mint)
        let amount = keysets.reduce(UInt64(0)) { $0.addingReportingOverflow($1.amount).partialValue }
        return [
            "mint": .string(mint.string), "amount": .string(String(amount)),
            "unit": .string(keysets.first?.unit.name ?? "sat"),
            "keysets": .array(
                keysets.map { keyset in
                    [
                        "keyset": .string(keyset.keyset), "unit": .string(keyset.unit.name),
                        "coins": JSONValue(keyset.coins), "amount": .string(String(keyset.amount)),
                    ]
                }
            ),
        ]
    }

    private func check() async throws -> JSONValue {
        let report = try await wallet.check()
        return [
            "checkedCoins": JSONValue(report.checkedCoins), "lostCoins": JSONValue(report.lostCoins),
            "lostAmount": .string(String(report.lostAmount)), "claimedTokens": JSONValue(report.claimedTokens),
        ]
    }
}
