import ArgumentParser
import CanonicalJSON
import Delegation
import Encodings
import Foundation
import Passports
import Receipts
import SignedDocuments
import Storage

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract:
            "Check a passport in any form, a credential, a presentation, a receipt, a status list, a chain of delegations or an agent card.",
        discussion: """
            It says every reason why a document does not hold, and exits with 2 then. What a file alone cannot tell \
            (has the passport been revoked since?) is said; give the issuer's status lists with --status to check it.
              mintmark verify passport.json
              mintmark verify passport.json --issuer did:key:z6Mk… --status list-1.json --status list-2.json
              mintmark verify receipt.json --seller did:key:z6Mk…
              mintmark verify chain.json --root did:key:z6Mk…      a delegation: is it this root's, link by link?
              mintmark verify call.json --root did:key:z6Mk…       a delegated call: who acted, what came of it?
              mintmark verify card.json --issuer did:key:z6Mk…     an A2A card: is it signed by that agent or node?
              mintmark verify card.json --keys jwks.json           a card of somebody else, by his key set
              mintmark passport show ID --json | mintmark verify -
              mintmark passport show ID --form vc+jwt | mintmark verify -
              mintmark verify shown.sd-jwt --audience https://shop.example --nonce 7FqX2
            """
    )

    @Argument(help: "The document: JSON, or a header's base64url. - reads standard input.") var file: String
    @Option(help: "Count only this issuer's passports (did:key). May be repeated.") var issuer: [String] = []
    @Option(help: "A key set (JWKS) that a card must be signed by a key of.") var keys: String?
    @Option(help: "A status list credential to look the passport up in. May be repeated.") var status: [String] = []
    @Option(help: "The seller that a receipt must be from (did:key).") var seller: String?
    @Option(help: "Count only chains of delegations from this root (did:key). May be repeated.") var root: [String] = []
    @Option(help: "Who this verifier is: a presentation must be made for it.") var audience: String?
    @Option(help: "What this verifier asked: a presentation must answer it.") var nonce: String?
    @Option(help: "Check as of this instant (RFC 3339) instead of now.") var at: String?
    @Flag(help: "Print one JSON value instead of text.") var json = false

    func run() throws {
        do {
            let now = try at.map { try Timestamp(rfc3339: $0) } ?? WallClock.system.now()
            let bytes = try Self.read(file)
            let finding =
                try Self.token(bytes).map { try check(token: $0, now: now) }
                ?? check(try Self.object(bytes), now: now)
            report(finding)
            if !finding.reasons.isEmpty { Foundation.exit(ExitStatus.refused.rawValue) }
        } catch {
            Failure.end(error, json: json)
        }
    }

    /// What was found: facts for people, and why the document does not hold.
    struct Finding {
        let kind: String
        let facts: [(String, String)]
        let reasons: [(code: String, message: String)]
        var unchecked: String?
    }

    private func check(_ document: JSONObject, now: Timestamp) throws -> Finding {
        let types = document["type"]?.arrayValue?.compactMap(\.stringValue) ?? [document["type"]?.stringValue ?? ""]
        if types.contains("AgentPassportCredential") {
            return try passport(now: now) { () throws(PassportReason) in try Passport(document: document) }
        }
        if types.contains("BitstringStatusListCredential") { return statusList(document, now: now) }
        if DelegationFile.isOne(document) { return try chain(document, now: now) }
        if InvocationReceipt.isOne(document) { return try invocation(document, now: now) }
        if AgentCard.isOne(document) { return try card(document) }
        if types.contains("PaidCallReceipt") { return try receipt(document, now: now) }
        if types.contains("VerifiablePresentation") || types.contains("EnvelopedVerifiablePresentation") {
            return presentation(.object(document), now: now)
        }
        if types.contains("VerifiableCredential") || types.contains("EnvelopedVerifiableCredential") {
            return credential(.object(document), now: now)
        }
        throw Failure(
            "this is not a credential, a presentation, a receipt, a status list, a chain of delegations or a card (its type is "
                + types.joined(separator: ", ") + ")"
        )
    }

    func passport(
        now: Timestamp,
        reading read: () throws(PassportReason) -> Passport
    ) throws -> Finding {
        let passport: Passport
        do {
            passport = try read()
        } catch {
            return Finding(kind: "passport", facts: [], reasons: [(error.code.rawValue, error.message)])
        }
        var lists: [String: VerifiedStatusList] = [:]
        for path in status {
            let (url, bytes) = try Self.listURL(try Self.read(path), path)
            lists[url] = try StatusListCredential.verify(bytes: bytes, url: url)
        }
        let verifier = PassportVerifier(
            trustedIssuers: issuer.isEmpty ? nil : Set(try issuer.map { try DIDKey(parsing: $0) }),
            statusPolicy: status.isEmpty ? .skipped : .required(maximumAgeSeconds: nil)
        )
        var verdict = verifier.verify(passport, now: now, statusLists: lists)
        if let reason = try binding(passport, now: now) { verdict.reasons.append(reason) }
        var finding = Finding(
            kind: "passport",
            facts: [
                ("passport", passport.id), ("form", passport.form?.rawValue ?? "?"),
                ("agent", "\(passport.name) (\(passport.agentID))"),
                ("key", passport.subject.string), ("issuer", passport.issuer.string),
                ("capabilities", passport.capabilities.joined(separator: ", ")),
                ("valid", "\(passport.validFrom.rfc3339) to \(passport.validUntil.rfc3339)"),
            ],
            reasons: verdict.reasons.map { ($0.code.rawValue, $0.message) }
        )
        if passport.token?.contains("~") == true, nonce == nil {
            finding.unchecked = "that its holder shows it here and now (give --audience and --nonce)"
        }
        if status.isEmpty {
            let since = "whether it has been revoked or suspended since (give --status)"
            finding.unchecked = [since, finding.unchecked].compactMap { $0 }.joined(separator: "; ")
        }
        return finding
    }

    private func statusList(_ document: JSONObject, now: Timestamp) -> Finding {
        guard let url = document["id"]?.stringValue else {
            return Finding(kind: "status list", facts: [], reasons: [("malformed", "it names no id")])
        }
        do {
            return Self.found(try StatusListCredential.verify(document, url: url), now: now)
        } catch {
            return Finding(kind: "status list", facts: [], reasons: [(error.code.rawValue, error.message)])
        }
    }

    private func receipt(_ document: JSONObject, now: Timestamp) throws -> Finding {
        let receipt: Receipt
        do {
            receipt = try Receipt(document: document)
        } catch {
            return Finding(kind: "receipt", facts: [], reasons: [(error.code.rawValue, error.message)])
        }
        let expected = Receipt.Expectation(seller: try seller.map { try DIDKey(parsing: $0) })
        let verdict = receipt.verdict(now: now, expecting: expected)
        let claims = receipt.claims
        return Finding(
            kind: "receipt",
            facts: [
                ("receipt", claims.id), ("seller", claims.seller.did.string),
                ("buyer", claims.buyer.map { $0.agentID ?? $0.did.string } ?? "did not say"),
                ("call", "\(claims.service): \(claims.method) \(claims.target)"),
                ("paid", "\(claims.amount) \(claims.unit)"), ("outcome", claims.outcome.rawValue),
                ("answered", claims.respondedAt.rfc3339),
                ("promised to", claims.promise.map { "\($0.log) by \($0.by.rfc3339)" } ?? "no log"),
            ],
            reasons: verdict.reasons.map { ($0.code.rawValue, $0.message) }
        )
    }

    private func chain(_ document: JSONObject, now: Timestamp) throws -> Finding {
        let file: DelegationFile
        do {
            file = try DelegationFile(document: document)
        } catch {
            return Finding(kind: "chain", facts: [], reasons: [(error.code.rawValue, error.message)])
        }
        let rules = ChainRules(
            now: now,
            trustedRoots: root.isEmpty ? nil : Set(try root.map { try DIDKey(parsing: $0) })
        )
        var problems = file.chain.problems(file.invocation, rules)
        if let invocation = file.invocation, let ticket = file.ticket, let node = file.chain.accounting?.did {
            do throws(DelegationError) {
                try ticket.verify(for: invocation, chain: file.chain.cids, node: node, now: now)
            } catch {
                problems.append(error)
            }
        }
        var facts = [("root", file.chain.root?.issuer.string ?? "-"), ("links", String(file.chain.links.count))]
        for (index, link) in file.chain.links.enumerated() {
            let limits = PaymentLimits(of: link.policy)
            var text = "\(link.audience) may \(link.command)"
            if let budget = link.terms.budget { text += ", \(budget.amount)\(budget.unit)" }
            if let perCall = limits.perCall { text += ", \(perCall)\(limits.unit ?? "") a call" }
            if let end = link.expires { text += ", until \(end.rfc3339)" }
            facts.append(("link \(index)", text))
            facts.append(("cid \(index)", "\(link.cid)"))
        }
        var finding = Finding(
            kind: "chain",
            facts: facts,
            reasons: problems.map { error in
                let link = error.link.map { "link \($0): " } ?? ""
                return (error.code.rawValue, link + error.message)
            }
        )
        finding.unchecked = "whether a link or a key has been taken back since, and what is spent"
        if root.isEmpty { finding.unchecked = "whose root it is (give --root), what was taken back, and what is spent" }
        return finding
    }

    private func report(_ finding: Finding) {
        if json {
            var object: JSONObject = [
                "ok": .bool(finding.reasons.isEmpty), "kind": .string(finding.kind),
                "reasons": .array(
                    finding.reasons.map { ["code": .string($0.code), "message": .string($0.message)] }
                ),
            ]
            for (label, value) in finding.facts { object[label] = .string(value) }
            if let unchecked = finding.unchecked { object["unchecked"] = .string(unchecked) }
            return Output.json(.object(object))
        }
        Output.facts(finding.facts)
        for reason in finding.reasons { Output.line("NOT VALID: \(reason.message) (\(reason.code))") }
        if finding.reasons.isEmpty { Output.line("The \(finding.kind) holds.") }
        if let unchecked = finding.unchecked { Output.line("Not checked: \(unchecked).") }
    }

    // MARK: Reading

    private static let maximumBytes = 1 << 20

    static func read(_ path: String) throws -> [UInt8] {
        let handle: FileHandle
        if path == "-" {
            handle = .standardInput
        } else {
            guard let file = FileHandle(forReadingAtPath: path) else { throw Failure("\(path) cannot be read", .usage) }
            handle = file
        }
        let data = try handle.read(upToCount: maximumBytes + 1) ?? Data()
        guard data.count <= maximumBytes else { throw Failure("\(path) is larger than 1 MiB", .usage) }
        return [UInt8](data)
    }

    /// A JSON object, as it is or as base64url.
    static func object(_ bytes: [UInt8]) throws -> JSONObject {
        let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        let plain = text.hasPrefix("{") ? Array(text.utf8) : (try? Base64URL.decode(text)) ?? []
        guard !plain.isEmpty else { throw Failure("this is neither a JSON object nor the base64url of one", .usage) }
        guard let object = try JSONValue.parse(plain).objectValue else {
            throw Failure("this is no JSON object", .usage)
        }
        return object
    }
}
