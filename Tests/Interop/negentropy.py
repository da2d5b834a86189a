"""Our negentropy and that of nostr_sdk (PyPI), both ways over a real WebSocket (NIP-77): we reconcile with its LocalRelay, and
its client reconciles with us. Sets of none, few and thousands, that differ by nothing, a little and all."""

import asyncio
import json
import os
import random
import subprocess

import websockets
from nostr_sdk import (
    ClientBuilder, EventBuilder, Filter, Keys, Kind, LocalRelayBuilder, NostrLmdb, RateLimit, RelayUrl, SyncDirection,
    SyncOptions, Timestamp,
)

from world import PATIENCE_SECONDS, check, equal, run

PROGRAM = os.environ["GOSSIP_PEER"]
# (both have, only we have, only they have)
SHAPES = [(0, 0, 0), (0, 0, 40), (0, 40, 0), (30, 3, 4), (2_000, 25, 31), (2_000, 0, 900), (700, 1_200, 1_100), (300, 200, 250)]
MOST_IN_DATABASE = 600  # their database takes some milliseconds for each


class Engine:
    """Our engine, told what to do by lines."""

    def __init__(self, events):
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        check(self.process.stdout.readline().startswith("peer "), "our program did not begin")
        items = [f"{event.created_at().as_secs()}:{event.id().to_hex()}" for event in events]
        for start in range(0, len(items), 500):
            equal(self.ask("items", ",".join(items[start:start + 500]))[0], "items", "the answer to a set")

    def ask(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def close(self):
        self.process.stdin.close()
        equal(self.process.wait(PATIENCE_SECONDS), 0, "the exit status of our program")


def ids(events):
    return {event.id().to_hex() for event in events}


def told(words, name):
    """The ids of `have=…` or `need=…`."""
    text = next(word for word in words if word.startswith(name + "="))[len(name) + 1:]
    return set(text.split(",")) - {""}


async def receive(socket):
    return json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS))


async def with_their_relay(ours, theirs, want):
    """We begin, and their relay answers."""
    limit = RateLimit(max_reqs=1_000_000, notes_per_minute=1_000_000_000)
    relay = LocalRelayBuilder().rate_limit(limit).build()
    await relay.run()
    engine = Engine(ours)
    async with websockets.connect(str(await relay.url()), max_size=None) as socket:
        for event in theirs:
            await socket.send(json.dumps(["EVENT", json.loads(event.as_json())]))
            equal((await receive(socket))[2], True, "their relay's answer to an event")
        rounds, answer = 0, engine.ask("reconcile")
        while answer[0] == "negentropy":
            rounds += 1
            message = ["NEG-OPEN", "ours", {}, answer[1]] if rounds == 1 else ["NEG-MSG", "ours", answer[1]]
            await socket.send(json.dumps(message))
            reply = await receive(socket)
            equal(reply[:2], ["NEG-MSG", "ours"], "their relay's answer")
            answer = engine.ask("reconcile", reply[2])
        equal(answer[0], "reconciled", "the end")
        equal((told(answer, "have"), told(answer, "need")), want, "what each side lacks")
    engine.close()
    relay.shutdown()
    return rounds


async def with_their_client(ours, theirs, want, folder):
    """Their client begins, and we answer."""
    database = await NostrLmdb.open(folder)
    for event in theirs:
        await database.save_event(event)
    engine, rounds = Engine(ours), 0

    async def answer(socket):
        nonlocal rounds
        async for text in socket:
            message = json.loads(text)
            if message[0] == "NEG-CLOSE":
                continue
            check(message[0] in ("NEG-OPEN", "NEG-MSG"), f"their client sent {message[0]}")
            rounds += 1
            reply = engine.ask("respond", message[-1])
            equal(reply[0], "negentropy", "our answer")
            await socket.send(json.dumps(["NEG-MSG", message[1], reply[1]]))

    async with websockets.serve(answer, "127.0.0.1", 0, max_size=None) as server:
        client = ClientBuilder().database(database).build()
        port = server.sockets[0].getsockname()[1]
        await client.add_relay(RelayUrl.parse(f"ws://127.0.0.1:{port}"), and_connect=True)
        options = SyncOptions().direction(SyncDirection.BOTH).dry_run()
        report = await asyncio.wait_for(client.sync(Filter(), opts=options), PATIENCE_SECONDS)
        equal(report.failed, {}, "what their client failed with")
        found = [{id.to_hex() for id in part} for part in (report.report.remote, report.report.local)]
        equal((found[0], found[1]), want, "what each side lacks, by their client")
        await client.shutdown()
    engine.close()
    return rounds


async def meet(world):
    keys = Keys.generate()
    dice = random.Random(77)
    for both, only_ours, only_theirs in SHAPES:
        events = [
            # Many at one instant, so that bounds need the ids.
            EventBuilder(Kind(1), f"{number}").custom_created_at(Timestamp.from_secs(1_700_000_000 + dice.randrange(600)))
            .finalize(keys)
            for number in range(both + only_ours + only_theirs)
        ]
        mine, theirs = events[:both + only_ours], events[:both] + events[both + only_ours:]
        have, need = ids(events[both:both + only_ours]), ids(events[both + only_ours:])
        shape = f"{both} in common, {only_ours} and {only_theirs} not"
        with world.step(f"we reconcile with their relay: {shape}"):
            rounds = await with_their_relay(mine, theirs, (have, need))
        print(f"      {rounds} round trips", flush=True)
        if both + only_theirs > MOST_IN_DATABASE:
            continue
        with world.step(f"their client reconciles with us: {shape}"):
            rounds = await with_their_client(mine, theirs, (have, need), world.path(f"lmdb-{both}-{only_ours}-{only_theirs}"))
        print(f"      {rounds} round trips", flush=True)


def checks(world):
    asyncio.run(meet(world))


if __name__ == "__main__":
    run(checks)
