"""`atelier demo`: the contract's own example, from the post to the picture."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console

from domain.errors import AtelierError
from infra.process.locks import is_locked
from infra.process.processes import Lifeline
from infra.process.progress import Progress
from infra.settings import LOCK_FILE, STEP_FILE, Settings

ANSWER_S: Final = 10.0
LOOK_AGAIN_S: Final = 0.08
START_S: Final = 900.0  # the first start prepares the body model
PICTURE_S: Final = 300.0
STOP_S: Final = 15.0
CONSUMER_READY: Final = "render-consumer.ready"  # `atelier up` keeps it in its data directory
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - told apart, not bound to

console: Final = Console(highlight=False)


class DemoFailed(AtelierError):
    """The demo did not come to its picture."""

    code = "demo_failed"


def run(settings: Settings) -> None:
    """Play the demo on the Atelier that answers, or on one that is started for it."""
    with httpx.Client(base_url=_address(settings), timeout=ANSWER_S, trust_env=False) as http:
        if is_locked(settings.data / LOCK_FILE):
            _wait_for_other(http, settings.data)
            _play(http, settings.data)
        elif _answers(http):
            _play(http, settings.data)
        else:
            with _started(http, settings.data):
                _play(http, settings.data)


def example() -> bytes:
    """The body of `/generate` as the clients' contract has it."""
    return (resources.files("api.cli") / "demo_request.json").read_bytes()


def _play(http: httpx.Client, data: Path) -> None:
    try:
        _log_in(http)
        began = time.monotonic()
        file = _picture(http, began)
        elapsed = time.monotonic() - began
        path = _download(file, data)
    except httpx.HTTPError as error:
        raise DemoFailed(f"{http.base_url} does not answer as it should: {error}") from error
    console.print(f"The picture took {elapsed:.1f} s.", style="bold green")
    # Plain lines, whole on one line each, so that they can be copied and opened.
    console.print(f"Picture: {path}", soft_wrap=True, markup=False)
    console.print(f"URL:     {file['url']}", soft_wrap=True, markup=False)


def _log_in(http: httpx.Client) -> None:
    email = f"demo-{secrets.token_hex(4)}@example.com"
    person = {
        "email": email,
        "full_name": "Demo Person",
        "date_of_birth": 820_454_400,
        "ethnicity": "",
        "gender": "Female",
    }
    _answered(http.post("/register", json=person))
    token = _answered(http.post("/login", json={"email": email}))["token"]
    http.headers["Authorization"] = f"Bearer {token}"
    console.print(f"Registered {email} and logged in.")


def _picture(http: httpx.Client, began: float) -> dict[str, Any]:
    """Order the picture and show where it stands until it is there."""
    json = {"Content-Type": "application/json"}
    task = _answered(http.post("/generate", content=example(), headers=json))["task_id"]
    console.print(f"Asked for a picture: task {task}.")
    shown = ""
    with console.status("") as status:
        while (state := _state(http, task))["status"] not in ("SUCCESS", "FAILED"):
            seconds = time.monotonic() - began
            if (words := _words(state)) != shown:
                console.print(f"{seconds:5.1f} s  {words}")
                status.update(shown := words)
            if seconds > PICTURE_S:
                raise DemoFailed(f"task {task} is not done after {PICTURE_S:.0f} s: {words}")
            time.sleep(LOOK_AGAIN_S)
    if state["status"] == "FAILED":
        raise DemoFailed(f"task {task} failed: {state['error']['message']}")
    console.print(f"{time.monotonic() - began:5.1f} s  SUCCESS")
    file: dict[str, Any] = state["files"][0]
    return file


def _state(http: httpx.Client, task: str) -> dict[str, Any]:
    while (answer := http.get(f"/generate/{task}")).status_code == httpx.codes.SERVICE_UNAVAILABLE:
        time.sleep(float(answer.headers.get("Retry-After", 1)))
    return _answered(answer)


def _words(state: dict[str, Any]) -> str:
    if state["status"] == "PENDING":
        return f"PENDING  position {state['position']} in the {state['type']} queue"
    return f"{state['status']}  being rendered"


def _answered(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != httpx.codes.OK:
        raise DemoFailed(f"{answer.request.url.path} answers {answer.status_code}: {answer.text}")
    body: dict[str, Any] = answer.json()
    return body


def _download(file: dict[str, Any], data: Path) -> Path:
    # The store is another server: our token is none of its business.
    picture = httpx.get(file["url"], timeout=ANSWER_S, trust_env=False)
    folder = (data / "demo").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / str(file["name"])
    path.write_bytes(picture.raise_for_status().content)
    return path


@contextmanager
def _started(http: httpx.Client, data: Path) -> Iterator[None]:
    console.print(f"No Atelier answers at {http.base_url}, so the demo starts one.")
    command = [sys.executable, "-m", "api", "up"]
    lifeline = Lifeline()
    # It needs the whole environment, as if it had been started by hand.
    environ = os.environ  # noqa: TID251
    up = lifeline.spawn(command, environ=environ, output=sys.stderr.fileno())
    try:
        _wait_until_ready(http, data, lambda: up.poll() is None)
        yield
    finally:
        console.print("Stopping the Atelier that the demo started.")
        _stop(up)
        lifeline.close()


def _wait_for_other(http: httpx.Client, data: Path) -> None:
    """Wait for the Atelier that somebody else starts, and tell what it is at."""
    with Progress() as progress:

        def alive() -> bool:
            with contextlib.suppress(OSError):  # it has just begun, or has just become ready
                step = (data / STEP_FILE).read_text()
                progress.step(f"Waiting for the Atelier that starts in {data}. {step}")
            return is_locked(data / LOCK_FILE)

        _wait_until_ready(http, data, alive)


def _wait_until_ready(http: httpx.Client, data: Path, alive: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not (_answers(http) and (data / CONSUMER_READY).exists()):
        if not alive():
            raise DemoFailed("Atelier did not start; its own message says why")
        if time.monotonic() > deadline:
            raise DemoFailed(f"Atelier was not ready after {START_S:.0f} s")
        time.sleep(LOOK_AGAIN_S)


def _stop(up: subprocess.Popen[bytes]) -> None:
    up.send_signal(signal.SIGTERM)
    try:
        up.wait(STOP_S)
    except subprocess.TimeoutExpired:
        up.kill()
        up.wait()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health/ready").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _address(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in EVERYWHERE else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
