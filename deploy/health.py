"""Whether the relay or the projector keeps up, as the exit code: `python health.py relay`.

One look cannot tell work from a standstill; who asks repeats it and minds several noes in a row.
"""

import os
import sys
from typing import LiteralString

from infra.postgres import connect
from infra.settings import Settings

BEHIND: dict[str, LiteralString] = {
    # How many events the relay has not yet brought to Kafka; all and one while something stops it.
    "relay": """
        SELECT CASE WHEN EXISTS (SELECT FROM atelier_relay WHERE trouble <> '')
                    THEN head.position + 1
                    ELSE head.position - coalesce((SELECT max(position) FROM atelier_relay), 0)
                END
          FROM atelier_head AS head
    """,
    # How many events the slowest read model lacks; all of them, and one, where there is none, or
    # where who keeps one has not looked at the log for longer than its slowest pause.
    "projector": """
        SELECT CASE WHEN EXISTS (SELECT FROM atelier_heartbeats JOIN atelier_projections
                                             USING (projection)
                                  WHERE live AND beat_at < now() - interval '12 s')
                    THEN head.position + 1
                    ELSE head.position
                         - coalesce((SELECT min(position) FROM atelier_projections WHERE live), -1)
                END
          FROM atelier_head AS head
    """,
}


def behind(process: str, postgres_url: str) -> int:
    """How many events the process is behind the log."""
    with connect(postgres_url) as connection:
        row = connection.execute(BEHIND[process]).fetchone()
    assert row is not None
    return int(row[0])


def main(process: str) -> int:
    settings = Settings.load(os.environ)
    events = behind(process, settings.postgres_url)
    if events:
        print(f"{events} events behind")
    return int(events > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
