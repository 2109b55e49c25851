"""Telling of ended tasks, over real HTTPS from a real log."""

import contextlib
import hashlib
import hmac
import json
import re
import threading
from base64 import b64decode, b64encode
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from api.figures import UNSENT
from infra.postgres import Listener, connect
from infra.process.leader import Leadership
from infra.webhooks.deliveries import DUE, Deliveries
from render_consumers.loop.webhooks import LOCK
from tests.support.receiver import Answer, receiving
from tests.support.scenario import (
    ACCOUNT,
    cancelled,
    completed,
    erased,
    eventually,
    failed,
    lose_key,
    make_store,
    removed,
    requested,
    source,
    started,
    thumbnail,
    webhook_requested,
)
from tests.support.sending import KEYS, LINKS, sender, sending

PAGE = Path(__file__).parents[4] / "docs" / "api.md"


@pytest.fixture
def receiver(tmp_path):
    with receiving(tmp_path) as started:
        yield started


@pytest.fixture
def table(pool):
    return Deliveries(pool)


@pytest.fixture
def one(story, pool, receiver):
    """A sender that is told when to work."""
    return sender(story.store, pool, receiver.host, receiver.trust())


def ended(story, receiver, *ends, account=ACCOUNT):
    """A task that asked for a webhook and has ended, by default well."""
    task = uuid4()
    asked = webhook_requested(receiver.url)
    story.tell(task, requested(), asked, account=account)
    story.tell(task, started(), *(ends or [completed()]), account=account)
    return task


def work(one, table):
    """Follow the log and make one attempt at all that is due."""
    while one.follow():
        pass
    for due in table.due(100, under_way=[], busy=[]):
        one.send(due)


@contextlib.contextmanager
def at_work(one, url):
    """The same as a process has it, until the end of the block."""
    stop, listener = threading.Event(), Listener(url)
    with Leadership(url, LOCK) as leader:
        thread = threading.Thread(target=one.run, args=(leader, listener.wait, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            listener.close()


def due_at_once(pool):
    with pool.connection() as connection:
        connection.execute("UPDATE atelier_webhooks SET next_at = now()")


def states(table):
    return {each.task: each.state for each in table.newest(100)}


def test_a_task_that_has_ended_well_is_told_of_once(one, table, story, receiver):
    task = ended(story, receiver)
    work(one, table)
    work(one, table)
    (heard,) = receiver.heard
    assert heard.path == "/atelier?order=7"
    told = json.loads(heard.body)
    end = story.store.load(task)[-1]
    assert told["type"] == "task.completed"
    assert told["timestamp"] == end.recorded_at.isoformat().replace("+00:00", "Z")
    assert told["data"]["task_id"] == str(task)
    assert told["data"]["files"][0]["url"] == LINKS + source().key
    assert told["data"]["files"][0]["thumbnail_url"] == LINKS + thumbnail().key
    assert (states(table), receiver.ids) == ({task: "sent"}, [str(task)])


@pytest.mark.parametrize(
    ("end", "code"), [(failed(code="source_gone"), "source_gone"), (cancelled(), "cancelled")]
)
def test_a_task_that_has_failed_is_told_of_with_the_reason(one, table, story, receiver, end, code):
    ended(story, receiver, end)
    work(one, table)
    told = json.loads(receiver.heard[0].body)
    assert (told["type"], told["data"]["status"]) == ("task.failed", "FAILED")
    assert told["data"]["error"]["code"] == code


def test_whoever_has_a_key_can_tell_that_it_is_ours(one, table, story, receiver):
    ended(story, receiver)
    work(one, table)
    (heard,) = receiver.heard
    for key in KEYS:
        assert Webhook(key).verify(heard.body, heard.headers) == json.loads(heard.body)
    with pytest.raises(WebhookVerificationError):
        Webhook(KEYS[0]).verify(heard.body + b" ", heard.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + b64encode(bytes(32)).decode()).verify(heard.body, heard.headers)


def test_the_signature_is_what_the_scheme_says(one, table, story, receiver):
    ended(story, receiver)
    work(one, table)
    (heard,) = receiver.heard
    head = f"{heard.headers['webhook-id']}.{heard.headers['webhook-timestamp']}."
    secrets = [b64decode(key.removeprefix("whsec_")) for key in KEYS]
    digests = [hmac.digest(each, head.encode() + heard.body, hashlib.sha256) for each in secrets]
    expected = " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)
    assert heard.headers["webhook-signature"] == expected


def test_its_time_is_that_of_postgres_whatever_the_clock_of_the_machine_says(
    one, table, story, receiver
):
    ended(story, receiver)
    while one.follow():
        pass
    (due,) = table.due(1, under_way=[], busy=[])
    moment = due.now - timedelta(minutes=4)
    one.send(msgspec.structs.replace(due, now=moment))
    assert receiver.heard[0].headers["webhook-timestamp"] == str(int(moment.timestamp()))


def test_it_is_told_and_verified_as_the_page_says(one, table, story, receiver):
    section = PAGE.read_text().partition("## Being told of the end")[2].partition("\n## ")[0]
    ((_, example), (_, code)) = re.findall(r"```(json|python)\n(.*?)```", section, re.S)
    ended(story, receiver)
    work(one, table)
    (heard,) = receiver.heard
    known = {"body": heard.body, "headers": heard.headers}
    exec(code.replace("whsec_…", KEYS[0]), known)  # noqa: S102 - it is our own page
    told, shown = known["told"], json.loads(example)
    assert told == json.loads(heard.body)
    assert [list(told), list(told["data"])] == [list(shown), list(shown["data"])]
    assert list(told["data"]["files"][0]) == list(shown["data"]["files"][0])


def test_only_what_somebody_asked_to_be_told_of_is_told(one, table, story, receiver):
    task = story.request()
    story.tell(task, started(), completed())
    running = uuid4()
    story.tell(running, requested(), webhook_requested(receiver.url), started())
    work(one, table)
    assert (receiver.heard, states(table)) == ([], {})


def test_a_file_that_was_removed_meanwhile_is_not_told_of(one, table, story, receiver):
    keys = (source().key, thumbnail().key)
    ended(story, receiver, completed(), removed(source().name, *keys))
    work(one, table)
    assert json.loads(receiver.heard[0].body)["data"]["files"] == []


def test_another_one_goes_on_where_it_stood(one, table, story, pool, receiver):
    ended(story, receiver)
    work(one, table)
    other = sender(make_store(pool), pool, receiver.host, receiver.trust())
    assert other.follow() == 0
    work(other, table)
    assert len(receiver.heard) == 1


def test_one_whose_place_is_lost_starts_from_now(one, table, story, pool, receiver):
    ended(story, receiver)
    with pool.connection() as connection:
        connection.execute("DELETE FROM atelier_followers")
    work(one, table)
    assert receiver.heard == []


def test_what_is_refused_is_sent_again_later_under_the_same_id(one, table, story, pool, receiver):
    task = ended(story, receiver)
    answers = iter([500, 503, 200])
    receiver.answers = lambda heard: Answer(next(answers))
    work(one, table)
    (first,) = table.newest(1)
    assert (first.state, first.attempts, first.status) == ("pending", 1, 500)
    work(one, table)
    assert len(receiver.heard) == 1  # it is not due yet
    for _ in range(2):
        due_at_once(pool)
        work(one, table)
    assert receiver.ids == [str(task)] * 3
    (last,) = table.newest(1)
    assert (last.state, last.attempts, last.status) == ("sent", 3, 200)


def test_the_time_between_attempts_grows_and_is_not_always_the_same(
    one, table, story, pool, receiver
):
    receiver.answers = lambda heard: Answer(500)
    tasks = [ended(story, receiver) for _ in range(3)]
    waits = []
    for _ in range(4):
        work(one, table)
        found = table.newest(10)
        waits.append([(each.next_at - each.tried_at).total_seconds() for each in found])
        due_at_once(pool)
    for n, some in enumerate(waits):
        assert all(0.75 * 5 * 2**n <= each <= 1.25 * 5 * 2**n for each in some)
        assert len(set(some)) == len(tasks)


def test_it_is_given_up_after_a_day_with_a_last_attempt_then(one, table, story, pool, receiver):
    receiver.answers = lambda heard: Answer(500)
    task = ended(story, receiver)
    work(one, table)
    (delivery,) = table.newest(1)
    assert 86_300 < (delivery.until - delivery.ended_at).total_seconds() < 86_500
    with pool.connection() as connection:
        connection.execute("UPDATE atelier_webhooks SET until = now() + interval '1 s'")
    due_at_once(pool)
    work(one, table)
    (delivery,) = table.newest(1)
    assert (delivery.state, delivery.next_at) == ("pending", delivery.until)
    with pool.connection() as connection:
        connection.execute("UPDATE atelier_webhooks SET until = now(), next_at = now()")
    work(one, table)
    assert states(table) == {task: "given_up"}
    work(one, table)
    assert len(receiver.heard) == 3


def test_who_was_frozen_and_comes_late_changes_nothing(one, table, story, receiver):
    task = ended(story, receiver)
    one.follow()
    (due,) = table.due(1, under_way=[], busy=[])
    table.tried(due, sent=False, status=500)
    table.tried(due, sent=False, final=True, status=410)
    (delivery,) = table.newest(1)
    assert (delivery.state, delivery.attempts, delivery.status) == ("pending", 1, 500)
    table.retry([task])
    one.send(due)
    table.tried(due, sent=False, status=500)
    (delivery,) = table.newest(1)
    assert (delivery.state, delivery.status) == ("sent", 204)


def test_who_is_gone_is_not_asked_again(one, table, story, receiver):
    receiver.answers = lambda heard: Answer(410)
    task = ended(story, receiver)
    work(one, table)
    assert states(table) == {task: "given_up"}


def test_what_was_given_up_or_sent_is_sent_again_for_whoever_asks(one, table, story, receiver):
    receiver.answers = lambda heard: Answer(410)
    given_up = ended(story, receiver)
    work(one, table)
    receiver.answers = lambda heard: Answer()
    sent = ended(story, receiver)
    work(one, table)
    assert table.retry([], given_up=True) == [given_up]
    assert table.retry([sent, uuid4()]) == [sent]
    work(one, table)
    assert receiver.ids == [str(given_up), str(sent), str(given_up), str(sent)]
    assert states(table) == {given_up: "sent", sent: "sent"}


def test_what_was_sent_a_month_ago_is_forgotten(one, table, story, pool, receiver):
    old = ended(story, receiver)
    work(one, table)
    receiver.answers = lambda heard: Answer(500)
    waiting, new = ended(story, receiver), ended(story, receiver)
    work(one, table)
    with pool.connection() as connection:
        connection.execute(
            "UPDATE atelier_webhooks SET ended_at = now() - interval '31 days' WHERE task <> %s",
            [new],
        )
    ended(story, receiver)
    work(one, table)
    assert old not in states(table)
    assert {states(table)[waiting], states(table)[new]} == {"pending"}


def test_why_there_was_no_answer_is_kept_without_the_address(one, table, story, pool, receiver):
    forbidden = sender(story.store, pool, "shop.example.com", receiver.trust())
    ended(story, receiver)
    work(forbidden, table)
    (delivery,) = table.newest(1)
    assert delivery.error == "the address must have a host, and a port, that this server allows"
    assert (delivery.state, delivery.status, receiver.heard) == ("pending", None, [])


def test_nothing_is_told_of_whoever_is_erased(one, table, story, pool, receiver):
    receiver.answers = lambda heard: Answer(500)
    ended(story, receiver)
    work(one, table)
    story.tell(ACCOUNT, erased())
    due_at_once(pool)
    work(one, table)
    assert (len(receiver.heard), states(table)) == (1, {})


def test_what_is_due_as_its_person_is_erased_is_dropped(one, table, story, receiver):
    ended(story, receiver)
    while one.follow():
        pass
    lose_key(story.store)
    work(one, table)
    assert (receiver.heard, states(table)) == ([], {})


def test_a_host_that_is_silent_holds_up_nobody_else(one, table, story, receiver, postgres_url):
    other = uuid4()
    story.register(other)
    go_on = threading.Event()
    slow = {str(ended(story, receiver)) for _ in range(20)}
    quick = ended(story, receiver, account=other)

    def answer(heard):
        if heard.headers["webhook-id"] in slow:
            go_on.wait(20)
        return Answer()

    receiver.answers = answer
    with at_work(one, postgres_url):
        eventually(lambda: states(table).get(quick) == "sent")
        assert len(slow & set(receiver.ids)) == 4
        go_on.set()
        eventually(lambda: set(states(table).values()) == {"sent"})
    assert sorted(receiver.ids) == sorted([*slow, str(quick)])  # each once


def test_one_that_cannot_be_told_stops_nobody(one, table, story, receiver, postgres_url):
    def link(key):
        if key == source().key:
            raise ValueError("no such link")
        return LINKS + key

    one._url = link
    bad, good = ended(story, receiver), ended(story, receiver, failed())
    with at_work(one, postgres_url):
        eventually(lambda: states(table) == {bad: "pending", good: "sent"})
        eventually(lambda: table.newest(1, "pending")[0].attempts == 1)
    (delivery,) = table.newest(1, "pending")
    assert (delivery.error, delivery.next_at > delivery.tried_at) == ("ValueError", True)


def test_it_is_told_at_once(one, table, story, receiver, postgres_url):
    with at_work(one, postgres_url):
        eventually(lambda: states(table) == {}, 5)
        task = ended(story, receiver)
        eventually(lambda: states(table) == {task: "sent"}, 5)


def test_it_outlives_a_restart_of_postgres(one, table, story, receiver, postgres, postgres_url):
    with at_work(one, postgres_url):
        ended(story, receiver)
        eventually(lambda: receiver.heard)
        postgres.kill()
        postgres.restart()
        task = ended(story, receiver)
        eventually(lambda: str(task) in receiver.ids, 30)


def test_who_is_killed_between_sending_and_writing_down_sends_again(
    table, story, receiver, postgres_url
):
    """At least once, and the id tells the receiver that it has had it."""
    with sending(postgres_url, receiver) as first:

        def killing(heard):
            first.kill()
            return Answer()

        receiver.answers = killing
        task = ended(story, receiver)
        first.wait(30)
    assert (receiver.ids, states(table)) == ([str(task)], {task: "pending"})
    receiver.answers = lambda heard: Answer()
    with sending(postgres_url, receiver):
        eventually(lambda: states(table) == {task: "sent"}, 30)
    assert receiver.ids == [str(task)] * 2


def test_whatever_is_killed_when_each_is_told_of(table, story, receiver, postgres_url):
    tasks = set()
    for _ in range(4):
        with sending(postgres_url, receiver) as process:
            tasks |= {ended(story, receiver) for _ in range(5)}
            so_far = len(receiver.heard)
            eventually(lambda: len(receiver.heard) > so_far + 2, 30)  # noqa: B023 - waited for here
            process.kill()
    with sending(postgres_url, receiver):
        eventually(lambda: set(states(table).values()) == {"sent"} and len(states(table)) == 20, 30)
    assert {str(task) for task in tasks} == set(receiver.ids)


def test_two_do_not_send_at_the_same_time(table, story, receiver, postgres_url):
    with sending(postgres_url, receiver), sending(postgres_url, receiver):
        tasks = [ended(story, receiver) for _ in range(20)]
        eventually(lambda: list(states(table).values()) == ["sent"] * 20, 30)
    assert sorted(receiver.ids) == sorted(map(str, tasks))


@pytest.mark.parametrize("statement", [DUE, UNSENT], ids=["due", "unsent"])
def test_what_was_sent_long_ago_costs_nothing(statement, postgres_url):
    values = {"under_way": [], "busy": [], "limit": 16}
    with connect(postgres_url, statement_timeout=0) as connection:
        connection.execute(
            "INSERT INTO atelier_webhooks (task, account, state, ended_at)"
            " SELECT gen_random_uuid(), gen_random_uuid(), 'sent', now()"
            " FROM generate_series(1, 20_000)"
        )
        connection.execute("ANALYZE atelier_webhooks")
        plan = connection.execute(f"EXPLAIN {statement}", values).fetchall()
    assert "Seq Scan" not in str(plan)
