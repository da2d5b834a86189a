import CanonicalJSON
import Cashu
import Cryptography
import Encodings
import Mint
import TestSupport
import Testing

/// Hash locks in swap and melt over HTTP.
@Suite("Hash locks at the mint (NUT-14)") struct HashLockTests {
    private let preimage = [UInt8](repeating: 7, count: 32)
    private var hash: String { Hex.encode(Hashing.sha256(preimage)) }

    @Test("a swap needs preimage and signature; the state of the spent coin then tells the preimage (NUT-07)")
    func swap() async throws {
        let fixture = try await MintFixture()
        let key = try TestKey(5)
        let coin = try await fixture.locked(8, fixture.lock("HTLC", hash, tags: #"[["pubkeys","\#(key.hex)"]]"#))
        let opened = try coin.revealing(preimage: preimage)
        let signed = try coin.signed(by: key.scalar)
        let both = try opened.signed(by: key.scalar)
        let wrong = try coin.revealing(preimage: [UInt8](repeating: 8, count: 32)).signed(by: key.scalar)
        let preimage = preimage
        try await fixture.serve { client in
            for refused in [coin, opened, signed, wrong] {
                #expect(try await client.post("swap", fixture.swapBody([refused])).code == 10001)
            }
            let y = CheckStateRequest(hashedSecrets: [try coin.hashedSecret().compressed]).json.serialized()
            #expect(try await client.post("checkstate", y).json["states"]?[0]?["witness"] == .null)
            #expect(try await client.post("swap", fixture.swapBody([both])).status == 200)
            let state = try CheckStateResponse(json: await client.post("checkstate", y).json).states[0]
            #expect(state.state == .spent)
            #expect(try P2PKWitness(#require(state.witness)).preimage == preimage)
        }
        try await fixture.requireSound()
    }

    @Test("without keys the preimage alone swaps, long after the locktime too")
    func preimageAlone() async throws {
        let fixture = try await MintFixture()
        let key = try TestKey(6)
        let locktime = MintFixture.start.secondsSince1970 + 10
        let tags = #"[["locktime","\#(locktime)"],["refund","\#(key.hex)"]]"#
        let coin = try await fixture.locked(4, fixture.lock("HTLC", hash, tags: tags))
        fixture.time.advance(seconds: 1_000_000)
        let body = try fixture.swapBody([try coin.revealing(preimage: preimage)])
        try await fixture.serve { client in
            let answer = try await client.post("swap", body)
            #expect(answer.status == 200)
        }
    }

    @Test("the sender has it back after the locktime, by the mint's clock, and not before")
    func refund() async throws {
        let fixture = try await MintFixture()
        let (receiver, sender) = (try TestKey(5), try TestKey(6))
        let locktime = MintFixture.start.secondsSince1970 + 100
        let tags = #"[["pubkeys","\#(receiver.hex)"],["locktime","\#(locktime)"],["refund","\#(sender.hex)"]]"#
        let coin = try await fixture.locked(8, fixture.lock("HTLC", hash, tags: tags))
        let refunded = try coin.signed(by: sender.scalar)
        try await fixture.serve { client in
            for seconds in [0, 100] as [Int64] {
                fixture.time.advance(seconds: seconds)
                let early = try await client.post("swap", fixture.swapBody([refunded]))
                #expect(early.code == 10001)
            }
            fixture.time.advance(seconds: 1)
            #expect(try await client.post("swap", fixture.swapBody([refunded])).status == 200)
        }
    }

    @Test("a melt takes hash-locked coins, SIG_ALL over inputs, blank outputs and quote")
    func melt() async throws {
        let fixture = try await MintFixture()
        let key = try TestKey(5)
        let tags = #"[["pubkeys","\#(key.hex)"],["sigflag","SIG_ALL"]]"#
        let coins = [
            try await fixture.locked(64, fixture.lock("HTLC", hash, tags: tags)),
            try await fixture.locked(4, fixture.lock("HTLC", hash, tags: tags)),
        ]
        let (quote, _) = try await fixture.meltQuote(60)
        let (other, _) = try await fixture.meltQuote(60)
        let blanks = try fixture.secrets([1, 1, 1])
        let outputs = try blanks.map { try $0.output() }
        let opened = try SpendingSigner.reveal(preimage: preimage, in: coins)
        let signed = try SpendingSigner.sign(
            inputs: opened,
            outputs: outputs,
            quote: quote.quote.string,
            key: key.scalar
        )
        try await fixture.serve { client in
            #expect(try await client.post("melt/bolt11", fixture.meltBody(quote, coins, blanks: blanks)).code == 10001)
            #expect(try await client.post("melt/bolt11", fixture.meltBody(other, signed, blanks: blanks)).code == 10001)
            let fewer = try fixture.meltBody(quote, signed, blanks: Array(blanks.dropLast()))
            #expect(try await client.post("melt/bolt11", fewer).code == 10001)
            let paid = try await client.post("melt/bolt11", fixture.meltBody(quote, signed, blanks: blanks))
            #expect(paid.json["state"] == "PAID")
            #expect(paid.json["change"]?.arrayValue?.count == 1)
        }
        try await fixture.requireSound()
    }

    @Test("what is malformed stays locked for everyone, preimage, signature and time notwithstanding")
    func malformed() async throws {
        let fixture = try await MintFixture()
        let key = try TestKey(5)
        let secrets = [
            fixture.lock("HTLC", String(hash.dropLast(2))), fixture.lock("HTLC", "zz" + hash.dropFirst(2)),
            fixture.lock("HTLC", hash, tags: #"[["pubkeys"]]"#),
            fixture.lock("HTLC", hash, tags: #"[["n_sigs","1"]]"#),
            fixture.lock("HTLC", hash, tags: #"[["sigflag","SIG_X"]]"#),
            fixture.lock("HTLC", hash, tags: #"[["locktime","1"],["locktime","1"]]"#),
        ]
        let preimage = preimage
        for secret in secrets {
            let coin = try await fixture.locked(1, secret).revealing(preimage: preimage).signed(by: key.scalar)
            try await fixture.serve { client in
                let answer = try await client.post("swap", fixture.swapBody([coin]))
                #expect(answer.code == 10001, "\(secret)")
            }
            #expect(try await fixture.states([coin]) == [.unspent])
        }
    }
}
