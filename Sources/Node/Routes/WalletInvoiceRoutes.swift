internal import CanonicalJSON
internal import Cashu
internal import Wallet

/// Lightning invoices paid out of ecash, `/api/wallet/pay-invoice`.
extension WalletRoutes {
    /// What stands in `mints` for every mint of which the wallet holds coins.
    private static let automatic = "automatic"

    /// `mint` is one mint; `mints` are several, of which one pays it, or each a part (NUT-15).
    func payInvoice(_ object: JSONObject) async throws -> JSONValue {
        let maximumFee = object["maximumFee"] == nil ? 100 : try Self.amount(object, "maximumFee")
        let payment = try await wallet.payInvoice(
            try object.string("invoice"),
            fromAnyOf: try await payingMints(object),
            unit: try Self.unit(object),
            maximumFee: maximumFee,
            account: try await account(object)
        )
        let parts = payment.parts.map { part -> JSONValue in
            var shown: JSONObject = [
                "mint": .string(part.mint.string), "amount": .string(String(part.amount)),
                "state": .string(part.state.rawValue),
            ]
            shown["fee"] = part.fee.map { .string(String($0)) }
            shown["reason"] = part.reason.map { .string($0) }
            return .object(shown)
        }
        var answer: JSONObject = [
            "amount": .string(String(payment.amount)), "fee": .string(String(payment.fee)),
            "unit": .string(payment.unit.name), "state": .string(payment.state.rawValue), "parts": .array(parts),
        ]
        answer["preimage"] = payment.preimage.map { .string($0) }
        return .object(answer)
    }

    /// - Returns: empty for all that hold something.
    private func payingMints(_ object: JSONObject) async throws -> [MintURL] {
        guard object["mints"] != nil else { return [try await mint(object)] }
        let names = try object.array("mints").map { value in
            guard let name = value.stringValue else {
                throw WalletError(.invalidArgument, "`mints` are names or addresses of mints")
            }
            return name
        }
        guard names != [Self.automatic] else { return [] }
        guard !names.isEmpty, names.count <= 100, Set(names).count == names.count, !names.contains(Self.automatic)
        else {
            throw WalletError(.invalidArgument, "`mints` are up to 100 different mints, or `automatic` alone")
        }
        var mints: [MintURL] = []
        for name in names {
            let url = try await known(name)
            guard !mints.contains(url) else {
                throw WalletError(.invalidArgument, "the mint \(url) is named twice")
            }
            mints.append(url)
        }
        return mints
    }
}
