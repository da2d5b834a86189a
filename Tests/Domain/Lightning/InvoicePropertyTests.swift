import Cryptography
import Encodings
import TestSupport
import Testing

@testable import Lightning

@Suite("BOLT 11: properties")
struct InvoicePropertyTests {
    private func contents(_ random: inout SeededRandom) throws -> InvoiceContents {
        func maybe<T>(_ value: @autoclosure () throws -> T) rethrows -> T? {
            Bool.random(using: &random) ? try value() : nil
        }
        let hops = { (random: inout SeededRandom) in
            try (0..<Int.random(in: 1...12, using: &random)).map { _ in
                try RouteHop(
                    nodeID: random.bytes(33),
                    shortChannelID: random.next(),
                    feeBaseMsat: UInt32(truncatingIfNeeded: random.next()),
                    feeProportionalMillionths: UInt32(truncatingIfNeeded: random.next()),
                    cltvExpiryDelta: UInt16(truncatingIfNeeded: random.next())
                )
            }
        }
        let texts = ["", "tea", "ナンセンス 1杯", String(repeating: "é", count: 300)]
        let isHashed = Bool.random(using: &random)
        let text = texts.randomElement(using: &random) ?? ""
        let offered = [9, 15, 17, 25, 49, 99, 151].filter { _ in Bool.random(using: &random) }
        return InvoiceContents(
            currency: InvoiceCurrency.allCases.randomElement(using: &random) ?? .regtest,
            amountMsat: maybe(UInt64.random(in: 1...InvoicePrefix.maximumAmountMsat, using: &random)),
            timestamp: Timestamp(secondsSince1970: Int64.random(in: 0..<(1 << 35), using: &random)),
            paymentHash: random.bytes(32),
            paymentSecret: random.bytes(32),
            purpose: isHashed ? .hash(random.bytes(32)) : .text(text),
            expirySeconds: maybe(UInt64.random(in: 1...(.max), using: &random)),
            finalCLTVExpiryDelta: maybe(UInt64.random(in: 1...2016, using: &random)),
            features: try InvoiceFeatures(bits: offered),
            metadata: maybe(random.bytes(Int.random(in: 0...639, using: &random))),
            fallbackAddresses: [.witness(version: 1, program: random.bytes(32)), .scriptHash(random.bytes(20))],
            routeHints: [try hops(&random), try hops(&random)],
            namesPayee: Bool.random(using: &random)
        )
    }

    @Test("what is signed is read back, with the key that signed it")
    func roundTrip() throws {
        var random = SeededRandom(seed: 2026)
        for _ in 0..<200 {
            let contents = try contents(&random)
            let key = try Secp256k1.Scalar(reducing: random.bytes(32))
            let written = try BOLT11Invoice.sign(contents, key: key)
            let read = try BOLT11Invoice(decoding: written.text)
            #expect(read == written)
            #expect(read.contents == contents)
            #expect(read.payeeNodeID == Secp256k1.Point(multiplyingGeneratorBy: key).compressed)
            #expect(read.signature == written.signature && read.recoveryID == written.recoveryID)
        }
    }

    @Test("one wrong character anywhere is noticed")
    func substitution() throws {
        var random = SeededRandom(seed: 7)
        let text = Array(try InvoiceSealing.invoice(InvoiceSealing.required).utf8)
        let digits = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)
        for position in text.indices {
            var wrong = text
            repeat {
                wrong[position] = digits.randomElement(using: &random) ?? 0
            } while wrong[position] == text[position]
            #expect(throws: LightningError.self) { try BOLT11Invoice(decoding: String(decoding: wrong, as: UTF8.self)) }
        }
    }

    /// Words changed under a checksum that fits: the signature must notice. Without `n` it then belongs to another key.
    @Test("changed words never keep the payee")
    func tampering() throws {
        var random = SeededRandom(seed: 8)
        let key = try InvoiceSealing.key()
        for round in 0..<600 {
            var contents = try contents(&random)
            contents.namesPayee = round.isMultiple(of: 2)
            let invoice = try BOLT11Invoice.sign(contents, key: key)
            var (hrp, words, _) = try Bech32.decode(invoice.text, maximumLength: 7089)
            let place = Int.random(in: 0..<(words.count - 104), using: &random)
            words[place] ^= UInt8.random(in: 1...31, using: &random)
            let changed = Bech32.encode(hrp: hrp, words: words, variant: .bech32)
            if let read = try? BOLT11Invoice(decoding: changed) {
                #expect(read.payeeNodeID != invoice.payeeNodeID)
                #expect(!read.contents.namesPayee)
            }
            hrp += "0"
            #expect(throws: LightningError.self) {
                let read = try BOLT11Invoice(decoding: Bech32.encode(hrp: hrp, words: words, variant: .bech32))
                if read.payeeNodeID != invoice.payeeNodeID { throw LightningError(.invalidSignature, "another key") }
            }
        }
    }

    @Test("random words are read or refused, never more")
    func garbage() throws {
        var random = SeededRandom(seed: 9)
        for _ in 0..<3000 {
            let words = (0..<Int.random(in: 0...400, using: &random)).map { _ in
                UInt8.random(in: 0...31, using: &random)
            }
            let text = Bech32.encode(hrp: "lnbcrt1u", words: words, variant: .bech32)
            if let read = try? BOLT11Invoice(decoding: text) { #expect(read.text == text) }
            let noise = String(decoding: random.bytes(Int.random(in: 0...80, using: &random)), as: UTF8.self)
            #expect(throws: LightningError.self) { try BOLT11Invoice(decoding: noise) }
        }
    }

    @Test("signing refuses what no reader would take")
    func signingBounds() throws {
        var random = SeededRandom(seed: 10)
        let key = try InvoiceSealing.key()
        var good = try contents(&random)
        good.purpose = .text("tea")
        good.amountMsat = 5
        #expect(throws: Never.self) { try BOLT11Invoice.sign(good, key: key) }
        let changes: [(LightningError.Code, (inout InvoiceContents) throws -> Void)] = [
            (.invalidAmount, { $0.amountMsat = 0 }),
            (.invalidAmount, { $0.amountMsat = InvoicePrefix.maximumAmountMsat + 1 }),
            (.malformedField, { $0.paymentHash.removeLast() }),
            (.malformedField, { $0.paymentSecret.append(1) }),
            (.malformedField, { $0.purpose = .hash([1]) }),
            (.malformedField, { $0.purpose = .text(String(repeating: "x", count: 640)) }),
            (.malformedField, { $0.metadata = [UInt8](repeating: 1, count: 640) }),
            (.malformedField, { $0.expirySeconds = 0 }),
            (.malformedField, { $0.finalCLTVExpiryDelta = 0 }),
            (.malformedField, { $0.timestamp = Timestamp(millisecondsSince1970: 1500) }),
            (.malformedField, { $0.timestamp = Timestamp(secondsSince1970: -1) }),
            (.malformedField, { $0.timestamp = Timestamp(secondsSince1970: 1 << 35) }),
            (.malformedField, { $0.routeHints = [[]] }),
            (.malformedField, { $0.routeHints[0] = [RouteHop](repeating: $0.routeHints[0][0], count: 13) }),
            (.malformedField, { $0.fallbackAddresses = [.publicKeyHash([1])] }),
            (.malformedField, { $0.fallbackAddresses = [.witness(version: 17, program: [1, 2])] }),
            (.malformedInvoice, { $0.routeHints = Array(repeating: $0.routeHints[0], count: 200) }),
            (.unknownFeature, { $0.features = try InvoiceFeatures(bits: [100]) }),
        ]
        for (index, (code, change)) in changes.enumerated() {
            var contents = good
            try change(&contents)
            let error = #expect(throws: LightningError.self, "change \(index)") {
                try BOLT11Invoice.sign(contents, key: key)
            }
            #expect(error?.code == code, "change \(index)")
        }
        good.purpose = .text(String(repeating: "x", count: 639))
        #expect(throws: Never.self) { try BOLT11Invoice.sign(good, key: key) }
    }
}
