"""`atelier webhooks`: what is told of ended tasks, and telling it again."""

import argparse
import sys
from typing import Final
from uuid import UUID

import msgspec
from rich.console import Console
from rich.table import Table

from domain.errors import NotFound
from infra.analysis.arguments import BadArgument
from infra.postgres import open_pool
from infra.settings import Settings
from infra.webhooks.deliveries import Deliveries, Delivery
from infra.wording import counted

STATES: Final = {"pending": "to be sent", "sent": "sent", "given_up": "given up"}


def show(settings: Settings, arguments: argparse.Namespace) -> None:
    """List the newest."""
    settings.require("postgres_url")
    with open_pool(settings.postgres_url, 1) as pool:
        found = Deliveries(pool).newest(arguments.newest, arguments.state)
    if arguments.json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    elif found:
        Console().print(_table(found), highlight=False)
    else:
        print("There are none.")


def retry(settings: Settings, arguments: argparse.Namespace) -> None:
    """Have some sent again; raises `NotFound` for tasks without a webhook, or that run still."""
    settings.require("postgres_url")
    tasks = {_as_uuid(each) for each in arguments.tasks}
    if not tasks and not arguments.given_up:
        raise BadArgument("name tasks, or give --given-up")
    with open_pool(settings.postgres_url, 1) as pool:
        again = Deliveries(pool).retry(tasks, given_up=arguments.given_up)
    print(f"To be sent again: {counted(len(again), 'webhook')}.")
    if missing := tasks - set(again):
        raise NotFound("no webhook is to be told of " + ", ".join(map(str, sorted(missing))))


def _table(found: list[Delivery]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("task", "ended (UTC)", "state", "attempts", "next", "last attempt"):
        table.add_column(column, overflow="fold", no_wrap=column == "task")
    for each in found:
        table.add_row(
            str(each.task),
            f"{each.ended_at:%Y-%m-%d %H:%M:%S}",
            STATES[each.state],
            str(each.attempts),
            f"{each.next_at:%H:%M:%S}" if each.state == "pending" else "",
            f"answered {each.status}" if each.status else each.error,
        )
    return table


def _as_uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise BadArgument(f"{text} is no task's id") from error
