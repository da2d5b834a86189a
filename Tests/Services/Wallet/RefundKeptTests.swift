import CanonicalJSON
import Cryptography
import Encodings
import Foundation
import Receipts
import SignedDocuments
import Testing

@testable import Wallet

/// What a seller of ours answers whose upstream failed, where the refund is no token.
enum RefundingAnswer {
    static func make(_ request: SeenRequest, form: String, isForged: Bool) -> RawReply {
        let body = Array(#"{"type":"urn:mintmark:problem:upstream-failed","code":"upstream-failed","status":502}"#.utf8)
        guard let identity = try? Ed25519.PrivateKey(seed: [UInt8](repeating: 9, count: 32)) else { return .drop }
        let now = Timestamp(secondsSince1970: 1_800_000_000)
        let claims = ReceiptClaims(
            id: "0198c0de-0000-4000-8000-000000000001",
            seller: ReceiptParty(did: DIDKey(identity.publicKey)),
            buyer: nil,
            service: "weather",
            method: request.method,
            target: request.uri,
            requestDigest: Hashing.sha256(request.body),
            responseDigest: nil,
            status: 502,
            amount: 0,
            unit: "msat",
            paymentDigest: [UInt8](repeating: 1, count: 32),
            dialect: "l402",
            requestedAt: now,
            respondedAt: now,
            outcome: .refunded,
            settlement: ReceiptSettlement(returned: 10_000, form: form)
        )
        guard let receipt = try? Receipt.issue(claims, key: identity, now: now),
            var text = try? String(validating: Base64URL.decode(receipt.encodedHeader), as: UTF8.self)
        else { return .drop }
        if isForged { text = text.replacingOccurrences(of: "10000", with: "20000") }
        return .answer(
            status: 502,
            headers: [
                ("Content-Type", "application/problem+json"), ("Agent-Receipt", Base64URL.encode(Array(text.utf8))),
            ],
            body: body
        )
    }
}

@Suite("A service that always fails, and a seller that keeps what was paid")
struct RefundKeptTests {
    private func message(_ body: () async throws -> Void) async -> WalletError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? WalletError
        }
    }

    @Test(
        "CALL-14: the last call of a credential that fails each time: not unknown, but kept for the call; asked again it is served",
        arguments: [("call-restored", "good for the same call"), ("credit-kept", "back in the credit")]
    )
    func kept(form: String, says: String) async throws {
        try await ForeignLine.run(.aperture) { line in
            let alice = try await line.world.funded(1000)
            let buyer = line.buyer(alice, attempts: 2)
            line.seller.script(.failed(form: form), .failed(form: form))
            let error = try #require(await message { _ = try await buyer.pay(line.request(key: "k")) })
            #expect(error.code == .refundKept)
            #expect(error.message.contains(says))
            #expect(error.message.contains("upstream-failed"))
            let open = try #require(try await buyer.openPayments().first)
            #expect(error.message.contains(open.id))
            #expect(open.receipt?.contains("refunded") == true)
            // The same credential, and no second invoice.
            let payments = line.world.lightning.paymentCount
            #expect(try await buyer.resume(open.id).state == .served)
            #expect(line.world.lightning.paymentCount == payments)
            #expect(Set(line.seller.shown).count == 1)
            #expect(line.seller.charges == 1)
            #expect(try await alice.available == 990)
        }
    }

    @Test("CALL-14: where the last word is no receipt that verifies, the outcome stays unknown")
    func unknown() async throws {
        for steps in [
            [.failed(form: "call-restored"), .drop], [.drop, .failedWithForgedReceipt(form: "call-restored")],
            [.drop, .failed(form: "fresh-token")], [.drop, .failed(form: "something-else")],
        ] as [[ForeignSeller.Step]] {
            try await ForeignLine.run(.aperture) { line in
                let alice = try await line.world.funded(1000)
                let buyer = line.buyer(alice, attempts: 2)
                line.seller.set { $0.steps = steps }
                #expect(await message { _ = try await buyer.pay(line.request(key: "k")) }?.code == .outcomeUnknown)
            }
        }
    }
}
