internal import CanonicalJSON
internal import Encodings

/// The rules of the Verifiable Credentials Data Model 2.0 (section 4) that hold for every credential, whatever it says.
enum CredentialShape {
    static let context = "https://www.w3.org/ns/credentials/v2"

    /// Throws the first rule broken.
    static func check(_ credential: JSONObject) throws(PassportReason) {
        try contexts(credential["@context"])
        try types(credential["type"], need: "VerifiableCredential")
        if let id = credential["id"] { try url(id, "id") }
        try issuer(credential["issuer"])
        try subjects(credential["credentialSubject"])
        try period(credential)
        for name in ["name", "description"] { try text(credential[name], name) }
        if let issuer = credential["issuer"]?.objectValue {
            for name in ["name", "description"] { try text(issuer[name], "issuer.\(name)") }
        }
        for (name, needsID) in [
            ("credentialStatus", false), ("termsOfUse", false), ("evidence", false), ("refreshService", false),
            ("credentialSchema", true), ("renderMethod", false), ("confidenceMethod", false),
        ] {
            try typed(credential[name], name, needsID: needsID)
        }
        try statuses(credential["credentialStatus"])
        try resources(credential["relatedResource"])
    }

    static func contexts(_ value: JSONValue?) throws(PassportReason) {
        guard let list = value?.arrayValue, (1...32).contains(list.count), list[0].stringValue == context else {
            throw refuse("`@context` must be a list that begins with \(context)")
        }
        for item in list {
            if item.objectValue != nil { continue }
            try url(item, "@context")
        }
    }

    static func types(_ value: JSONValue?, need: String) throws(PassportReason) {
        let list = value.map { $0.arrayValue ?? [$0] } ?? []
        guard (1...32).contains(list.count), list.allSatisfy({ $0.stringValue?.isEmpty == false }),
            list.contains(.string(need))
        else { throw refuse("`type` must list \(need)") }
    }

    /// An absolute URL in one string.
    static func url(_ value: JSONValue?, _ name: String) throws(PassportReason) {
        guard let text = value?.stringValue, isURL(text) else { throw refuse("`\(name)` must be a URL") }
    }

    static func isURL(_ text: String) -> Bool {
        guard text.utf8.count <= 2_048, let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")),
            let first = text.utf8.first, (0x41...0x5A).contains(first) || (0x61...0x7A).contains(first),
            text.utf8.index(after: colon) != text.utf8.endIndex
        else { return false }
        let scheme = text.utf8[..<colon].allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2B, 0x2D, 0x2E: true
            default: false
            }
        }
        return scheme && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && !Array("<>\"{}|\\^`".utf8).contains($0) }
    }

    static func issuer(_ value: JSONValue?) throws(PassportReason) {
        try url(value?.objectValue == nil ? value : value?["id"], "issuer")
    }

    private static func subjects(_ value: JSONValue?) throws(PassportReason) {
        let list = value.map { $0.arrayValue ?? [$0] } ?? []
        guard !list.isEmpty else { throw refuse("`credentialSubject` is missing") }
        for item in list {
            guard let subject = item.objectValue, !subject.isEmpty else {
                throw refuse("`credentialSubject` must say something of its subject")
            }
            if let id = subject["id"] { try url(id, "credentialSubject.id") }
            for name in ["name", "description"] { try text(subject[name], "credentialSubject.\(name)") }
        }
    }

    /// `validFrom` and `validUntil`, where they are there.
    @discardableResult
    static func period(_ credential: JSONObject) throws(PassportReason) -> (from: Timestamp?, until: Timestamp?) {
        func instant(_ name: String) throws(PassportReason) -> Timestamp? {
            guard let value = credential[name] else { return nil }
            guard let text = value.stringValue, let instant = try? Timestamp(rfc3339: text) else {
                throw refuse("`\(name)` must be a date and time with an offset, such as 2026-11-21T00:00:00Z")
            }
            return instant
        }
        let period = (from: try instant("validFrom"), until: try instant("validUntil"))
        if let from = period.from, let until = period.until, until < from {
            throw refuse("`validUntil` must not come before `validFrom`")
        }
        return period
    }

    /// A string, or strings with their language (4.5, 11.1).
    private static func text(_ value: JSONValue?, _ name: String) throws(PassportReason) {
        guard let value else { return }
        for item in value.arrayValue ?? [value] where item.stringValue == nil {
            guard let object = item.objectValue, object["@value"]?.stringValue != nil,
                object.allSatisfy({
                    ["@value", "@language", "@direction"].contains($0.key) && $0.value.stringValue != nil
                })
            else { throw refuse("`\(name)` must be text, or text with `@language` and `@direction`") }
        }
    }

    private static func typed(_ value: JSONValue?, _ name: String, needsID: Bool) throws(PassportReason) {
        guard let value else { return }
        for item in value.arrayValue ?? [value] {
            guard let object = item.objectValue, let type = object["type"] else {
                throw refuse("each `\(name)` must be an object with a `type`")
            }
            let types = type.arrayValue ?? [type]
            guard !types.isEmpty, types.allSatisfy({ $0.stringValue?.isEmpty == false }) else {
                throw refuse("the `type` of `\(name)` must be text")
            }
            if needsID || object["id"] != nil { try url(object["id"], "\(name).id") }
        }
    }

    /// Bitstring Status List 1.0, 2.1.
    private static func statuses(_ value: JSONValue?) throws(PassportReason) {
        for item in value.map({ $0.arrayValue ?? [$0] }) ?? [] where item["type"] == "BitstringStatusListEntry" {
            guard item["statusPurpose"]?.stringValue?.isEmpty == false,
                let index = item["statusListIndex"]?.stringValue, SpendLimit.amount(index) != nil
            else { throw refuse("a BitstringStatusListEntry has a `statusPurpose` and a `statusListIndex` in digits") }
            try url(item["statusListCredential"], "credentialStatus.statusListCredential")
        }
    }

    /// 5.3: each resource once, with a digest that is one.
    private static func resources(_ value: JSONValue?) throws(PassportReason) {
        var seen: Set<[UInt8]> = []
        for item in value.map({ $0.arrayValue ?? [$0] }) ?? [] {
            try url(item["id"], "relatedResource.id")
            guard seen.insert(Array((item["id"]?.stringValue ?? "").utf8)).inserted else {
                throw refuse("a `relatedResource` is there twice")
            }
            let (sri, multibase) = (item["digestSRI"], item["digestMultibase"])
            guard sri != nil || multibase != nil else { throw refuse("a `relatedResource` needs a digest") }
            if let sri {
                guard let text = sri.stringValue, let dash = text.firstIndex(of: "-"),
                    let length = ["sha256": 32, "sha384": 48, "sha512": 64][String(text[..<dash])],
                    let bytes = try? Base64.decode(String(text[text.index(after: dash)...])), bytes.count == length
                else { throw refuse("`digestSRI` must be sha256, sha384 or sha512 and base64 of as many bits") }
            }
            if let multibase {
                guard let text = multibase.stringValue, (try? Multibase.decode(text, maximumBytes: 128)) != nil else {
                    throw refuse("`digestMultibase` must be multibase")
                }
            }
        }
    }

    static func refuse(_ message: String) -> PassportReason { PassportReason(.malformed, message) }
}
