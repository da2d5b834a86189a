public import Cryptography
internal import Encodings

extension BOLT11Invoice {
    /// Writes and signs an invoice, with the fewest words for each field and the amount in its shortest form.
    /// - Throws: `invalidAmount`, `malformedField` where a value is out of its bounds, `unknownFeature`,
    ///   `malformedInvoice` where all together is longer than `maximumLength`.
    public static func sign(_ contents: InvoiceContents, key: Secp256k1.Scalar) throws(LightningError) -> BOLT11Invoice
    {
        let payee = Secp256k1.Point(multiplyingGeneratorBy: key).compressed
        let hrp = InvoicePrefix(currency: contents.currency, amountMsat: contents.amountMsat).text
        let words = try timestampWords(contents.timestamp) + contents.fieldWords(payee: payee)
        let digest = try digest(hrp: hrp, words: words)
        let (signature, recoveryID) = Secp256k1.ECDSA.signRecoverable(digest: digest, key: key)
        let text = Bech32.encode(
            hrp: hrp,
            words: words + Bech32.words(fromBytes: signature + [recoveryID]),
            variant: .bech32
        )
        guard text.utf8.count <= maximumLength else {
            throw LightningError(
                .malformedInvoice,
                "an invoice has at most \(maximumLength) characters; this one would have \(text.utf8.count)"
            )
        }
        return BOLT11Invoice(
            text: text,
            contents: contents,
            payeeNodeID: payee,
            signature: signature,
            recoveryID: recoveryID
        )
    }

    /// Seven words: 35 bits of seconds.
    private static func timestampWords(_ timestamp: Timestamp) throws(LightningError) -> [UInt8] {
        let seconds = timestamp.secondsSince1970
        guard seconds >= 0, seconds < 1 << 35, timestamp.millisecondsSince1970 == seconds * 1000 else {
            throw LightningError(.malformedField, "an invoice's timestamp is whole seconds, 0 to 2^35-1 since 1970")
        }
        return (0..<7).reversed().map { UInt8(seconds >> (5 * Int64($0)) & 31) }
    }
}

extension InvoiceContents {
    /// The tagged fields in the order of most of BOLT 11's examples.
    fileprivate func fieldWords(payee: [UInt8]) throws(LightningError) -> [UInt8] {
        try check()
        var words: [UInt8] = []
        words += try InvoiceField.encode(.paymentSecret, Bech32.words(fromBytes: paymentSecret))
        words += try InvoiceField.encode(.paymentHash, Bech32.words(fromBytes: paymentHash))
        switch purpose {
        case .text(let text):
            words += try InvoiceField.encode(.description, Bech32.words(fromBytes: Array(text.utf8)))
        case .hash(let hash):
            words += try InvoiceField.encode(.descriptionHash, Bech32.words(fromBytes: hash))
        }
        if let metadata { words += try InvoiceField.encode(.metadata, Bech32.words(fromBytes: metadata)) }
        if let expirySeconds { words += try InvoiceField.encode(.expiry, InvoiceNumber.encode(expirySeconds)) }
        if let finalCLTVExpiryDelta {
            words += try InvoiceField.encode(.finalCLTVExpiryDelta, InvoiceNumber.encode(finalCLTVExpiryDelta))
        }
        if namesPayee { words += try InvoiceField.encode(.payee, Bech32.words(fromBytes: payee)) }
        for address in fallbackAddresses { words += try InvoiceField.encode(.fallback, address.words) }
        for hops in routeHints {
            words += try InvoiceField.encode(.route, Bech32.words(fromBytes: hops.flatMap(\.bytes)))
        }
        if !features.bits.isEmpty { words += try InvoiceField.encode(.features, features.words) }
        return words
    }

    private func check() throws(LightningError) {
        if let amountMsat, amountMsat == 0 || amountMsat > InvoicePrefix.maximumAmountMsat {
            throw LightningError(.invalidAmount, "an invoice is for 1 to \(InvoicePrefix.maximumAmountMsat) msat")
        }
        guard paymentHash.count == 32, paymentSecret.count == 32 else {
            throw LightningError(.malformedField, "an invoice's payment hash and payment secret have 32 bytes each")
        }
        if case .hash(let hash) = purpose, hash.count != 32 {
            throw LightningError(.malformedField, "an invoice's description hash has 32 bytes")
        }
        // Zero has no words, and an x or c field without any reads as absent to some.
        guard expirySeconds != 0, finalCLTVExpiryDelta != 0 else {
            throw LightningError(.malformedField, "an invoice's expiry and CLTV delta are left out rather than zero")
        }
        guard routeHints.allSatisfy({ (1...12).contains($0.count) }) else {
            throw LightningError(.malformedField, "an invoice's route has 1 to 12 hops")
        }
        guard fallbackAddresses.allSatisfy({ FallbackAddress(words: $0.words[...]) == $0 }) else {
            throw LightningError(.malformedField, "an invoice's fallback address has the wrong length for its version")
        }
        guard features.unknownRequiredBits.isEmpty else {
            throw LightningError(.unknownFeature, "an invoice must not require a feature that this program lacks")
        }
    }
}
