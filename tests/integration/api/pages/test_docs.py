"""The pages as they are sent; `tests/acceptance/test_pages.py` opens them in a browser."""

import re

import pytest

from tests.integration.api.conftest import Client

LOADED = re.compile(r"""(?:<script[^>]* src|<link[^>]* href)="([^"]+)\"""")


@pytest.mark.parametrize("path", ["/", "/schema", "/schema/docs"])
def test_a_page_runs_and_loads_what_we_serve_and_nothing_else(client: Client, path: str):
    page = client.http.get(path)

    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy)
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]* src)|<style| on\w+=|://", page.text)
    loaded = LOADED.findall(page.text)
    assert loaded
    for asset in loaded:
        answer = client.http.get(asset)
        assert answer.status_code == 200, asset
        assert answer.headers["Content-Type"].startswith(KINDS[asset.rpartition(".")[2]])
        assert answer.headers["Cache-Control"] == "max-age=86400, public"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


KINDS = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


@pytest.mark.parametrize(
    "path", ["/nothing", "/schema/nothing", "/assets/nothing.js", "/assets/../docs.py", "/assets"]
)
def test_what_is_not_there_is_told_in_json(client: Client, path: str):
    answer = client.http.get(path, headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
