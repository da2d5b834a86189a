"""UCAN 1.0 across implementations: `dag-cbor` + `cryptography` on one side, Mintmark on the other. Each side makes envelopes
that the other verifies, and refuses them once a byte is changed; the content's name is the same on both."""

import base64
import hashlib
import json
import os
import time

import dag_cbor
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from multiformats import CID, multihash

import data_integrity as di
from world import check, equal, mintmark, run

HEADER = bytes.fromhex("3401ed01ed011371")
DELEGATION = "ucan/dlg@1.0.0"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def cid(envelope):
    return CID("base32", 1, "dag-cbor", multihash.wrap(hashlib.sha256(envelope).digest(), "sha2-256"))


def issue(key, audience, subject, command="/pay", policy=(), seconds=3600, meta=None):
    payload = {
        "iss": di.did_key(key), "aud": audience, "sub": subject, "cmd": command, "pol": list(policy),
        "nonce": os.urandom(12), "exp": int(time.time()) + seconds,
    }
    if meta:
        payload["meta"] = meta
    signed = {"h": HEADER, DELEGATION: payload}
    return dag_cbor.encode([key.sign(dag_cbor.encode(signed)), signed])


def verify(envelope):
    signature, signed = dag_cbor.decode(envelope)
    payload = signed[DELEGATION]
    equal(signed["h"], HEADER, "the varsig header")
    di.public_key(payload["iss"]).verify(signature, dag_cbor.encode(signed))
    return payload


def chain_file(path, envelopes):
    with open(path, "w") as file:
        json.dump({"type": ["DelegationChain"], "links": ["u" + base64url(e) for e in envelopes]}, file)
    return path


def envelopes(document):
    return [base64.urlsafe_b64decode(link[1:] + "=" * (-len(link[1:]) % 4)) for link in document["links"]]


def checks(world):
    folder = world.folder
    root, agent, friend = (Ed25519PrivateKey.generate() for _ in range(3))
    root_did, agent_did, friend_did = (di.did_key(key) for key in (root, agent, friend))
    meta = {"mintmark": {"budget": {"amount": 100, "unit": "sat"},
                         "accounting": {"did": root_did, "url": "https://node.example"}}}
    first = issue(root, agent_did, root_did, policy=[["==", ".unit", "sat"], ["<=", ".depth", 3]], meta=meta)
    second = issue(agent, friend_did, root_did, "/pay/call", policy=[["<=", ".amount", 5]])
    path = os.path.join(folder, "chain.json")

    with world.step("a chain made with dag-cbor and cryptography holds, under the same names"):
        chain_file(path, [first, second])
        found = mintmark("verify", path, "--root", root_did)
        equal((found["ok"], found["links"]), (True, "2"), "the chain")
        equal(found["cid 0"], str(cid(first)), "the name of a delegation")
        equal(found["cid 1"], str(cid(second)), "the name of the second")

    with world.step("changed in one byte, of signature or content, it is refused"):
        for place in (5, 40, 70, len(second) // 2, len(second) - 3):
            changed = bytearray(second)
            changed[place] ^= 1
            chain_file(path, [first, bytes(changed)])
            check(mintmark("verify", path, status=2)["reasons"], f"byte {place}: a reason")

    with world.step("what our program passes on is one form of DAG-CBOR, is signed, and says what was asked"):
        key_path = os.path.join(folder, "agent.key")
        with open(os.open(key_path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(agent.private_bytes_raw().hex())
        chain_file(path, [first])
        made = mintmark(
            "delegate", "--key", key_path, "--under", path, "--to", friend_did, "--budget", "7sat", "--per-call", "2sat",
            "--for", "30m")
        links = envelopes(made["file"])
        equal(links[0], first, "the first link, byte by byte")
        payload = verify(links[1])
        equal(str(cid(links[1])), made["cid"], "the name of our delegation")
        equal((payload["aud"], payload["sub"], payload["cmd"]), (friend_did, root_did, "/pay"), "the members")
        check(["<=", ".amount", 2] in payload["pol"], "the limit of a call is in the policy")
        equal(payload["meta"]["mintmark"]["budget"], {"amount": 7, "unit": "sat"}, "the budget")
        equal(dag_cbor.encode(dag_cbor.decode(links[1])), links[1], "the envelope, decoded and encoded again")

    with world.step("and does not verify there once its signature is changed"):
        tampered = bytearray(links[1])
        tampered[10] ^= 1
        try:
            verify(bytes(tampered))
        except InvalidSignature:
            pass
        else:
            check(False, "a changed signature verifies")


if __name__ == "__main__":
    run(checks)
