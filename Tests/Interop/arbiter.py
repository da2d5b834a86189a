"""Jobs with an arbiter (Specs/job.md [JOB-10] to [JOB-12], escrow.md [ESC-13] to [ESC-19]) at nutshell's mint: two of our nodes with an
arbiter written here from the specifications on `rfc8785`, `cryptography` and nutshell 0.21.0's library, which reads the locks and makes the
signatures over the swaps. TEST MONEY throughout."""

import json
import os
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from data_integrity import did_key, multihash, signer, unbase64url
from escrow import digest, lock_amount, named, now, owed, proofs_of, request_digest, signed, text_of
from nutshell import PPK, nutshell_mint
from world import PATIENCE_SECONDS, check, equal, fee, http_call, run, until


class Arbiter:
    """An arbiter of another make: `rule` says what the seller gets of the net amount."""

    def __init__(self, world, mint):
        from cashu.core.crypto.secp import PrivateKey

        self.key, self.mint, self.cases = Ed25519PrivateKey.generate(), mint, {}
        self.lock_key = PrivateKey()
        self.url = world.serve_json(self.answer)

    @property
    def point(self):
        return self.lock_key.public_key.format().hex()

    def answer(self, path, body):
        return 200, self.told(path, body)

    def told(self, path, body):
        if path == "/market/arbiter":  # [ESC-19]
            return {"id": did_key(self.key), "key": self.point, "within": 600, "mints": [self.mint]}
        if path == "/market/disputes":
            return self.hear(body)
        job = path.split("/")[3]
        return self.plan(job, body["outputs"]) if path.endswith("/outputs") else self.state(job)

    def hear(self, body):
        """[JOB-12], [ESC-5], [ESC-13]"""
        quote, acceptance, said = body["quote"], body["acceptance"], body["escalation"]
        parties = {quote["provider"]: "provider", quote["buyer"]: "buyer"}
        equal((signer(quote), signer(acceptance)), (quote["provider"], quote["buyer"]), "who signed quote and acceptance")
        equal((acceptance["quote"], acceptance["arbiter"]), (named(digest(quote)), did_key(self.key)), "what was accepted")
        equal((said["type"], signer(said), said["job"]), ("MintmarkEscalation", said["party"], named(digest(acceptance))), "who speaks")
        job = digest(acceptance).hex()
        if job not in self.cases:
            # Both sides may come at once: the first one's case stays.
            self.cases.setdefault(job, {
                "quote": quote, "acceptance": acceptance, "token": body["token"], "net": self.checked(quote, acceptance, body["token"]),
                "said": {}, "outputs": {}, "ruling": None,
            })
        case = self.cases[job]
        case["said"][parties[said["party"]]] = said["reason"]
        if told := body.get("delivery"):
            equal((signer(told), told["job"], said["delivery"]), (quote["provider"], said["job"], named(digest(told))), "the delivery")
            equal(multihash(unbase64url(body["answer"])), told["response"], "the answer's digest")
            asked = body["request"]
            equal(named(request_digest(asked["method"], asked["target"])), quote["request"], "the request's digest")
            case["answer"] = unbase64url(body["answer"])
        return self.state(job)

    def checked(self, quote, acceptance, token):
        """[ESC-5], as nutshell's own reader of NUT-10 sees the locks."""
        from cashu.core.nuts import nut10

        proofs = proofs_of(token)
        for proof in proofs:
            lock = nut10.parse_spending_condition(proof.secret)
            found = (lock.data, lock.tags.get_tag_all("pubkeys"), lock.n_sigs, lock.sigflag.value, lock.locktime, lock.tags.get_tag_all("refund"))
            wanted = (quote["lockKey"], [acceptance["refundKey"], self.point], 2, "SIG_ALL", acceptance["locktime"], [acceptance["refundKey"]])
            equal(found, wanted, "the lock's keys, count, flag, time and refund")
        # [ESC-4]
        check(acceptance["locktime"] >= acceptance["deliverBy"] + 600 + 600, "the locktime is nearer than the arbiter's time and the margin")
        total = sum(proof.amount for proof in proofs)
        equal(total, lock_amount(int(quote["price"])), "the lock's amount")
        body = {"Ys": [proof.Y for proof in proofs]}
        states = json.loads(http_call(self.mint + "/v1/checkstate", "POST", body, {"Content-Type": "application/json"})[2])["states"]
        check(all(state["state"] == "UNSPENT" for state in states), "the lock's coins are spent")
        return total - fee(len(proofs), PPK)

    def rule(self, job, provider):
        """[ESC-14]"""
        case = self.cases[job]
        buyer = case["net"] - provider
        outcome = "split" if provider and buyer else "paid" if provider else "refunded"
        case["shares"] = {"provider": provider, "buyer": buyer}
        case["ruling"] = signed(
            self.key, type="MintmarkRuling", arbiter=did_key(self.key), job=named(bytes.fromhex(job)), outcome=outcome,
            provider=str(provider), buyer=str(buyer), reason="as a person sees it", time=now(),
        )

    def plan(self, job, planned):
        """[ESC-16], [ESC-17]"""
        case = self.cases[job]
        party = "provider" if planned["party"] == case["quote"]["provider"] else "buyer"
        equal(signer(planned), case["quote"][party], "who planned the outputs")
        equal(planned["job"], named(bytes.fromhex(job)), "the job of the outputs")
        equal(sum(output["amount"] for output in planned["outputs"]), case["shares"][party], "what the outputs sum to")
        case["outputs"].setdefault(party, planned["outputs"])
        return self.state(job)

    def state(self, job):
        from cashu.core.base import BlindedMessage
        from cashu.core.nuts.nut11 import sigall_message_to_sign
        from cashu.core.p2pk import schnorr_sign

        case = self.cases[job]
        told = {"job": job, "phase": "ruled" if case["ruling"] else "open", "ruleBy": now() + 600}
        if not case["ruling"]:
            return told
        told["ruling"] = case["ruling"]
        if all(party in case["outputs"] for party, share in case["shares"].items() if share):
            outputs = case["outputs"].get("provider", []) + case["outputs"].get("buyer", [])
            message = sigall_message_to_sign(proofs_of(case["token"]), [BlindedMessage(**output) for output in outputs])
            told["swap"] = {"outputs": outputs, "signature": schnorr_sign(message.encode(), self.lock_key).hex()}
        return told


def ended(world, ending, *nodes):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(node.run("job", "list")["jobs"][0].get("ending") != ending for node in nodes):
        check(time.monotonic() < deadline, f"not {ending}: {[node.run('job', 'list')['jobs'][0] for node in nodes]}")
        time.sleep(0.2)


def checks(world):
    mint = nutshell_mint(world)
    os.environ.update(CASHU_DIR=world.path("nutshell-library"), MINT_URL=mint, TOR="FALSE")
    network = f"lightning.simulatedURL={world.simulator().url}"
    buyer = world.node("buyer", network, "mint.enabled=false", f"ecash.acceptedMints={mint}")
    seller = world.node("seller", network, "mint.enabled=false", f"ecash.acceptedMints={mint}")
    arbiter = Arbiter(world, mint)
    upstream, _ = world.upstream()
    seller.run("service", "add", "logo", "--upstream", upstream, "--price", "21sat", "--escrow", "arbiter", "--arbiter", arbiter.url)
    equal(buyer.run("wallet", "fund", "300sat", "--mint", mint, "--invoice")["state"], "issued", "the funding")

    def buy(path, *flags, status=0):
        return buyer.run(
            "market", "buy", f"{seller.url}/s/logo{path}", "--budget", "30sat", "--arbiter", arbiter.url, *flags, status=status
        )

    with world.step("the money is locked at nutshell's mint, and signed over for the answer: our two nodes' signatures over the outputs"):
        job = buy("/now/1")
        equal((job["state"], job["locked"], text_of(job)["path"]), ("served", str(lock_amount(21)), "/now/1"), "the job")
        ended(world, "claimed", buyer, seller)
        equal((seller.balance(mint), arbiter.cases), (21, {}), "the seller's balance, and what the arbiter heard")
    seller_has = 21
    for part, ending in ((8, "split"), (0, "refunded"), (21, "claimed")):
        with world.step(f"an arbiter of another make gives the seller {part} of 21 sat: nutshell's mint takes the swap that it signed"):
            before = buyer.balance(mint)
            job = buy("/now/2", "--review", status=4)["job"]
            locked = before - buyer.balance(mint)
            equal(buyer.run("dispute", "open", job, "--reason", "the picture is empty")["state"], "disputed", "the state")
            case = until(lambda: (known := arbiter.cases.get(job)) and "buyer" in known["said"] and known, "the buyer's escalation")
            equal((case["said"]["buyer"], case["net"]), ("the picture is empty", 21), "what the arbiter knows")
            check(b'"path": "/now/2"' in case["answer"], "the arbiter was shown another answer")
            arbiter.rule(job, part)
            ended(world, ending, buyer, seller)
            seller_has += part
            equal(seller.balance(mint), seller_has, "the seller's balance")
            equal(buyer.balance(mint), before - locked + 21 - part, "the buyer's balance")
            equal(owed(world)[0], buyer.balance(mint) + seller.balance(mint), "what nutshell's mint owes, by its own database")
    buyer.audit()
    seller.audit()


if __name__ == "__main__":
    run(checks)
