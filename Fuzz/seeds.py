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


names = ("token", "request", "secret", "invoice", "json", "cbor", "macaroon", "challenge", "x402", "rlp")
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

for name, items in seeds.items():
    folder = target / name
    folder.mkdir(parents=True, exist_ok=True)
    assert items, f"no seeds for {name}"
    for number, item in enumerate(sorted(items)):
        (folder / f"seed-{number:03}").write_bytes(item)
    print(f"{name}: {len(items)} seeds")
