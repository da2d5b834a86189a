import CanonicalJSON
import Cashu
import Encodings
import TestSupport
import Testing

@Suite("Payment requests for QR codes (NUT-26)")
struct PaymentRequestBech32Tests {
    /// A text over these fields, checksum and all.
    private func text(_ fields: [UInt8], variant: Bech32.Variant = .bech32m, prefix: String = "creqb") -> String {
        Bech32.encode(hrp: prefix, words: Bech32.words(fromBytes: fields), variant: variant)
    }

    @Test("every published request is read, in both cases, and written as published")
    func published() throws {
        let cases = try vectors("26").array("cases")
        #expect(cases.count == 18)
        for vector in cases {
            let name = try vector.string("name")
            let text = try vector.string("text")
            var expected = try PaymentRequestTests.expected(vector.value("json"))
            expected.prefersMints = try vector.value("json").optionalBool("mp")
            expected.supportedMethods = try (vector.value("json").optionalArray("sm") ?? []).map {
                SupportedMethod(method: try $0.string("mn"), fee: try $0.optionalUInt64("mf"))
            }
            #expect(try PaymentRequest(text) == expected, "\(name)")
            #expect(try PaymentRequest(text.lowercased()) == expected, "\(name)")
            #expect(try expected.serializedBech32() == text, "\(name)")
            // The other form says the same.
            #expect(try PaymentRequest(expected.serialized()) == expected, "\(name)")
        }
    }

    @Test("all members survive, unknown kinds of locks and transports among them")
    func allMembers() throws {
        let request = try PaymentRequest(
            id: "id",
            amount: .max,
            unit: CurrencyUnit("usd"),
            isSingleUse: false,
            mints: [MintURL("https://a.example"), MintURL("https://b.example")],
            prefersMints: false,
            supportedMethods: [SupportedMethod(method: "bolt11", fee: .max), SupportedMethod(method: "bolt12")],
            description: "für 🥜",
            transports: [
                PaymentTransport(kind: "post", target: "https://p.example", tags: [["n", "17", ""]]),
                PaymentTransport(kind: "9", target: "00ff"),
            ],
            lock: RequestedLock(kind: "7", data: "x", tags: [["locktime", "5"]])
        )
        #expect(try PaymentRequest(request.serializedBech32()) == request)
        let empty = try PaymentRequest()
        #expect(try PaymentRequest(empty.serializedBech32()) == empty)
        #expect(throws: CashuError.self) {
            try PaymentRequest(transports: [PaymentTransport(kind: "x-cashu", target: "t")]).serializedBech32()
        }
        #expect(throws: CashuError.self) {
            try PaymentRequest(lock: RequestedLock(kind: "XYZ", data: "d")).serializedBech32()
        }
        #expect(throws: CashuError.self) {
            try PaymentRequest(
                lock: RequestedLock(kind: "P2PK", data: "d", tags: [[String(repeating: "x", count: 256)]])
            )
            .serializedBech32()
        }
        #expect(throws: CashuError.self) {
            try PaymentRequest(transports: [PaymentTransport(kind: "nostr", target: "nsec1")]).serializedBech32()
        }
    }

    @Test("an npub serves as a target; it comes back as a profile")
    func npub() throws {
        let key = [UInt8](repeating: 0, count: 32)
        let npub = Bech32.encode(hrp: "npub", words: Bech32.words(fromBytes: key), variant: .bech32)
        let request = try PaymentRequest(transports: [PaymentTransport(kind: "nostr", target: npub)])
        let target = try PaymentRequest(request.serializedBech32()).transports[0].target
        let published = try vectors("26").array("cases")[1].value("json").array("t")[0].string("a")
        #expect(target == published)
    }

    @Test("unknown fields are passed over")
    func unknownFields() throws {
        let request = try PaymentRequest(text([0x7F, 0, 2, 9, 9, 0x01, 0, 1, 0x61]))
        #expect(try request == PaymentRequest(id: "a"))
    }

    @Test("damaged, ambiguous and oversized texts are refused")
    func refused() throws {
        let fields: [[UInt8]] = [
            [0x01], [0x01, 0], [0x01, 0, 2, 0x61], [0x01, 0, 1, 0x61, 0x01, 0, 1, 0x61], [0x02, 0, 1, 5],
            [0x02, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1], [0x04, 0, 1, 2], [0x04, 0, 0], [0x09, 0, 1, 9], [0x01, 0, 1, 0xFF],
            [0x05, 0, 1, 0x61], [0x07, 0, 0], [0x07, 0, 8, 1, 0, 1, 0, 2, 0, 1, 5], [0x08, 0, 4, 1, 0, 1, 0],
            [0x0A, 0, 0], [0x08, 0, 12, 1, 0, 1, 0, 2, 0, 1, 0x61, 3, 0, 1, 9],
        ]
        for field in fields {
            #expect(throws: (any Error).self, "\(field)") { try PaymentRequest(text(field)) }
        }
        let good: [UInt8] = [0x01, 0, 1, 0x61]
        #expect(throws: (any Error).self) { try PaymentRequest(text(good, variant: .bech32)) }
        #expect(throws: (any Error).self) { try PaymentRequest(text(good, prefix: "creqc")) }
        var broken = Array(text(good))
        broken[10] = broken[10] == "q" ? "p" : "q"
        #expect(throws: (any Error).self) { try PaymentRequest(String(broken)) }
        #expect(throws: (any Error).self) { try PaymentRequest("cReQb1" + text(good).dropFirst(6)) }
        let many = [UInt8](repeating: 0, count: 0) + (0..<300).flatMap { _ in [0x7F, 0, 0] as [UInt8] }
        #expect(throws: (any Error).self) { try PaymentRequest(text(many)) }
        #expect(throws: (any Error).self) { try PaymentRequest("creqb1" + String(repeating: "q", count: 70_000)) }
    }

    @Test("seeded: whatever is cut or changed is refused or read, never a crash")
    func hostile() throws {
        var random = SeededRandom(seed: 26)
        let texts = try vectors("26").array("cases").map { try $0.string("text") }
        for _ in 0..<400 {
            let text = texts[Int(random.next() % UInt64(texts.count))]
            let parts = try Bech32.decode(text, maximumLength: 5000)
            var bytes = try Bech32.bytes(fromWords: parts.words)
            for _ in 0..<3 where !bytes.isEmpty {
                let place = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 3 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: place)
                default: bytes.removeSubrange(place...)
                }
            }
            if let read = try? PaymentRequest(self.text(bytes)), let again = try? read.serializedBech32() {
                #expect(try PaymentRequest(again) == read)
            }
        }
    }
}
