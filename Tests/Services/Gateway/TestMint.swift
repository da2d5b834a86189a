import Cashu
import Cryptography
import Encodings
import Foundation
import Gateway
import Paywall
import Synchronization

/// A mint in memory with a purse on it: signs whatever is asked, and remembers what was redeemed.
final class TestMint: Sendable {
    let keyset: MintKeyset
    let url: MintURL
    let unit = CurrencyUnit.sat
    /// Ys that were spent at the mint, by whomever.
    let spent = Mutex<Set<[UInt8]>>([])

    init(_ address: String = "http://127.0.0.1:3338", feePPK: UInt64 = 0, seed: UInt8 = 7) throws {
        keyset = try MintKeyset(
            seed: [UInt8](repeating: seed, count: 32),
            unit: .sat,
            counter: 0,
            inputFeePPK: feePPK
        )
        url = try MintURL(address)
    }

    func terms(at now: Timestamp) -> MintTerms {
        MintTerms(
            mint: url,
            fetchedAt: now,
            clockOffsetMilliseconds: 0,
            supportsSpendingConditions: true,
            supportsP2PK: true,
            supportsDLEQ: true,
            keysets: [keyset.keyset.id: keyset.keyset]
        )
    }

    func proof(_ amount: UInt64, secret: String = Hex.encode(SecureRandom.bytes(16))) throws -> Proof {
        let blinding = BlindingSecret(
            amount: amount,
            keysetID: keyset.keyset.id,
            secret: secret,
            blindingFactor: .random()
        )
        return try blinding.proof(from: keyset.sign(blinding.output()), keyset: keyset.keyset)
    }

    func locked(_ amount: UInt64, to key: [UInt8], tags: [[String]] = []) throws -> Proof {
        let secret = SpendingSecret(
            kind: SpendingSecret.p2pk,
            nonce: Hex.encode(SecureRandom.bytes(16)),
            data: Hex.encode(key),
            tags: tags
        )
        return try proof(amount, secret: secret.serialized())
    }

    func token(_ proofs: [Proof]) throws -> String {
        try Token(mint: url, unit: unit, proofs: proofs).serialized()
    }
}

/// What the purse does next, where a test wants it to fail.
enum PurseFault: Sendable {
    case none
    case unreachable
    case lostAnswer
    case refuses
    case refusesFirst
    /// Makes a token, and does not say so.
    case lostToken
}

/// A seller's purse in memory, with faults. Idempotent by proof, as the port demands.
final class TestPurse: SellerPurse {
    let mints: [TestMint]
    let acceptedMints: [MintURL]
    let clock: TestClock
    let fault = Mutex(PurseFault.none)
    let redeemedBatches = Mutex<[[[UInt8]]]>([])
    let refunds = Mutex<[String: String]>([:])
    private let mine = Mutex<Set<[UInt8]>>([])

    init(_ mints: [TestMint], clock: TestClock) {
        self.mints = mints
        acceptedMints = mints.map(\.url)
        self.clock = clock
    }

    func terms(of mint: MintURL, maximumAgeSeconds: Int64) async throws -> MintTerms {
        guard let found = mints.first(where: { $0.url == mint }) else { throw GatewayError(.purseFailed, "unknown") }
        return found.terms(at: clock.now)
    }

    private func take(_ batch: RedemptionBatch) -> (redeemed: [[UInt8]], failed: [[UInt8]]) {
        guard let mint = mints.first(where: { $0.url == batch.mint }) else { return ([], batch.ys) }
        var redeemed: [[UInt8]] = []
        var failed: [[UInt8]] = []
        for y in batch.ys {
            let isNew = mint.spent.withLock { $0.insert(y).inserted }
            if isNew { _ = mine.withLock { $0.insert(y) } }
            if mine.withLock({ $0.contains(y) }) { redeemed.append(y) } else { failed.append(y) }
        }
        return (redeemed, failed)
    }

    func redeem(_ batch: RedemptionBatch) async throws -> BatchReport {
        redeemedBatches.withLock { $0.append(batch.ys) }
        switch fault.withLock({ $0 }) {
        case .unreachable: throw GatewayError(.purseFailed, "the mint can't be reached")
        case .lostAnswer:
            _ = take(batch)
            throw GatewayError(.purseFailed, "the answer was lost")
        case .refuses: return BatchReport(redeemed: [], failed: batch.ys)
        case .refusesFirst:
            let first = Array(batch.ys.prefix(1))
            return BatchReport(redeemed: Array(batch.ys.dropFirst()), failed: first)
        case .none, .lostToken:
            let taken = take(batch)
            return BatchReport(redeemed: taken.redeemed, failed: taken.failed)
        }
    }

    func redeemPayment(_ batch: RedemptionBatch) async -> OnlineOutcome {
        switch fault.withLock({ $0 }) {
        case .unreachable: return .unknown(message: "the mint can't be reached")
        case .lostAnswer:
            _ = take(batch)
            return .unknown(message: "the answer was lost")
        case .refuses: return .refused(message: "spent")
        case .refusesFirst:
            return .partly(redeemed: Array(batch.ys.dropFirst()), message: "one was spent")
        case .none, .lostToken:
            let taken = take(batch)
            if taken.failed.isEmpty { return .redeemed }
            return taken.redeemed.isEmpty
                ? .refused(message: "it was spent before") : .partly(redeemed: taken.redeemed, message: "spent")
        }
    }

    func refundToken(id: String, amount: UInt64, unit: CurrencyUnit, mint: MintURL) async throws -> String {
        if case .unreachable = fault.withLock({ $0 }) { throw GatewayError(.purseFailed, "the mint can't be reached") }
        let isLost = fault.withLock { if case .lostToken = $0 { true } else { false } }
        if let known = refunds.withLock({ $0[id] }) {
            guard !isLost else { throw GatewayError(.purseFailed, "the answer was lost") }
            return known
        }
        guard let found = mints.first(where: { $0.url == mint }) else { throw GatewayError(.purseFailed, "unknown") }
        let made = try found.token(Amounts.split(amount).map { try found.proof($0) })
        // As a wallet does: who asks at the same time gets the token of whoever was first.
        let token = refunds.withLock { refunds in
            let token = refunds[id] ?? made
            refunds[id] = token
            return token
        }
        guard !isLost else { throw GatewayError(.purseFailed, "the answer was lost") }
        return token
    }
}

/// A clock that tests turn.
final class TestClock: Sendable {
    private let milliseconds = Mutex<Int64>(1_790_000_000_000)

    var now: Timestamp { Timestamp(millisecondsSince1970: milliseconds.withLock { $0 }) }
    var wall: WallClock { WallClock { [self] in now } }

    func advance(seconds: Int64) {
        milliseconds.withLock { $0 += seconds * 1000 }
    }
}

/// Lets the tests say who calls: `Agent-Passport: good <did>`, perhaps with ` by <issuer>` that the service trusts, or
/// anything else.
struct TestCallers: CallerCheck {
    func check(_ facts: CallFacts, requirement: PassportRequirement?) async -> CallerVerdict {
        guard let shown = facts.headers.first(where: { $0.name.lowercased() == "agent-passport" })?.value else {
            return .anonymous
        }
        guard shown.hasPrefix("good ") else {
            return .refused(CallerRefusal(status: 403, code: "revoked", message: "revoked", reasons: ["revoked"]))
        }
        let words = shown.split(separator: " ").map(String.init)
        return .accepted(
            CallerIdentity(
                did: words.count > 1 ? words[1] : "",
                agentID: "urn:uuid:a",
                passportID: "urn:uuid:p",
                passportIssuer: words.count == 4 ? words[3] : nil
            )
        )
    }
}
