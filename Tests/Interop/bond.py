"""Bonds (Specs/bond.md) at nutshell's mint, kept by our node: one that our seller leaves, whose lock nutshell 0.21.0's library reads, and
one that a seller of another make leaves, written here from the specifications on `rfc8785`, `cryptography` and nutshell's library, which
locks it. Our buyer is paid out of both. TEST MONEY throughout."""

import asyncio
import contextlib
import json
import os
import random
import secrets
import subprocess
import threading
import time

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from data_integrity import base64url, did_key, signer
from escrow import BUDGET, Library, Seller, command, digest, named, now, owed, proofs_of, sha256, signed
from nutshell import PPK, nutshell_mint
from world import PATIENCE_SECONDS, CheckFailed, check, equal, fee, free_port, http_call, run

DAY = 86_400


def post(url, body, status=200):
    found, _, answer = http_call(url, "POST", body, {"Content-Type": "application/json"})
    told = json.loads(answer)
    equal(found, status, f"the answer of {url} ({told})")
    return told


def bond_name(proofs):
    """[BND-2]"""
    return sha256(b"".join(sorted(bytes.fromhex(proof.Y) for proof in proofs)))


def check_lock(token, keeper_key, refund, locktime):
    """The bond's lock, as nutshell's own reader of NUT-10 sees it. Returns what the coins come to."""
    from cashu.core.nuts import nut10

    proofs = proofs_of(token)
    for proof in proofs:
        lock = nut10.parse_spending_condition(proof.secret)
        tags = lock.tags
        found = (lock.kind, lock.data, tags.get_tag_all("pubkeys"), tags.get_tag_all("refund"), lock.locktime, lock.n_sigs or 1, lock.sigflag.value)
        equal(found, ("P2PK", keeper_key, [], [refund], locktime, 1, "SIG_INPUTS"), "the bond's lock")
    return sum(proof.amount for proof in proofs) - fee(len(proofs), PPK)


async def paid(node, number):
    """Waits for the claim on a bond, with nobody doing anything. Returns it, and after how many seconds the money was there."""
    begun = time.monotonic()
    while True:
        claims = (await command(node, "bond", "claims"))["claims"]
        if len(claims) == number and claims[0]["state"] == "paid":
            return claims[0], time.monotonic() - begun
        check(time.monotonic() < begun + PATIENCE_SECONDS, f"never paid: {claims}")
        await asyncio.sleep(0.2)


class BondedSeller(Seller):
    """Its quotes name a promise, and that a bond."""

    def __init__(self, world, wallet, conduct, promise, key):
        super().__init__(world, wallet, conduct)
        self.key, self.promise = key, promise

    def answer(self, path, body):
        status, told = super().answer(path, body)
        if path == "/market/quotes":
            told["promise"] = self.promise
        return status, told

    def quote(self, body):
        plain = {name: value for name, value in super().quote(body).items() if name != "proof"}
        self.told = signed(self.key, **plain, sla=named(sha256(rfc8785.dumps(self.promise))))  # [BND-8]
        return self.told


async def all_checks(world, mint, buyer, seller, keeper):
    _, _, answer = http_call(keeper.url + "/market/bonds")
    terms = json.loads(answer)
    equal((terms["id"], mint in terms["mints"]), (keeper.made["did"], True), "what the keeper tells of itself [BND-1]")

    with world.step("a bond of our seller at nutshell's mint has the lock that it should, as nutshell's library reads it"):
        left = await command(seller, "bond", "leave", "50sat", "--at", keeper.url)
        equal((left["state"], left["statement"]["keeper"]), ("held", keeper.made["did"]), "the bond")
        told = post(f"{keeper.url}/market/bonds/{left['name']}", {})
        own = (await command(seller, "wallet", "key"))["key"]
        equal(told["locktime"], told["bond"]["until"] + DAY, "the locktime")
        worth = check_lock(told["token"], terms["key"], own, told["locktime"])
        equal((told["remaining"], bond_name(proofs_of(told["token"])).hex()), (str(worth), left["name"]), "what it is worth, and its name")
    with world.step("our seller's answer breaks its schema: our buyer is paid out of the bond, and nutshell's mint takes the swap"):
        before = await asyncio.to_thread(buyer.balance, mint)
        job = await command(buyer, "market", "buy", f"{seller.url}/s/weather/now", "--budget", BUDGET)
        locked = before - await asyncio.to_thread(buyer.balance, mint)
        claim, seconds = await paid(buyer, 1)
        equal((claim["job"], claim["rule"], signer(claim["ruling"])), (job["job"], "schema", keeper.made["did"]), "the claim")
        equal((claim["ruling"]["owed"], claim["ruling"]["paid"], claim["received"]), ("5", "5", str(5 - fee(2, PPK))), "the amounts")
        check(seconds < 10, f"paid after {seconds:.1f} s")
        equal(await asyncio.to_thread(buyer.balance, mint), before - locked + 5 - fee(2, PPK), "the buyer's balance")
        rest = post(f"{keeper.url}/market/bonds/{left['name']}", {})
        coins = sum(proof.amount for proof in proofs_of(rest["token"]))
        equal(coins, worth - 5, "what is left")
        equal(check_lock(rest["token"], terms["key"], own, told["locktime"]), int(rest["remaining"]), "the lock of what is left")
        both = await asyncio.to_thread(lambda: buyer.balance(mint) + seller.balance(mint) + keeper.balance(mint))
        equal(owed(world)[0], both + coins, "what nutshell's mint owes, by its own database")

    key, wallet = Ed25519PrivateKey.generate(), await Library.opened(world, mint, "provider")
    with world.step("our keeper takes a bond that nutshell's library locked, as often as it is shown, and none of another lock"):
        await wallet.fund(60, lambda _: None)  # nutshell's FakeWallet pays by itself
        backed_until = now() + 30 * DAY

        async def deposit(locktime, *tags, status=200):
            from cashu.core.secret import Tags

            more = [["locktime", str(locktime)], *tags]
            proofs, token = await wallet.lock(await wallet.wallet.create_p2pk_lock(terms["key"], tags=Tags(more)), 9)
            said = signed(
                key, type="MintmarkBondDeposit", provider=did_key(key), keeper=terms["id"], bond=named(bond_name(proofs)), until=backed_until, time=now(),
            )
            body = {"deposit": said, "token": token}
            return bond_name(proofs).hex(), body, post(keeper.url + "/market/bonds", body, status)

        for locktime, *tags in ((backed_until, ["refund", wallet.key]), (backed_until + DAY,), (backed_until + DAY, ["refund", wallet.key], ["pubkeys", wallet.key])):
            _, _, told = await deposit(locktime, *tags, status=400)
            equal(told["code"], "wrong-lock", "the refusal")
        name, body, told = await deposit(backed_until + DAY, ["refund", wallet.key])
        equal(post(keeper.url + "/market/bonds", body), told, "the same deposit again")
        bond = told["bond"]
        equal((signer(bond), bond["provider"], bond["amount"], bond["until"]), (terms["id"], did_key(key), str(9 - fee(2, PPK)), backed_until), "the bond")
    with world.step("its seller sells garbage: convicted by its own signature, our buyer has the price back within seconds"):
        promise = {
            "urls": ["https://node.example/s/weather"], "prices": [{"path": "/*", "amount": "5", "unit": "sat", "per": "call"}],
            "bond": {"amount": "8", "unit": "sat", "mint": mint, "keeper": terms["id"], "at": keeper.url, "name": name},
        }
        provider = BondedSeller(world, wallet, "garbage", promise, key)
        job = await command(buyer, "market", "buy", provider.url + "/s/weather/today", "--budget", BUDGET, status=1)
        claim, seconds = await paid(buyer, 2)
        equal((job["state"], claim["job"], claim["rule"]), ("fraud", job["job"], "hash"), "the claim")
        equal(claim["ruling"]["subject"], named(bytes.fromhex(job["job"])), "what was ruled on")
        check(seconds < 10, f"paid after {seconds:.1f} s")
        rest = post(f"{keeper.url}/market/bonds/{name}", {})
        check_lock(rest["token"], terms["key"], wallet.key, backed_until + DAY)
        equal([signer(ruling) for ruling in rest["rulings"]], [terms["id"]], "the rulings")
        await wallet.refused(proofs_of(rest["token"]), what="the provider took its bond back before its time")
    with world.step("an honest seller of that make loses nothing of it, whatever a buyer shows"):
        provider = BondedSeller(world, wallet, "honest", promise, key)
        job = await command(buyer, "market", "buy", provider.url + "/s/weather/today", "--budget", BUDGET)
        [(acceptance, k, what, beside)] = provider.jobs.values()
        stranger = Ed25519PrivateKey.generate()
        claim = signed(
            stranger, type="MintmarkBondClaim", claimant=did_key(stranger), bond=named(bytes.fromhex(name)), subject=named(digest(acceptance)),
            key=wallet.key, time=now(),
        )
        evidence = {
            "quote": provider.told, "acceptance": acceptance, "delivery": what, "sealed": base64url(beside), "key": k.hex(), "promise": promise,
        }
        for shown in (evidence, evidence | {"key": secrets.token_hex(32)}, evidence | {"promise": promise | {"output": {"type": "string"}}}, {}):
            told = post(f"{keeper.url}/market/bonds/{name}/claims", {"claim": claim, "evidence": shown}, 422)
            equal(told["code"], "breach-unproven", "the refusal")
        equal(post(f"{keeper.url}/market/bonds/{name}", {}), rest, "the bond")
        equal(len((await command(buyer, "bond", "claims"))["claims"]), 2, "claims")
    for node in (buyer, seller, keeper):
        node.audit()


def soak(world, lightning, jobs=100):
    """SOAK=1: jobs that all break their promise, while a random node of the three is killed (-9) again and again. All is paid, once."""
    network = f"lightning.simulatedURL={lightning.url}"
    seller = world.node("soak-seller", network, port=free_port())
    mint = seller.mint
    settings = (network, "mint.enabled=false", f"ecash.acceptedMints={mint}")
    buyer = world.node("soak-buyer", *settings, port=free_port())
    keeper = world.node("soak-keeper", *settings, "market.arbiterSeconds=600", port=free_port())
    nodes = (seller, buyer, keeper)
    for node, sat in ((buyer, 9 * jobs), (seller, 7 * jobs)):
        equal(node.run("wallet", "fund", f"{sat}sat", "--mint", mint)["state"], "issued", "the funding")
    put_on_sale(world, seller, "--idempotent")
    equal(seller.run("bond", "leave", f"{6 * jobs}sat", "--at", keeper.url)["state"], "held", "the bond")
    chance, is_over, kills = random.Random(11), threading.Event(), []

    def kill():
        while not is_over.wait(chance.uniform(0.3, 1.5)):
            node = chance.choice(nodes)
            node.process.kill()
            node.process.wait()
            kills.append(node.name)
            for _ in range(120):
                # A command that found no node has the folder for a moment.
                with contextlib.suppress(CheckFailed):
                    node.start(world)
                    break
                time.sleep(0.5)

    killer = threading.Thread(target=kill)
    with world.step(f"soak: {jobs} broken jobs under kill -9 of all three: each is paid for out of the bond once, and all sums hold"):
        killer.start()
        try:
            while (known := len(tried(buyer, "job", "list", "--limit", "1000").get("jobs", []))) < jobs:
                tried(buyer, "market", "buy", f"{seller.url}/s/weather/{known}", "--budget", BUDGET, "--timeout", "8")
        finally:
            is_over.set()
            killer.join()

        def settled():
            claims = buyer.run("bond", "claims", "--limit", "1000")["claims"]
            ended = [job["ending"] for job in buyer.run("job", "list", "--limit", "1000")["jobs"] if job.get("ending")]
            return len(ended) >= jobs and len(claims) == ended.count("claimed") and all(claim["state"] == "paid" for claim in claims) and claims

        # A claim that found its keeper away again and again is asked for ever more seldom.
        deadline = time.monotonic() + 5 * PATIENCE_SECONDS
        while not (claims := settled()):
            open_claims = [claim for claim in tried(buyer, "bond", "claims", "--limit", "1000").get("claims", []) if claim["state"] != "paid"]
            open_jobs = [job for job in tried(buyer, "job", "list", "--limit", "1000").get("jobs", []) if not job.get("ending")]
            check(time.monotonic() < deadline, f"not all is paid: {open_claims[:3]} {open_jobs[:3]}")
            time.sleep(1)
        equal({claim["received"] for claim in claims}, {"5"}, "what was received for each")
        remaining = int(keeper.run("bond", "kept")["bonds"][0]["remaining"])
        equal(remaining, 6 * jobs - 5 * len(claims), "what is left of the bond")
        equal(sum(node.balance(mint) for node in nodes) + remaining, 16 * jobs, "all the money")
        for node in nodes:
            node.audit()
        print(f"     {len(claims)} claims, {len(kills)} kills")
    world.processes = [entry for entry in world.processes if entry[0].poll() is None]


def tried(node, *arguments):
    """What a command says that a killed node may have cut short."""
    with contextlib.suppress(CheckFailed, subprocess.TimeoutExpired):
        return node.run(*arguments)
    return {}


def put_on_sale(world, seller, *flags):
    """What the upstream never answers as the schema says."""
    schema = world.path("schema.json")
    with open(schema, "w") as file:
        json.dump({"output": {"type": "object", "required": ["temperature"]}}, file)
    upstream, _ = world.upstream()
    seller.run("service", "add", "weather", "--upstream", upstream, "--price", "5sat", "--escrow", "key", "--schema", schema, *flags)


def checks(world):
    mint = nutshell_mint(world)
    os.environ.update(CASHU_DIR=world.path("nutshell-library"), MINT_URL=mint, TOR="FALSE")
    network = world.simulator()
    settings = (f"lightning.simulatedURL={network.url}", "mint.enabled=false", f"ecash.acceptedMints={mint}")
    buyer, seller = world.node("buyer", *settings), world.node("seller", *settings)
    keeper = world.node("keeper", *settings, "market.arbiterSeconds=600")
    for node, sat in ((buyer, "300sat"), (seller, "80sat")):
        equal(node.run("wallet", "fund", sat, "--mint", mint, "--invoice")["state"], "issued", "the funding")
    put_on_sale(world, seller)
    asyncio.run(all_checks(world, mint, buyer, seller, keeper))
    if os.environ.get("SOAK") == "1":
        soak(world, network)


if __name__ == "__main__":
    run(checks, limit_seconds=900 if os.environ.get("SOAK") == "1" else 290)
