"""Four nodes and four peers with records, two of each on either side of a cable that is pulled and plugged in again:

- while it is out, a seller that cannot ask the issuer takes its agents for no longer than its service's staleness bound;
- the seller on the issuer's side refuses who is revoked there;
- when it is in again, all get the same records, and every seller refuses who was revoked or suspended.

How soon is told; that the records are whole within five seconds is held with SOAK=1 alone, for a machine with nothing else to do.
"""

import base64
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from network import Network

SOAK = os.environ.get("SOAK") == "1"
PARTITION_SECONDS = 600 if SOAK else 45
NEW_RECORDS = 10_000 if SOAK else 400
STALE_SECONDS = 5
# What a call that was begun in time may take.
SLACK_SECONDS = 1.0
WHOLE_SECONDS = 5.0 if SOAK else float("inf")
# How long anything may take to become ready, on a slow machine; and all of it.
PATIENCE_SECONDS = 60
LIMIT_SECONDS = PARTITION_SECONDS + 400
MINTMARK = os.environ["MINTMARK"]
RECORD_PEER = os.environ["RECORD_PEER"]
HERE = pathlib.Path(__file__).parent


class Failed(Exception):
    pass


def until(what: str, ask, wanted) -> None:
    """Asks until the answer is the one that is wanted."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (answer := ask()) != wanted:
        if time.monotonic() > end:
            raise Failed(f"not within {PATIENCE_SECONDS} s: {what}; it is {answer!r}")
        time.sleep(0.02)


class Node:
    """`mintmark serve` on a host of the network."""

    def __init__(self, network: Network, folder: pathlib.Path, number: int):
        self.network, self.number = network, number
        self.home = str(folder / f"n{number}")
        self.port = 8500 + number
        self.service = f"http://127.0.0.1:{self.port}/s/weather/today"
        self.command("init")
        self.log = open(folder / f"n{number}.log", "w+")
        words = [MINTMARK, "serve", "--data", self.home, "--json", "--port", str(self.port)]
        words += ["--set", f"gossip.listen=/ip4/{network.address(number)}/tcp/4402"]
        self.process = subprocess.Popen(
            network.command(number, words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise Failed(f"node {number} did not start: {self.log.read()[-1000:]}")
        self.did = json.loads(line)["did"]

    def command(self, *words: str) -> dict:
        done = subprocess.run(
            [MINTMARK, *words, "--json", "--data", self.home], capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0:
            raise Failed(f"mintmark {' '.join(words)}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}

    def gossip(self) -> dict:
        return self.command("status")["gossip"]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Agent:
    """An agent with a passport of a node and its own key, which signs calls as RFC 9421 says."""

    def __init__(self, name: str, issuer: Node, folder: pathlib.Path):
        self.name, self.issuer = name, issuer
        key = folder / f"{name}.key"
        subprocess.run([MINTMARK, "agent", "key", str(key)], check=True, capture_output=True)
        seed = bytes.fromhex(key.read_text().strip())
        self.pem = folder / f"{name}.pem"
        der = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + seed).decode()
        self.pem.write_text(f"-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n")
        answer = issuer.command("agent", "register", name, "--key", str(key), "--capability", "invoke")
        self.did = answer["agent"]["did"]
        self.passport = base64.urlsafe_b64encode(json.dumps(answer["passport"]).encode()).decode().rstrip("=")

    def headers(self, url: str) -> dict:
        now = int(time.time())
        parameters = (
            f'("@method" "@target-uri" "agent-passport");created={now};expires={now + 30};'
            f'nonce="{secrets.token_urlsafe(16)}";alg="ed25519";keyid="{self.did}";tag="mintmark-call"'
        )
        base = "\n".join([
            '"@method": GET', f'"@target-uri": {url}', f'"agent-passport": {self.passport}',
            f'"@signature-params": {parameters}',
        ])
        with tempfile.NamedTemporaryFile() as file:
            file.write(base.encode())
            file.flush()
            signature = subprocess.run(
                ["openssl", "pkeyutl", "-sign", "-inkey", str(self.pem), "-rawin", "-in", file.name],
                check=True, capture_output=True,
            ).stdout
        return {
            "Agent-Passport": self.passport, "Signature-Input": f"mintmark={parameters}",
            "Signature": f"mintmark=:{base64.b64encode(signature).decode()}:",
        }

    def calls(self, seller: Node) -> str:
        """What a seller says to it: `payment-required` where only the money is missing."""
        request = urllib.request.Request(seller.service, headers=self.headers(seller.service))

        def ask() -> str:
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return str(answer.status)
            except urllib.error.HTTPError as error:
                body = error.read()
                return json.loads(body).get("code", str(error.code)) if body else str(error.code)

        return seller.network.on(seller.number, ask)


class RecordPeer:
    def __init__(self, network: Network, folder: pathlib.Path, number: int, count: int):
        address = f"/ip4/{network.address(number)}/tcp/4403"
        words = [RECORD_PEER, str(number), str(count), str(folder / f"r{number}"), address]
        self.process = subprocess.Popen(
            network.command(number, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self.line("peer")

    def line(self, word: str) -> str:
        line = self.process.stdout.readline().strip()
        if not line.startswith(word + " "):
            raise Failed(f"a record peer said {line!r} instead of {word}")
        return line[len(word) + 1 :]

    def tell(self, *words: str) -> None:
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def ask(self, word: str, *words: str) -> str:
        self.tell(*words)
        return self.line(word)

    def stop(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()


def surroundings(network: Network, folder: pathlib.Path, count: int) -> list[subprocess.Popen]:
    """Each node's port on everybody's loopback, and a simulated Lightning network for each, as its mint wants one."""
    processes = []
    for number in range(1, count + 1):
        words = [f"{network.address(number)}:9500", f"127.0.0.1:{8500 + number}"]
        for other in range(1, count + 1):
            if other != number:
                words += [f"127.0.0.1:{8500 + other}", f"{network.address(other)}:9500"]
        program = [sys.executable, str(HERE / "relay.py"), *words]
        processes.append(subprocess.Popen(network.command(number, program)))
        program = [MINTMARK, "lightning-simulator", "--data", str(folder / f"l{number}")]
        processes.append(subprocess.Popen(network.command(number, program), stdout=subprocess.DEVNULL))
    return processes


def publish(peers: list[RecordPeer], count: int) -> None:
    for peer in peers:
        peer.tell("publish", str(count // len(peers)))
    for peer in peers:
        peer.line("published")


def counts(peers: list[RecordPeer]) -> list[int]:
    return [int(peer.ask("count", "count")) for peer in peers]


class Watch:
    """Asks a seller for an agent again and again, and keeps when it last took it and what it said then."""

    def __init__(self, agent: Agent, seller: Node, since: float):
        self.agent, self.seller, self.since = agent, seller, since
        self.last_taken, self.code, self.refused_at = 0.0, "", 0.0

    def ask(self) -> str:
        begun = time.monotonic() - self.since
        code = self.agent.calls(self.seller)
        if code == "payment-required":
            self.last_taken = begun
        elif not self.refused_at:
            self.refused_at = time.monotonic() - self.since
        self.code = code
        return code

    def __str__(self) -> str:
        return f"{self.agent.name} at node {self.seller.number}"


def run(network: Network, folder: pathlib.Path, running: list) -> None:
    said = time.monotonic()

    def tell(text: str) -> None:
        print(f"  {time.monotonic() - said:6.1f} s  {text}", flush=True)

    running += surroundings(network, folder, 4)
    nodes = []
    for number in range(1, 5):
        nodes.append(Node(network, folder, number))
        running.append(nodes[-1])
    peers = []
    for number in range(1, 5):
        peers.append(RecordPeer(network, folder, number, 4))
        running.append(peers[-1])
    for index, node in enumerate(nodes):
        for other in nodes[:index]:
            node.command("peers", "add", other.gossip()["addresses"][0])
    for index, peer in enumerate(peers):
        for other in peers[:index]:
            peer.ask("added", "add", other.address)
    topic = "mintmark/records/1/status"
    for node in nodes:
        until(f"node {node.number} hears three", lambda: node.gossip().get("meshes", {}).get(topic, 0), 3)
    for peer in peers:
        until("a record peer has three others", lambda: peer.ask("peers", "peers"), "3")
    time.sleep(2)
    # Left: the issuer of one agent, and a seller. Right: the issuer of another, and a seller; both sell too.
    left, right = nodes[:2], nodes[2:]
    scout, visitor = Agent("scout", left[0], folder), Agent("visitor", right[1], folder)
    for node in nodes[1:]:
        node.command(
            "service", "add", "weather", "--upstream", "http://127.0.0.1:9000", "--price", "2sat", "--trust", left[0].did,
            "--trust", right[1].did, "--capability", "invoke", "--status-max-age", str(STALE_SECONDS),
        )
        for agent in (scout, visitor):
            until(f"node {node.number} takes {agent.name}", lambda: agent.calls(node), "payment-required")
    publish(peers, 80)
    until("all have the first records", lambda: counts(peers), [80] * 4)
    tell("four nodes and four record peers know each other; both agents are taken everywhere")

    network.cut()
    cut = time.monotonic()
    tell(f"the cable is out, for {PARTITION_SECONDS} s")
    for agent in (scout, visitor):
        agent.issuer.command("passport", "revoke" if agent is scout else "suspend", agent.name, *(
            ["--yes"] if agent is scout else []
        ))
    near = [(scout, left[1], "revoked"), (visitor, right[0], "suspended"), (visitor, right[1], "suspended")]
    for agent, seller, code in near:
        until(f"{agent.name} is {code} on its issuer's side", lambda: agent.calls(seller), code)
    tell("each issuer ends one of its agents: refused on its own side")
    far = [Watch(scout, seller, cut) for seller in right] + [Watch(visitor, left[1], cut)]
    for watch in far:
        until(f"{watch} is refused", lambda: watch.ask() != "payment-required", True)
    for watch in far:
        tell(f"{watch}: refused ({watch.code}) {watch.refused_at:.1f} s after the cut, last taken at {watch.last_taken:.1f} s")
        if watch.last_taken > STALE_SECONDS + SLACK_SECONDS:
            raise Failed(f"{watch} was taken {watch.last_taken:.1f} s after the cut, the bound is {STALE_SECONDS} s")
        if watch.code not in ("status-stale", "status-unavailable"):
            raise Failed(f"{watch} was refused for another reason: {watch.code}")
    publish(peers, NEW_RECORDS)
    sides = counts(peers)
    tell(f"{NEW_RECORDS} records are published on both sides: {sides}")
    while time.monotonic() - cut < PARTITION_SECONDS:
        for watch in far:
            if watch.ask() == "payment-required":
                raise Failed(f"{watch} was taken again while the cable was out")
        time.sleep(1)
    if max(counts(peers)) >= 80 + NEW_RECORDS:
        raise Failed("records passed the cable while it was out")

    network.heal()
    healed = time.monotonic()
    tell("the cable is in again")
    until("all have the same records", lambda: counts(peers), [80 + NEW_RECORDS] * 4)
    whole = time.monotonic() - healed
    tell(f"all four have the {80 + NEW_RECORDS} records {whole:.1f} s after that")
    for watch in far:
        code = "revoked" if watch.agent is scout else "suspended"
        until(f"{watch} is {code}", watch.ask, code)
        tell(f"{watch}: {code} {time.monotonic() - healed:.1f} s after that")
        if watch.last_taken > STALE_SECONDS + SLACK_SECONDS:
            raise Failed(f"{watch} was taken after the bound")
    # Sets as they are reconciled may be two seconds old.
    until("the sets are identical", lambda: len({peer.ask("set", "set") for peer in peers}), 1)
    if whole > WHOLE_SECONDS:
        raise Failed(f"the records were whole {whole:.1f} s after the cable was in, {WHOLE_SECONDS} s are allowed")


def stop(number, _) -> None:
    raise Failed(f"longer than {LIMIT_SECONDS} s" if number == signal.SIGALRM else f"stopped by signal {number}")


def main() -> int:
    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, stop)
    signal.alarm(LIMIT_SECONDS)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mmp"))
    running: list = []
    network = Network(4)
    try:
        run(network, folder, running)
        print("partition: ok", flush=True)
        return 0
    except Failed as failure:
        print(f"partition: FAILED: {failure}", flush=True)
        return 1
    finally:
        signal.alarm(0)
        for process in reversed(running):
            process.terminate() if isinstance(process, subprocess.Popen) else process.stop()
        network.close()
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
