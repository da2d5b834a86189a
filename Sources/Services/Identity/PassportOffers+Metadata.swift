internal import CanonicalJSON
internal import Passports
internal import SignedDocuments

extension PassportOffers {
    /// A form that can be fetched.
    struct Configuration: Sendable {
        var id: String
        var form: PassportForm
        /// The Credential Format Identifier (OpenID4VCI 1.0, appendix A).
        var format: String
    }

    /// `ldp_vc` is for suites over canonical RDF; for those over JCS the standard has no name yet (A.1).
    private static let all = [
        Configuration(id: "agent-passport-sd-jwt", form: .sdJWT, format: "dc+sd-jwt"),
        Configuration(id: "agent-passport-jwt", form: .jwt, format: "jwt_vc_json"),
        Configuration(id: "agent-passport-ldp", form: .rdfc, format: "ldp_vc"),
    ]

    /// Those that this node has a key for.
    var configurations: [Configuration] {
        Self.all.filter { $0.form.keyKind == .ed25519 || office.p256 != nil }
    }

    /// What a wallet reads first (12.2.4).
    var metadata: JSONObject {
        var supported = JSONObject()
        for configuration in configurations {
            let form = configuration.form
            let algorithm = form.keyKind == .ed25519 ? "EdDSA" : "ES256"
            var one: JSONObject = [
                "format": .string(configuration.format),
                "cryptographic_binding_methods_supported": ["jwk", "did:key", "did:jwk"],
                "credential_signing_alg_values_supported": [.string(form.cryptosuite?.rawValue ?? algorithm)],
                "proof_types_supported": ["jwt": ["proof_signing_alg_values_supported": ["EdDSA", "Ed25519"]]],
                "credential_metadata": ["display": [["name": "Agent passport", "locale": "en"]]],
            ]
            switch form {
            case .sdJWT: one["vct"] = .string(Passport.credentialType)
            case .jwt: one["credential_definition"] = ["type": JSONValue(Passport.credentialTypes)]
            default:
                one["credential_definition"] = [
                    "@context": JSONValue(Passport.credentialContexts), "type": JSONValue(Passport.credentialTypes),
                ]
            }
            supported[configuration.id] = .object(one)
        }
        return [
            "credential_issuer": .string(issuer), "credential_endpoint": .string("\(issuer)/openid4vci/credential"),
            "nonce_endpoint": .string("\(issuer)/openid4vci/nonce"),
            "display": [["name": "Mintmark", "locale": "en"]],
            "credential_configurations_supported": .object(supported),
        ]
    }

    /// The authorisation server is the issuer itself (12.3, RFC 8414).
    var serverMetadata: JSONObject {
        [
            "issuer": .string(issuer), "token_endpoint": .string("\(issuer)/openid4vci/token"),
            "token_endpoint_auth_methods_supported": ["none"], "grant_types_supported": [.string(Self.grant)],
            "response_types_supported": [], "pre-authorized_grant_anonymous_access_supported": true,
        ]
    }
}
