"""A host of the test's own, in a network namespace: its packets can be lost without a word."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

PORT = 5_432
FORWARD = """
import asyncio, sys
async def pump(reader, writer):
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def serve(reader, writer):
    there = await asyncio.open_unix_connection(sys.argv[3])
    await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
async def main():
    async with await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2])) as server:
        print("forwarding", flush=True)
        await server.serve_forever()
asyncio.run(main())
"""

needs_namespaces = pytest.mark.skipif(
    not os.environ.get("CI") and (os.geteuid() != 0 or not shutil.which("ip")),
    reason="needs root, and `ip` of Debian's iproute2",
)


class Host:
    """A host that passes connections on to a unix socket, until it goes silent."""

    def __init__(self, number: int) -> None:
        self._name = f"atelier-{secrets.token_hex(3)}"
        self._link = f"at{secrets.token_hex(3)}"
        self._net = f"10.213.{number}"
        self.address = f"{self._net}.2"

    def start(self, socket: str) -> subprocess.Popen[str]:
        """Come up, and forward what comes to `PORT`."""
        inside = f"{self._link}i"
        _ip("netns", "add", self._name)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", inside, "netns", self._name)
        _ip("addr", "add", f"{self._net}.1/24", "dev", self._link)
        _ip("link", "set", self._link, "up")
        _ip("-n", self._name, "addr", "add", f"{self.address}/24", "dev", inside)
        _ip("-n", self._name, "link", "set", inside, "up")
        command = [sys.executable, "-c", FORWARD, self.address, str(PORT), socket]
        forwarder = subprocess.Popen(
            ["ip", "netns", "exec", self._name, *command], stdout=subprocess.PIPE, text=True
        )
        assert forwarder.stdout is not None
        assert forwarder.stdout.readline()
        return forwarder

    def go_silent(self) -> None:
        """Lose every packet from now on, as a host without power does."""
        _ip("-n", self._name, "link", "set", f"{self._link}i", "down")

    def remove(self) -> None:
        """Leave nothing behind."""
        for words in (("link", "del", self._link), ("netns", "del", self._name)):
            subprocess.run(["ip", *words], check=False, capture_output=True)


@contextlib.contextmanager
def hosts(socket: str, count: int) -> Iterator[list[Host]]:
    """Hosts that all lead to the same socket."""
    made = [Host(number) for number in range(1, count + 1)]
    with contextlib.ExitStack() as stack:
        for host in made:
            stack.callback(host.remove)
            forwarder = stack.enter_context(host.start(socket))
            stack.callback(forwarder.kill)
        yield made


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
