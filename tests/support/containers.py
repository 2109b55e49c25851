"""What production runs on, as containers; the images are those of docker-compose.yml."""

import secrets
import time
from collections.abc import Callable

import psycopg
from testcontainers.core.container import DockerContainer

from infra.embedded.server import free_port
from tests.support.ready import ask_http, ask_kafka

START_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.1

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.4.0"
GARAGE_IMAGE = "dxflrs/garage:v2.5.0"

KAFKA_SETTINGS = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
}
GARAGE_CONFIG = """\
metadata_dir = "/var/lib/garage/meta"
data_dir = "/var/lib/garage/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "[::]:3901"
rpc_public_addr = "127.0.0.1:3901"
[s3_api]
api_bind_addr = "[::]:3900"
s3_region = "garage"
"""


class ContainerServer:
    """A container on a port of this machine that stays the same when it is killed and restarted.

    Ryuk, the companion of testcontainers, removes it should this process be killed.
    """

    def __init__(self, container: DockerContainer, url: str, ask: Callable[[str], None]) -> None:
        self._container = container
        self._ask = ask
        self.url = url
        container.start()
        try:
            self._wait_until_it_answers()
        except BaseException:
            container.stop()
            raise

    def kill(self) -> None:
        if self._runs():
            self._container.get_wrapped_container().kill()
            self._container.get_wrapped_container().wait()

    def restart(self) -> None:
        if not self._runs():
            self._container.get_wrapped_container().start()
            self._wait_until_it_answers()

    def stop(self) -> None:
        self._container.stop()

    def _runs(self) -> bool:
        self._container.reload()
        return self._container.status == "running"

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._ask(self.url)
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_AGAIN_SECONDS)
            else:
                return


def start_postgres() -> ContainerServer:
    password = secrets.token_urlsafe(16)
    container = DockerContainer(POSTGRES_IMAGE).with_envs(
        POSTGRES_USER="atelier", POSTGRES_PASSWORD=password, POSTGRES_DB="atelier"
    )
    address = _published(container, 5432)
    return ContainerServer(
        container,
        f"postgresql://atelier:{password}@{address}/atelier",
        lambda url: psycopg.connect(url, connect_timeout=2).close(),
    )


def start_kafka() -> ContainerServer:
    container = DockerContainer(KAFKA_IMAGE).with_envs(**KAFKA_SETTINGS)
    address = _published(container, 9092)
    container.with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://{address}")
    return ContainerServer(container, address, ask_kafka)


def start_garage(access_key: str, secret_key: str, bucket: str) -> ContainerServer:
    container = (
        DockerContainer(GARAGE_IMAGE)
        .with_envs(
            GARAGE_DEFAULT_ACCESS_KEY=access_key,
            GARAGE_DEFAULT_SECRET_KEY=secret_key,
            GARAGE_DEFAULT_BUCKET=bucket,
            GARAGE_RPC_SECRET=secrets.token_hex(32),
        )
        .with_copy_into_container(GARAGE_CONFIG.encode(), "/etc/garage.toml")
        .with_command(["/garage", "server", "--single-node", "--default-bucket"])
    )
    return ContainerServer(container, f"http://{_published(container, 3900)}", ask_http)


def _published(container: DockerContainer, port: int) -> str:
    """Publish the container's port on a free one of this machine, and tell its address."""
    host_port = free_port()
    container.with_bind_ports(port, host_port)
    return f"{container.get_docker_client().host()}:{host_port}"
