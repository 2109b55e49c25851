"""Works that processes divide among themselves."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import psycopg
import pytest

from infra.process.shares import Shares
from tests.support.scenario import eventually

WORKS = ["accounts", "gallery", "queue", "tasks", "wardrobe"]

Start = Callable[[str], AbstractContextManager[Shares]]


@pytest.fixture
def start(postgres_url: str) -> Start:
    @contextlib.contextmanager
    def started(name: str) -> Iterator[Shares]:
        with (
            psycopg.connect(postgres_url, application_name=f"atelier test {name}"),
            Shares(postgres_url, "test", WORKS, lock="atelier.test.{}") as shares,
        ):
            yield shares

    return started


def test_one_process_alone_does_everything(start: Start):
    with start("one") as one:
        assert one.held() == WORKS


def test_a_process_that_comes_gets_its_share_and_each_work_is_done_by_one(start: Start):
    with start("one") as one:
        assert one.held() == WORKS
        with start("two") as two:

            def divided() -> bool:
                first, second = one.held(), two.held()
                assert not set(first) & set(second)
                return (len(first), len(second)) == (3, 2)

            eventually(divided)


def test_what_a_process_leaves_is_taken_over(start: Start):
    with start("one") as one, start("two") as two:
        eventually(lambda: len(one.held()) + len(two.held()) == len(WORKS))
        two.__exit__(None, None, None)  # its session goes on as far as Postgres knows
        eventually(lambda: one.held() == WORKS)
