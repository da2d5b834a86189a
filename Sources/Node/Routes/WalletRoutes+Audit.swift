internal import CanonicalJSON
internal import Cashu
internal import Encodings
internal import Wallet

extension WalletRoutes {
    /// Holds the statements of liabilities of one mint, or of all that the wallet has coins of, against its coins.
    func auditLiabilities(_ body: JSONObject) async throws -> JSONValue {
        var mints: [MintURL] = []
        if let mint = try body.optionalString("mint") {
            mints = [try MintURL(mint)]
        } else {
            for balance in try await wallet.balances() where !mints.contains(balance.mint) {
                mints.append(balance.mint)
            }
        }
        var reports: [JSONValue] = []
        for mint in mints {
            do {
                reports.append(Self.json(try await wallet.auditLiabilities(of: mint)))
            } catch let error as WalletError where mints.count > 1 || error.code == .mintDishonest {
                // One mint that shows nothing does not hide the others; only what is wrong is a finding.
                let isWrong = error.code == .mintDishonest
                reports.append([
                    "mint": .string(mint.string), "error": .string(error.message),
                    "findings": .array(isWrong ? [.string(error.message)] : []),
                ])
            }
        }
        return ["mints": .array(reports)]
    }

    private static func json(_ report: LiabilityReport) -> JSONValue {
        let amounts = report.amountsProven.sorted { $0.key < $1.key }.map { unit, amount -> JSONValue in
            ["unit": .string(unit), "amount": .string(String(amount))]
        }
        return [
            "mint": .string(report.mint.string), "epoch": .string(String(report.epoch)),
            "closedAt": .string(report.closedAt.rfc3339), "signer": .string(report.signer),
            "followsKnown": .bool(report.followsKnown), "coinsProven": .integer(Int64(report.coinsProven)),
            "amountsProven": .array(amounts), "coinsTooNew": .integer(Int64(report.coinsTooNew)),
            "coinsUnprovable": .integer(Int64(report.coinsUnprovable)),
            "findings": .array(report.findings.map { .string($0) }),
        ]
    }
}
