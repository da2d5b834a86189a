"""x402's reference implementation (PyPI `x402`) and our node, on a real EVM (py-evm) where balances really move.

An EIP-3009 token stands at Base Sepolia's USDC address. The official client pays our gateway with versions 2 and 1, which we
settle ourselves, or the official facilitator does for us; the official HTTP client of facilitators asks ours; the official
FastAPI server sells through our facilitator. Needs Python 3.12 with `x402[all]`, `eth-tester[py-evm]`, `web3` and `vyper`.
"""

import asyncio
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import uvicorn
import world as checks
from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_utils import decode_hex, encode_hex, to_canonical_address, to_checksum_address
from fastapi import FastAPI
from vyper import compile_code
from x402 import x402Client, x402FacilitatorSync, x402ResourceServer
from x402.extensions.bazaar import (
    ListDiscoveryResourcesParams, validate_discovery_extension, validate_discovery_extension_spec, with_bazaar,
)
from x402.http import FacilitatorConfig, HTTPFacilitatorClient, HTTPFacilitatorClientSync
from x402.http.clients.httpx import x402AsyncTransport
from x402.http.middleware.fastapi import payment_middleware
from x402.http.utils import decode_payment_response_header
from x402.mechanisms.evm.exact.client import ExactEvmScheme
from x402.mechanisms.evm.exact.register import (
    register_exact_evm_client, register_exact_evm_facilitator, register_exact_evm_server,
)
from x402.mechanisms.evm.exact.v1.client import ExactEvmSchemeV1
from x402.mechanisms.evm.signers import EthAccountSigner, FacilitatorWeb3Signer
from x402.schemas.payments import PaymentPayload, PaymentRequirements, ResourceInfo
from x402.schemas.v1 import PaymentPayloadV1, PaymentRequirementsV1

TOKEN = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
CHAIN_ID = 84532
OPERATOR = Account.from_key(b"\x21" * 32)
PAYER = Account.from_key(b"\x22" * 32)
PAYEE = Account.from_key(b"\x23" * 32).address

SOURCE = """
# an EIP-3009 token, as small as it can be
event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256
event AuthorizationUsed:
    authorizer: indexed(address)
    nonce: indexed(bytes32)
name: public(constant(String[8])) = "USDC"
version: public(constant(String[8])) = "2"
balanceOf: public(HashMap[address, uint256])
authorizationState: public(HashMap[address, HashMap[bytes32, bool]])
TYPEHASH: constant(bytes32) = keccak256(
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
DOMAIN: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
@external
def mint(holder: address, amount: uint256):
    self.balanceOf[holder] += amount
@external
def transferWithAuthorization(
    sender: address, receiver: address, amount: uint256, validAfter: uint256, validBefore: uint256,
    nonce: bytes32, v: uint8, r: bytes32, s: bytes32
):
    assert block.timestamp > validAfter, "authorization is not yet valid"
    assert block.timestamp < validBefore, "authorization is expired"
    assert not self.authorizationState[sender][nonce], "authorization is used"
    separator: bytes32 = keccak256(
        abi_encode(DOMAIN, keccak256("USDC"), keccak256("2"), chain.id, self)
    )
    structure: bytes32 = keccak256(
        abi_encode(TYPEHASH, sender, receiver, amount, validAfter, validBefore, nonce)
    )
    digest: bytes32 = keccak256(concat(b"\\x19\\x01", separator, structure))
    assert ecrecover(digest, convert(v, uint256), convert(r, uint256), convert(s, uint256)) == sender, "invalid signature"
    assert self.balanceOf[sender] >= amount, "transfer amount exceeds balance"
    self.authorizationState[sender][nonce] = True
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log AuthorizationUsed(authorizer=sender, nonce=nonce)
    log Transfer(sender=sender, receiver=receiver, value=amount)
"""


class Chain:
    """py-evm behind the JSON-RPC methods that a facilitator asks."""

    def __init__(self):
        compiled = compile_code(SOURCE, output_formats=["bytecode_runtime", "abi"])
        genesis = PyEVMBackend.generate_genesis_state(num_accounts=1)
        for account in (OPERATOR, PAYER):
            genesis[to_canonical_address(account.address)] = {
                "balance": 10**21, "nonce": 0, "code": b"", "storage": {},
            }
        genesis[to_canonical_address(TOKEN)] = {
            "balance": 0, "nonce": 1, "code": decode_hex(compiled["bytecode_runtime"]), "storage": {},
        }
        self.backend = PyEVMBackend(genesis_state=genesis)
        self.backend.chain.chain_id = CHAIN_ID
        self.tester = EthereumTester(backend=self.backend)
        self.sent = []
        self.lock = threading.Lock()

    def answer(self, method, params):
        with self.lock:
            return getattr(self, method)(*params)

    def eth_chainId(self):
        return hex(CHAIN_ID)

    def eth_gasPrice(self):
        return hex(2 * 10**9)

    def net_version(self):
        return str(CHAIN_ID)

    def eth_blockNumber(self):
        return hex(self.tester.get_block_by_number("latest")["number"])

    def eth_getBalance(self, address, block):
        return hex(self.tester.get_balance(address))

    def eth_getCode(self, address, block):
        return self.tester.get_code(address)

    def eth_getTransactionCount(self, address, block):
        return hex(self.tester.get_nonce(address))

    def eth_maxPriorityFeePerGas(self):
        return hex(10**9)

    def eth_getBlockByNumber(self, number, full):
        return {"baseFeePerGas": hex(self.tester.get_block_by_number("latest")["base_fee_per_gas"])}

    @staticmethod
    def transaction(call):
        sender = call.get("from", OPERATOR.address)
        return {"from": sender, "to": call["to"], "data": call["data"], "gas": 1_000_000, "gas_price": 10**10}

    def eth_call(self, call, block):
        return self.tester.call(self.transaction(call))

    def eth_estimateGas(self, call):
        return hex(self.tester.estimate_gas(self.transaction(call)))

    def eth_sendRawTransaction(self, raw):
        self.sent.append(raw)
        return self.tester.send_raw_transaction(raw)

    def eth_getTransactionReceipt(self, hash_):
        try:
            receipt = self.tester.get_transaction_receipt(hash_)
        except Exception:
            return None
        if receipt["block_number"] is None:
            return None
        return {
            "transactionHash": hash_, "blockNumber": hex(receipt["block_number"]), "status": hex(receipt["status"]),
            "logs": [self.log(entry) for entry in receipt["logs"]], "logsBloom": "0x" + "00" * 256,
            "transactionIndex": "0x0", "blockHash": encode_hex(b"\0" * 32), "gasUsed": hex(receipt["gas_used"]),
            "cumulativeGasUsed": hex(receipt["gas_used"]), "from": OPERATOR.address, "to": TOKEN,
        }

    def eth_getLogs(self, query):
        topics = [list(query["topics"])]
        logs = self.tester.get_logs(from_block=int(query["fromBlock"], 16), address=query["address"], topics=topics[0])
        return [self.log(entry) for entry in logs]

    @staticmethod
    def log(entry):
        return {
            "address": to_checksum_address(entry["address"]), "topics": list(entry["topics"]),
            "transactionHash": entry["transaction_hash"], "blockNumber": hex(entry["block_number"]),
            "logIndex": "0x0", "transactionIndex": "0x0", "blockHash": encode_hex(b"\0" * 32),
            "data": entry["data"] if isinstance(entry["data"], str) else encode_hex(entry["data"]), "removed": False,
        }


def serve(chain):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *arguments):
            pass

        def do_POST(self):
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = {"jsonrpc": "2.0", "id": question["id"]}
            try:
                reply["result"] = chain.answer(question["method"], question["params"])
            except Exception as error:
                reply["error"] = {"code": 3, "message": f"execution reverted: {error}"}
            body = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def balance(chain, holder):
    data = "0x70a08231" + "00" * 12 + holder[2:].lower()
    return int(chain.answer("eth_call", [{"from": OPERATOR.address, "to": TOKEN, "data": data}, "latest"]), 16)


def check(name, condition, found=None):
    checks.check(condition, f"{name}: {found}")


def payment(requirements, resource="https://api.example.com/premium-data"):
    payload = ExactEvmScheme(EthAccountSigner(PAYER)).create_payment_payload(requirements)
    return PaymentPayload(payload=payload, accepted=requirements, resource=ResourceInfo(url=resource))


def talk(chain, url):
    facilitator = HTTPFacilitatorClientSync(FacilitatorConfig(url=url))
    supported = facilitator.get_supported()
    check("supported kinds are read", {kind.network for kind in supported.kinds} == {"eip155:84532", "base-sepolia"}, supported)
    requirements = PaymentRequirements(
        scheme="exact", network="eip155:84532", asset=TOKEN, amount="10000", pay_to=PAYEE, max_timeout_seconds=300,
        extra={"name": "USDC", "version": "2"},
    )
    first = payment(requirements)
    verified = facilitator.verify(first, requirements)
    check("a payment of the official client is valid", verified.is_valid and verified.payer == PAYER.address, verified)
    settled = facilitator.settle(first, requirements)
    check("it is settled on the EVM", settled.success and settled.transaction.startswith("0x"), settled)
    check("the money has moved", balance(chain, PAYEE) == 10000, balance(chain, PAYEE))
    again = facilitator.settle(first, requirements)
    check("settled again it is the same transaction", again.transaction == settled.transaction, again)
    check("one transaction was sent", len(chain.sent) == 1, len(chain.sent))
    replay = facilitator.verify(first, requirements)
    check("verified again it is used", replay.invalid_reason == "invalid_exact_evm_nonce_already_used", replay)

    dearer = requirements.model_copy(update={"amount": "10001"})
    changed = facilitator.verify(payment(requirements), dearer)
    check(
        "a changed value is found",
        changed.invalid_reason == "invalid_exact_evm_payload_authorization_value_mismatch", changed,
    )
    rich = requirements.model_copy(update={"amount": "5000000"})
    poor = facilitator.verify(payment(rich), rich)
    check("too small a balance is found", poor.invalid_reason == "invalid_exact_evm_insufficient_balance", poor)

    older = PaymentRequirementsV1(
        scheme="exact", network="base-sepolia", max_amount_required="7", resource="https://api.example.com/x",
        description="x", mime_type="application/json", pay_to=PAYEE, max_timeout_seconds=300, asset=TOKEN,
        extra={"name": "USDC", "version": "2"},
    )
    made = ExactEvmSchemeV1(EthAccountSigner(PAYER)).create_payment_payload(older)
    made = PaymentPayloadV1(scheme="exact", network="base-sepolia", payload=made.get("payload", made))
    settled = facilitator.settle(made, older)
    check("version 1 is settled too", settled.success and balance(chain, PAYEE) == 10007, settled)

    payments = [payment(requirements) for _ in range(8)]
    answers = []
    threads = [
        threading.Thread(target=lambda p=p: answers.append(HTTPFacilitatorClientSync(FacilitatorConfig(url=url)).settle(p, requirements)))
        for p in payments
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("eight at once are settled", all(answer.success for answer in answers), answers)
    check("and each has moved its money once", balance(chain, PAYEE) == 90007, balance(chain, PAYEE))


def official_facilitator(rpc):
    """The reference facilitator behind HTTP, with an account of its own. Returns its address and what it was asked."""
    facilitator = x402FacilitatorSync()
    signer = FacilitatorWeb3Signer(OPERATOR.key.hex(), rpc)
    register_exact_evm_facilitator(facilitator, signer, f"eip155:{CHAIN_ID}")
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *arguments):
            pass

        def answer(self, json_text):
            body = json_text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(facilitator.get_supported().model_dump_json(by_alias=True, exclude_none=True))

        def do_POST(self):
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(self.path)
            kinds = (PaymentPayload, PaymentRequirements)
            if question["x402Version"] == 1:
                kinds = (PaymentPayloadV1, PaymentRequirementsV1)
            parts = (
                kinds[0].model_validate(question["paymentPayload"]), kinds[1].model_validate(question["paymentRequirements"])
            )
            told = facilitator.verify(*parts) if self.path == "/verify" else facilitator.settle(*parts)
            self.answer(told.model_dump_json(by_alias=True, exclude_none=True))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", asked


class OnlyBody(httpx.AsyncHTTPTransport):
    """A connection that loses the header of version 2: what a client of version 1 sees."""

    async def handle_async_request(self, request):
        response = await super().handle_async_request(request)
        response.headers.pop("PAYMENT-REQUIRED", None)
        return response


def buy(url, older=False, method="GET", headers=None):
    """The official client buys. Returns the answer and the settlement that it was told."""
    client = x402Client()
    client.set_spend_controls(False)
    register_exact_evm_client(client, EthAccountSigner(PAYER))

    async def go():
        transport = x402AsyncTransport(client, OnlyBody() if older else None)
        async with httpx.AsyncClient(transport=transport, timeout=60) as http:
            return await http.request(method, url, headers=headers)

    answer = asyncio.run(go())
    told = answer.headers.get("X-PAYMENT-RESPONSE" if older else "PAYMENT-RESPONSE")
    return answer, told and decode_payment_response_header(told)


def found_in_bazaar(url, **query):
    """What the official client finds in our catalogue for a query: the item at the service's general price, read as it reads it."""
    bazaar = with_bazaar(HTTPFacilitatorClientSync(FacilitatorConfig(url=url + "/x402"))).extensions.bazaar
    page = bazaar.list_resources(ListDiscoveryResourcesParams(**query))
    if not page.items:
        check("the count says so too", page.pagination.total == 0, page)
        return None
    check("two priced paths", (page.x402_version, page.pagination.total) == (2, 2), page)
    [item] = [item for item in page.items if item.resource == url + "/s/weather/*"]
    told = (item.type, item.x402_version, item.service_name, item.description, item.tags)
    check("it is told what the service is", told == ("http", 2, "weather", "The weather", ["sun", "rain"]), told)
    for validate in (validate_discovery_extension, validate_discovery_extension_spec):
        judged = validate(item.extensions["bazaar"])
        check("the reference's own validation takes how it is called", judged.valid, judged)
    return item


def settings(chain_url, *more):
    return [
        f"x402.chainURL={chain_url}", f"x402.chainID={CHAIN_ID}", f"x402.assets=usdc:{TOKEN}:USDC:2:usd=10000",
        f"x402.payTo={PAYEE}", *more,
    ]


def fastapi_server(facilitator_url):
    """The official FastAPI server, which sells through a facilitator. Returns its address."""
    server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=facilitator_url)))
    register_exact_evm_server(server, f"eip155:{CHAIN_ID}")
    app = FastAPI()
    routes = {
        "GET /weather": {
            "accepts": {"scheme": "exact", "payTo": PAYEE, "price": "$0.02", "network": f"eip155:{CHAIN_ID}"}
        }
    }
    app.middleware("http")(payment_middleware(routes, server))

    @app.get("/weather")
    async def weather():
        return {"weather": "fair"}

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    runner = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    threading.Thread(target=runner.run, daemon=True).start()
    checks.until(lambda: runner.started, "the official server")
    return f"http://127.0.0.1:{port}"


def run(world):
    chain = Chain()
    bank = chain.tester.get_accounts()[0]
    mint = "0x40c10f19" + "00" * 12 + PAYER.address[2:].lower() + (1_000_000).to_bytes(32, "big").hex()
    chain.tester.send_transaction({"from": bank, "to": TOKEN, "data": mint, "gas": 200_000, "gas_price": 10**10})
    rpc = serve(chain)
    upstream, asked = world.upstream()

    def earned(work):
        before = balance(chain, PAYEE)
        found = work()
        return balance(chain, PAYEE) - before, found

    with world.step("a node of ours is a facilitator and sells a service at 1 cent"):
        ours = world.node("ours", *settings(rpc))
        account = ours.run("status")["settlementAccount"]
        chain.tester.send_transaction({"from": bank, "to": account, "value": 10**20, "gas": 21_000, "gas_price": 10**10})
        ours.run(
            "service", "add", "weather", "--upstream", upstream, "--price", "/*=1usd", "--price", "/two=2usd",
            "--accept", "x402-exact", "--summary", "The weather", "--tag", "sun,rain",
        )
    with world.step("the official client of facilitators at ours: verified, settled, replayed, changed, in both versions"):
        talk(chain, ours.url + "/x402")
    for older in (False, True):
        with world.step(f"the official client pays our gateway with version {1 if older else 2}; we settle"):
            moved, (answer, told) = earned(lambda: buy(ours.url + "/s/weather/today?city=Bern", older))
            check("it is served", answer.status_code == 200 and answer.json()["weather"] == "fair", answer.text)
            check("the settlement is told", told.success and told.payer == PAYER.address, told)
            check("1 cent has moved", moved == 10_000, moved)
            check("our receipt is there", "Agent-Receipt" in answer.headers, answer.headers)
    with world.step("a dearer path costs its own price, a body is taken, and the query is part of what is bought"):
        moved, (answer, told) = earned(lambda: buy(ours.url + "/s/weather/two"))
        check("2 cents have moved", answer.status_code == 200 and moved == 20_000, (answer.text, moved))
    with world.step("what is for sale is listed, page by page"):
        listed = httpx.get(ours.url + "/x402/discovery/resources?type=http&limit=1&offset=1").json()
        check("two priced paths", listed["pagination"] == {"limit": 1, "offset": 1, "total": 2}, listed)
        check("with ways to pay", listed["items"][0]["accepts"][0]["network"] == f"eip155:{CHAIN_ID}", listed)
    with world.step("the official client of catalogues (Bazaar) finds it by what it can pay with, and buys what it found"):
        network = f"eip155:{CHAIN_ID}"
        item = found_in_bazaar(ours.url, scheme="exact", network=network, pay_to=PAYEE.lower(), extensions="bazaar")
        ways = [PaymentRequirements.model_validate(way) for way in item.accepts]
        check("its ways to pay", [(way.amount, way.pay_to) for way in ways] == [("10000", PAYEE)], ways)
        moved, (answer, _) = earned(lambda: buy(item.resource.replace("*", "found")))
        check("the found resource is served at its price", answer.status_code == 200 and moved == int(ways[0].amount), answer.text)
        for other in ({"network": "eip155:1"}, {"scheme": "upto"}, {"pay_to": TOKEN}, {"extensions": "mcp"}, {"type": "mcp"}):
            check(f"by {other} there is nothing", found_in_bazaar(ours.url, **other) is None)
    with world.step("a second node sells through the official facilitator, and holds its word against the chain"):
        facilitator, questions = official_facilitator(rpc)
        theirs = world.node("theirs", *settings(rpc, f"x402.facilitator={facilitator}", "mint.enabled=false"))
        theirs.run("service", "add", "weather", "--upstream", upstream, "--price", "1usd", "--accept", "x402-exact")
        for older in (False, True):
            moved, (answer, told) = earned(lambda: buy(theirs.url + "/s/weather/today", older))
            check("it is served", answer.status_code == 200 and told.success, (answer.text, told))
            check("1 cent has moved", moved == 10_000, moved)
        check("the official facilitator settled", questions.count("/settle") == 2, questions)
    with world.step("reserve, then serve: answered at once, settled right after"):
        quick = world.node("quick", *settings(rpc, "x402.reserveCaps=usdc=50000", "mint.enabled=false"))
        account = quick.run("status")["settlementAccount"]
        chain.tester.send_transaction({"from": bank, "to": account, "value": 10**20, "gas": 21_000, "gas_price": 10**10})
        quick.run(
            "service", "add", "weather", "--upstream", upstream, "--price", "1usd", "--accept", "x402-exact",
            "--reserve-x402",
        )
        before = balance(chain, PAYEE)
        answer, told = buy(quick.url + "/s/weather/today")
        check("it is served", answer.status_code == 200 and told.error_reason == "settlement_pending", (answer.text, told))
        checks.until(lambda: balance(chain, PAYEE) == before + 10_000, "the settlement")
    with world.step("the official FastAPI server sells through our facilitator"):
        seller = fastapi_server(ours.url + "/x402")
        moved, (answer, told) = earned(lambda: buy(seller + "/weather"))
        check("it is served", answer.status_code == 200 and told.success, (answer.text, told))
        check("2 cents have moved", moved == 20_000, moved)
    check("the upstream was asked once for each call", len(asked) == 7, asked)
    for node in (ours, theirs, quick):
        node.audit()


if __name__ == "__main__":
    checks.run(run, limit_seconds=230)
