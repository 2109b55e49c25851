"""Every command of the command line, by the words that call it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Option(NamedTuple):
    """One more argument of a command: its names, and the rest as argparse takes it."""

    names: tuple[str, ...]
    rest: Mapping[str, Any]


def option(*names: str, **rest: Any) -> Option:
    """An option, written as for `argparse.ArgumentParser.add_argument`."""
    return Option(names, rest)


class Command(NamedTuple):
    """A command and its help; ``entry`` is imported only when the command is run.

    ``reads`` are the settings that it reads, a prefix standing for all that begin so. An entry is
    called with the settings, and with the parsed arguments when it takes ``options``.
    """

    entry: str
    summary: str
    about: str
    example: str
    reads: tuple[str, ...]
    options: tuple[Option, ...] = ()


STORES: Final = ("ATELIER_POSTGRES_URL", "ATELIER_MASTER_KEY", "ATELIER_HASH_KEY")

COMMANDS: Final[dict[str, Command]] = {
    "up": Command(
        "infra.supervisor:run",
        "run all of Atelier on this machine",
        "Starts PostgreSQL, a Kafka broker and an S3 server, unless their addresses are set, and\n"
        "then all of Atelier's processes. It restarts what ends, and Ctrl-C stops everything.\n"
        "Data, secrets and logs are kept in ATELIER_DATA.",
        "ATELIER_PORT=8080 atelier up",
        ("ATELIER_", "ANNY_"),
    ),
    "api": Command(
        "api.server:run",
        "serve the REST API",
        "Serves the REST API; its description is at /schema/openapi.json. It also starts while\n"
        "Postgres, Kafka or S3 are away: /health/ready says what is missing.",
        "ATELIER_PORT=8080 atelier api",
        (
            *("ATELIER_HOST", "ATELIER_PORT", *STORES, "ATELIER_KAFKA_", "ATELIER_S3_"),
            *("ATELIER_MEDIA_", "ATELIER_JWT_", "ATELIER_LOGIN", "ATELIER_CATALOG_"),
            *("ATELIER_REGISTER_LIMIT", "ATELIER_UPLOAD_LIMIT", "ATELIER_TRUSTED_PROXIES"),
            *("ATELIER_SMTP_", "ATELIER_MAIL_FROM"),
            *("ATELIER_TASK_LIMIT", "ATELIER_CORS_ORIGINS", "ATELIER_LOG"),
        ),
    ),
    "relay": Command(
        "infra.relay:run",
        "copy the event log from Postgres to Kafka",
        "Copies every event to the topic atelier.events, none lost and none twice, and wakes the\n"
        "render consumers. One relay works at a time; any number may stand by.",
        "atelier relay",
        ("ATELIER_POSTGRES_URL", "ATELIER_KAFKA_", "ATELIER_LOG"),
    ),
    "projector": Command(
        "projections.main:run",
        "keep what the API shows up to date",
        "Follows the event log and keeps the read models: accounts, tasks, queue, gallery. One\n"
        "projector works at a time; any number may stand by.",
        "atelier projector",
        (*STORES, "ATELIER_LOG"),
    ),
    "render-consumer": Command(
        "render_consumers.main:run",
        "make the pictures",
        "Takes tasks from the queue, renders them with torch and stores the pictures. Run one on\n"
        "each GPU; without a GPU it renders on the CPU.",
        "CUDA_VISIBLE_DEVICES=1 atelier render-consumer",
        (
            *(*STORES, "ATELIER_KAFKA_", "ATELIER_S3_", "ATELIER_LEASE_SECONDS"),
            *("ATELIER_LOG", "ANNY_CACHE_DIR"),
        ),
    ),
    "migrate": Command(
        "projections.main:migrate",
        "bring the database up to date",
        "Makes or alters the tables that this version needs, and does nothing when they are\n"
        "there. Run it once before the other processes start.",
        "ATELIER_POSTGRES_URL=postgresql://user:password@host/atelier atelier migrate",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
    ),
    "media check": Command(
        "infra.media_check:run",
        "compare the media store with the log",
        "Reads the log and lists the media store: files that an event names and that are missing\n"
        "or of another size, and files that no event names, such as those of an upload whose\n"
        "event could not be stored. The exit code is 1 when they differ.",
        "atelier media check --json | jq .missing",
        (*STORES, "ATELIER_S3_", "ATELIER_LOG"),
        (
            option(
                "--delete-orphans",
                action="store_true",
                help="delete the files that no event names, if they are older than an hour",
            ),
            option("--json", action="store_true", help="print the whole report as JSON"),
        ),
    ),
    "demo": Command(
        "api.demo:run",
        "order a picture and watch it being made",
        "Registers a made-up person, asks for a picture and shows the task until the picture is\n"
        "there. It uses the Atelier that answers at ATELIER_PORT, or starts one for the while.",
        "atelier demo",
        ("ATELIER_DATA", "ATELIER_HOST", "ATELIER_PORT"),
    ),
}

# Words that other commands begin with and that are none by themselves.
GROUPS: Final[dict[str, str]] = {"media": "look after pictures and videos"}
