"""What the checks stand on: nodes, a TEST MONEY Lightning network, nutshell, and the certainty that all of it ends."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MINTMARK = os.environ["MINTMARK"]
PATIENCE_SECONDS = 60  # how long anything may take to become ready, or a command to end, on a slow machine


class CheckFailed(Exception):
    """A peer did something else than it should; the text says what."""


def check(holds, message):
    if not holds:
        raise CheckFailed(message)


def equal(found, wanted, what):
    check(found == wanted, f"{what}: {found!r} instead of {wanted!r}")


def fee(inputs, ppk):
    """NUT-02: thousandths of a unit for each input, rounded up."""
    return (inputs * ppk + 999) // 1000


def http_call(url, method="GET", body=None, headers=None):
    """Any status is an answer. Returns status, headers and body."""
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def until(condition, what, process=None):
    """Polls until `condition` gives something true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, http.client.HTTPException, OSError):
            if found := condition():
                return found
        check(process is None or process.poll() is None, f"{what}: the process ended with {process and process.returncode}")
        time.sleep(0.05)
    raise CheckFailed(f"{what}: not within {PATIENCE_SECONDS} s")


class World:
    """A folder and processes that are gone when the `with` block ends, whatever happened in it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="mmk")
        self.processes = []
        self.servers = []
        self.steps = 0
        self.started = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for server in self.servers:
            server.shutdown()
            server.server_close()
        for process, _ in self.processes:
            if process.poll() is None:
                process.terminate()
        for process, _ in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if kind and kind is not KeyboardInterrupt:
            for process, log in self.processes:
                self.show_tail(process, log)
        shutil.rmtree(self.folder, ignore_errors=True)
        return False

    def end(self):
        """Our nodes stop by themselves when asked to, and say that all was well."""
        nodes = [process for process, _ in self.processes if process.args[:2] == [MINTMARK, "serve"]]
        for process in nodes:
            process.terminate()
        for process in nodes:
            equal(process.wait(PATIENCE_SECONDS), 0, f"the exit status of {' '.join(process.args)[:80]}")

    @staticmethod
    def show_tail(process, log):
        with open(log, errors="replace") as lines:
            tail = lines.read().splitlines()[-12:]
        print(f"   log of {' '.join(process.args)[:100]}", *tail, sep="\n   | ", file=sys.stderr)

    @contextlib.contextmanager
    def step(self, name):
        begun = time.monotonic()
        try:
            yield
        except BaseException:
            print(f"FAIL {name}", flush=True)
            raise
        self.steps += 1
        print(f"ok   {name} ({(time.monotonic() - begun) * 1000:.0f} ms)", flush=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def log(self, name):
        """What the process of this name has printed."""
        with open(self.path(name + ".log")) as lines:
            return lines.read()

    def spawn(self, name, arguments, environment):
        log = self.path(name + ".log")
        with open(log, "w") as output:
            process = subprocess.Popen(
                arguments, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self.processes.append((process, log))
        return process, log

    def spawn_ready(self, name, arguments):
        """Starts one of our own programs; returns the object that it prints when it is ready."""
        process, log = self.spawn(name, arguments, own_environment())

        def first_object():
            with open(log) as lines:
                return next((json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")), None)

        facts = until(first_object, name, process)
        check(facts.get("ready"), f"{name} is not ready: {facts}")
        return facts

    def simulator(self):
        facts = self.spawn_ready(
            "lightning", [MINTMARK, "lightning-simulator", "--port", "0", "--data", self.path("ln"), "--json"]
        )
        return Lightning(facts["url"])

    def node(self, name, *settings, words=None, serve=True, port=0):
        return Node(self, name, settings, words, serve, port)

    def upstream(self):
        """An ordinary HTTP service that knows nothing of money. Returns its address and the paths it was asked for."""
        asked = []

        def answer(path):
            asked.append(path)
            return "application/json", json.dumps({"path": path, "weather": "fair"})

        return self.serve(answer), asked

    def serve(self, answer):
        """An HTTP server of GETs: `answer` gives media type and text for a path. Returns its address."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                media_type, text = answer(self.path)
                body = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    def serve_json(self, answer):
        """A peer's HTTP server: `answer` gives status and object for a path and the body's object, which is None for a GET. What it
        throws is told to whoever asks, and so to the check. Returns its address."""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.tell(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self):
                self.tell(None)

            def tell(self, body):
                try:
                    status, told = answer(self.path, body)
                except Exception as error:
                    status, told = 400, {"code": "invalid", "title": "refused by the peer", "detail": repr(error)}
                text = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"


def own_environment():
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MINTMARK_")}
    return kept | {"MINTMARK_LOG_LEVEL": "warning"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mintmark(*arguments, status=0, text_in=None, environment={}):
    """Runs a command of ours with --json; returns what it prints. `status` is the exit status that it must have."""
    run = subprocess.run(
        [MINTMARK, *arguments, "--json"],
        env=own_environment() | environment, input=text_in or "", capture_output=True, text=True, timeout=120,
    )
    shown = f"mintmark {' '.join(arguments)[:120]}: {run.stdout[-600:]} {run.stderr[-600:]}"
    check(run.returncode == status, f"exit status {run.returncode} instead of {status}: {shown}")
    try:
        return json.loads(run.stdout)
    except ValueError:
        raise CheckFailed(f"no JSON object: {shown}") from None


class Node:
    """One of our nodes, in a data directory of its own."""

    def __init__(self, world, name, settings, words, serve, port):
        self.port = port
        self.folder = world.path(name)
        self.made = self.run("init", *(["--restore"] if words else []), text_in=words)
        self.words = words or self.made["words"]
        self.name, self.settings = name, settings
        if serve:
            self.start(world)

    def start(self, world):
        flags = [flag for setting in self.settings for flag in ("--set", setting)]
        self.facts = world.spawn_ready(
            self.name, [MINTMARK, "serve", "--port", str(self.port), *flags, "--data", self.folder, "--json"]
        )
        self.process = world.processes[-1][0]
        self.url = self.facts["publicURL"]
        self.mint = self.facts.get("mint")

    def stop(self):
        self.process.terminate()
        equal(self.process.wait(PATIENCE_SECONDS), 0, "the exit status on SIGTERM")

    def run(self, *arguments, **expected):
        return mintmark(*arguments, "--data", self.folder, **expected)

    def balance(self, mint):
        """What can be spent at that mint."""
        rows = [row for row in self.run("wallet", "balance")["mints"] if row["mint"] == mint and row["unit"] == "sat"]
        return int(rows[0]["available"]) if rows else 0

    def audit(self):
        equal(self.run("status", "--audit")["findings"], [], "findings in the books")


class Lightning:
    """An account of its own at our simulated Lightning network (TEST MONEY), by its HTTP API."""

    def __init__(self, url):
        self.url = url
        self.token = self.call("POST", "/accounts", {"name": "interop"})["token"]

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json"}
        if hasattr(self, "token"):
            headers["Authorization"] = f"Bearer {self.token}"
        status, _, answer = http_call(self.url + path, method, body, headers)
        check(status in (200, 201), f"Lightning {method} {path}: {status} {answer[:300]}")
        return json.loads(answer)

    def pay(self, invoice):
        paid = self.call("POST", "/payments", {"invoice": invoice, "maximumFeeMsat": 10_000})
        equal(paid["state"], "settled", "the payment's state")
        return paid["preimage"]

    def invoice(self, sat):
        made = self.call(
            "POST", "/invoices", {"amountMsat": sat * 1000, "description": "interop", "expirySeconds": 600}
        )
        return made["invoice"], made["paymentHash"]

    def is_paid(self, payment_hash):
        return self.call("GET", f"/invoices/{payment_hash}")["state"] == "paid"


def run(checks, limit_seconds=290):
    """Runs the checks in a world of their own; the exit status says whether all of them held."""

    def stop(number, _):
        raise CheckFailed(f"stopped by signal {number}" if number != signal.SIGALRM else f"longer than {limit_seconds} s")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit_seconds)
    try:
        with World() as world:
            checks(world)
            with world.step("our nodes end on SIGTERM, with status 0"):
                world.end()
            print(f"all {world.steps} checks passed in {time.monotonic() - world.started:.1f} s", flush=True)
    except CheckFailed as failure:
        print(f"interop: {failure}", file=sys.stderr)
        sys.exit(1)
