internal import CanonicalJSON
internal import Cashu
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
        api.get("node") { _, _ in OperatorResponses.json(node.facts.json) }
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
        GatewayRoutes(node.gateway).addOperator(to: api)
        LogOperatorRoutes(log: node.log).add(to: api.group("log"))
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

    private func receipts(limit: Int) async throws -> [JSONValue] {
        try await node.buyer.payments(limit: limit).filter { $0.receiptID != nil }.map { payment in
            let receipt = try payment.receipt.map { try JSONValue.parse(Array($0.utf8)) } ?? .null
            return [
                "id": .string(payment.receiptID ?? ""), "side": "bought", "at": .string(payment.changedAt.rfc3339),
                "service": receipt["service"] ?? .string(payment.url), "amount": .string(String(payment.amount)),
                "unit": .string(payment.unit.name), "outcome": .string(payment.state.rawValue),
            ]
        }
    }
}

extension Node {
    /// Recomputes the books of every service and of the ledger.
    /// - Returns: sentences that say what does not add up; none where all is well.
    func audit() async throws -> [String] {
        var findings = try await database.read { try LedgerStore.audit(in: $0) }
        if let mint { findings += try await mint.audit().findings }
        findings += try await wallet.audit()
        findings += try await database.read { try GatewayTables.audit(in: $0) }
        return findings
    }
}
