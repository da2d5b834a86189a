"""Our mint on a real LNbits 1.6.2 (PyPI), with its FakeWallet as funding source.

FakeWallet pays the invoices of its own LNbits only, answers at once, and writes them for mainnet (`lnbc…`) though nobody
can pay them; so payments over a network, routing fees and a node that answers late are not seen here. A payment without an
answer is made by a proxy between our node and LNbits that withholds it."""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bolt11

from nutshell import foreign_invoice
from world import MINTMARK, PATIENCE_SECONDS, check, equal, free_port, http_call, own_environment, run, until

PYTHON = os.environ["LNBITS_PYTHON"]
PROGRAMS = os.path.dirname(PYTHON)
JSON = {"Content-Type": "application/json"}


class LNbits:
    """A server of its own, with two wallets of 100,000 sat: our mint's and somebody else's."""

    def __init__(self, world):
        folder, port = world.path("lnbits"), free_port()
        os.makedirs(folder)
        # LNbits wants to stand among its own files; asked without importing it, as that writes a key where it stands.
        packages = subprocess.run(
            [PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        environment = {
            "PATH": f"{PROGRAMS}:/usr/bin:/bin", "HOME": folder, "LNBITS_DATA_FOLDER": folder,
            "LNBITS_EXTENSIONS_PATH": folder, "LNBITS_BACKEND_WALLET_CLASS": "FakeWallet", "LNBITS_ADMIN_UI": "true",
            "AUTH_SECRET_KEY": secrets.token_hex(16),
        }
        # Not by its own `lnbits`, which leaves a child behind when it is told to end.
        uvicorn = os.path.join(PROGRAMS, "uvicorn")
        program = [uvicorn, "lnbits.__main__:app", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        process, _ = world.spawn("lnbits-server", ["env", "-C", packages, *program], environment)
        self.url = f"http://127.0.0.1:{port}"
        until(lambda: http_call(self.url + "/api/v1/health")[0] == 200, "LNbits", process)
        password = secrets.token_hex(8)
        token = self.call(
            "PUT", "/api/v1/auth/first_install",
            {"username": "operator", "password": password, "password_repeat": password},
        )["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        self.mint = self.call("POST", "/api/v1/wallet", {"name": "mint"}, bearer)
        self.other = self.call("POST", "/api/v1/wallet", {"name": "other"}, bearer)
        for wallet in (self.mint, self.other):
            self.call("PUT", "/users/api/v1/balance", {"id": wallet["id"], "amount": 100_000}, bearer)

    def call(self, method, path, body=None, headers=None, status=(200, 201)):
        found, _, answer = http_call(self.url + path, method, body, JSON | (headers or {}))
        check(found in status, f"LNbits {method} {path}: {found} {answer[:300]}")
        return json.loads(answer)

    def balance(self, wallet):
        """In sat."""
        return self.call("GET", "/api/v1/wallet", headers={"X-Api-Key": wallet["inkey"]})["balance"] // 1000

    def invoice(self, wallet, sat):
        body = {"out": False, "unit": "sat", "amount": sat, "memo": "interop", "expiry": 600}
        return self.call("POST", "/api/v1/payments", body, {"X-Api-Key": wallet["inkey"]})["bolt11"]

    def pay(self, wallet, invoice):
        paid = self.call(
            "POST", "/api/v1/payments", {"out": True, "bolt11": invoice}, {"X-Api-Key": wallet["adminkey"]}
        )
        equal(paid["status"], "success", "the payment's status")

    def is_paid(self, wallet, invoice):
        path = "/api/v1/payments/" + bolt11.decode(invoice).payment_hash
        return self.call("GET", path, headers={"X-Api-Key": wallet["inkey"]})["paid"]


class Proxy:
    """Stands between our node and LNbits. While it holds, a payment is passed on and its answer is kept back."""

    def __init__(self, world, target):
        self.holds, self.held, self.payments = False, threading.Event(), 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                wanted = ("X-Api-Key", "Content-Type", "Accept")
                headers = {name: self.headers[name] for name in wanted if self.headers[name]}
                status, _, answer = http_call(target + self.path, self.command, body or None, headers)
                if self.command == "POST" and json.loads(body or b"{}").get("out"):
                    proxy.payments += 1
                    if proxy.holds:
                        proxy.held.set()
                        self.close_connection = True
                        time.sleep(PATIENCE_SECONDS)
                        return
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = pass_on

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        world.servers.append(server)
        self.url = f"http://127.0.0.1:{server.server_port}"


class Node:
    """Our node, with LNbits behind its mint, on a port that stays the same when it is started again."""

    def __init__(self, world, url, key):
        self.world, self.port, self.starts = world, free_port(), 0
        self.data = world.node("mint", serve=False)
        self.folder = self.data.folder
        self.secret = world.path("lnbits.key")
        with open(os.open(self.secret, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(key + "\n")
        self.settings = ["lightning.backend=lnbits", f"lightning.url={url}", f"lightning.secretFile={self.secret}"]
        self.mint = f"http://127.0.0.1:{self.port}/mint"

    def arguments(self, *settings):
        flags = [flag for setting in (*self.settings, *settings) for flag in ("--set", setting)]
        return [MINTMARK, "serve", "--port", str(self.port), *flags, "--data", self.folder, "--json"]

    def start(self):
        self.starts += 1
        facts = self.world.spawn_ready(f"mint-{self.starts}", self.arguments("network=mainnet"))
        self.process = self.world.processes[-1][0]
        return facts

    def refuses_to_start(self, *settings):
        done = subprocess.run(
            self.arguments(*settings), env=own_environment(), capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        check(done.returncode != 0, f"it started with {settings}: {done.stdout[-500:]}")
        return done.stdout + done.stderr

    def run(self, *arguments, **expected):
        return self.data.run(*arguments, **expected)

    def balance(self):
        return self.data.balance(self.mint)

    def api(self, path, body):
        with open(os.path.join(self.folder, "operator-token")) as file:
            headers = JSON | {"Authorization": f"Bearer {file.read().strip()}"}
        status, _, answer = http_call(f"http://127.0.0.1:{self.port}{path}", "POST", body, headers)
        equal(status, 200, f"the answer to {path} ({answer[:300]})")
        return json.loads(answer)

    def fund(self, sat):
        """A mint quote of the node's own wallet: its invoice and id."""
        quote = self.api("/api/wallet/fund", {"amount": str(sat), "unit": "sat", "payInvoice": False})
        return quote["invoice"], quote["id"]

    def collected(self, quote):
        return self.api(f"/api/wallet/fund/{quote}", {})["state"]

    def quote(self, kind, body):
        url = f"{self.mint}/v1/{kind}/quote/bolt11"
        status, _, answer = http_call(url, "POST", body, JSON)
        return status, json.loads(answer)


def checks(world):
    with world.step("LNbits 1.6.2 starts, with FakeWallet"):
        lnbits = LNbits(world)
        proxy = Proxy(world, lnbits.url)
    node = Node(world, proxy.url, lnbits.mint["adminkey"])
    with world.step("a key that LNbits does not know, or another network, keeps our node from starting, and says so"):
        said = node.refuses_to_start("network=mainnet", f"lightning.secretFile={wrong_key(world)}")
        check("lightning.secretFile" in said and "ffffffff" not in said, f"it says: {said[-400:]}")
        said = node.refuses_to_start("network=regtest")
        check("regtest" in said and "lnbc" in said, f"it says: {said[-400:]}")
        check("network" in node.refuses_to_start(), "without a network it says something else")
    with world.step("our node starts with LNbits behind its mint"):
        facts = node.start()
        check("lnbits on mainnet" in facts["lightning"], f"Lightning is {facts['lightning']}")
        check("15" not in json.loads(http_call(node.mint + "/v1/info")[2])["nuts"], "it claims to pay parts")
    with world.step("mint: the quote's invoice is LNbits', unpaid and then paid by another wallet, and ecash comes once"):
        invoice, quote = node.fund(1000)
        decoded = bolt11.decode(invoice)
        equal((invoice[:4], decoded.amount_msat), ("lnbc", 1_000_000), "the invoice")
        equal(node.collected(quote), "unpaid", "the state before it is paid")
        lnbits.pay(lnbits.other, invoice)
        until(lambda: node.collected(quote) == "issued", "the ecash")
        equal(node.balance(), 1000, "our wallet's balance")
    with world.step("a quote is paid with nobody asking: LNbits' word reaches the mint"):
        _, made = node.quote("mint", {"amount": 21, "unit": "sat"})
        lnbits.pay(lnbits.other, made["request"])
        time.sleep(4)
        # LNbits does not answer any more: what the mint says now, it knew.
        process = world.processes[0][0]
        process.send_signal(signal.SIGSTOP)
        try:
            status, _, answer = http_call(f"{node.mint}/v1/mint/quote/bolt11/{made['quote']}")
        finally:
            process.send_signal(signal.SIGCONT)
        equal((status, json.loads(answer)["amount_paid"]), (200, 21), "the quote")
    with world.step("melt: an invoice of another wallet is paid, with the preimage; the reserve comes back"):
        invoice = lnbits.invoice(lnbits.other, 77)
        before, held = node.balance(), lnbits.balance(lnbits.mint)
        paid = node.run("wallet", "pay-invoice", invoice)
        equal((paid["amount"], paid["fee"]), ("77", "0"), "what was paid")
        if "preimage" in paid:
            digest = hashlib.sha256(bytes.fromhex(paid["preimage"])).hexdigest()
            equal(digest, bolt11.decode(invoice).payment_hash, "the preimage's hash")
        check(lnbits.is_paid(lnbits.other, invoice), "LNbits does not call it paid")
        equal((before - node.balance(), held - lnbits.balance(lnbits.mint)), (77, 77), "what the two paid")
        again = node.run("wallet", "pay-invoice", invoice)
        equal((again["state"], again.get("preimage")), ("paid", paid.get("preimage")), "how the second try finds it")
        equal((before - node.balance(), held - lnbits.balance(lnbits.mint)), (77, 77), "what the two paid after it")
    with world.step("melt: what LNbits cannot pay fails and gives everything back: a stranger's invoice, and its own"):
        before = node.balance()
        for invoice in (foreign_invoice(50), lnbits.invoice(lnbits.mint, 50)):
            node.run("wallet", "pay-invoice", invoice, status=1)
            until(lambda: node.balance() == before, "the balance as before")
    with world.step("melt: an invoice of our own mint is settled inside, and LNbits sees nothing of it"):
        _, made = node.quote("mint", {"amount": 30, "unit": "sat"})
        before, payments = node.balance(), proxy.payments
        node.run("wallet", "pay-invoice", made["request"])
        equal((before - node.balance(), proxy.payments), (30, payments), "what it cost, and LNbits' payments")
    with world.step("a payment whose answer never comes, and a kill -9: after the restart it is found settled, paid once"):
        invoice = lnbits.invoice(lnbits.other, 123)
        before, held, payments = node.balance(), lnbits.balance(lnbits.mint), proxy.payments
        proxy.holds = True
        command = subprocess.Popen(
            [MINTMARK, "wallet", "pay-invoice", invoice, "--data", node.folder, "--json"],
            env=own_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        check(proxy.held.wait(PATIENCE_SECONDS), "the payment did not reach LNbits")
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
        world.processes = [entry for entry in world.processes if entry[0] is not node.process]
        command.wait(PATIENCE_SECONDS)
        proxy.holds = False
        node.start()
        until(lambda: before - node.balance() == 123, "the melt's end")
        equal(held - lnbits.balance(lnbits.mint), 123, "what the mint's LNbits wallet paid")
        equal(proxy.payments, payments + 1, "payments sent to LNbits")
    with world.step("our books add up"):
        node.data.audit()


def wrong_key(world):
    path = world.path("wrong.key")
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write("f" * 32)
    return path


if __name__ == "__main__":
    run(checks, limit_seconds=240)
