internal import CanonicalJSON
internal import Encodings
internal import Gateway
internal import HTTPTypes
internal import Hummingbird
internal import Ledger
internal import Logging
internal import Mint
internal import NIOCore
internal import Storage
internal import Wallet

/// What a node answers while it stands on an older copy of its database and nobody has looked ([BAK-8]).
enum Fence {
    static let code = "restored-copy"

    /// A problem that strangers may read: no paths, no times.
    static let problem = ProblemDetails(
        code: code,
        title: "Not now",
        status: 503,
        detail: "This node was set back to an older copy of its books and takes no money until its operator has looked."
    )

    static func refusal() -> Response {
        var response = OperatorResponses.problem(problem)
        response.headers[.retryAfter] = "60"
        return response
    }

    /// In the mint's own form (NUT-00).
    static func mintRefusal() -> Response {
        let body: JSONValue = ["detail": .string(problem.detail ?? ""), "code": 0]
        var response = OperatorResponses.json(body, status: .serviceUnavailable)
        response.headers[.retryAfter] = "60"
        return response
    }

    /// Whether a public request may be answered while the fence is up: what only reads, and says nothing that the gap
    /// could have made untrue. The operator's API has its own rule.
    static func allowsPublic(_ method: HTTPRequest.Method, path: String) -> Bool {
        if path.hasPrefix("/api/") { return true }
        guard method == .get || method == .head, !path.hasPrefix(Gateway.mountPath) else { return false }
        guard path.hasPrefix("/mint/") else { return true }
        return ["/mint/v1/keys", "/mint/v1/keysets", "/mint/v1/info"].contains {
            path == $0 || path.hasPrefix($0 + "/")
        }
    }

    /// The parts of the operator's API that move money.
    private static let moving = ["pay", "payments", "wallet", "mint", "market", "gateway/offline/resume"]

    static func allowsOperator(_ method: HTTPRequest.Method, path: String) -> Bool {
        if method == .get { return true }
        return !moving.contains { path == "/api/" + $0 || path.hasPrefix("/api/\($0)/") }
    }
}

/// Refuses the operator's commands that move money while the fence is up.
struct FenceMiddleware<Context: RequestContext>: RouterMiddleware {
    let fence: EpochFence

    func handle(
        _ request: Request,
        context: Context,
        next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        guard fence.raised != nil, !Fence.allowsOperator(request.method, path: request.uri.path) else {
            return try await next(request, context)
        }
        var problem = Fence.problem
        problem.status = 409
        problem.title = "Not in the present state"
        problem.detail =
            "This node stands on an older copy of its database: look at `mintmark restore status`, then say"
            + " `mintmark restore confirm`. Nothing was done."
        return OperatorResponses.problem(problem)
    }
}

/// `GET /api/restore` and `POST /api/restore/confirm`.
struct FenceRoutes: Sendable {
    let node: Node

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        let node = node
        group.get("restore") { _, _ in await OperatorResponses.answering { try await node.fenceReport() } }
        group.post("restore/confirm") { _, _ in
            await OperatorResponses.answering {
                let report = try await node.fenceReport()
                try await node.confirmFence()
                return report
            }
        }
    }
}

extension Node {
    /// What the operator should know before he confirms: how old the copy is, and what may be lost with it.
    func fenceReport() async throws -> JSONValue {
        guard let raised = fence.raised else { return ["fenced": false] }
        var report: JSONObject = ["fenced": true, "reason": .string(raised.reason), "why": .string(raised.sentence)]
        if let copyAt = raised.copyAt {
            report["copyAt"] = .string(copyAt.rfc3339)
            report["ageSeconds"] = .integer(max(0, WallClock.system.now().milliseconds(since: copyAt) / 1000))
        }
        report["lastAt"] = raised.lastAt.map { .string($0.rfc3339) }
        let accounts = try await database.read { try LedgerStore.accounts(in: $0) }
        func sum(_ prefix: String) -> JSONValue {
            var sums: [String: UInt64] = [:]
            for account in accounts where account.account.name.hasPrefix(prefix) && account.balance > 0 {
                let (sum, overflow) = sums[account.unit, default: 0].addingReportingOverflow(account.balance)
                sums[account.unit] = overflow ? .max : sum
            }
            let shown = sums.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
            return .string(shown.isEmpty ? "0" : shown.joined(separator: ", "))
        }
        report["atStake"] = [
            "ecashOfOurMint": sum("mint:ecash:"), "paidAndNotIssued": sum("mint:unissued"),
            "walletCoins": sum("wallet:ecash:"), "lockedCoins": sum("wallet:locked:"),
            "takenAndNotRedeemed": sum("gateway:unredeemed:"),
        ]
        return .object(report)
    }

    /// Takes the fence down ([BAK-9]): the wallet goes on in counters that were never used, calls are taken up, and
    /// offline acceptance stays off until it is resumed by itself.
    func confirmFence() async throws {
        guard fence.raised != nil else { return }
        // Calls come in from the moment on at which the fence is down.
        let before = WallClock.system.now()
        try await fence.confirm { try Wallet.skipCounters(in: $0) }
        logger.notice("the operator confirmed the restored copy: money moves again")
        try await gateway.start(before: before)
    }
}

extension EpochFence.Raised {
    /// What happened, in a sentence.
    var sentence: String {
        switch reason {
        case "restored": "This data directory was made from a backup."
        case "older-copy": "An older copy of node.sqlite was put back: this directory was at work with a later one."
        case "other-branch": "node.sqlite is not the one that this directory was last at work with."
        case "epoch-missing": "The file `epoch` is missing, so nothing tells whether node.sqlite is the latest."
        case "database-missing": "node.sqlite was removed: this directory was at work with one, and it is empty now."
        case "log-rewritten":
            "A witness has seen a later, or another, history of this node's log than node.sqlite holds."
        default: "The database may be an older copy."
        }
    }
}
