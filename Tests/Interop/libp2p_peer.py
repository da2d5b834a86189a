"""Our libp2p host and py-libp2p (PyPI), over real sockets and both ways: each dials the other, with Ed25519 and secp256k1
identities; identify, ping, streams over several windows, and the refusal of a peer that is not the one that was dialed. Then
GossipSub: subscriptions, GRAFT, messages both ways and through the other, what only IHAVE and IWANT bring, PRUNE."""

import logging
import os
import queue
import secrets
import subprocess
import threading

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair as new_ed25519
from libp2p.crypto.secp256k1 import create_new_key_pair as new_secp256k1
from libp2p.crypto.x25519 import create_new_key_pair as new_x25519
from libp2p.custom_types import TProtocol
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import parse_identify_response
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.envelope import consume_envelope
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service

from world import PATIENCE_SECONDS, check, equal, run

PROGRAM = os.environ["GOSSIP_PEER"]
ECHO = TProtocol("/mintmark/echo/1")
BYTES = 1_000_000  # four windows


class OurPeer:
    """One of our hosts, told what to do by lines, and telling by lines what happened."""

    def __init__(self, world, *arguments):
        self.lines = queue.Queue()
        self.seen = []
        log = world.path(f"peer-{len(world.processes)}.log")
        self.process = subprocess.Popen(
            [PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(log, "w"), text=True
        )
        world.processes.append((self.process, log))
        threading.Thread(target=self.follow, daemon=True).start()
        self.id = self.wait("peer").split()[1]

    def follow(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())
        self.lines.put("ended")

    def wait(self, *beginning):
        """The next line that begins so, of those that came and were not asked for."""
        start = " ".join(beginning)
        for line in self.seen:
            if line.startswith(start):
                self.seen.remove(line)
                return line
        while True:
            try:
                line = self.lines.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                check(False, f"no line {start!r}; there are {self.seen}")
            if line.startswith(start):
                return line
            check(line != "ended", f"our peer ended before {start!r}; it said {self.seen}")
            self.seen.append(line)

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    async def ask(self, command, *answer):
        self.say(command)
        return await self.hear(*answer)

    async def hear(self, *beginning):
        return await trio.to_thread.run_sync(self.wait, *beginning)


async def read(stream):
    """What has come; nothing at the end."""
    try:
        return await stream.read(65_536)
    except StreamEOF:
        return b""


def their_host(new_key):
    key = new_key()
    host = new_host(
        key_pair=key,
        muxer_opt={TProtocol("/yamux/1.0.0"): Yamux},
        sec_opt={TProtocol("/noise"): NoiseTransport(key, noise_privkey=new_x25519().private_key)},
    )

    async def echo(stream):
        while data := await read(stream):
            await stream.write(data)
        await stream.close()

    host.set_stream_handler(ECHO, echo)
    return host


async def echo_around(stream, count):
    """Sends bytes that come back while more are sent."""
    sent, got = secrets.token_bytes(count), bytearray()

    async def send():
        for start in range(0, count, 50_000):
            await stream.write(sent[start:start + 50_000])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while len(got) < count:
            part = await read(stream)
            check(part, f"the stream ended after {len(got)} of {count} bytes")
            got += part
    check(bytes(got) == sent, "other bytes came back than were sent")
    await stream.close()


async def they_dial(world, ours, address, host):
    their_id = str(host.get_id())
    with world.step("py-libp2p dials us; each has proved who it is"):
        await host.connect(PeerInfo(ID.from_string(ours.id), [multiaddr.Multiaddr(address)]))
        await ours.hear("connected", their_id)
    with world.step("it asks what we are, and holds our signed record good"):
        stream = await host.new_stream(ID.from_string(ours.id), [IDENTIFY])
        answer = b""
        while part := await read(stream):
            answer += part
        told = parse_identify_response(answer)
        equal(told.agent_version, "mintmark", "our agent version")
        check("/ipfs/ping/1.0.0" in told.protocols and ECHO in told.protocols, f"our protocols: {told.protocols}")
        equal([str(multiaddr.Multiaddr(one)) for one in told.listen_addrs], [address.rsplit("/p2p/", 1)[0]], "our addresses")
        _, record = consume_envelope(told.signedPeerRecord, "libp2p-peer-record")
        equal(str(record.peer_id), ours.id, "whom our record is about")
    with world.step("we ask what it is"):
        line = await ours.hear("identified", their_id)
        check("/ipfs/id/1.0.0" in line and "observed=/ip4/127.0.0.1/tcp/" in line, line)
    with world.step("it pings us, three times on one stream"):
        times = await PingService(host).ping(ID.from_string(ours.id), 3)
        equal(len(times), 3, "answers")
    with world.step("a megabyte there and back on a stream of its own"):
        await echo_around(await host.new_stream(ID.from_string(ours.id), [ECHO]), BYTES)
    with world.step("we use the same connection for streams of ours"):
        await ours.ask(f"ping {their_id}", "pong", their_id)
        await ours.ask(f"echo {their_id} {BYTES}", "echoed", their_id)
    with world.step("it leaves, and we notice"):
        await host.disconnect(ID.from_string(ours.id))
        await ours.hear("disconnected", their_id)


async def we_dial(world, ours, host, wrong_id):
    their_id = str(host.get_id())
    address = str(host.get_addrs()[0])
    with world.step("we do not take it for another peer"):
        line = await ours.ask(f"dial {address.rsplit('/p2p/', 1)[0]}/p2p/{wrong_id}", "error dial")
        equal(line.split()[2], "wrong-peer", "what we say")
    with world.step("we dial py-libp2p; each has proved who it is, and we read what it is"):
        await ours.ask(f"dial {address}", "dialed", their_id)
        line = await ours.hear("identified", their_id)
        check(address.rsplit("/p2p/", 1)[0] in line, line)
    with world.step("we ping it, and send a megabyte there and back"):
        await ours.ask(f"ping {their_id}", "pong", their_id)
        await ours.ask(f"echo {their_id} {BYTES}", "echoed", their_id)
    with world.step("it uses the same connection for streams of its own"):
        await echo_around(await host.new_stream(ID.from_string(ours.id), [ECHO]), BYTES)
    with world.step("we leave"):
        await ours.ask(f"close {their_id}", "closed", their_id)
        await ours.hear("disconnected", their_id)


async def meet(world, ours, new_key, wrong_id):
    address = (await ours.ask("listen /ip4/127.0.0.1/tcp/0", "listening")).split()[1]
    dialer = their_host(new_key)
    async with dialer.run(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        await they_dial(world, ours, address, dialer)
    listener = their_host(new_key)
    async with listener.run(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        await we_dial(world, ours, listener, wrong_id)
    stranger = their_host(new_key)
    async with stranger.run(listen_addrs=[]):
        with world.step("it does not take us for another peer"):
            wrong = f"{address.rsplit('/p2p/', 1)[0]}/p2p/{wrong_id}"
            refused = False
            try:
                await stranger.connect(PeerInfo(ID.from_string(wrong_id), [multiaddr.Multiaddr(wrong)]))
            except Exception:
                refused = True
            check(refused, "py-libp2p took us for another peer")


def their_pubsub(host):
    router = GossipSub(
        protocols=[PROTOCOL_ID_V12, PROTOCOL_ID_V11], degree=6, degree_low=5, degree_high=12, heartbeat_interval=1,
        max_messages_per_topic_per_second=1e9, eclipse_protection_enabled=False, adaptive_gossip_enabled=False,
    )
    return router, Pubsub(host, router)


async def soon(condition, what):
    with trio.move_on_after(PATIENCE_SECONDS):
        while not condition():
            await trio.sleep(0.05)
        return
    check(False, f"{what}: not within {PATIENCE_SECONDS} s")


async def next_message(subscription, what):
    with trio.move_on_after(PATIENCE_SECONDS):
        return await subscription.get()
    check(False, f"{what}: no message within {PATIENCE_SECONDS} s")


async def gossip(world, ours, far, new_key):
    """Ours in the middle: py-libp2p on one side, another host of ours on the other."""
    address = (await ours.ask("listen /ip4/127.0.0.1/tcp/0", "listening")).split()[1]
    host = their_host(new_key)
    router, pubsub = their_pubsub(host)
    their_id, our_id = str(host.get_id()), ID.from_string(ours.id)
    async with host.run(listen_addrs=[]), background_trio_service(pubsub), background_trio_service(router):
        await pubsub.wait_until_ready()
        subscription = await pubsub.subscribe("news")
        for peer in (ours, far):
            await peer.ask("subscribe news", "subscribed")
        await far.ask(f"dial {address}", "dialed")
        with world.step("py-libp2p and we are in each other's mesh"):
            await host.connect(PeerInfo(our_id, [multiaddr.Multiaddr(address)]))
            await soon(lambda: our_id in router.mesh.get("news", ()), "we are in their mesh")
            while their_id not in await ours.ask("mesh news", "mesh news"):
                await trio.sleep(0.05)
        with world.step("what it publishes reaches us, signed, and goes on to our other host"):
            for number in range(20):
                await pubsub.publish("news", b"theirs %d" % number)
                # One after the other: py-libp2p leaves out what comes in bursts.
                for peer in (ours, far):
                    await peer.hear("message", "news", their_id, ours.id if peer is far else their_id, (b"theirs %d" % number).hex())
        with world.step("what our other host publishes reaches it through us"):
            for number in range(20):
                await far.ask(f"publish news {(b'ours %d' % number).hex()}", "published")
                while (message := await next_message(subscription, f"message {number}")).data != b"ours %d" % number:
                    pass
                equal(message.from_id, ID.from_string(far.id).to_bytes(), "its publisher")
        with world.step("it is pruned, and stays away for its backoff; gossip still brings it what is new"):
            await router.emit_prune("news", our_id, False, False)
            router.mesh["news"].discard(our_id)
            router._add_back_off(our_id, "news", False)
            while their_id in await ours.ask("mesh news", "mesh news"):
                await trio.sleep(0.05)
            await far.ask(f"publish news {b'by gossip'.hex()}", "published")
            while (await next_message(subscription, "the message that gossip brings")).data != b"by gossip":
                pass
            check(our_id not in router.mesh["news"], "it was pruned, and is in the mesh again within the backoff")
            check(their_id not in await ours.ask("mesh news", "mesh news"), "we took it back within the backoff")


def checks(world):
    logging.disable(logging.CRITICAL)  # it tells at length of the refusals that are wanted here
    wrong_id = str(ID.from_pubkey(new_ed25519().public_key))
    for kind, new_key in (("--key", new_ed25519), ("--secp256k1", new_secp256k1)):
        print(f"   identities: {'Ed25519' if kind == '--key' else 'secp256k1'}", flush=True)
        ours = OurPeer(world, kind, secrets.token_hex(32))
        with world.step(f"all of it with identities of kind {kind[2:]}"):
            trio.run(meet, world, ours, new_key, wrong_id)
        far = OurPeer(world, kind, secrets.token_hex(32))
        middle = OurPeer(world, kind, secrets.token_hex(32))
        with world.step("and gossip"):
            trio.run(gossip, world, middle, far, new_key)
        for peer in (ours, far, middle):
            peer.process.stdin.close()
            equal(peer.process.wait(PATIENCE_SECONDS), 0, "the exit status of our peer")


if __name__ == "__main__":
    run(checks)
