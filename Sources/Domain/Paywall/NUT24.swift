public import Cashu
internal import Encodings

/// The paywall's dialect for ecash: NUT-24, `X-Cashu` in both directions ([CALL-2], [CALL-4]).
public enum NUT24 {
    public static let headerName = "X-Cashu"
    /// The longest challenge written, in bytes: headers over 16 KiB break common clients.
    public static let maximumChallengeBytes = 8192
    /// The longest token read, in bytes.
    public static let maximumTokenBytes = 32_768
    /// The most mints named in a challenge.
    public static let maximumMints = 16

    /// The value of `X-Cashu` in a 402: a NUT-18 request without transport, so that the payment comes in band.
    /// - Parameters:
    ///   - id: names the challenge; the buyer may show it to support.
    ///   - amount: the price with the fees of its own split, see `Fees.grossedUp`.
    ///   - mints: whose ecash is taken, best first.
    ///   - sellerKey: the compressed key that proofs should be locked to, 33 bytes.
    /// - Throws: ``CallRefusal`` `mint-unavailable` where there is no mint to name, or the challenge grows too long.
    public static func challenge(
        id: String,
        amount: UInt64,
        unit: CurrencyUnit,
        mints: [MintURL],
        service: String,
        sellerKey: [UInt8]
    ) throws(CallRefusal) -> String {
        guard !mints.isEmpty else {
            throw CallRefusal(
                .mintUnavailable,
                "No mint is within reach to be paid at; try again shortly.",
                retryAfterSeconds: 5
            )
        }
        let text: String
        do {
            text = try PaymentRequest(
                id: id,
                amount: amount,
                unit: unit,
                isSingleUse: true,
                mints: Array(mints.prefix(maximumMints)),
                description: service,
                lock: RequestedLock(kind: SpendingSecret.p2pk, data: Hex.encode(sellerKey))
            ).serialized()
        } catch {
            throw CallRefusal(.mintUnavailable, "The challenge can't be written: \(error.message)")
        }
        guard text.utf8.count <= maximumChallengeBytes else {
            throw CallRefusal(.mintUnavailable, "The challenge would be too long; the seller must accept fewer mints.")
        }
        return text
    }

    /// Reads a challenge, as a buyer does: its amount, unit, mints and lock.
    /// - Throws: ``CallRefusal`` `payment-malformed` where it is no challenge that can be paid in band.
    public static func parseChallenge(_ value: String) throws(CallRefusal) -> PaymentRequest {
        guard value.utf8.count <= maximumTokenBytes else {
            throw CallRefusal(.paymentMalformed, "The challenge is longer than \(maximumTokenBytes) bytes.")
        }
        do {
            let request = try PaymentRequest(value)
            guard request.amount != nil, request.unit != nil, request.transports.isEmpty else {
                throw CallRefusal(.paymentMalformed, "The challenge names no amount, or a way to pay outside of HTTP.")
            }
            return request
        } catch let refusal as CallRefusal {
            throw refusal
        } catch {
            throw CallRefusal(.paymentMalformed, "The challenge can't be read: \(error)")
        }
    }

    /// Reads the payment of a request.
    /// - Parameter headerValues: every value of `X-Cashu`.
    /// - Returns: nil where there is none.
    /// - Throws: ``CallRefusal`` `payment-malformed` where there are several, or it is no token.
    public static func payment(headerValues: [String]) throws(CallRefusal) -> Token? {
        guard let value = headerValues.first else { return nil }
        guard headerValues.count == 1 else {
            throw CallRefusal(
                .paymentMalformed,
                "The request has several X-Cashu headers; send one payment in one header."
            )
        }
        guard value.utf8.count <= maximumTokenBytes else {
            throw CallRefusal(
                .paymentMalformed,
                "The token is longer than \(maximumTokenBytes) bytes; pay with fewer proofs."
            )
        }
        do {
            return try Token(value)
        } catch let error as CashuError {
            throw CallRefusal(
                .paymentMalformed,
                "The X-Cashu header can't be read: \(error.message). Nothing was taken."
            )
        } catch {
            throw CallRefusal(.paymentMalformed, "The X-Cashu header holds no token. Nothing was taken.")
        }
    }
}
