internal import Cryptography
internal import Encodings

extension BOLT11Invoice {
    /// Words of the signature: 64 bytes and the recovery id.
    static let signatureWordCount = 104
    static let timestampWordCount = 7

    /// Reads an invoice and checks its signature, as BOLT 11 asks of a reader. Upper case and a `lightning:` prefix
    /// are accepted; unknown fields and unknown fallback addresses are skipped.
    ///
    /// Beyond the letter of the BOLT it refuses a repeated field that may stand once (`p`, `s`, `d`, …): where two
    /// readers could disagree on the payment hash, a payment could be tracked under one and made under the other.
    /// - Parameter text: at most 7089 characters, besides the prefix.
    /// - Throws: the code of the first thing wrong, from `malformedInvoice` to `invalidSignature`.
    public init(decoding text: String) throws(LightningError) {
        let (body, hrp, words) = try Self.bech32(text)
        let prefix = try InvoicePrefix(parsing: hrp)
        guard words.count >= Self.timestampWordCount + Self.signatureWordCount else {
            throw LightningError(.malformedInvoice, "the invoice is too short to hold a timestamp and a signature")
        }
        let signed = words.dropLast(Self.signatureWordCount)
        let seconds = signed.prefix(Self.timestampWordCount).reduce(Int64(0)) { $0 << 5 | Int64($1) }
        let fields = try InvoiceField.split(signed.dropFirst(Self.timestampWordCount))
        var reader = InvoiceFieldReader()
        for field in fields { try reader.read(field) }

        let signature = try Self.bytes(words.suffix(Self.signatureWordCount), "signature")
        let digest = try Self.digest(hrp: hrp, words: Array(signed))
        let payee = try Self.payee(signature: signature, digest: digest, named: reader.payee)
        contents = try reader.contents(
            prefix: prefix,
            timestamp: Timestamp(secondsSince1970: seconds)
        )
        self.text = body
        payeeNodeID = payee
        self.signature = Array(signature.prefix(64))
        recoveryID = signature[64]
    }

    private static func bech32(
        _ text: String
    ) throws(LightningError) -> (body: String, hrp: String, words: [UInt8]) {
        let scheme = "lightning:"
        guard text.utf8.count <= maximumLength + scheme.utf8.count else { throw tooLong(text) }
        let body = text.prefix(scheme.count).lowercased() == scheme ? String(text.dropFirst(scheme.count)) : text
        guard body.utf8.count <= maximumLength else { throw tooLong(body) }
        do {
            let (hrp, words, variant) = try Bech32.decode(body, maximumLength: maximumLength)
            guard variant == .bech32 else {
                throw LightningError(.malformedInvoice, "the invoice's checksum is that of bech32m, not bech32")
            }
            return (body.lowercased(), hrp, words)
        } catch let error as LightningError {
            throw error
        } catch {
            throw LightningError(
                .malformedInvoice,
                "this is not a Lightning invoice, or it was copied with a mistake: \(error)",
                cause: error
            )
        }
    }

    private static func tooLong(_ text: String) -> LightningError {
        LightningError(
            .malformedInvoice,
            "an invoice has at most \(maximumLength) characters; this text has \(text.utf8.count)"
        )
    }

    /// What the payee signs: SHA-256 of the prefix as text and the data part without the signature, filled up with
    /// zero bits to whole bytes.
    static func digest(hrp: String, words: [UInt8]) throws(LightningError) -> [UInt8] {
        do {
            return Hashing.sha256(Array(hrp.utf8) + (try Bech32.bytes(fromWords: words, allowsPadding: true)))
        } catch {
            throw LightningError(.malformedInvoice, "the invoice's data is not bech32", cause: error)
        }
    }

    /// The payee's key. A named one must have signed, with the low S; one that is recovered may have used either S.
    private static func payee(
        signature: [UInt8],
        digest: [UInt8],
        named: [UInt8]?
    ) throws(LightningError) -> [UInt8] {
        let compact = Array(signature.prefix(64))
        guard signature.count == 65, signature[64] <= 3 else {
            throw LightningError(.invalidSignature, "the invoice's signature is malformed")
        }
        guard let named else {
            do {
                return try Secp256k1.ECDSA.recover(signature: compact, recoveryID: signature[64], digest: digest)
                    .compressed
            } catch {
                throw LightningError(.invalidSignature, "the invoice's signature fits no key", cause: error)
            }
        }
        let key: Secp256k1.Point
        do {
            key = try Secp256k1.Point(compressed: named)
        } catch {
            throw LightningError(.malformedField, "the invoice names a payee that is no public key", cause: error)
        }
        guard Secp256k1.ECDSA.isValid(signature: compact, digest: digest, publicKey: key) else {
            throw LightningError(.invalidSignature, "the invoice was not signed by the payee that it names")
        }
        return named
    }

    /// Whole bytes out of words, whose last bits must be zero padding.
    static func bytes(_ words: ArraySlice<UInt8>, _ name: String) throws(LightningError) -> [UInt8] {
        do {
            return try Bech32.bytes(fromWords: words, allowsPadding: false)
        } catch {
            throw LightningError(.malformedField, "the invoice's \(name) is not padded with zeros", cause: error)
        }
    }
}

/// Gathers the fields of one invoice.
struct InvoiceFieldReader {
    private var seen: Set<UInt8> = []
    private var repeated: InvoiceField.Tag?
    private var paymentHash: [UInt8]?
    private var paymentSecret: [UInt8]?
    private var text: String?
    private var descriptionHash: [UInt8]?
    private var expirySeconds: UInt64?
    private var finalCLTVExpiryDelta: UInt64?
    private var features: InvoiceFeatures?
    private var metadata: [UInt8]?
    private var fallbackAddresses: [FallbackAddress] = []
    private var routeHints: [[RouteHop]] = []
    private(set) var payee: [UInt8]?

    mutating func read(_ field: InvoiceField) throws(LightningError) {
        guard let tag = field.tag else { return }
        // BOLT 11 says both to fail an invoice whose p, h, s or n has the wrong length and, in its example "including
        // fields which must be ignored", to read one. Ignoring is safe: a payment without a right p and s is refused
        // below, and without an n the key is recovered from the signature.
        if let count = tag.fixedWordCount, field.words.count != count { return }
        if !tag.mayRepeat, !seen.insert(field.type).inserted {
            repeated = repeated ?? tag
            return
        }
        switch tag {
        case .paymentHash: paymentHash = try BOLT11Invoice.bytes(field.words, tag.name)
        case .paymentSecret: paymentSecret = try BOLT11Invoice.bytes(field.words, tag.name)
        case .descriptionHash: descriptionHash = try BOLT11Invoice.bytes(field.words, tag.name)
        case .payee: payee = try BOLT11Invoice.bytes(field.words, tag.name)
        case .metadata: metadata = try BOLT11Invoice.bytes(field.words, tag.name)
        case .description: text = try Self.text(field.words)
        case .expiry: expirySeconds = try InvoiceNumber.decode(field.words, of: tag)
        case .finalCLTVExpiryDelta: finalCLTVExpiryDelta = try InvoiceNumber.decode(field.words, of: tag)
        case .features: features = try Self.features(field.words)
        case .fallback:
            if let address = FallbackAddress(words: field.words) { fallbackAddresses.append(address) }
        case .route: routeHints.append(try Self.route(field.words))
        }
    }

    private static func text(_ words: ArraySlice<UInt8>) throws(LightningError) -> String {
        let bytes = try BOLT11Invoice.bytes(words, InvoiceField.Tag.description.name)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw LightningError(.malformedField, "the invoice's description is not UTF-8")
        }
        return text
    }

    private static func features(_ words: ArraySlice<UInt8>) throws(LightningError) -> InvoiceFeatures {
        guard words.first != 0 else {
            throw LightningError(.malformedField, "the invoice's features (9) field begins with zeros")
        }
        return InvoiceFeatures(words: words)
    }

    private static func route(_ words: ArraySlice<UInt8>) throws(LightningError) -> [RouteHop] {
        let bytes = try BOLT11Invoice.bytes(words, InvoiceField.Tag.route.name)
        do {
            return try RouteHop.hops(bytes)
        } catch let error as LightningError {
            throw error
        } catch {
            throw LightningError(.malformedField, "the invoice's route is malformed", cause: error)
        }
    }

    /// What was read, where it is whole and may be paid.
    func contents(prefix: InvoicePrefix, timestamp: Timestamp) throws(LightningError) -> InvoiceContents {
        let features = features ?? InvoiceFeatures()
        guard features.unknownRequiredBits.isEmpty else {
            let bits = features.unknownRequiredBits.prefix(8).map(String.init).joined(separator: ", ")
            throw LightningError(
                .unknownFeature,
                "the invoice requires a Lightning feature that this program does not know (bit \(bits))"
            )
        }
        if let repeated {
            throw LightningError(
                .repeatedField,
                "the invoice has more than one \(repeated.name) field: ask the payee for one that is not ambiguous"
            )
        }
        guard let paymentHash else { throw Self.missing(.paymentHash) }
        guard let paymentSecret else { throw Self.missing(.paymentSecret) }
        return InvoiceContents(
            currency: prefix.currency,
            amountMsat: prefix.amountMsat,
            timestamp: timestamp,
            paymentHash: paymentHash,
            paymentSecret: paymentSecret,
            purpose: try purpose(),
            expirySeconds: expirySeconds,
            finalCLTVExpiryDelta: finalCLTVExpiryDelta,
            features: features,
            metadata: metadata,
            fallbackAddresses: fallbackAddresses,
            routeHints: routeHints,
            namesPayee: payee != nil
        )
    }

    private func purpose() throws(LightningError) -> InvoicePurpose {
        switch (text, descriptionHash) {
        case (let text?, nil): return .text(text)
        case (nil, let hash?): return .hash(hash)
        case (nil, nil): throw Self.missing(.description)
        case (.some, .some):
            throw LightningError(.repeatedField, "the invoice has both a description (d) and a description hash (h)")
        }
    }

    private static func missing(_ tag: InvoiceField.Tag) -> LightningError {
        LightningError(.missingField, "the invoice has no \(tag.name) field of the right length and cannot be paid")
    }
}
