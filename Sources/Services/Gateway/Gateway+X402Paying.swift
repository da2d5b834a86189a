import CanonicalJSON
import Encodings
import Ethereum
import Hummingbird
import Lightning
import Paywall

/// Calls that are paid for over x402, in whichever scheme.
extension Gateway {
    func answerX402(
        _ call: IncomingCall,
        headerName: String,
        value: String,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        do {
            let payment = try X402.PaymentPayload(json: X402.object(header: value))
            guard payment.version.paymentHeader == headerName else {
                throw X402Refusal(.invalidVersion, "\(headerName) holds a payment of the other version.")
            }
            let identifier = try X402.PaymentIdentifier.identifier(of: payment, isRequired: false)
            // What was made for another resource pays for no other ([XEX-5]).
            guard payment.resource.map({ $0.url == resourceURL(of: call) }) ?? true else {
                throw X402Refusal(.invalidRequirements, "The payment is for another resource.")
            }
            let ways = offeredOverX402(by: call.service)
            switch payment.scheme {
            case X402.ExactEVM.scheme where ways.contains(.x402Exact):
                return try await answerExact(
                    call,
                    payment: payment,
                    identifier: identifier,
                    key: key,
                    caller: caller,
                    body: body
                )
            case X402.CashuScheme.scheme where ways.contains(.x402Cashu):
                return try await answerCashu(
                    call,
                    payment: payment,
                    identifier: identifier,
                    key: key,
                    caller: caller,
                    body: body
                )
            case X402.LightningScheme.scheme where ways.contains(.x402Lightning):
                return try await answerLightning(
                    call,
                    payment: payment,
                    identifier: identifier,
                    key: key,
                    caller: caller,
                    body: body
                )
            default:
                throw X402Refusal(
                    .unsupportedScheme,
                    "This service does not take \(payment.scheme.prefix(64)) over x402."
                )
            }
        } catch let refusal as X402Refusal {
            throw CallRefusal(refusal)
        }
    }

    /// Ecash over x402 ([XCASH-4] to [XCASH-7]): the same claim as in `X-Cashu`.
    private func answerCashu(
        _ call: IncomingCall,
        payment: X402.PaymentPayload,
        identifier: String?,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        guard let own = payment.chosen(of: try await cashuRequirements(for: call)) else {
            throw X402Refusal(.invalidRequirements, "`accepted` is not what the seller asks for.")
        }
        let token = try X402.CashuScheme.token(of: payment, against: own)
        var call = call
        call.paymentIdentifier = identifier
        let digest = try OfflineAcceptance.identity(of: token).digest
        call.x402 = PresentedX402(
            version: payment.version,
            network: own.network,
            chain: own.network,
            amount: own.amount.description,
            resourceURL: resourceURL(of: call),
            wantsReceipt: payment.extensions?[X402.OfferReceipt.id] != nil,
            transaction: digest.description
        )
        return try await answerPaid(call, token: token, dialect: .x402Cashu, key: key, caller: caller, body: body)
    }

    /// Lightning over x402 ([XLIGHT-6] to [XLIGHT-8]): the preimage of an invoice that is tied to this resource.
    private func answerLightning(
        _ call: IncomingCall,
        payment: X402.PaymentPayload,
        identifier: String?,
        key: String?,
        caller: CallerIdentity?,
        body: IntakeBody
    ) async throws -> (Response, outcome: String) {
        guard let text = payment.accepted?.extra?["paymentHash"]?.stringValue, let hash = try? Hex.decode(text),
            let grant = try await grants.grant(paymentHash: hash),
            let invoice = try? BOLT11Invoice(decoding: grant.invoice)
        else { throw X402Refusal(.invalidInvoice, "Nothing is sold here for this invoice, or not any more.") }
        let resource = X402.Resource(url: resourceURL(of: call), serviceName: String(call.service.name.prefix(32)))
        let network = configuration.lightningNetwork
        let tie = X402Tie(
            network: network,
            resource: resource,
            maxTimeoutSeconds: payment.accepted?.maxTimeoutSeconds ?? 0
        )
        guard let own = tie.requirements(invoice) else {
            throw X402Refusal(.invalidInvoice, "The invoice is for other terms or another resource.")
        }
        // One that comes late may be an old friend, or have a call to its credit: judged as if there were time still.
        let now = clock.now()
        let isLate = now >= invoice.expiresAt.adding(seconds: own.maxTimeoutSeconds)
        _ = try X402.LightningScheme.check(
            payment,
            against: own,
            resource: resource,
            network: network,
            now: isLate ? invoice.expiresAt : now
        )
        let lateness =
            isLate
            ? CallRefusal(X402Refusal(.invoiceExpired, "The invoice expired at \(invoice.expiresAt).")) : nil
        var call = call
        call.paymentIdentifier = identifier
        call.x402 = PresentedX402(
            version: payment.version,
            network: own.network,
            chain: own.network,
            amount: own.amount.description,
            resourceURL: resource.url,
            wantsReceipt: payment.extensions?[X402.OfferReceipt.id] != nil,
            transaction: text
        )
        return try await answerLightningOverX402(
            call,
            paymentHash: hash,
            grant: grant,
            lateness: lateness,
            key: key,
            caller: caller,
            body: body
        )
    }
}
