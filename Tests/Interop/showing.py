"""What a node shows of itself and its agents, across implementations: `a2a-sdk` resolves and verifies our cards, which lead to our signed
listings, and we verify its; `http-message-signatures`
verifies our Web Bot Auth requests and our directory's proofs, and signs requests that we recognise."""

import asyncio
import base64
import copy
import datetime
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from a2a.client import A2ACardResolver
from a2a.types import AgentCard
from a2a.utils.signing import InvalidSignaturesError, create_agent_card_signer, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.json_format import MessageToDict, ParseDict
from http_message_signatures import (
    HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, InvalidSignature, algorithms,
)
from jwt import PyJWK
from jwt.algorithms import OKPAlgorithm

import data_integrity
from world import check, equal, http_call, mintmark, run, until

DIRECTORY = "/.well-known/http-message-signatures-directory"


def unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def thumbprint(key):
    import hashlib

    x = unpadded(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    return unpadded(hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()), x


def fetched(url):
    status, headers, body = http_call(url)
    equal(status, 200, url)
    return headers, body


# A2A


def verifier(node):
    def key(kid, jku):
        """As a client does that trusts the node's TLS: the key of that name in the set that the signature names."""
        check(jku.startswith(node.url + "/"), f"the card's jku is elsewhere: {jku}")
        keys = json.loads(fetched(jku)[1])["keys"]
        return PyJWK(next(jwk for jwk in keys if jwk["kid"] == kid))

    return create_signature_verifier(key, ["EdDSA"])


def resolved(node, path=None):
    """The card, as a client of the SDK gets it."""

    async def get():
        async with httpx.AsyncClient(timeout=60) as client:
            return await A2ACardResolver(client, node.url).get_agent_card(path, signature_verifier=verifier(node))

    return asyncio.run(get())


def check_cards(world, node):
    verify = verifier(node)
    agent = node.run("agent", "show", "planner")["agent"]
    segment = agent["id"].removeprefix("urn:uuid:")
    agents_path = f"/agents/{segment}/.well-known/agent-card.json"
    cards = {
        "the node's card": fetched(node.url + "/.well-known/agent-card.json")[1],
        "an agent's card": fetched(node.url + agents_path)[1],
    }
    equal(resolved(node), ParseDict(json.loads(cards["the node's card"]), AgentCard()), "the node's card, resolved")
    equal(resolved(node, agents_path), ParseDict(json.loads(cards["an agent's card"]), AgentCard()), "an agent's card, resolved")
    for what, body in cards.items():
        document = json.loads(body)
        card = ParseDict(document, AgentCard())
        verify(card)
        only_one = copy.deepcopy(document)
        only_one["signatures"] = only_one["signatures"][:1]
        changed = ParseDict(only_one, AgentCard())
        verify(changed)
        changed.description += "."
        try:
            verify(changed)
            check(False, f"{what}: a2a-sdk took a changed one")
        except InvalidSignaturesError:
            pass
        # Once through the SDK's own types and back, it is still the same card to us.
        again = world.path("card.json")
        with open(again, "w") as file:
            json.dump(MessageToDict(card), file)
        equal(mintmark("verify", again)["ok"], True, what)
    equal(json.loads(cards["an agent's card"]), node.run("agent", "card", "planner"), "the command's card")
    skills = {skill["id"] for skill in json.loads(cards["the node's card"])["skills"]}
    equal(skills, {"weather"}, "the node's skills")


def check_listing(node):
    """From the card to the listing that the node's key signed, by `rfc8785` and `cryptography`."""
    card = MessageToDict(resolved(node))
    [skill] = card["skills"]
    equal((skill["id"], skill["name"]), ("weather", "Weather now"), "the skill")
    check("sun" in skill["tags"], f"the skill's tags: {skill['tags']}")
    [terms] = [part["params"] for part in card["capabilities"]["extensions"] if part["uri"] == "urn:mintmark:a2a:http-402:1"]
    [sale] = terms["services"]
    equal((sale["skill"], sale["escrow"], sale["prices"][0]["price"]), ("weather", ["key"], "2 sat"), "how it is sold")
    # It is told to others a moment after it was put on sale.
    until(lambda: http_call(sale["listing"])[0] == 200, "the listing")
    listing = json.loads(fetched(sale["listing"])[1])
    equal(data_integrity.signer(listing), node.made["did"], "who signed the listing")
    body = listing["body"]
    found = (listing["name"], body["title"], body["escrow"], body["urls"], body["prices"][0]["amount"])
    equal(found, ("weather", "Weather now", ["key"], [sale["url"]], "2"), "the listing")


def check_their_card(world):
    key = Ed25519PrivateKey.generate()
    _, x = thumbprint(key.public_key())
    card = ParseDict(
        {
            "name": "Recipes", "description": "Helps with recipes.", "version": "1.0.0",
            "supportedInterfaces": [{"url": "https://a.example", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
            "capabilities": {"streaming": False, "extensions": [{"uri": "urn:x", "required": False}]},
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
            "skills": [{"id": "cook", "name": "Cook", "description": "Cooks.", "tags": ["food"]}],
        },
        AgentCard(),
    )
    pem = OKPAlgorithm.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": x, "d": unpadded(key.private_bytes_raw())})
    create_agent_card_signer(pem, {"alg": "EdDSA", "kid": "key-1", "typ": "JOSE", "jku": "https://a.example/k"})(card)
    card_file, keys_file = world.path("theirs.json"), world.path("keys.json")
    with open(keys_file, "w") as file:
        json.dump({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "key-1", "use": "sig"}]}, file)
    document = MessageToDict(card)
    for change, status in ((None, 0), ("Eats.", 2)):
        if change:
            document["skills"][0]["description"] = change
        with open(card_file, "w") as file:
            json.dump(document, file)
        equal(mintmark("verify", card_file, "--keys", keys_file, status=status)["ok"], status == 0, "their card")


# Web Bot Auth


class Message:
    def __init__(self, method, url, headers):
        self.method, self.url, self.headers = method, url, headers


class Answer:
    def __init__(self, status, headers, request):
        self.status_code, self.headers, self.request = status, headers, request


class Keys(HTTPSignatureKeyResolver):
    """Public keys out of a directory, by thumbprint."""

    def __init__(self, directory):
        self.keys = {
            jwk["kid"]: Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "="))
            for jwk in directory["keys"]
        }

    def resolve_public_key(self, key_id):
        return self.keys[key_id]

    def resolve_private_key(self, key_id):
        raise NotImplementedError


def server(world, answer):
    """An HTTP server that keeps what it was asked. Returns its address and the requests."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, dict(self.headers.items())))
            body = answer(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    world.servers.append(listening)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{listening.server_port}", requests


def check_our_request(world, node):
    origin, requests = server(world, lambda path: b"hello")
    node.run("pay", origin + "/page?q=1", "--max", "1sat", "--agent", "planner", "--web-bot-auth")
    path, headers = requests[-1]
    equal(headers["Signature-Agent"], f'bot="{node.url}"', "Signature-Agent")
    directory = json.loads(fetched(node.url + DIRECTORY)[1])
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys(directory))
    wanted = ("@method", "@authority", "@target-uri", '"signature-agent";key="bot"')
    [result] = verifier.verify(
        Message("GET", origin + path, headers), expect_tag="web-bot-auth", require_components=wanted
    )
    check(result.parameters["keyid"] in verifier.key_resolver.keys, "another key")
    try:
        verifier.verify(Message("GET", origin + "/other", headers), expect_tag="web-bot-auth")
        check(False, "a request for another page was taken")
    except InvalidSignature:
        pass


def check_our_directory(node):
    url = node.url + DIRECTORY
    headers, body = fetched(url)
    equal(headers["Content-Type"], "application/http-message-signatures-directory+json", "the directory's type")
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys(json.loads(body)))
    results = verifier.verify(
        Answer(200, dict(headers.items()), Message("GET", url, {})),
        expect_tag="http-message-signatures-directory",
        require_components=('"@authority";req', "content-digest"),
        body=body,
    )
    equal(len(results), len(json.loads(body)["keys"]), "proofs in the directory's answer")


def check_their_request(node, their_origin, key, upstream_requests):
    name, _ = thumbprint(key.public_key())

    class Own(HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id):
            return key

        def resolve_public_key(self, key_id):
            raise NotImplementedError

    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Own())

    def signed(target):
        message = Message("GET", f"{node.url}/s/free{target}", {"Signature-Agent": f'sig1="{their_origin}"'})
        now = datetime.datetime.now()
        signer.sign(
            message, key_id=name, label="sig1", tag="web-bot-auth", nonce=unpadded(os.urandom(48)), created=now,
            expires=now + datetime.timedelta(seconds=30),
            covered_component_ids=("@method", "@target-uri", '"signature-agent";key="sig1"'),
        )
        return message

    message = signed("/today")
    equal(http_call(message.url, headers=message.headers)[0], 200, "their request")
    equal(upstream_requests[-1][1]["Agent-Keys"], their_origin + DIRECTORY, "who called, as the upstream is told")
    status, _, body = http_call(message.url, headers=message.headers)
    equal((status, json.loads(body)["code"]), (401, "signature-replayed"), "the same request again")
    moved = signed("/today")
    status, _, body = http_call(f"{node.url}/s/free/else", headers=moved.headers)
    equal((status, json.loads(body)["code"]), (401, "signature-invalid"), "a signature for another page")


def checks(world):
    key = Ed25519PrivateKey.generate()
    name, x = thumbprint(key.public_key())
    directory = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": name, "x": x, "use": "sig"}]}).encode()
    their_origin, _ = server(world, lambda path: directory if path == DIRECTORY else b"")
    upstream, upstream_requests = server(world, lambda path: b"fair")
    node = world.node("node", "lightning.backend=none", "network=mainnet", f"agents.signatureAgents={their_origin}")
    node.run("agent", "register", "planner", "--capability", "pay")
    node.run(
        "service", "add", "weather", "--upstream", upstream, "--price", "2sat", "--title", "Weather now", "--tag", "sun",
        "--escrow", "key",
    )
    with world.step("a2a-sdk resolves and verifies our cards, and takes no changed one"):
        check_cards(world, node)
    with world.step("the card that it resolved leads to the signed listing, and says how the service is sold by escrow"):
        check_listing(node)
    with world.step("we verify a card that a2a-sdk signed, by its key set"):
        check_their_card(world)
    node.run("service", "add", "free", "--upstream", upstream, "--price", "0sat")
    with world.step("http-message-signatures verifies our agent's request by our directory"):
        check_our_request(world, node)
    with world.step("and the proofs in the directory's answer"):
        check_our_directory(node)
    with world.step("we recognise a request that it signed, once"):
        check_their_request(node, their_origin, key, upstream_requests)


run(checks)
