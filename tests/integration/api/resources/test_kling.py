"""Hints that a picture of Kling's is done."""

from uuid import uuid4

import pytest

from infra.kling.client import CALLBACK
from infra.postgres import connect
from infra.settings import Settings


def seconds_left(shared: Settings) -> list[float]:
    """Until each of the illustrations is looked at."""
    with connect(shared.postgres_url) as connection:
        sql = "SELECT extract(epoch FROM next_at - now())::float8 FROM atelier_illustrations"
        return [round(row[0]) for row in connection.execute(f"{sql} ORDER BY remote_id")]


@pytest.fixture(autouse=True)
def illustrations(shared):
    with connect(shared.postgres_url) as connection:
        connection.execute("DELETE FROM atelier_illustrations")
        for remote, state in (("a", "submitted"), ("b", "submitted"), ("c", "made")):
            connection.execute(
                "INSERT INTO atelier_illustrations (task, state, folder, remote_id, next_at, until)"
                " VALUES (%s, %s, 'f', %s, now() + interval '30 s', now() + interval '1 h')",
                [uuid4(), state, remote],
            )


def test_a_hint_has_its_task_looked_at_at_once(server, shared):
    told = {"task_id": "a", "task_status": "failed", "task_result": {"images": []}}
    assert server.post(CALLBACK, json=told).status_code == 204
    assert seconds_left(shared) == [0, 30, 30]


def test_nothing_else_is_believed(server, shared):
    server.post(CALLBACK, json={"task_id": "c", "task_status": "succeed"})
    with connect(shared.postgres_url) as connection:
        rows = connection.execute("SELECT state FROM atelier_illustrations ORDER BY remote_id")
        assert [row[0] for row in rows] == ["submitted", "submitted", "made"]
    assert seconds_left(shared) == [30, 30, 30]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"task_id": 7}', b'{"task_id": "none"}', b'{"task_id": "\\u0000"}']
)
def test_whatever_else_comes_is_answered_alike(server, shared, body):
    answer = server.post(CALLBACK, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert seconds_left(shared) == [30, 30, 30]
