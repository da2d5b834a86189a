internal import AuditLog
internal import Budgets
internal import CanonicalJSON
internal import Cashu
internal import Delegation
internal import Encodings
internal import Foundation
internal import Gateway
internal import Hummingbird
internal import Identity
internal import Mint
internal import Storage
internal import Wallet

/// The operator's API, `/api/…`: on the socket without a token, on the public address with one.
struct OperatorRoutes: Sendable {
    let node: Node

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        let node = node
        let api = group.add(middleware: FenceMiddleware(fence: node.fence))
        api.get("node") { _, _ in OperatorResponses.json(await node.currentFacts().json) }
        api.post("audit") { _, _ in
            await OperatorResponses.answering { ["findings": .array(try await node.audit().map { .string($0) })] }
        }
        api.get("receipts") { request, _ in
            await OperatorResponses.answering {
                let limit = request.uri.queryParameters.get("limit", as: Int.self) ?? 50
                return ["receipts": .array(try await receipts(limit: min(max(limit, 1), 1000)))]
            }
        }
        api.get("receipts/{id}") { _, context in
            await OperatorResponses.answering { try await receipt(context.parameters.require("id")) }
        }
        api.get("receipts/{id}/invocation") { _, context in
            await OperatorResponses.answering {
                let id = try context.parameters.require("id")
                guard let word = try await node.invocationReceipt(id) else {
                    throw WalletError(.notFound, "this node has no receipt \(id.prefix(80)) of an invocation")
                }
                return .object(word.document)
            }
        }
        let walletRoutes = WalletRoutes(
            wallet: node.wallet,
            ownMint: node.facts.mintURL,
            hasLightning: node.lightning?.wallet != nil,
            isTestMoney: node.facts.isTestMoney,
            registry: node.identity.registry
        )
        walletRoutes.add(to: api.group("wallet"))
        WalletRequestRoutes(
            wallet: node.wallet,
            buyer: node.buyer,
            publicURL: node.facts.publicURL,
            operatorRoutes: walletRoutes
        ).add(to: api.group("wallet"))
        WalletEVMRoutes(wallet: node.wallet, buyer: node.buyer).add(to: api.group("wallet"))
        MintOperatorRoutes(mint: node.mint).add(to: api.group("mint"))
        node.payRoutes.add(to: api)
        BackupRoutes(maker: node.backups).add(to: api)
        FenceRoutes(node: node).add(to: api)
        IdentityRoutes(node.identity).addOperatorRoutes(to: api)
        let showcase = node.showcase
        ShowcaseRoutes(showcase, identity: node.identity).addOperatorRoutes(to: api)
        AnchorRoutes(anchor: node.anchor?.anchor, identity: node.identity, showcase: showcase).add(to: api)
        let credentials = CredentialRoutes(node.identity, mayFetch: true)
        credentials.addPublicRoutes(to: api)
        credentials.addOperatorRoutes(to: api.group("credentials"))
        GatewayRoutes(node.gateway).addOperator(to: api)
        DelegationRoutes(
            office: node.budgets,
            registry: node.identity.registry,
            signer: node.identity.nodeKeys.node,
            publicURL: node.facts.publicURL,
            clock: .system,
            invocationReceipt: { try await node.invocationReceipt($0) },
            witnesses: CallWitnesses(log: node.log, witnesses: node.cosigning?.witnesses.map(\.key) ?? [])
        ).add(to: api)
        LogOperatorRoutes(log: node.log).add(to: api.group("log"))
        LogPromises(node).add(to: api.group("log"))
        GossipRoutes(gossip: node.gossip).add(to: api)
        MarketRoutes(market: JudgedMarket(node))
            .addOperator(to: api.group("market"))
        JobRoutes(node).addOperator(to: api.group("market"))
        DisputeRoutes(node).addOperator(to: api.group("market"))
        BondRoutes(node).addOperator(to: api.group("market"))
        CallRoutes(node).addOperator(to: api.group("market"))
        node.reputationRoutes.addOperator(to: api.group("market"))
        if let records = node.market?.records {
            PostageRoutes(records: records, publicURL: node.configuration.publicURL).addOperator(to: api)
        }
    }

    /// A receipt that this node gave or was given.
    private func receipt(_ id: String) async throws -> JSONValue {
        if let bytes = try await node.gateway.receipt(id: id) { return try JSONValue.parse(bytes) }
        let bought = try await node.buyer.payments(limit: 1000).first { $0.receiptID == id || $0.id == id }
        guard let text = bought?.receipt else {
            throw WalletError(.notFound, "this node has no receipt \(id.prefix(80))")
        }
        return try JSONValue.parse(Array(text.utf8))
    }

    /// Of both sides, newest first.
    private func receipts(limit: Int) async throws -> [JSONValue] {
        let bought = try await node.buyer.payments(limit: limit).filter { $0.receiptID != nil }.map { payment in
            let receipt = try payment.receipt.map { try JSONValue.parse(Array($0.utf8)) } ?? .null
            var listed = Self.listed(receipt, side: "bought")
            listed["id"] = .string(payment.receiptID ?? "")
            listed["at"] = listed["at"] ?? .string(payment.changedAt.rfc3339)
            listed["service"] = listed["service"] ?? .string(payment.url)
            listed["amount"] = listed["amount"] ?? .string(String(payment.amount))
            listed["unit"] = listed["unit"] ?? .string(payment.unit.name)
            listed["outcome"] = .string(payment.state.rawValue)
            return listed
        }
        let sold = try await node.gateway.receipts(limit: limit).map {
            Self.listed(try JSONValue.parse($0), side: "sold")
        }
        let latest = (bought + sold).sorted { $0["at"]?.stringValue ?? "" > $1["at"]?.stringValue ?? "" }
        return latest.prefix(limit).map { .object($0) }
    }

    /// What a receipt says in a line; nothing of what it doesn't say.
    private static func listed(_ receipt: JSONValue, side: String) -> JSONObject {
        var listed: JSONObject = ["side": .string(side)]
        listed["id"] = receipt["id"]?.stringValue.map { .string(String($0.dropFirst("urn:uuid:".utf8.count))) }
        listed["at"] = receipt["respondedAt"]
        listed["service"] = receipt["service"]
        listed["amount"] = receipt["payment"]?["amount"]
        listed["unit"] = receipt["payment"]?["unit"]
        listed["outcome"] = receipt["outcome"]
        return listed
    }
}

extension Node {
    /// Recomputes the books of every service and of the ledger.
    /// - Returns: sentences that say what does not add up; none where all is well.
    func audit() async throws -> [String] {
        var findings = try await database.read { try LedgerStore.audit(in: $0) }
        if let mint { findings += try await mint.audit().findings }
        findings += try await database.read { try NodeHouseMint.audit(in: $0) }
        findings += try await wallet.audit()
        findings += try await budgets.audit()
        findings += try await database.read { try GatewayTables.audit(in: $0) }
        return findings
    }
}
