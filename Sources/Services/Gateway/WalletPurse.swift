public import Cashu
public import Cryptography
public import Paywall
public import Wallet

/// The seller's purse on the node's own wallet.
public struct WalletPurse: SellerPurse {
    public let acceptedMints: [MintURL]
    private let wallet: Wallet
    private let house: any HouseMint
    private let sellerSecret: Secp256k1.Scalar

    /// - Parameters:
    ///   - acceptedMints: best first; each is added to the wallet when it is first needed.
    ///   - house: the node's own mint.
    ///   - sellerSecret: the key that buyers lock ecash to.
    public init(
        wallet: Wallet,
        acceptedMints: [MintURL],
        house: any HouseMint = NoHouseMint(),
        sellerSecret: Secp256k1.Scalar
    ) {
        self.wallet = wallet
        self.house = house
        self.acceptedMints = acceptedMints
        self.sellerSecret = sellerSecret
    }

    public func terms(of mint: MintURL, maximumAgeSeconds: Int64) async throws -> MintTerms {
        guard acceptedMints.contains(mint) else {
            throw GatewayError(.purseFailed, "\(mint) is not an accepted mint")
        }
        do {
            return try await wallet.terms(of: mint, maximumAgeSeconds: maximumAgeSeconds)
        } catch let error as WalletError where error.code == .mintUnknown {
            return try await wallet.addMint(mint.string)
        }
    }

    public func redeem(_ batch: RedemptionBatch) async throws -> BatchReport {
        if batch.isHeldAtMint {
            // Where it answers now, whatever its address was when it took the proofs.
            guard let mint = house.url else {
                throw GatewayError(.purseFailed, "the node's own mint, which holds these proofs, is turned off")
            }
            let quote = try await house.redeem(batch)
            // A wallet that has not met its own node's mint yet.
            _ = try await terms(of: mint, maximumAgeSeconds: .max)
            _ = try await wallet.collect(granted: quote, at: mint)
            return BatchReport(redeemed: batch.ys, failed: [])
        }
        let report = try await wallet.redeem(
            lockedProofs: batch.proofs,
            at: batch.mint,
            unit: batch.unit,
            key: sellerSecret
        )
        return BatchReport(redeemed: report.redeemed, failed: report.failed.map(\.y))
    }

    public func redeemPayment(_ batch: RedemptionBatch) async -> OnlineOutcome {
        do {
            let report = try await wallet.redeem(
                lockedProofs: batch.proofs,
                at: batch.mint,
                unit: batch.unit,
                key: sellerSecret
            )
            guard report.pending.isEmpty else { return .unknown(message: "the mint has not answered") }
            let reason = report.failed.first?.reason ?? ""
            if report.failed.isEmpty { return .redeemed }
            return report.redeemed.isEmpty
                ? .refused(message: reason)
                : .partly(redeemed: report.redeemed, message: reason)
        } catch {
            return .unknown(message: "\(error)")
        }
    }

    public func refundToken(
        id: String,
        amount: UInt64,
        unit: CurrencyUnit,
        mint: MintURL
    ) async throws -> String {
        try await wallet.refundToken(amount, at: mint, unit: unit, reference: id)
    }
}
