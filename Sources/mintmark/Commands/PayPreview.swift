import CanonicalJSON

/// What `mintmark pay --dry-run` prints.
enum PayPreview {
    /// - Throws: a `Failure` with status `refused` where the call costs something and cannot be paid.
    static func show(_ preview: JSONValue, json: Bool) throws {
        if json { Output.json(preview) } else { print(preview) }
        let isPayable = preview["picked"] != nil || preview["pass"] != nil
        guard preview["status"]?.int64Value == 402, !isPayable else { return }
        throw Failure("nothing that the seller offers can be paid now; nothing was paid", .refused, isSaid: json)
    }

    private static func print(_ preview: JSONValue) {
        if let pass = preview["pass"]?.stringValue {
            return Output.line("The call would be made with the pass \(pass), which was bought before.")
        }
        let offers = preview["offers"]?.arrayValue ?? []
        guard preview["status"]?.int64Value == 402 else {
            return Output.line("The service answered \(preview.shown("status")) without asking for a payment.")
        }
        let unit = preview.shown("unit")
        Output.table(
            ["", "WAY", "COST", "AMOUNT", "OF", "NETWORK OR MINT", "WHY NOT"],
            offers.map { offer in
                let place = offer["mints"] == nil ? offer.shown("network") : offer.shown("mints")
                return [
                    offer["picked"]?.boolValue == true ? "*" : "", offer.shown("way"),
                    offer["cost"]?.stringValue.map { "\($0) \(unit)" } ?? "-", offer.shown("amount"),
                    offer.shown("asset"), place, offer["obstacle"]?.stringValue ?? "",
                ]
            }
        )
        if offers.isEmpty { Output.line("The seller offers no way to pay that is known here.") }
        if preview["picked"] != nil { Output.line("* would be paid; nothing was.") }
    }
}
