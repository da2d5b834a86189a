internal import Encodings

/// An L402 challenge as a buyer reads it ([LSAT-4]). The token is the seller's: it is handed back as it came, and need not be
/// a macaroon.
public struct L402Challenge: Sendable, Equatable {
    /// base64, of either alphabet, as it stood in the challenge.
    public let token: String
    /// A BOLT 11 invoice, not read yet.
    public let invoice: String

    /// The longest token read, in base64 digits.
    public static let maximumTokenBytes = 8192

    /// - Returns: nil where the token is not base64, or the invoice has other characters than letters and digits.
    init?(token: String, invoice: String) {
        guard !token.isEmpty, token.utf8.count <= Self.maximumTokenBytes,
            (try? Base64.decodeEitherAlphabet(token)) != nil, Self.isInvoiceText(invoice)
        else { return nil }
        self.token = token
        self.invoice = invoice
    }

    /// The token as a macaroon, where it is one.
    public var macaroon: Macaroon? {
        (try? Base64.decodeEitherAlphabet(token)).flatMap { try? Macaroon(serialized: $0) }
    }

    /// Whether paying for this hash makes the token good, as far as the token tells: false where it is a macaroon for another
    /// payment, which must not be paid; nil where it is no macaroon of version 0.
    public func commits(to paymentHash: [UInt8]) -> Bool? {
        macaroon.flatMap { L402Identifier(bytes: $0.identifier) }.map { $0.paymentHash == paymentHash }
    }

    /// The value of `Authorization` once it is paid.
    /// - Parameter preimage: 32 bytes.
    public func authorization(preimage: [UInt8]) -> String { "\(L402.scheme) \(token):\(Hex.encode(preimage))" }

    static func isInvoiceText(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: false
                }
            }
    }
}
