public import Market
internal import NIOCore
public import Wallet

/// Asks as ``ProbeLine`` does, and now and then buys the call as a customer does, out of a daily budget: so what customers get is
/// seen, and not what a seller tells who pays nothing ([LIV-13]).
public struct Canary: Sendable {
    public typealias Pay = @Sendable (PaidRequest) async throws -> PaidResponse

    /// Whose spending it is in the wallet's books: no agent's, whose names have no slash.
    public static let account = "market/canary"
    private static let daySeconds: Int64 = 86_400
    /// How much of an answer is read, in bytes.
    private static let maximumBodyBytes = 1 << 20

    private let pay: Pay
    private let line: ProbeLine
    private let budget: UInt64
    private let probesPerDay: UInt64
    private let draw: @Sendable (_ below: UInt64) -> UInt64

    /// - Parameters:
    ///   - pay: as the node's buyer does; throws without having paid where no money may move.
    ///   - budget: satoshi a day; 0: nothing is bought.
    ///   - probesPerHour: how often it is asked.
    ///   - draw: a random number below one that is not 0.
    public init(
        line: ProbeLine,
        budget: UInt64,
        probesPerHour: Int,
        draw: @escaping @Sendable (_ below: UInt64) -> UInt64 = { UInt64.random(in: 0..<$0) },
        pay: @escaping Pay
    ) {
        self.pay = pay
        self.line = line
        self.budget = budget
        probesPerDay = UInt64(clamping: probesPerHour) * 24
        self.draw = draw
    }

    /// - Returns: what came of it, and after how many milliseconds; nil where nothing came.
    public func ask(_ target: ProbeTarget) async -> (answer: ProbeAnswer, milliseconds: Int64?) {
        guard let price = price(target), let bought = await buy(target, price) else { return await line.ask(target) }
        return bought
    }

    /// What the call may cost, where this probe is one to be paid: so many are that the budget lasts the day.
    private func price(_ target: ProbeTarget) -> UInt64? {
        guard target.method == "GET", let most = target.mostInSatoshi, most > 0, most <= budget else { return nil }
        let calls = budget / most
        guard probesPerDay > 0, calls >= probesPerDay || draw(probesPerDay) < calls else { return nil }
        return most
    }

    /// - Returns: nil where nothing was paid for a reason of this node's own, such as an empty wallet: then it is only asked. Whoever
    ///   took the money and brought nothing is not asked once more, whatever its paywall says.
    private func buy(
        _ target: ProbeTarget,
        _ price: UInt64
    ) async -> (answer: ProbeAnswer, milliseconds: Int64?)? {
        let start = NIODeadline.now()
        func elapsed() -> Int64 { (NIODeadline.now() - start).nanoseconds / 1_000_000 }
        do {
            let (response, isWhole) = try await line.connected(to: target) { client in
                var request = PaidRequest(
                    method: target.method,
                    url: target.url,
                    maximum: price,
                    agent: Self.account,
                    spendingLimit: SpendingLimit(budget, windowSeconds: Self.daySeconds)
                )
                request.client = client
                let response = try await pay(request)
                return (response, await Self.read(response.body))
            }
            switch response.outcome {
            case .served where isWhole, .servedBefore where isWhole: return (.bought(response.status), elapsed())
            case .served, .servedBefore, .refunded: return (.unserved, elapsed())
            // It asked for no money: as an answer to who pays nothing.
            case .free: return (.status(response.status, .init()), elapsed())
            }
        } catch let error as WalletError where Self.unserved.contains(error.code) {
            return (.unserved, elapsed())
        } catch let error as WalletError where error.code == .outcomeUnknown {
            // It may have the money, and gives no answer.
            return (.timeout, elapsed())
        } catch {
            return nil
        }
    }

    private static let unserved: Set<WalletError.Code> = [.paymentRefused, .paymentFailed, .refundKept]

    /// - Returns: whether nothing broke off, as far as it is read: the receipt of a longer one is fetched when open payments are
    ///   taken up.
    private static func read(_ body: PaidResponseBody) async -> Bool {
        var read = 0
        do {
            for try await part in body {
                read += part.readableBytes
                if read > maximumBodyBytes { break }
            }
            return true
        } catch {
            return false
        }
    }
}
