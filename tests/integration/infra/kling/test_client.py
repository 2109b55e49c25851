"""One call each to an engine that is strict about what the provider's pages say."""

import io
import time

import pytest
from PIL import Image

from infra.kling import client
from infra.kling.client import CALLBACK, Barred, Kling, Later, NotFetched, Refused
from infra.kling.tokens import Tokens
from tests.support.kling import ACCESS, SECRET, STATUS, remote_engine


@pytest.fixture(scope="module")
def engine():
    with remote_engine() as started:
        yield started


@pytest.fixture
def remote(engine):
    """The engine as new."""
    engine.__init__(int(engine.url.rpartition(":")[2]))
    return engine


def picture(size=(300, 400)):
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_is_submitted_looked_after_and_fetched(remote):
    kling = remote.client("some-model")
    task = kling.submit(picture(), "a drawing")
    (kept,) = remote.tasks.values()
    body = kept.body
    assert (body.model_name, body.prompt, body.image_fidelity) == ("some-model", "a drawing", 1.0)
    assert (body.resolution, body.n, body.aspect_ratio) == ("1k", 1, "3:4")
    assert kling.look(task).status == "processing"
    made = kling.look(task)
    assert made.status == "succeed"
    assert Image.open(io.BytesIO(kling.fetch(made.url))).size == (300, 400)


def test_it_says_where_it_wants_to_be_told(remote):
    remote.client(told_at="https://api.example.org/v1").submit(picture(), "a drawing")
    remote.client().submit(picture(), "a drawing")
    urls = [task.body.callback_url for task in remote.tasks.values()]
    assert urls == ["https://api.example.org/v1/kling/callback", ""]


def test_it_is_told_there_when_a_task_ends(remote):
    with remote_engine() as receiver:
        remote.client(told_at=receiver.url).submit(picture(), "a drawing")
        remote.end(*remote.unfinished())
        assert [(call.method, call.path) for call in receiver.calls] == [("POST", CALLBACK)]


def test_the_provider_chooses_the_model_when_none_is_named(remote):
    remote.client().submit(picture(), "a drawing")
    assert [task.body.model_name for task in remote.tasks.values()] == ["a-model"]


@pytest.mark.parametrize("code", [1302, 1303, 5000, 5001, 5002, 1202, 9999])
def test_some_codes_are_worth_another_try(remote, code, monkeypatch):
    monkeypatch.setitem(STATUS, 9999, 429)
    remote.wrong = [code]
    with pytest.raises(Later, match=str(code)):
        remote.client().submit(picture(), "a drawing")
    assert remote.codes == [code]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1100, 1101, 1102, 1103, 1304])
def test_some_codes_are_about_the_account(remote, code):
    remote.wrong = [code]
    with pytest.raises(Barred, match=str(code)):
        remote.client().submit(picture(), "a drawing")
    assert remote.codes == [code]


@pytest.mark.parametrize("code", [1200, 1201, 1203, 1300, 1301])
def test_some_codes_are_final(remote, code):
    remote.wrong = [code]
    with pytest.raises(Refused, match=r"^the engine"):
        remote.client().submit(picture(), "a drawing")
    assert remote.codes == [code]


@pytest.mark.parametrize("code", [1003, 1004])
def test_a_token_that_is_not_taken_is_replaced_once(remote, code):
    tokens = Tokens(ACCESS, SECRET, Ticking())
    kling = Kling(remote.url, tokens)
    remote.wrong = [code]
    kling.submit(picture(), "a drawing")
    assert remote.codes == [code, 0]
    assert remote.calls[0].token != remote.calls[1].token
    remote.wrong = [code, code]
    with pytest.raises(Barred):
        kling.submit(picture(), "a drawing")
    assert remote.codes[2:] == [code, code]


class Ticking:
    """A clock of which no two tokens are alike."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        self.now -= 1  # and so never beyond the engine's
        return self.now


def test_wrong_keys_are_about_the_account(remote):
    for tokens in (Tokens("nobody", SECRET), Tokens(ACCESS, SECRET[::-1])):
        with pytest.raises(Barred, match="1002"):
            Kling(remote.url, tokens).submit(picture(), "a drawing")


def test_what_does_not_answer_as_the_engine_is_tried_again(remote):
    remote.page = True
    with pytest.raises(Later, match="502"):
        remote.client().submit(picture(), "a drawing")
    with pytest.raises(Later, match="no answer"):
        Kling("http://127.0.0.1:9", Tokens(ACCESS, SECRET)).submit(picture(), "a drawing")


def test_a_picture_that_the_engine_cannot_use_is_refused_by_it(remote):
    with pytest.raises(Refused):
        remote.client().submit(picture((299, 400)), "a drawing")
    assert remote.codes == [1201]


def test_results_come_by_https_and_within_bounds(remote, monkeypatch):
    https = Kling("https://kling.example.org", Tokens(ACCESS, SECRET))
    for url in ("http://example.org/a", "file:///etc/passwd", "ftp://example.org/a"):
        with pytest.raises(NotFetched, match="https"):
            https.fetch(url)
    kling = remote.client()
    remote.client().submit(picture(), "a drawing")
    (task,) = remote.tasks.values()
    remote.end(task)
    monkeypatch.setattr(client, "MOST_OF_A_PICTURE", len(task.result) - 1)
    with pytest.raises(NotFetched, match="large"):
        kling.fetch(f"{remote.url}/results/{task.task_id}")
    with pytest.raises(Later, match="403"):
        kling.fetch(f"{remote.url}/results/none")
