import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Mint
import Storage
import TestSupport
import Testing

/// Quotes that belong to a key (NUT-20) and batches (NUT-29), over HTTP.
@Suite("Locked quotes and batches (NUT-20, NUT-29)") struct LockedQuoteTests {
    @Test(
        "a leaked quote id is worth nothing: 20008 without the key's signature over these outputs; either form serves"
    )
    func leaked() async throws {
        let fixture = try await MintFixture()
        let (owner, thief) = (try TestKey(3), try TestKey(4))
        try await fixture.serve { client in
            for form in MintQuoteSignature.Form.allCases {
                let asked = "{\"amount\":8,\"unit\":\"sat\",\"pubkey\":\"\(owner.hex)\"}"
                let answered = try await client.post("mint/quote/bolt11", asked)
                #expect(answered.json["pubkey"]?.stringValue == owner.hex)
                let quote = try MintQuote(json: answered.json)
                try fixture.lightning.receive(quote.request)
                let looked = try await client.get("mint/quote/bolt11/\(quote.quote)")
                #expect(looked.json["pubkey"]?.stringValue == owner.hex)

                let secrets = try fixture.secrets([8])
                let stolen = try fixture.secrets([8])
                let signed = try fixture.mintBody(quote, secrets, signedBy: owner, form: form)
                let signature = try MintRequest(json: .parse(signed, limits: .amounts)).signature
                let moved = MintRequest(
                    quote: quote.quote,
                    outputs: try stolen.map { try $0.output() },
                    signature: signature
                ).json.serialized()
                let spoiled = String(decoding: signed, as: UTF8.self)
                    .replacing("\"signature\":\"", with: "\"signature\":\"zz")
                for body in [
                    try fixture.mintBody(quote, stolen),
                    try fixture.mintBody(quote, stolen, signedBy: thief, form: form),
                    moved, Array(spoiled.utf8),
                ] {
                    #expect(try await client.post("mint/bolt11", body).code == 20008)
                }
                let minted = try await client.post("mint/bolt11", signed)
                #expect(try fixture.unblind(minted, secrets).map(\.amount) == [8])
                let late = try fixture.mintBody(quote, stolen, signedBy: owner, form: form)
                #expect(try await client.post("mint/bolt11", late).code == 20002)
            }
        }
        try await fixture.requireSound()
    }

    @Test("a key that is none is refused when the quote is asked for: 20009, and no quote is made")
    func invalidKey() async throws {
        let fixture = try await MintFixture()
        let bad = ["\"\"", "\"02\"", "5", "{}", "\"\("02" + String(repeating: "f", count: 64))\"", "\"zz\""]
        try await fixture.serve { client in
            for key in bad {
                let body = "{\"amount\":8,\"unit\":\"sat\",\"pubkey\":\(key)}"
                let answer = try await client.post("mint/quote/bolt11", body)
                #expect(answer.code == 20009, "\(key)")
            }
            let none = try await client.post("mint/quote/bolt11", #"{"amount":8,"unit":"sat","pubkey":null}"#)
            #expect(none.status == 200)
        }
        #expect(try await fixture.mint.store.unpaidMintQuoteCount() == 1)
    }

    @Test("the key survives a restart, and an unpaid or unlocked quote keeps its own code")
    func restart() async throws {
        let fixture = try await MintFixture()
        let owner = try TestKey(3)
        let quote = try await fixture.paidQuote(8, lockedTo: owner)
        let unpaid = try await fixture.mint.requestMintQuote(
            MintQuoteRequest(amount: 4, unit: .sat, publicKey: owner.point)
        )
        try await fixture.reopen()
        try await fixture.serve { client in
            #expect(try await client.post("mint/bolt11", fixture.mintBody(quote, fixture.secrets([8]))).code == 20008)
            let early = try fixture.mintBody(unpaid, fixture.secrets([4]), signedBy: owner)
            #expect(try await client.post("mint/bolt11", early).code == 20001)
            let good = try fixture.mintBody(quote, fixture.secrets([8]), signedBy: owner)
            #expect(try await client.post("mint/bolt11", good).status == 200)
        }
    }

    @Test("a check tells all quotes in order, with the newer fields beside the state")
    func check() async throws {
        let fixture = try await MintFixture()
        let owner = try TestKey(3)
        let unpaid = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 4, unit: .sat))
        let paid = try await fixture.paidQuote(8, lockedTo: owner)
        let issued = try await fixture.paidQuote(2)
        _ = try await fixture.mint.mint(fixture.mintBody(issued, fixture.secrets([2])))
        let request = MintQuoteCheckRequest(quotes: [issued.quote, unpaid.quote, paid.quote])
        try await fixture.serve { client in
            let answer = try await client.post("mint/quote/bolt11/check", request.json.serialized())
            let quotes = try request.quotes(inAnswer: answer.json)
            #expect(quotes.map(\.state) == [.issued, .unpaid, .paid])
            #expect(quotes.map(\.amountPaid) == [2, 0, 8])
            #expect(quotes.map(\.amountIssued) == [2, 0, 0])
            #expect(quotes.map { $0.publicKey != nil } == [false, false, true])
            for quote in answer.json.arrayValue ?? [] {
                for member in ["state", "amount_paid", "amount_issued", "updated_at", "method", "unit", "expiry"] {
                    #expect(quote[member] != nil, "\(member)")
                }
            }
        }
    }

    @Test("a check is all or nothing: unknown 20007, twice 11016, too many 11017, none or no id 10000")
    func badChecks() async throws {
        let fixture = try await MintFixture(MintConfiguration(limits: .init(batchQuotes: 3)))
        let id = try await fixture.paidQuote(4).quote.string
        try await fixture.serve { client in
            for (quotes, code) in [
                ("\"\(id)\",\"bogus\"", 20007), ("\"\(id)\",\"\(id)\"", 11016), ("\"a\",\"b\",\"c\",\"d\"", 11017),
                ("", 10000), ("\"not an id\"", 10000), ("7", 10000),
            ] as [(String, Int64)] {
                let answer = try await client.post("mint/quote/bolt11/check", "{\"quotes\":[\(quotes)]}")
                #expect((answer.status, answer.code) == (400, code), "\(quotes)")
                let minted = try await client.post("mint/bolt11/batch", "{\"quotes\":[\(quotes)],\"outputs\":[]}")
                #expect((minted.status, minted.code) == (400, quotes.hasSuffix("bogus\"") ? 10000 : code), "\(quotes)")
            }
        }
    }

    @Test("a batch mints all quotes in one request; the ledger knows each")
    func batch() async throws {
        let fixture = try await MintFixture()
        let (one, two) = (try TestKey(3), try TestKey(4))
        let quotes = [
            try await fixture.paidQuote(100, lockedTo: one), try await fixture.paidQuote(50),
            try await fixture.paidQuote(3, lockedTo: two),
        ]
        let secrets = try fixture.secrets([128, 16, 8, 1])
        let body = try fixture.batchBody(quotes, secrets, amounts: [100, 50, 3], keys: [one, nil, two])
        try await fixture.serve { client in
            let minted = try await client.post("mint/bolt11/batch", body)
            #expect(try fixture.unblind(minted, secrets).map(\.amount) == [128, 16, 8, 1])
            for quote in quotes {
                #expect(try await client.get("mint/quote/bolt11/\(quote.quote)").json["state"] == "ISSUED")
            }
        }
        let issued = try await fixture.database.read { connection in
            try connection.rows(
                "SELECT reference, sum(amount) FROM ledger_transfers WHERE kind = 'mint-issued' GROUP BY reference"
            ).map { (try $0.text(0), try $0.uint64(1)) }
        }
        #expect(
            Dictionary(uniqueKeysWithValues: issued)
                == Dictionary(uniqueKeysWithValues: quotes.map { ($0.quote.string, $0.amount) })
        )
        try await fixture.requireSound()
    }

    @Test("one bad quote, sum, amount or signature refuses the whole batch and takes nothing")
    func badBatches() async throws {
        let fixture = try await MintFixture(
            MintConfiguration(units: [.init(unit: .sat), .init(unit: .msat)])
        )
        let key = try TestKey(3)
        let free = try await fixture.paidQuote(4)
        let owned = try await fixture.paidQuote(4, lockedTo: key)
        let unpaid = try await fixture.mint.requestMintQuote(MintQuoteRequest(amount: 4, unit: .sat))
        let foreign = try await fixture.paidQuote(4, unit: .msat)
        let issued = try await fixture.paidQuote(4)
        _ = try await fixture.mint.mint(fixture.mintBody(issued, fixture.secrets([4])))
        let eight = try fixture.secrets([8])
        let cases: [(String, Int64, [UInt8])] = [
            ("unpaid", 20001, try fixture.batchBody([free, unpaid], eight)),
            ("issued", 20002, try fixture.batchBody([free, issued], eight)),
            ("two units", 11009, try fixture.batchBody([free, foreign], eight)),
            ("outputs of another unit", 11010, try fixture.batchBody([foreign], fixture.secrets([4]))),
            ("too much", 11005, try fixture.batchBody([free], eight)),
            ("too little", 11005, try fixture.batchBody([free, owned], fixture.secrets([4]), keys: [nil, key])),
            (
                "amounts that are not the quotes'", 11005,
                try fixture.batchBody([free, owned], eight, amounts: [5, 3], keys: [nil, key])
            ),
            ("an amount too few", 10000, try fixture.batchBody([free, owned], eight, amounts: [8], keys: [nil, key])),
            ("no signature", 20008, try fixture.batchBody([free, owned], eight)),
            ("another's signature", 20008, try fixture.batchBody([free, owned], eight, keys: [nil, try TestKey(4)])),
            ("a signature too many", 20008, try fixture.batchBody([free, owned], eight, keys: [key, key])),
            ("signatures too few", 20008, try fixture.batchBody([free, owned], eight, keys: [key])),
            ("an output twice", 11008, try fixture.batchBody([free, owned], fixture.twice(4), keys: [nil, key])),
            ("no outputs", 10000, try fixture.batchBody([free], [])),
        ]
        try await fixture.serve { client in
            for (name, code, body) in cases {
                let answer = try await client.post("mint/bolt11/batch", body)
                #expect((answer.status, answer.code) == (400, code), "\(name): \(answer.detail ?? "")")
            }
            for quote in [free, owned] {
                #expect(try await client.get("mint/quote/bolt11/\(quote.quote)").json["state"] == "PAID")
            }
            let good = try fixture.batchBody([free, owned], eight, keys: [nil, key])
            #expect(try await client.post("mint/bolt11/batch", good).status == 200)
        }
        try await fixture.requireSound()
    }

    @Test("of overlapping batches and single requests at once each quote is issued once, whole batches only")
    func race() async throws {
        let fixture = try await MintFixture()
        for _ in 0..<6 {
            var quotes: [MintQuote] = []
            for _ in 0..<3 { quotes.append(try await fixture.paidQuote(2)) }
            let batches = try [[0, 1], [1, 2], [2, 0], [1, 0], [0, 1, 2]].map { places in
                let sum = UInt64(places.count) * 2
                return try fixture.batchBody(places.map { quotes[$0] }, fixture.secrets(sum == 4 ? [4] : [4, 2]))
            }
            let singles = try quotes.map { try fixture.mintBody($0, fixture.secrets([2])) }
            let requests = batches.map { ("mint/bolt11/batch", $0) } + singles.map { ("mint/bolt11", $0) }
            let issued = Collected<UInt64>()
            try await fixture.serve { client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (path, body) in requests {
                        group.addTask {
                            let answer = try await client.post(path, body)
                            guard answer.status == 200 else {
                                #expect(answer.code == 20002)
                                return
                            }
                            let signatures = try SignaturesResponse(json: answer.json).signatures
                            await issued.append(signatures.map(\.amount).reduce(0, +))
                        }
                    }
                    try await group.waitForAll()
                }
            }
            #expect(await issued.values.reduce(0, +) <= 6)
        }
        try await fixture.requireSound()
    }
}

extension MintFixture {
    /// The same output twice.
    func twice(_ amount: UInt64) throws -> [BlindingSecret] {
        let secret = try secret(amount)
        return [secret, secret]
    }
}
