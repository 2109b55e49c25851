"""Posting to real servers, each with a certificate that only the test trusts."""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time

import pytest

from infra.webhooks import posting
from infra.webhooks.posting import Poster
from infra.webhooks.targets import Forbidden
from tests.support.receiver import Answer, receiving

HERE = ipaddress.ip_address("127.0.0.1")


@pytest.fixture
def receiver(tmp_path):
    with receiving(tmp_path) as started:
        yield started


def poster(receiver, *others, **options):
    allowed = {"permits": lambda address: address == HERE, "tls": receiver.trust()}
    return Poster([receiver.host, *others], **allowed | options)


def redirecting(location, status=307):
    return lambda heard: Answer(status, {"Location": location})


def test_body_and_headers_arrive_under_the_name_that_was_given(receiver):
    assert poster(receiver).post(receiver.url, b"{}", {"webhook-id": "7"}) == 204
    (heard,) = receiver.heard
    assert (heard.path, heard.body) == ("/atelier?order=7", b"{}")
    assert (heard.headers["host"], heard.headers["webhook-id"]) == (receiver.host, "7")


def test_nothing_is_sent_to_an_address_that_is_not_public(receiver):
    with pytest.raises(Forbidden, match=r"not lead to 127\.0\.0\.1, which is not public"):
        Poster([receiver.host], tls=receiver.trust()).post(receiver.url, b"{}", {})
    assert receiver.heard == []


def test_a_certificate_that_nobody_vouches_for_is_not_believed(receiver):
    with pytest.raises(ssl.SSLCertVerificationError):
        poster(receiver, tls=None).post(receiver.url, b"{}", {})
    assert receiver.heard == []


def test_a_certificate_of_another_name_is_not_believed(receiver):
    name = f"localhost:{receiver.port}"
    with pytest.raises(ssl.SSLCertVerificationError):
        poster(receiver, name).post(f"https://{name}/", b"{}", {})
    assert receiver.heard == []


def test_a_redirect_is_followed_with_the_same_body(receiver):
    there = redirecting("/there")
    receiver.answers = lambda heard: Answer() if heard.path == "/there" else there(heard)
    assert poster(receiver).post(receiver.url, b"{}", {"webhook-id": "7"}) == 204
    assert [each.path for each in receiver.heard] == ["/atelier?order=7", "/there"]
    assert [each.body for each in receiver.heard] == [b"{}", b"{}"]
    assert [each.headers["webhook-id"] for each in receiver.heard] == ["7", "7"]


def test_redirects_are_followed_three_times(receiver):
    receiver.answers = redirecting("/again")
    with pytest.raises(Forbidden, match="redirect at most 3 times"):
        poster(receiver).post(receiver.url, b"{}", {})
    assert len(receiver.heard) == 4


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "http://127.0.0.1/",
        "//elsewhere.example.com/",
        "file:///etc/passwd",
    ],
)
def test_a_redirect_to_a_host_that_is_not_named_is_refused(receiver, location):
    receiver.answers = redirecting(location)
    with pytest.raises(Forbidden):
        poster(receiver).post(receiver.url, b"{}", {})
    assert len(receiver.heard) == 1


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "::1", "::ffff:127.0.0.1", "2130706433x", "127.0.0.2", "0x7f.2"]
)
def test_a_redirect_to_an_address_that_is_not_public_is_refused(receiver, host, monkeypatch):
    """Though its host is named."""
    told = f"[{host}]" if ":" in host else host
    answers = socket.getaddrinfo

    def lookup(name, port, *args, **options):
        return answers("127.0.0.2" if name.endswith("x") else name, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    receiver.answers = redirecting(f"https://{told}/")
    with pytest.raises(Forbidden, match="which is not public"):
        poster(receiver, host).post(receiver.url, b"{}", {})
    assert len(receiver.heard) == 1


def test_a_name_is_looked_up_once_so_that_another_answer_leads_nowhere(receiver, monkeypatch):
    asked, answers = [], socket.getaddrinfo

    def lookup(name, port, *args, **options):
        asked.append(name)
        first = asked.count("shop.example.com") == 1
        return answers("127.0.0.1" if first else "127.0.0.2", port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    tls = receiver.trust()
    tls.check_hostname = False
    name = f"shop.example.com:{receiver.port}"
    assert poster(receiver, name, tls=tls).post(f"https://{name}/", b"{}", {}) == 204
    assert asked == ["shop.example.com", "127.0.0.1"]
    assert receiver.heard[0].headers["host"] == name


@contextlib.contextmanager
def speaking(words, folder=None):
    """A port that says these words, one every 0.1 s; over TLS if it has a folder for its key."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_speak, args=(server, words, folder), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def _speak(server, words, folder):
    connection, _ = server.accept()
    with contextlib.suppress(OSError):
        if folder:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
            connection = tls.wrap_socket(connection, server_side=True)
            connection.recv(65_536)
        for word in words:
            connection.sendall(word)
            time.sleep(0.1)
    connection.close()


def test_who_never_answers_is_given_up(receiver, monkeypatch):
    monkeypatch.setattr(posting, "ANSWER_S", 0.5)
    go_on = threading.Event()
    receiver.answers = lambda heard: Answer(204 if go_on.wait(10) else 500)
    with pytest.raises(TimeoutError):
        poster(receiver).post(receiver.url, b"{}", {})
    go_on.set()


def test_who_answers_a_bit_at_a_time_is_given_up_as_well(receiver, tmp_path, monkeypatch):
    monkeypatch.setattr(posting, "ANSWER_S", 1.0)
    drops = [b"HTTP/1.1 204 ", *[b"x"] * 60]
    with speaking(drops, tmp_path) as port:
        host = f"127.0.0.1:{port}"
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            poster(receiver, host).post(f"https://{host}/", b"{}", {})
        assert time.monotonic() - began < 4


def test_who_agrees_on_tls_a_bit_at_a_time_is_given_up_as_well(receiver, monkeypatch):
    monkeypatch.setattr(posting, "ANSWER_S", 1.0)
    drops = [b"\x16\x03\x03\x40\x00", *[b"\x02"] * 60]
    with speaking(drops) as port:
        host = f"127.0.0.1:{port}"
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            poster(receiver, host).post(f"https://{host}/", b"{}", {})
        assert time.monotonic() - began < 4


def test_who_speaks_something_else_has_not_answered(receiver, tmp_path):
    with speaking([b"no HTTP at all\r\n\r\n"], tmp_path) as port:
        host = f"127.0.0.1:{port}"
        with pytest.raises(http.client.HTTPException):
            poster(receiver, host).post(f"https://{host}/", b"{}", {})
