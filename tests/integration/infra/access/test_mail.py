import base64
import ssl
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from infra.access.mail import ConsoleMailer, SmtpMailer, make_mailer
from infra.settings import Settings
from tests.support.certificates import make_certificate
from tests.support.mail import MailServer

TO = "ada@example.com"


class Certificate(NamedTuple):
    """What the mail server shows, and the file by which a client trusts it."""

    context: ssl.SSLContext
    ca_file: Path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    certificate, key = make_certificate(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return Certificate(context, certificate)


def settings(server: MailServer, tls: str, ca_file: Path | None = None, **more: Any) -> Settings:
    return Settings(
        smtp_host="127.0.0.1",
        smtp_port=server.port,
        smtp_tls=tls,
        smtp_ca_file=str(ca_file or ""),
        mail_from="Atelier <atelier@example.org>",
        **more,
    )


def send(settings: Settings) -> None:
    make_mailer(settings).send(TO, "Your code – ß", "1234 5678\n.\nfine\n")


def test_a_mail_arrives_as_it_was_written():
    with MailServer() as server:
        send(settings(server, "none"))
    mail = message_from_bytes(server.received_by(TO)[0], policy=default)
    assert (mail["To"], mail["Subject"]) == (TO, "Your code – ß")
    assert mail["From"] == "Atelier <atelier@example.org>"
    assert mail.get_content().replace("\r", "") == "1234 5678\n.\nfine\n"
    assert server.logins == []


@pytest.mark.parametrize("at_once", [False, True])
def test_mail_goes_over_tls_with_a_login(certificate: Certificate, at_once: bool):
    with MailServer(certificate.context, at_once=at_once) as server:
        how = "tls" if at_once else "starttls"
        login = {"smtp_username": "atelier", "smtp_password": "secret"}
        send(settings(server, how, certificate.ca_file, **login))
    assert len(server.mails) == 1
    secret = base64.b64decode(server.logins[0].split()[-1])
    assert secret == b"\x00atelier\x00secret"


@pytest.mark.parametrize("at_once", [False, True])
def test_a_server_that_cannot_be_trusted_gets_nothing(certificate: Certificate, at_once: bool):
    how = "tls" if at_once else "starttls"
    with (
        MailServer(certificate.context, at_once=at_once) as server,
        pytest.raises(ssl.SSLError),
    ):
        send(settings(server, how))
    assert server.mails == []


def test_a_server_without_tls_gets_nothing_when_tls_is_wanted():
    with MailServer() as server, pytest.raises(OSError, match="STARTTLS"):
        send(settings(server, "starttls"))
    assert server.mails == []


def test_a_server_that_is_away_is_told():
    with MailServer() as server:
        pass
    with pytest.raises(OSError, match="refused"):
        send(settings(server, "none"))


@pytest.mark.parametrize("to", ["ada@example.com\nBcc: eve@example.com", "ada\r\n@example.com"])
def test_an_address_cannot_smuggle_headers_in(to: str):
    with MailServer() as server, pytest.raises(ValueError, match="linefeed"):
        SmtpMailer(settings(server, "none")).send(to, "Hello", "")
    assert server.mails == []


def test_without_a_server_mail_is_printed(capsys: pytest.CaptureFixture[str]):
    mailer = make_mailer(Settings())
    assert isinstance(mailer, ConsoleMailer)
    mailer.send(TO, "Your code", "1234 5678")
    printed = capsys.readouterr().out
    assert TO in printed
    assert "1234 5678" in printed
