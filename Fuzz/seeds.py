#!/usr/bin/env python3
"""Writes the first inputs of each fuzz target, taken from the published vectors in ../fixtures."""
import base64
import json
import pathlib
import sys

fixtures = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
target = pathlib.Path(sys.argv[1])


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)


names = ("token", "request", "secret", "invoice", "json", "cbor", "macaroon", "challenge", "x402", "rlp", "peer", "yamux", "gossip", "record", "negentropy", "discovery")
seeds = {name: set() for name in names}
for page in sorted(fixtures.glob("*/*.json")):
    raw = page.read_bytes()
    if len(raw) <= 4096:
        seeds["json"].add(raw)
    for text in strings(json.loads(raw)):
        bytes_ = text.encode()
        if len(bytes_) > 4096:
            continue
        if text.startswith("cashu"):
            seeds["token"].add(bytes_)
        elif text.lower().startswith("creq"):
            seeds["request"].add(bytes_)
        elif text.startswith('["') or text.startswith('{"signatures"') or text.startswith('{"preimage"'):
            seeds["secret"].add(bytes_)
        elif text.lower().startswith(("lnbc", "lntb", "lnsb")):
            seeds["invoice"].add(bytes_)
        elif text.startswith(("Payment ", "L402 ", "LSAT ")):
            seeds["challenge"].add(bytes_)
        elif page.parent.name == "x402":
            try:
                text = text if text.startswith("{") else base64.b64decode(text, validate=True).decode()
                if text.startswith("{"):
                    seeds["x402"].add(text.encode())
            except ValueError:
                pass
        kind = {"json-test-suite": "json", "rfc8949": "cbor", "macaroons": "macaroon", "ethereum": "rlp"}
        if page.parent.name in kind:
            try:
                seeds[kind[page.parent.name]].add(bytes.fromhex(text.removeprefix("0x")))
            except ValueError:
                pass

# Addresses in both forms, a peer id, a key and an address as identify tells them; frames of a Yamux session.
peer = bytes.fromhex("00240801122" + "01ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")
seeds["peer"] |= {
    b"/ip4/127.0.0.1/tcp/4402", b"/dns4/a.example/tcp/1", b"/ip6/2001:db8::1/tcp/80", peer,
    bytes.fromhex("047f0000010610e1"), b"\x0a\x24" + peer[2:] + bytes.fromhex("1208047f0000010610e1") + b"\x1a\x02/a",
}
opened = bytes.fromhex("000100010000000100000000")
seeds["yamux"] |= {
    opened + bytes.fromhex("000000000000000100000003") + b"abc" + bytes.fromhex("000000040000000100000000"),
    opened + bytes.fromhex("000100000000000100000400") + bytes.fromhex("000200010000000000000007"),
}
# RPCs: a subscription, a message, control of every kind.
message = b"\x0a\x26" + peer + b"\x12\x01x\x1a\x08\0\0\0\0\0\0\0\1\x22\x01a\x2a\x01s"
seeds["gossip"] |= {
    bytes.fromhex("0a0508011201611a070a050a0161120109"), b"\x12" + bytes([len(message)]) + message,
    bytes.fromhex("1a1e" + "0a060a0161120109" + "12030a0109" + "1a030a0161" + "22050a0161183c" + "2a030a0109"),
}
# Datagrams of multicast DNS: a question, and an answer with compressed names; a question to be dialed, and its answer.
service = b"\x04_p2p\x04_udp\x05local\0"
text = b"dnsaddr=/ip4/10.0.0.9/tcp/4001/p2p/12D3KooWCY3wNV8MZ6T2s2tRzdZKzbC9sePYqPT8X3Fg8QwPZgGd"
seeds["discovery"] |= {
    bytes.fromhex("000000000001000000000000") + service + bytes.fromhex("000c0001"),
    bytes.fromhex("000084000000000100000001") + service + bytes.fromhex("000c00010000007800040161c00c") + b"\xc0\x27"
    + bytes.fromhex("0010800100000078") + bytes([0, len(text) + 1, len(text)]) + text,
    bytes.fromhex("0a08047f0000010610e1"), bytes.fromhex("08011208047f0000010610e1"),
}

# A record with its proof, a tombstone, a stamp beside it; messages of negentropy of each mode.
did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
proof = {
    "type": "DataIntegrityProof", "cryptosuite": "eddsa-jcs-2022", "created": "2026-11-21T00:00:00Z",
    "verificationMethod": f"{did}#{did[8:]}", "proofPurpose": "assertionMethod", "proofValue": "z" + "2" * 87,
}
record = {
    "type": "MintmarkRecord", "author": did, "kind": "note", "name": "a", "sequence": 1, "created": "2026-11-21T00:00:00Z",
    "expires": "2026-11-22T00:00:00Z", "proof": proof,
}
stamp = {
    "type": "MintmarkStamp", "entry": did, "author": did, "record": "uEiA" + "A" * 43, "created": "2026-11-21T00:00:00Z",
    "postage": {"amount": "1", "unit": "sat"}, "proof": proof,
}
for envelope in (
    {"record": record | {"body": {"text": "a"}}}, {"record": record | {"deleted": True}},
    {"record": record | {"body": {}}, "stamp": stamp},
):
    seeds["record"].add(json.dumps(envelope, separators=(",", ":")).encode())
seeds["negentropy"] |= {
    bytes.fromhex("6100000200"), bytes.fromhex("6100000201" + "11" * 32), bytes.fromhex("61000001" + "22" * 16),
    bytes.fromhex("61050000" + "0502070701" + "33" * 16 + "00000200"),
}

for name, items in seeds.items():
    folder = target / name
    folder.mkdir(parents=True, exist_ok=True)
    assert items, f"no seeds for {name}"
    for number, item in enumerate(sorted(items)):
        (folder / f"seed-{number:03}").write_bytes(item)
    print(f"{name}: {len(items)} seeds")
