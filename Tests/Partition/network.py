"""A network of namespaces: hosts on two bridges, and a cable between the bridges that can be pulled."""

import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Network:
    """Hosts 1…count have the addresses 10.77.0.1…; those up to `count / 2` are on the left."""

    def __init__(self, count: int):
        self.prefix = f"mm{os.getpid() % 10_000}"
        self.switch = f"{self.prefix}s"
        self.hosts = {number: f"{self.prefix}h{number}" for number in range(1, count + 1)}
        self.made: list[str] = []
        try:
            self._make(count)
        except BaseException:
            self.close()
            raise

    def _make(self, count: int) -> None:
        self._namespace(self.switch)
        for side in ("left", "right"):
            ip("-n", self.switch, "link", "add", side, "type", "bridge")
            ip("-n", self.switch, "link", "set", side, "up")
        ip("-n", self.switch, "link", "add", "cable", "type", "veth", "peer", "name", "cableend")
        ip("-n", self.switch, "link", "set", "cable", "master", "left")
        ip("-n", self.switch, "link", "set", "cableend", "master", "right")
        for number, name in self.hosts.items():
            self._namespace(name)
            port = f"port{number}"
            ip("-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", self.switch, "link", "set", port, "master", "left" if number <= count // 2 else "right")
            ip("-n", self.switch, "link", "set", port, "up")
            ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        self.heal()

    def _namespace(self, name: str) -> None:
        ip("netns", "add", name)
        self.made.append(name)

    @staticmethod
    def address(number: int) -> str:
        return f"10.77.0.{number}"

    def cut(self) -> None:
        ip("-n", self.switch, "link", "set", "cable", "down")

    def heal(self) -> None:
        for end in ("cable", "cableend"):
            ip("-n", self.switch, "link", "set", end, "up")

    def command(self, number: int, words: list[str]) -> list[str]:
        """What runs a program on a host."""
        return ["ip", "netns", "exec", self.hosts[number], *words]

    def on(self, number: int, work):
        """Runs `work` with this process's new sockets on a host, and gives back what it returns."""
        result: list = []

        def run() -> None:
            try:
                with open(f"/run/netns/{self.hosts[number]}") as namespace:
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                result.append((work(), None))
            except BaseException as error:  # noqa: BLE001: it is raised where it is waited for
                result.append((None, error))

        # The namespace is a thread's own.
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        value, error = result[0]
        if error:
            raise error
        return value

    def close(self) -> None:
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        self.made = []
