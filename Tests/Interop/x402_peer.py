"""x402's reference implementation (PyPI `x402`) at our facilitator, which settles on a real EVM (py-evm).

An EIP-3009 token stands at Base Sepolia's USDC address. The official client signs, the official HTTP client of facilitators
asks ours, and the money must have moved, once. Needs Python 3.12 with `x402[all]`, `eth-tester[py-evm]`, `web3` and `vyper`, and
the tests built (`swift build --build-tests`).
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_utils import decode_hex, encode_hex, to_canonical_address, to_checksum_address
from vyper import compile_code
from x402.http import FacilitatorConfig, HTTPFacilitatorClientSync
from x402.mechanisms.evm.exact.client import ExactEvmScheme
from x402.mechanisms.evm.exact.v1.client import ExactEvmSchemeV1
from x402.mechanisms.evm.signers import EthAccountSigner
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
        return {"from": call["from"], "to": call["to"], "data": call["data"], "gas": 1_000_000, "gas_price": 10**10}

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
            "logs": [self.log(entry) for entry in receipt["logs"]],
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
        }


def serve(chain):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

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
    print(("ok   " if condition else "FAIL ") + name + ("" if condition else f": {found}"), flush=True)
    if not condition:
        raise SystemExit(1)


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


def main():
    chain = Chain()
    mint = "0x40c10f19" + "00" * 12 + PAYER.address[2:].lower() + (1_000_000).to_bytes(32, "big").hex()
    chain.tester.send_transaction(
        {"from": chain.tester.get_accounts()[0], "to": TOKEN, "data": mint, "gas": 200_000, "gas_price": 10**10}
    )
    check("the payer holds the token", balance(chain, PAYER.address) == 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "address")
        environment = dict(os.environ, MINTMARK_PEER_RPC=serve(chain), MINTMARK_PEER_PORT_FILE=path)
        command = ["swift", "test", "--skip-build", "--filter", "^SettlementTests.PeerTests"]
        ours = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            for _ in range(1200):
                if os.path.exists(path):
                    break
                if ours.poll() is not None:
                    raise SystemExit(ours.stdout.read())
                time.sleep(0.1)
            with open(path) as file:
                talk(chain, file.read())
        finally:
            if os.path.exists(path):
                os.unlink(path)
            try:
                ours.wait(30)
            except subprocess.TimeoutExpired:
                ours.kill()
    print("x402_peer: all as it should be")


if __name__ == "__main__":
    sys.exit(main())
