"""What people open, in a real browser: Debian's Chromium, without any other host."""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import pytest
from playwright.sync_api import Page, Response, sync_playwright

from tests.support.atelier import Atelier, Person

CHROMIUM: Final = shutil.which("chromium")
QUIET: Final = (  # else it looks for Google's hosts
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
CASES: Final = Path(__file__).parents[1] / "cases"
API_BY_EXAMPLE: Final = Path(__file__).parents[2] / "docs" / "api.md"

pytestmark = [
    pytest.mark.anywhere,
    pytest.mark.skipif(
        CHROMIUM is None and "CI" not in os.environ,
        reason="needs Chromium: apt-get install chromium",
    ),
]


class Opened(NamedTuple):
    """A page, what its console said, and the hosts that it asked."""

    page: Page
    console: list[str]
    hosts: set[str]


@pytest.fixture
def opened(client: httpx.Client) -> Iterator[Opened]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = chromium.new_page(base_url=str(client.base_url))
        console: list[str] = []
        hosts: set[str] = set()
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        yield Opened(page, console, hosts)
        chromium.close()


def test_the_first_page_says_what_this_is_and_leads_to_the_api(opened: Opened) -> None:
    opened.page.goto("/")
    assert "digital doubles" in opened.page.inner_text("body")

    opened.page.click("text=to read and to try")
    opened.page.wait_for_selector(".opblock")

    assert opened.console == []
    assert len(opened.hosts) == 1


class Answer(NamedTuple):
    """What the page shows of an answer."""

    status: str
    body: str


class SwaggerUI:
    """The API's page, as a person uses it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.goto("/schema")
        page.wait_for_selector(".opblock")

    def authorize(self, token: str) -> None:
        self._page.click(".auth-wrapper .authorize")
        self._page.fill("#auth-bearer-value", token)
        self._page.locator("form:has(#auth-bearer-value) .authorize").click()
        self._page.click(".dialog-ux .btn-done")

    def send(self, name: str, *, file: Path | None = None, **parameters: str) -> Answer:
        """Open a request, fill in what it needs beside its example, send it, and close it again."""
        block = self._page.locator(f".opblock[id$='-{name}']")
        block.locator(".opblock-summary-control").click()
        if file is not None:
            block.locator("input[type=file]").set_input_files(file)
        for parameter, value in parameters.items():
            block.locator(f"tr[data-param-name={parameter}] input").fill(value)
        block.locator(".execute").click()
        shown = block.locator(".live-responses-table tbody")
        status = shown.locator(".response-col_status").first.inner_text().split()[0]
        body = shown.locator("code").first.inner_text()
        block.locator(".opblock-summary-control").click()
        return Answer(status, body)


def test_every_request_can_be_tried_with_its_example(opened: Opened, client: httpx.Client) -> None:
    ui = SwaggerUI(opened.page)
    sent = {name: ui.send(name) for name in ("register", "login")}
    ui.authorize(json.loads(sent["login"].body)["token"])
    sent["upload_avatar"] = ui.send("upload_avatar", file=CASES / "grey16.png")
    sent["upload_clothes"] = ui.send("upload_clothes", file=CASES / "strict.xlsx")
    for name in ("generate", "generate_video"):
        sent[name] = ui.send(name)
    picture, video = (json.loads(sent[n].body)["task_id"] for n in ("generate", "generate_video"))
    sent["cancel_task"] = ui.send("cancel_task", task_id=video)  # it would take a minute
    for name in ("give_stream_token", "get_task", "task_events"):
        sent[name] = ui.send(name, task_id=picture)
    sent["remove_gallery_file"] = ui.send("remove_gallery_file", file_name="none.jpg")
    for name in operations(client) - sent.keys() - {"erase_account"}:
        sent[name] = ui.send(name)
    sent["erase_account"] = ui.send("erase_account")

    refused = {name: each.status for name, each in sent.items() if each.status[0] != "2"}
    # What their examples name a new account does not have.
    absent = ("upscale", "image_to_video", "remove_gallery_file", "get_clothes")
    assert refused == dict.fromkeys(absent, "404")
    assert [said for said in opened.console if " 40" not in said] == []
    assert len(opened.hosts) == 1


def operations(client: httpx.Client) -> set[str]:
    paths = client.get("/schema/openapi.json").json()["paths"]
    return {operation["operationId"] for item in paths.values() for operation in item.values()}


@contextmanager
def served(page: str, port: int) -> Iterator[str]:
    """The page, at the address that is given."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", port), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{port}/"
        server.shutdown()


def test_the_documented_page_follows_a_task_from_another_origin(
    opened: Opened, atelier: Atelier, client: httpx.Client
) -> None:
    [example] = re.findall(r"```html\n(.*?)```", API_BY_EXAMPLE.read_text(), re.S)
    ada = Person(client)
    here = str(client.base_url).rstrip("/")
    example = example.replace("http://127.0.0.1:8000", here).replace("ada@example.com", ada.email)
    answers: list[Response] = []
    opened.page.on("response", lambda answer: answers.append(answer))

    with (
        served(example, atelier.shop_port) as address,
        # The browser comes again by itself, and is told that the task has ended.
        opened.page.expect_response(lambda answer: answer.status == 204, timeout=90_000),
    ):
        opened.page.goto(address)

    told = opened.page.locator("li").all_inner_texts()
    assert told == ["PENDING", "STARTED", "SUCCESS"][-len(told) :]  # the first: where it stands
    streams = [answer for answer in answers if "/events?stream_token=" in answer.url]
    assert [answer.status for answer in streams] == [200, 204]
    assert ["last-event-id" in answer.request.all_headers() for answer in streams] == [False, True]
    assert opened.console == []
