#!/usr/bin/env python3
"""Writes the first inputs of each fuzz target, taken from the published vectors in ../fixtures."""
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


seeds = {name: set() for name in ("token", "request", "secret", "invoice", "json", "cbor")}
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
        if page.parent.name in ("json-test-suite", "rfc8949"):
            try:
                kind = "json" if page.parent.name == "json-test-suite" else "cbor"
                seeds[kind].add(bytes.fromhex(text))
            except ValueError:
                pass

for name, items in seeds.items():
    folder = target / name
    folder.mkdir(parents=True, exist_ok=True)
    assert items, f"no seeds for {name}"
    for number, item in enumerate(sorted(items)):
        (folder / f"seed-{number:03}").write_bytes(item)
    print(f"{name}: {len(items)} seeds")
