import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import TestSupport
import Testing

/// Over the wire and back.
private func wire(_ json: JSONValue) throws -> JSONValue {
    try JSONValue.parse(json.serialized(), limits: JSONLimits(acceptsUInt64: true))
}

@Suite("Requests and answers (NUT-03 to 07, 09, 23)")
struct WireTests {
    @Test("a swap survives the wire, with 2^63 among its amounts")
    func swap() throws {
        var mint = try TestMint()
        var input = try mint.proof(1 << 63)
        input.witness = #"{"signatures":[]}"#
        let request = SwapRequest(inputs: [input], outputs: [try mint.output(1 << 63).output()])
        let read = try SwapRequest(json: wire(request.json))
        input.dleq = nil
        #expect(read.inputs == [input])
        #expect(read.outputs == request.outputs)
        let text = String(decoding: request.json.serialized(), as: UTF8.self)
        #expect(text.contains(#""amount":9223372036854775808"#))
        let answer = SignaturesResponse(signatures: [try mint.keyset.sign(request.outputs[0])])
        #expect(try SignaturesResponse(json: wire(answer.json)) == answer)
    }

    @Test("a witness may come as an object")
    func witnessObject() throws {
        var mint = try TestMint()
        var json = try mint.proof(1).json.requireObject()
        json["witness"] = ["signatures": ["aa"]]
        #expect(try Proof(json: .object(json)).witness == #"{"signatures":["aa"]}"#)
        json["witness"] = ""
        #expect(try Proof(json: .object(json)).witness == nil)
        json["witness"] = 5
        #expect(throws: CashuError.self) { try Proof(json: .object(json)) }
    }

    @Test(
        "amounts that aren't exact unsigned integers are refused",
        arguments: ["-1", "1.5", "18446744073709551616", "\"5\"", "null", "1e3000", "[]"]
    )
    func amounts(text: String) throws {
        let key = "02bc9097997d81afb2cc7346b5e4345a9346bd2a506eb7958598a72f0cf85163ea"
        let output = #"{"amount":\#(text),"id":"009a1f293253e41e","B_":"\#(key)"}"#
        let proof = #"{"amount":\#(text),"id":"009a1f293253e41e","secret":"s","C":"\#(key)"}"#
        #expect(throws: (any Error).self) { try BlindedMessage(json: parse(output)) }
        #expect(throws: (any Error).self) { try Proof(json: parse(proof)) }
        let quote = #"{"amount":\#(text),"unit":"sat"}"#
        #expect(throws: (any Error).self) { try MintQuoteRequest(json: parse(quote)) }
    }

    @Test(
        "points that aren't on the curve or not compressed are refused",
        arguments: [
            "", "02", "04" + String(repeating: "11", count: 64), "02" + String(repeating: "ff", count: 32),
            "00" + String(repeating: "00", count: 32), "02" + String(repeating: "zz", count: 32),
        ]
    )
    func points(hex: String) throws {
        let json = #"{"amount":1,"id":"009a1f293253e41e","B_":"\#(hex)"}"#
        let error = #expect(throws: CashuError.self) { try BlindedMessage(json: parse(json)) }
        #expect(error.map { MintError(decoding: $0).code } == .malformedRequest)
    }

    @Test("a thousand entries are taken, one more answers 11014 or 11015")
    func arrayBounds() throws {
        var mint = try TestMint()
        let input = try mint.proof(1)
        let output = try mint.output(1).output()
        func request(_ inputs: Int, _ outputs: Int) throws -> SwapRequest {
            try SwapRequest(
                json: .object([
                    "inputs": .array(Array(repeating: input.jsonForMint, count: inputs)),
                    "outputs": .array(Array(repeating: output.json, count: outputs)),
                ])
            )
        }
        #expect(try request(1000, 1000).inputs.count == 1000)
        #expect(throws: MintError(.maximumInputsExceeded, "at most 1000 inputs are taken at once")) {
            try request(1001, 1)
        }
        #expect(throws: MintError(.maximumOutputsExceeded, "at most 1000 outputs are taken at once")) {
            try request(1, 1001)
        }
    }

    @Test("secrets and witnesses beyond 1024 bytes are refused")
    func textBounds() throws {
        var mint = try TestMint()
        var proof = try mint.proof(1)
        proof.secret = String(repeating: "é", count: 512)
        #expect(try Proof(json: proof.json).secret == proof.secret)
        proof.secret += "x"
        #expect(throws: CashuError.self) { try Proof(json: proof.json) }
        proof.secret = ""
        #expect(throws: CashuError.self) { try Proof(json: proof.json) }
        proof.secret = "s"
        proof.witness = String(repeating: "x", count: 1025)
        #expect(throws: CashuError.self) { try Proof(json: proof.json) }
    }

    @Test("no damaged request crashes a decoder, and what is read is read the same again", arguments: 1...4)
    func damaged(seed: UInt64) throws {
        var mint = try TestMint(seed: seed)
        let request = SwapRequest(inputs: [try mint.proof(2)], outputs: [try mint.output(2).output()])
        let melt = MeltRequest(quote: try QuoteID("q-1"), inputs: request.inputs, outputs: request.outputs)
        for bytes in [request.json.serialized(), melt.json.serialized()] {
            for _ in 0..<400 {
                var changed = bytes
                for _ in 0..<Int.random(in: 1...3, using: &mint.random) {
                    let place = Int.random(in: 0..<changed.count, using: &mint.random)
                    changed[place] = UInt8.random(in: 0x20...0x7E, using: &mint.random)
                }
                guard let json = try? JSONValue.parse(changed, limits: JSONLimits(acceptsUInt64: true)) else {
                    continue
                }
                if let read = try? SwapRequest(json: json) { #expect(try SwapRequest(json: wire(read.json)) == read) }
                if let read = try? MeltRequest(json: json) { #expect(try MeltRequest(json: wire(read.json)) == read) }
            }
        }
    }

    @Test("a mint quote says its state in both ways, and is read from either")
    func mintQuotes() throws {
        var quote = MintQuote(
            quote: try QuoteID("019e6d5a-2347-7000-8322-05d51d498303"),
            request: "lnbc100n1pj4apw9...",
            amount: 10,
            unit: .sat,
            expiry: 1_701_704_757,
            updatedAt: 1_701_704_000
        )
        for (paid, issued, state) in [(0, 0, "UNPAID"), (10, 0, "PAID"), (10, 10, "ISSUED"), (10, 4, "PAID")]
            as [(UInt64, UInt64, String)]
        {
            (quote.amountPaid, quote.amountIssued) = (paid, issued)
            let json = try wire(quote.json)
            #expect(try json.string("state") == state)
            #expect(try MintQuote(json: json) == quote)
            #expect(quote.amountMintable == paid - issued)
        }
        let old = #"{"quote":"q","request":"lnbc1","amount":10,"unit":"sat","state":"STATE","expiry":null}"#
        #expect(try MintQuote(json: parse(old.replacing("STATE", with: "PAID"))).amountMintable == 10)
        #expect(try MintQuote(json: parse(old.replacing("STATE", with: "ISSUED"))).state == .issued)
        #expect(try MintQuote(json: parse(old.replacing("STATE", with: "UNPAID"))).state == .unpaid)
        // nutshell's way of saying that a quote has no key.
        let keyless = old.replacing("STATE", with: "UNPAID").replacing("{", with: #"{"pubkey":"","#, maxReplacements: 1)
        #expect(try MintQuote(json: parse(keyless)).publicKey == nil)
        #expect(throws: CashuError.self) { try MintQuote(json: parse(old.replacing("STATE", with: "paid"))) }
        let wrong = #"{"quote":"q","request":"l","amount":1,"unit":"sat","amount_paid":1,"amount_issued":2}"#
        #expect(throws: CashuError.self) { try MintQuote(json: parse(wrong)) }
        let request = MintQuoteRequest(amount: 10, unit: .sat, description: "tea")
        #expect(try MintQuoteRequest(json: wire(request.json)) == request)
    }

    @Test("melt quotes and requests, with change and amountless invoices")
    func meltQuotes() throws {
        var mint = try TestMint()
        let blank = [mint.output(1), mint.output(1), mint.output(1)]
        let change = [
            try mint.keyset.sign(blank[0].output(), amount: 4), try mint.keyset.sign(blank[1].output(), amount: 128),
        ]
        let quote = MeltQuote(
            quote: try QuoteID("q-1"),
            request: "lnbc1",
            amount: 100,
            unit: .sat,
            feeReserve: 2,
            state: .paid,
            expiry: 1_701_704_757,
            paymentPreimage: String(repeating: "c5", count: 32),
            change: change
        )
        let read = try MeltQuote(json: wire(quote.json))
        #expect(read == quote)
        let proofs = try read.changeProofs(for: blank) { _ in mint.keyset.keyset }
        #expect(proofs.map(\.amount) == [4, 128])
        for proof in proofs { _ = try mint.keyset.verify(proof) }
        #expect(throws: CashuError.self) { try read.changeProofs(for: [blank[0]]) { _ in mint.keyset.keyset } }
        #expect(throws: CashuError.self) { try read.changeProofs(for: blank.reversed()) { _ in mint.keyset.keyset } }
        let amountless = MeltQuoteRequest(request: "lnbc1", unit: .sat, amountlessMillisatoshi: 5000)
        #expect(try MeltQuoteRequest(json: wire(amountless.json)) == amountless)
        var input = try mint.proof(2)
        input.dleq = nil
        let melt = MeltRequest(
            quote: quote.quote,
            inputs: [input],
            outputs: [try blank[0].output()],
            prefersAsync: true
        )
        #expect(try MeltRequest(json: wire(melt.json)) == melt)
        let plain = try MeltRequest(json: parse(#"{"quote":"q","inputs":[],"outputs":null}"#))
        #expect(plain.outputs.isEmpty && !plain.prefersAsync)
        #expect(throws: (any Error).self) {
            try MeltRequest(json: parse(#"{"quote":"q","inputs":[],"prefer_async":"yes"}"#))
        }
    }

    @Test("states come back for exactly the points asked, in order")
    func states() throws {
        var mint = try TestMint()
        let points = try (0..<3).map { _ in try mint.proof(1).hashedSecret().compressed }
        let request = CheckStateRequest(hashedSecrets: points)
        #expect(try CheckStateRequest(json: wire(request.json)) == request)
        let response = CheckStateResponse(states: [
            ProofState(hashedSecret: points[0], state: .unspent), ProofState(hashedSecret: points[1], state: .pending),
            ProofState(hashedSecret: points[2], state: .spent, witness: #"{"signatures":[]}"#),
        ])
        let read = try CheckStateResponse(json: wire(response.json))
        #expect(try read.states(for: request) == response.states)
        #expect(throws: CashuError.self) {
            try CheckStateResponse(states: read.states.reversed()).states(for: request)
        }
        #expect(throws: CashuError.self) { try CheckStateRequest(json: parse(#"{"Ys":["04aa"]}"#)) }
        #expect(throws: CashuError.self) { try CheckStateRequest(json: parse(#"{"Ys":[5]}"#)) }
    }

    @Test("restored signatures become proofs again, and a mint can't slip others in")
    func restore() throws {
        var mint = try TestMint()
        let secrets = (0..<4).map { _ in mint.output(1) }
        let signed = [2, 0].map { secrets[$0] }
        let response = RestoreResponse(
            outputs: try signed.map { try $0.output() },
            signatures: try signed.map { try mint.keyset.sign($0.output(), amount: 32) }
        )
        let read = try RestoreResponse(json: wire(response.json))
        let proofs = try read.proofs(for: secrets) { _ in mint.keyset.keyset }
        #expect(proofs.map(\.index) == [0, 2])
        #expect(proofs.map(\.proof.amount) == [32, 32])
        for entry in proofs { _ = try mint.keyset.verify(entry.proof) }
        #expect(throws: CashuError.self) { try read.proofs(for: [secrets[0]]) { _ in mint.keyset.keyset } }
        let doubled = RestoreResponse(
            outputs: read.outputs + read.outputs,
            signatures: read.signatures + read.signatures
        )
        #expect(throws: CashuError.self) { try doubled.proofs(for: secrets) { _ in mint.keyset.keyset } }
        let uneven = RestoreResponse(outputs: read.outputs, signatures: [])
        #expect(throws: CashuError.self) { try RestoreResponse(json: wire(uneven.json)) }
    }

    @Test("info tells what a mint can do, and reads the example of NUT-06")
    func info() throws {
        var info = MintInfo()
        info.name = "Test"
        info.contact = [MintContact(method: "email", info: "a@b.example")]
        info.urls = ["https://mint.example"]
        info.time = 5
        info.maximumArrayLength = 1000
        info.setMinting([MethodSetting(unit: .sat, minimumAmount: 1, maximumAmount: 1 << 63, takesDescription: true)])
        info.setMelting([MethodSetting(unit: .sat, paysAmountless: false)], isDisabled: true)
        info.setSupported(7, 8, 9, 10, 11, 12)
        let read = try MintInfo(json: wire(info.json))
        #expect(read == info)
        #expect(read.mintMethods.first?.maximumAmount == 1 << 63)
        #expect(read.meltMethods.isEmpty)
        #expect(read.supports(11) && !read.supports(14))
        let example = """
            {"name":"Bob's Cashu mint","version":"Nutshell/0.15.0","nuts":{"4":{"methods":[{"method":"bolt11","unit":"sat",
            "min_amount":0,"max_amount":10000},{"method":"UPPER","unit":"sat"}],"disabled":false},"15":{"methods":[]}}}
            """
        let bob = try MintInfo(json: parse(example))
        #expect(bob.mintMethods.count == 1 && !bob.supports(15))
        #expect(throws: CashuError.self) { try MintInfo(json: "x") }
    }

    @Test("errors are written as NUT-00 says and read from any mint")
    func errors() throws {
        let error = MintError(.proofsAlreadySpent, "spent")
        #expect(String(decoding: error.json.serialized(), as: UTF8.self) == #"{"detail":"spent","code":11001}"#)
        #expect(try MintError(json: wire(error.json)) == error)
        #expect(MintError(json: "oops").code == .malformedRequest)
        #expect(try MintError(json: parse(#"{"detail":5,"code":"x"}"#)).code == .malformedRequest)
        #expect(MintError(decoding: error) == error)
    }

    @Test("quote ids are version 7 UUIDs of the time and 74 random bits")
    func quoteIDs() throws {
        let now = Timestamp(millisecondsSince1970: 0x017F_22E2_79B0)
        // The example of RFC 9562, appendix A.6, whose random bits are CC3 and 18C4DC0C0C07398F.
        let id = try QuoteID(now: now, random: Hex.decode("0cc318c4dc0c0c07398f"))
        #expect(id.string == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
        #expect(throws: CashuError.self) { try QuoteID(now: now, random: [1]) }
        for bad in ["", "a/b", "a b", "../x", "é", String(repeating: "a", count: 129)] {
            #expect(throws: CashuError.self) { try QuoteID(bad) }
        }
    }
}
