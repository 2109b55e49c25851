"""Every command of the command line, by the words that call it."""

from collections.abc import Mapping
from pathlib import Path
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

    ``reads`` are the settings that it reads; one that ends in _ stands for all that begin so. An
    entry is called with the settings, and with the parsed arguments when it takes ``options``.
    """

    entry: str
    summary: str
    about: str
    example: str
    reads: tuple[str, ...]
    options: tuple[Option, ...] = ()

    def reads_setting(self, name: str) -> bool:
        """Whether it reads the setting of that name."""
        return any(
            name == each or (each[-1] == "_" and name.startswith(each)) for each in self.reads
        )


STORES: Final = ("ATELIER_POSTGRES_URL", "ATELIER_MASTER_KEY", "ATELIER_HASH_KEY")

EVENT_FILTERS: Final = (
    option(
        "--type",
        action="append",
        default=[],
        metavar="NAME",
        help="only events of this type, such as render.completed.v1, render.completed or"
        " 'render.*'; may be given several times",
    ),
    option("--aggregate", metavar="ID", help="only events of this aggregate"),
    option("--user", metavar="USER", help="only events of this account: id, number or email"),
)
DECRYPT: Final = option(
    "--decrypt", action="store_true", help="open what is personal (ATELIER_MASTER_KEY)"
)
FROM: Final = option(
    "--from",
    dest="first",
    metavar="PLACE",
    help="start at a position (1200), a time (now, today, yesterday, 2026-11-22,"
    " 2026-11-22T10:30:00; in UTC unless it ends in an offset) or so long ago (90s, 15m, 2h, 3d)",
)
TO: Final = option(
    "--to", dest="last", metavar="PLACE", help="end with a position, or before a time"
)
EVENT_LINES: Final = (
    option("--json", action="store_true", help="one JSON object a line"),
    option(
        "--kafka",
        action="store_true",
        help="read the topic instead of Postgres, in no consumer group; numbers are offsets then",
    ),
    option("--partition", type=int, metavar="N", help="with --kafka: only this partition"),
)

READ_MODELS: Final = "accounts, gallery, queue, tasks or wardrobe"
MODEL: Final = option("model", metavar="NAME", help=READ_MODELS)
ANY_MODELS: Final = option(
    "models", nargs="*", metavar="NAME", help=f"{READ_MODELS} (default: all of them)"
)
SHEETS: Final = (
    *("bodies", "faces", "expressions", "hair", "garments", "sizes", "poses", "views"),
    "skin-tones",
)
STATES: Final = ("pending", "sent", "given_up")  # of a webhook

MODELS: Final = (
    option("models", nargs="*", metavar="NAME", help=READ_MODELS),
    option("--all", action="store_true", help="every read model"),
)
JSON: Final = option(
    "--json", action="store_true", help="print JSON for programs; what people read goes to stderr"
)

TASK: Final = option("task", metavar="TASK", help="its id, as `atelier queue list` shows it")
LANE: Final = option("--lane", choices=("vip", "normal"), help="only this lane of the queue")
AS_JSON: Final = option("--json", action="store_true", help="as JSON, for programs")

COMMANDS: Final[dict[str, Command]] = {
    "up": Command(
        "infra.process.supervisor:run",
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
            *(
                "ATELIER_MEDIA_",
                "ATELIER_JWT_",
                "ATELIER_LOGIN",
                "ATELIER_LOGIN_LIMIT",
                "ATELIER_CATALOG_",
            ),
            *("ATELIER_REGISTER_LIMIT", "ATELIER_UPLOAD_LIMIT", "ATELIER_TRUSTED_PROXIES"),
            *("ATELIER_SMTP_", "ATELIER_MAIL_FROM"),
            *("ATELIER_TASK_LIMIT", "ATELIER_QUEUE_", "ATELIER_VIP", "ATELIER_CORS_ORIGINS"),
            "ATELIER_WEBHOOK_",
            *("ATELIER_METRICS_", "ATELIER_LOG"),
        ),
    ),
    "relay": Command(
        "infra.relay.main:run",
        "copy the event log from Postgres to Kafka",
        "Copies every event to the topic atelier.events, none lost and none twice, and wakes the\n"
        "render consumers. One relay works at a time; any number may stand by.",
        "atelier relay",
        ("ATELIER_POSTGRES_URL", "ATELIER_KAFKA_", "ATELIER_METRICS_", "ATELIER_LOG"),
    ),
    "relay check": Command(
        "api.cli.relay:check",
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
        "api.cli.relay:heal",
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
        "api.cli.relay:new_epoch",
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
        "Follows the event log and keeps the read models: accounts, gallery, queue, tasks and\n"
        "wardrobe. One projector at a time keeps each; several divide them among themselves.",
        "atelier projector",
        (*STORES, "ATELIER_METRICS_", "ATELIER_LOG"),
    ),
    "projections list": Command(
        "api.cli.read_models.health:show",
        "list the read models and what each is for",
        "Shows which read models there are, the question that each answers, and which generation\n"
        "of it serves. `atelier projections status` tells how they do.",
        "atelier projections list",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (JSON,),
    ),
    "projections status": Command(
        "api.cli.read_models.health:show_status",
        "tell how the read models do, and what to do about it",
        "Shows for each read model how far it has come, how many events it lacks and for how\n"
        "long, which projector keeps it and whether that one moves, what is parked, and how far\n"
        "a generation is that is being filled; below, what to do. The exit code is 1 unless all\n"
        "is well.",
        "atelier projections status",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (ANY_MODELS, JSON),
    ),
    "projections generations": Command(
        "api.cli.read_models.health:show_generations",
        "list the generations of read models",
        "Shows every generation: whether it serves (live), is kept up with the log to go back to\n"
        "(ready) or is being filled (building), how many events it is behind, what is parked of\n"
        "it, its size, and whether this build's code makes its rows.",
        "atelier projections generations gallery",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (ANY_MODELS, JSON),
    ),
    "projections rebuild": Command(
        "api.cli.read_models.making:rebuild",
        "make read models anew from the log",
        "For a read model that is wrong, or that other code has made. Fills another generation\n"
        "while the one that serves goes on, compares all rows of both at one position, and has\n"
        "the new one serve from one moment to the next. Where they differ, the old one goes on\n"
        "serving, each difference is listed, and the exit code is 1: look at them, and repeat it\n"
        "with --accept if they are to be so.\n\n"
        "Ctrl-C, or a kill, changes nothing for anybody: called again it goes on where it was.\n"
        "`drop` removes what was begun, also while another terminal fills it, which then ends.\n"
        "`rollback` goes back to what served before.",
        "atelier projections rebuild gallery",
        (*STORES, "ATELIER_LOG"),
        (
            *MODELS,
            option(
                "--accept",
                action="store_true",
                help="have it serve though rows differ, as damage or a change of the code explains",
            ),
            JSON,
        ),
    ),
    "projections verify": Command(
        "api.cli.read_models.making:verify",
        "compare read models with the log",
        "Makes each read model anew beside the one that serves, compares all rows at one\n"
        "position, lists each that is missing, surplus or changed, and removes what it has made,\n"
        "after Ctrl-C as well. The exit code is 1 when one differs.",
        "atelier projections verify --all",
        (*STORES, "ATELIER_LOG"),
        (*MODELS, JSON),
    ),
    "projections rollback": Command(
        "api.cli.read_models.making:roll_back",
        "have the generation before serve again",
        "Goes back to the generation that served before the last rebuild, from one moment to the\n"
        "next. The projector keeps it up to date for as long as it is not dropped, so nothing\n"
        "that came in since then is missing. Called again, it goes forth.",
        "atelier projections rollback gallery",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (*MODELS, JSON),
    ),
    "projections drop": Command(
        "api.cli.read_models.making:drop",
        "delete a generation that does not serve",
        "Deletes the rows of a generation, and what was parked of it. Where a rebuild or verify\n"
        "is filling it, in whatever terminal, that command ends; nothing else changes. The one\n"
        "that serves cannot be dropped. What is dropped can be rebuilt.",
        "atelier projections drop gallery 1",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (
            MODEL,
            option("generation", metavar="GENERATION", type=int, help="its number"),
            JSON,
        ),
    ),
    "projections build": Command(
        "api.cli.read_models.past:build",
        "make a table of what a read model was",
        "Fills a table with a read model as it was at a position of the log, or after the last\n"
        "event up to a time, so that psql can tell what a client saw then. It has the name that\n"
        "queries use, in a schema of your choice, which is made if need be. It is this build's\n"
        "code that makes it. No projector keeps it, and it serves nobody.\n\n"
        "Who has been erased is not brought back. Who is erased later stays in the table, so drop\n"
        "the schema when you are done.",
        "atelier projections build gallery --at 2026-11-22T10:30:00 --into past",
        (*STORES, "ATELIER_LOG"),
        (
            MODEL,
            option(
                "--at",
                required=True,
                metavar="PLACE",
                help="a position (1200), a time (now, today, yesterday, 2026-11-22,"
                " 2026-11-22T10:30:00; in UTC unless it ends in an offset) or so long ago (90s,"
                " 15m, 2h, 3d)",
            ),
            option("--into", required=True, metavar="SCHEMA", help="in small letters, digits, _"),
            option("--replace", action="store_true", help="in place of such a table there"),
            JSON,
        ),
    ),
    "projections diff": Command(
        "api.cli.read_models.past:diff",
        "tell how two generations or two positions differ",
        "Compares the rows of two generations where they stand now, or what a read model was at\n"
        "two places of the log, and lists each row that was added, removed or changed from the\n"
        "first to the second, by its key and columns. It leaves nothing behind. The exit code is\n"
        "1 when they differ.",
        "atelier projections diff gallery --at 1h --at now",
        (*STORES, "ATELIER_LOG"),
        (
            MODEL,
            option(
                "generations", nargs="*", type=int, metavar="GENERATION", help="two of its numbers"
            ),
            option(
                "--at",
                action="append",
                default=[],
                metavar="PLACE",
                help="given twice: a position, a time or how long ago, as for `build`",
            ),
            JSON,
        ),
    ),
    "projections parked": Command(
        "api.cli.read_models.parked:show_parked",
        "list what could not be applied",
        "Shows every event that was set aside because it could not be applied, and those that\n"
        "came after such a one for the same aggregate.",
        "atelier projections parked",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (JSON,),
    ),
    "projections retry": Command(
        "api.cli.read_models.parked:retry",
        "apply what was parked",
        "Applies the parked events of each aggregate in their order, once what stopped them is\n"
        "mended. One that still cannot be applied stays parked, and the exit code is 1.",
        "atelier projections retry gallery",
        (*STORES, "ATELIER_LOG"),
        (
            MODEL,
            option("--aggregate", metavar="ID", help="only what is parked of this aggregate"),
            JSON,
        ),
    ),
    "projections skip": Command(
        "api.cli.read_models.parked:skip",
        "give a parked event up and apply what came after it",
        "Leaves the first parked event of an aggregate out of a read model for good, and applies\n"
        "those that came after it. The log keeps it; a rebuild will park it again.",
        "atelier projections skip gallery --aggregate 35929d81-dd65-4550-839e-411f6ca1f0fa",
        (*STORES, "ATELIER_LOG"),
        (
            MODEL,
            option("--aggregate", required=True, metavar="ID", help="the aggregate"),
            JSON,
        ),
    ),
    "render-consumer": Command(
        "render_consumers.main:run",
        "make the pictures",
        "Takes tasks from the queue, renders them with torch and stores the pictures. Run one on\n"
        "each GPU; without a GPU it renders on the CPU. One of them also sends the webhooks, and\n"
        "one has Kling redraw pictures where its keys are set.",
        "CUDA_VISIBLE_DEVICES=1 atelier render-consumer",
        (
            *(*STORES, "ATELIER_KAFKA_", "ATELIER_S3_", "ATELIER_MEDIA_"),
            *("ATELIER_QUEUE_", "ATELIER_LEASE_SECONDS", "ATELIER_WEBHOOK_"),
            *(
                "ATELIER_RENDER_BATCH",
                "ATELIER_KLING_",
                "ATELIER_METRICS_",
                "ATELIER_LOG",
                "ANNY_CACHE_DIR",
            ),
        ),
    ),
    "queue list": Command(
        "api.cli.queue.listing:show_queue",
        "list what waits and what is being rendered",
        "Shows the tasks that wait, in the order in which they will be claimed, with why one may\n"
        "not be claimed yet: its lane is paused, and so it comes last, or it backs off to a time\n"
        "(UTC). Then those that are being rendered, by whom, and how much of each is done.",
        "atelier queue list --limit 100 --lane normal",
        ("ATELIER_POSTGRES_URL", "ATELIER_QUEUE_", "ATELIER_LOG"),
        (
            option(
                "--limit",
                type=int,
                default=20,
                metavar="N",
                help="list the first N that wait (default: 20)",
            ),
            LANE,
            AS_JSON,
        ),
    ),
    "queue show": Command(
        "api.cli.queue.story:show",
        "tell a task's whole story, and what it waits for",
        "Shows everything that a task waits for, its lease, its files and whether the media store\n"
        "has them, and each of its events: position, time, where it lies on Kafka (partition and\n"
        "offset), who caused it and what it says. What is personal stays sealed.",
        "atelier queue show 8f14e45f-ceea-467f-a3c1-d7e4f5b6a789",
        (
            *("ATELIER_POSTGRES_URL", "ATELIER_QUEUE_"),
            *("ATELIER_KAFKA_", "ATELIER_S3_", "ATELIER_LOG"),
        ),
        (TASK, AS_JSON),
    ),
    "queue consumers": Command(
        "api.cli.queue.listing:show_consumers",
        "list the render consumers and what they render",
        "Shows each consumer that is connected to Postgres, by host and process: since when, when\n"
        "it last asked for something (an idle one does so every five seconds), its tasks, how\n"
        "much of each is done and until when its leases last. Then leases of those that are gone.",
        "atelier queue consumers",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (AS_JSON,),
    ),
    "queue retry": Command(
        "api.cli.queue.changes:retry",
        "have a task that backs off tried again at once",
        "A task that was given back, such as while the media store was away, waits for up to a\n"
        "minute before it may be claimed again: this cuts it short. It keeps its place, and the\n"
        "attempts that are spent stay spent. What has ended stays so: its user asks for a new one.",
        "atelier queue retry 8f14e45f-ceea-467f-a3c1-d7e4f5b6a789",
        (*STORES, "ATELIER_LOG"),
        (TASK,),
    ),
    "queue cancel": Command(
        "api.cli.queue.changes:cancel",
        "cancel somebody's task",
        "Ends a task that waits or is being rendered, as its user's own DELETE does: it fails\n"
        "with the code `cancelled`, and what was made of it is deleted. The log says that an\n"
        "operator did it. It asks first; it cannot be undone.",
        "atelier queue cancel 8f14e45f-ceea-467f-a3c1-d7e4f5b6a789",
        (*STORES, "ATELIER_LOG"),
        (TASK, option("--yes", action="store_true", help="do not ask")),
    ),
    "queue pause": Command(
        "api.cli.queue.changes:pause",
        "have consumers claim nothing more",
        "Consumers end what they are rendering and claim nothing more, until `atelier queue\n"
        "resume`, also those that start later. Requests are taken as ever, and wait. `atelier\n"
        "status` says since when, by whom and why, and its exit code is 1.",
        "atelier queue pause 'new GPU drivers, back at 14:00'",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (option("reason", metavar="REASON", help="why, for others who wonder"), LANE),
    ),
    "queue resume": Command(
        "api.cli.queue.changes:resume",
        "have consumers claim again",
        "Ends a pause, of both lanes or of one. Consumers that are idle notice within a second.",
        "atelier queue resume",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (LANE,),
    ),
    "migrate": Command(
        "projections.main:migrate",
        "bring the database up to date",
        "Makes or alters the tables that this version needs, and does nothing when they are\n"
        "there. Run it once before the other processes start.",
        "ATELIER_POSTGRES_URL=postgresql://user:password@host/atelier atelier migrate",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
    ),
    "events tail": Command(
        "api.cli.events:tail",
        "follow the events as they happen",
        "Prints the newest events and then each new one at once, until Ctrl-C.",
        "atelier events tail --type 'render.*' --json | jq .state",
        (*STORES, "ATELIER_KAFKA_"),
        (
            FROM,
            option(
                *("-n", "--last"),
                dest="newest",
                type=int,
                default=10,
                metavar="N",
                help="start with the newest N positions of the log (default: 10)",
            ),
            *EVENT_FILTERS,
            DECRYPT,
            *EVENT_LINES,
        ),
    ),
    "events replay": Command(
        "api.cli.events:replay",
        "print the events of a span",
        "Prints the events from one place of the log to another, in their order; from Kafka each\n"
        "aggregate's in order. Personal members stay sealed.",
        "atelier events replay --from 2026-11-01 --to 2026-12-01 --type render.completed --json",
        (*STORES, "ATELIER_KAFKA_"),
        (
            FROM,
            TO,
            option("--limit", type=int, metavar="N", help="end after N events"),
            *EVENT_FILTERS,
            DECRYPT,
            *EVENT_LINES,
        ),
    ),
    "events count": Command(
        "api.cli.events:count",
        "count the events by type",
        "Prints how many events of each type there are, in all of the log or in a span of it.",
        "atelier events count --from yesterday --to today --type 'render.*'",
        STORES,
        (
            FROM,
            TO,
            *EVENT_FILTERS,
            option("--json", action="store_true", help="one JSON object"),
        ),
    ),
    "events show": Command(
        "api.cli.events:show_aggregate",
        "show an aggregate as it is, or as it was",
        "Shows the state of an account, a render or a garment, and the events that led to it.",
        "atelier events show 8f14e45f-ceea-467f-a3c1-d7e4f5b6a789 --at 2026-11-22T10:30:00",
        STORES,
        (
            option("id", metavar="AGGREGATE", help="its id, as `atelier events tail` shows it"),
            option("--at", metavar="PLACE", help="as it was at a position, a time, or so long ago"),
            option("--json", action="store_true", help="one JSON object"),
            DECRYPT,
        ),
    ),
    "events export": Command(
        "api.cli.events:export",
        "write events to Parquet, CSV or JSON lines",
        "Writes the events into a folder of files, each of 100,000 positions, with a manifest.\n"
        "Run again it goes on where it was stopped, and adds what has happened since.\n"
        "Personal members stay sealed.",
        "atelier events export events/ --from 2026-01-01 --type 'render.*' --typed",
        STORES,
        (
            option("folder", metavar="FOLDER", help="where the files go"),
            option(
                "--format",
                choices=("parquet", "csv", "jsonl"),
                default="parquet",
                help="(default: parquet)",
            ),
            option(
                "--typed",
                action="store_true",
                help="a table for each event type, with a column for each member; Parquet or CSV",
            ),
            FROM,
            TO,
            *EVENT_FILTERS,
            DECRYPT,
        ),
    ),
    "events catalog": Command(
        "infra.analysis.catalogue:run",
        "describe every event: AsyncAPI, JSON Schema",
        "Prints the AsyncAPI 3 document of the topic atelier.events, made from this build's code.",
        "atelier events catalog > atelier-events.json",
        ("ATELIER_DATA",),
        (
            option("--names", action="store_true", help="the events' names instead, one a line"),
            option(
                "--schemas",
                metavar="FOLDER",
                help="write the JSON Schema of each event into a folder instead",
            ),
        ),
    ),
    "media check": Command(
        "api.cli.media:run",
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
    "webhooks list": Command(
        "api.cli.webhooks:show",
        "list what is told of ended tasks",
        "Shows the newest webhooks: whether each was sent, is to be tried again, or was given up\n"
        "after a day, and how its last attempt ended. Addresses are personal, and not shown.",
        "atelier webhooks list --state given_up",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (
            option("--state", choices=STATES, help="only those that are so"),
            option(
                *("-n", "--newest"), type=int, default=20, metavar="N", help="so many (default: 20)"
            ),
            option("--json", action="store_true", help="as JSON, for programs"),
        ),
    ),
    "webhooks retry": Command(
        "api.cli.webhooks:retry",
        "send webhooks again",
        "Has the webhooks of these tasks sent again, also those that were sent, and tried for\n"
        "another day. Their ids stay the same, so receivers can tell that they have had them.",
        "atelier webhooks retry --given-up",
        ("ATELIER_POSTGRES_URL", "ATELIER_LOG"),
        (
            option("tasks", nargs="*", metavar="TASK", help="the tasks' ids"),
            option("--given-up", action="store_true", help="every one that was given up"),
        ),
    ),
    "demo": Command(
        "api.cli.demo:run",
        "order a picture and watch it being made",
        "Registers a made-up person, asks for a picture and shows the task until the picture is\n"
        "there. It uses the Atelier that answers at ATELIER_PORT, or starts one for the while.",
        "atelier demo",
        ("ATELIER_DATA", "ATELIER_HOST", "ATELIER_PORT"),
    ),
    "render": Command(
        "api.cli.render:run",
        "draw one picture without any server",
        "Draws the body of a POST /generate, as clients send it, into a JPEG or a PNG. Nothing\n"
        "else need run, and nothing is kept. What the API would refuse is refused in the same\n"
        "words. The catalogue is not asked: the garment's name, color and size count as sent.",
        "atelier render --request request.json --out picture.png",
        ("ATELIER_DATA", "ANNY_CACHE_DIR", "ATELIER_LOG"),
        (
            option(
                "--request", required=True, metavar="FILE", help="the JSON; - reads it from stdin"
            ),
            option(
                "--out",
                required=True,
                type=Path,
                metavar="FILE",
                help="the picture: a name that ends in .jpg or .png",
            ),
        ),
    ),
    "contact-sheet": Command(
        "api.cli.render:run_sheets",
        "draw sheets of all that can be drawn",
        "Draws one sheet each of bodies, faces, expressions, hair, garments, sizes, poses, views\n"
        "and skin tones, as JPEGs in a folder: everything that /capabilities lists, labelled.",
        "atelier contact-sheet hair faces --out sheets/",
        ("ATELIER_DATA", "ANNY_CACHE_DIR", "ATELIER_LOG"),
        (
            option(
                "names",
                nargs="*",
                metavar="NAME",
                help=f"{', '.join(SHEETS)} (default: all of them)",
            ),
            option(
                "--out", required=True, type=Path, metavar="DIR", help="the folder, made if need be"
            ),
        ),
    ),
    "status": Command(
        "api.cli.status:run",
        "tell how the whole system does",
        "Shows the log, who follows it and how far behind, the queue, the processes and the\n"
        "servers, each with a verdict: ok, behind, low, paused, away or wrong. The exit code is 0\n"
        "when all is ok, 1 when something is not, and 2 when a setting is missing or wrong.",
        "atelier status --watch",
        (*STORES, "ATELIER_KAFKA_", "ATELIER_S3_", "ATELIER_DATA", "ATELIER_LOG"),
        (
            option("--json", action="store_true", help="as JSON, for programs"),
            option("--watch", action="store_true", help="again every two seconds, until Ctrl-C"),
        ),
    ),
    "backup": Command(
        "api.cli.backup:back_up",
        "copy the database and the files into a folder",
        "Writes a new folder with a dump of the database, the files of the media store and a\n"
        "manifest that says up to which position of the log it goes. Atelier may be at work. The\n"
        "keys without which it cannot be read are named in it, and are not part of it.",
        "atelier backup /backups/$(date +%F)",
        (*STORES, "ATELIER_S3_", "ATELIER_DATA"),
        (
            option("folder", metavar="FOLDER", help="where the backup goes; it is made"),
            option(
                "--without-media",
                action="store_true",
                help="leave the files out, as where the bucket is backed up by other means",
            ),
        ),
    ),
    "restore": Command(
        "api.cli.backup:restore",
        "put a backup in the place of what is there",
        "Replaces the database with that of a backup and brings its files back. It refuses while\n"
        "a process of Atelier is at work, or with other keys than those of the backup, and asks\n"
        "before it replaces events. See docs/restored-backup.md.",
        "atelier restore /backups/2026-11-22",
        (*STORES, "ATELIER_S3_", "ATELIER_DATA"),
        (
            option("folder", metavar="FOLDER", help="what `atelier backup` has made"),
            option("--yes", action="store_true", help="do not ask"),
        ),
    ),
    "accounts erase": Command(
        "api.cli.accounts:erase",
        "forget a person for good",
        "Erases an account, named by its id or email address: deletes its key, so that nothing\n"
        "personal of it can be read any more, its files and its rows. The address can then be\n"
        "registered anew. It asks first; it cannot be undone.",
        "atelier accounts erase ada@example.com",
        (*STORES, "ATELIER_LOG"),
        (
            option("account", metavar="EMAIL_OR_ID", help="whom to erase"),
            option("--yes", action="store_true", help="do not ask"),
        ),
    ),
    "accounts erase-again": Command(
        "api.cli.accounts:erase_again",
        "erase whom a restored log has brought back",
        "For a Postgres that was restored from an older backup: who was erased since is back in\n"
        "it. Reads the topic atelier.events, lists the accounts whose erasure it holds and the\n"
        "log lacks, asks, and erases them again. Call it before the api starts, and before\n"
        "`atelier relay new-epoch`, which deletes the topic. Calling it again changes nothing.",
        "atelier accounts erase-again",
        (*STORES, "ATELIER_KAFKA_", "ATELIER_LOG"),
        (option("--yes", action="store_true", help="do not ask"),),
    ),
    "accounts grant-vip": Command(
        "api.cli.accounts:grant_vip",
        "let an account use the vip lane",
        "For ATELIER_VIP=granted: the tasks for which the account asks with `vip` from now on get\n"
        "into the vip lane of the queue. Those of others get into the normal one.",
        "atelier accounts grant-vip ada@example.com",
        (*STORES, "ATELIER_VIP", "ATELIER_LOG"),
        (option("account", metavar="EMAIL_OR_ID", help="whom to let in"),),
    ),
    "accounts revoke-vip": Command(
        "api.cli.accounts:revoke_vip",
        "let an account use the vip lane no more",
        "Ends what `grant-vip` began. Tasks that wait in the vip lane stay there.",
        "atelier accounts revoke-vip ada@example.com",
        (*STORES, "ATELIER_LOG"),
        (option("account", metavar="EMAIL_OR_ID", help="whom to let in no more"),),
    ),
}

# Words that other commands begin with and that are none by themselves.
GROUPS: Final[dict[str, str]] = {
    "accounts": "look after people's accounts",
    "events": "follow, replay, count, show, export and describe the events",
    "media": "look after pictures and videos",
    "projections": "look after the read models: rebuild, verify, go back, retry",
    "webhooks": "look after what is told of ended tasks",
    "queue": "look after the queue: what waits and why, who renders, cancel, pause",
}
