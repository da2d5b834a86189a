internal import CanonicalJSON
internal import Cashu
internal import Wallet

extension PayRoutes {
    /// What a call would cost, as `mintmark pay --dry-run` shows it.
    static func shown(_ preview: PaymentPreview) -> JSONValue {
        var object: JSONObject = [
            "dryRun": true, "unit": .string(preview.unit.name), "offers": .array(preview.offers.map(shown)),
        ]
        object["status"] = preview.status.map { JSONValue($0) }
        object["pass"] = preview.pass.map { .string($0) }
        object["picked"] = preview.picked.map(shown)
        return .object(object)
    }

    private static func shown(_ offer: PaymentPreview.Offer) -> JSONValue {
        var object: JSONObject = [
            "way": .string(offer.way.rawValue), "payable": .bool(offer.obstacle == nil),
            "picked": .bool(offer.isPicked),
        ]
        object["cost"] = offer.cost.map { .string(String($0)) }
        object["amount"] = offer.amount.map { .string($0) }
        object["asset"] = offer.asset.map { .string($0) }
        object["network"] = offer.network.map { .string($0) }
        object["payTo"] = offer.payTo.map { .string($0) }
        if !offer.mints.isEmpty { object["mints"] = JSONValue(offer.mints) }
        if let obstacle = offer.obstacle {
            object["code"] = .string(obstacle.code.rawValue)
            object["obstacle"] = .string(obstacle.message)
        }
        return .object(object)
    }
}
