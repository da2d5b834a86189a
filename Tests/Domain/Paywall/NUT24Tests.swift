import Cashu
import Encodings
import Paywall
import TestSupport
import Testing

@Suite("NUT-24: the challenge and the payment")
struct NUT24Tests {
    private func code(_ body: () throws -> Void) -> CallRefusal.Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? CallRefusal)?.code
        }
    }

    @Test("CALL-2: the challenge names amount, unit, mints and lock, and no other way to pay")
    func challenge() throws {
        let mints = [try MintURL("https://a.example/"), try MintURL("https://b.example")]
        let text = try NUT24.challenge(
            id: "c-1",
            amount: 3,
            unit: .sat,
            mints: mints,
            service: "weather",
            sellerKey: sellerKey()
        )
        #expect(text.hasPrefix("creqA"))
        let read = try NUT24.parseChallenge(text)
        #expect(read.id == "c-1")
        #expect(read.amount == 3)
        #expect(read.unit == .sat)
        #expect(read.mints == mints)
        #expect(read.isSingleUse == true)
        #expect(read.description == "weather")
        #expect(read.transports.isEmpty)
        #expect(read.lock == RequestedLock(kind: "P2PK", data: Hex.encode(try sellerKey())))
    }

    @Test("CALL-2: without a mint there is no challenge, and it stays within what headers can carry")
    func bounds() throws {
        let key = try sellerKey()
        #expect(
            code { _ = try NUT24.challenge(id: "c", amount: 1, unit: .sat, mints: [], service: "s", sellerKey: key) }
                == .mintUnavailable
        )
        let long = try (0..<16).map { try MintURL("https://\($0).example/" + String(repeating: "x", count: 900)) }
        #expect(
            code { _ = try NUT24.challenge(id: "c", amount: 1, unit: .sat, mints: long, service: "s", sellerKey: key) }
                == .mintUnavailable
        )
    }

    @Test("CALL-2: a challenge with another transport, without amount, or damaged can't be paid in band")
    func strangeChallenges() throws {
        let mint = try MintURL("https://a.example")
        let nostr = try PaymentRequest(
            amount: 1,
            unit: .sat,
            mints: [mint],
            transports: [PaymentTransport(kind: "nostr", target: "nprofile1")]
        ).serialized()
        let open = try PaymentRequest(mints: [mint]).serialized()
        for text in [nostr, open, "", "creqA", "creqA!!!!", "lnbc1", String(repeating: "x", count: 40_000)] {
            #expect(code { _ = try NUT24.parseChallenge(text) } == .paymentMalformed)
        }
    }

    @Test("CALL-4: one token in one header, bounded")
    func payments() throws {
        let mint = try TestMint()
        let token = try mint.token([mint.locked(2, to: sellerKey())])
        #expect(try NUT24.payment(headerValues: []) == nil)
        #expect(try NUT24.payment(headerValues: [token.serialized()]) == token)
        let text = token.serialized()
        let bad = [
            [text, text], [""], ["cashuB"], ["cashuC" + text.dropFirst(6)], [String(text.dropLast(9))], ["hello"],
            [text + String(repeating: "A", count: NUT24.maximumTokenBytes)], ["creqA" + text.dropFirst(6)],
        ]
        for values in bad { #expect(code { _ = try NUT24.payment(headerValues: values) } == .paymentMalformed) }
    }

    @Test("CALL-4: damaged tokens are refused or read as the same payment, never crash")
    func fuzz() throws {
        let mint = try TestMint()
        let token = try mint.token([mint.locked(2, to: sellerKey())])
        let digest = try OfflineAcceptance.identity(of: token).digest
        let text = Array(token.serialized().utf8)
        var random = SeededRandom(seed: 24)
        for _ in 0..<2000 {
            var copy = text
            for _ in 0...Int.random(in: 0...3, using: &random) {
                copy[Int.random(in: 6..<copy.count, using: &random)] = UInt8.random(in: 0x21...0x7e, using: &random)
            }
            guard let read = try? NUT24.payment(headerValues: [String(decoding: copy, as: UTF8.self)]),
                let identity = try? OfflineAcceptance.identity(of: read)
            else { continue }
            let secret = read.groups.first?.proofs.first?.secret
            let original = token.groups.first?.proofs.first?.secret
            #expect((identity.digest == digest) == (secret.map { Array($0.utf8) } == original.map { Array($0.utf8) }))
        }
    }
}
