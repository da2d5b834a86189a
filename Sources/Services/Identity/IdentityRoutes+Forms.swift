import CanonicalJSON
import Encodings
import HTTPTypes
import Hummingbird
import NIOCore
import Passports
import SignedDocuments

/// Passports in their other forms, presentations, and DID documents.
extension IdentityRoutes {
    // MARK: DID documents

    /// Adds `/.well-known/did.json` and `/agents/:id/did.json`.
    func addDocumentRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.get("/.well-known/did.json") { _, _ in
            await RouteAnswers.answering { try document(service.documents.nodeDocument()) }
        }
        router.get("/.well-known/did.jsonl") { _, _ in
            await RouteAnswers.answering {
                try didLog(try await service.operatorDID.log()?.bytes)
            }
        }
        router.get("/agents/:id/did.jsonl") { _, context in
            await RouteAnswers.answering {
                let id = context.parameters.get("id") ?? ""
                // Also of an agent that is revoked or left: its history is what proves the DID.
                do {
                    return try didLog(try await service.registry.publishedDIDLog("urn:uuid:\(id)"))
                } catch let error as IdentityError where error.code == .agentNotFound {
                    return try document(nil)
                }
            }
        }
        router.get("/agents/:id/did.json") { _, context in
            await RouteAnswers.answering {
                let id = context.parameters.get("id") ?? ""
                guard let agent = try? await service.registry.agent("urn:uuid:\(id)"), agent.state != .revoked else {
                    return try document(nil)
                }
                return try document(service.documents.document(of: agent))
            }
        }
    }

    private func didLog(_ bytes: [UInt8]?) throws -> Response {
        guard let bytes else { return try document(nil) }
        var response = RouteAnswers.response(bytes, type: "text/jsonl", status: .ok)
        response.headers[.cacheControl] = "public, max-age=60"
        return response
    }

    /// Adds `/dids…` to the operator's group.
    func addDIDRoutes<Context: RequestContext>(to group: some RouterMethods<Context>) {
        group.get("/dids") { request, _ in
            await RouteAnswers.answering { try await showDID(request.uri.queryParameters["did"].map(String.init)) }
        }
        group.post("/dids") { _, _ in
            await RouteAnswers.answering { shown(try await service.operatorDID.create(), status: .created) }
        }
        group.post("/dids/rotate") { _, _ in
            await RouteAnswers.answering { shown(try await service.operatorDID.rotate(), status: .ok) }
        }
        group.get("/agents/:id/did") { _, context in
            await RouteAnswers.answering { try await showDID(ofAgent: try context.parameters.require("id")) }
        }
        group.get("/agents/:id/did/draft") { _, context in
            await RouteAnswers.answering {
                RouteAnswers.json(try await service.registry.didDraft(try context.parameters.require("id")))
            }
        }
        group.post("/agents/:id/did") { request, context in
            await RouteAnswers.answering {
                let id = try context.parameters.require("id")
                let entry = try (try await RouteAnswers.body(request)).optionalString("entry")
                let log =
                    if let entry {
                        try await service.registry.publishDID(id, entry: Array(entry.utf8))
                    } else {
                        try await service.registry.createDID(id)
                    }
                return shown(log, status: .created)
            }
        }
    }

    private func shown(_ log: WebVHLog, status: HTTPResponse.Status) -> Response {
        RouteAnswers.json(
            [
                "did": .string(log.did.string), "versionId": .string(log.versionID),
                "versionTime": .string(log.versionTime.rfc3339), "url": .string(log.did.url),
                "deactivated": .bool(log.isDeactivated), "document": .object(log.document),
            ],
            status: status
        )
    }

    private func showDID(ofAgent id: String) async throws -> Response {
        guard let log = try await service.registry.didLog(id) else {
            throw IdentityError(.didNotFound, "the agent has no did:webvh: make one with `mintmark did create --agent`")
        }
        return shown(log, status: .ok)
    }

    /// A DID's document; without one, the DIDs of this node.
    private func showDID(_ did: String?) async throws -> Response {
        guard let did else {
            var object: JSONObject = ["issuers": JSONValue(service.office.issuers.map(\.string))]
            object["web"] = service.documents.node.map { .string($0.string) }
            object["webvh"] = try await service.operatorDID.log().map { .string($0.did.string) }
            return RouteAnswers.json(object)
        }
        do {
            let found = try await service.didResolver.resolve(did)
            var object: JSONObject = ["did": .string(found.did), "document": .object(found.document)]
            object["versionId"] = found.versionID.map { .string($0) }
            return RouteAnswers.json(object)
        } catch {
            throw IdentityError(.didNotResolved, error.message)
        }
    }

    private func document(_ document: JSONObject?) throws -> Response {
        guard let document else {
            throw ProblemDetails(
                code: "did-not-found",
                title: "No such DID document",
                status: 404,
                detail: "a did:web is served for the node and its agents where the node's public URL names a domain"
            )
        }
        var response = RouteAnswers.response(document.serialized(), type: "application/did+json", status: .ok)
        response.headers[.cacheControl] = "public, max-age=60"
        return response
    }

    // MARK: Forms

    static func form(_ text: String) throws(IdentityError) -> PassportForm {
        guard let form = PassportForm(rawValue: text.replacing(" ", with: "+")) else {
            throw IdentityError(
                .invalidRequest,
                "`form` must be one of \(PassportForm.allCases.map(\.rawValue).joined(separator: ", "))"
            )
        }
        return form
    }

    func passport(_ id: String, form: String) async throws -> Response {
        let form = try Self.form(form)
        let passport = try await service.office.passport(id, form: form)
        return RouteAnswers.json([
            "form": .string(form.rawValue), "mediaType": .string(form.mediaType),
            "passport": passport.token.map { .string($0) } ?? .object(passport.document),
        ])
    }

    /// The passport in a request: an object, or the text of a token.
    static func passportBytes(_ body: JSONObject) throws -> [UInt8] {
        if let text = body["passport"]?.stringValue { return Array(text.utf8) }
        return try body.object("passport").serialized()
    }

    /// Shows a passport to one verifier: some of its claims as an SD-JWT bound to the agent's key, or whole in a
    /// Verifiable Presentation.
    func present(_ request: Request, _ id: String) async throws -> Response {
        let body = try await RouteAnswers.body(request)
        let audience = try body.string("audience")
        let nonce = try body.string("nonce")
        guard (1...512).contains(audience.utf8.count), (1...512).contains(nonce.utf8.count) else {
            throw IdentityError(.invalidRequest, "`audience` and `nonce` have 1 to 512 bytes")
        }
        let named = try body.optionalString("form") ?? PassportForm.sdJWT.rawValue
        let isToken = named == Presentation.tokenType
        // A verifier that reads the presentation as a JWT reads the passport in it as one.
        let form = isToken ? .jwt : try Self.form(named)
        let claims = try body.optionalStrings("claims")
        let record = try await service.office.passport(id)
        let holder = try await service.registry.credentials(record.passport.agentID).signer
        guard holder.did == record.passport.subject else {
            throw IdentityError(.keyNotHeld, "the agent has moved to another key since this passport was issued")
        }
        let passport = try await service.office.passport(id, form: form)
        let now = service.office.clock.now()
        guard form == .sdJWT, let token = passport.token else {
            guard claims == nil else {
                throw IdentityError(.invalidRequest, "only `dc+sd-jwt` can show some claims and keep others back")
            }
            if isToken {
                let text = try Presentation.signToken(
                    [Presentation.item(passport)],
                    by: DocumentKey(holder),
                    audience: audience,
                    nonce: nonce,
                    now: now
                )
                return RouteAnswers.json(["form": .string(named), "presentation": .string(text)])
            }
            let presentation = try Presentation.sign(
                [Presentation.item(passport)],
                by: DocumentKey(holder),
                suite: .eddsaJCS2022,
                challenge: nonce,
                domain: audience,
                now: Timestamp(secondsSince1970: now.secondsSince1970)
            )
            return RouteAnswers.json(["form": .string(form.rawValue), "presentation": .object(presentation)])
        }
        let shown = try Self.selected(token, claims: claims)
        let bound = try SDJWT.bind(shown, audience: audience, nonce: nonce, by: DocumentKey(holder), now: now)
        return RouteAnswers.json(["form": .string(form.rawValue), "presentation": .string(bound)])
    }

    /// The token with the disclosures that were asked for. A capability is named by itself or as `capability` for all.
    private static func selected(_ token: String, claims: [String]?) throws -> String {
        let whole = try SDJWT(token, types: [PassportForm.sdJWT.rawValue])
        guard let claims else { return whole.presenting { _ in true } }
        func names(_ disclosure: SDJWT.Disclosure) -> [String] {
            disclosure.name.map { [$0] } ?? ["capability", "capability:\(disclosure.value.stringValue ?? "")"]
        }
        let known = Set(whole.disclosures.flatMap(names))
        for claim in claims where !known.contains(claim) {
            throw IdentityError(
                .invalidRequest,
                "`\(claim.prefix(64))` is no claim that can be shown or kept back; those are \(known.sorted().joined(separator: ", "))"
            )
        }
        return whole.presenting { names($0).contains { claims.contains($0) } }
    }
}
