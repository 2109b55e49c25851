"""Sending mail: through an SMTP server, or onto the console where none is set."""

import smtplib
import ssl
import sys
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final, Protocol

from infra.settings import Settings

TIMEOUT_S: Final = 10.0


class Mailer(Protocol):
    """Whoever delivers mail; may take seconds, and raises `OSError` when it cannot."""

    def send(self, to: str, subject: str, text: str) -> None:
        """Deliver a mail to one address."""


class ConsoleMailer:
    """Prints mail to standard output, for an Atelier that one person tries on one machine."""

    def send(self, to: str, subject: str, text: str) -> None:
        """Print the mail."""
        sys.stdout.write(f"To: {to}\nSubject: {subject}\n\n{text}\n")
        sys.stdout.flush()


class SmtpMailer:
    """Hands mail to an SMTP server, each over a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, to: str, subject: str, text: str) -> None:
        """Hand the mail over."""
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"], mail["Subject"] = self._settings.mail_from, to, subject
        mail.set_content(text)
        with self._connected() as server:
            if self._settings.smtp_username:
                server.login(self._settings.smtp_username, self._settings.smtp_password)
            server.send_message(mail)

    def _connected(self) -> smtplib.SMTP:
        host, port = self._settings.smtp_host, self._settings.smtp_port
        if self._settings.smtp_tls == "none":
            return smtplib.SMTP(host, port, timeout=TIMEOUT_S)
        trusted = ssl.create_default_context(cafile=self._settings.smtp_ca_file or None)
        if self._settings.smtp_tls == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=trusted)
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
        try:
            server.starttls(context=trusted)
        except BaseException:
            server.close()
            raise
        return server


def make_mailer(settings: Settings) -> Mailer:
    """The mailer that the settings name."""
    return SmtpMailer(settings) if settings.smtp_host else ConsoleMailer()
