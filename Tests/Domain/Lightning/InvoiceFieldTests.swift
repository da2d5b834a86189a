import Cryptography
import Encodings
import TestSupport
import Testing

@testable import Lightning

@Suite("BOLT 11: fields, hostile and odd")
struct InvoiceFieldTests {
    private typealias Field = (type: UInt8, words: [UInt8])

    private func code(_ fields: [Field]) throws -> LightningError.Code? {
        let text = try InvoiceSealing.invoice(fields)
        return #expect(throws: LightningError.self) { try BOLT11Invoice(decoding: text) }?.code
    }

    private func read(_ fields: [Field]) throws -> InvoiceContents {
        try BOLT11Invoice(decoding: try InvoiceSealing.invoice(fields)).contents
    }

    @Test("the least invoice has a hash, a secret and a description")
    func least() throws {
        let contents = try read(InvoiceSealing.required)
        #expect(contents.purpose == .text("tea"))
        #expect(contents.features == InvoiceFeatures())
        for missing in 0..<3 {
            var fields = InvoiceSealing.required
            fields.remove(at: missing)
            #expect(try code(fields) == .missingField)
        }
    }

    @Test("a hash, secret or payee of the wrong length is as good as none")
    func lengths() throws {
        let short = Array(InvoiceSealing.hash.words.dropLast())
        let contents = try read(InvoiceSealing.required + [(1, short), (16, short), (23, short), (19, short)])
        #expect(contents.paymentHash == [UInt8](repeating: 7, count: 32))
        #expect(!contents.namesPayee)
        #expect(try code([(1, short), InvoiceSealing.secret, InvoiceSealing.text]) == .missingField)
        #expect(try code([InvoiceSealing.hash, (16, short), InvoiceSealing.text]) == .missingField)
        #expect(try code([InvoiceSealing.hash, InvoiceSealing.secret, (23, short)]) == .missingField)
    }

    @Test("a field that may stand once stands once", arguments: [1, 16, 13, 23, 6, 24, 5, 27] as [UInt8])
    func repeated(type: UInt8) throws {
        let field: Field =
            switch type {
            case 1, 16, 23: (type, InvoiceSealing.hash.words)
            case 5: (type, [16, 8, 0])
            default: (type, InvoiceSealing.bytes([9, 9]).map { $0 | 1 }.dropLast() + [0])
            }
        let others = InvoiceSealing.required.filter { $0.type != type && !(type == 23 && $0.type == 13) }
        #expect(throws: Never.self) { try read(others + [field]) }
        #expect(try code(others + [field, field]) == .repeatedField)
    }

    @Test("a description and a description hash exclude each other")
    func purpose() throws {
        #expect(try code(InvoiceSealing.required + [(23, InvoiceSealing.hash.words)]) == .repeatedField)
        let hashed = try read([InvoiceSealing.hash, InvoiceSealing.secret, (23, InvoiceSealing.hash.words)])
        #expect(hashed.purpose == .hash([UInt8](repeating: 7, count: 32)))
    }

    @Test("numbers are in the fewest words and within 64 bits")
    func numbers() throws {
        for type in [6, 24] as [UInt8] {
            #expect(try code(InvoiceSealing.required + [(type, [0, 1])]) == .malformedField)
            #expect(try code(InvoiceSealing.required + [(type, [0])]) == .malformedField)
            #expect(
                try code(InvoiceSealing.required + [(type, [16] + [UInt8](repeating: 0, count: 12))]) == .malformedField
            )
            #expect(
                try code(InvoiceSealing.required + [(type, [UInt8](repeating: 31, count: 1000))]) == .malformedField
            )
        }
        let most: Field = (6, [15] + [UInt8](repeating: 31, count: 12))
        #expect(try read(InvoiceSealing.required + [most]).expirySeconds == .max)
        let forever = try BOLT11Invoice(decoding: try InvoiceSealing.invoice(InvoiceSealing.required + [most]))
        #expect(!forever.isExpired(at: Timestamp(secondsSince1970: 1 << 40)))
        #expect(try read(InvoiceSealing.required + [(24, [9])]).finalCLTVExpiryDelta == 9)
    }

    @Test("padding is zeros, text is UTF-8")
    func bytes() throws {
        var padded = InvoiceSealing.hash.words
        padded[51] |= 1
        #expect(try code([(1, padded), InvoiceSealing.secret, InvoiceSealing.text]) == .malformedField)
        let bad: Field = (13, InvoiceSealing.bytes([0xC3, 0x28]))
        #expect(try code([InvoiceSealing.hash, InvoiceSealing.secret, bad]) == .malformedField)
        // A lone word holds no byte.
        #expect(try code([InvoiceSealing.hash, InvoiceSealing.secret, (13, [4])]) == .malformedField)
        #expect(try read([InvoiceSealing.hash, InvoiceSealing.secret, (13, [])]).purpose == .text(""))
    }

    @Test("features: odd bits are offers, unknown even ones are refused, leading zeros too")
    func features() throws {
        let offered = try InvoiceFeatures(bits: [9, 15, 17, 99, 101, 5113])
        #expect(try read(InvoiceSealing.required + [(5, offered.words)]).features == offered)
        let known = try InvoiceFeatures(bits: InvoiceFeatures.known.keys)
        #expect(try read(InvoiceSealing.required + [(5, known.words)]).features == known)
        for bit in [2, 100, 5114] {
            let required = try InvoiceFeatures(bits: [8, bit])
            #expect(try code(InvoiceSealing.required + [(5, required.words)]) == .unknownFeature)
        }
        #expect(try code(InvoiceSealing.required + [(5, [0, 8])]) == .malformedField)
        #expect(throws: LightningError.self) { try InvoiceFeatures(bits: [5115]) }
        #expect(throws: LightningError.self) { try InvoiceFeatures(bits: [-1]) }
    }

    @Test("what is not known is skipped: fields, fallback versions, odd fallbacks")
    func unknown() throws {
        let used: Set<UInt8> = [1, 3, 5, 6, 9, 13, 16, 19, 23, 24, 27]
        let strange = (0..<32).map { UInt8($0) }.filter { !used.contains($0) }.map { Field($0, [1, 2, 3]) }
        let fallbacks: [Field] = [
            (9, [19] + InvoiceSealing.bytes([UInt8](repeating: 1, count: 20))), (9, []), (9, [0]),
            (9, [0] + InvoiceSealing.bytes([UInt8](repeating: 1, count: 21))),
            (9, [17] + InvoiceSealing.bytes([UInt8](repeating: 1, count: 19))),
            (9, [1] + InvoiceSealing.bytes([UInt8](repeating: 1, count: 41))),
            (9, [1] + InvoiceSealing.bytes([5, 6])),
        ]
        let contents = try read(strange + InvoiceSealing.required + fallbacks)
        #expect(contents.fallbackAddresses == [.witness(version: 1, program: [5, 6])])
    }

    @Test("a route is whole hops")
    func routes() throws {
        let hop = [UInt8](repeating: 2, count: 51)
        let contents = try read(
            InvoiceSealing.required + [(3, InvoiceSealing.bytes(hop + hop)), (3, InvoiceSealing.bytes(hop))]
        )
        #expect(contents.routeHints.map(\.count) == [2, 1])
        for bytes in [[], [1], Array(hop.dropLast()), hop + [1]] as [[UInt8]] {
            #expect(try code(InvoiceSealing.required + [(3, InvoiceSealing.bytes(bytes))]) == .malformedField)
        }
    }

    @Test("a named payee must be a key and must have signed")
    func payee() throws {
        let own = Secp256k1.Point(multiplyingGeneratorBy: try InvoiceSealing.key()).compressed
        let named = try BOLT11Invoice(
            decoding: try InvoiceSealing.invoice(InvoiceSealing.required + [(19, InvoiceSealing.bytes(own))])
        )
        #expect(named.payeeNodeID == own && named.contents.namesPayee)
        let other = Secp256k1.Point(multiplyingGeneratorBy: .random()).compressed
        #expect(try code(InvoiceSealing.required + [(19, InvoiceSealing.bytes(other))]) == .invalidSignature)
        let none = [UInt8](repeating: 0xFF, count: 33)
        #expect(try code(InvoiceSealing.required + [(19, InvoiceSealing.bytes(none))]) == .malformedField)
    }

    @Test("a field that runs past the end is refused", arguments: [0, 1, 2])
    func overrun(extra: Int) throws {
        let timestamp: [UInt8] = [1, 12, 18, 31, 28, 25, 2]
        let heads: [[UInt8]] = [[13], [13, 0], [13, 31, 31, 1, 1]]
        let text = try InvoiceSealing.seal(words: timestamp + heads[extra])
        let error = #expect(throws: LightningError.self) { try BOLT11Invoice(decoding: text) }
        #expect(error?.code == .malformedInvoice)
    }

    @Test("bech32m, endless and foreign text are refused")
    func envelopes() throws {
        let good = try InvoiceSealing.invoice(InvoiceSealing.required)
        let (hrp, words, _) = try Bech32.decode(good, maximumLength: 7089)
        let modified = Bech32.encode(hrp: hrp, words: words, variant: .bech32m)
        let endless = good + String(repeating: "q", count: 7089)
        for text in [
            modified, endless, "", "lightning:", "1", "lnbc1", "ln🦊1qqqqqq", String(repeating: "1", count: 7089),
        ] {
            let error = #expect(throws: LightningError.self) { try BOLT11Invoice(decoding: text) }
            #expect(error?.code == .malformedInvoice)
        }
    }

    @Test("a lightning: URI and upper case are the same invoice")
    func spellings() throws {
        let good = try InvoiceSealing.invoice(InvoiceSealing.required)
        let plain = try BOLT11Invoice(decoding: good)
        for text in ["lightning:\(good)", "LIGHTNING:\(good.uppercased())", good.uppercased(), "Lightning:\(good)"] {
            #expect(try BOLT11Invoice(decoding: text) == plain)
            #expect(try BOLT11Invoice(decoding: text).text == good)
        }
    }

    @Test("the longest invoice is read; one character more is not")
    func longest() throws {
        let empty = try InvoiceSealing.invoice(InvoiceSealing.required).utf8.count
        var missing = BOLT11Invoice.maximumLength - empty
        var fields = InvoiceSealing.required
        while missing > 0 {
            let count = min(missing - 3, 1000)
            fields.append(
                (2, [UInt8](repeating: 1, count: missing - 3 - count < 3 && missing - 3 > count ? count - 3 : count))
            )
            missing = BOLT11Invoice.maximumLength - (try InvoiceSealing.invoice(fields).utf8.count)
        }
        let longest = try InvoiceSealing.invoice(fields)
        #expect(longest.utf8.count == 7089)
        #expect(throws: Never.self) { try BOLT11Invoice(decoding: longest) }
        fields[fields.count - 1].words.append(1)
        let tooLong = try InvoiceSealing.invoice(fields)
        #expect(throws: LightningError.self) { try BOLT11Invoice(decoding: tooLong) }
    }
}
