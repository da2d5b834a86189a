"""`mintmark agent anchor` on a real EVM (py-evm): an identity registry with ERC-8004's ABI, in Vyper, that we did not teach our
encoding. Our node registers an agent, replaces its passport's hash, and goes on after a kill between signing and sending."""

import hashlib
import json

import world as checks
from eth_utils import to_checksum_address
from vyper import compile_code
from x402_peer import CHAIN_ID, Chain, serve

KEY = "mintmark.passport"

SOURCE = """
# an ERC-8004 identity registry, as small as it can be: whoever registers owns the entry
struct MetadataEntry:
    metadataKey: String[64]
    metadataValue: Bytes[256]
event Registered:
    agentId: indexed(uint256)
    agentURI: String[512]
    owner: indexed(address)
event MetadataSet:
    agentId: indexed(uint256)
    indexedMetadataKey: indexed(String[64])
    metadataKey: String[64]
    metadataValue: Bytes[256]
count: uint256
owners: HashMap[uint256, address]
uris: HashMap[uint256, String[512]]
values: HashMap[uint256, HashMap[String[64], Bytes[256]]]
@external
def register(agentURI: String[512], metadata: DynArray[MetadataEntry, 4]) -> uint256:
    agentId: uint256 = self.count
    self.count += 1
    self.owners[agentId] = msg.sender
    self.uris[agentId] = agentURI
    log Registered(agentId=agentId, agentURI=agentURI, owner=msg.sender)
    for entry: MetadataEntry in metadata:
        self.values[agentId][entry.metadataKey] = entry.metadataValue
        log MetadataSet(agentId=agentId, indexedMetadataKey=entry.metadataKey, metadataKey=entry.metadataKey, metadataValue=entry.metadataValue)
    return agentId
@external
def setMetadata(agentId: uint256, metadataKey: String[64], metadataValue: Bytes[256]):
    assert self.owners[agentId] == msg.sender, "Not authorized"
    self.values[agentId][metadataKey] = metadataValue
    log MetadataSet(agentId=agentId, indexedMetadataKey=metadataKey, metadataKey=metadataKey, metadataValue=metadataValue)
@view
@external
def getMetadata(agentId: uint256, metadataKey: String[64]) -> Bytes[256]:
    return self.values[agentId][metadataKey]
@view
@external
def ownerOf(agentId: uint256) -> address:
    assert self.owners[agentId] != empty(address), "no such agent"
    return self.owners[agentId]
@view
@external
def tokenURI(agentId: uint256) -> String[512]:
    return self.uris[agentId]
"""


class RegistryChain(Chain):
    """The chain of the x402 checks, with a registry on it, and an end to its patience where a test wants that."""

    def __init__(self):
        super().__init__()
        self.compiled = compile_code(SOURCE, output_formats=["bytecode", "abi"])
        self.bank = self.tester.get_accounts()[0]
        made = self.tester.send_transaction(
            {"from": self.bank, "gas": 3_000_000, "gas_price": 10**10, "data": self.compiled["bytecode"]}
        )
        self.registry = to_checksum_address(self.tester.get_transaction_receipt(made)["contract_address"])
        self.takes = True

    def eth_sendRawTransaction(self, raw):
        if not self.takes:
            raise ValueError("try again later")
        return super().eth_sendRawTransaction(raw)

    def fund(self, account):
        self.tester.send_transaction(
            {"from": self.bank, "to": account, "value": 10**18, "gas": 21_000, "gas_price": 10**10}
        )

    def view(self, function, types, arguments, answer):
        """Asks the registry with eth_abi, which has nothing of ours."""
        from eth_abi import decode, encode
        from eth_utils import function_signature_to_4byte_selector

        data = function_signature_to_4byte_selector(f"{function}({','.join(types)})") + encode(types, arguments)
        found = self.tester.call({"from": self.bank, "to": self.registry, "data": "0x" + data.hex(), "gas": 1_000_000})
        return decode([answer], bytes.fromhex(found[2:]))[0]

    def hash_of(self, agent):
        return self.view("getMetadata", ["uint256", "string"], [agent, KEY], "bytes").hex()


def passport_hash(node, name):
    newest = node.run("agent", "show", name)["passports"][0]["id"]
    shown = node.run("passport", "show", newest)
    # A passport of ASCII and without numbers: Python's sorted form is the canonical one.
    text = json.dumps(shown.get("passport", shown), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def run(world):
    chain = RegistryChain()
    rpc = serve(chain)
    node = world.node(
        "node", "lightning.backend=none", "network=mainnet", f"anchor.registry={chain.registry}",
        f"anchor.chainURL={rpc}", f"anchor.chainID={CHAIN_ID}", "anchor.maximumFeeGwei=20",
    )
    agent = node.run("agent", "register", "planner", "--capability", "pay")["agent"]
    with world.step("an account without money: nothing is sent, and the command says which to fund"):
        refused = node.run("agent", "anchor", "planner", status=2)
        account = node.run("status")["settlementAccount"]
        checks.check(account in json.dumps(refused) and not chain.sent, f"{refused}, {chain.sent}")
    chain.fund(account)
    with world.step("the first anchor registers the agent, with its file's address and its passport's hash"):
        done = node.run("agent", "anchor", "planner")
        checks.equal((done["state"], done["agentId"]), ("confirmed", "0"), "the anchor")
        checks.equal(chain.hash_of(0), passport_hash(node, "planner"), "the hash in the registry")
        uri = chain.view("tokenURI", ["uint256"], [0], "string")
        checks.equal(uri, f"{node.url}/agents/{agent['id'].removeprefix('urn:uuid:')}/registration.json", "the address")
        checks.equal(chain.view("ownerOf", ["uint256"], [0], "address"), account.lower(), "the owner")
        file = json.loads(checks.http_call(uri)[2])
        registry = f"eip155:{CHAIN_ID}:{chain.registry}"
        checks.equal(file["registrations"], [{"agentId": 0, "agentRegistry": registry}], "the file's registrations")
        checks.equal(file["passport"]["sha256"], chain.hash_of(0), "the file's hash")
    with world.step("the same again sends nothing; after a renewal the new hash takes its place"):
        node.run("agent", "anchor", "planner")
        checks.equal(len(chain.sent), 1, "transactions")
        node.run("agent", "renew", "planner")
        checks.equal(node.run("agent", "anchor", "planner")["agentId"], "0", "the agent's number")
        checks.equal(chain.hash_of(0), passport_hash(node, "planner"), "the new hash")
        checks.equal(len(chain.sent), 2, "transactions")
    with world.step("killed before the chain took the transaction: the same one goes out after the restart, once"):
        node.run("agent", "register", "scout")
        chain.takes = False
        held = node.run("agent", "anchor", "scout", status=4)
        checks.equal(held["state"], "open", "an anchor that the chain did not take")
        node.process.kill()
        node.process.wait()
        world.processes = [pair for pair in world.processes if pair[0] is not node.process]
        chain.takes = True
        node.start(world)
        checks.until(lambda: node.run("agent", "anchor", "scout", "--show")["anchors"], "the anchor after the restart")
        checks.equal(node.run("agent", "anchor", "scout", "--show")["anchors"][0]["agentId"], "1", "its number")
        checks.equal(chain.hash_of(1), held["sha256"], "its hash")
        checks.equal(len(chain.sent), 3, "transactions")


if __name__ == "__main__":
    checks.run(run, limit_seconds=120)
