import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.postgres import connect
from infra.process.leader import Leadership
from tests.support.scenario import eventually

NAME = "atelier.test"
GIVES_UP_AFTER_S = 20.0
HOLDER = """
import sys, threading, time
from infra.process.leader import Leadership
with Leadership(sys.argv[1], sys.argv[2]) as leader:
    leader.acquire(threading.Event())
    print("held", flush=True)
    while leader.held():
        time.sleep(0.1)
    print("lost", flush=True)
"""


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def soon():
    """A stop that comes after one or two tries."""
    event = threading.Event()
    timer = threading.Timer(0.7, event.set)
    timer.start()
    yield event
    timer.cancel()
    timer.join()


@pytest.fixture
def leader(postgres_url, stop):
    with Leadership(postgres_url, NAME) as leading:
        assert leading.acquire(stop)
        yield leading


@pytest.fixture
def holder(postgres_url):
    """Another process that leads."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, postgres_url, NAME], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def end_sessions(url):
    with connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_who_demands_the_lock_waits_its_time_and_gets_it_before_those_who_only_try(
    postgres_url, leader, stop
):
    with Leadership(postgres_url, NAME) as second, Leadership(postgres_url, NAME) as third:
        assert not second.demand(0.2)
        with ThreadPoolExecutor(2) as threads:
            demanded = threads.submit(second.demand, GIVES_UP_AFTER_S)
            eventually(lambda: waits_for_the_lock(postgres_url))
            tried = threads.submit(third.acquire, stop)
            leader.release()
            assert demanded.result()
            assert second.held()
            assert not tried.done()
            stop.set()
            assert not tried.result()


def waits_for_the_lock(url):
    with connect(url) as connection:
        return connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ).fetchone() != (0,)


def test_one_of_two_leads(postgres_url, leader, soon):
    with Leadership(postgres_url, NAME) as other:
        assert not other.acquire(soon)
        assert leader.held()


def test_who_waits_in_vain_does_not_hold_the_lock(postgres_url, leader, soon):
    with Leadership(postgres_url, NAME) as other:
        other.acquire(soon)
        assert not other.held()


def test_a_release_lets_the_other_in(postgres_url, leader, stop):
    with Leadership(postgres_url, NAME) as other:
        waiting = threading.Thread(target=other.acquire, args=(stop,))
        waiting.start()
        leader.release()
        waiting.join(GIVES_UP_AFTER_S)
        stop.set()
        assert other.held()
        assert not leader.held()


def test_leaving_the_block_releases(postgres_url, stop):
    for _ in range(2):
        with Leadership(postgres_url, NAME) as leader:
            assert leader.acquire(stop)


def test_locks_of_other_names_are_free(postgres_url, leader, stop):
    with Leadership(postgres_url, "atelier.other") as other:
        assert other.acquire(stop)
        assert leader.held()


def test_nobody_leads_who_was_told_to_stop(postgres_url, stop):
    stop.set()
    with Leadership(postgres_url, NAME) as leader:
        assert not leader.acquire(stop)
        assert not leader.held()


def test_the_lock_is_lost_with_its_session_and_can_be_taken_again(postgres_url, leader, stop):
    end_sessions(postgres_url)
    assert not leader.held()
    assert leader.acquire(stop)
    assert leader.held()


def test_who_lost_the_lock_to_another_does_not_get_it_back(postgres_url, leader, stop, soon):
    end_sessions(postgres_url)
    with Leadership(postgres_url, NAME) as other:
        assert other.acquire(stop)
        assert not leader.held()
        assert not leader.acquire(soon)


def test_a_leader_that_does_nothing_for_long_keeps_the_lock(postgres_url, leader):
    # Longer than an idle session may last: the pings keep it.
    threading.Event().wait(4.0)
    assert leader.held()


def test_a_frozen_leader_loses_the_lock(postgres_url, holder):
    stop = threading.Event()
    too_late = threading.Timer(GIVES_UP_AFTER_S, stop.set)
    too_late.start()
    with Leadership(postgres_url, NAME) as other:
        os.kill(holder.pid, signal.SIGSTOP)
        try:
            assert other.acquire(stop)
        finally:
            os.kill(holder.pid, signal.SIGCONT)
        assert holder.stdout.readline() == b"lost\n"
        assert other.held()
    too_late.cancel()
    too_late.join()


def test_a_killed_leader_loses_the_lock(postgres_url, holder, stop):
    holder.kill()
    with Leadership(postgres_url, NAME) as other:
        assert other.acquire(stop)


def test_a_postgres_that_is_away_is_waited_for(postgres, postgres_url, stop):
    postgres.kill()
    with Leadership(postgres_url, NAME) as leader:
        waiting = threading.Thread(target=leader.acquire, args=(stop,))
        waiting.start()
        postgres.restart()
        eventually(leader.held)
        stop.set()
        waiting.join()
