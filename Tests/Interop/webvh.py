"""did:webvh across implementations: the resolver of `did-webvh` (Decentralized Identity Foundation) reads the logs of our node and
of its agents through their changes of keys, and a move to another node; we resolve a log that it wrote."""

import asyncio
import pathlib

from did_webvh.askar import AskarSigningKey
from did_webvh.core.hash_utils import HashInfo
from did_webvh.core.resolver import DidResolver, LocalHistoryResolver
from did_webvh.provision import provision_did
from did_webvh.verify import WebvhVerifier

from world import check, equal, free_port, http_call, mintmark, run


def resolved(world, did, log):
    """As `did-webvh` resolves a DID whose log has this text."""
    path = pathlib.Path(world.path("did.jsonl"))
    path.write_bytes(log)
    result = asyncio.run(DidResolver(WebvhVerifier()).resolve(did, LocalHistoryResolver(path, None)))
    return result.document, result.resolution_metadata, result.document_metadata


def served(url):
    status, headers, log = http_call(url)
    equal((status, headers["Content-Type"]), (200, "text/jsonl"), url)
    return log


def holds(world, did, log, version):
    document, problem, metadata = resolved(world, did, log)
    check(document is not None, f"did-webvh does not resolve {did}: {problem}")
    equal(document["id"], did, "the document's id")
    equal(metadata["versionId"], version, "the version")
    for place in range(40, len(log), max(1, len(log) // 12)):
        changed = bytearray(log)
        changed[place] ^= 1
        try:
            refused = resolved(world, did, bytes(changed))[0] is None
        except ValueError:  # no JSON any more
            refused = True
        check(refused, f"did-webvh takes a log that was changed at byte {place}")
    return document


def keys(document):
    return [method["publicKeyMultibase"] for method in document["verificationMethod"]]


def our_node(world, node):
    made = node.run("did", "create")
    moved = node.run("did", "rotate")
    equal(moved["did"], made["did"], "the node's DID")
    holds(world, made["did"], served(f"{node.url}/.well-known/did.jsonl"), moved["versionId"])


def our_agent(world, node, other):
    agent = node.run("agent", "register", "planner", "--capability", "pay")["agent"]
    made = node.run("did", "create", "--agent", "planner")
    where = f"{node.url}/agents/{agent['id'].removeprefix('urn:uuid:')}/did.jsonl"
    equal(keys(holds(world, made["did"], served(where), made["versionId"])), [agent["did"].removeprefix("did:key:")], "keys")
    node.run("agent", "rotate", "planner")
    recovered = node.run("agent", "recover", "planner", "--yes")["agent"]
    shown = node.run("did", "show", "--agent", "planner")
    document = holds(world, made["did"], served(where), shown["versionId"])
    equal(keys(document), [recovered["did"].removeprefix("did:key:")], "keys after a theft")
    equal(recovered["webvh"], made["did"], "the agent's did:webvh")

    file = world.path("planner.agent")
    passphrase = pathlib.Path(world.path("passphrase"))
    passphrase.write_text("correct horse\n")
    sealed = {"MINTMARK_EXPORT_PASSPHRASE_FILE": str(passphrase)}
    node.run("agent", "export", "planner", file, "--to", other.facts["did"], "--yes", environment=sealed)
    other.run("agent", "import", file, environment=sealed)
    other.run("agent", "rotate", "planner")
    shown = other.run("did", "show", "--agent", "planner")
    check(shown["did"] != made["did"], "the DID has the address of the node before")
    log = served(f"{other.url}/agents/{agent['id'].removeprefix('urn:uuid:')}/did.jsonl")
    document = holds(world, shown["did"], log, shown["versionId"])
    check(made["did"] in document["alsoKnownAs"], "the DID before is not among its names")


def own_keys(world, node):
    files = [world.path(f"scout-{number}.key") for number in range(3)]
    names = [mintmark("agent", "key", file)["did"].removeprefix("did:key:") for file in files]
    agent = node.run("agent", "register", "scout", "--key", files[0], "--next", files[1])["agent"]
    made = node.run("did", "create", "--agent", "scout", "--key", files[0], "--next", files[1])
    where = f"{node.url}/agents/{agent['id'].removeprefix('urn:uuid:')}/did.jsonl"
    equal(keys(holds(world, made["did"], served(where), made["versionId"])), names[:1], "keys")
    node.run("agent", "rotate", "scout", "--key", files[1], "--next", files[2])
    shown = node.run("did", "show", "--agent", "scout")
    equal(keys(holds(world, made["did"], served(where), shown["versionId"])), names[1:2], "keys after the move")


def theirs(world, node):
    """A log by `did-webvh` with pre-rotation, on a web server of its own; we resolve it, and refuse it changed."""
    pages = {}
    origin = world.serve(lambda path: ("text/jsonl", pages.get(path, "")))
    first, second, third = (AskarSigningKey.generate("ed25519") for _ in range(3))

    def commitment(key):
        return HashInfo.from_name("sha2-256").formatted_hash(key.multikey.encode())

    host = "localhost%3A" + origin.rsplit(":", 1)[1]
    state = provision_did(
        {"@context": ["https://www.w3.org/ns/did/v1"], "id": f"did:webvh:{{SCID}}:{host}:them"},
        params={"updateKeys": [first.multikey], "nextKeyHashes": [commitment(second)]},
    )
    state.proofs.append(state.create_proof(first, timestamp=state.timestamp))
    following = state.create_next(
        state.document | {"alsoKnownAs": ["urn:example:second"]},
        params_update={"updateKeys": [second.multikey], "nextKeyHashes": [commitment(third)]},
    )
    following.proofs.append(following.create_proof(second, timestamp=following.timestamp))
    log = state.history_json() + "\n" + following.history_json() + "\n"
    did = following.document["id"]
    pages["/them/did.jsonl"] = log
    found = node.run("did", "show", did)
    equal((found["versionId"], found["document"]), (following.version_id, following.document), "what we resolve")
    pages["/them/did.jsonl"] = log.replace("urn:example:second", "urn:example:secure")
    node.stop()
    node.start(world)  # what was resolved is kept for a minute
    equal(node.run("did", "show", did, status=2)["code"], "did-not-resolved", "a log that was changed")


def checks(world):
    def node(name):
        # did-webvh wants a domain that looks like one; where it leads to is not asked.
        port = free_port()
        made = world.node(name, "lightning.backend=none", f"http.publicURL=https://{name}.example", port=port)
        made.url = f"http://127.0.0.1:{port}"
        return made

    first, second = node("first"), node("second")
    with world.step("did-webvh resolves our node's DID, and refuses every change"):
        our_node(world, first)
    with world.step("and an agent's, through a planned move, a theft and a move to another node"):
        our_agent(world, first, second)
    with world.step("and of an agent that keeps its keys itself"):
        own_keys(world, first)
    with world.step("we resolve did-webvh's own log with pre-rotation, and refuse it changed"):
        theirs(world, first)


run(checks)
