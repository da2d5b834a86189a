import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import TestSupport
import Testing

@Suite("Quotes that belong to a key (NUT-20), and batches of them (NUT-29)")
struct MintQuoteSignatureTests {
    @Test("the published mint requests, good and bad, and their message")
    func published() throws {
        let file = try vectors("20")
        let key = try file.point("pubkey")
        let cases = try file.array("cases")
        #expect(cases.count == 2)
        for vector in cases {
            let request = try MintRequest(json: vector.value("request"))
            let message = MintQuoteSignature.message(quote: request.quote, outputs: request.outputs, form: .plain)
            #expect(try message == Array(file.string("message").utf8))
            let signature = try #require(request.signature)
            let isValid = MintQuoteSignature.isValid(
                signature,
                quote: request.quote,
                outputs: request.outputs,
                publicKey: key
            )
            #expect(try isValid == vector.bool("isValid"))
            #expect(try MintRequest(json: request.json) == request)
        }
    }

    @Test("the published batch: message, hash and signature of the tagged form")
    func publishedBatch() throws {
        let file = try vectors("29")
        for vector in try file.array("cases") {
            let request = try BatchMintRequest(json: vector.value("request"))
            #expect(try BatchMintRequest(json: request.json) == request)
            let signature = try #require(request.signatures?.first ?? nil)
            let isValid = MintQuoteSignature.isValid(
                signature,
                quote: request.quotes[0],
                outputs: request.outputs,
                publicKey: try file.point("pubkey")
            )
            #expect(try isValid == vector.bool("isValid"))
            guard isValid else { continue }
            let message = MintQuoteSignature.message(
                quote: request.quotes[0],
                outputs: request.outputs,
                form: .tagged
            )
            #expect(try Hex.encode(message) == vector.string("message"))
            #expect(try Hex.encode(Hashing.sha256(message)) == vector.string("sha256"))
            let own = try MintQuoteSignature.sign(
                quote: request.quotes[0],
                outputs: request.outputs,
                key: file.scalar("privateKey"),
                form: .tagged,
                auxiliary: [UInt8](repeating: 0, count: 32)
            )
            #expect(own == signature)
        }
    }

    @Test("amounts are written without leading zeros, 0 as nothing")
    func minimalAmounts() throws {
        var fixture = LockFixture()
        let quote = try QuoteID("q")
        let start = "Cashu_MintQuoteSig_v1".utf8.count + 4 + 1
        for (amount, bytes) in [
            (0, []), (1, [1]), (255, [255]), (256, [1, 0]), (UInt64.max, [UInt8](repeating: 255, count: 8)),
        ] as [(UInt64, [UInt8])] {
            let message = MintQuoteSignature.message(
                quote: quote,
                outputs: [try fixture.output(amount)],
                form: .tagged
            )
            let length = 4 + bytes.count
            #expect(Array(message[start..<start + length]) == [0, 0, 0, UInt8(bytes.count)] + bytes)
            #expect(message.count == start + length + 4 + 33)
        }
    }

    @Test("either form is accepted; another quote, key, order or output is not")
    func binds() throws {
        var fixture = LockFixture()
        let quote = try QuoteID("019e6d5a-2347-7000-80fe-07ae8fa79774")
        let outputs = [try fixture.output(1), try fixture.output(2)]
        let key = fixture.keys[0]
        for form in MintQuoteSignature.Form.allCases {
            let signature = try MintQuoteSignature.sign(quote: quote, outputs: outputs, key: key, form: form)
            func accepts(_ quote: QuoteID, _ outputs: [BlindedMessage], _ point: Secp256k1.Point) -> Bool {
                MintQuoteSignature.isValid(signature, quote: quote, outputs: outputs, publicKey: point)
            }
            #expect(accepts(quote, outputs, fixture.points[0]))
            #expect(!accepts(try QuoteID("other"), outputs, fixture.points[0]))
            #expect(!accepts(quote, outputs.reversed(), fixture.points[0]))
            #expect(!accepts(quote, [outputs[0]], fixture.points[0]))
            #expect(!accepts(quote, outputs, fixture.points[1]))
            #expect(!MintQuoteSignature.isValid([], quote: quote, outputs: outputs, publicKey: fixture.points[0]))
        }
        let tagged = try MintQuoteSignature.sign(quote: quote, outputs: outputs, key: key, form: .tagged)
        var other = outputs
        other[0].amount = 4
        let isValid = MintQuoteSignature.isValid(tagged, quote: quote, outputs: other, publicKey: fixture.points[0])
        #expect(!isValid)
    }

    @Test("a bad key or signature answers its own code")
    func codes() throws {
        func code(_ work: () throws -> some Any) -> MintErrorCode? {
            do {
                _ = try work()
                return nil
            } catch {
                return MintError(decoding: error).code
            }
        }
        for key in [#""02""#, "5", #""\#("02" + String(repeating: "f", count: 64))""#, #""""#] {
            let text = #"{"amount":1,"unit":"sat","pubkey":\#(key)}"#
            #expect(code { try MintQuoteRequest(json: parse(text)) } == .mintPublicKeyRequired, "\(key)")
        }
        #expect(try MintQuoteRequest(json: parse(#"{"amount":1,"unit":"sat","pubkey":null}"#)).publicKey == nil)
        for signature in ["\"aa\"", "\"\(String(repeating: "z", count: 128))\""] {
            let text = #"{"quote":"q","outputs":[],"signature":\#(signature)}"#
            #expect(code { try MintRequest(json: parse(text)) } == .mintSignatureInvalid)
            let batch = #"{"quotes":["q"],"outputs":[],"signatures":[\#(signature)]}"#
            #expect(code { try BatchMintRequest(json: parse(batch)) } == .mintSignatureInvalid)
        }
        let many = (0...CashuLimits.batchQuotes).map { "\"q\($0)\"" }.joined(separator: ",")
        #expect(code { try MintQuoteCheckRequest(json: parse(#"{"quotes":[\#(many)]}"#)) } == .maximumBatchExceeded)
        let batch = #"{"quotes":[\#(many)],"outputs":[]}"#
        #expect(code { try BatchMintRequest(json: parse(batch)) } == .maximumBatchExceeded)
        #expect(code { try MintQuoteCheckRequest(json: parse(#"{"quotes":[5]}"#)) } == .malformedRequest)
    }

    @Test("wire forms survive")
    func roundTrips() throws {
        var fixture = LockFixture()
        let ids = [try QuoteID("a"), try QuoteID("b")]
        let batch = BatchMintRequest(
            quotes: ids,
            amounts: [1, .max],
            outputs: [try fixture.output()],
            signatures: [[UInt8](repeating: 3, count: 64), nil]
        )
        #expect(try BatchMintRequest(json: batch.json) == batch)
        let bare = BatchMintRequest(quotes: ids, outputs: [])
        #expect(try BatchMintRequest(json: bare.json) == bare)
        let request = MintQuoteRequest(amount: 5, unit: .sat, publicKey: fixture.points[0])
        #expect(try MintQuoteRequest(json: request.json) == request)
        let quotes = ids.map {
            MintQuote(quote: $0, request: "ln", amount: 5, unit: .sat, expiry: nil, publicKey: fixture.points[0])
        }
        let check = MintQuoteCheckRequest(quotes: ids)
        #expect(try MintQuoteCheckRequest(json: check.json) == check)
        #expect(try check.quotes(inAnswer: .array(quotes.map(\.json))) == quotes)
        #expect(throws: CashuError.self) { try check.quotes(inAnswer: .array(quotes.reversed().map(\.json))) }
        #expect(throws: CashuError.self) { try check.quotes(inAnswer: .array([quotes[0].json])) }
        let setting = BatchMintSetting(maximumBatch: 7, methods: [.bolt11])
        #expect(try BatchMintSetting(json: setting.json) == setting)
        var info = MintInfo()
        #expect(info.batchMinting == nil && !info.cachesAnswers(path: "/v1/swap"))
        info.batchMinting = setting
        info.setCachedAnswers(seconds: 60, paths: ["/v1/swap"])
        #expect(info.batchMinting == setting)
        #expect(info.cachesAnswers(path: "/v1/swap") && !info.cachesAnswers(path: "/v1/mint/bolt11"))
    }
}
