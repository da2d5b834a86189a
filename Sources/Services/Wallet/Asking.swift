public import AsyncHTTPClient
internal import Cashu
internal import Encodings
internal import NIOCore
internal import Paywall
internal import WebClient

/// What a service answers to a call without a payment.
public struct AskedPrice: Sendable {
    public var status: Int
    /// How many challenges of a 402 can be read, be it that this wallet can pay them or not.
    public var offers: Int
    /// What they ask in their units, where that is for one call.
    public var asked: [(amount: UInt64, unit: String)]
    /// What the answer says besides that the call costs.
    public var said: (amount: UInt64, unit: String)?
    /// Until its head was there and what it asks was read.
    public var milliseconds: Int64
}

/// Why there is no answer.
public enum UnaskedPrice: Error, Sendable {
    case unreachable
    case timeout
}

extension Buyer {
    /// Makes a call as ``pay(_:)`` makes it first where it knows no price, with the same head, and reads what it would cost. No money
    /// moves, nothing is signed or remembered, and of a body no more is read than belongs to a challenge.
    ///
    /// - Parameters:
    ///   - client: follows no redirects; see `HTTPMint.clientConfiguration`.
    ///   - timeoutMilliseconds: for all of it.
    /// - Throws: ``UnaskedPrice``; `WalletError` where it is no call that the buyer would make.
    public func ask(
        _ request: PaidRequest,
        over client: HTTPClient,
        timeoutMilliseconds: Int64
    ) async throws -> AskedPrice {
        var request = request
        // So that each challenge is read, whatever it asks.
        (request.maximum, request.sessionDeposit) = (UInt64(Int64.max), UInt64(Int64.max))
        let call = try Call(request, configuration: configuration)
        let start = NIODeadline.now()
        do {
            let answer = try await TimeLimit.within(milliseconds: timeoutMilliseconds) { _ in
                try await self.send(call, payment: nil, over: client)
            }
            let milliseconds = (NIODeadline.now() - start).nanoseconds / 1_000_000
            let found = PaymentOffers(answer, for: call, configuration: configuration, at: wallet.clock.now())
            let readable = answer.status == 402 ? found.entries.filter(\.isReadable) : []
            return AskedPrice(
                status: answer.status,
                offers: readable.count,
                asked: readable.compactMap(\.priceOfOneCall),
                said: answer.price,
                milliseconds: milliseconds
            )
        } catch let error as HTTPClientError where error == .deadlineExceeded {
            throw UnaskedPrice.timeout
        } catch is SendFailure {
            throw UnaskedPrice.unreachable
        }
    }
}

extension PaymentOffers.Entry {
    /// Whether somebody can pay it, this wallet or another.
    fileprivate var isReadable: Bool {
        switch offer {
        case .success: true
        case .failure(let error): description.amount != nil || error.code != .challengeUnusable
        }
    }

    /// nil where it is for many calls, or of a token on a chain.
    fileprivate var priceOfOneCall: (amount: UInt64, unit: String)? {
        switch try? offer.get() {
        case .ecash(let ecash): return (ecash.terms.amount, ecash.terms.unit.name)
        case .invoice(let invoice):
            if let session = invoice.session { return (session.callMsat, "msat") }
            // With a token it may buy any number of calls.
            return invoice.way == .l402 ? nil : (invoice.amountMsat, "msat")
        case .authorization, nil: return nil
        }
    }
}
