"""Our buyer pays x402's official FastAPI server (PyPI `x402`), whose payments our facilitator settles on a real EVM (py-evm).

The token and the chain are those of x402_peer.py. Balances must move once for each call, also where the facilitator's answer is
lost and the server asks anew. Needs what x402_peer.py needs, and $MINTMARK.
"""

import contextlib
import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import uvicorn
from fastapi import FastAPI, Request
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import payment_middleware
from x402.mechanisms.evm.exact.register import register_exact_evm_server
from x402.server import x402ResourceServer

from world import MINTMARK, check, equal, free_port, own_environment, run, until
from x402_peer import CHAIN_ID, OPERATOR, PAYEE, TOKEN, Chain, balance, serve

ASSET = f"eip155:{CHAIN_ID}/{TOKEN}=usd:6"
CENT = 10_000
SELLER = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"


class BuyerChain(Chain):
    """The chain as a payer asks it too: when the latest block was made."""

    def eth_getBlockByNumber(self, number, full):
        block = self.tester.get_block_by_number("latest")
        return {"baseFeePerGas": hex(block["base_fee_per_gas"]), "timestamp": hex(block["timestamp"])}

    def eth_call(self, call, block):
        """Of eth-tester's, a call is paid for; of a node's it is not."""
        return super().eth_call(call | {"from": OPERATOR.address}, block)

    def send(self, transaction):
        with self.lock:
            self.tester.send_transaction({"from": self.tester.get_accounts()[0], "gas_price": 10**10} | transaction)

    def mint_token(self, holder, amount):
        data = "0x40c10f19" + "00" * 12 + holder[2:].lower() + amount.to_bytes(32, "big").hex()
        self.send({"to": TOKEN, "data": data, "gas": 200_000})

    def travel(self, seconds):
        with self.lock:
            self.tester.time_travel(self.tester.get_block_by_number("latest")["timestamp"] + seconds)
            self.tester.mine_block()


class FacilitatorLine:
    """The line between the server and our facilitator; it loses answers to `/settle` where a check says so."""

    def __init__(self, target):
        line = self
        self.target = target
        self.lost = 0
        self.held = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def pass_on(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                if self.path.endswith("/settle") and line.held:
                    line.held -= 1
                    self.send_error(500)
                    return
                request = urllib.request.Request(line.target + self.path, data=body, method=self.command)
                request.add_header("Content-Type", "application/json")
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer:
                        status, text = answer.status, answer.read()
                except urllib.error.HTTPError as answer:
                    status, text = answer.code, answer.read()
                if self.path.endswith("/settle") and line.lost:
                    line.lost -= 1
                    self.send_error(500)
                    return
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = pass_on

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def official_server(facilitator_url):
    """The official FastAPI server, selling /weather for a cent."""
    resource_server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=facilitator_url)))
    register_exact_evm_server(resource_server)
    routes = {
        "GET /weather": {
            "accepts": {"scheme": "exact", "payTo": PAYEE, "price": "$0.01", "network": f"eip155:{CHAIN_ID}"},
            "description": "the weather",
        }
    }
    app = FastAPI()
    served = []
    middleware = payment_middleware(routes, resource_server)

    @app.middleware("http")
    async def paid(request: Request, call_next):
        return await middleware(request, call_next)

    @app.get("/weather")
    async def weather():
        served.append(True)
        return {"weather": "fair"}

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    return f"http://127.0.0.1:{port}", served


def checks(world):
    chain = BuyerChain()
    rpc = serve(chain)
    lightning = world.simulator()
    settings = [f"lightning.simulatedURL={lightning.url}"]
    facilitator = world.node(
        "facilitator", *settings, f"x402.chainURL={rpc}", f"x402.chainID={CHAIN_ID}", f"x402.tokens={TOKEN}", "x402.payees=*",
    )
    buyer = world.node(
        "buyer", *settings, f"wallet.evmAssets={ASSET}", f"wallet.evmRPC=eip155:{CHAIN_ID}={rpc}", "wallet.rates=usd=10400",
    )
    chain.send({"to": facilitator.facts["settlementAccount"], "value": 10**20, "gas": 21_000})
    line = FacilitatorLine(facilitator.url + "/x402")
    shop, served = official_server(line.url)
    until(lambda: urllib.request.urlopen(shop + "/docs"), "the official server")
    url = shop + "/weather"

    with world.step("the wallet shows its account, and that nothing is there yet"):
        shown = buyer.run("wallet", "evm")
        account = shown["address"]
        equal(shown["assets"][0]["balance"], "0", "the balance")
        refused = buyer.run("pay", url, "--max", "20sat", status=2)
        equal(refused["code"], "insufficient-funds", "paying from an empty account")

    chain.mint_token(account, 100 * CENT)

    with world.step("a dry run shows the official server's offer, and moves nothing"):
        preview = buyer.run("pay", url, "--max", "20sat", "--dry-run")
        picked = preview["picked"]
        equal((picked["way"], picked["cost"], picked["amount"]), ("x402-exact", "11", str(CENT)), "the offer")
        equal(balance(chain, account), 100 * CENT, "the account")
        dear = buyer.run("pay", url, "--max", "10sat", "--dry-run", status=2)
        check(dear["offers"][0]["code"] == "limit-exceeded", dear)

    with world.step("a call is paid, the money moves once, and the settlement is kept"):
        paid = buyer.run("pay", url, "--max", "20sat", "--idempotency-key", "one")
        check("fair" in paid["body"] and paid["payment"]["state"] == "served", paid)
        equal(balance(chain, PAYEE), CENT, "what the seller has")
        check(paid["payment"]["settlement"]["transaction"].startswith("0x"), paid)
        equal(paid["payment"]["authorization"]["state"], "used", "the authorisation")

    with world.step("the same call again under its key moves nothing"):
        buyer.run("pay", url, "--max", "20sat", "--idempotency-key", "one", status=2)
        equal(balance(chain, PAYEE), CENT, "what the seller has")

    with world.step("in the token's own unit, without a rate"):
        paid = buyer.run("pay", url, "--max", "1usd")
        equal((paid["payment"]["amount"], paid["payment"]["unit"]), ("1", "usd"), "the cost")
        equal(balance(chain, PAYEE), 2 * CENT, "what the seller has")

    with world.step("a settlement whose answer is lost is not paid again, though the server asks anew"):
        line.lost = 20
        before = len(chain.sent)
        buyer.run("pay", url, "--max", "20sat", "--idempotency-key", "lost", status=2)
        line.lost = 0
        equal(len(chain.sent), before + 1, "transactions")
        equal(balance(chain, PAYEE), 3 * CENT, "what the seller has")
        payments = [one for one in payments_of(buyer) if one["idempotencyKey"] == "lost"]
        equal(len(payments), 1, "payments for the call")
        equal(payments[0]["authorization"]["state"], "used", "the authorisation")

    with world.step("our own gateway is paid over x402 too, once, and the receipt fits the payment"):
        upstream, asked = world.upstream()
        seller = world.node(
            "seller", *settings, f"x402.chainURL={rpc}", f"x402.chainID={CHAIN_ID}",
            f"x402.assets=usdc:{TOKEN}:USDC:2:usd={CENT}", f"x402.payTo={SELLER}",
        )
        chain.send({"to": seller.facts["settlementAccount"], "value": 10**20, "gas": 21_000})
        seller.run("service", "add", "weather", "--upstream", upstream, "--price", "1usd", "--accept", "x402-exact")
        call_of = ["pay", seller.url + "/s/weather/today", "--max", "20sat", "--via", "x402", "--idempotency-key", "own"]
        first = buyer.run(*call_of)
        equal((first["payment"]["way"], first["payment"]["amount"]), ("x402-exact", "11"), "the payment")
        equal(first["payment"]["receiptState"], "verified", "the receipt")
        again = buyer.run(*call_of)
        equal(again["body"], first["body"], "the answer under the same key")
        equal((balance(chain, SELLER), len(asked)), (CENT, 1), "what the seller has, and how often the service was called")

    with world.step("a client that knows nothing of money pays through `mintmark proxy`"):
        process, log = world.spawn(
            "proxy",
            [MINTMARK, "proxy", "--max", "20sat", "--budget", "25sat", "--listen", "127.0.0.1:0", "--json", "--data", buyer.folder],
            own_environment(),
        )
        address = until(lambda: listening(log), "the proxy", process)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://{address}"}))
        for expected in (200, 200, 402):
            equal(call(opener, url), expected, "the status through the proxy")
        equal(balance(chain, PAYEE), 5 * CENT, "what the seller has")

    with world.step("a payment that is never settled comes back when it has lapsed"):
        line.held = 20
        buyer.run("pay", url, "--max", "20sat", "--idempotency-key", "held", status=2)
        line.held = 0
        payment = next(one for one in payments_of(buyer) if one["idempotencyKey"] == "held")
        equal(payment["state"], "pending", "the payment while it may be settled")
        blocked = buyer.run("pay", url, "--max", "20sat", status=4)
        equal(blocked["code"], "outcome-unknown", "the same call while its payment may be settled")
        chain.travel(3600)
        buyer.run("pay", "--resume")
        payment = next(one for one in payments_of(buyer) if one["idempotencyKey"] == "held")
        equal((payment["state"], payment["authorization"]["state"]), ("refused", "lapsed"), "the payment after it lapsed")
        equal(balance(chain, account), 94 * CENT, "the account")


def payments_of(node):
    """What the node's books say, newest first, by its operator's socket."""
    connection = UnixConnection(node.folder + "/node.sock")
    connection.request("GET", "/api/payments")
    return json.loads(connection.getresponse().read())["payments"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def listening(log):
    with open(log) as lines:
        for text in lines:
            with contextlib.suppress(ValueError):
                return json.loads(text)["listening"]
    return None


def call(opener, url):
    try:
        with opener.open(url, timeout=60) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as answer:
        answer.read()
        return answer.code


if __name__ == "__main__":
    run(checks)
