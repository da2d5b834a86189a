"""eddsa-jcs-2022, did:key and Bitstring Status Lists on `rfc8785` and `cryptography` alone: nothing here is Mintmark's."""

import base64
import gzip
import hashlib

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def unbase58(text):
    number = 0
    for digit in text:
        number = number * 58 + ALPHABET.index(digit)
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unbase64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def did_key(key):
    return "did:key:z" + base58(b"\xed\x01" + key.public_key().public_bytes_raw())


def public_key(did):
    """The Ed25519 key of a did:key, or of a verification method in one."""
    did, _, fragment = did.partition("#")
    multibase = did.removeprefix("did:key:")
    if fragment and fragment != multibase:
        raise ValueError(f"{did}#{fragment} is no verification method of that did:key")
    bytes_ = unbase58(multibase.removeprefix("z"))
    if multibase[0] != "z" or bytes_[:2] != b"\xed\x01":
        raise ValueError(f"{did} is no Ed25519 did:key")
    return Ed25519PublicKey.from_public_bytes(bytes_[2:])


def signed_bytes(document, proof):
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    return b"".join(hashlib.sha256(rfc8785.dumps(part)).digest() for part in (options, unsecured))


def sign(document, key, created, purpose="assertionMethod", with_context=True):
    did = did_key(key)
    proof = {
        "type": "DataIntegrityProof", "cryptosuite": "eddsa-jcs-2022", "created": created,
        "verificationMethod": f"{did}#{did.removeprefix('did:key:')}", "proofPurpose": purpose,
    }
    if with_context:
        proof["@context"] = document["@context"]
    value = "z" + base58(key.sign(signed_bytes(document, proof)))
    return document | {"proof": proof | {"proofValue": value}}


def signer(document, purpose="assertionMethod"):
    """The did:key that signed the document; raises where the proof does not hold."""
    proof = document["proof"]
    if (proof["type"], proof["cryptosuite"], proof["proofPurpose"]) != ("DataIntegrityProof", "eddsa-jcs-2022", purpose):
        raise ValueError("the proof is of another kind")
    context = proof.get("@context")
    if context is not None and document["@context"][: len(context)] != context:
        raise ValueError("the document's @context does not begin with that of its proof")
    unsecured = document if context is None else document | {"@context": context}
    signature = unbase58(proof["proofValue"].removeprefix("z"))
    public_key(proof["verificationMethod"]).verify(signature, signed_bytes(unsecured, proof))
    return proof["verificationMethod"].partition("#")[0]


def holds(document):
    try:
        return bool(signer(document))
    except (ValueError, InvalidSignature):
        return False


def bits(encoded_list):
    """Multibase base64url of gzip; index 0 is the left-most bit."""
    assert encoded_list[0] == "u"
    return gzip.decompress(unbase64url(encoded_list[1:]))


def bit(bitmap, index):
    return bitmap[index >> 3] >> (7 - (index & 7)) & 1


def encoded_list(entries, set_indices):
    bitmap = bytearray(entries // 8)
    for index in set_indices:
        bitmap[index >> 3] |= 0x80 >> (index & 7)
    return "u" + base64url(gzip.compress(bytes(bitmap)))


def multihash(data):
    """SHA-256 as VC Data Model 2.0 digestMultibase."""
    return "u" + base64url(b"\x12\x20" + hashlib.sha256(data).digest())
