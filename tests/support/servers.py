"""Where tests take their servers from, as ATELIER_TEST_SERVERS says.

``embedded`` (the default) takes those that Atelier brings along, ``containers`` takes containers of
what production runs on, and anything else is a folder of start scripts (``kafka/start`` and the
like) for real servers without containers; Postgres is then the embedded one. ATELIER_TEST_MEDIA
chooses between the folder's ``minio`` (the default) and ``garage``.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from infra.embedded import EmbeddedBroker, EmbeddedMedia, EmbeddedPostgres
from tests.support import containers, scripts
from tests.support.local import LocalServer

SERVERS = os.environ.get("ATELIER_TEST_SERVERS") or "embedded"
MEDIA = os.environ.get("ATELIER_TEST_MEDIA") or "minio"
BUCKET = "atelier-test"


class Server(Protocol):
    """A running server that a test may kill and bring back."""

    @property
    def url(self) -> str:
        """Where clients find it, the same after a restart."""

    def kill(self) -> None:
        """End it as `kill -9` does; does nothing when it does not run."""

    def restart(self) -> None:
        """Have it answer again at the same address, with the data it keeps, if it does not run."""

    def stop(self) -> None:
        """End it for good."""


class MediaServer(NamedTuple):
    """An S3 server and how to log in."""

    server: Server
    access_key: str
    secret_key: str
    region: str

    @property
    def environ(self) -> dict[str, str]:
        """The settings that lead to it."""
        return {
            "ATELIER_S3_URL": self.server.url,
            "ATELIER_S3_ACCESS_KEY": self.access_key,
            "ATELIER_S3_SECRET_KEY": self.secret_key,
            "ATELIER_S3_REGION": self.region,
            "ATELIER_S3_BUCKET": BUCKET,
        }


class HastyPostgres(EmbeddedPostgres):
    """It waits for no disk: what is killed is the server, and never the machine."""

    def _command(self) -> Sequence[str]:
        return [*super()._command(), "--fsync=off"]


def start_postgres(data: Path) -> Server:
    """A PostgreSQL server, whose ``url`` names a database that its user may do anything with."""
    if SERVERS == "containers":
        return containers.start_postgres()
    return LocalServer(HastyPostgres(data))


def start_kafka(data: Path) -> Server:
    """A broker, whose ``url`` is the bootstrap address."""
    if SERVERS == "embedded":
        return LocalServer(EmbeddedBroker(data))
    if SERVERS == "containers":
        return containers.start_kafka()
    return LocalServer(scripts.Kafka(data, _scripts()))


def start_cluster(data: Path) -> scripts.KafkaCluster:
    """Three nodes of Apache Kafka, from a folder of start scripts."""
    return scripts.KafkaCluster(data, _scripts())


def start_media(data: Path) -> MediaServer:
    """An S3 server; it may lack the bucket."""
    # The strictest form among the servers, Garage's.
    access_key, secret_key = f"GK{secrets.token_hex(12)}", secrets.token_hex(32)
    if SERVERS == "embedded":
        server: Server = LocalServer(EmbeddedMedia(data, access_key, secret_key, BUCKET))
        return MediaServer(server, access_key, secret_key, "us-east-1")
    if SERVERS == "containers":
        server = containers.start_garage(access_key, secret_key, BUCKET)
        return MediaServer(server, access_key, secret_key, "garage")
    script = scripts.MEDIA[MEDIA](data, _scripts(), access_key, secret_key, BUCKET)
    return MediaServer(LocalServer(script), access_key, secret_key, script.region)


def _scripts() -> Path:
    folder = Path(SERVERS).absolute()
    if not (folder / "kafka" / "start").exists():
        raise FileNotFoundError(f"ATELIER_TEST_SERVERS={SERVERS}: there is no {folder}/kafka/start")
    return folder
