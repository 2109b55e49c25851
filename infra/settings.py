"""What the environment may set: one table of variables, read once by each process's entry point."""

import ipaddress
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from domain.errors import AtelierError
from infra.process.locks import is_locked
from infra.values import (
    KEY_BYTES,
    Network,
    base_url,
    bootstrap,
    endpoint,
    hash_key,
    hosts,
    jwt_key,
    jwt_keys,
    mail_address,
    master_key,
    named,
    networks,
    number,
    one_of,
    origins,
    readable_file,
    url,
    webhook_keys,
    yes_or_no,
)

LogFormat = Literal["auto", "json", "text"]
RUNNING_FILE: Final = "running.json"  # what a running `atelier up` gave its processes
STEP_FILE: Final = "up.step"  # what an `atelier up` that is starting is at
LOCK_FILE: Final = "up.lock"  # held by a running `atelier up`


class SettingsError(AtelierError):
    """The environment lacks a value or holds a bad one; the message names all of them."""

    code = "settings"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("Settings to correct:\n" + "\n".join(f"  - {each}" for each in problems))
        self.problems = problems


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The checked values; what was left out and has no default is empty (``""`` or ``b""``).

    A process names what it cannot do without by ``require``.
    """

    data: Path = Path(".atelier")
    host: str = "127.0.0.1"
    port: int = 8000
    postgres_url: str = ""
    kafka_bootstrap: str = ""
    kafka_security_protocol: str = "PLAINTEXT"
    kafka_sasl_mechanism: str = ""
    kafka_sasl_username: str = ""
    kafka_sasl_password: str = ""
    kafka_ca_file: str = ""
    s3_url: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = ""
    s3_region: str = "us-east-1"
    s3_bucket: str = "atelier"
    s3_ca_file: str = ""
    s3_public_endpoint: str = ""
    media_base_url: str = ""
    media_url_seconds: int = 3600
    master_key: bytes = b""
    hash_key: bytes = b""
    jwt_key: bytes = b""
    jwt_old_keys: tuple[bytes, ...] = ()
    login: str = ""
    login_limit: int = 20
    register_limit: int = 20
    upload_limit: int = 30
    trusted_proxies: tuple[Network, ...] = ()
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_tls: str = "starttls"
    smtp_username: str = ""
    smtp_password: str = ""
    smtp_ca_file: str = ""
    mail_from: str = ""
    catalog_key: str = ""
    catalog_open: bool = False
    cors_origins: tuple[str, ...] = ()
    task_limit: int = 10
    vip: str = "asked"
    queue_max_wait: int | None = None
    queue_fair: bool = False
    lease_seconds: int = 30
    webhook_hosts: tuple[str, ...] = ()
    webhook_key: tuple[str, ...] = ()
    render_batch: int = 1
    kling_url: str = ""
    kling_access_key: str = ""
    kling_secret_key: str = ""
    kling_model: str = ""
    kling_callback_url: str = ""
    kling_slots: int = 1
    kling_wait_seconds: int = 4500
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    log: LogFormat = "auto"
    anny_cache_dir: str = ""

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check every variable; raises ``SettingsError`` with all that is wrong.

        An empty variable counts as not set. What the environment leaves unset is taken from a
        running `atelier up` in the same data directory, so that other commands find its servers.
        """
        data = Path(environ.get("ATELIER_DATA") or cls().data)
        given = _of_running_up(data) | {name: value for name, value in environ.items() if value}
        problems: list[str] = []
        values: dict[str, Any] = {}
        for variable in VARIABLES:
            if variable.name in given:
                try:
                    values[variable.field] = variable.parse(given[variable.name])
                except ValueError as error:
                    problems.append(f"{variable.name} {error}.")
        problems += _contradictions(values)
        if problems:
            raise SettingsError(problems)
        return cls(**values)

    def require(self, *fields: str) -> None:
        """Raise ``SettingsError`` that names every one of these fields that is empty."""
        missing = [VARIABLE_OF[field] for field in fields if not getattr(self, field)]
        problems = [f"{each.name} is not set: {each.purpose}" for each in missing]
        if problems and not is_locked(self.data / LOCK_FILE):
            problems.append(
                f"Or start `atelier up`, which sets them for all commands: none runs in {self.data}"
                " here. If one runs with another folder, set ATELIER_DATA to that."
            )
        if problems:
            raise SettingsError(problems)

    def check_exposure(self) -> None:
        """Refuse to be reached from other machines before the choices that keep people out."""
        if _is_loopback(self.host):
            return
        problems = [message for safe, message in _exposure_rules(self) if not safe]
        if problems:
            raise SettingsError(
                [f"ATELIER_HOST={self.host} can be reached from elsewhere.", *problems]
            )

    def media_endpoint(self) -> str:
        """The S3 address that clients see."""
        return self.s3_public_endpoint or self.s3_url

    def __repr__(self) -> str:
        """Leave the values out: many of them are secrets."""
        return "Settings(…)"


class Variable(NamedTuple):
    """One environment variable as the documentation tells it."""

    name: str
    default: str
    purpose: str
    parse: Callable[[str], object] = str

    @property
    def field(self) -> str:
        return self.name.removeprefix("ATELIER_").lower()


def _of_running_up(data: Path) -> dict[str, str]:
    if not is_locked(data / LOCK_FILE):
        return {}  # a running.json without its `up` was left by a kill -9
    try:
        running: dict[str, str] = json.loads((data / RUNNING_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return running


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    problems = []
    sasl = values.get("kafka_security_protocol", "").startswith("SASL_")
    for part in ("mechanism", "username", "password"):
        if sasl and not values.get(f"kafka_sasl_{part}"):
            name = f"ATELIER_KAFKA_SASL_{part.upper()}"
            problems.append(f"{name} must be set, as ATELIER_KAFKA_SECURITY_PROTOCOL uses SASL.")
    if "s3_url" in values and not (values.get("s3_access_key") and values.get("s3_secret_key")):
        problems.append(
            "ATELIER_S3_ACCESS_KEY and ATELIER_S3_SECRET_KEY must be set beside ATELIER_S3_URL."
        )
    if values.get("webhook_hosts") and not values.get("webhook_key"):
        problems.append("ATELIER_WEBHOOK_KEY must be set beside ATELIER_WEBHOOK_HOSTS.")
    kling = ("kling_url", "kling_access_key", "kling_secret_key")
    if any(map(values.get, kling)):
        missing = [VARIABLE_OF[field].name for field in kling if not values.get(field)]
        problems += [f"{name} must be set beside the others of Kling." for name in missing]
    if values.get("smtp_host") and not values.get("mail_from"):
        problems.append("ATELIER_MAIL_FROM must be set beside ATELIER_SMTP_HOST.")
    return problems


def _exposure_rules(settings: Settings) -> list[tuple[bool, str]]:
    return [
        (
            bool(settings.login),
            "ATELIER_LOGIN must be set: choose how people log in (code or email).",
        ),
        (
            settings.login != "code" or bool(settings.smtp_host),
            "ATELIER_SMTP_HOST must be set, as ATELIER_LOGIN=code sends codes by mail.",
        ),
        (
            bool(settings.jwt_key),
            f"ATELIER_JWT_KEY must be set: at least {KEY_BYTES} random bytes, "
            "for example from `openssl rand -base64 32`.",
        ),
        (
            bool(settings.catalog_key) or settings.catalog_open,
            "ATELIER_CATALOG_KEY must be set, or ATELIER_CATALOG_OPEN=yes to let anybody change "
            "the catalogue.",
        ),
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


VARIABLES: Final[tuple[Variable, ...]] = (
    Variable("ATELIER_DATA", ".atelier", "The folder for data, secrets and logs.", Path),
    Variable("ATELIER_HOST", "127.0.0.1", "The address that the API listens on."),
    Variable("ATELIER_PORT", "8000", "The port that the API listens on.", number(1, 65535)),
    Variable(
        "ATELIER_POSTGRES_URL",
        "",
        "The PostgreSQL database, as postgresql://user:password@host/database.",
        url("postgresql", "postgres"),
    ),
    Variable(
        "ATELIER_KAFKA_BOOTSTRAP", "", "The Kafka brokers, as host:port,host:port.", bootstrap
    ),
    Variable(
        "ATELIER_KAFKA_SECURITY_PROTOCOL",
        "PLAINTEXT",
        "How to speak to Kafka: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
        one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    ),
    Variable(
        "ATELIER_KAFKA_SASL_MECHANISM",
        "",
        "How to log in to Kafka: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.",
        one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    ),
    Variable("ATELIER_KAFKA_SASL_USERNAME", "", "The user for Kafka."),
    Variable("ATELIER_KAFKA_SASL_PASSWORD", "", "The password for Kafka."),
    Variable(
        "ATELIER_KAFKA_CA_FILE", "", "The certificates to trust for Kafka (PEM).", readable_file
    ),
    Variable("ATELIER_S3_URL", "", "The S3 server, as http://host:port.", endpoint),
    Variable("ATELIER_S3_ACCESS_KEY", "", "The access key for S3."),
    Variable("ATELIER_S3_SECRET_KEY", "", "The secret key for S3."),
    Variable("ATELIER_S3_REGION", "us-east-1", "The region of the bucket."),
    Variable("ATELIER_S3_BUCKET", "atelier", "The bucket for pictures.", named),
    Variable("ATELIER_S3_CA_FILE", "", "The certificates to trust for S3 (PEM).", readable_file),
    Variable(
        "ATELIER_S3_PUBLIC_ENDPOINT",
        "",
        "The S3 address that clients see in presigned URLs, by default ATELIER_S3_URL.",
        endpoint,
    ),
    Variable(
        "ATELIER_MEDIA_BASE_URL",
        "",
        "The base of public picture URLs, for a CDN that authorises by itself.",
        base_url,
    ),
    Variable(
        "ATELIER_MEDIA_URL_SECONDS",
        "3600",
        "How long a presigned URL works, in seconds.",
        number(1, 604_800),
    ),
    Variable(
        "ATELIER_MASTER_KEY",
        "",
        "The key that wraps the accounts' keys: base64 of 32 bytes.",
        master_key,
    ),
    Variable(
        "ATELIER_HASH_KEY",
        "",
        "The key under which emails are hashed: base64 of at least 32 bytes.",
        hash_key,
    ),
    Variable("ATELIER_JWT_KEY", "", "The key that signs login tokens: at least 32 bytes.", jwt_key),
    Variable(
        "ATELIER_JWT_OLD_KEYS",
        "",
        "Earlier signing keys whose tokens still count, with commas between.",
        jwt_keys,
    ),
    Variable(
        "ATELIER_LOGIN",
        "",
        "How people log in: by a code that is mailed to them (code), or by their address alone "
        "(email, also when nothing is set).",
        one_of("code", "email"),
    ),
    Variable(
        "ATELIER_LOGIN_LIMIT",
        "20",
        "How many logins a minute one network address, and one email address, may try.",
        number(1, 1_000_000),
    ),
    Variable(
        "ATELIER_REGISTER_LIMIT",
        "20",
        "How many registrations a minute one network address, and one email address, may try.",
        number(1, 1_000_000),
    ),
    Variable(
        "ATELIER_UPLOAD_LIMIT",
        "30",
        "How many uploads a minute one network address, and one account, may try.",
        number(1, 1_000_000),
    ),
    Variable(
        "ATELIER_TRUSTED_PROXIES",
        "",
        "The proxies whose X-Forwarded-For is believed, as addresses or networks.",
        networks,
    ),
    Variable("ATELIER_SMTP_HOST", "", "The server that sends mail; without it the API prints it."),
    Variable("ATELIER_SMTP_PORT", "587", "The port of the mail server.", number(1, 65535)),
    Variable(
        "ATELIER_SMTP_TLS",
        "starttls",
        "How to speak to the mail server: starttls, tls (from the first byte, port 465) or none.",
        one_of("starttls", "tls", "none"),
    ),
    Variable("ATELIER_SMTP_USERNAME", "", "The user for the mail server."),
    Variable("ATELIER_SMTP_PASSWORD", "", "The password for the mail server."),
    Variable(
        "ATELIER_SMTP_CA_FILE",
        "",
        "The certificates to trust for the mail server (PEM).",
        readable_file,
    ),
    Variable("ATELIER_MAIL_FROM", "", "Whom mail comes from.", mail_address),
    Variable("ATELIER_CATALOG_KEY", "", "The key that lets its holder change the catalogue."),
    Variable("ATELIER_CATALOG_OPEN", "no", "Whether anybody may change the catalogue.", yes_or_no),
    Variable(
        "ATELIER_CORS_ORIGINS",
        "",
        "The origins whose web pages may use the API, with commas between; none by default.",
        origins,
    ),
    Variable(
        "ATELIER_TASK_LIMIT",
        "10",
        "How many unfinished tasks a user may have at most.",
        number(1, 1_000_000),
    ),
    Variable(
        "ATELIER_VIP",
        "asked",
        "Whose tasks get into the vip lane of the queue: of everybody who asks for it (asked), or "
        "only of accounts to which it was granted (granted).",
        one_of("asked", "granted"),
    ),
    Variable(
        "ATELIER_QUEUE_MAX_WAIT",
        "",
        "After so many seconds a waiting task is overtaken no more, not even by vip ones; left "
        "out, it always is.",
        number(1, 31_536_000),
    ),
    Variable(
        "ATELIER_QUEUE_FAIR",
        "no",
        "Whether each lane of the queue serves its users in rounds, one task of each in turn, "
        "instead of first in, first out.",
        yes_or_no,
    ),
    Variable(
        "ATELIER_LEASE_SECONDS",
        "30",
        "How long a render consumer may be silent before its task goes to another, in seconds.",
        number(1, 86_400),
    ),
    Variable(
        "ATELIER_WEBHOOK_HOSTS",
        "",
        "The hosts that clients may have webhooks sent to, with commas between, each with its port "
        "unless that is 443; none by default.",
        hosts,
    ),
    Variable(
        "ATELIER_WEBHOOK_KEY",
        "",
        "The key that signs webhooks: whsec_ and base64 of 24 to 64 bytes; several, with commas "
        "between, sign side by side.",
        webhook_keys,
    ),
    Variable(
        "ATELIER_RENDER_BATCH",
        "1",
        "How many tasks a render consumer draws at once; more than one is for a GPU.",
        number(1, 64),
    ),
    Variable(
        "ATELIER_KLING_URL",
        "",
        "The API of Kling, as https://host: it redraws the pictures of 2D_Kling, which are drawn "
        "flat here when it is left out.",
        endpoint,
    ),
    Variable("ATELIER_KLING_ACCESS_KEY", "", "The access key for Kling."),
    Variable("ATELIER_KLING_SECRET_KEY", "", "The secret key for Kling, which signs our calls."),
    Variable("ATELIER_KLING_MODEL", "", "The model that Kling takes, by default its own choice."),
    Variable(
        "ATELIER_KLING_CALLBACK_URL",
        "",
        "Where Kling reaches this API, to tell at once that a picture is done.",
        base_url,
    ),
    Variable("ATELIER_KLING_SLOTS", "1", "Pictures that Kling draws at once.", number(1, 1_000)),
    Variable(
        "ATELIER_KLING_WAIT_SECONDS",
        "4500",
        "How long a picture of Kling's is waited for, in seconds; then it is drawn flat here.",
        number(1, 86_400),
    ),
    Variable(
        "ATELIER_METRICS_PORT",
        "",
        "The port where Prometheus reads the metrics of this process; `up` counts on from it, "
        "one port for each process.",
        number(1, 65535),
    ),
    Variable("ATELIER_METRICS_HOST", "127.0.0.1", "The address that the metrics' port listens on."),
    Variable(
        "ATELIER_LOG",
        "auto",
        "The form of logs: text, json, or auto (text on a terminal, JSON lines otherwise).",
        one_of("auto", "json", "text"),
    ),
    Variable("ANNY_CACHE_DIR", "", "Where the prepared body model and the compiled kernels lie."),
)
VARIABLE_OF: Final = {variable.field: variable for variable in VARIABLES}
