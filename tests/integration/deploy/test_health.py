import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.postgres import connect

SCRIPT = Path(__file__).parents[3] / "deploy" / "health.py"


def healthy(process: str, postgres_url: str) -> bool:
    environ = os.environ | {"ATELIER_POSTGRES_URL": postgres_url}
    finished = subprocess.run([sys.executable, SCRIPT, process], env=environ, timeout=30)
    return finished.returncode == 0


def execute(postgres_url: str, statement: str) -> None:
    with connect(postgres_url) as connection:
        connection.execute(statement)


def test_a_relay_is_healthy_once_it_has_brought_over_all_events(postgres_url: str):
    assert healthy("relay", postgres_url)
    execute(postgres_url, "UPDATE atelier_head SET position = 7")
    assert not healthy("relay", postgres_url)
    execute(postgres_url, "INSERT INTO atelier_relay VALUES ('atelier.events', 'id', 7, 1)")
    assert healthy("relay", postgres_url)
    execute(postgres_url, "UPDATE atelier_relay SET trouble = 'another past'")
    assert not healthy("relay", postgres_url)


def test_a_projector_is_healthy_once_its_slowest_read_model_has_caught_up(postgres_url: str):
    assert not healthy("projector", postgres_url)  # there is none yet
    execute(postgres_url, "UPDATE atelier_head SET position = 7")
    execute(
        postgres_url,
        "INSERT INTO atelier_projections VALUES ('a', 1, true, '', 7), ('b', 1, true, '', 6),"
        " ('b', 2, false, '', 0)",
    )
    assert not healthy("projector", postgres_url)
    execute(postgres_url, "UPDATE atelier_projections SET position = 7 WHERE live")
    assert healthy("projector", postgres_url)
    execute(postgres_url, "INSERT INTO atelier_heartbeats VALUES ('a', now())")
    assert healthy("projector", postgres_url)
    execute(postgres_url, "UPDATE atelier_heartbeats SET beat_at = now() - interval '1 minute'")
    assert not healthy("projector", postgres_url)  # it hangs, and lacks nothing


@pytest.mark.parametrize("process", ["relay", "projector"])
def test_without_postgres_nobody_is_healthy(process: str):
    assert not healthy(process, "postgresql://atelier@127.0.0.1:9/atelier")
