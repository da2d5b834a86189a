import Cashu
import Encodings
import TestSupport
import Testing

@testable import Wallet

@Suite("Wallet: rules")
struct RuleTests {
    private func coins(_ amounts: [UInt64], feePPK: UInt64 = 0) -> [Coin] {
        amounts.enumerated().map {
            Coin(y: [UInt8($0.offset & 255), UInt8($0.offset >> 8)], amount: $0.element, feePPK: feePPK)
        }
    }

    @Test("exact finds a sum wherever powers of two make one", arguments: 1...20 as ClosedRange<UInt64>)
    func exact(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let amounts = (0..<9).map { _ in UInt64(1) << UInt64.random(in: 0..<6, using: &random) }
        var sums: Set<UInt64> = []
        for mask in 1..<(1 << amounts.count) {
            sums.insert(amounts.indices.filter { mask & 1 << $0 != 0 }.map { amounts[$0] }.reduce(0, +))
        }
        for target in 1...(amounts.reduce(0, +) + 2) {
            let chosen = CoinSelection.exact(coins(amounts), target: target)
            #expect((chosen != nil) == sums.contains(target), "\(amounts) → \(target)")
            if let chosen { #expect(chosen.map(\.amount).reduce(0, +) == target) }
        }
    }

    @Test("covering covers the target after fees, or says that nothing does", arguments: 1...20 as ClosedRange<UInt64>)
    func covering(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let feePPK = [0, 100, 1000, 3000][Int(seed % 4)] as UInt64
        let all = coins((0..<12).map { _ in UInt64(1) << UInt64.random(in: 0..<8, using: &random) }, feePPK: feePPK)
        let useful = all.filter { $0.feePPK / 1000 < $0.amount }
        let most = try CoinSelection.netWorth(useful)
        for target in stride(from: UInt64(1), through: most + 3, by: 3) {
            let chosen = try CoinSelection.covering(all, target: target, maximumInputs: 100)
            #expect((chosen != nil) == (target <= most))
            guard let chosen else { continue }
            #expect(try CoinSelection.netWorth(chosen) >= target)
            #expect(Set(chosen.map(\.y)).count == chosen.count)
        }
        #expect(try CoinSelection.covering(all, target: most, maximumInputs: 1) == nil || useful.count == 1)
    }

    @Test(
        "an answer is read the same way every time",
        arguments: [
            (200, nil, ["agent-receipt-id": "r1"], PaymentAnswer.served(receiptID: "r1")),
            (404, nil, ["agent-receipt-id": "r1"], .served(receiptID: "r1")),
            (200, nil, [:], .served(receiptID: nil)),
            (302, nil, [:], .served(receiptID: nil)),
            (200, nil, ["agent-receipt-id": "../../etc"], .served(receiptID: nil)),
            (502, "upstream-failed", ["x-cashu": "cashuBabc"], .refund(token: "cashuBabc")),
            (502, "upstream-failed", ["x-cashu": "cashuBabc", "agent-receipt-id": "r"], .refund(token: "cashuBabc")),
            (502, "upstream-failed", [:], .wait(retryAfterSeconds: nil, code: "upstream-failed")),
            (503, "payment-pending", ["retry-after": "7"], .wait(retryAfterSeconds: 7, code: "payment-pending")),
            (503, "payment-pending", ["retry-after": "-7"], .wait(retryAfterSeconds: 0, code: "payment-pending")),
            (409, "call-running", [:], .wait(retryAfterSeconds: nil, code: "call-running")),
            (409, "already-served", ["agent-receipt-id": "r"], .servedBefore(receiptID: "r")),
            (402, "payment-required", ["x-cashu": "creqAabc"], .refused(code: "payment-required")),
            (402, nil, ["x-cashu": "creqAabc"], .refused(code: "status-402")),
            (400, "amount-too-low", [:], .refused(code: "amount-too-low")),
            (401, "passport-expired", [:], .refused(code: "passport-expired")),
            (400, "already-spent", [:], .coinsDoubted(code: "already-spent")),
            (400, "payment-reused", [:], .coinsDoubted(code: "payment-reused")),
            (429, "too-many-requests", ["retry-after": "x"], .wait(retryAfterSeconds: nil, code: "too-many-requests")),
            (500, nil, [:], .wait(retryAfterSeconds: nil, code: "status-500")),
            (599, "something-new", [:], .wait(retryAfterSeconds: nil, code: "something-new")),
        ] as [(Int, String?, [String: String], PaymentAnswer)]
    )
    func answers(status: Int, problem: String?, headers: [String: String], meaning: PaymentAnswer) {
        #expect(PaymentAnswer(status: status, header: { headers[$0.lowercased()] }, problem: problem) == meaning)
    }

    @Test("a problem document is ours only by its type")
    func problems() {
        let ours = #"{"type":"urn:mintmark:problem:wrong-lock","code":"wrong-lock"}"#
        #expect(PaymentAnswer.problemCode(body: Array(ours.utf8)) == "wrong-lock")
        for other in ["", "[]", #"{"type":"about:blank"}"#, #"{"code":"wrong-lock"}"#, #"{"type":7}"#] {
            #expect(PaymentAnswer.problemCode(body: Array(other.utf8)) == nil)
        }
    }

    @Test(
        "challenges that this wallet cannot meet are refused by name",
        arguments: [
            "", "creqA", "creqAxxxx", "creqB1", "cashuBabc", String(repeating: "a", count: 100_000),
        ]
    )
    func hostileChallenges(text: String) {
        #expect(throws: WalletError.self) { try PaymentTerms(challenge: text) }
    }

    @Test("locks with conditions, odd keys, no mint or no amount are refused")
    func hostileLocks() throws {
        let mint = try MintURL("https://mint.example")
        let key = "02698c4e2b5f9534cd0687d87513c759790cf829aa5739184a3e3735471fbda904"
        func terms(_ lock: RequestedLock?, amount: UInt64? = 2, mints: [MintURL]? = nil) throws -> PaymentTerms {
            let request = try PaymentRequest(amount: amount, unit: .sat, mints: mints ?? [mint], lock: lock)
            return try PaymentTerms(challenge: request.serialized())
        }
        #expect(try terms(RequestedLock(kind: "P2PK", data: key)).seller == Hex.decode(key))
        #expect(try terms(nil).seller == nil)
        #expect(try terms(RequestedLock(kind: "P2PK", data: key, tags: [["sigflag", "SIG_INPUTS"]])).amount == 2)
        for lock in [
            RequestedLock(kind: "HTLC", data: key), RequestedLock(kind: "P2PK", data: "02"),
            RequestedLock(kind: "P2PK", data: String(repeating: "0", count: 66)),
            RequestedLock(kind: "P2PK", data: key, tags: [["sigflag", "SIG_ALL"]]),
            RequestedLock(kind: "P2PK", data: key, tags: [["n_sigs", "2"]]),
        ] {
            #expect(throws: WalletError.self) { try terms(lock) }
        }
        #expect(throws: WalletError.self) { try terms(nil, amount: 0) }
        #expect(throws: WalletError.self) { try terms(nil, amount: nil) }
        #expect(throws: WalletError.self) { try terms(nil, mints: []) }
    }

    @Test("mints are reached over plain http on this machine and on named hosts only")
    func addresses() throws {
        for good in ["http://127.0.0.1:3338", "http://localhost/mint", "http://[::1]:1/", "https://mint.example/a"] {
            #expect(throws: Never.self) { try MintURL(checking: good) }
        }
        for bad in [
            "http://mint.example", "http://127.0.0.1.evil.example", "http://user@127.0.0.1", "https://", "mint.example",
            "https://mint.example/?a=b", "https://mint.example/#x", "http://128.0.0.1", "https://mint.example:99999",
            "https://mint.example/" + String(repeating: "a", count: 200), "http://localhost.evil.example/",
        ] {
            #expect(throws: WalletError.self, "\(bad)") { try MintURL(checking: bad) }
        }
        #expect(try MintURL(checking: "http://mint/", plainHTTPHosts: ["mint"]).string == "http://mint")
    }

    @Test("the same plan gives the same outputs, and different operations give different ones")
    func outputs() throws {
        let maker = try OutputMaker(seed: Array(repeating: 3, count: 64))
        let key = try Hex.decode("02698c4e2b5f9534cd0687d87513c759790cf829aa5739184a3e3735471fbda904")
        let lock = CoinLock(key: key, refundKey: key, locktime: 1_800_000_000)
        let plan = OutputPlan(
            keyset: try KeysetID(hex: "00456a94ab4e1c46"),
            firstCounter: 5,
            groups: [
                OutputGroup(use: .keep, amounts: [1, 8, 64]), OutputGroup(use: .pool, amounts: [2, 2, 2], lock: lock),
            ]
        )
        func operation(_ id: String) throws -> Operation {
            Operation(
                id: id,
                kind: .lock,
                mint: try MintURL("https://mint.example"),
                unit: .sat,
                inputs: [],
                ownsInputs: true,
                plan: try OutputPlan(json: plan.json),
                inputSum: 79,
                fee: 0,
                plannedAt: Timestamp(secondsSince1970: 0)
            )
        }
        let first = try maker.outputs(of: operation("a"))
        let again = try maker.outputs(of: operation("a"))
        let other = try maker.outputs(of: operation("b"))
        #expect(first.map(\.secret.secret) == again.map(\.secret.secret))
        #expect(try first.map { try $0.secret.output() } == again.map { try $0.secret.output() })
        #expect(first.map(\.secret.amount) == [1, 2, 2, 2, 8, 64])
        #expect(Set(first.map(\.secret.secret)).count == 6)
        let locked = first.filter { $0.lock != nil }.map(\.secret.secret)
        #expect(Set(locked).isDisjoint(with: other.map(\.secret.secret)))
        for text in locked {
            guard case .conditional(let secret) = SecretKind(of: text) else {
                Issue.record("\(text) is no NUT-10 secret")
                continue
            }
            let condition = try P2PKCondition(secret: secret)
            #expect(
                condition.keys.count == 1 && condition.locktime == 1_800_000_000 && condition.refundKeys?.count == 1
            )
            #expect(secret.tags.count == 2)
        }
    }
}
