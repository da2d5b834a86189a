public import Cashu
public import Market

/// What became of the job of a call.
public enum AwardedJob: Sendable, Equatable {
    /// It ended before money was locked: another may be taken.
    case deliveredNothing(why: String)
    /// Money is or was locked for it: no other is taken.
    case bound
}

/// Where a call's award is bought: the buyer's desk, for the desk of calls.
public protocol CallMarket: Sendable {
    /// Where the buyer has money in a unit, the most first.
    /// - Throws: `WalletError` where it has none.
    func mints(in unit: CurrencyUnit) async throws -> [MintURL]
    /// Asks a bidder's node for the firm quote that its bid promises.
    /// - Throws: ``JobError`` where it gives none, or another.
    func quote(for bid: Bid, on call: Signed<OpenCall>) async throws -> Signed<Quote>
    /// The job that was made of a quote; nil where none was.
    func job(of quote: Signed<Quote>) async throws -> String?
    /// Accepts a quote; the job is on disk then.
    func begin(_ order: JobOrder, _ quote: Signed<Quote>) async throws -> String
    /// Goes on with a job until its answer is here, it has ended, or the seller's time is over.
    func pursue(_ job: String) async throws -> AwardedJob
}
