"""Jobs by escrow (Specs/quote.md, escrow.md, job.md) at nutshell's mint, with nutshell 0.21.0 (PyPI `cashu`): two of our nodes settle
there; a seller and a buyer written here from the specifications on `rfc8785`, `cryptography` and nutshell's library deal with our node,
and claim and make the locks by hand; and locks of all kinds by hand, both ways, at its mint and at ours. TEST MONEY throughout."""

import asyncio
import hashlib
import json
import os
import secrets
import sqlite3
import time

import rfc8785
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from data_integrity import base64url, did_key, multihash, sign, signer, unbase64url
from nutshell import PPK, nutshell_mint
from world import PATIENCE_SECONDS, CheckFailed, check, equal, fee, http_call, run

BUDGET = "20sat"


def sha256(data):
    return hashlib.sha256(data).digest()


def now():
    return int(time.time())


# The protocol, out of Specs/


def signed(key, /, **members):
    return sign(members, key, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), with_context=False)


def digest(document):
    """[QUO-1]: that of the canonical form without `proof`, in bytes."""
    return sha256(rfc8785.dumps({name: value for name, value in document.items() if name != "proof"}))


def named(digest_bytes):
    return "u" + base64url(b"\x12\x20" + digest_bytes)


def sized(part):
    return len(part).to_bytes(8, "big") + part


def request_digest(method, target, media_type="", body=b""):
    """[ESC-7]"""
    parts = (method.encode(), target.encode(), media_type.encode(), body)
    return sha256(b"Mintmark_JobRequest_v1" + b"".join(map(sized, parts)))


def answer_bytes(status, media_type, body):
    """[ESC-7]"""
    return status.to_bytes(2, "big") + bytes([len(media_type)]) + media_type.encode() + body


def box(key, job, chunk=0):
    """[ESC-7]: the cipher under k, and its associated data."""
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"Mintmark_Delivery_v1").derive(key)
    return ChaCha20Poly1305(derived), b"Mintmark_Delivery_v1" + job + chunk.to_bytes(8, "big")


def sealed(answer, key, job):
    cipher, context = box(key, job)
    nonce = os.urandom(12)
    return nonce + cipher.encrypt(nonce, answer, context)


def opened(sealed_answer, key, job):
    cipher, context = box(key, job)
    return cipher.decrypt(sealed_answer[:12], sealed_answer[12:], context)


def delivery(key, job, answer, sealed_answer, k):
    """[ESC-8]"""
    return signed(
        key, type="MintmarkDelivery", provider=did_key(key), job=named(job), index=0, response=multihash(answer),
        sealed=multihash(sealed_answer), lock=sha256(k).hex(), time=now(),
    )


def lock_amount(price):
    """[ESC-5]: the least whose own powers of two leave the price after the mint's fee."""
    return next(sum_ for sum_ in range(price, 2 * price + 8) if sum_ - fee(sum_.bit_count(), PPK) >= price)


# nutshell's library, at one mint


class Library:
    """A wallet of nutshell's library with a key of its own."""

    @classmethod
    async def opened(cls, world, mint, name):
        from cashu.wallet.wallet import Wallet

        self = cls()
        self.mint = mint
        self.wallet = await Wallet.with_db(mint, world.path("library-" + name), name)
        await self.wallet.load_mint()
        self.key = await self.wallet.create_p2pk_pubkey()
        return self

    async def fund(self, sat, pay):
        quote = await self.wallet.request_mint(sat)
        pay(quote.request)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (await self.wallet.get_mint_quote(quote.quote)).paid:
            check(time.monotonic() < deadline, "the invoice was never paid")
            await asyncio.sleep(0.1)
        await self.wallet.mint(sat, quote_id=quote.quote)

    async def lock(self, secret, sat):
        """Coins under a lock of ours, and as a token with their DLEQ."""
        await self.wallet.load_proofs(reload=True)
        _, locked = await self.wallet.swap_to_send(self.wallet.proofs, sat, secret_lock=secret, set_reserved=True)
        return locked, await self.token(locked)

    async def token(self, proofs):
        return await self.wallet.serialize_proofs(proofs, include_dleq=True)

    async def redeem(self, proofs, preimage=None):
        """What came in. Its own signature nutshell adds by itself, to the witness that is there."""
        from cashu.core.base import HTLCWitness

        proofs = [proof.model_copy(deep=True) for proof in proofs]
        for proof in proofs if preimage else []:
            proof.witness = HTLCWitness(preimage=preimage.hex()).model_dump_json()
        await self.wallet.load_proofs(reload=True)
        before = self.wallet.available_balance.amount
        await self.wallet.redeem(proofs)
        return self.wallet.available_balance.amount - before

    async def refused(self, proofs, preimage=None, what="it was taken"):
        try:
            await self.redeem(proofs, preimage)
        except Exception as error:
            return check(str(error).startswith("Mint Error"), f"not refused by the mint: {error!r}")
        check(False, what)

    def states(self, proofs):
        """NUT-07, as JSON: so that a witness is seen as the mint tells it."""
        body = {"Ys": [proof.Y for proof in proofs]}
        status, _, answer = http_call(self.mint + "/v1/checkstate", "POST", body, {"Content-Type": "application/json"})
        equal(status, 200, "the answer to a state check")
        return json.loads(answer)["states"]


def proofs_of(token):
    from cashu.wallet.helpers import deserialize_token_from_string

    return deserialize_token_from_string(token).proofs


def hash_lock(hash_, keys=(), locktime=None, refund=()):
    from cashu.core.htlc import HTLCSecret
    from cashu.core.secret import Tags

    tags = [["pubkeys", *keys]] if keys else []
    if locktime is not None:
        tags.append(["locktime", str(locktime)])
    if refund:
        tags.append(["refund", *refund])
    return HTLCSecret(kind="HTLC", data=hash_.hex(), tags=Tags(tags))


def check_agreed(proofs, hash_, keys, locktime, refund):
    """Each lock is exactly that, as nutshell's own reader of NUT-10 sees it."""
    from cashu.core.htlc import HTLCSecret
    from cashu.core.nuts import nut10

    for proof in proofs:
        lock = nut10.parse_spending_condition(proof.secret)
        equal((type(lock), lock.data), (HTLCSecret, hash_.hex()), "the lock's kind and hash")
        tags = lock.tags
        found = (tags.get_tag_all("pubkeys"), lock.locktime, tags.get_tag_all("refund"), lock.n_sigs or 1, lock.sigflag.value)
        equal(found, (list(keys), locktime, list(refund), 1, "SIG_INPUTS"), "the lock's keys, time, refund, count and flag")


def witness(state):
    return json.loads(state["witness"])


async def command(node, *arguments, **expected):
    """Beside the loop, in which a seller of ours may have to answer meanwhile."""
    return await asyncio.to_thread(node.run, *arguments, **expected)


# (a) two of our nodes


def owed(world):
    """What nutshell's mint owes, and the locks by hash that it saw spent: by its own database."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(world.path("nutshell-mint")) for name in names]
    [file] = [file for file in files if file.endswith(".sqlite3") and "mint" in os.path.basename(file)]
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        issued, = database.execute("SELECT COALESCE(SUM(amount), 0) FROM promises WHERE c_ IS NOT NULL").fetchone()
        redeemed, = database.execute("SELECT COALESCE(SUM(amount), 0) FROM proofs_used").fetchone()
        spent = database.execute("SELECT secret, witness FROM proofs_used WHERE secret LIKE '[\"HTLC\"%'").fetchall()
    finally:
        database.close()
    return issued - redeemed, [(json.loads(secret)[1], json.loads(witness_)) for secret, witness_ in spent]


def text_of(job):
    return json.loads(unbase64url(job["answer"]["body"]))


def between_our_nodes(world, mint, buyer, seller):
    upstream, asked = world.upstream()
    for name, price in (("weather", "5sat"), ("dear", "30sat")):
        seller.run("service", "add", name, "--upstream", upstream, "--price", price, "--escrow", "key")
    # Nobody listens there.
    seller.run("service", "add", "broken", "--upstream", "http://127.0.0.1:9", "--price", "5sat", "--escrow", "key")
    with world.step("market buy settles at nutshell's mint: served, and both balances are what they should be"):
        funded = buyer.run("wallet", "fund", "300sat", "--mint", mint, "--invoice")
        equal((funded["state"], buyer.balance(mint)), ("issued", 300), "the funding")
        for number in (1, 2):
            job = buyer.run("market", "buy", f"{seller.url}/s/weather/now/{number}", "--budget", BUDGET)
            found = (job["state"], job["ending"], job["price"], job["mint"], job["locked"])
            equal(found, ("served", "claimed", "5", mint, str(lock_amount(5))), "the job")
            equal(text_of(job), {"path": f"/now/{number}", "weather": "fair"}, "the answer")
            equal([shown["ending"] for shown in seller.run("job", "list")["jobs"]], ["claimed"] * number, "the seller's jobs")
        equal(asked, ["/now/1", "/now/2"], "calls of the service")
        # To the sat: the price for the seller, and all that the mint owes is with the two.
        equal(seller.balance(mint), 10, "the seller's balance")
        outstanding, spent = owed(world)
        equal(outstanding, buyer.balance(mint) + seller.balance(mint), "what nutshell's mint owes, by its own database")
        fees = 300 - outstanding
        check(0 < fees <= 6, f"{fees} sat of the mint's fees for two jobs")
    with world.step("what nutshell's mint took for them are locks by hash, each with its own preimage"):
        equal(len({lock["data"] for lock, _ in spent}), 2, "hashes of locks")
        for lock, shown in spent:
            equal(sha256(bytes.fromhex(shown["preimage"])).hex(), lock["data"], "the preimage's hash")
            tags = {tag[0]: tag[1:] for tag in lock["tags"]}
            equal(sorted(tags), ["locktime", "pubkeys", "refund"], "the lock's tags")
            check(int(tags["locktime"][0]) >= now() + 600, "the locktime is nearer than the margin")
            equal(len(shown["signatures"]), 1, "signatures")
    with world.step("over the budget, or of a service that fails, nothing is locked"):
        before = buyer.balance(mint)
        dear = buyer.run("market", "buy", f"{seller.url}/s/dear/now", "--budget", BUDGET, status=2)
        check("costs 30 sat" in dear["error"], f"not refused for its price: {dear}")
        failed = buyer.run("market", "buy", f"{seller.url}/s/broken/now", "--budget", BUDGET, status=1)
        equal((failed["ending"], failed["locked"]), ("refunded", "0"), "the job of a service that fails")
        equal((buyer.balance(mint), seller.balance(mint)), (before, 10), "the balances")
    buyer.audit()
    seller.audit()


# (b) our buyer, and a seller by hand


class Seller:
    """A provider in mode `key`, of another make: `conduct` says how it behaves."""

    def __init__(self, world, wallet, conduct):
        self.key, self.wallet, self.conduct, self.loop = Ed25519PrivateKey.generate(), wallet, conduct, asyncio.get_running_loop()
        self.jobs, self.claims = {}, []
        self.url = world.serve_json(self.answer)

    def answer(self, path, body):
        if path == "/market/quotes":
            return 200, {"quote": self.quote(body)}
        if path == "/market/jobs":
            return 200, self.take(body)
        job = path.split("/")[3]
        if path.endswith("/lock"):
            return self.locked(job, body)
        return 200, {"job": job, "phase": "delivered"}

    def quote(self, body):
        """[QUO-2] to [QUO-4], [JOB-3]"""
        ask = body["ask"]
        equal((ask["type"], signer(ask)), ("MintmarkQuoteRequest", ask["buyer"]), "who asks")
        equal((ask["service"], ask["unit"], ask["maxPrice"]), ("weather", "sat", BUDGET.removesuffix("sat")), "what is asked for")
        check("key" in ask["escrow"] and self.wallet.mint in ask["mints"], "our mint or mode is not among those asked for")
        check(abs(ask["time"] - now()) <= 30 and ask["deadline"] > now(), "the ask's times")
        equal(ask["request"], named(request_digest(body["method"], body["target"])), "the request's digest")
        self.target = body["target"]
        return signed(
            self.key, type="MintmarkQuote", provider=did_key(self.key), buyer=ask["buyer"], service=ask["service"],
            request=ask["request"], price="5", unit="sat", mint=self.wallet.mint, escrow="key", deliverWithin=20, lockFor=920,
            lockKey=self.wallet.key, calls=1, validUntil=now() + 60, nonce=secrets.token_hex(16), time=now(),
        )

    def take(self, body):
        """[QUO-5], [JOB-4], [ESC-7], [ESC-8]"""
        quote, acceptance = body["quote"], body["acceptance"]
        equal((signer(quote), signer(acceptance)), (did_key(self.key), quote["buyer"]), "who signed quote and acceptance")
        equal((acceptance["quote"], acceptance["request"]), (named(digest(quote)), quote["request"]), "what was accepted")
        times = (acceptance["deliverBy"] - acceptance["time"], acceptance["locktime"] - acceptance["time"])
        equal(times, (quote["deliverWithin"], quote["lockFor"]), "the times")
        job = digest(acceptance)
        if job.hex() not in self.jobs:
            answer = answer_bytes(200, "application/json", json.dumps({"asked": self.target}).encode())
            k = secrets.token_bytes(32)
            under_seal = answer if self.conduct != "garbage" else answer_bytes(200, "application/json", b"{}")
            beside = sealed(under_seal, k, job)
            self.jobs[job.hex()] = (acceptance, k, delivery(self.key, job, answer, beside, k), beside)
        _, _, told, beside = self.jobs[job.hex()]
        return {"job": job.hex(), "delivery": told, "sealed": base64url(beside)}

    def locked(self, job, body):
        """[ESC-5], [JOB-5]: claimed with nutshell's library."""
        acceptance, k, told, _ = self.jobs[job]
        if self.conduct == "idle":
            return 503, {"code": "claim-pending", "title": "later"}
        if not self.claims:
            proofs = proofs_of(body["token"])
            check_agreed(proofs, bytes.fromhex(told["lock"]), [self.wallet.key], acceptance["locktime"], [acceptance["refundKey"]])
            self.wallet.wallet.verify_proofs_dleq(proofs)
            check(all(proof.dleq for proof in proofs), "a coin without DLEQ")
            equal(sum(proof.amount for proof in proofs), lock_amount(5), "what is locked")
            equal({state["state"] for state in self.wallet.states(proofs)}, {"UNSPENT"}, "the coins' states")
            claim = asyncio.run_coroutine_threadsafe(self.wallet.redeem(proofs, k), self.loop)
            self.claims.append((proofs, claim.result(PATIENCE_SECONDS)))
        if self.conduct == "silent":
            return 503, {"code": "claim-pending", "title": "later"}
        return 200, {"job": job, "key": k.hex()}


async def our_buyer(world, mint, node, wallet):
    async def bought(conduct, *flags, status=0):
        seller = Seller(world, wallet, conduct)
        url = seller.url + "/s/weather/today?city=Bern"
        return seller, await command(node, "market", "buy", url, "--budget", BUDGET, *flags, status=status)

    def was_claimed(seller):
        [(proofs, got)] = seller.claims
        equal(got, 5, "what the seller got after the fee")
        for state in wallet.states(proofs):
            equal((state["state"], sha256(bytes.fromhex(witness(state)["preimage"]))), ("SPENT", sha256(seller_key(seller))), "at the mint")

    def seller_key(seller):
        [(_, k, _, _)] = seller.jobs.values()
        return k

    with world.step("a seller by hand claims our buyer's lock with nutshell's library, and shows the key"):
        seller, job = await bought("honest")
        equal((job["state"], job["with"]), ("served", did_key(seller.key)), "the job")
        equal(text_of(job), {"asked": "/today?city=Bern"}, "the answer")
        was_claimed(seller)
    with world.step("one that claims and keeps the key to itself: our buyer reads it at nutshell's mint (NUT-07)"):
        seller, job = await bought("silent")
        equal((job["state"], job["ending"]), ("served", "claimed"), "the job")
        equal(text_of(job), {"asked": "/today?city=Bern"}, "the answer")
        was_claimed(seller)
    with world.step("one that sold garbage is convicted by its own signature, and `cryptography` sees it too"):
        seller, job = await bought("garbage", status=1)
        equal(job["state"], "fraud", "the job")
        proof = (await command(node, "job", "show", job["job"]))["fraudProof"]
        told, k, beside = proof["delivery"], bytes.fromhex(proof["key"]), unbase64url(proof["sealed"])
        equal((signer(proof["acceptance"]), signer(told)), (node.made["did"], did_key(seller.key)), "who signed")
        name = digest(proof["acceptance"])
        equal((told["job"], told["sealed"], told["lock"]), (named(name), multihash(beside), sha256(k).hex()), "what belongs together")
        check(multihash(opened(beside, k, name)) != told["response"], "the answer is the one that was signed")
        try:
            opened(beside, secrets.token_bytes(32), name)
            check(False, "another key opens the seal")
        except InvalidTag:
            pass
    with world.step("one that never claims has nothing: the money stays locked, and our buyer goes on"):
        before = await asyncio.to_thread(node.balance, mint)
        seller, job = await bought("idle", "--timeout", "1", status=4)
        equal((job["state"], job["locked"], seller.claims), ("funded", str(lock_amount(5)), []), "the job")
        check(await asyncio.to_thread(node.balance, mint) <= before - lock_amount(5), "the balance did not fall")
    node.audit()


# (c) our seller, and a buyer by hand


async def our_seller(world, mint, node, wallet):
    key = Ed25519PrivateKey.generate()
    market = node.url + "/market"

    def call(path, body):
        status, _, answer = http_call(market + path, "POST", body, {"Content-Type": "application/json"})
        return status, json.loads(answer)

    def agreed(target):
        """A job as far as its delivery: job, terms, delivery, sealed answer."""
        ask = signed(
            key, type="MintmarkQuoteRequest", buyer=did_key(key), service="weather", request=named(request_digest("GET", target)),
            maxPrice="9", unit="sat", mints=[mint], escrow=["key"], deadline=now() + 100, nonce=secrets.token_hex(16), time=now(),
        )
        status, told = call("/quotes", {"ask": ask, "method": "GET", "target": target})
        equal(status, 200, f"the quote ({told})")
        quote = told["quote"]
        equal((signer(quote), quote["price"], quote["mint"], quote["request"]), (node.made["did"], "5", mint, ask["request"]), "the quote")
        acceptance = signed(
            key, type="MintmarkAcceptance", buyer=did_key(key), quote=named(digest(quote)), sequence=0, request=ask["request"],
            refundKey=wallet.key, deliverBy=now() + quote["deliverWithin"], locktime=now() + quote["lockFor"],
            nonce=secrets.token_hex(16), time=now(),
        )
        body = {"quote": quote, "acceptance": acceptance, "request": {"method": "GET", "target": target}}
        status, told = call("/jobs", body)
        equal((status, told.get("job")), (200, digest(acceptance).hex()), f"the job ({told})")
        equal(call("/jobs", body), (200, told), "the same acceptance again")
        beside = unbase64url(told["sealed"])
        what = told["delivery"]
        equal((signer(what), what["job"]), (node.made["did"], named(digest(acceptance))), "the delivery")
        equal((what["sealed"], what["time"] <= acceptance["deliverBy"]), (multihash(beside), True), "the delivery's digest and time")
        return quote, acceptance, what, beside

    with world.step("our seller takes no lock by nutshell's library but the agreed one, and says why"):
        quote, acceptance, what, beside = agreed("/now/3")
        path = f"/jobs/{digest(acceptance).hex()}/lock"
        hash_, keys, locktime, refund = bytes.fromhex(what["lock"]), [quote["lockKey"]], acceptance["locktime"], [wallet.key]
        amount = lock_amount(5)
        others = {
            "wrong-locktime": (hash_lock(hash_, keys, locktime - 700, refund), amount),
            "wrong-refund": (hash_lock(hash_, keys, locktime), amount),
            "wrong-keys": (hash_lock(hash_, keys + [wallet.key], locktime, refund), amount),
            "wrong-hash": (hash_lock(sha256(hash_), keys, locktime, refund), amount),
            "wrong-amount": (hash_lock(hash_, keys, locktime, refund), amount - 1),
            "wrong-kind": (None, amount),
        }
        for why, (secret, sat) in others.items():
            _, token = await wallet.lock(secret, sat)
            status, told = call(path, {"token": token})
            equal((status, told["code"]), (400, "wrong-lock"), f"the answer to a lock of {why} ({told})")
            check(why in told["detail"], f"{told['detail']!r} does not name {why}")
    with world.step("our node claims the lock that nutshell's library made, and the key that it shows opens the answer"):
        before = node.balance(mint)
        proofs, token = await wallet.lock(hash_lock(hash_, keys, locktime, refund), amount)
        status, told = call(path, {"token": token})
        equal((status, told.get("job")), (200, digest(acceptance).hex()), f"the claim ({told})")
        equal(call(path, {"token": token}), (200, told), "the same again")
        k = bytes.fromhex(told["key"])
        equal(sha256(k), hash_, "the key's hash")
        answer = opened(beside, k, digest(acceptance))
        equal(multihash(answer), what["response"], "the answer's digest")
        length = answer[2]
        equal((answer[:2], json.loads(answer[3 + length:])["path"]), ((200).to_bytes(2, "big"), "/now/3"), "the answer")
        equal(node.balance(mint), before + 5, "the seller's balance")
        for state in wallet.states(proofs):
            equal((state["state"], witness(state)["preimage"]), ("SPENT", k.hex()), "what nutshell's mint tells of the coins (NUT-07)")
        equal(node.run("job", "list")["jobs"][0]["ending"], "claimed", "the seller's job")
    node.audit()


# (d) locks by hand, at either mint


async def locks_by_hand(world, mint, node, pay, name):
    alice, bob, carol = [await Library.opened(world, mint, f"{name}-{who}") for who in ("alice", "bob", "carol")]
    await alice.fund(300, pay)

    async def ours(*flags):
        sent = await command(node, "wallet", "send", "16sat", "--mint", mint, *flags)
        return sent["token"], proofs_of(sent["token"])

    async def balance():
        return await asyncio.to_thread(node.balance, mint)

    async def receive(token, *flags, status=0):
        return await command(node, "wallet", "receive", token, *flags, status=status)

    k = secrets.token_bytes(32)
    got = 16 - fee(1, PPK)
    with world.step(f"{name}: our wallet locks to a hash and nutshell's key; nutshell claims with both, and with neither alone"):
        token, proofs = await ours("--lock", bob.key, "--hash", sha256(k).hex(), "--refund-after", "3600")
        await bob.refused(proofs)
        await bob.refused(proofs, secrets.token_bytes(32))
        await carol.refused(proofs, k)
        await receive(token, status=1)  # the way back is not open yet
        equal(await bob.redeem(proofs, k), 16 - fee(len(proofs), PPK), "claimed")
        equal(witness(bob.states(proofs)[0])["preimage"], k.hex(), "the preimage that the mint tells")
    with world.step(f"{name}: nutshell locks to a hash and our key; our wallet claims with both, and with neither alone"):
        proofs, token = await alice.lock(hash_lock(sha256(k), [(await command(node, "wallet", "key"))["key"]], now() + 3600, [alice.key]), 16)
        before = await balance()
        await receive(token, status=1)
        await receive(token, "--preimage", secrets.token_hex(32), status=1)
        await alice.refused(proofs)
        equal(int((await receive(token, "--preimage", k.hex()))["amount"]), 16 - fee(len(proofs), PPK), "claimed")
        equal(await balance(), before + got, "the balance")
    with world.step(f"{name}: after the locktime each side has its own back that the other did not claim"):
        token, mine = await ours("--lock", bob.key, "--hash", sha256(k).hex(), "--refund-after", "1")
        theirs, _ = await alice.lock(hash_lock(sha256(k), [bob.key], now() + 1, [alice.key]), 16)
        before = await balance()
        await asyncio.sleep(2.5)
        await carol.refused(mine, what="a stranger took it back")
        await carol.refused(theirs, what="a stranger took it back")
        equal(int((await receive(token))["amount"]), 16 - fee(len(mine), PPK), "what our wallet took back")
        equal(await balance(), before + 16 - fee(len(mine), PPK), "the balance")
        equal(await alice.redeem(theirs), 16 - fee(len(theirs), PPK), "what nutshell took back")
        await bob.refused(mine, k, what="it was claimed after it was taken back")
    with world.step(f"{name}: 2 of 3 (NUT-11) with our node as one of them: alone it has nothing, with another's signature all"):
        from cashu.core.secret import Tags

        own = (await command(node, "wallet", "key"))["key"]
        lock = await alice.wallet.create_p2pk_lock(alice.key, tags=Tags([["pubkeys", bob.key, own]]), n_sigs=2)
        proofs, token = await alice.lock(lock, 16)
        before = await balance()
        await receive(token, status=1)
        await bob.refused(proofs)
        equal((await balance(), bob.states(proofs)[0]["state"]), (before, "UNSPENT"), "the balance, and the coin's state")
        signed_once = bob.wallet.sign_p2pk_sig_inputs([proof.model_copy(deep=True) for proof in proofs])
        await receive(await bob.token(signed_once))
        equal(await balance(), before + 16 - fee(len(proofs), PPK), "the balance")
    with world.step(f"{name}: 2 of 3 over the outputs (SIG_ALL, the lock of mode arbiter): any two, for what both signed"):
        await any_two_over_the_outputs(alice, bob, carol)
    node.audit()


async def any_two_over_the_outputs(provider, buyer, arbiter):
    from cashu.core.secret import Tags

    async def locked():
        tags = Tags([["pubkeys", buyer.key, arbiter.key], ["locktime", str(now() + 3600)], ["refund", buyer.key]])
        lock = await provider.wallet.create_p2pk_lock(provider.key, tags=tags, sig_all=True, n_sigs=2)
        return (await provider.lock(lock, 16))[0]

    async def redeemed(owner, second, proofs, of_other_outputs=False):
        """`second` signs too, what `owner` swaps for or, as a cheated one would have it, something else."""
        own = owner.wallet.sign_proofs_inplace_swap

        def both(inputs, outputs):
            signed_by_one = second.wallet.sign_proofs_inplace_swap(inputs, outputs[::-1] if of_other_outputs else outputs)
            return own(signed_by_one, outputs)

        owner.wallet.sign_proofs_inplace_swap = both
        try:
            return await owner.redeem(proofs)
        finally:
            owner.wallet.sign_proofs_inplace_swap = own

    proofs = await locked()
    for alone in (provider, buyer, arbiter):
        await alone.refused(proofs, what="one of three was enough")
    try:
        await redeemed(provider, buyer, proofs, of_other_outputs=True)
        check(False, "a signature over other outputs was taken")
    except CheckFailed:
        raise
    except Exception as error:
        check(str(error).startswith("Mint Error"), f"not refused by the mint: {error!r}")
    equal(await redeemed(provider, buyer, proofs), 16 - fee(len(proofs), PPK), "a release: buyer and provider")
    for owner in (provider, buyer):
        proofs = await locked()
        equal(await redeemed(owner, arbiter, proofs), 16 - fee(len(proofs), PPK), "a ruling: the arbiter and a party")


def checks(world):
    mint = nutshell_mint(world)
    lightning = world.simulator()
    network = f"lightning.simulatedURL={lightning.url}"
    buyer = world.node("buyer", network, f"mint.inputFeePPK={PPK}")
    seller = world.node("seller", network, "mint.enabled=false", f"ecash.acceptedMints={mint}")
    between_our_nodes(world, mint, buyer, seller)
    os.environ.update(CASHU_DIR=world.path("nutshell-library"), MINT_URL=mint, TOR="FALSE")
    import cashu.wallet.wallet  # which sets its log up
    from loguru import logger

    logger.remove()

    async def by_hand():
        theirs = await Library.opened(world, mint, "seller-by-hand")
        await our_buyer(world, mint, buyer, theirs)
        theirs = await Library.opened(world, mint, "buyer-by-hand")
        await theirs.fund(100, lambda invoice: None)  # nutshell's FakeWallet pays by itself
        await our_seller(world, mint, seller, theirs)
        await locks_by_hand(world, mint, buyer, lambda invoice: None, "nutshell's mint")
        await command(buyer, "wallet", "fund", "100sat")
        await locks_by_hand(world, buyer.mint, buyer, lightning.pay, "our mint")

    asyncio.run(by_hand())


if __name__ == "__main__":
    run(checks, limit_seconds=540)
