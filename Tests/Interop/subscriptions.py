"""NUT-17 with a WebSocket client that is not ours (PyPI `websockets`), over plain and over TLS, and with nutshell 0.21.0's
wallet, which waits for its invoice on the WebSocket. TEST MONEY throughout."""

import asyncio
import datetime
import hashlib
import ipaddress
import json
import os
import re
import ssl
import subprocess
import urllib.request

import websockets

from nutshell import PROGRAMS, Wallet
from world import PATIENCE_SECONDS, check, equal, http_call, run, until


def certificate(world):
    """A self-signed certificate for 127.0.0.1: paths of the PEM files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = world.path("cert.pem"), world.path("key.pem")
    with open(paths[0], "wb") as file:
        file.write(made.public_bytes(serialization.Encoding.PEM))
    with open(paths[1], "wb") as file:
        file.write(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ))
    return paths


async def answer(socket):
    return json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS))


async def subscribe(socket, number, name, kind, filters):
    await socket.send(json.dumps({
        "jsonrpc": "2.0", "id": number, "method": "subscribe",
        "params": {"kind": kind, "subId": name, "filters": filters},
    }))
    equal(await answer(socket), {"jsonrpc": "2.0", "result": {"status": "OK", "subId": name}, "id": number}, "the answer")


async def news(socket, name):
    message = await answer(socket)
    equal((message["jsonrpc"], message["method"], message["params"]["subId"]), ("2.0", "subscribe", name), "the news")
    return message["params"]["payload"]


def post(mint, path, body):
    status, _, text = http_call(f"{mint}/v1/{path}", "POST", body, {"Content-Type": "application/json"})
    equal(status, 200, f"POST {path}: {text[:300]}")
    return json.loads(text)


async def quote_over_socket(mint, lightning, address, context, quote):
    async with websockets.connect(address, ssl=context) as socket:
        await subscribe(socket, 0, "q", "bolt11_mint_quote", [quote["quote"]])
        first = await news(socket, "q")
        equal((first["quote"], first["state"]), (quote["quote"], "UNPAID"), "the quote at first")
        lightning.pay(quote["request"])
        paid = await news(socket, "q")
        equal((paid["state"], paid["amount_paid"]), ("PAID", quote["amount"]), "the quote once it is paid")
        pong = await socket.ping()
        await asyncio.wait_for(pong, PATIENCE_SECONDS)
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "unsubscribe", "params": {"subId": "q"}}))
        equal((await answer(socket))["result"]["status"], "OK", "unsubscribing")
        point = "02" + hashlib.sha256(os.urandom(8)).hexdigest()
        await subscribe(socket, 2, "p", "proof_state", [point])
        equal(await news(socket, "p"), {"Y": point, "state": "UNSPENT", "witness": None}, "a coin nobody spent")
        await socket.send("{")
        equal((await answer(socket))["error"]["code"], -32700, "what is not JSON")
    equal(socket.close_code, 1000, "the goodbye")


async def too_long(address):
    async with websockets.connect(address) as socket:
        await socket.send("x" * 200_000)
        try:
            await asyncio.wait_for(socket.recv(), PATIENCE_SECONDS)
            check(False, "a message that is too long was answered")
        except websockets.ConnectionClosed as closed:
            equal(closed.rcvd.code, 1009, "the code for a message that is too long")


def nutshell_waits(world, node, lightning):
    """nutshell's `invoice` without --id asks for a quote, waits for it on the WebSocket and mints."""
    alice = Wallet(world, node.mint, "waiting")
    before = subscriptions(node)
    process = subprocess.Popen(
        [os.path.join(PROGRAMS, "cashu"), "-h", node.mint, "-t", "-y", "-w", alice.name, "invoice", "64"],
        env=alice.environment | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        shown = ""
        while not (found := re.search(r"Invoice: (ln\w+)", shown)):
            line = process.stdout.readline()
            check(line, f"nutshell ended: {shown[-600:]}")
            shown += line
        until(lambda: subscriptions(node) > before, "nutshell's subscription", process)
        lightning.pay(found[1])
        rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
        equal(process.returncode, 0, f"nutshell's exit status ({(shown + rest)[-600:]})")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    equal(alice.balance(), 64, "nutshell's balance")


def subscriptions(node):
    """How many were made, as the node counts them."""
    lines = http_call(node.url + "/metrics")[2].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("mint_subscriptions_total"))


def checks(world):
    lightning = world.simulator()
    network = f"lightning.simulatedURL={lightning.url}"
    node = world.node("plain", network)
    address = node.mint.replace("http", "ws", 1) + "/v1/ws"
    with world.step("NUT-06 names what can be subscribed to"):
        settings = json.loads(http_call(node.mint + "/v1/info")[2])["nuts"]["17"]["supported"]
        equal([(entry["method"], entry["unit"]) for entry in settings], [("bolt11", "sat")], "methods and units")
        equal(settings[0]["commands"], ["bolt11_mint_quote", "bolt11_melt_quote", "proof_state"], "the kinds")
    with world.step("websockets: a mint quote and a coin over ws://"):
        quote = post(node.mint, "mint/quote/bolt11", {"amount": 21, "unit": "sat"})
        asyncio.run(quote_over_socket(node.mint, lightning, address, None, quote))
    with world.step("a message that is too long ends the connection with 1009"):
        asyncio.run(too_long(address))
    with world.step("nutshell's wallet waits for its invoice on the WebSocket and mints by itself"):
        nutshell_waits(world, node, lightning)
    with world.step("websockets: the same over wss://"):
        certificate_path, key_path = certificate(world)
        secure = world.node("tls", network, f"http.tlsCertificate={certificate_path}", f"http.tlsKey={key_path}")
        context = ssl.create_default_context(cafile=certificate_path)
        request = urllib.request.Request(
            secure.mint + "/v1/mint/quote/bolt11", json.dumps({"amount": 21, "unit": "sat"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS, context=context) as made:
            quote = json.loads(made.read())
        wss = secure.mint.replace("https", "wss", 1) + "/v1/ws"
        asyncio.run(quote_over_socket(secure.mint, lightning, wss, context, quote))


if __name__ == "__main__":
    run(checks)
