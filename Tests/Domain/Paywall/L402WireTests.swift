import Encodings
import Paywall
import TestSupport
import Testing

@Suite("L402: on the wire")
struct L402WireTests {
    @Test("LSAT-4: the challenge has the one form that deployed clients and the specification both read")
    func challenge() throws {
        let paymentHash = try Sale().grant.paymentHash
        let macaroon = try Sale().macaroon()
        let token = Base64.encode(try macaroon.serialized())
        let text = try L402.challenge(macaroon: macaroon, invoice: "lnbc20n1pxyz")
        #expect(text == "L402 macaroon=\"\(token)\", invoice=\"lnbc20n1pxyz\", version=\"0\", token=\"\(token)\"")
        let read = L402.challenges(wwwAuthenticate: [text])
        #expect(read.count == 1)
        #expect(read.first?.macaroon == macaroon)
        #expect(read.first?.invoice == "lnbc20n1pxyz")
        #expect(read.first?.commits(to: paymentHash) == true)
        #expect(read.first?.commits(to: [UInt8](repeating: 0, count: 32)) == false)
        #expect(
            read.first?.authorization(preimage: [UInt8](repeating: 0xab, count: 32))
                == "L402 \(token):\(String(repeating: "ab", count: 32))"
        )
        // A token of another kind is handed back as it came.
        let other = L402.challenges(wwwAuthenticate: ["L402 version=\"0\", token=\"AQEB-_8\", invoice=\"lnbc1\""])
        #expect(other.first?.macaroon == nil && other.first?.commits(to: []) == nil)
        #expect(other.first?.authorization(preimage: []) == "L402 AQEB-_8:")
        for invoice in ["", "lnbc1\"", "lnbc1 x", "lnbc1\r\nx"] {
            #expect(throws: MacaroonError.self) { try L402.challenge(macaroon: macaroon, invoice: invoice) }
        }
        #expect(throws: MacaroonError.self) {
            try L402.challenge(macaroon: macaroon, invoice: String(repeating: "a", count: 6144))
        }
    }

    @Test("LSAT-4: a buyer reads the challenges of the specification and of Aperture, each once")
    func foreignChallenges() throws {
        let token = Base64.encode(try Sale().macaroon().serialized())
        let old = "LSAT macaroon=\"\(token)\", invoice=\"lnbc1\""
        let new = "L402 macaroon=\"\(token)\", invoice=\"lnbc1\""
        #expect(L402.challenges(wwwAuthenticate: [old, new]).count == 1)
        #expect(L402.challenges(wwwAuthenticate: ["Basic realm=\"x\", \(old), \(new)"]).count == 1)
        #expect(
            L402.challenges(wwwAuthenticate: ["L402 version=\"0\", token=\"\(token)\", invoice=\"lnbc1\""]).count == 1
        )
        #expect(L402.challenges(wwwAuthenticate: ["l402 Token=\"\(token)\" , Invoice=lnbc1, more=\"1\""]).count == 1)
        #expect(L402.challenges(wwwAuthenticate: ["Negotiate abc==, \(new)"]).count == 1)
        for bad in [
            "L402 version=\"1\", token=\"\(token)\", invoice=\"lnbc1\"", "L402 token=\"\(token)\"",
            "L402 invoice=\"lnbc1\"",
            "L402 token=\"\", invoice=\"lnbc1\"", "L402 token=\"a:b\", invoice=\"lnbc1\"",
            "L402 token=\"!\", invoice=\"lnbc1\"", "L402 token=\"\(token)\", invoice=\"ln bc\"", "L402", "",
            "L402 token=\"\(token), invoice=\"lnbc1",
        ] {
            #expect(L402.challenges(wwwAuthenticate: [bad]).isEmpty, "\(bad)")
        }
    }

    @Test("LSAT-4: a credential is read in every form that clients send")
    func credentials() throws {
        let sale = try Sale()
        let macaroon = try sale.macaroon()
        let other = try sale.macaroon(nonce: 2)
        let token = Base64.encode(try macaroon.serialized())
        let second = Base64.encode(try other.serialized())
        let preimage = Hex.encode(sale.preimage)
        let one = try #require(L402Credential(macaroons: [macaroon], preimage: sale.preimage))
        let two = try #require(L402Credential(macaroons: [macaroon, other], preimage: sale.preimage))
        #expect(try one.header() == "L402 \(token):\(preimage)")
        #expect(try two.header() == "L402 \(token),\(second):\(preimage)")
        let bare = token.filter { $0 != "=" }.replacing("+", with: "-").replacing("/", with: "_")
        let forms: [([String], L402Credential)] = [
            (["L402 \(token):\(preimage)"], one), (["LSAT \(token):\(preimage)"], one),
            (["l402  \(token):\(preimage.uppercased()) "], one), (["L402 \(bare):\(preimage)"], one),
            (["LSAT \(token):\(preimage)", "L402 \(token):\(preimage)"], one),
            (["LSAT \(token):\(preimage), L402 \(token):\(preimage)"], one),
            (["Bearer abc", "L402 \(token):\(preimage)"], one), (["L402 \(token):\(preimage)", "Basic dTpw"], one),
            (["Digest username=\"a\", realm=\"b\", L402 \(token):\(preimage)"], one),
            (["L402 \(token):\(preimage), Digest username=\"a\", realm=\"b:c\""], one),
            (["L402 \(token),\(second):\(preimage)"], two), (["L402 \(token), \(second):\(preimage)"], two),
        ]
        for (values, expected) in forms {
            #expect(try L402Credential.read(authorization: values) == expected, "\(values)")
        }
        for values in [[], ["Bearer abc"], ["L4022 x:y"], ["Basic L402"], ["Payment abc"], [""]] {
            #expect(try L402Credential.read(authorization: values) == nil, "\(values)")
        }
    }

    @Test("LSAT-4, LSAT-8: what speaks L402 and can't be read is said so, and two credentials that differ are refused")
    func badCredentials() throws {
        let sale = try Sale()
        let token = Base64.encode(try sale.macaroon().serialized())
        let preimage = Hex.encode(sale.preimage)
        let nine = Array(repeating: token, count: 9).joined(separator: ",")
        for value in [
            "L402", "L402 ", "L402 :", "L402 \(token)", "L402 \(token):", "L402 :\(preimage)",
            "L402 \(token):\(preimage)00",
            "L402 \(token):zz\(preimage.dropFirst(2))", "L402 !!:\(preimage)", "L402 AAAA:\(preimage)",
            "L402 \(token):\(preimage):\(preimage)", "L402 \(nine):\(preimage)",
            "L402 \(token), LSAT \(token):\(preimage)",
            "L402 ,\(token):\(preimage)", "L402 \(token):\(preimage)\(String(repeating: " ", count: 16_384))",
        ] {
            #expect(
                refusalCode { _ = try L402Credential.read(authorization: [value]) } == .credentialMalformed,
                "\(value.prefix(40))"
            )
        }
        let other = Hex.encode([UInt8](repeating: 6, count: 32))
        #expect(
            refusalCode {
                _ = try L402Credential.read(authorization: ["L402 \(token):\(preimage)", "LSAT \(token):\(other)"])
            } == .severalPayments
        )
    }

    @Test("LSAT-4: of several macaroons one that is good suffices, and the reason given is that of one of ours")
    func several() throws {
        let sale = try Sale()
        let foreign = try Macaroon(rootKey: [1], identifier: [UInt8](repeating: 0, count: 66))
        let good = try sale.macaroon()
        let narrow = try good.adding("weather_path=/today/paris")
        for macaroons in [[foreign, good], [narrow, good], [good, narrow]] {
            guard case .accepted(let allowed) = try sale.judge(macaroons) else {
                Issue.record("refused")
                continue
            }
            #expect(allowed.identifier.paymentHash == sale.grant.paymentHash)
        }
        guard case .refused(let refusal) = try sale.judge([foreign, narrow, foreign]) else {
            Issue.record("accepted")
            return
        }
        #expect(refusal.code == .credentialInsufficient)
    }

    @Test("LSAT-4: damaged headers never crash and never become another credential")
    func fuzz() throws {
        let sale = try Sale()
        let value = Array("L402 \(Base64.encode(try sale.macaroon().serialized())):\(Hex.encode(sale.preimage))".utf8)
        let identifier = try sale.macaroon().identifier
        var random = SeededRandom(seed: 4)
        for _ in 0..<2000 {
            var copy = value
            for _ in 0...Int.random(in: 0...3, using: &random) {
                copy[Int.random(in: 5..<copy.count, using: &random)] = UInt8.random(in: 0x20...0x7e, using: &random)
            }
            let text = String(decoding: copy, as: UTF8.self)
            guard let read = try? L402Credential.read(authorization: [text]) else { continue }
            if case .accepted = try sale.judge(read.macaroons, preimage: read.preimage) {
                #expect(read.preimage == sale.preimage)
                #expect(read.macaroons.contains { $0.identifier == identifier })
            }
        }
    }
}
