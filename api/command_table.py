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
    "relay check": Command(
        "infra.relay_commands:check",
        "compare the topic with the log",
        "Reads the whole topic atelier.events, while a relay may be at work, and compares it with\n"
        "the log: events that are missing at a partition's end, holes before that, records that\n"
        "came twice, stand in the wrong place, or are not in the log. What retention has deleted\n"
        "is not missing. The exit code is 1 when they differ.",
        "atelier relay check --json | jq .differences",
        ("ATELIER_POSTGRES_URL", "ATELIER_KAFKA_", "ATELIER_LOG"),
        (option("--json", action="store_true", help="print the whole report as JSON"),),
    ),
    "relay heal": Command(
        "infra.relay_commands:heal",
        "mend the topic",
        "Appends to atelier.events what is missing at a partition's end, and lists what cannot be\n"
        "mended in place: holes, records that came twice or stand in the wrong place. With\n"
        "--recreate it deletes the topic, makes it anew and fills it again; readers then start\n"
        "again from the beginning. A relay that is at work stands by for the while.",
        "atelier relay heal",
        ("ATELIER_POSTGRES_URL", "ATELIER_KAFKA_", "ATELIER_LOG"),
        (
            option("--recreate", action="store_true", help="delete the topic and fill it anew"),
            option("--yes", action="store_true", help="do not ask before deleting the topic"),
        ),
    ),
    "relay new-epoch": Command(
        "infra.relay_commands:new_epoch",
        "begin a new epoch after a restore",
        "For a Postgres that was restored from an older backup than what Kafka holds: gives the\n"
        "log a new id, deletes the topic atelier.events, makes it anew and fills it from the log.\n"
        "Its records carry the new id as ce_source. See docs/restored-backup.md.",
        "atelier relay new-epoch",
        ("ATELIER_POSTGRES_URL", "ATELIER_KAFKA_", "ATELIER_LOG"),
        (option("--yes", action="store_true", help="do not ask before deleting the topic"),),
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
GROUPS: Final[dict[str, str]] = {}
