import AsyncHTTPClient
import Cashu
import Market
import NIOCore
import Synchronization
import Testing

@testable import Trading
@testable import Wallet

/// What a buyer was asked to pay for, and what it answers.
private final class Till: Sendable {
    let asked = Mutex<[PaidRequest]>([])
    let result: Result<(PaidResponse.Outcome, Int), WalletError>

    init(_ result: Result<(PaidResponse.Outcome, Int), WalletError>) { self.result = result }

    var pay: Canary.Pay {
        { request in
            self.asked.withLock { $0.append(request) }
            let (outcome, status) = try self.result.get()
            return PaidResponse(
                outcome: outcome,
                status: status,
                headers: [],
                body: PaidResponseBody(.buffered(.init(string: "21 degrees"))),
                payment: nil
            )
        }
    }
}

@Suite("A paid canary", .timeLimit(.minutes(1)))
struct CanaryTests {
    /// Asks a paywall once that wants 20 sat a call, with a draw that lets each probe be a canary.
    private func once(
        _ till: Till,
        budget: UInt64 = 1_000,
        draw: UInt64 = 0,
        reply: WordyServer.Reply? = nil
    ) async throws -> (why: ProbeTarget.Why, paid: [PaidRequest], heads: Int) {
        let asker = try await Asker()
        let paywall = Asker.head("402 Payment Required", [try Asker.challenge(20)])
        let server = try await WordyServer(reply ?? .bytes(paywall))
        let target = try asker.target(server.port)
        let canary = Canary(
            line: ProbeLine(buyer: asker.buyer, allowsLocal: true),
            budget: budget,
            probesPerHour: 60,
            draw: { _ in draw },
            pay: till.pay
        )
        let found = await canary.ask(target)
        let heads = server.heads.count
        await server.stop()
        try await asker.client.shutdown()
        return (target.why(found.answer), till.asked.withLock { $0 }, heads)
    }

    @Test(
        "[LIV-13] It pays the listed price and a mint's fee at most, on the canaries' account, within the day's budget"
    )
    func bought() async throws {
        let found = try await once(Till(.success((.served, 200))))
        #expect(found.why == .answered && found.heads == 0)
        let request = try #require(found.paid.first)
        #expect(found.paid.count == 1 && request.method == "GET" && request.maximum == 23)
        #expect(request.agent == "market/canary" && request.unit == .sat && request.signer == nil)
        #expect(request.spendingLimit?.amount == 1_000 && request.spendingLimit?.windowSeconds == 86_400)
    }

    @Test("[LIV-13] So many probes are canaries that the budget lasts the day; none without one, and none over it")
    func share() async throws {
        // 1,000 sat buy 43 calls at 23 sat; 1,440 probes are made a day.
        #expect(try await once(Till(.success((.served, 200))), draw: 42).paid.count == 1)
        for (budget, draw) in [(1_000, 43), (0, 0), (22, 0)] as [(UInt64, UInt64)] {
            let found = try await once(Till(.success((.served, 200))), budget: budget, draw: draw)
            #expect(found.paid.isEmpty && found.heads == 1 && found.why == .answered, "\(budget), \(draw)")
        }
        // Over so many that each may be one, nothing is drawn.
        #expect(try await once(Till(.success((.served, 200))), budget: 1_000_000, draw: .max).paid.count == 1)
    }

    @Test("[LIV-13] What customers get is what it shows; what this node lacks itself says nothing of the seller")
    func results() async throws {
        let cases: [(Till, ProbeTarget.Why, heads: Int)] = [
            (Till(.success((.served, 404))), .other, 0), (Till(.success((.served, 502))), .serverError, 0),
            (Till(.success((.refunded, 502))), .unserved, 0), (Till(.success((.free, 200))), .noPaywall, 0),
            (Till(.failure(WalletError(.paymentRefused, "no"))), .unserved, 0),
            (Till(.failure(WalletError(.insufficientFunds, "empty"))), .answered, 1),
            (Till(.failure(WalletError(.limitExceeded, "enough"))), .answered, 1),
            (Till(.failure(WalletError(.mintUntrusted, "who?"))), .answered, 1),
            // Who may have the money is not asked once more: its paywall would answer well.
            (Till(.failure(WalletError(.outcomeUnknown, "hm"))), .timeout, 0),
            (Till(.failure(WalletError(.refundKept, "kept"))), .unserved, 0),
        ]
        for (till, why, heads) in cases {
            let found = try await once(till)
            #expect(found.why == why && found.heads == heads, "\(till.result)")
        }
        #expect(ProbeTarget.Why.unserved.outcome == .failed)
        let gone = try await once(Till(.failure(WalletError(.serviceUnreachable, "gone"))), reply: .close)
        #expect(gone.why == .unreachable)
    }
}
