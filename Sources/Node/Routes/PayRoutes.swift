internal import Budgets
internal import CanonicalJSON
internal import Cashu
internal import Delegation
internal import Encodings
internal import Ethereum
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Identity
internal import NIOCore
internal import Passports
internal import SignedDocuments
internal import Wallet

/// Calls that this node pays for: `/api/pay` and `/api/payments/…`.
struct PayRoutes: Sendable {
    let buyer: Buyer
    let registry: AgentRegistry
    let keys: KeyBoard
    let budgets: BudgetOffice
    let purse: DelegatedPurse
    let clock: WallClock
    /// Where long bodies wait until their call is settled.
    let spoolFolder: String

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.post("pay") { request, _ in
            do {
                return try await pay(request)
            } catch {
                return OperatorResponses.problem(OperatorProblem.of(error))
            }
        }
        group.get("payments") { request, _ in
            await OperatorResponses.answering {
                if let key = request.uri.queryParameters.get("key") {
                    guard let payment = try await buyer.payment(idempotencyKey: key) else { return ["payments": []] }
                    return ["payments": [try await described(payment)]]
                }
                let limit = request.uri.queryParameters.get("limit", as: Int.self) ?? 50
                var shown: [JSONValue] = []
                for payment in try await buyer.payments(limit: limit) { shown.append(try await described(payment)) }
                return ["payments": .array(shown)]
            }
        }
        group.get("payments/{id}") { _, context in
            await OperatorResponses.answering {
                let id = try context.parameters.require("id")
                guard let payment = try await buyer.payment(id) else {
                    throw WalletError(.notFound, "there is no payment \(id.prefix(80))")
                }
                return try await described(payment)
            }
        }
        addSessions(to: group)
        group.post("payments/resume") { request, _ in
            let isPublished = request.uri.queryParameters.get("webBotAuth") == "true"
            return await OperatorResponses.answering { try await resume(isPublished: isPublished) }
        }
    }

    // MARK: Paying

    private func pay(_ request: Request) async throws -> Response {
        func given(_ name: String) -> String? { HTTPField.Name(name).flatMap { request.headers[$0] } }
        guard let url = given(PayHeader.url), let limit = given(PayHeader.max) else {
            throw WalletError(.invalidArgument, "say which URL to call and the most it may cost")
        }
        let (maximum, unit) = try Self.amount(limit)
        let spooled = try await SpooledBody.read(request, spool: spoolFolder)
        var call = PaidRequest(
            method: given(PayHeader.method) ?? "GET",
            url: url,
            headers: try Self.headers(request),
            body: spooled.body,
            maximum: maximum,
            unit: try CurrencyUnit(unit),
            idempotencyKey: given("Idempotency-Key")
        )
        if let text = given(PayHeader.via) {
            guard let via = PaymentVia(rawValue: text) else {
                let known = PaymentVia.allCases.map(\.rawValue).joined(separator: ", ")
                throw WalletError(.invalidArgument, "a call is paid via one of \(known), not \(text.prefix(40))")
            }
            call.via = via
        }
        if let text = given(PayHeader.session) {
            let (deposit, depositUnit) = try Self.amount(text)
            guard depositUnit == unit else {
                throw WalletError(
                    .invalidArgument,
                    "a session's deposit is in \(unit), as the most that the call may cost"
                )
            }
            call.sessionDeposit = deposit
        }
        let chain = try await chain(given(PayHeader.delegation))
        if let name = given(PayHeader.agent) ?? chain?.leaf?.audience.string {
            let agent = try await registry.agent(name)
            call.agent = agent.id
            call.signer = try await signer(agent.id, chain, isPublished: given(PayHeader.webBotAuth) == "true")
            if let limit = agent.spendLimit {
                // A limit in another currency cannot be counted against, so nothing may be spent against it.
                let amount = limit.unit == unit ? limit.amountMinor : 0
                call.spendingLimit = SpendingLimit(amount, windowSeconds: limit.periodSeconds) { now, connection in
                    try BudgetOffice.spent(onLimitOf: agent.id, at: now, in: connection)
                }
            }
        }
        if call.signer == nil, given(PayHeader.webBotAuth) == "true" {
            throw WalletError(.invalidArgument, "a Web Bot Auth signature is an agent's: say which agent calls")
        }
        if given(PayHeader.dryRun) == "true" {
            let preview = try await buyer.preview(call)
            withExtendedLifetime(spooled) {}
            return OperatorResponses.json(Self.shown(preview))
        }
        let answer = try await buyer.pay(call)
        return Self.response(answer, keeping: spooled)
    }

    private static func amount(_ text: String) throws -> (UInt64, String) {
        guard let (value, unit) = AmountText.read(text) else {
            throw WalletError(
                .invalidArgument,
                "the most a call may cost is an amount such as 5sat, not \(text.prefix(40))"
            )
        }
        return (value, unit.isEmpty ? "sat" : unit)
    }

    private static func headers(_ request: Request) throws -> [(name: String, value: String)] {
        guard let name = HTTPField.Name(PayHeader.header) else { return [] }
        return try request.headers[values: name].map { line in
            guard let colon = line.firstIndex(of: ":") else {
                throw WalletError(.invalidArgument, "a header is 'Name: value', not '\(line.prefix(80))'")
            }
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            return (String(line[..<colon]).trimmingCharacters(in: .whitespaces), value)
        }
    }

    /// The service's answer, passed on as it comes. The spooled body lives until it is read.
    private static func response(_ answer: PaidResponse, keeping spooled: SpooledBody) -> Response {
        var headers = HTTPFields()
        func set(_ name: String, _ value: String) {
            if let name = HTTPField.Name(name) { headers.append(HTTPField(name: name, value: value)) }
        }
        set(PayHeader.status, String(answer.status))
        if let payment = answer.payment {
            set(PayHeader.payment, payment.id)
            let cost = answer.outcome == .refunded ? 0 : payment.amount + payment.fee
            set(PayHeader.cost, "\(cost)\(payment.unit)")
        }
        for header in answer.headers { set(PayHeader.header, "\(header.name): \(header.value)") }
        return Response(
            status: .ok,
            headers: headers,
            body: ResponseBody { writer in
                for try await piece in answer.body { try await writer.write(piece) }
                withExtendedLifetime(spooled) {}
                try await writer.finish(nil)
            }
        )
    }

    // MARK: What was paid

    /// Takes up every payment whose outcome is not known.
    /// - Parameter isPublished: whether agents sign in the Web Bot Auth profile too, as a seller may want that did so before.
    func resume(isPublished: Bool = false) async throws -> JSONValue {
        var shown: [JSONValue] = []
        for payment in try await buyer.openPayments() {
            let signer = try await signer(of: payment, isPublished: isPublished)
            let resumed = try await buyer.resume(payment.id, signer: signer)
            var line = try await buyer.payment(payment.id).map(Self.shown)?.objectValue ?? JSONObject()
            line["message"] = resumed.message.map { .string($0) }
            shown.append(.object(line))
        }
        return ["payments": .array(shown)]
    }

    /// Fetches what sellers owe of payments by their receipts.
    func collectChange() async {
        await buyer.collectChange { payment in try? await signer(of: payment, isPublished: false) }
    }

    /// Who signed the call that a payment is of.
    private func signer(of payment: PaymentRecord, isPublished: Bool) async throws -> (any RequestSigning)? {
        let leaf = try await purse.leaf(ofPayment: payment.id)
        let chain = leaf == nil ? nil : try? await budgets.chain(to: leaf ?? CID(of: []))
        return payment.agent.isEmpty ? nil : try? await signer(payment.agent, chain, isPublished: isPublished)
    }

    /// A payment, with the authorisation that it was made with.
    private func described(_ payment: PaymentRecord) async throws -> JSONValue {
        var object = Self.shown(payment).objectValue ?? JSONObject()
        if let authorization = try await buyer.authorizationSummary(payment.id) {
            object["authorization"] = [
                "network": .string(authorization.network), "asset": .string(authorization.asset.description),
                "value": .string(authorization.value.description), "payTo": .string(authorization.payee.description),
                "validUntil": .string(Timestamp(secondsSince1970: authorization.validBefore).rfc3339),
                "state": .string(authorization.state),
            ]
        }
        return .object(object)
    }

    /// Where the money came from: a mint's address, `lightning` for the node's own backend, `evm` for its account on a chain,
    /// or `pass`.
    private static func paidFrom(_ payment: PaymentRecord) -> String {
        if payment.way == .x402Exact { return "evm" }
        return payment.mint?.string ?? (payment.amount == 0 ? "pass" : "lightning")
    }

    static func shown(_ payment: PaymentRecord) -> JSONValue {
        var object: JSONObject = [
            "id": .string(payment.id), "state": .string(payment.state.rawValue), "url": .string(payment.url),
            "method": .string(payment.method), "amount": .string(String(payment.amount)),
            "unit": .string(payment.unit.name), "fee": .string(String(payment.fee)),
            "way": .string(payment.way.rawValue), "paidFrom": .string(paidFrom(payment)),
            "returned": .string(String(payment.returned)), "idempotencyKey": .string(payment.idempotencyKey),
            "agent": .string(payment.agent), "receiptState": .string(payment.receiptState),
            "createdAt": .string(payment.createdAt.rfc3339), "changedAt": .string(payment.changedAt.rfc3339),
        ]
        object["mint"] = payment.mint.map { .string($0.string) }
        object["invoice"] = payment.invoice.map { .string($0) }
        let said = payment.paymentReceipt.flatMap { try? JSONValue.parse(Array($0.utf8)) }
        object[payment.way.isX402 ? "settlement" : "paymentReceipt"] = said
        object["status"] = payment.status.map { JSONValue($0) }
        object["code"] = payment.code.map { .string($0) }
        object["receiptID"] = payment.receiptID.map { .string($0) }
        object["receipt"] = payment.receipt.flatMap { try? JSONValue.parse(Array($0.utf8)) }
        return .object(object)
    }
}
