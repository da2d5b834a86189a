public import CanonicalJSON
internal import Encodings
public import Records
internal import SignedDocuments

/// The body as it stands in the record ([LST-2]).
extension Listing {
    /// Reads a body strictly. Members of it that are not known are left alone; objects within it have no others than those known.
    ///
    /// - Throws: `RecordRefusal` with `.malformed`, which names the field.
    public init(_ body: JSONObject) throws(RecordRefusal) {
        let fields = try ListingFields(body)
        let urls = try fields.urls("urls", atMost: Self.maximumURLs)
        guard !urls.isEmpty else { throw ListingFields.refuse("urls", "is missing") }
        var prices: [Price] = []
        for entry in try fields.objects("prices", atMost: Self.maximumPrices, known: Self.priceMembers) {
            prices.append(try Self.price(entry))
        }
        guard !prices.isEmpty else { throw ListingFields.refuse("prices", "is missing") }
        self.init(urls: urls, prices: prices)
        title = try fields.line("title", atMost: Self.maximumTitleBytes)
        description = try fields.line("description", atMost: Self.maximumDescriptionBytes)
        tags = try fields.words("tags", atMost: Self.maximumTags)
        dialects = try fields.words("dialects", atMost: 16)
        mints = try fields.urls("mints", atMost: Self.maximumMints)
        input = try fields.schema("input")
        output = try fields.schema("output")
        promise = try fields.object("sla", known: Self.promiseMembers).map(Self.promise)
        if let entry = try fields.object("callers", known: ["issuers", "capability"]) {
            let issuers = try entry.dids("issuers", atMost: 64)
            guard !issuers.isEmpty else { throw ListingFields.refuse("callers.issuers", "is missing") }
            callers = Callers(issuers: issuers, capability: try entry.line("capability", atMost: 128))
        }
        isIdempotent = try fields.flag("idempotent") ?? false
        escrow = try fields.texts(
            "escrow",
            atMost: Escrow.allCases.count,
            each: Escrow.allCases.map(\.rawValue).joined(separator: ", "),
            where: { Escrow(rawValue: $0) != nil }
        ).compactMap { Escrow(rawValue: $0) }
        if let entry = try fields.object("bond", known: Bond.members) { bond = try Self.bond(entry) }
        arbiters = try fields.dids("arbiters", atMost: 16)
    }

    private static let priceMembers: Set<String> = ["methods", "path", "amount", "from", "unit", "per"]
    private static let promiseMembers: Set<String> = [
        "percentile", "latencyMilliseconds", "uptimePPM", "errorsPPM", "deadlineMilliseconds", "refunds",
    ]

    private static func price(_ fields: ListingFields) throws(RecordRefusal) -> Price {
        let amount = try fields.required(try fields.amount("amount"), "amount")
        let from = try fields.amount("from")
        if let from, from > amount { throw ListingFields.refuse(fields.path + "from", "is not above `amount`") }
        let path = try fields.required(try fields.line("path", atMost: 256), "path")
        guard path.hasPrefix("/"), path.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ListingFields.refuse(fields.path + "path", "begins with / and is printable ASCII")
        }
        return Price(
            methods: try fields.texts("methods", atMost: 16, each: "HTTP methods in capitals") { text in
                (1...32).contains(text.utf8.count)
                    && text.utf8.allSatisfy { (0x41...0x5A).contains($0) || $0 == 0x2D }
            },
            path: path,
            amount: amount,
            from: from,
            unit: try unit(fields),
            per: try fields.required(try fields.word("per"), "per")
        )
    }

    private static func unit(_ fields: ListingFields) throws(RecordRefusal) -> String {
        let unit = try fields.required(try fields.line("unit", atMost: 16), "unit")
        guard unit.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ListingFields.refuse(fields.path + "unit", "is printable ASCII without spaces")
        }
        return unit
    }

    private static func promise(_ fields: ListingFields) throws(RecordRefusal) -> Promise {
        var promise = Promise()
        promise.percentile = try fields.number("percentile", in: 1...100).map { Int($0) }
        promise.latencyMilliseconds = try fields.number("latencyMilliseconds", in: 1...86_400_000)
        guard (promise.percentile == nil) == (promise.latencyMilliseconds == nil) else {
            throw ListingFields.refuse(fields.path + "percentile", "and `latencyMilliseconds` go together")
        }
        promise.uptimePPM = try fields.number("uptimePPM", in: 0...1_000_000)
        promise.errorsPPM = try fields.number("errorsPPM", in: 0...1_000_000)
        promise.deadlineMilliseconds = try fields.number("deadlineMilliseconds", in: 1...604_800_000)
        if let entry = try fields.object("refunds", known: SLARefunds.members) {
            promise.refunds = try refunds(entry)
            guard promise.refunds?.late == nil || promise.deadlineMilliseconds != nil else {
                throw ListingFields.refuse(fields.path + "refunds.late", "needs `deadlineMilliseconds`")
            }
        }
        guard !promise.isEmpty else { throw ListingFields.refuse("sla", "promises nothing") }
        return promise
    }

    private static func refunds(_ fields: ListingFields) throws(RecordRefusal) -> SLARefunds {
        func share(_ name: String) throws(RecordRefusal) -> SLARefunds.Share? {
            guard let value = fields.object[name] else { return nil }
            guard let share = SLARefunds.Share(json: value) else {
                throw ListingFields.refuse(fields.path + name, "is `measure`, or a whole number from 1 to 1000000")
            }
            return share
        }
        let refunds = SLARefunds(late: try share("late"), schema: try share("schema"))
        guard !refunds.isEmpty else { throw ListingFields.refuse("sla.refunds", "gives nothing back") }
        return refunds
    }

    private static func bond(_ fields: ListingFields) throws(RecordRefusal) -> Bond {
        guard let text = fields.object["mint"]?.stringValue, let mint = ListingURL(text) else {
            throw ListingFields.refuse("bond.mint", "is an https URL")
        }
        return Bond(
            amount: try fields.required(try fields.amount("amount", least: 1), "amount"),
            unit: try unit(fields),
            mint: mint,
            keeper: try keeper(fields)
        )
    }

    /// All of it, or nothing.
    private static func keeper(_ fields: ListingFields) throws(RecordRefusal) -> Bond.Keeper? {
        let texts = ["keeper", "at", "name"].map { fields.object[$0] }
        guard texts.contains(where: { $0 != nil }) else { return nil }
        guard let keeper = texts[0]?.stringValue, let did = try? DIDKey(parsing: keeper), did.string == keeper,
            let at = texts[1]?.stringValue.flatMap({ ListingURL($0) }), at.isOrigin, let name = texts[2]?.stringValue,
            name.utf8.count == 64, let bond = try? Hex.decode(name), Hex.encode(bond) == name
        else {
            throw ListingFields.refuse("bond.keeper", "is a did:key, with the origin `at` and the `name` of its bond")
        }
        return Bond.Keeper(did: did, at: at, bond: bond)
    }

    // MARK: Writing

    public var body: JSONObject {
        var body = JSONObject()
        body["title"] = title.map { .string($0) }
        body["description"] = description.map { .string($0) }
        body["tags"] = Self.list(tags)
        body["urls"] = Self.list(urls.map(\.text))
        body["prices"] = .array(prices.map { .object($0.json) })
        body["dialects"] = Self.list(dialects)
        body["mints"] = Self.list(mints.map(\.text))
        body["input"] = input.map { .object($0) }
        body["output"] = output.map { .object($0) }
        body["sla"] = promise.map { .object($0.json) }
        if let callers {
            var entry: JSONObject = ["issuers": JSONValue(callers.issuers.map(\.string))]
            entry["capability"] = callers.capability.map { .string($0) }
            body["callers"] = .object(entry)
        }
        if isIdempotent { body["idempotent"] = true }
        body["escrow"] = Self.list(escrow.map(\.rawValue))
        body["bond"] = bond.map { .object($0.json) }
        body["arbiters"] = Self.list(arbiters.map(\.string))
        return body
    }

    /// An empty list is left out.
    private static func list(_ texts: [String]) -> JSONValue? {
        // A bare nil would be JSON's null.
        if texts.isEmpty { return .none }
        return JSONValue(texts)
    }
}

extension Listing.Price {
    public var json: JSONObject {
        var json = JSONObject()
        if !methods.isEmpty { json["methods"] = JSONValue(methods) }
        json["path"] = .string(path)
        json["amount"] = .string(String(amount))
        json["from"] = from.map { .string(String($0)) }
        json["unit"] = .string(unit)
        json["per"] = .string(per)
        return json
    }
}

extension Listing.Bond {
    static let members: Set<String> = ["amount", "unit", "mint", "keeper", "at", "name"]

    public var json: JSONObject {
        var json: JSONObject = [
            "amount": .string(String(amount)), "unit": .string(unit), "mint": .string(mint.text),
        ]
        if let keeper {
            json["keeper"] = .string(keeper.did.string)
            json["at"] = .string(keeper.at.text)
            json["name"] = .string(Hex.encode(keeper.bond))
        }
        return json
    }
}

extension Listing.Promise {
    public var json: JSONObject {
        var json = JSONObject()
        json["percentile"] = percentile.map { JSONValue($0) }
        json["latencyMilliseconds"] = latencyMilliseconds.map { .integer($0) }
        json["uptimePPM"] = uptimePPM.map { .integer($0) }
        json["errorsPPM"] = errorsPPM.map { .integer($0) }
        json["deadlineMilliseconds"] = deadlineMilliseconds.map { .integer($0) }
        json["refunds"] = refunds.map { .object($0.json) }
        return json
    }

    /// Reads what an operator writes: `p95=500ms,uptime=99.5,errors=0.1,deadline=30s`; uptime and errors are per cent.
    /// - Returns: nil where the text is of another form.
    public init?(_ text: String) {
        self.init()
        guard text.utf8.count <= 512 else { return nil }
        for part in text.split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1).map { $0.trimmingSpaces }
            guard pair.count == 2 else { return nil }
            switch pair[0] {
            case "uptime":
                guard uptimePPM == nil, let share = Self.ppm(pair[1]) else { return nil }
                uptimePPM = share
            case "errors":
                guard errorsPPM == nil, let share = Self.ppm(pair[1]) else { return nil }
                errorsPPM = share
            case "deadline":
                guard deadlineMilliseconds == nil, let time = Self.milliseconds(pair[1]) else { return nil }
                deadlineMilliseconds = time
            default:
                guard pair[0].hasPrefix("p"), percentile == nil, let share = Int(pair[0].dropFirst()),
                    (1...100).contains(share), let time = Self.milliseconds(pair[1])
                else { return nil }
                (percentile, latencyMilliseconds) = (share, time)
            }
        }
        if isEmpty { return nil }
    }

    /// `99.5` is 995,000.
    static func ppm(_ text: String) -> Int64? {
        let bare = text.hasSuffix("%") ? String(text.dropLast()) : text
        let parts = bare.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard (1...3).contains(parts[0].count), bare.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2E }),
            let whole = Int64(parts[0])
        else { return nil }
        var value = whole * 10_000
        if parts.count == 2 {
            guard (1...4).contains(parts[1].count), let fraction = Int64(parts[1]) else { return nil }
            value += (parts[1].count..<4).reduce(fraction) { value, _ in value * 10 }
        }
        return value <= 1_000_000 ? value : nil
    }

    /// `500ms`, `30s`, `2m` or `1h`, up to a day.
    private static func milliseconds(_ text: String) -> Int64? {
        let units: [(String, Int64)] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]
        for (unit, factor) in units where text.hasSuffix(unit) {
            guard let count = Int64(text.dropLast(unit.count)), (1...86_400_000 / factor).contains(count) else {
                return nil
            }
            return count * factor
        }
        return nil
    }
}

extension Substring {
    var trimmingSpaces: String {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
