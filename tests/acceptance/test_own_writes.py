"""People read back what they have written, through another api, while generations come and go."""

import asyncio
import os
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.cli.main import _imported, _parser
from api.cli.table import COMMANDS
from infra.embedded.server import free_port
from infra.log.event_store import EventStore, store_for_a_while
from infra.postgres import connect
from infra.process.processes import Lifeline
from infra.settings import Settings
from projections import PROJECTIONS, generations
from projections import main as projector
from tests.support.scenario import completed, enveloped, eventually, source, started, thumbnail

CLIENTS = 32
LOAD_S = 15.0
TRIES = 5

pytestmark = pytest.mark.anywhere


@pytest.fixture
def environ(postgres_url: str, tmp_path: Path) -> dict[str, str]:
    """Kafka and the media store are away: what is asked here needs neither."""
    key = "a" * 43 + "="
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "ATELIER_DATA": str(tmp_path / "data"),
        "ATELIER_POSTGRES_URL": postgres_url,
        "ATELIER_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "ATELIER_S3_URL": "http://127.0.0.1:1",
        "ATELIER_S3_ACCESS_KEY": "key",
        "ATELIER_S3_SECRET_KEY": "secret",
        **{f"ATELIER_{name}_KEY": key for name in ("MASTER", "HASH", "JWT")},
        **{f"ATELIER_{name}_LIMIT": "1000000" for name in ("LOGIN", "REGISTER")},
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return Settings.load(environ)


@pytest.fixture
def apis(environ: dict[str, str], settings: Settings, tmp_path: Path) -> Iterator[list[str]]:
    """The addresses of two apis, beside two projectors that divide the read models."""
    projector.migrate(settings)
    lifeline, ports = Lifeline(), [free_port(), free_port()]
    started = []
    with ExitStack() as stack:
        stack.callback(lifeline.close)
        output = stack.enter_context((tmp_path / "output.log").open("ab"))
        own = [{"ATELIER_PORT": str(port)} for port in ports]
        for words, more in (*(("api", each) for each in own), *[("projector", {})] * 2):
            command = [sys.executable, "-m", "api", words]
            started.append(lifeline.spawn(command, environ=environ | more, output=output))
        addresses = [f"http://127.0.0.1:{port}" for port in ports]
        eventually(lambda: all(_lives(each) for each in addresses), seconds=60)
        yield addresses
        for process in started:
            process.terminate()
            process.wait()


def _lives(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/live").status_code == 200
    except httpx.TransportError:
        return False


class Switching(threading.Thread):
    """An operator who rebuilds, rolls back and drops one read model after the other."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            for projection in PROJECTIONS:
                # Whoever leaves is gone from a new generation before the old one has heard of it.
                self._order("rebuild", projection.name, "--accept")
                for _ in range(4):
                    self._order("rollback", projection.name)
                self._drop_all_but_one(projection.name)

    def _drop_all_but_one(self, model: str) -> None:
        with connect(self._settings.postgres_url) as connection:
            found = generations.generations(connection, [model])
        for each in found:
            if not each.live:
                self._order("drop", model, str(each.generation))

    def _order(self, *words: str) -> None:
        given = _parser().parse_args(["projections", *words])
        try:
            _imported(COMMANDS[given.name].entry)(self._settings, given)
        except Exception as error:
            self.failed.append(f"{' '.join(words)}: {error!r}")
        else:
            self.done[words[0]] += 1


class Somebody:
    """Asks two apis by turns, so that each reads what the other has written."""

    def __init__(
        self, apis: list[httpx.AsyncClient], store: EventStore, seen: Counter[str]
    ) -> None:
        self._apis = apis
        self._store = store
        self._seen = seen
        self._headers: dict[str, str] = {}

    async def lives(self, number: int) -> None:
        """Register, change, order, remove, cancel and leave, and read everything back at once."""
        name, email = f"Person {number}", f"{secrets.token_hex(8)}@example.com"
        info = {"date_of_birth": 631152000, "ethnicity": "", "gender": "Female"}
        told = {"email": email, "full_name": name, **info}
        self._headers = {}
        await self._write("POST", "/register", told)
        token = await self._write("POST", "/login", {"email": email})
        self._headers = {"Authorization": f"Bearer {token['token']}"}
        assert await self._read("/get_user_info") == told
        for n in range(3):
            told["full_name"] = f"{name}, {n}"
            await self._write("POST", "/update_user_info", {"full_name": told["full_name"]})
            assert await self._read("/get_user_info") == told

        task = (await self._write("POST", "/generate", {}))["task_id"]
        assert await self._status(task) == "PENDING"
        await asyncio.to_thread(self._complete, task)
        assert await self._gallery() == [task]
        assert await self._status(task) == "SUCCESS"
        await self._write("DELETE", f"/remove_gallery_file/{task}.jpg")
        assert await self._gallery() == []

        other = (await self._write("POST", "/generate", {}))["task_id"]
        listed = (await self._read("/get_tasks"))["tasks"]
        assert [each["taskid"] for each in listed] == [other, task]
        await self._write("DELETE", f"/generate/{other}")
        assert await self._status(other) == "FAILED"

        await self._write("DELETE", "/account")
        await self._ask("GET", "/get_user_info", None, 401)

    async def _status(self, task: str) -> str:
        return str((await self._read(f"/generate/{task}"))["status"])

    async def _gallery(self) -> list[str]:
        files = (await self._read("/get_gallery"))["gallery_urls"]
        return [each["task_id"] for each in files]

    def _complete(self, task: str) -> None:
        """As a render consumer does."""
        aggregate = UUID(task)
        account = self._store.load(aggregate)[0].account
        files = source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg")
        happens = enumerate((started(), completed(files=files)), start=2)
        self._store.append(
            [enveloped(event, aggregate, n, account=account) for n, event in happens]
        )

    async def _write(self, method: str, path: str, body: Any = None) -> Any:
        return await self._ask(method, path, body, 200)

    async def _read(self, path: str) -> Any:
        self._seen["reads"] += 1
        return await self._ask("GET", path, None, 200)

    async def _ask(self, method: str, path: str, body: Any, status: int) -> Any:
        self._apis = self._apis[::-1]
        for _ in range(TRIES):
            answer = await self._apis[0].request(method, path, json=body, headers=self._headers)
            if answer.status_code != 503:
                break
            assert answer.json()["code"] == "read_model_behind"
            self._seen["behind"] += 1
            await asyncio.sleep(1)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


async def crowd(apis: list[str], store: EventStore, until: float) -> Counter[str]:
    """Everybody's lives, one after the other for each client; gives what was seen."""
    seen: Counter[str] = Counter()

    async def client(number: int) -> None:
        while time.monotonic() < until:
            await Somebody(clients, store, seen).lives(number)

    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=api, timeout=30))
            for api in apis
        ]
        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return seen


def test_nobody_reads_a_stale_answer_while_generations_are_rebuilt_switched_and_dropped(
    apis: list[str], settings: Settings
) -> None:
    operator = Switching(settings)
    with store_for_a_while(settings.postgres_url, settings.master_key, settings.hash_key) as store:
        operator.start()
        try:
            seen = asyncio.run(crowd(apis, store, time.monotonic() + LOAD_S))
        finally:
            operator.over.set()
            operator.join()
    assert not operator.failed
    assert min(operator.done[what] for what in ("rebuild", "rollback", "drop")) >= len(PROJECTIONS)
    assert seen["reads"] >= 10 * CLIENTS
    assert seen["behind"] <= seen["reads"] / 50  # it is refused rather than stale, and seldom
