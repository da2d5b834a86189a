import CanonicalJSON
import Encodings
import HTTPTypes
public import Hummingbird
import Passports
import SignedDocuments

/// The VC-API (W3C CCG), as the W3C's test suites drive it: `POST /credentials/issue`, `/credentials/verify`,
/// `/presentations/verify`, `/credentials/status`. Issuing and changing a status are the operator's.
public struct CredentialRoutes: Sendable {
    /// The longest body, in bytes.
    static let maximumBodyBytes = 512 * 1_024

    let service: IdentityService
    private let mayFetch: Bool

    /// - Parameter mayFetch: whether others' DIDs and status lists are fetched for who asks. Not for strangers: they could
    ///   name any address.
    public init(_ service: IdentityService, mayFetch: Bool) {
        self.service = service
        self.mayFetch = mayFetch
    }

    /// Adds `/credentials/verify` and `/presentations/verify`, which anybody may ask.
    public func addPublicRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.post("/credentials/verify") { request, _ in
            await RouteAnswers.answering { try await verifyCredential(request) }
        }
        router.post("/presentations/verify") { request, _ in
            await RouteAnswers.answering { try await verifyPresentation(request) }
        }
    }

    /// Adds `issue` and `status` to the group `/credentials`; Node guards them with the operator's token.
    public func addOperatorRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.post("issue") { request, _ in await RouteAnswers.answering { try await issue(request) } }
        router.post("status") { request, _ in
            await RouteAnswers.answering { try await changeStatus(request) }
        }
    }

    // MARK: Issuing

    /// `{credential, options: {cryptosuite?}}`: the credential with a proof, 201. Over https it stands in
    /// `verifiableCredential`, over plain http alone; that is how the W3C's suites read it.
    private func issue(_ request: Request) async throws -> Response {
        let body = try await body(request)
        var credential = try body.object("credential")
        let options = try body.optionalObject("options") ?? JSONObject()
        let name =
            try options.optionalString("cryptosuite") ?? options.optionalString("mandate") ?? PassportForm.jcs.rawValue
        guard let form = PassportForm(rawValue: name), form != .sdJWT else {
            throw IdentityError(.invalidRequest, "`cryptosuite` must be one of \(Self.issued.joined(separator: ", "))")
        }
        let key = try service.office.key(form)
        guard credential["proof"] == nil else {
            throw IdentityError(.invalidRequest, "the credential already carries a proof")
        }
        credential["issuer"] = try Self.issuer(credential["issuer"], key)
        let now = service.office.clock.now()
        // Passports are given to registered agents alone, by the registry: nothing else may pass for one.
        guard !(credential["type"].map { $0.arrayValue ?? [$0] } ?? []).contains("AgentPassportCredential") else {
            throw IdentityError(
                .invalidRequest,
                "passports are issued to registered agents: see `mintmark agent register`"
            )
        }
        try Credential.checkShape(credential)
        let issued: JSONValue
        // Of what is signed around the credential, the log has the token.
        let logged: JSONValue
        if let suite = form.cryptosuite {
            do {
                issued = .object(
                    try DataIntegrity.sign(
                        credential,
                        by: key,
                        suite: suite,
                        created: Timestamp(secondsSince1970: now.secondsSince1970)
                    )
                )
            } catch {
                guard error.code != .keyUnavailable else { throw error }
                throw IdentityError(.invalidRequest, error.message)
            }
            logged = issued
        } else {
            let token = try SignedToken.sign(credential, type: form.rawValue, by: key)
            logged = .string(token)
            issued = Presentation.item(token: token, form)
        }
        try await service.office.log(logged, kind: "credential")
        guard service.office.configuration.publicURL.hasPrefix("https://") else {
            return RouteAnswers.json(issued.objectValue ?? JSONObject(), status: .created)
        }
        return RouteAnswers.json(["verifiableCredential": issued], status: .created)
    }

    private static let issued = PassportForm.allCases.filter { $0 != .sdJWT }.map(\.rawValue)

    /// The issuer is this node, whatever else the credential says of it.
    private static func issuer(_ value: JSONValue?, _ key: DocumentKey) throws -> JSONValue {
        guard let value else { return .string(key.controller) }
        if var object = value.objectValue {
            guard object["id"] == nil || object["id"]?.stringValue?.isEmpty == false else {
                throw IdentityError(.invalidRequest, "`issuer.id` must be a URL")
            }
            object["id"] = .string(key.controller)
            return .object(object)
        }
        guard let text = value.stringValue, Credential.isURL(text) else {
            throw IdentityError(.invalidRequest, "`issuer` must be a URL, or an object with an `id`")
        }
        return .string(key.controller)
    }

    /// `{credentialId, credentialStatus: [{type, status}]}` (VC-API, 3.3.1): revokes or suspends a passport of this node.
    private func changeStatus(_ request: Request) async throws -> Response {
        let body = try await body(request)
        let id = try body.string("credentialId")
        let entries = body["credentialStatus"].map { $0.arrayValue ?? [$0] } ?? []
        guard (1...2).contains(entries.count) else {
            throw IdentityError(.invalidRequest, "`credentialStatus` must hold one or two changes")
        }
        for entry in entries {
            let purpose = entry["statusPurpose"]?.stringValue ?? "revocation"
            let status = entry["status"] ?? .bool(true)
            guard let isSet = status.boolValue ?? status.stringValue.map({ $0 == "1" || $0 == "true" }) else {
                throw IdentityError(.invalidRequest, "`status` must be true or false")
            }
            switch (purpose, isSet) {
            case ("revocation", true): try await service.office.revoke(id, reason: .unspecified)
            case ("suspension", true): try await service.office.suspend(id)
            case ("suspension", false): try await service.office.restore(id)
            case ("revocation", false): throw IdentityError(.passportFinal, "a revocation is final")
            default: throw IdentityError(.invalidRequest, "`statusPurpose` must be `revocation` or `suspension`")
            }
        }
        return RouteAnswers.json([:])
    }

    // MARK: Verifying

    private func verifyCredential(_ request: Request) async throws -> Response {
        let body = try await body(request)
        guard let value = body["verifiableCredential"] else {
            throw IdentityError(.invalidRequest, "`verifiableCredential` is missing")
        }
        let options = try body.optionalObject("options") ?? JSONObject()
        let checker = CredentialChecker(service, mayFetch: mayFetch)
        do throws(PassportReason) {
            let credential = try Credential(value)
            let reasons = await checker.reasons(credential, checksStatus: options["checkStatus"]?.boolValue ?? true)
            return Self.verdict(reasons, checked: "verifiableCredential", [credential.document])
        } catch {
            return Self.verdict([error], checked: "verifiableCredential", [])
        }
    }

    private func verifyPresentation(_ request: Request) async throws -> Response {
        let body = try await body(request)
        guard let value = body["verifiablePresentation"] else {
            throw IdentityError(.invalidRequest, "`verifiablePresentation` is missing")
        }
        let options = try body.optionalObject("options") ?? JSONObject()
        let expected = Presentation.Expectation(
            challenge: try options.optionalString("challenge"),
            domain: try options.optionalString("domain")
        )
        do throws(PassportReason) {
            let presentation = try Presentation(value)
            let reasons = await CredentialChecker(service, mayFetch: mayFetch).reasons(
                presentation,
                expecting: expected
            )
            return Self.verdict(reasons, checked: "verifiablePresentation", [presentation.document])
        } catch {
            return Self.verdict([error], checked: "verifiablePresentation", [])
        }
    }

    /// 200 where it holds; 400 with every reason where not, as the suites want it, in the form of RFC 9457.
    private static func verdict(_ reasons: [PassportReason], checked: String, _ documents: [JSONObject]) -> Response {
        guard let first = reasons.first else {
            return RouteAnswers.json(["verified": true, "checks": ["proof", "validity", "status"]])
        }
        let problems: [JSONValue] = reasons.map {
            [
                "type": .string(problemType($0.code)), "code": .string($0.code.rawValue), "title": "Not verified",
                "detail": .string($0.message),
            ]
        }
        return RouteAnswers.problem(
            ProblemDetails(
                code: first.code.rawValue,
                title: "The \(checked) does not hold",
                status: 400,
                detail: first.message,
                type: problemType(first.code),
                extensions: ["verified": false, "problemDetails": .array(problems), "errors": .array(problems)]
            )
        )
    }

    /// The types of Bitstring Status List 1.0, 3.5, and of the data model, 7.2, where they have one.
    static func problemType(_ code: PassportReason.Code) -> String {
        switch code {
        case .statusUnavailable: "https://www.w3.org/ns/credentials/status-list#STATUS_RETRIEVAL_ERROR"
        case .statusInvalid, .statusStale, .statusRolledBack, .statusEquivocated:
            "https://www.w3.org/ns/credentials/status-list#STATUS_VERIFICATION_ERROR"
        case .malformed, .claimsContradict: "https://www.w3.org/TR/vc-data-model#MALFORMED_VALUE_ERROR"
        case .badSignature, .wrongIssuer: "https://www.w3.org/TR/vc-data-model#CRYPTOGRAPHIC_SECURITY_ERROR"
        case .expired, .notYetValid: "https://www.w3.org/TR/vc-data-model#RANGE_ERROR"
        default: "urn:mintmark:problem:\(code.rawValue)"
        }
    }

    private func body(_ request: Request) async throws -> JSONObject {
        try await RouteAnswers.body(request, maximumBytes: Self.maximumBodyBytes)
    }
}

/// Verifies credentials and presentations of anybody, with the DIDs and the lists they name.
struct CredentialChecker: Sendable {
    private let service: IdentityService
    private let mayFetch: Bool

    init(_ service: IdentityService, mayFetch: Bool) {
        self.service = service
        self.mayFetch = mayFetch
    }

    func reasons(_ credential: Credential, checksStatus: Bool) async -> [PassportReason] {
        let now = service.office.clock.now()
        let methods: VerificationMethods
        do {
            methods = try await self.methods([credential.document])
        } catch {
            return [Self.unresolved(error)]
        }
        let first = credential.reasons(now: now, methods: methods, states: nil)
        // Lists are asked for only once the signature holds: anybody can name a URL.
        guard checksStatus, !first.contains(where: { $0.code == .badSignature || $0.code == .wrongIssuer }) else {
            return first
        }
        return credential.reasons(now: now, methods: methods, states: await states([credential], now: now))
    }

    func reasons(_ presentation: Presentation, expecting expected: Presentation.Expectation) async -> [PassportReason] {
        let now = service.office.clock.now()
        let methods: VerificationMethods
        do {
            methods = try await self.methods(
                [presentation.document] + presentation.credentials.map(\.document),
                and: presentation.presenterOfToken
            )
        } catch {
            return [Self.unresolved(error)]
        }
        let first = presentation.reasons(expecting: expected, now: now, methods: methods, states: nil)
        guard !first.contains(where: { $0.code == .badSignature || $0.code == .wrongIssuer }) else { return first }
        return presentation.reasons(
            expecting: expected,
            now: now,
            methods: methods,
            states: await states(presentation.credentials, now: now)
        )
    }

    private static func unresolved(_ error: DocumentError) -> PassportReason {
        PassportReason(.badSignature, error.message)
    }

    /// The keys of the issuers and of whoever made the proofs.
    private func methods(
        _ documents: [JSONObject],
        and presenter: String? = nil
    ) async throws(DocumentError) -> VerificationMethods {
        var dids: [String] = presenter.map { [$0] } ?? []
        for document in documents {
            dids.append(document["issuer"]?.stringValue ?? document["issuer"]?["id"]?.stringValue ?? "")
            dids.append(document["proof"]?["verificationMethod"]?.stringValue ?? "")
        }
        // Without, what has to be resolved is told apart from what does not verify by its own message.
        guard mayFetch else { return VerificationMethods() }
        return try await service.didResolver.methods(for: dids)
    }

    /// The lists of this node's own credentials from memory; of others those that are fetched under the policy.
    private func states(_ credentials: [Credential], now: Timestamp) async -> [String: StatusListState] {
        var states: [String: StatusListState] = [:]
        for credential in credentials {
            let isOwn = service.office.issuers.contains { $0.string == credential.issuer }
            for entry in credential.status where states[entry.listURL] == nil {
                if isOwn {
                    states[entry.listURL] = service.office.localState(entry, now: now)
                } else if mayFetch {
                    states[entry.listURL] = await service.cache.state(of: entry.listURL, maximumAgeSeconds: nil)
                }
            }
        }
        return states
    }
}
