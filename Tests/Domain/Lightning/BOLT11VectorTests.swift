import Cryptography
import Encodings
import Foundation
import TestSupport
import Testing

@testable import Lightning

/// One of BOLT 11's examples, with what its breakdown says.
struct ValidExample: Decodable, Sendable, CustomTestStringConvertible {
    struct Hop: Decodable, Equatable {
        var nodeID: String
        var channel: String
        var feeBaseMsat: UInt32
        var feeProportionalMillionths: UInt32
        var cltvExpiryDelta: UInt16
    }
    var title: String
    var invoice: String
    var currency: String
    var amountMsat: UInt64?
    var timestamp: Int64
    var paymentHash: String
    var paymentSecret: String
    var features: [Int]
    var payee: String?
    var description: String?
    var descriptionHash: String?
    var expirySeconds: UInt64?
    var finalCLTVExpiryDelta: UInt64?
    var fallback: [String]?
    var routes: [[Hop]]?
    var metadata: String?
    var signature: String?
    var recoveryID: UInt8?
    var digest: String?
    var testDescription: String { title }
}

struct InvalidExample: Decodable, Sendable, CustomTestStringConvertible {
    var title: String
    var invoice: String
    var code: String
    var testDescription: String { title }
}

enum Examples {
    private struct Valid: Decodable {
        var privateKey: String
        var examples: [ValidExample]
    }
    private struct Invalid: Decodable { var examples: [InvalidExample] }

    private static func valid() throws -> Valid {
        try JSONDecoder().decode(Valid.self, from: Data(try Fixtures.bytes("bolt11/valid.json")))
    }
    static let accepted: [ValidExample] = (try? valid().examples) ?? []
    static let refused: [InvalidExample] =
        (try? JSONDecoder().decode(Invalid.self, from: Data(try Fixtures.bytes("bolt11/invalid.json"))).examples) ?? []
    static func key() throws -> Secp256k1.Scalar {
        try Secp256k1.Scalar(bytes: try Hex.decode(try valid().privateKey))
    }
}

@Suite("BOLT 11: the published examples")
struct BOLT11VectorTests {
    @Test("all are here")
    func count() {
        #expect(Examples.accepted.count == 16)
        #expect(Examples.refused.count == 10)
    }

    @Test("a valid invoice reads as its breakdown says", arguments: Examples.accepted)
    func valid(example: ValidExample) throws {
        let invoice = try BOLT11Invoice(decoding: example.invoice)
        #expect(invoice.text == example.invoice.lowercased())
        #expect(invoice.currency.rawValue == example.currency)
        #expect(invoice.amountMsat == example.amountMsat)
        #expect(invoice.contents.timestamp == Timestamp(secondsSince1970: example.timestamp))
        #expect(Hex.encode(invoice.paymentHash) == example.paymentHash)
        #expect(Hex.encode(invoice.contents.paymentSecret) == example.paymentSecret)
        #expect(invoice.contents.features.bits == example.features)
        #expect(invoice.expirySeconds == example.expirySeconds ?? 3600)
        #expect(invoice.finalCLTVExpiryDelta == example.finalCLTVExpiryDelta ?? 18)
        #expect(invoice.contents.metadata.map { Hex.encode($0) } == example.metadata)
        switch invoice.contents.purpose {
        case .text(let text):
            #expect(text == example.description)
            #expect(example.descriptionHash == nil)
        case .hash(let hash):
            #expect(Hex.encode(hash) == example.descriptionHash)
            #expect(example.description == nil)
        }
        if let payee = example.payee { #expect(Hex.encode(invoice.payeeNodeID) == payee) }
        #expect(invoice.contents.fallbackAddresses.map(Self.name) == example.fallback ?? [])
        #expect(invoice.contents.routeHints.map { $0.map(Self.hop) } == example.routes ?? [])
    }

    @Test("the signature and the digest it covers are those of the breakdown", arguments: Examples.accepted)
    func signature(example: ValidExample) throws {
        guard let signature = example.signature, let digest = example.digest else { return }
        let invoice = try BOLT11Invoice(decoding: example.invoice)
        #expect(Hex.encode(invoice.signature) == signature)
        #expect(invoice.recoveryID == example.recoveryID)
        let (hrp, words, _) = try Bech32.decode(example.invoice, maximumLength: 7089)
        #expect(Hex.encode(try BOLT11Invoice.digest(hrp: hrp, words: Array(words.dropLast(104)))) == digest)
    }

    /// Where an example's fields stand in the order that we write, RFC 6979 gives the very same text.
    @Test("signing the same contents gives the same invoice", arguments: Examples.accepted)
    func rewrite(example: ValidExample) throws {
        let invoice = try BOLT11Invoice(decoding: example.invoice)
        let again = try BOLT11Invoice.sign(invoice.contents, key: try Examples.key())
        #expect(try BOLT11Invoice(decoding: again.text).contents == invoice.contents)
        let sameOrder: Set = [
            "Please make a donation of any amount using", "Please send $3 for a cup of coffee",
            "Please send 0.0025 BTC for a cup of nonsense", "Now send $24 for an entire list of things",
        ]
        if sameOrder.contains(where: { example.title.hasPrefix($0) }) {
            #expect(again.text == example.invoice)
            #expect(again == invoice)
        }
    }

    @Test("an invalid invoice is refused for its own reason", arguments: Examples.refused)
    func invalid(example: InvalidExample) {
        let error = #expect(throws: LightningError.self) { try BOLT11Invoice(decoding: example.invoice) }
        #expect(error?.code.rawValue == example.code)
    }

    private static func name(_ address: FallbackAddress) -> String {
        switch address {
        case .witness(let version, let program): "\(version):\(Hex.encode(program))"
        case .publicKeyHash(let hash): "17:\(Hex.encode(hash))"
        case .scriptHash(let hash): "18:\(Hex.encode(hash))"
        }
    }

    private static func hop(_ hop: RouteHop) -> ValidExample.Hop {
        ValidExample.Hop(
            nodeID: Hex.encode(hop.nodeID),
            channel: hop.shortChannelName,
            feeBaseMsat: hop.feeBaseMsat,
            feeProportionalMillionths: hop.feeProportionalMillionths,
            cltvExpiryDelta: hop.cltvExpiryDelta
        )
    }
}
