/// Why a job was not begun, or does not go on as asked.
public struct JobError: Error, Sendable, Hashable, CustomStringConvertible {
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        /// The request is not of the form that is asked for.
        public static let invalid = Code(rawValue: "invalid-job")
        /// The service, or this call of it, is not sold by escrow here.
        public static let notSold = Code(rawValue: "not-sold-by-escrow")
        /// The buyer's mints, unit, price or deadline leave nothing to offer.
        public static let noOffer = Code(rawValue: "no-offer")
        public static let unknownJob = Code(rawValue: "unknown-job")
        /// The service is at it: ask again shortly.
        public static let running = Code(rawValue: "job-running")
        /// The service gave no answer; nothing is to be paid.
        public static let failed = Code(rawValue: "job-failed")
        /// The lock is not the agreed one; the message names what is wrong.
        public static let wrongLock = Code(rawValue: "wrong-lock")
        /// The mint has not answered: the lock is kept, ask again.
        public static let claimPending = Code(rawValue: "claim-pending")
        /// As many jobs are open as are taken at a time.
        public static let tooMany = Code(rawValue: "too-many-jobs")
        /// A signature is not one by the key of the lock on what it should cover.
        public static let wrongSignature = Code(rawValue: "wrong-signature")
        /// The job is in no state for that.
        public static let notNow = Code(rawValue: "job-not-open-for-that")
        /// The arbiter knows no such dispute.
        public static let unknownDispute = Code(rawValue: "unknown-dispute")
        public static let unknownBond = Code(rawValue: "unknown-bond")
        /// What is shown proves no breach that the bond pays for.
        public static let unproven = Code(rawValue: "breach-unproven")
        /// This node decides no disputes.
        public static let noArbiter = Code(rawValue: "no-arbiter")
        /// It would cost more than the budget.
        public static let overBudget = Code(rawValue: "over-budget")
        /// Of several sellers one is passed over that did ill by this node.
        public static let untrusted = Code(rawValue: "untrusted-seller")
        /// The seller can't be reached, or answers as none should.
        public static let sellerFailed = Code(rawValue: "seller-failed")
        /// What is stored is not what this program writes.
        public static let corrupt = Code(rawValue: "corrupt-job")
    }

    public let code: Code
    public let message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}
