public import CanonicalJSON
internal import Cryptography
public import Encodings
internal import Ethereum
public import Lightning

extension X402 {
    /// Lightning over x402 (`Specs/x402-lightning.md`): the buyer pays a signed invoice and shows its preimage.
    public enum LightningScheme {
        public static let scheme = "upfront"
        public static let asset = "BTC"
        private static let method = "bolt11"
        private static let denomination = "msat"
        /// What stands before the digest in an invoice's description.
        private static let marker = "x402:"

        /// The CAIP-2 name of a network ([XLIGHT-1]): the block that its chain begins with.
        public static func network(_ network: LightningNetwork) -> String {
            switch network {
            case .mainnet: "bip122:000000000019d6689c085ae165831e93"
            case .testnet: "bip122:000000000933ea01ad0ee984209779ba"
            case .signet: "bip122:00000008819873e925422c1ff0f99f7c"
            case .regtest: "bip122:0f9188f13cb7b2c71f2a335e3a4fc328"
            case .simulated: "mintmark:simulated"
            }
        }

        /// A way to pay whose invoice is still to be made ([XLIGHT-2]).
        /// - Parameters:
        ///   - amountMsat: in millisatoshis.
        ///   - payee: the node's key, 33 bytes, compressed.
        public static func terms(
            amountMsat: UInt64,
            network: LightningNetwork,
            payee: [UInt8],
            maxTimeoutSeconds: Int64
        ) -> Requirements {
            Requirements(
                scheme: scheme,
                network: self.network(network),
                amount: UInt256(amountMsat),
                asset: asset,
                payTo: Hex.encode(payee),
                maxTimeoutSeconds: maxTimeoutSeconds,
                extra: ["assetTransferMethod": .string(method), "denomination": .string(denomination)]
            )
        }

        /// The digest that ties an invoice to the terms and the resource ([XLIGHT-3]): SHA-256 over the canonical JSON (RFC 8785) of
        /// both, without what the invoice itself says.
        /// - Throws: ``X402Refusal`` `invalid_payment_requirements` where they can't be written canonically.
        public static func requirementsHash(
            _ requirements: Requirements,
            resource: Resource
        ) throws(X402Refusal) -> [UInt8] {
            var bare = requirements
            for name in ["invoice", "paymentHash", "invoiceExpiry", "requirementsHash"] { bare.extra?[name] = nil }
            let object: JSONObject = ["resource": .object(resource.json), "requirements": .object(bare.json(.v2))]
            return try X402.reading(.invalidRequirements, "The terms can't be hashed") {
                Hashing.sha256(try object.canonicalized())
            }
        }

        /// The description that the invoice must carry ([XLIGHT-4]), where it can't carry the digest alone.
        public static func invoiceDescription(_ text: String, requirementsHash: [UInt8]) -> String {
            "\(text) \(marker)\(Hex.encode(requirementsHash))"
        }

        /// The way to pay, with its invoice ([XLIGHT-5]).
        /// - Throws: ``X402Refusal`` as ``invoice(of:resource:network:)``: what is not offered rightly is not offered at all.
        public static func offer(
            _ terms: Requirements,
            invoice: BOLT11Invoice,
            resource: Resource,
            network: LightningNetwork
        ) throws(X402Refusal) -> Requirements {
            var offered = terms
            var extra = terms.extra ?? [:]
            extra["invoice"] = .string(invoice.text)
            extra["paymentHash"] = .string(Hex.encode(invoice.paymentHash))
            extra["invoiceExpiry"] = .integer(invoice.expiresAt.secondsSince1970)
            extra["requirementsHash"] = .string(Hex.encode(try requirementsHash(terms, resource: resource)))
            offered.extra = extra
            _ = try self.invoice(of: offered, resource: resource, network: network)
            return offered
        }

        /// Reads the invoice of a way to pay and holds it against the terms ([XLIGHT-3] to [XLIGHT-5]), as a buyer must before it
        /// pays: whether it is still in time is asked of the invoice itself.
        /// - Throws: ``X402Refusal`` `unsupported_scheme`, `network_mismatch`, `invalid_payment_requirements`, `invalid_lightning_invoice`.
        public static func invoice(
            of requirements: Requirements,
            resource: Resource,
            network: LightningNetwork
        ) throws(X402Refusal) -> BOLT11Invoice {
            guard requirements.scheme == scheme, requirements.asset == asset,
                requirements.extra?["assetTransferMethod"] == .string(method)
            else {
                throw X402Refusal(.unsupportedScheme, "The scheme must be `upfront` of BTC by bolt11.")
            }
            guard requirements.network == self.network(network) else {
                throw X402Refusal(.networkMismatch, "The payment is asked for on \(requirements.network).")
            }
            guard let extra = requirements.extra, extra["denomination"] == .string(denomination),
                let text = extra["invoice"]?.stringValue, let invoice = try? BOLT11Invoice(decoding: text)
            else {
                throw X402Refusal(.invalidInvoice, "`extra` must hold an invoice and the denomination msat.")
            }
            let digest = try requirementsHash(requirements, resource: resource)
            guard extra["requirementsHash"] == .string(Hex.encode(digest)), isTied(invoice, to: digest) else {
                throw X402Refusal(.invalidInvoice, "The invoice is for other terms or another resource.")
            }
            guard invoice.currency == network.currency, invoice.amountMsat.map(UInt256.init) == requirements.amount,
                Hex.encode(invoice.payeeNodeID) == requirements.payTo,
                extra["paymentHash"] == .string(Hex.encode(invoice.paymentHash)),
                extra["invoiceExpiry"] == .integer(invoice.expiresAt.secondsSince1970)
            else {
                throw X402Refusal(
                    .invalidInvoice,
                    "The invoice's network, amount, payee, payment hash or expiry is not that of the terms."
                )
            }
            return invoice
        }

        private static func isTied(_ invoice: BOLT11Invoice, to digest: [UInt8]) -> Bool {
            switch invoice.contents.purpose {
            case .hash(let hash): hash == digest
            case .text(let text): text.utf8.suffix(70).elementsEqual(" \(marker)\(Hex.encode(digest))".utf8)
            }
        }

        /// A payment: the proof that the invoice was paid ([XLIGHT-6]).
        public static func payment(
            preimage: LightningPreimage,
            accepted: Requirements,
            resource: Resource,
            extensions: JSONObject? = nil
        ) -> PaymentPayload {
            PaymentPayload(
                accepted: accepted,
                payload: [
                    "paymentHash": .string(Hex.encode(Hashing.sha256(preimage.bytes))),
                    "preimage": .string(Hex.encode(preimage.bytes)),
                ],
                resource: resource,
                extensions: extensions
            )
        }

        /// Checks a payment against what was asked for ([XLIGHT-6], [XLIGHT-7]). Whether the preimage was shown before is the claim
        /// table's to say.
        /// - Parameter requirements: the seller's own, as they were offered.
        /// - Returns: the payment hash, 32 bytes, which names the payment.
        /// - Throws: ``X402Refusal``.
        public static func check(
            _ payment: PaymentPayload,
            against requirements: Requirements,
            resource: Resource,
            network: LightningNetwork,
            now: Timestamp
        ) throws(X402Refusal) -> [UInt8] {
            guard payment.scheme == scheme else {
                throw X402Refusal(.unsupportedScheme, "The scheme must be `\(scheme)`.")
            }
            guard payment.network == requirements.network else {
                throw X402Refusal(.networkMismatch, "The payment is on another network than the one asked for.")
            }
            guard payment.accepted == requirements else {
                throw X402Refusal(.invalidRequirements, "`accepted` is not what the seller asks for.")
            }
            let invoice = try invoice(of: requirements, resource: resource, network: network)
            guard payment.payload["paymentHash"] == .string(Hex.encode(invoice.paymentHash)),
                let text = payment.payload["preimage"]?.stringValue, text == text.lowercased(),
                let preimage = try? Hex.decode(text), preimage.count == 32, invoice.isPaid(by: preimage)
            else {
                throw X402Refusal(.invalidPreimage, "The preimage is not that of the invoice.")
            }
            // A payment that was made in time may be shown a little later.
            guard now < invoice.expiresAt.adding(seconds: requirements.maxTimeoutSeconds) else {
                throw X402Refusal(.invoiceExpired, "The invoice expired at \(invoice.expiresAt).")
            }
            return invoice.paymentHash
        }

        /// The settlement of a payment that was taken ([XLIGHT-8]).
        public static func settled(_ requirements: Requirements, paymentHash: [UInt8]) -> SettleResponse {
            SettleResponse(
                success: true,
                transaction: Hex.encode(paymentHash),
                network: requirements.network,
                amount: requirements.amount.description
            )
        }
    }
}
