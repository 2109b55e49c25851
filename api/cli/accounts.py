"""`atelier accounts …`: forget people, and let them into the vip lane, from the command line."""

import argparse
import time
from contextlib import closing
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

from api.cli import confirm
from commands import Origin, Outcome, execute
from commands.account import EraseAccount, GrantVip, WithdrawVip
from domain.account import AccountErased
from domain.errors import NotFound
from domain.events import Recorded
from domain.reservations import EMAIL
from infra.analysis import topic
from infra.analysis.selection import Selection
from infra.analysis.topic import Window
from infra.log.event_store import EventStore, store_for_a_while
from infra.log.keys import KeyRing
from infra.postgres import Pool, borrowed, open_pool
from infra.process.progress import Progress
from infra.settings import Settings
from infra.wording import counted

WAIT_S: Final = 10.0  # for those who follow the log; the erasure itself does not hang on them
LOOK_S: Final = 0.1

TASKS: LiteralString = """-- How many tasks has this account asked for?
SELECT count(DISTINCT aggregate_id) FROM atelier_events
 WHERE account = %(account)s AND aggregate_id <> %(account)s"""

BEHIND: LiteralString = """-- What has not followed the log up to a position?
SELECT 'its rows' WHERE EXISTS (
    SELECT FROM atelier_projections WHERE live AND position < %(position)s)
UNION ALL
SELECT 'its files' WHERE EXISTS (
    SELECT FROM atelier_followers WHERE follower = 'media_cleaner' AND position < %(position)s)"""


def erase(settings: Settings, arguments: argparse.Namespace) -> None:
    """Erase one account, after asking; raises `NotFound` for what names none."""
    settings.require("postgres_url", "master_key", "hash_key")
    with closing(open_pool(settings.postgres_url, 1)) as pool:
        store = EventStore(pool, KeyRing(pool, settings.master_key), settings.hash_key)
        account, history = _found(arguments.account, store)
        if not arguments.yes:
            _confirm(account, history, pool)
        by = Origin(actor="operator", correlation_id=uuid4())
        outcome = execute(EraseAccount(aggregate_id=account, account=account), store, by)
        if outcome.events:
            print(f"Erased account {account}: its personal data can no longer be read.")
        else:
            print(f"Account {account} was erased before; nothing has changed.")
        _tell_what_follows(pool, outcome.position)


def erase_again(settings: Settings, arguments: argparse.Namespace) -> None:
    """Erase those whose erasure Kafka holds and the log has lost, after asking."""
    settings.require("postgres_url", "kafka_bootstrap", "master_key", "hash_key")
    with Progress() as progress:
        progress.step("Reading the erasures that Kafka holds")
        erased = _erased_on_kafka(settings)
    url, keys = settings.postgres_url, (settings.master_key, settings.hash_key)
    with store_for_a_while(url, *keys) as store:
        back = [account for account in erased if _lives(account, store)]
        if not back:
            print(f"Kafka holds {counted(len(erased), 'erasure')}, and the log lacks none of them.")
            return
        print(f"Erased once, and back since the log was restored: {counted(len(back), 'account')}")
        for account in back:
            print(f"  {account}")
        if not arguments.yes:
            confirm.by_word(
                "erase",
                ("Erasing them deletes their keys, files and rows. This cannot be undone.",),
                unattended="nobody is there to confirm it: give --yes to erase without asking",
            )
        by = Origin(actor="operator", correlation_id=uuid4())
        for account in back:
            execute(EraseAccount(aggregate_id=account, account=account), store, by)
    print(
        f"Erased {counted(len(back), 'account')} again: what they were can no longer be read. Rows"
        " and files follow as soon as a projector and a render consumer run."
    )


def grant_vip(settings: Settings, arguments: argparse.Namespace) -> None:
    """Let an account use the vip lane; raises `NotFound` for what names none."""
    changed = _carried_out(settings, arguments.account, GrantVip).events
    print("Granted." if changed else "Granted before; nothing has changed.")
    if settings.vip != "granted":
        print("It makes no difference while ATELIER_VIP is not `granted`: all who ask are let in.")


def revoke_vip(settings: Settings, arguments: argparse.Namespace) -> None:
    """Let an account use the vip lane no more; raises `NotFound` for what names none."""
    changed = _carried_out(settings, arguments.account, WithdrawVip).events
    print(
        "Withdrawn: what it asks for from now on is in the normal lane."
        if changed
        else "It was not granted; nothing has changed."
    )


def _carried_out(
    settings: Settings, named: str, command: type[GrantVip] | type[WithdrawVip]
) -> Outcome:
    settings.require("postgres_url", "master_key", "hash_key")
    url, keys = settings.postgres_url, (settings.master_key, settings.hash_key)
    with store_for_a_while(url, *keys) as store:
        account, _ = _found(named, store)
        by = Origin(actor="operator", correlation_id=uuid4())
        return execute(command(aggregate_id=account, account=account), store, by)


def _erased_on_kafka(settings: Settings) -> list[UUID]:
    """Of whichever epoch of the log: the ids of accounts are their own in all of them."""
    erasures = Selection(types=(AccountErased.stored_name,))
    found = topic.read(settings, Window(), erasures)
    return list(dict.fromkeys(event.account for event, _ in found if event.account))


def _lives(account: UUID, store: EventStore) -> bool:
    history = store.load(account)
    erased = any(isinstance(each.event, AccountErased) for each in history)
    return bool(history) and history[0].account == account and not erased


def _found(named: str, store: EventStore) -> tuple[UUID, list[Recorded]]:
    """The account of an id or an email address."""
    account = store.owner_of(EMAIL, store.email_key(named)) if "@" in named else _as_uuid(named)
    history = store.load(account) if account else []
    if account is None or not history or history[0].account != account:
        raise NotFound("no account has this id or email address")
    return account, history


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _confirm(account: UUID, history: list[Recorded], pool: Pool) -> None:
    """Ask, on a terminal; elsewhere only `--yes` says yes."""
    [(tasks,)] = _ask(pool, TASKS, account=account)
    since = history[0].recorded_at.date()
    confirm.by_word(
        "erase",
        (
            f"Account {account}, registered on {since}, has asked for {counted(tasks, 'task')}.",
            "Erasing it deletes its key, its files and its rows. This cannot be undone.",
        ),
        unattended="nobody is there to confirm it: give --yes to erase without asking",
    )


def _tell_what_follows(pool: Pool, position: int) -> None:
    with Progress() as progress:
        progress.step("Waiting until its rows and files are deleted")
        deadline = time.monotonic() + WAIT_S
        while (left := _ask(pool, BEHIND, position=position)) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
    if left:
        print(
            f"Still to be deleted: {' and '.join(what for (what,) in left)}. A projector deletes"
            " rows and a render consumer files, as soon as one runs and its servers answer."
        )
    else:
        print("Its rows and files are deleted.")


def _ask(pool: Pool, query: LiteralString, **values: Any) -> list[tuple[Any, ...]]:
    with borrowed(pool) as connection:
        return connection.execute(query, values).fetchall()
