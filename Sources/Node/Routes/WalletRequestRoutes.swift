internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import Wallet

/// Payment requests (NUT-18): `/api/wallet/requests` for the operator, `/requests/<id>` for whoever pays.
struct WalletRequestRoutes: Sendable {
    /// Where payments to this node's wallet are posted, followed by the request's id, which nobody can guess.
    static let publicPath = "requests"
    private static let maximumPaymentBytes = 1 << 20

    let wallet: Wallet
    let buyer: Buyer
    let publicURL: String
    /// Finds the agent and the mint that a request of the operator names.
    let operatorRoutes: WalletRoutes

    // MARK: Whoever pays

    static func addPublic<Context: RequestContext>(to router: some RouterMethods<Context>, wallet: Wallet) {
        router.post("\(publicPath)/:id") { request, context in
            await OperatorResponses.answering {
                try await take(request, id: try context.parameters.require("id"), wallet: wallet)
            }
        }
    }

    private static func take(_ request: Request, id: String, wallet: Wallet) async throws -> JSONValue {
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: maximumPaymentBytes)
        } catch is NIOTooManyBytesError {
            throw ProblemDetails(code: "body-too-large", title: "The payment is too large", status: 413)
        }
        let limits = JSONLimits(maximumBytes: maximumPaymentBytes, acceptsUInt64: true)
        let json = try JSONValue.parse([UInt8](buffer.readableBytesView), limits: limits)
        let payload: PaymentRequestPayload
        do {
            payload = try PaymentRequestPayload(json: json)
        } catch {
            throw WalletError(.invalidToken, "this is no payment for a request (NUT-18): \(error)", cause: error)
        }
        let entry = try await wallet.takePayment(payload, for: id)
        return [
            "state": .string(entry.state.rawValue), "amount": .string(String(entry.amount)),
            "unit": .string(entry.unit.name), "request": .string(id),
        ]
    }

    // MARK: The operator

    func add<Context: RequestContext>(to group: RouterGroup<Context>) {
        group.get("requests") { _, _ in
            await OperatorResponses.answering {
                ["requests": .array(try await wallet.requests().map { try shown($0) })]
            }
        }
        group.post("requests") { request, _ in
            await OperatorResponses.answering { try await create(OperatorResponses.object(request)) }
        }
        group.post("requests/pay") { request, _ in
            await OperatorResponses.answering { try await pay(OperatorResponses.object(request)) }
        }
        group.post("requests/{id}/payment") { request, context in
            await OperatorResponses.answering {
                let payload = try PaymentRequestPayload(json: .object(await OperatorResponses.object(request)))
                let id = try context.parameters.require("id")
                return WalletRoutes.shown(try await wallet.takePayment(payload, for: id))
            }
        }
    }

    private func create(_ object: JSONObject) async throws -> JSONValue {
        var terms = RequestTerms(
            amount: object["amount"] == nil ? nil : try WalletRoutes.amount(object, "amount"),
            unit: try WalletRoutes.unit(object),
            memo: try object.optionalString("memo"),
            isSingleUse: try object.optionalBool("singleUse") ?? false,
            isLocked: try object.optionalBool("lock") ?? false
        )
        if let mint = try object.optionalString("mint") { terms.mints = [try await operatorRoutes.known(mint)] }
        let isInBand = try object.optionalBool("inBand") ?? false
        let given = try object.optionalString("post")
        let base = publicURL + "/" + Self.publicPath + "/"
        var post: (@Sendable (String) -> String)?
        if !isInBand { post = { id in given ?? base + id } }
        try? await operatorRoutes.addOwnMint()
        return try shown(try await wallet.createRequest(terms, post: post))
    }

    private func shown(_ own: OwnRequest) throws -> JSONValue {
        let request = try own.request()
        var object: JSONObject = [
            "id": .string(own.id), "request": .string(own.text), "unit": .string(own.unit.name),
            "state": .string(own.state.rawValue), "received": .string(String(own.received)),
            "singleUse": .bool(own.isSingleUse), "lock": .bool(own.isLocked),
            "createdAt": .string(own.createdAt.rfc3339), "amount": own.amount.map { .string(String($0)) } ?? .null,
            "memo": own.memo.map { .string($0) } ?? .null,
            "post": request.transports.first.map { .string($0.target) } ?? .null,
        ]
        // The short form for QR codes, where it can say the same.
        if let short = try? request.serializedBech32() { object["bech32"] = .string(short) }
        return .object(object)
    }

    private func pay(_ object: JSONObject) async throws -> JSONValue {
        var mint: MintURL?
        if let text = try object.optionalString("mint") { mint = try await operatorRoutes.known(text) }
        let payment = try await buyer.payRequest(
            try object.string("request"),
            amount: object["amount"] == nil ? nil : try WalletRoutes.amount(object, "amount"),
            mint: mint,
            account: try await operatorRoutes.account(object)
        )
        var answer: JSONObject = [
            "id": .string(payment.id), "amount": .string(String(payment.amount)), "unit": .string(payment.unit.name),
            "mint": .string(payment.mint.string), "state": .string(payment.state.rawValue),
        ]
        answer["token"] = payment.token.map { .string($0) }
        answer["payload"] = try payment.payload.map {
            try JSONValue.parse(Array($0.utf8), limits: JSONLimits(acceptsUInt64: true))
        }
        return .object(answer)
    }
}
