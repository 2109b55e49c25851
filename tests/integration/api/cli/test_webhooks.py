"""`atelier webhooks list` and `retry`."""

import json
from argparse import Namespace
from typing import get_args
from uuid import UUID, uuid4

import pytest

from api.cli import webhooks
from api.cli.table import STATES
from domain.errors import NotFound
from infra.analysis.arguments import BadArgument
from infra.postgres import connect
from infra.settings import Settings
from infra.webhooks.deliveries import State

GIVEN_UP, SENT = uuid4(), uuid4()


@pytest.fixture
def some(postgres_url: str) -> Settings:
    """One that was sent, and one that was not."""
    with connect(postgres_url) as connection:
        connection.execute(
            "INSERT INTO atelier_webhooks"
            " (task, account, ended_at, state, attempts, status, error, until) VALUES"
            " (%s, gen_random_uuid(), now() - interval '1 h', 'sent', 1, 204, '', now()),"
            " (%s, gen_random_uuid(), now(), 'given_up', 21, NULL, 'timed out', now())",
            [SENT, GIVEN_UP],
        )
    return Settings(postgres_url=postgres_url)


def listed(settings: Settings, capfd: pytest.CaptureFixture[str], state: str | None = None):
    webhooks.show(settings, Namespace(newest=20, state=state, json=True))
    return {UUID(each["task"]): each for each in json.loads(capfd.readouterr().out)}


def test_the_newest_are_listed_first(some: Settings, capfd: pytest.CaptureFixture[str]):
    assert list(listed(some, capfd)) == [GIVEN_UP, SENT]
    assert list(listed(some, capfd, "sent")) == [SENT]
    webhooks.show(some, Namespace(newest=20, state=None, json=False))
    shown = capfd.readouterr().out
    assert shown.index(str(GIVEN_UP)) < shown.index(str(SENT))
    assert max(map(len, shown.splitlines())) <= 80


def test_every_state_can_be_asked_for():
    assert STATES == get_args(State) == tuple(webhooks.STATES)


def test_none_are_none(postgres_url: str, capfd: pytest.CaptureFixture[str]):
    none = Settings(postgres_url=postgres_url)
    webhooks.show(none, Namespace(newest=20, state=None, json=False))
    assert capfd.readouterr().out == "There are none.\n"


def test_those_that_were_given_up_are_sent_for_another_day(
    some: Settings, capfd: pytest.CaptureFixture[str]
):
    webhooks.retry(some, Namespace(tasks=[], given_up=True))
    assert capfd.readouterr().out == "To be sent again: 1 webhook.\n"
    found = listed(some, capfd)
    assert (found[GIVEN_UP]["state"], found[GIVEN_UP]["attempts"]) == ("pending", 0)
    assert found[GIVEN_UP]["until"] > found[SENT]["until"]
    assert found[SENT]["state"] == "sent"


def test_one_that_was_sent_is_sent_again_if_it_is_named(
    some: Settings, capfd: pytest.CaptureFixture[str]
):
    webhooks.retry(some, Namespace(tasks=[str(SENT)], given_up=False))
    assert "1 webhook." in capfd.readouterr().out
    assert set(listed(some, capfd, "pending")) == {SENT}


def test_a_task_without_a_webhook_is_named(some: Settings):
    other = str(uuid4())
    with pytest.raises(NotFound, match=other):
        webhooks.retry(some, Namespace(tasks=[other, str(SENT)], given_up=False))


@pytest.mark.parametrize("tasks", [[], ["7"]], ids=["nothing", "no id"])
def test_what_is_no_task_is_refused(some: Settings, tasks: list[str]):
    with pytest.raises(BadArgument):
        webhooks.retry(some, Namespace(tasks=tasks, given_up=False))
