"""What operators do with the queue, while everything runs."""

import json
import time
from typing import Any

import pytest

from tests.support.atelier import Atelier, Person
from tests.support.scenario import eventually

pytestmark = pytest.mark.anywhere

NOTICED_S = 2.5  # half a second but for a busy machine; without news of it a consumer takes 5


def shown(atelier: Atelier, task: str) -> Any:
    return json.loads(atelier.command("queue", "show", task, "--json").stdout)


def test_a_pause_holds_tasks_and_is_told_until_it_is_over(atelier: Atelier) -> None:
    with atelier.client() as client:
        ada = Person(client)
        assert atelier.command("queue", "pause", "new drivers").returncode == 0
        try:
            task = ada.post("/generate", {})["task_id"]
            eventually(lambda: shown(atelier, task)["events"][0]["kafka"], seconds=60)
            paused = shown(atelier, task)
            assert [each["code"] for each in paused["waits_for"]] == ["paused", "turn"]
            seen = atelier.command("status")
            assert (seen.returncode, "queue paused" in seen.stderr) == (1, True)
            assert ada.get(f"/generate/{task}")["status"] == "PENDING"
        finally:
            assert atelier.command("queue", "resume").returncode == 0
        began = time.monotonic()
        eventually(lambda: ada.get(f"/generate/{task}")["status"] != "PENDING")
        assert time.monotonic() - began < NOTICED_S
        assert ada.wait_for(task)["status"] == "SUCCESS"
        story = shown(atelier, task)
    assert [each["type"] for each in story["events"]] == [
        "render.requested.v1",
        "render.started.v1",
        "render.completed.v1",
    ]
    assert {each["store"] for each in story["files"]} == {"there"}
    listed = json.loads(atelier.command("queue", "consumers", "--json").stdout)
    (consumer,) = listed["consumers"]
    claimed_by = story["events"][1]["state"]["consumer"]
    assert claimed_by.startswith(f"{consumer['name']}-")
    assert str(consumer["pid"]) in claimed_by


def test_an_operator_cancels_what_waits(atelier: Atelier) -> None:
    with atelier.client() as client:
        ada = Person(client)
        atelier.command("queue", "pause", "a test", "--lane", "normal")
        try:
            task = ada.post("/generate", {})["task_id"]
            assert atelier.command("queue", "cancel", task, "--yes").stdout == "Cancelled.\n"
            assert ada.get(f"/generate/{task}")["error"]["code"] == "cancelled"
        finally:
            atelier.command("queue", "resume")
