"""Real servers from a folder of start scripts, guarded like the embedded ones."""

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from kafka.errors import KafkaError

from infra.embedded import EmbeddedServer
from infra.embedded.server import free_port
from tests.support.ready import ask_http, ask_kafka


class _Script(EmbeddedServer):
    """A server that ``{name}/start`` runs in the foreground on a port of the loopback address."""

    def __init__(self, data: Path, scripts: Path) -> None:
        super().__init__(data)
        self._start = scripts / self.name / "start"
        self._port = _two_free_ports()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _command(self) -> Sequence[str]:
        return [str(self._start), str(self._folder / "data"), str(self._port), *self._arguments()]

    def _arguments(self) -> Sequence[str]:
        return []

    def _environ(self) -> dict[str, str]:
        return {
            name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ
        }


class Kafka(_Script):
    """Apache Kafka, one node."""

    name = "kafka"
    not_yet = (OSError, KafkaError)

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self._port}"

    def _ask(self) -> None:
        ask_kafka(self.url)


class _Media(_Script):
    region: ClassVar[str]

    def __init__(
        self, data: Path, scripts: Path, access_key: str, secret_key: str, bucket: str
    ) -> None:
        super().__init__(data, scripts)
        self._keys = [access_key, secret_key]
        self._bucket = bucket

    def _arguments(self) -> Sequence[str]:
        return self._keys

    def _ask(self) -> None:
        ask_http(self.url)


class MinIO(_Media):
    """MinIO, one node; it comes without the bucket."""

    name = "minio"
    region = "us-east-1"


class Garage(_Media):
    """Garage, one node, with the bucket."""

    name = "garage"
    region = "garage"

    def _arguments(self) -> Sequence[str]:
        return [*self._keys, self._bucket]


MEDIA: dict[str, type[MinIO | Garage]] = {"minio": MinIO, "garage": Garage}


def _two_free_ports() -> int:
    """A free port with a free one after it, which Kafka and Garage take as well."""
    while True:
        port = free_port()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port + 1))
            return port
