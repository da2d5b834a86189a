"""Ecash across implementations, with nutshell 0.21.0 (PyPI `cashu`): its wallet at our mint, our wallet at its mint, and
a call of our gateway paid by hand with its tokens. TEST MONEY throughout."""

import asyncio
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import time

import bolt11
import cbor2

from data_integrity import base64url, multihash, signer, unbase64url
from world import PATIENCE_SECONDS, check, equal, fee, free_port, http_call, run, until

PPK = 100  # input fee of both mints, thousandths of a sat a proof
PROGRAMS = os.path.dirname(sys.executable)


def environment(folder, **settings):
    return {
        "PATH": f"{PROGRAMS}:/usr/bin:/bin", "HOME": folder, "CASHU_DIR": folder, "TOR": "FALSE", "NO_COLOR": "1",
    } | settings


class Wallet:
    """nutshell's wallet, by its command line, as a user types it."""

    def __init__(self, world, mint, name):
        self.mint, self.name = mint, name
        self.environment = environment(world.path("nutshell-" + name), MINT_URL=mint)
        os.makedirs(self.environment["HOME"], exist_ok=True)

    def run(self, *arguments, text_in="", fails=False):
        command = [os.path.join(PROGRAMS, "cashu"), "-h", self.mint, "-t", "-y", "-w", self.name, *arguments]
        done = subprocess.run(
            command, env=self.environment, input=text_in, capture_output=True, text=True, timeout=4 * PATIENCE_SECONDS
        )
        text = done.stdout + done.stderr
        failed = done.returncode != 0 or "Error" in text
        check(failed == fails, f"cashu {' '.join(arguments)[:100]} {'worked' if fails else 'failed'}: {text[-1200:]}")
        return text

    def balance(self):
        return int(re.findall(r"Balance: (\d+) sat", self.run("balance"))[-1])

    def invoice(self, sat):
        """A mint quote: its invoice and id."""
        text = self.run("invoice", "-n", str(sat))
        return re.search(r"Invoice: (ln\w+)", text)[1], re.search(r"--id (\S+)", text)[1]

    def mint_paid(self, sat, quote):
        self.run("invoice", str(sat), "--id", quote)

    def send(self, sat, *flags):
        return re.search(r"^cashu[AB]\S+", self.run("send", str(sat), *flags), re.MULTILINE)[0]

    def receive(self, token):
        return int(re.search(r"Received (\d+) sat", self.run("receive", token))[1])

    def key(self):
        return re.search(r"P2PK:(0[23][0-9a-f]{64})", self.run("lock", "p2pk"))[1]

    def words(self):
        return re.search(r"^ - ((?:[a-z]+ ){11}[a-z]+)$", self.run("info", "--mnemonic"), re.MULTILINE)[1]


def nutshell_mint(world):
    folder, port = world.path("nutshell-mint"), free_port()
    os.makedirs(folder)
    process, _ = world.spawn("nutshell-mint-server", [os.path.join(PROGRAMS, "mint")], environment(
        folder, MINT_PRIVATE_KEY=secrets.token_hex(32), MINT_BACKEND_BOLT11_SAT="FakeWallet", FAKEWALLET_BRR="TRUE",
        FAKEWALLET_DELAY_INCOMING_PAYMENT="1", FAKEWALLET_DELAY_OUTGOING_PAYMENT="0", MINT_LISTEN_HOST="127.0.0.1",
        MINT_LISTEN_PORT=str(port), MINT_DATABASE=os.path.join(folder, "db"), MINT_INPUT_FEE_PPK=str(PPK),
        MINT_RATE_LIMIT="FALSE",
    ))
    url = f"http://127.0.0.1:{port}"
    until(lambda: http_call(url + "/v1/info")[0] == 200, "nutshell's mint", process)
    return url


def opened(token):
    """A V4 token, taken apart with cbor2: mint, unit, and all its proofs."""
    equal(token[:6], "cashuB", "the token's version")
    parts = cbor2.loads(unbase64url(token[6:]))
    return parts["m"], parts["u"], [proof for keyset in parts["t"] for proof in keyset["p"]]


def total(token):
    return sum(proof["a"] for proof in opened(token)[2])


def after_fee(token):
    """What is left of a token when it is redeemed: exactly the sum less NUT-02's fee."""
    proofs = opened(token)[2]
    return sum(proof["a"] for proof in proofs) - fee(len(proofs), PPK)


def foreign_invoice(sat):
    """An invoice of nobody's node, which nutshell's FakeWallet pays all the same."""
    tags = bolt11.Tags()
    tags.add(bolt11.TagChar.payment_hash, hashlib.sha256(os.urandom(32)).hexdigest())
    tags.add(bolt11.TagChar.payment_secret, secrets.token_hex(32))
    tags.add(bolt11.TagChar.description, "interop")
    tags.add(bolt11.TagChar.expire_time, 3600)
    invoice = bolt11.Bolt11(
        currency="bc", amount_msat=bolt11.MilliSatoshi(sat * 1000), date=int(time.time()), tags=tags
    )
    return bolt11.encode(invoice, secrets.token_hex(32))


# (a) nutshell's wallet at our mint


def their_wallet_at_our_mint(world, node, payer, lightning):
    alice, bob, carol = (Wallet(world, node.mint, name) for name in ("alice", "bob", "carol"))
    with world.step("nutshell mints at our mint; the invoice is paid over the simulated network"):
        invoice, quote = alice.invoice(1000)
        decoded = bolt11.decode(invoice)
        equal((invoice[:6], decoded.amount_msat), ("lnbcrt", 1_000_000), "the invoice by PyPI's bolt11")
        alice.run("invoice", "1000", "--id", quote, fails=True)  # not paid yet
        preimage = lightning.pay(invoice)
        equal(hashlib.sha256(bytes.fromhex(preimage)).hexdigest(), decoded.payment_hash, "the preimage's hash")
        alice.mint_paid(1000, quote)
        equal(alice.balance(), 1000, "the balance")
        alice.run("invoice", "1000", "--id", quote, fails=True)  # issued already
    with world.step("our wallet, at another mint of ours, pays nutshell's invoice"):
        payer.run("wallet", "fund", "1000sat")
        invoice, quote = alice.invoice(500)
        paid = payer.run("wallet", "pay-invoice", invoice)
        equal(paid["amount"], "500", "what was paid")
        alice.mint_paid(500, quote)
        equal(alice.balance(), 1500, "the balance")
    with world.step("nutshell sends, a second nutshell wallet receives (swap), V4 and V3"):
        token = alice.send(100, "--dleq")
        equal(opened(token)[:2], (node.mint, "sat"), "the token's mint and unit")
        received = bob.receive(token)
        equal(received, after_fee(token), "received")
        legacy = alice.send(40, "--legacy")
        equal(legacy[:6], "cashuA", "the token's version")
        received += bob.receive(legacy)
        equal(bob.balance(), received, "the balance")
    with world.step("a token spent before is refused, and nothing is lost by trying"):
        text = carol.run("receive", token, fails=True)
        check("11001" in text, f"not refused as spent: {text[-300:]}")
        equal((carol.balance(), bob.balance()), (0, received), "the balances")
    with world.step("nutshell locks to a key (P2PK): the holder of the key receives, others do not"):
        locked = alice.send(50, "--lock", f"P2PK:{bob.key()}", "--dleq")
        carol.run("receive", locked, fails=True)
        got = bob.receive(locked)
        equal(got, after_fee(locked), "received")
        sig_all = alice.send(30, "--lock", f"P2PK-SIGALL:{bob.key()}")
        carol.run("receive", sig_all, fails=True)
        got += bob.receive(sig_all)
        received += got
        equal(bob.balance(), received, "the balance")
    with world.step("nutshell pays a Lightning invoice at our mint (melt), change comes back"):
        before = alice.balance()
        invoice, payment_hash = lightning.invoice(77)
        text = alice.run("pay", invoice)
        check("Invoice paid." in text and "Preimage: " in text, f"not paid: {text[-300:]}")
        preimage = re.search(r"Preimage: (\w+)", text)[1]
        equal(hashlib.sha256(bytes.fromhex(preimage)).hexdigest(), payment_hash, "the preimage's hash")
        check(lightning.is_paid(payment_hash), "the invoice is not paid")
        spent = before - alice.balance()
        check(77 <= spent <= 81, f"{spent} sat went for an invoice of 77")
    with world.step("nutshell restores into a fresh wallet from its words"):
        balance = alice.balance()
        again = Wallet(world, node.mint, "restored")
        again.run("restore", "-b", "25", "-t", "2", text_in=alice.words() + "\n")
        equal(again.balance(), balance, "the restored balance")
        equal(bob.receive(again.send(balance // 2, "--force-swap")) > 0, True, "restored coins spend")
    with world.step("our mint's books add up"):
        node.audit()


# (b) our wallet at nutshell's mint


def our_wallet_at_their_mint(world, node, mint, lightning):
    dave = Wallet(world, mint, "dave")
    with world.step(f"our wallet mints at nutshell's mint, which asks {PPK} ppk"):
        funded = node.run("wallet", "fund", "1000sat", "--mint", mint, "--invoice")
        equal((funded["state"], funded["mint"]), ("issued", mint), "the funding")
        equal(node.balance(mint), 1000, "the balance")
    with world.step("our wallet sends, nutshell receives; the fee of the inputs is NUT-02's"):
        before = node.balance(mint)
        sent = node.run("wallet", "send", "100sat", "--mint", mint)
        token = sent["token"]
        equal((opened(token)[:2], total(token)), ((mint, "sat"), 100), "the token")
        check(all({"e", "s", "r"} <= proof["d"].keys() for proof in opened(token)[2]), "a proof without DLEQ")
        swap_fee = before - node.balance(mint) - 100
        check(0 <= swap_fee <= 2, f"{swap_fee} sat of fees to send 100")
        equal(dave.receive(token), after_fee(token), "received")
        equal(dave.balance(), after_fee(token), "nutshell's balance")
    with world.step("nutshell's mint tells our wallet over its WebSocket (NUT-17) that a token was claimed"):
        sent = node.run("wallet", "send", "30sat", "--mint", mint)

        def waits():
            return sent["id"] in [token["id"] for token in node.run("wallet", "sent")["tokens"]]

        check(waits(), "a token that nobody has claimed is not listed")
        until(lambda: "WebSocket /v1/ws" in world.log("nutshell-mint-server"), "our wallet's WebSocket")
        dave.receive(sent["token"])
        # Where a mint tells by itself the wallet asks every five minutes only.
        until(lambda: not waits(), "news of the claimed token")
    with world.step("invoices of nutshell's mint that were paid while our node was down come in one batch (NUT-29)"):
        away = world.node("away", f"lightning.simulatedURL={lightning.url}")
        for sat in (210, 33, 7):
            # Paid a second later. Status 4: not paid yet.
            away.run("wallet", "fund", f"{sat}sat", "--mint", mint, "--invoice", "--wait", "0", status=4)
        away.stop()
        time.sleep(1.5)
        away.start(world)
        until(lambda: away.balance(mint) == 250, "the coins of the three invoices")
        check("POST /v1/mint/bolt11/batch HTTP/1.1\" 200" in world.log("nutshell-mint-server"), "not in one batch")
        away.audit()
    with world.step("nutshell sends, our wallet receives, V4 and V3"):
        invoice, quote = dave.invoice(500)
        dave.mint_paid(500, quote)
        for flags in (["--dleq"], [], ["--legacy"]):
            token = dave.send(60, *flags)
            before = node.balance(mint)
            got = node.run("wallet", "receive", token)
            equal((got["mint"], got["unit"]), (mint, "sat"), "from where")
            if token.startswith("cashuB"):
                equal(int(got["amount"]), after_fee(token), "received")
                equal(int(got["fee"]), total(token) - after_fee(token), "the fee")
            equal(node.balance(mint) - before, int(got["amount"]), "the balance rises by")
        node.run("wallet", "receive", token, status=1)  # spent
    with world.step("our wallet locks a token to nutshell's key: nutshell receives, we cannot"):
        token = node.run("wallet", "send", "50sat", "--mint", mint, "--lock", dave.key())["token"]
        before = node.balance(mint)
        node.run("wallet", "receive", token, status=1)
        equal(node.balance(mint), before, "the balance")
        equal(dave.receive(token), after_fee(token), "received")
    with world.step("nutshell locks a token to our key: our wallet receives, a stranger does not"):
        token = dave.send(70, "--lock", f"P2PK:{node.run('wallet', 'key')['key']}", "--dleq")
        Wallet(world, mint, "erin").run("receive", token, fails=True)
        equal(int(node.run("wallet", "receive", token)["amount"]), after_fee(token), "received")
    with world.step("our wallet pays a Lightning invoice at nutshell's mint, change comes back"):
        before = node.balance(mint)
        paid = node.run("wallet", "pay-invoice", foreign_invoice(77), "--mint", mint)
        equal(paid["amount"], "77", "what was paid")
        equal(before - node.balance(mint), 77 + int(paid["fee"]), "the balance falls by")
        check(int(paid["fee"]) <= 5, f"a fee of {paid['fee']}")
    with world.step("a fresh node with our 12 words finds all of it at nutshell's mint, and can spend it"):
        node.audit()
        left = node.balance(mint)
        again = world.node("restored", f"lightning.simulatedURL={lightning.url}", words=node.words)
        equal(again.made["did"], node.made["did"], "the node's DID")
        equal(int(again.run("wallet", "restore", "--mint", mint)["amount"]), left, "found")
        equal(again.balance(mint), left, "the balance")
        token = again.run("wallet", "send", "200sat", "--mint", mint)["token"]
        equal(dave.receive(token), after_fee(token), "received of restored coins")
        again.audit()


def first_proof_of(token):
    """A token of one proof out of a token of several."""
    parts = cbor2.loads(unbase64url(token[6:]))
    check(len(opened(token)[2]) > 1, "the token has a single proof")
    parts["t"] = [{"i": parts["t"][0]["i"], "p": parts["t"][0]["p"][:1]}]
    return "cashuB" + base64url(cbor2.dumps(parts))


# (c) a call of our gateway, paid by hand


def challenge(url):
    """The payment request of a 402, by cbor2."""
    status, headers, body = http_call(url)
    equal((status, json.loads(body)["code"]), (402, "payment-required"), "the unpaid call")
    creq = headers["X-Cashu"]
    equal(creq[:5], "creqA", "the challenge's version")
    return cbor2.loads(unbase64url(creq[5:]))


def pay(url, token, **headers):
    status, answer, body = http_call(url, headers={"X-Cashu": token} | headers)
    return status, answer, json.loads(body)


def paid_call_by_hand(world, node):
    # The wallet that was restored: it spent coins that the one it came from still believes in.
    alice = Wallet(world, node.mint, "restored")
    upstream, asked = world.upstream()
    node.run("service", "add", "weather", "--upstream", upstream, "--price", "2sat")
    url = f"{node.url}/s/weather/today"

    def served(token):
        before = len(asked)
        status, headers, body = pay(url, token)
        equal((status, body.get("weather")), (200, "fair"), f"the paid call ({body})")
        equal(len(asked), before + 1, "calls of the service")
        receipt = json.loads(unbase64url(headers["Agent-Receipt"]))
        equal(signer(receipt), node.made["did"], "the receipt's signer")
        equal((receipt["payment"]["amount"], receipt["payment"]["unit"]), ("2", "sat"), "the receipt's price")
        points = sorted(hash_to_curve(proof["s"]) for proof in opened(token)[2])
        equal(receipt["payment"]["digest"], multihash(b"".join(points)), "the receipt's payment digest")
        return receipt

    with world.step("402 with a NUT-18 challenge that cbor2 and nutshell read"):
        asks = challenge(url)
        equal((asks["u"], asks["m"], asks["nut10"]["k"]), ("sat", [node.mint], "P2PK"), "the challenge")
        equal(asks["nut10"]["d"], node.facts["sellerKey"], "the key to lock to")
        check(asks["a"] >= 2 + fee(1, PPK), f"{asks['a']} sat does not cover price and fees")
        amount, lock = asks["a"], f"P2PK:{asks['nut10']['d']}"
        shown = json.loads(alice.run("decode", http_call(url)[1]["X-Cashu"]))
        equal((shown["a"], shown["u"]), (amount, "sat"), "the challenge as nutshell reads it")
    with world.step("200 and a receipt for a plain token; used again for another request, it is refused"):
        plain = alice.send(amount, "--force-swap")
        receipt = served(plain)
        before = len(asked)
        status, headers, _ = pay(url, plain)
        equal((status, json.loads(unbase64url(headers["Agent-Receipt"]))), (200, receipt), "the stored answer")
        status, _, body = pay(url + "?other", plain)
        equal((status, body["code"]), (400, "payment-reused"), "the same payment for another request")
        equal(len(asked), before, "calls of the service")
        equal(spent(node.mint, plain), True, "whether the token that paid is spent")
    with world.step("a token that is too small is refused untouched: the whole of it still pays"):
        whole = alice.send(amount, "--force-swap")
        before = len(asked)
        status, _, body = pay(url, first_proof_of(whole))
        equal((status, body["code"]), (400, "amount-too-low"), "a part of the price")
        equal((len(asked), spent(node.mint, whole)), (before, False), "calls of the service, and whether it is spent")
        served(whole)
    with world.step("with an idempotency key the same payment gets the stored answer, and another request a refusal"):
        token, key = alice.send(amount, "--force-swap"), {"Idempotency-Key": secrets.token_hex(16)}
        before = len(asked)
        first, second = pay(url, token, **key), pay(url, token, **key)
        equal([answer[0] for answer in (first, second)], [200, 200], f"the answers ({first[2]}, {second[2]})")
        equal(second[2], first[2], "the stored answer")
        equal(second[1]["Agent-Receipt"], first[1]["Agent-Receipt"], "the stored receipt")
        equal(pay(url + "?other", token, **key)[0], 422, "another request with the same key")
        equal(len(asked), before + 1, "calls of the service")
    with world.step("200 and a receipt for a token locked to the seller (P2PK), with DLEQ, and without"):
        served(alice.send(amount, "--lock", lock, "--dleq"))
        served(alice.send(amount, "--lock", lock))
        stranger = alice.send(amount, "--lock", f"P2PK:{alice.key()}", "--dleq")
        status, _, body = pay(url, stranger)
        equal(status, 400, f"a token locked to another key ({body})")
        equal(alice.receive(stranger) > 0, True, "which comes back to its owner")
    with world.step("the seller's books add up"):
        node.audit()


def spent(mint, token):
    """Whether a token is nobody else's to spend (NUT-07): what a call took is PENDING at the seller's own mint until its batch."""
    points = [hash_to_curve(proof["s"]).hex() for proof in opened(token)[2]]
    status, _, body = http_call(mint + "/v1/checkstate", "POST", {"Ys": points}, {"Content-Type": "application/json"})
    equal(status, 200, "the answer to a state check")
    states = {state["state"] for state in json.loads(body)["states"]}
    check(states <= {"SPENT", "PENDING", "UNSPENT"} and len(states) == 1, f"states {states}")
    return states != {"UNSPENT"}


def hash_to_curve(secret):
    """NUT-00, by nutshell's own code."""
    from cashu.core.crypto.b_dhke import hash_to_curve as nutshell_hash_to_curve

    return nutshell_hash_to_curve(secret.encode()).format()


# (d) spending conditions, by nutshell's library: its command line knows no hash locks and no shared locks


def conditions_at_our_mint(world, node, lightning):
    os.environ.update(CASHU_DIR=world.path("nutshell-library"), MINT_URL=node.mint, TOR="FALSE")
    from cashu.core.base import HTLCWitness
    from cashu.core.secret import Tags
    from cashu.wallet.wallet import Wallet as Library
    from loguru import logger

    logger.remove()

    async def opened_wallet(name):
        wallet = await Library.with_db(node.mint, world.path("nutshell-library-" + name), name)
        await wallet.load_mint()
        return wallet

    async def received(wallet, proofs):
        before = wallet.available_balance.amount
        await wallet.load_proofs(reload=True)
        await wallet.redeem(proofs)
        return wallet.available_balance.amount - before

    async def refused(wallet, proofs):
        try:
            await wallet.redeem(proofs)
        except Exception:
            return
        check(False, "it was taken")

    async def hash_lock(alice, bob, keys):
        preimage = secrets.token_hex(32)
        lock = await alice.create_htlc_lock(preimage=preimage, hashlock_pubkeys=keys)
        _, locked = await alice.swap_to_send(alice.proofs, 32, secret_lock=lock)

        def witnessed(text):
            for proof in locked:
                proof.witness = None
            signatures = bob.signatures_proofs_sig_inputs(locked) if keys else [None] * len(locked)
            for proof, signature in zip(locked, signatures):
                proof.witness = HTLCWitness(preimage=text, signatures=signature and [signature]).model_dump_json()
            return locked

        await refused(bob, witnessed(secrets.token_hex(32)))
        equal(await received(bob, witnessed(preimage)), 32 - fee(len(locked), PPK), "received for the preimage")

    async def all_of_it():
        alice, bob = await opened_wallet("alice"), await opened_wallet("bob")
        quote = await alice.request_mint(500)
        lightning.pay(quote.request)
        await alice.mint(500, quote_id=quote.quote)
        keys = [await wallet.create_p2pk_pubkey() for wallet in (alice, bob)]
        with world.step("nutshell locks to a hash (NUT-14): the preimage spends, another does not"):
            await hash_lock(alice, bob, None)
        with world.step("nutshell locks to a hash and a key (NUT-14): preimage and signature spend"):
            await hash_lock(alice, bob, [keys[1]])
        with world.step("nutshell locks to two keys (NUT-11 n_sigs 2): one signature is refused, both spend"):
            lock = await alice.create_p2pk_lock(keys[0], tags=Tags([["pubkeys", keys[1]]]), n_sigs=2)
            _, locked = await alice.swap_to_send(alice.proofs, 32, secret_lock=lock)
            await refused(bob, [proof.model_copy(deep=True) for proof in locked])
            locked = alice.sign_p2pk_sig_inputs(locked)
            equal(await received(bob, locked), 32 - fee(len(locked), PPK), "received")

    asyncio.run(all_of_it())
    node.audit()


def checks(world):
    mint = nutshell_mint(world)
    lightning = world.simulator()
    network = f"lightning.simulatedURL={lightning.url}"
    ours = world.node("ours", network, f"mint.inputFeePPK={PPK}")
    payer = world.node("payer", network)
    their_wallet_at_our_mint(world, ours, payer, lightning)
    paid_call_by_hand(world, ours)
    our_wallet_at_their_mint(world, payer, mint, lightning)
    conditions_at_our_mint(world, ours, lightning)


if __name__ == "__main__":
    run(checks, limit_seconds=540)
