internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Ethereum
internal import Lightning
internal import Paywall

/// A payment of a token on an EVM chain that a seller asks for (x402, scheme `exact`), as far as it can be made. Pure.
struct AuthorizationOffer: Sendable {
    var version: X402.Version
    var requirements: X402.Requirements
    var resource: X402.Resource?
    /// Whether the seller reads the name that a payment is given (`payment-identifier`).
    var extensions: JSONObject?
    var asset: EVMAsset
    /// With the name and version that the seller says; wrong ones make a signature that the contract refuses.
    var token: AuthorizedToken
    var payee: Address
}

/// What an offer says of itself, for people, also where it cannot be used.
struct OfferDescription: Sendable, Equatable {
    var way: PaymentWay
    /// As it stands in the offer: of ecash in `unit`, of Lightning in msat, of a token in its smallest unit.
    var amount: String?
    /// `sat`, `msat`, or a token's contract.
    var asset: String?
    var network: String?
    var mints: [String] = []
    var payTo: String?
}

/// Reads the x402 challenges of a 402: version 2 of the header, else version 1 of the body.
struct X402OfferReader: Sendable {
    let answer: Answer
    let configuration: BuyerConfiguration

    /// - Returns: nil where the answer speaks no x402.
    /// - Throws: `challengeUnusable` where it does, and cannot be read.
    func challenge() throws(WalletError) -> X402.PaymentRequired? {
        let values = answer.headers.filter { $0.name.lowercased() == X402.challengeHeader.lowercased() }.map(\.value)
        if let value = values.first {
            guard values.count == 1 else {
                throw WalletError(.challengeUnusable, "the seller sends several \(X402.challengeHeader) headers")
            }
            return try Self.reading { () throws(X402Refusal) in
                let challenge = try X402.PaymentRequired(json: X402.object(header: value))
                guard challenge.version == .v2 else {
                    throw X402Refusal(.invalidVersion, "The header holds another version than 2.")
                }
                return challenge
            }
        }
        guard let body = answer.challengeBody else { return nil }
        if body.isTooLong {
            throw WalletError(
                .challengeUnusable,
                "the seller's 402 has a body of more than \(X402.maximumReadBytes) bytes"
            )
        }
        guard let json = try? X402.object(body: body.bytes), json["x402Version"] != nil else { return nil }
        return try Self.reading { () throws(X402Refusal) in try X402.PaymentRequired(json: json) }
    }

    private static func reading(
        _ body: () throws(X402Refusal) -> X402.PaymentRequired
    ) throws(WalletError) -> X402.PaymentRequired {
        do {
            return try body()
        } catch {
            throw WalletError(
                .challengeUnusable,
                "the seller's x402 challenge: \(SellerText.printable(error.message))",
                cause: error
            )
        }
    }

    static func way(_ requirements: X402.Requirements) -> PaymentWay {
        switch requirements.scheme {
        case X402.CashuScheme.scheme: .x402Cashu
        case X402.LightningScheme.scheme: .x402Lightning
        default: .x402Exact
        }
    }

    static func description(_ requirements: X402.Requirements) -> OfferDescription {
        var description = OfferDescription(
            way: way(requirements),
            amount: requirements.amount.description,
            asset: SellerText.printable(requirements.asset),
            network: SellerText.printable(requirements.network),
            payTo: SellerText.printable(requirements.payTo)
        )
        if let mint = requirements.extra?["mint"]?.stringValue { description.mints = [SellerText.printable(mint)] }
        if description.way == .x402Lightning { description.asset = "msat" }
        return description
    }

    /// One way to pay of a challenge.
    /// - Throws: `challengeUnusable`; `assetUntrusted` for a token that the operator does not name.
    func offer(_ requirements: X402.Requirements, of challenge: X402.PaymentRequired) throws(WalletError)
        -> PaymentOffer
    {
        switch requirements.scheme {
        case X402.ExactEVM.scheme: return .authorization(try exact(requirements, of: challenge))
        case X402.CashuScheme.scheme where challenge.version == .v2:
            let terms: X402.CashuScheme.Terms
            do {
                terms = try X402.CashuScheme.terms(of: requirements)
            } catch {
                throw Self.unusable(error.message)
            }
            return .ecash(
                EcashOffer(
                    way: .x402Cashu,
                    terms: PaymentTerms(terms),
                    challenge: try X402Offers.kept(requirements, of: challenge)
                )
            )
        default:
            throw Self.unusable("it asks for the scheme \(requirements.scheme), which this wallet does not speak")
        }
    }

    private static func unusable(_ why: String) -> WalletError {
        WalletError(.challengeUnusable, "the seller's x402 offer: \(SellerText.printable(why))")
    }

    private func exact(
        _ requirements: X402.Requirements,
        of challenge: X402.PaymentRequired
    ) throws(WalletError) -> AuthorizationOffer {
        guard let chainID = X402.Network.chainID(of: requirements.network, version: challenge.version) else {
            throw WalletError(
                .assetUntrusted,
                "the seller wants to be paid on \(SellerText.printable(requirements.network)), which this wallet does not speak"
            )
        }
        guard let contract = try? Address(requirements.asset) else {
            throw Self.unusable("\(requirements.asset) is no address of a token's contract")
        }
        guard let asset = configuration.assets.first(where: { $0.chainID == chainID && $0.contract == contract }) else {
            throw WalletError(
                .assetUntrusted,
                "the seller wants the token \(contract) on eip155:\(chainID), which wallet.evmAssets does not name"
            )
        }
        let method = requirements.extra?["assetTransferMethod"]
        guard method == nil || method == "eip3009" else { throw Self.unusable("it does not take EIP-3009") }
        let flow = requirements.extra?["paymentFlow"]
        guard flow == nil || flow == "authorization" else { throw Self.unusable("it wants another flow of payment") }
        guard let payee = try? Address(requirements.payTo), payee != .zero else {
            throw Self.unusable("\(requirements.payTo) is nobody's address")
        }
        guard requirements.amount != .zero else { throw Self.unusable("it asks for nothing") }
        guard requirements.maxTimeoutSeconds >= Int64(X402.ExactEVM.settlingSeconds) else {
            throw Self.unusable("it leaves \(requirements.maxTimeoutSeconds) s to settle, too little")
        }
        guard let name = requirements.extra?["name"]?.stringValue,
            let version = requirements.extra?["version"]?.stringValue, name.utf8.count <= 128, version.utf8.count <= 32
        else { throw Self.unusable("it does not say the token's name and version, which EIP-712 needs") }
        return AuthorizationOffer(
            version: challenge.version,
            requirements: requirements,
            resource: challenge.resource,
            extensions: X402Offers.echoed(challenge.extensions),
            asset: asset,
            token: AuthorizedToken(contract: contract, chainID: chainID, name: name, version: version),
            payee: payee
        )
    }
}

/// What is kept of a chosen offer until it is answered.
enum X402Offers {
    /// Of the extensions, the one that this wallet speaks; others may be left out as a whole (x402 version 2, 5.1.2).
    static func echoed(_ extensions: JSONObject?) -> JSONObject? {
        let id = X402.PaymentIdentifier.id
        guard let declared = extensions?[id] else { return nil }
        return [id: declared]
    }

    /// A challenge with one way to pay, as JSON.
    static func kept(
        _ requirements: X402.Requirements,
        of challenge: X402.PaymentRequired
    ) throws(WalletError) -> String {
        var one = challenge
        one.accepts = [requirements]
        one.error = nil
        one.extensions = echoed(challenge.extensions)
        let bytes = JSONValue.object(one.json).serialized()
        guard bytes.count <= X402.maximumReadBytes else {
            throw WalletError(.challengeUnusable, "the seller's x402 offer is too long to be kept")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// - Throws: `corrupt`.
    static func read(_ text: String?) throws -> (challenge: X402.PaymentRequired, requirements: X402.Requirements) {
        guard let text, let json = try? X402.object(body: Array(text.utf8)),
            let challenge = try? X402.PaymentRequired(json: json), let requirements = challenge.accepts.first
        else { throw WalletError(.corrupt, "the x402 offer that a payment answers is not in the wallet's tables") }
        return (challenge, requirements)
    }

    /// The header of a payment; what describes the resource is left out where it grows too long.
    /// - Throws: `challengeUnusable` where it is too long even so.
    static func header(_ payment: X402.PaymentPayload) throws(WalletError) -> (name: String, value: String) {
        var payment = payment
        do {
            return (payment.version.paymentHeader, try X402.header(payment.json))
        } catch {
            payment.resource = nil
        }
        do {
            return (payment.version.paymentHeader, try X402.header(payment.json))
        } catch {
            throw WalletError(.challengeUnusable, "the x402 payment would be too long: \(error.message)", cause: error)
        }
    }
}

/// Words that a stranger chose.
enum SellerText {
    /// The start of them on one line, in printable ASCII.
    static func printable(_ text: String) -> String {
        String(decoding: text.utf8.prefix(300).map { (0x20...0x7E).contains($0) ? $0 : 0x3F }, as: UTF8.self)
    }
}

extension SellerText {
    /// A word of theirs as a code: letters, digits, `_`, `-` and `.`, at most 100; nil for anything else.
    static func code(_ text: String?) -> String? {
        guard let text, (1...100).contains(text.utf8.count),
            text.utf8.allSatisfy({ HeaderRule.isToken($0) && $0 != 0x22 })
        else { return nil }
        return text
    }
}

extension X402.SettleResponse {
    /// The settlement that an answer of either version carries; nil where it has none that can be read.
    init?(header: (String) -> String?) {
        for version in [X402.Version.v2, .v1] {
            guard let value = header(version.responseHeader), let json = try? X402.object(header: value),
                let settlement = try? X402.SettleResponse(json: json)
            else { continue }
            self = settlement
            return
        }
        return nil
    }
}

extension PaymentTerms {
    /// What ecash over x402 asks.
    init(_ terms: X402.CashuScheme.Terms) {
        amount = terms.amount
        unit = terms.unit
        mints = [terms.mint]
        seller = terms.sellerKey
        text = ""
    }
}
