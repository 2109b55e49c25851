"""Clients of Kafka: how they are set up, whether a broker answers, and calls that end in time."""

import concurrent.futures
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

from infra.settings import Settings

BOOTSTRAP_TIMEOUT_MS: Final = 5_000
REQUEST_TIMEOUT_MS: Final = 5_000
RECONNECT_MOST_MS: Final = 500  # 30 s by default: far longer than a broker needs to come back
FETCH_WAIT_MS: Final = 10  # the default of 500 adds up to 200 ms to a lone record
CLOSED: Final = "socket disconnected"  # how kafka-python tells of it
REFUSED: Final = "SaslAuthenticationFailedError"
STOPPING_S: Final = 2.0  # how much longer a call may block once we are told to stop

# ApiVersions, version 0, by a client named "atelier": brokers answer it before any login.
API_VERSIONS: Final = struct.pack(">ihhih7s", 17, 18, 0, 1, 7, b"atelier")

T = TypeVar("T")


def client_options(settings: Settings) -> dict[str, Any]:
    """What every client of kafka-python needs: where the brokers are and how to log in."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap.split(","),
        "security_protocol": settings.kafka_security_protocol,
        "kafka_client": _client_that_makes_no_topics,
        "proxy_url": f"{_ClosedSocket.SCHEMES[0]}://",
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "reconnect_backoff_max_ms": RECONNECT_MOST_MS,
    }
    if settings.kafka_ca_file:
        options["ssl_cafile"] = settings.kafka_ca_file
    if settings.kafka_security_protocol.startswith("SASL_"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password
    return options


def make_admin(settings: Settings) -> KafkaAdminClient:
    """An admin client; ask `reachable` first, for each one that fails to connect leaks a thread."""
    return KafkaAdminClient(**client_options(settings))


def make_consumer(settings: Settings, **options: Any) -> KafkaConsumer:
    """A consumer that sees committed records only; ask `reachable` first, as for `make_admin`."""
    usual = {
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": FETCH_WAIT_MS,
    }
    return KafkaConsumer(**client_options(settings), **usual | options)


def discard(producer: KafkaProducer) -> None:
    """End a producer without sending what it still holds, and wait until it has ended.

    Its `close` does not do: it flushes first, which raises while the broker is away and then leaves
    the sending thread alive, so old records could arrive in a topic that has been made anew.
    Raises `KafkaTimeoutError` when the thread does not end.
    """
    producer._sender.force_close()
    producer._sender.join(2 * REQUEST_TIMEOUT_MS / 1000)
    if producer._sender.is_alive():
        raise KafkaTimeoutError("the producer's thread does not end")
    producer.close(timeout=0)


def _client_that_makes_no_topics(**options: Any) -> KafkaNetClient:
    # kafka-python 3.0.12 drops `allow_auto_create_topics` on its way to the metadata requests, so
    # every client would make topics with the broker's default number of partitions.
    client = KafkaNetClient(**options)
    client.cluster.config["allow_auto_create_topics"] = False
    return client


class _ClosedSocket(KafkaNetSocket):  # type: ignore[misc]  # kafka-python has no types
    """A socket straight to the broker that is closed with its client while it connects, too.

    kafka-python 3.0.12 leaves such a one to the garbage collector. It picks the class of its
    sockets by the scheme of `proxy_url`.
    """

    SCHEMES = ("direct",)

    async def sock_connect(
        self, net: Any, sock: socket.socket, sockaddr: Any, timeout_at: float | None = None
    ) -> socket.socket:
        try:
            await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:  # the coroutine is closed, or the broker refuses
            sock.close()
            raise
        return sock


def within(seconds: float, call: Callable[[], T], stop: threading.Event | None = None) -> T:
    """Run a call that may block for ever, for example one that commits a transaction.

    Raises `KafkaTimeoutError` after so many seconds, or two seconds after `stop` is set.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    threading.Thread(target=_settle, args=(outcome, call), daemon=True).start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        concurrent.futures.wait([outcome], timeout=min(0.1, seconds))
        if outcome.done():
            return outcome.result()
        if stop is not None and stop.is_set():
            deadline = min(deadline, time.monotonic() + STOPPING_S)
    raise KafkaTimeoutError(f"no answer within {seconds} s")


def _settle(outcome: concurrent.futures.Future[T], call: Callable[[], T]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:
        outcome.set_exception(error)


# Is it there?


def reachable(settings: Settings, timeout: float) -> bool:
    """Whether a broker answers within `timeout` seconds, without making a client."""
    return not _unreached(settings, timeout)


def trouble(settings: Settings, timeout: float) -> str:
    """Why Kafka does not serve us, as it says itself where it does; "" when it serves us.

    It logs in as every client does; `reachable` spares that and knows less.
    """
    if why := _unreached(settings, timeout):
        return why
    client = _client_that_makes_no_topics(**client_options(settings))
    manager = client._manager

    async def log_in() -> None:
        broker = manager.cluster.bootstrap_brokers()[0]
        await manager.get_connection(broker.node_id, timeout_ms=1000 * timeout)
        await manager.cluster.refresh_metadata(broker.node_id)

    try:
        within(timeout, lambda: client._net.run(log_in))
    except KafkaError as error:
        return _in_words(settings, error)
    finally:
        client.close()
    return ""


def _in_words(settings: Settings, error: KafkaError) -> str:
    # A broker closes the connection at once after its refusal, which the library reads or not.
    if not any(said in str(error) for said in (CLOSED, REFUSED)):
        return str(error)
    if settings.kafka_security_protocol.startswith("SASL_"):
        return (
            "the broker ended the connection at the login: check ATELIER_KAFKA_SASL_USERNAME,"
            " ATELIER_KAFKA_SASL_PASSWORD and ATELIER_KAFKA_SASL_MECHANISM"
        )
    return (
        "the broker ended the connection: it may ask for a login or for TLS, so check"
        " ATELIER_KAFKA_SECURITY_PROTOCOL"
    )


def _unreached(settings: Settings, timeout: float) -> str:
    """Why none of the brokers' addresses answers; "" when one does."""
    try:
        return within(timeout, lambda: _ask_each(settings, timeout))
    except KafkaTimeoutError as error:
        return str(error)


def _ask_each(settings: Settings, timeout: float) -> str:
    addresses = settings.kafka_bootstrap.split(",")
    why = []
    for address in addresses:
        try:
            _ask(settings, address, timeout / len(addresses))
        except OSError as error:
            why.append(f"{address}: {error.strerror or error}")
        else:
            return ""
    return "; ".join(why)


def _ask(settings: Settings, address: str, timeout: float) -> None:
    """Wait for an answer; raises `OSError`."""
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host.strip("[]"), int(port)), timeout) as plain,
        _secured(settings, plain, host) as connection,
    ):
        connection.sendall(API_VERSIONS)
        if not connection.recv(4):
            raise ConnectionResetError("the connection was ended without an answer")


def _secured(settings: Settings, plain: socket.socket, host: str) -> socket.socket:
    if not settings.kafka_security_protocol.endswith("SSL"):
        return plain
    context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    return context.wrap_socket(plain, server_hostname=host.strip("[]"))
