"""Passports, status lists and receipts across implementations: `rfc8785` + `cryptography` on one side, Mintmark on the
other. Each side verifies what the other signed, and refuses it once a byte of it is changed."""

import base64
import json
import os
import uuid
from datetime import datetime, timedelta, timezone

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import data_integrity as di
from world import check, equal, http_call, mintmark, run, until

ENTRIES = 131_072
CONTEXTS = ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2"]
RECEIPT_CONTEXTS = ["https://w3id.org/security/data-integrity/v2", CONTEXTS[1]]


def instant(offset_seconds=0):
    moment = datetime.now(timezone.utc) + timedelta(seconds=offset_seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# What we make here, with keys of our own.


def python_passport(issuer, subject, list_urls, indices):
    entries = [
        {
            "id": f"{url}#{index}", "type": "BitstringStatusListEntry", "statusPurpose": purpose,
            "statusListIndex": str(index), "statusListCredential": url,
        }
        for purpose, url, index in zip(("revocation", "suspension"), list_urls, indices)
    ]
    passport = {
        "@context": CONTEXTS, "id": f"urn:uuid:{uuid.uuid4()}",
        "type": ["VerifiableCredential", "AgentPassportCredential"], "issuer": di.did_key(issuer),
        "validFrom": instant(-60), "validUntil": instant(3600),
        "credentialSubject": {
            "id": di.did_key(subject), "agentId": f"urn:uuid:{uuid.uuid4()}", "agentName": "Jürgens Planer 😀",
            "operator": "did:web:operator.example", "capability": ["pay", "invoke"],
            "spendLimit": {"currency": "USD", "amountMinor": "50000", "period": "P1D"},
        },
        "credentialStatus": entries,
    }
    return di.sign(passport, issuer, instant())


def python_status_list(issuer, url, purpose, set_indices, sequence):
    credential = {
        "@context": CONTEXTS, "id": url, "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": di.did_key(issuer), "validFrom": instant(-1), "validUntil": instant(3600),
        "credentialSubject": {
            "id": f"{url}#list", "type": "BitstringStatusList", "statusPurpose": purpose, "ttl": 1000,
            "sequence": sequence, "encodedList": di.encoded_list(ENTRIES, set_indices),
        },
    }
    return di.sign(credential, issuer, instant())


def python_receipt(seller, buyer):
    receipt = {
        "@context": RECEIPT_CONTEXTS, "id": f"urn:uuid:{uuid.uuid4()}", "type": ["PaidCallReceipt"],
        "seller": {"id": di.did_key(seller)}, "buyer": {"id": di.did_key(buyer)}, "service": "weather",
        "request": {"method": "GET", "target": "/today?city=Bern", "digest": di.multihash(b"")},
        "response": {"status": 200, "digest": di.multihash(b"fair")},
        "payment": {"amount": "2", "unit": "sat", "dialect": "nut24", "digest": di.multihash(os.urandom(32))},
        "requestedAt": instant(-2), "respondedAt": instant(-1), "outcome": "served",
    }
    return di.sign(receipt, seller, instant())


# Checks both ways.


def verify(world, document, *flags, status=0):
    """What `mintmark verify` says of a document or of the bytes of one."""
    path = world.path("document.json")
    with open(path, "wb") as file:
        file.write(document if isinstance(document, bytes) else json.dumps(document).encode())
    found = mintmark("verify", path, *flags, status=status)
    if status == 2:
        check(found["ok"] is False and all(r["code"] and r["message"] for r in found["reasons"]) and found["reasons"],
              f"refused without a reason: {found}")
        return [reason["code"] for reason in found["reasons"]]
    equal((found["ok"], found["reasons"]), (True, []), "the verdict")
    return found


def changed_copies(document):
    """Copies of a document in each of which one byte of one text is changed."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for marker in ("proofValue\":\"z", "agentName\":\"", "did:key:z6Mk", "2026-", "amount\":\"", "encodedList\":\"uH4sI",
                   "sequence\":", "target\":\"/", "statusListIndex\":\""):
        place = text.find(marker)
        if place < 0:
            continue
        place += len(marker) + (20 if marker.startswith(("proof", "did", "encoded")) else 0)
        old = text[place]
        new = "1" if old != "1" and (old.isdigit() or old.islower()) else "2"
        yield marker, (text[:place] + new + text[place + 1:]).encode()


def refused_when_changed(world, document):
    codes = {}
    for place, changed in changed_copies(document):
        codes[place] = verify(world, changed, status=2)
    check(len(codes) >= 3, f"only {len(codes)} places were changed")
    equal(verify(world, document | {"extra": "x"}, status=2)[:1] != [], True, "a member added")


def status_bits(passport):
    """The bits of a passport by purpose, from the lists where the passport says they stand."""
    bits = {}
    for entry in passport["credentialStatus"]:
        status, headers, body = http_call(entry["statusListCredential"])
        equal((status, headers["Content-Type"]), (200, "application/vc"), "the status list's answer")
        check(headers["ETag"], "the status list has an ETag")
        credential = json.loads(body)
        equal(credential["id"], entry["statusListCredential"], "the list's id")
        equal(di.signer(credential), passport["issuer"], "the list's signer")
        subject = credential["credentialSubject"]
        equal(subject["statusPurpose"], entry["statusPurpose"], "the list's purpose")
        bitmap = di.bits(subject["encodedList"])
        check(len(bitmap) * 8 >= ENTRIES, f"the list has {len(bitmap) * 8} entries only")
        bits[entry["statusPurpose"]] = di.bit(bitmap, int(entry["statusListIndex"]))
    return bits


def our_documents(world):
    node = world.node("issuer", "mint.enabled=false", "lightning.backend=none")
    with world.step("rfc8785 + cryptography verify our passport"):
        node.run("agent", "register", "planner", "--capability", "pay,invoke", "--spend-limit", "5000sat/day",
                 "--operator", "Zürich Λ Labs")
        passport = node.run("passport", "show", "planner")
        equal(di.signer(passport), node.made["did"], "the passport's signer")
        equal(passport["issuer"], node.made["did"], "the passport's issuer")
        subject = passport["credentialSubject"]
        equal((subject["agentName"], subject["capability"]), ("planner", ["pay", "invoke"]), "the claims")
        di.public_key(subject["id"])
        for _, changed in changed_copies(passport):
            check(not di.holds(json.loads(changed)), "a changed passport verifies")
        verify(world, passport)
        refused_when_changed(world, passport)
    with world.step("an agent's own key, made by cryptography, is the passport's subject"):
        key = Ed25519PrivateKey.generate()
        with open(os.open(world.path("scout.key"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(key.private_bytes_raw().hex())
        own = node.run("agent", "register", "scout", "--key", world.path("scout.key"))["passport"]
        equal(own["credentialSubject"]["id"], di.did_key(key), "the subject")
        equal(di.signer(own), node.made["did"], "the passport's signer")
    with world.step("our status lists: bits decoded before, while and after suspension and revocation"):
        renewed = node.run("agent", "renew", "planner")["passport"]
        for document in (passport, renewed, own):
            equal(status_bits(document), {"revocation": 0, "suspension": 0}, "the bits at first")
        node.run("passport", "suspend", renewed["id"])
        equal(status_bits(renewed), {"revocation": 0, "suspension": 1}, "the bits when suspended")
        node.run("passport", "restore", renewed["id"])
        equal(status_bits(renewed), {"revocation": 0, "suspension": 0}, "the bits when restored")
        node.run("passport", "revoke", renewed["id"], "--reason", "keyCompromise", "--yes")
        for document in (passport, renewed):
            equal(status_bits(document)["revocation"], 1, "the bit of a passport of the revoked key")
        equal(status_bits(own), {"revocation": 0, "suspension": 0}, "the bits of another agent")
    with world.step("our status lists verify offline beside the passport, and not once changed"):
        paths = []
        for number, entry in enumerate(renewed["credentialStatus"]):
            credential = http_call(entry["statusListCredential"])[2]
            verify(world, credential)
            refused_when_changed(world, json.loads(credential))
            paths += ["--status", world.path(f"list-{number}.json")]
            with open(paths[-1], "wb") as file:
                file.write(credential)
        check("revoked" in verify(world, renewed, *paths, status=2), "the revoked passport is refused by its list")
        verify(world, own, *paths)


def python_documents(world):
    issuer, subject, other = (Ed25519PrivateKey.generate() for _ in range(3))
    urls = ["http://127.0.0.1:9/status/1", "http://127.0.0.1:9/status/2"]
    passport = python_passport(issuer, subject, urls, (94_567, 3))
    with world.step("Mintmark verifies a passport made in Python, and not once changed"):
        found = verify(world, passport, "--issuer", di.did_key(issuer))
        equal((found["kind"], found["issuer"]), ("passport", di.did_key(issuer)), "what was found")
        without = {name: value for name, value in passport.items() if name != "proof"}
        verify(world, di.sign(without, issuer, instant(), with_context=False))
        refused_when_changed(world, passport)
        check("untrusted-issuer" in verify(world, passport, "--issuer", di.did_key(other), status=2), "a stranger's")
        check("wrong-issuer" in verify(world, di.sign(without, other, instant()), status=2), "signed by another")
        check("expired" in verify(world, passport, "--at", instant(7200), status=2), "after its end")
        bad_purpose = di.sign(without, issuer, instant(), purpose="authentication")
        check("bad-signature" in verify(world, bad_purpose, status=2), "a proof of another purpose")
    with world.step("Mintmark reads status lists made in Python: bits clear, revoked, suspended, stale, of another"):
        def lists(revoked=(), suspended=(), key=issuer):
            flags = []
            for number, (url, purpose, indices) in enumerate(zip(urls, ("revocation", "suspension"), (revoked, suspended))):
                credential = python_status_list(key, url, purpose, indices, 7)
                verify(world, credential)
                flags += ["--status", world.path(f"python-{number}.json")]
                with open(flags[-1], "w") as file:
                    json.dump(credential, file)
            return flags

        verify(world, passport, *lists(revoked=(94_566, 94_568, 0), suspended=(2, 4, ENTRIES - 1)))
        equal(verify(world, passport, *lists(revoked=(94_567,)), status=2), ["revoked"], "with its bit set")
        equal(verify(world, passport, *lists(suspended=(3,)), status=2), ["suspended"], "with its bit set")
        check("status-invalid" in verify(world, passport, *lists(key=other), status=2), "a stranger's list")
        refused_when_changed(world, python_status_list(issuer, urls[0], "revocation", (5,), 7))
        short = python_status_list(issuer, urls[0], "revocation", (), 7)
        short["credentialSubject"]["encodedList"] = di.encoded_list(ENTRIES // 2, ())
        del short["proof"]
        verify(world, di.sign(short, issuer, instant()), status=2)
    with world.step("Mintmark verifies a receipt made in Python, and not once changed"):
        receipt = python_receipt(issuer, subject)
        verify(world, receipt, "--seller", di.did_key(issuer))
        refused_when_changed(world, receipt)
        check("unexpected-seller" in verify(world, receipt, "--seller", di.did_key(other), status=2), "another seller")
        forged = {name: value for name, value in receipt.items() if name != "proof"}
        check("wrong-seller" in verify(world, di.sign(forged, other, instant()), status=2), "signed by another")


def our_receipt(world):
    lightning = world.simulator()
    setting = f"lightning.simulatedURL={lightning.url}"
    seller = world.node("seller", setting)
    buyer = world.node("buyer", setting, "mint.enabled=false")
    upstream, asked = world.upstream()
    with world.step("rfc8785 + cryptography verify our receipt of a paid call"):
        seller.run("service", "add", "weather", "--upstream", upstream, "--price", "2sat")
        buyer.run("agent", "register", "planner", "--capability", "pay")
        buyer.run("wallet", "fund", "100sat", "--mint", seller.mint)
        path = world.path("receipt.json")
        paid = buyer.run("pay", f"{seller.url}/s/weather/today?city=Bern", "--max", "5sat", "--agent", "planner",
                         "--receipt", path)
        equal(asked, ["/today?city=Bern"], "what the service was asked")
        with open(path) as file:
            receipt = json.load(file)
        equal(di.signer(receipt), seller.made["did"], "the receipt's signer")
        equal(receipt["seller"]["id"], seller.made["did"], "the seller")
        equal(receipt["buyer"]["id"], buyer.run("passport", "show", "planner")["credentialSubject"]["id"], "the buyer")
        equal(receipt["response"], {"status": 200, "digest": di.multihash(paid["body"].encode())}, "the response")
        equal(receipt["request"]["digest"], di.multihash(b""), "the request's digest")
        equal((receipt["payment"]["amount"], receipt["payment"]["unit"]), ("2", "sat"), "the price")
        for _, changed in changed_copies(receipt):
            check(not di.holds(json.loads(changed)), "a changed receipt verifies")
        verify(world, receipt, "--seller", seller.made["did"])
        refused_when_changed(world, receipt)
        status, _, body = http_call(f"{seller.url}/receipts/{receipt['id'].removeprefix('urn:uuid:')}")
        equal((status, json.loads(body)), (200, receipt), "the receipt at its URL")
    return seller, upstream


class PythonAgent:
    """An agent with a passport of a Python issuer, whose status lists are served here, and RFC 9421 signatures."""

    def __init__(self, world):
        self.issuer, self.key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.revoked, self.sequence = (), 2
        self.lists = world.serve(lambda path: ("application/vc", json.dumps(self.status_list(path))))
        urls = [f"{self.lists}/status/1", f"{self.lists}/status/2"]
        passport = python_passport(self.issuer, self.key, urls, (70_000, 9))
        self.passport = di.base64url(json.dumps(passport).encode())

    def status_list(self, path):
        url = self.lists + path
        if path == "/status/1":
            return python_status_list(self.issuer, url, "revocation", self.revoked, self.sequence)
        return python_status_list(self.issuer, url, "suspension", (), 1)

    def signed(self, url, signed_url=None):
        created = int(datetime.now().timestamp())
        covered = '("@method" "@target-uri" "agent-passport")'
        parameters = (f'{covered};created={created};expires={created + 50};nonce="{uuid.uuid4().hex}"'
                      f';keyid="{di.did_key(self.key)}";tag="mintmark-call"')
        base = (f'"@method": GET\n"@target-uri": {signed_url or url}\n"agent-passport": {self.passport}\n'
                f'"@signature-params": {parameters}')
        signature = base64.b64encode(self.key.sign(base.encode())).decode()
        return {"Agent-Passport": self.passport, "Signature-Input": f"call={parameters}", "Signature": f"call=:{signature}:"}


def python_agent(world, seller, upstream):
    agent = PythonAgent(world)
    url = f"{seller.url}/s/members/today"

    def call(headers):
        status, _, body = http_call(url, headers=headers)
        return status, json.loads(body).get("code")

    with world.step("our gateway serves an agent with passport, status list and RFC 9421 signature made in Python"):
        seller.run("service", "add", "members", "--upstream", upstream, "--price", "0sat",
                   "--trust", di.did_key(agent.issuer), "--capability", "invoke", "--status-max-age", "60")
        headers = agent.signed(url)
        equal(call(headers), (200, None), "the signed call")
        status, code = call(headers)
        equal(status, 401, f"the same signature again ({code})")
        equal(call({})[0], 401, "a call without a passport")
        equal(call(agent.signed(url, signed_url=url + "x"))[0], 401, "a signature for another URL")
    with world.step("our gateway refuses a list of a lower sequence, and the agent once its bit is set"):
        # A copy serves for the list's ttl of one second, then it is fetched anew.
        agent.sequence = 1
        until(lambda: call(agent.signed(url)) == (403, "status-rolled-back"), "an older list than one seen")
        agent.revoked, agent.sequence = (70_000,), 3
        until(lambda: call(agent.signed(url)) == (403, "revoked"), "a call after revocation")


def checks(world):
    python_documents(world)
    our_documents(world)
    python_agent(world, *our_receipt(world))


if __name__ == "__main__":
    run(checks)
