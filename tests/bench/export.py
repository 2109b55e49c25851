"""How fast a million events become files, against `psql \\copy … CSV` of the same columns.

Both run as processes of their own, one after the other, on the same embedded Postgres. The memory
is the process's largest resident set.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from infra.embedded import EmbeddedPostgres
from infra.embedded.postgres import bundled
from infra.log.migrate import migrate
from infra.postgres import connect
from tests.bench.report import Figure, median, report

RUNS: Final = 3
EVENTS: Final = 1_000_000
FEW: Final = 100_000

COLUMNS: Final = (
    "position, event_id, type, aggregate_id, aggregate_version, recorded_at, actor, account,"
    " correlation_id, causation_id, state"
)

# A render from its request to the removal of its file, of 2,500 people with 400 events each.
FILL: Final = f"""
INSERT INTO atelier_events ({COLUMNS})
SELECT n, gen_random_uuid(), kind.type, md5((n / 4)::text)::uuid, n %% 4 + 1,
       timestamptz '2026-01-01' + n * interval '1 second',
       'account:' || md5((n / 400)::text)::uuid, md5((n / 400)::text)::uuid, gen_random_uuid(),
       NULL,
       format(kind.state, md5((n / 4)::text)::uuid, n %% 50, encode(sha256(n::text::bytea), 'hex'),
              translate(encode(sha512(n::text::bytea) || sha512((-n)::text::bytea), 'base64'),
                        E'\\n', ''))
  FROM generate_series(%s::bigint, %s::bigint) AS n,
       LATERAL (SELECT * FROM (VALUES
           (0, 'render.requested.v1',
            '{{"account_number":33,"vip":false,"limit":10,"request_hash":null,"kind":"image",'
            '"apparel_details":{{"brand":"gymshark","item_id":"Hoodie %%2$s","color":"Red",'
            '"size":"L","size2":""}},"image_options":{{"quality":90,"thumbnail_width":128}},'
            '"render_mode":"3D","garment":{{"name":"Hoodie %%2$s","color_hex":"#FF0000",'
            '"color_known":true,"size_known":true}},"personal":"%%4$s%%4$s"}}'),
           (1, 'render.started.v1', '{{"attempt":1,"consumer":"host-%%2$s"}}'),
           (2, 'render.completed.v1',
            '{{"attempt":1,"engine":"atelier-local","files":[{{"name":"%%1$s.jpg",'
            '"key":"33/gallery/%%1$s.jpg","role":"source","content_type":"image/jpeg",'
            '"size":123%%2$s,"sha256":"%%3$s"}},{{"name":"%%1$s_thumbnail.jpg",'
            '"key":"33/gallery/%%1$s_thumbnail.jpg","role":"thumbnail",'
            '"content_type":"image/jpeg","size":1234,"sha256":"%%3$s"}}],'
            '"ignored":[],"personal":"%%4$s"}}'),
           (3, 'render.file_removed.v1',
            '{{"name":"%%1$s.jpg","keys":["33/gallery/%%1$s.jpg"]}}')
       ) AS kinds (i, type, state) WHERE i = n %% 4) kind
 ORDER BY n"""


class Run(NamedTuple):
    """One process: how long it took, and its largest resident set."""

    seconds: float
    megabytes: float


class Case(NamedTuple):
    """A name, and a command that leaves the events in a folder."""

    name: str
    command: Callable[[Path], Sequence[str]]


def main() -> None:
    """Export the same million events in every way."""
    folder = Path(tempfile.mkdtemp(prefix="atelier-bench-"))
    server = EmbeddedPostgres(folder / "data")
    try:
        server.start()
        fill(server.url)
        measure(server.url, folder / "out")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def fill(url: str) -> None:
    """Make the events, in the order and with the sizes that the log would have."""
    migrate(url)
    with connect(url, statement_timeout=0) as connection:
        for first in range(1, EVENTS, FEW):
            connection.execute(FILL.encode(), [first, first + FEW - 1])
        connection.execute("UPDATE atelier_head SET position = %s", [EVENTS])
        connection.execute("VACUUM (ANALYZE) atelier_events")


def measure(url: str, out: Path) -> None:
    """Print the figures."""
    environ = {"PATH": os.environ["PATH"], "ATELIER_POSTGRES_URL": url}
    psql = Case("psql", lambda to: copy(url, to))
    ours = [
        Case("one table to Parquet", lambda to: export(to)),
        Case("a table for each type to Parquet", lambda to: export(to, "--typed")),
        Case("one table to CSV", lambda to: export(to, "--format", "csv")),
        Case("one table to JSON lines", lambda to: export(to, "--format", "jsonl")),
    ]
    few = median([run(export(out, "--to", str(FEW)), out, environ).megabytes for _ in range(RUNS)])
    runs: dict[str, list[Run]] = {case.name: [] for case in (psql, *ours)}
    for _ in range(RUNS):
        for case in (psql, *ours):
            runs[case.name].append(run(case.command(out), out, environ))
    rate = {name: EVENTS / median([r.seconds for r in found]) for name, found in runs.items()}
    memory = {name: median([r.megabytes for r in found]) for name, found in runs.items()}
    report(
        "export",
        [
            *(
                Figure(name=case.name, unit="events/s", ours=rate[case.name], peer=rate["psql"])
                for case in ours
            ),
            Figure(name=f"memory, one table of {FEW:,}", unit="MB", ours=few),
            *(
                Figure(
                    name=f"memory, {case.name}",
                    unit="MB",
                    ours=memory[case.name],
                    peer=memory["psql"],
                )
                for case in ours
            ),
        ],
    )


def export(to: Path, *options: str) -> list[str]:
    """Our command."""
    return [sys.executable, "-m", "api", "events", "export", str(to / "events"), *options]


def copy(url: str, to: Path) -> list[str]:
    """What one would use instead."""
    select = f"SELECT {COLUMNS} FROM atelier_events ORDER BY position"
    return [str(bundled("psql")), url, "-qc", f"\\copy ({select}) TO '{to}/events.csv' CSV"]


def run(command: Sequence[str], out: Path, environ: Mapping[str, str]) -> Run:
    """Run a command into an empty folder."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    began = time.monotonic()
    process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    assert status == 0, f"failed: {command}"
    return Run(seconds, used.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
