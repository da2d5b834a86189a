"""Passports in their other forms across implementations: `pyld` + `cryptography` (eddsa-rdfc-2022), `joserfc` (vc+jwt, vp+jwt) and
`sd-jwt` (dc+sd-jwt with key binding). Each side issues what the other verifies, and refuses what was changed."""

import base64
import hashlib
import json
import time
import uuid
from datetime import datetime, timedelta, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey
from jwcrypto.jwk import JWK
from pyld import jsonld
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier

import data_integrity as di
from world import check, equal, mintmark, run

V2, TERMS = "https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2"
CRED, STATUS, SEC = "https://www.w3.org/2018/credentials#", "https://www.w3.org/ns/credentials/status#", "https://w3id.org/security#"
XSD = "http://www.w3.org/2001/XMLSchema#"
AUDIENCE, NONCE = "https://shop.example", "n-4711"
VCT = "urn:mintmark:agent-passport:1"


def scope(terms):
    return {"@protected": True, "id": "@id", "type": "@type"} | terms


def link(iri):
    return {"@id": iri, "@type": "@id"}


# The terms of the base context that a passport and its proof use, as the data model defines them.
CONTEXTS = {
    TERMS: {"@context": {"@vocab": "https://www.w3.org/ns/credentials/undefined-term#"}},
    V2: {"@context": scope({
        "VerifiableCredential": {"@id": CRED + "VerifiableCredential", "@context": scope({
            "credentialStatus": link(CRED + "credentialStatus"), "credentialSubject": link(CRED + "credentialSubject"),
            "issuer": link(CRED + "issuer"), "validFrom": {"@id": CRED + "validFrom", "@type": XSD + "dateTime"},
            "validUntil": {"@id": CRED + "validUntil", "@type": XSD + "dateTime"},
        })},
        "BitstringStatusListEntry": {"@id": STATUS + "BitstringStatusListEntry", "@context": scope({
            "statusListCredential": link(STATUS + "statusListCredential"), "statusListIndex": STATUS + "statusListIndex",
            "statusPurpose": STATUS + "statusPurpose",
        })},
        "DataIntegrityProof": {"@id": SEC + "DataIntegrityProof", "@context": scope({
            "created": {"@id": "http://purl.org/dc/terms/created", "@type": XSD + "dateTime"},
            "cryptosuite": {"@id": SEC + "cryptosuite", "@type": SEC + "cryptosuiteString"},
            "proofPurpose": {"@id": SEC + "proofPurpose", "@type": "@vocab", "@context": scope({
                "assertionMethod": {"@id": SEC + "assertionMethod", "@type": "@id", "@container": "@set"},
            })},
            "verificationMethod": link(SEC + "verificationMethod"),
        })},
    })},
}


def loader(url, options):
    return {"contextUrl": None, "documentUrl": url, "document": CONTEXTS[url]}


def canonical_hash(document):
    options = {"algorithm": "URDNA2015", "format": "application/n-quads", "documentLoader": loader}
    return hashlib.sha256(jsonld.normalize(document, options).encode()).digest()


def rdfc_bytes(document):
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    proof = {name: value for name, value in document["proof"].items() if name != "proofValue"}
    return canonical_hash(proof | {"@context": document["@context"]}) + canonical_hash(unsecured)


def raw_key(did):
    """The bytes of a did:key after its two bytes of prefix."""
    return di.unbase58(did[len("did:key:z"):].split("#")[0])[2:]


def rdfc_holds(document):
    key = Ed25519PublicKey.from_public_bytes(raw_key(document["proof"]["verificationMethod"]))
    try:
        key.verify(di.unbase58(document["proof"]["proofValue"][1:]), rdfc_bytes(document))
        return True
    except InvalidSignature:
        return False


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def edwards_jwk(did):
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw_key(did))}


def p256_jwk(did):
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw_key(did))
    numbers = point.public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big"))}


def p256_did(key):
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return "did:key:z" + di.base58(bytes([0x80, 0x24]) + point)


def verified_jwt(token, kind, signer):
    """What a token says, signed by the did:key that stands under `signer` in it."""
    did = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))[signer]
    found = jws.deserialize_compact(token, OKPKey.import_key(edwards_jwk(did)), algorithms=["EdDSA", "Ed25519"])
    equal(found.headers()["typ"], kind, "the type")
    return json.loads(found.payload)


def our_documents(world):
    node = world.node("issuer", "mint.enabled=false", "lightning.backend=none")
    node.run("agent", "register", "planner", "--capability", "pay,invoke", "--spend-limit", "5000sat/day",
             "--operator", "Zürich Λ Labs")

    def form(name):
        return node.run("passport", "show", "planner", "--form", name)["passport"]

    with world.step("pyld + cryptography verify our eddsa-rdfc-2022"):
        passport = form("eddsa-rdfc-2022")
        check(rdfc_holds(passport), "the proof does not hold")
        changed = passport | {"credentialSubject": passport["credentialSubject"] | {"agentName": "other"}}
        check(not rdfc_holds(changed), "a changed passport holds")
    with world.step("joserfc verifies our vc+jwt"):
        token = form("vc+jwt")
        issuer = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["issuer"]
        found = jws.deserialize_compact(token, OKPKey.import_key(edwards_jwk(issuer)), algorithms=["EdDSA", "Ed25519"])
        equal(found.headers()["typ"], "vc+jwt", "the type")
        equal(json.loads(found.payload)["credentialSubject"]["agentName"], "planner", "the claims")
    with world.step("joserfc verifies our vp+jwt, and the passport in it"):
        shown = node.run("passport", "present", "planner", "--form", "vp+jwt", "--audience", AUDIENCE, "--nonce", NONCE)
        found = verified_jwt(shown["presentation"], "vp+jwt", "holder")
        equal((found["aud"], found["nonce"], found["type"]), (AUDIENCE, NONCE, ["VerifiablePresentation"]), "the claims")
        [item] = found["verifiableCredential"]
        inner = verified_jwt(item["id"].removeprefix("data:application/vc+jwt,"), "vc+jwt", "issuer")
        equal(inner["credentialSubject"]["id"], found["holder"], "whose passport it is")
        holds(world, shown["presentation"], "--audience", AUDIENCE, "--nonce", NONCE)
    with world.step("sd-jwt verifies what our agent shows, and for whom"):
        shown = node.run("passport", "present", "planner", "--claims", "agentName,capability:pay", "--audience", AUDIENCE,
                         "--nonce", NONCE)["presentation"]
        verifier = SDJWTVerifier(shown, lambda did, header: JWK(**p256_jwk(did)))
        # The library takes another algorithm than ES256 for the holder's key only here.
        verifier._verify_key_binding_jwt(AUDIENCE, NONCE, "EdDSA")
        claims = verifier.get_verified_payload()
        equal((claims["agentName"], claims["capability"], claims.get("operator")), ("planner", ["pay"], None), "the claims")


def instant(offset_seconds=0):
    moment = datetime.now(timezone.utc) + timedelta(seconds=offset_seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def credential(issuer, subject):
    return {
        "@context": [V2, TERMS], "id": f"urn:uuid:{uuid.uuid4()}",
        "type": ["VerifiableCredential", "AgentPassportCredential"], "issuer": issuer,
        "validFrom": instant(-60), "validUntil": instant(3600),
        "credentialSubject": {
            "id": subject, "agentId": f"urn:uuid:{uuid.uuid4()}", "agentName": "Jürgens Planer 😀",
            "capability": ["pay", "invoke"], "spendLimit": {"currency": "USD", "amountMinor": "50000", "period": "P1D"},
        },
        "credentialStatus": [{
            "id": "https://i.example/1#7", "type": "BitstringStatusListEntry", "statusPurpose": "revocation",
            "statusListIndex": "7", "statusListCredential": "https://i.example/1",
        }],
    }


def verdict(world, text, *flags, status=0):
    path = world.path("form.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text if isinstance(text, str) else json.dumps(text))
    return mintmark("verify", path, *flags, status=status)


def holds(world, text, *flags):
    found = verdict(world, text, *flags)
    equal((found["ok"], found["reasons"]), (True, []), "the verdict")


def refused(world, text, *flags):
    check(verdict(world, text, *flags, status=2)["ok"] is False, "a changed document holds")


def their_documents(world):
    issuer, subject = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    did, subject_did = di.did_key(issuer), di.did_key(subject)
    with world.step("we verify pyld's eddsa-rdfc-2022"):
        passport = credential(did, subject_did)
        passport["proof"] = {
            "type": "DataIntegrityProof", "cryptosuite": "eddsa-rdfc-2022", "created": instant(-60),
            "verificationMethod": f"{did}#{did[8:]}", "proofPurpose": "assertionMethod",
        }
        passport["proof"]["proofValue"] = "z" + di.base58(issuer.sign(rdfc_bytes(passport)))
        holds(world, passport)
        refused(world, passport | {"validUntil": instant(7200)})
    with world.step("we verify joserfc's vc+jwt"):
        key = OKPKey.import_key(edwards_jwk(did) | {"d": b64(issuer.private_bytes_raw())})
        header = {"alg": "EdDSA", "typ": "vc+jwt", "kid": f"{did}#{did[8:]}"}
        token = jws.serialize_compact(header, json.dumps(credential(did, subject_did)).encode(), key, algorithms=["EdDSA"])
        holds(world, token)
        head, payload, signature = token.split(".")
        refused(world, ".".join([head, payload[:-8] + ("A" if payload[-8] != "A" else "B") + payload[-7:], signature]))
    with world.step("we verify joserfc's vc+jwt by a did:key of secp256k1, under its own algorithm alone"):
        private = ec.generate_private_key(ec.SECP256K1())
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        koblitz = "did:key:z" + di.base58(bytes([0xE7, 0x01]) + point)
        numbers = private.private_numbers()
        secret = ECKey.import_key({
            "kty": "EC", "crv": "secp256k1", "d": b64(numbers.private_value.to_bytes(32, "big")),
            "x": b64(numbers.public_numbers.x.to_bytes(32, "big")), "y": b64(numbers.public_numbers.y.to_bytes(32, "big")),
        })
        # Half of all signatures have a high s.
        for _ in range(6):
            header = {"alg": "ES256K", "typ": "vc+jwt", "kid": f"{koblitz}#{koblitz[8:]}"}
            body = json.dumps(credential(koblitz, subject_did)).encode()
            foreign = jws.serialize_compact(header, body, secret, algorithms=["ES256K"])
            holds(world, foreign)
        head, payload, signature = foreign.split(".")
        refused(world, ".".join([head, payload[:-8] + ("A" if payload[-8] != "A" else "B") + payload[-7:], signature]))
        renamed = b64(json.dumps(header | {"alg": "ES256"}).encode())
        refused(world, ".".join([renamed, payload, signature]))
    with world.step("we verify joserfc's vp+jwt, for this verifier and nonce alone"):
        holder = OKPKey.import_key(edwards_jwk(subject_did) | {"d": b64(subject.private_bytes_raw())})
        enveloped = {"@context": V2, "type": "EnvelopedVerifiableCredential", "id": f"data:application/vc+jwt,{token}"}
        payload = {"@context": [V2], "type": ["VerifiablePresentation"], "holder": subject_did, "iss": subject_did,
                   "verifiableCredential": [enveloped], "aud": AUDIENCE, "nonce": NONCE, "iat": int(time.time())}
        header = {"alg": "EdDSA", "typ": "vp+jwt", "cty": "vp", "kid": f"{subject_did}#{subject_did[8:]}"}
        shown = jws.serialize_compact(header, json.dumps(payload).encode(), holder, algorithms=["EdDSA"])
        holds(world, shown, "--audience", AUDIENCE, "--nonce", NONCE)
        refused(world, shown, "--audience", AUDIENCE, "--nonce", "another")
        refused(world, shown, "--audience", "https://evil.example", "--nonce", NONCE)
        stolen = jws.serialize_compact(header | {"kid": f"{did}#{did[8:]}"}, json.dumps(payload).encode(), key, algorithms=["EdDSA"])
        refused(world, stolen, "--audience", AUDIENCE, "--nonce", NONCE)
    with world.step("we verify sd-jwt's passport with key binding"):
        private = ec.generate_private_key(ec.SECP256R1())
        p256 = p256_did(private)
        numbers = private.private_numbers()
        issuer_jwk = JWK(**p256_jwk(p256), d=b64(numbers.private_value.to_bytes(32, "big")))
        holder_jwk = JWK(**edwards_jwk(subject_did), d=b64(subject.private_bytes_raw()))
        now = int(datetime.now(timezone.utc).timestamp())
        claims = {
            "iss": p256, "sub": subject_did, "jti": f"urn:uuid:{uuid.uuid4()}", "iat": now - 60, "nbf": now - 60,
            "exp": now + 3600, "vct": VCT, "agentId": f"urn:uuid:{uuid.uuid4()}", SDObj("agentName"): "Planer 😀",
            "capability": [SDObj("pay"), SDObj("invoke")],
            "status": {"status_list": {"idx": 7, "uri": "https://i.example/1/token"}},
        }
        made = SDJWTIssuer(claims, issuer_jwk, holder_jwk, add_decoy_claims=True, extra_header_parameters={
            "typ": "dc+sd-jwt", "kid": f"{p256}#{p256[8:]}"})
        holds(world, made.sd_jwt_issuance)
        holder = SDJWTHolder(made.sd_jwt_issuance)
        holder.create_presentation({"agentName": True, "capability": [True, False]}, NONCE, AUDIENCE, holder_jwk, sign_alg="EdDSA")
        holds(world, holder.sd_jwt_presentation, "--audience", AUDIENCE, "--nonce", NONCE)
        refused(world, holder.sd_jwt_presentation, "--audience", AUDIENCE, "--nonce", "another")
        refused(world, holder.sd_jwt_presentation, "--audience", "https://evil.example", "--nonce", NONCE)


def checks(world):
    our_documents(world)
    their_documents(world)


if __name__ == "__main__":
    run(checks)
