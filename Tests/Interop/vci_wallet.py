"""A wallet that fetches its passport by OpenID4VCI 1.0. All that our node says is read by the models of PyPI's `openid4vci`,
which also judges our wallet's proof as an issuer would; `joserfc` signs that; `sd-jwt`, `joserfc` and `pyld` verify what
the wallet was given."""

import json
import time
import urllib.parse

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import OKPKey
from jwcrypto.jwk import JWK
from openid4vci.crypto.proofs import PROOF_REGISTRY, validate_jwt_proof
from openid4vci.models.common import GRANT_TYPE_PRE_AUTHORIZED_CODE, ErrorResponse
from openid4vci.models.credential import CredentialErrorCode, CredentialRequest, CredentialResponse
from openid4vci.models.metadata import (
    AuthorizationServerMetadata, CredentialIssuerMetadata, WELL_KNOWN_AUTHORIZATION_SERVER, credential_issuer_metadata_url,
)
from openid4vci.models.nonce import NonceResponse
from openid4vci.models.oauth import TokenRequest, TokenResponse
from openid4vci.models.offer import CredentialOffer
from sd_jwt.holder import SDJWTHolder
from sd_jwt.verifier import SDJWTVerifier

import data_integrity as di
from forms import b64, edwards_jwk, p256_jwk, rdfc_holds
from world import MINTMARK, check, equal, free_port, http_call, mintmark, run

ISSUER = "https://issuer.example"
AUDIENCE, NONCE = "https://shop.example", "n-4711"
# The library takes the algorithms that it recommends, of which none is for Ed25519, unless it is told which.
PROOF_REGISTRY.allowed = ["Ed25519"]


class Wallet:
    """It knows the issuer by its public address; a proxy, here this class, leads from there to the node."""

    def __init__(self, port, seed):
        self.origin = f"http://127.0.0.1:{port}"
        private = Ed25519PrivateKey.from_private_bytes(seed)
        self.did = di.did_key(private)
        self.key = OKPKey.import_key(edwards_jwk(self.did) | {"d": b64(seed)})
        self.jwk = JWK(**edwards_jwk(self.did), d=b64(seed))

    def call(self, url, body=None, headers=None, status=200, method=None):
        check(url.startswith(ISSUER + "/"), f"{url} is not the issuer's")
        found, answered, text = http_call(
            self.origin + url[len(ISSUER):], method or ("GET" if body is None else "POST"), body, headers or {})
        equal(found, status, f"the status of {url} ({text[:300]})")
        equal(answered.get_content_type(), "application/json", "the media type")
        return json.loads(text), answered

    def read(self, link):
        """The offer behind a link, and the issuer's metadata."""
        parts = urllib.parse.urlsplit(link)
        equal(parts.scheme, "openid-credential-offer", "the scheme")
        [uri] = urllib.parse.parse_qs(parts.query, strict_parsing=True)["credential_offer_uri"]
        self.offer = CredentialOffer.model_validate(self.call(uri)[0])
        issuer = self.offer.credential_issuer
        self.metadata = CredentialIssuerMetadata.model_validate(self.call(credential_issuer_metadata_url(issuer))[0])
        equal(self.metadata.credential_issuer, issuer, "the issuer in its metadata")
        server = self.call(issuer + WELL_KNOWN_AUTHORIZATION_SERVER)[0]
        self.server = AuthorizationServerMetadata.model_validate(server)
        equal(self.server.issuer, issuer, "the authorisation server")
        check(self.server.pre_authorized_grant_anonymous_access_supported, "a wallet without a client_id is refused")
        self.token_endpoint = server["token_endpoint"]
        for name in self.offer.credential_configuration_ids:
            check(name in self.metadata.credential_configurations_supported, f"{name} is offered but not described")
        return self.offer.grants.pre_authorized_code

    def token(self, grant, number=None, status=200):
        request = TokenRequest(
            grant_type=GRANT_TYPE_PRE_AUTHORIZED_CODE, pre_authorized_code=grant.pre_authorized_code, tx_code=number)
        body = urllib.parse.urlencode(request.to_dict()).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer, answered = self.call(self.token_endpoint, body, headers, status)
        equal(answered["Cache-Control"], "no-store", "how a token may be cached")
        return (TokenResponse if status == 200 else ErrorResponse).model_validate(answer)

    def proof(self, key_header, **changed):
        answer, answered = self.call(self.metadata.nonce_endpoint, b"")
        check("no-store" in answered["Cache-Control"], "a nonce may be cached")
        nonce = NonceResponse.model_validate(answer).c_nonce
        # By kid under the name of RFC 8037, by jwk under that of RFC 9864.
        header = {"alg": "EdDSA" if "kid" in key_header else "Ed25519", "typ": "openid4vci-proof+jwt"} | key_header
        claims = {"aud": self.offer.credential_issuer, "iat": int(time.time()), "nonce": nonce} | changed
        made = jws.serialize_compact(header, json.dumps(claims).encode(), self.key, algorithms=["EdDSA", "Ed25519"])
        if "jwk" in key_header:
            validate_jwt_proof(made, credential_issuer=ISSUER, c_nonce=nonce)
        return made

    def credential(self, token, name, proof, status=200):
        request = CredentialRequest(credential_configuration_id=name, proofs={"jwt": [proof]})
        headers = {"Authorization": f"{token.token_type} {token.access_token}", "Content-Type": "application/json"}
        answer, _ = self.call(self.metadata.credential_endpoint, json.dumps(request.to_dict()).encode(), headers, status)
        if status != 200:
            return CredentialErrorCode(ErrorResponse.model_validate(answer).error).value
        [one] = CredentialResponse.model_validate(answer).credentials
        return one.credential


def verify(wallet, name, format, credential, world):
    if format == "dc+sd-jwt":
        holder = SDJWTHolder(credential)
        holder.create_presentation({"agentName": True}, NONCE, AUDIENCE, wallet.jwk, sign_alg="EdDSA")
        verifier = SDJWTVerifier(holder.sd_jwt_presentation, lambda did, header: JWK(**p256_jwk(did)))
        verifier._verify_key_binding_jwt(AUDIENCE, NONCE, "EdDSA")
        claims = verifier.get_verified_payload()
        configuration = wallet.metadata.credential_configurations_supported[name]
        equal((claims["sub"], claims["agentName"]), (wallet.did, "scout"), "whose passport it is")
        equal(claims["vct"], configuration.model_extra["vct"], "its type")
        text = holder.sd_jwt_presentation
        flags = ["--audience", AUDIENCE, "--nonce", NONCE]
    elif format == "jwt_vc_json":
        issuer = jws.extract_compact(credential.encode()).headers()["kid"].split("#")[0]
        found = jws.deserialize_compact(credential, OKPKey.import_key(edwards_jwk(issuer)), algorithms=["EdDSA"])
        equal(json.loads(found.payload)["credentialSubject"]["id"], wallet.did, "whose passport it is")
        text, flags = credential, []
    else:
        check(rdfc_holds(credential), "the proof does not hold")
        equal(credential["credentialSubject"]["id"], wallet.did, "whose passport it is")
        text, flags = json.dumps(credential), []
    path = world.path("fetched")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    equal(mintmark("verify", path, *flags)["reasons"], [], "what our own verifier finds")


def checks(world):
    node = world.node("issuer", serve=False)
    port = free_port()
    settings = [f"http.publicURL={ISSUER}", "mint.enabled=false", "lightning.backend=none"]
    flags = [flag for setting in settings for flag in ("--set", setting)]
    world.spawn_ready("issuer", [MINTMARK, "serve", "--port", str(port), *flags, "--data", node.folder, "--json"])
    file = world.path("scout.key")
    mintmark("agent", "key", file)
    node.run("agent", "register", "scout", "--key", file, "--capability", "pay,invoke", "--operator", "Zürich Λ Labs")
    with open(file) as lines:
        wallet = Wallet(port, bytes.fromhex(lines.read().strip()))

    def link(*flags):
        return node.run("passport", "offer", "scout", *flags)

    with world.step("openid4vci's models read our offer, metadata, token, nonce and credentials; the wallet verifies each format"):
        grant = wallet.read(link()["offer"])
        check(grant.tx_code is None, "a number is asked for that nobody was told")
        token = wallet.token(grant)
        kid = {"kid": f"{wallet.did}#{wallet.did[8:]}"}
        formats = []
        for number, name in enumerate(wallet.offer.credential_configuration_ids):
            proof = wallet.proof(kid if number else {"jwk": edwards_jwk(wallet.did)})
            found = wallet.credential(token, name, proof)
            formats.append(wallet.metadata.credential_configurations_supported[name].format)
            verify(wallet, name, formats[-1], found, world)
        equal(formats, ["dc+sd-jwt", "jwt_vc_json", "ldp_vc"], "the formats")
    with world.step("a stranger can't make an offer: that needs the operator's token"):
        status, _, _ = http_call(f"{wallet.origin}/api/passports/scout/offer", "POST", b"{}")
        equal(status, 401, "the status")
    with world.step("a used code, a used nonce, another's proof, and a wrong number are refused with the standard's errors"):
        equal(wallet.token(grant, status=400).error, "invalid_grant", "a used code")
        name = wallet.offer.credential_configuration_ids[0]
        equal(wallet.credential(token, name, proof, status=400), "invalid_nonce", "a used nonce")
        equal(wallet.credential(token, name, wallet.proof(kid, aud="https://evil.example"), status=400), "invalid_proof",
              "a proof for another issuer")
        thief = Wallet(port, bytes(range(32)))
        thief.offer, thief.metadata = wallet.offer, wallet.metadata
        equal(thief.credential(token, name, thief.proof({"jwk": edwards_jwk(thief.did)}), status=400), "invalid_proof",
              "a proof by another key")
        made = link("--code")
        grant = wallet.read(made["offer"])
        equal((grant.tx_code.input_mode, grant.tx_code.length), ("numeric", 6), "the number that is asked for")
        wrong = f"{(int(made['transactionCode']) + 1) % 1_000_000:06}"
        equal(wallet.token(grant, wrong, status=400).error, "invalid_grant", "a wrong number")
        equal(wallet.token(grant, status=400).error, "invalid_request", "no number")
        token = wallet.token(grant, made["transactionCode"])
    with world.step("once the passport is revoked it is not given out, nor offered"):
        node.run("passport", "revoke", "scout", "--yes")
        equal(wallet.credential(token, name, wallet.proof(kid), status=400), "credential_request_denied", "a revoked passport")
        node.run("passport", "offer", "scout", status=1)


if __name__ == "__main__":
    run(checks)
