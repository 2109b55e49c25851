import gc
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.net.inet import create_connection
from kafka.net.selector import NetworkSelector
from kafka.partitioner import murmur2

from domain.render import EVENTS, RenderRequeued, Requested
from infra.kafka.clients import (
    CLOSED,
    REFUSED,
    _in_words,
    client_options,
    reachable,
    within,
)
from infra.kafka.topics import PARTITIONS, TICKETED, partition_of
from infra.settings import Settings


def test_whatever_puts_a_task_into_the_queue_has_a_ticket():
    queued = {e.stored_name for e in EVENTS if issubclass(e, Requested | RenderRequeued)}
    assert queued == TICKETED


@pytest.mark.parametrize(
    ("key", "hashed"),  # from the tests of Kafka's own Java client
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_an_aggregate_is_in_the_partition_that_the_java_client_would_choose(
    key: str, hashed: int
) -> None:
    assert partition_of(key) == (hashed & 0x7FFFFFFF) % PARTITIONS


@given(st.text(max_size=60))
def test_any_key_is_hashed_as_the_library_hashes_it(key: str) -> None:
    assert partition_of(key) == (murmur2(key.encode()) & 0x7FFFFFFF) % PARTITIONS


def test_every_client_makes_no_topics_and_logs_in_only_where_asked_to() -> None:
    plain = client_options(Settings(kafka_bootstrap="a:1,b:2"))

    assert plain["bootstrap_servers"] == ["a:1", "b:2"]
    assert plain["security_protocol"] == "PLAINTEXT"
    assert not {name for name in plain if name.startswith(("sasl_", "ssl_"))}
    client = plain["kafka_client"](bootstrap_servers=["127.0.0.1:1"])
    try:
        assert client.cluster.config["allow_auto_create_topics"] is False
    finally:
        client.close()


def test_sasl_and_the_certificates_to_trust_are_handed_to_every_client() -> None:
    options = client_options(
        Settings(
            kafka_bootstrap="broker:9093",
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="SCRAM-SHA-512",
            kafka_sasl_username="atelier",
            kafka_sasl_password="secret",
            kafka_ca_file="/ca.pem",
        )
    )

    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_username"] == "atelier"
    assert options["sasl_plain_password"] == "secret"
    assert options["ssl_cafile"] == "/ca.pem"


def test_a_call_within_its_time_gives_its_result_or_its_error() -> None:
    assert within(5, lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)


def test_a_call_that_blocks_for_ever_is_left() -> None:
    with pytest.raises(KafkaTimeoutError):
        within(0.05, threading.Event().wait)


def test_a_call_that_blocks_is_left_long_before_its_time_once_told_to_stop() -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(KafkaTimeoutError):
        within(3_600, threading.Event().wait, stop)


def test_a_port_where_nobody_listens_is_not_reachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings = Settings(kafka_bootstrap=f"127.0.0.1:{taken.getsockname()[1]}")

        assert not reachable(settings, 1.0)


def test_a_port_that_takes_connections_and_never_answers_is_not_reachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Settings(kafka_bootstrap=f"127.0.0.1:{silent.getsockname()[1]}")

        assert not reachable(settings, 0.3)


def test_one_broker_that_answers_is_enough() -> None:
    with answering() as address:
        assert reachable(Settings(kafka_bootstrap=f"127.0.0.1:1,{address}"), 2.0)


def test_a_broker_behind_tls_is_reachable_for_who_trusts_its_certificate(tmp_path: Path) -> None:
    certificate, context = certified(tmp_path)
    with answering(context) as address:
        settings = Settings(
            kafka_bootstrap=address, kafka_security_protocol="SSL", kafka_ca_file=str(certificate)
        )
        assert reachable(settings, 2.0)


def test_a_broker_whose_certificate_is_not_trusted_is_not_reachable(tmp_path: Path) -> None:
    _, context = certified(tmp_path)
    with answering(context) as address:
        settings = Settings(kafka_bootstrap=address, kafka_security_protocol="SASL_SSL")
        assert not reachable(settings, 2.0)


@contextmanager
def answering(context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of something that answers one request as a broker would begin to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer_once, args=(server, context))
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def _answer_once(server: socket.socket, context: ssl.SSLContext | None) -> None:
    plain, _ = server.accept()
    try:
        with context.wrap_socket(plain, server_side=True) if context else plain as connection:
            size = int.from_bytes(connection.recv(4), "big")
            assert int.from_bytes(connection.recv(size)[:2], "big") == 18  # ApiVersions
            connection.sendall(b"\x00\x00\x00\x0a")
    except ssl.SSLError:
        plain.close()


def certified(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 in a file, and a context that presents it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return certificate, context


def test_a_client_that_is_closed_while_it_connects_leaves_no_socket_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", left.append)  # where ResourceWarnings end
    options = client_options(Settings(kafka_bootstrap="127.0.0.1:1"))
    loop = NetworkSelector()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connecting = create_connection(loop, "127.0.0.1", port, proxy_url=options["proxy_url"])
        loop.call_soon(connecting)
        loop.poll(timeout_ms=0)
        loop.close()
        gc.collect()
    assert left == []


@pytest.mark.parametrize("said", [CLOSED, REFUSED])
def test_a_refused_login_says_what_to_check_whether_the_library_has_read_it_or_not(said: str):
    settings = Settings(kafka_security_protocol="SASL_PLAINTEXT")
    told = _in_words(settings, KafkaError(f"[Error 58] {said}: no"))
    assert "check ATELIER_KAFKA_SASL_USERNAME" in told
