"""Real servers from a folder of start scripts, guarded like the embedded ones."""

import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from kafka.errors import KafkaError

from infra.embedded import EmbeddedServer
from infra.embedded.server import free_port
from tests.support.local import LocalServer
from tests.support.ready import ask_http, ask_kafka


class _Script(EmbeddedServer):
    """A server that ``{name}/start`` runs in the foreground on a port of the loopback address."""

    def __init__(self, data: Path, scripts: Path) -> None:
        super().__init__(data)
        self._start = scripts / self.name / "start"
        self._port = _free_ports(0, 1, 2)  # Kafka and Garage take those after theirs as well

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _command(self) -> Sequence[str]:
        return [str(self._start), str(self._folder / "data"), str(self._port), *self._arguments()]

    def _arguments(self) -> Sequence[str]:
        return []

    def _environ(self) -> dict[str, str]:
        return _with_java()


class Kafka(_Script):
    """Apache Kafka, one node; two ports further it asks for a login."""

    name = "kafka"
    USER = ("atelier", "a password")
    not_yet = (OSError, KafkaError)

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self._port}"

    def _arguments(self) -> Sequence[str]:
        return [
            "log.initial.task.delay.ms=0",  # retention begins at once, not after half a minute
            # One that was killed is let in again only when its session has ended, by default 9 s.
            "broker.session.timeout.ms=3000",
            "broker.heartbeat.interval.ms=500",
            *self._with_login(),
        ]

    def _with_login(self) -> Sequence[str]:
        plain, controller, locked = (f"127.0.0.1:{self._port + n}" for n in range(3))
        user, password = self.USER
        return [
            f"listeners=PLAINTEXT://{plain},CONTROLLER://{controller},SASL_PLAINTEXT://{locked}",
            f"advertised.listeners=PLAINTEXT://{plain},SASL_PLAINTEXT://{locked}",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,"
            "SASL_PLAINTEXT:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms=PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config="
            "org.apache.kafka.common.security.plain.PlainLoginModule required"
            f' user_{user}="{password}";',
        ]

    def _ask(self) -> None:
        ask_kafka(self.url)


class KafkaNode(EmbeddedServer):
    """One of the three nodes of a cluster, which answer as soon as two of them run."""

    name = "kafka"
    stop_signal = signal.SIGKILL  # it would wait for its peers, and its data goes with the test
    not_yet = (OSError, KafkaError)

    def __init__(self, data: Path, scripts: Path, port: int, number: int) -> None:
        super().__init__(data / str(number))
        self._script = scripts / self.name / "start-cluster-node"
        self._port = port
        self._number = number

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self._port + 10 * (self._number - 1)}"

    def _command(self) -> Sequence[str]:
        data = str(self._folder / "data")
        return [str(self._script), data, str(self._port), str(self._number)]

    def _environ(self) -> dict[str, str]:
        return _with_java()

    def _ask(self) -> None:
        ask_kafka(self.url)


class KafkaCluster:
    """Apache Kafka, three nodes that can be killed one by one."""

    def __init__(self, data: Path, scripts: Path) -> None:
        port = _free_ports(0, 1, 10, 11, 20, 21)
        nodes = [KafkaNode(data, scripts, port, number) for number in (1, 2, 3)]
        with ThreadPoolExecutor() as threads:
            self._nodes = list(threads.map(LocalServer, nodes))

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self._nodes)

    def kill(self, number: int) -> None:
        """End a node as `kill -9` does; they are numbered from 1."""
        self._nodes[number - 1].kill()

    def restart(self, number: int) -> None:
        """Have a killed node answer again."""
        self._nodes[number - 1].restart()

    def stop(self) -> None:
        for node in self._nodes:
            node.stop()


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


def _with_java() -> dict[str, str]:
    wanted = ("PATH", "HOME", "JAVA_HOME")
    return {name: os.environ[name] for name in wanted if name in os.environ}


def _free_ports(*offsets: int) -> int:
    """A port that is free, as are those at these distances from it."""
    while True:
        port = free_port()
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            for offset in offsets:
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            return port
