"""Calls to the engine: one attempt each, and its error codes as errors of ours."""

import base64
import contextlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
import urllib3

from infra.kling.tokens import Tokens

# The one for pictures that are guided by a picture; docs/why.md says why not virtual try-on.
ENDPOINT: Final = "/v1/images/generations"
CALLBACK: Final = "/kling/callback"  # of our API
ASPECT: Final = "3:4"  # of our own pictures
TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=15.0)
MOST_OF_AN_ANSWER: Final = 1_000_000  # bytes
MOST_OF_A_PICTURE: Final = 30_000_000  # bytes
CHUNK: Final = 65_536  # bytes

TOKEN_REFUSED: Final = (1003, 1004)  # not valid yet, expired
BARRED: Final = (1000, 1001, 1002, *TOKEN_REFUSED, 1100, 1101, 1102, 1103, 1304)
# Why no further try would end in another way, as the client is told.
REFUSALS: Final = {
    1200: "the engine does not accept this request",
    1201: "the engine does not accept what is asked for",
    1203: "the engine does not know what is asked for",
    1300: "the engine's rules do not allow this picture",
    1301: "the engine's rules for content do not allow this picture",
}


class KlingError(Exception):
    """Why a call gave nothing."""


class Later(KlingError):
    """The engine cannot be reached or is busy: another try may do better."""


class Barred(KlingError):
    """The engine takes nothing of ours until somebody has seen to the account with it."""


class Refused(KlingError):
    """The engine will never make this picture; the message is for the client."""


class NotFetched(KlingError):
    """A result that we do not take: its address, or its size, is not what it should be."""


class RemoteTask(NamedTuple):
    """How a remote task stands; ``url`` is where its picture lies."""

    status: str
    message: str = ""
    url: str = ""


class _Picture(msgspec.Struct):
    url: str


class _Pictures(msgspec.Struct):
    images: list[_Picture] = []


class _Data(msgspec.Struct):
    task_id: str = ""
    task_status: str = ""
    task_status_msg: str = ""
    task_result: _Pictures | None = None


class _Answer(msgspec.Struct):
    code: int
    message: str = ""
    data: _Data | None = None


class Kling:
    """One account with the engine; every call raises `Later`, `Barred` or `Refused`."""

    def __init__(self, url: str, tokens: Tokens, model: str = "", told_at: str = "") -> None:
        """`told_at` is where the engine reaches our API; without it we look by ourselves."""
        self._url = url
        self._tokens = tokens
        self._model = {"model_name": model} if model else {}
        self._callback = {"callback_url": told_at + CALLBACK} if told_at else {}
        self._http = urllib3.PoolManager(timeout=TIMEOUT, retries=False, maxsize=4)

    def submit(self, guide: bytes, prompt: str) -> str:
        """Have a picture redrawn by a prompt, and give the remote task's id."""
        body = {
            **self._model,
            **self._callback,
            "prompt": prompt,
            "image": base64.b64encode(guide).decode(),
            "image_fidelity": 1.0,
            "resolution": "1k",
            "n": 1,
            "aspect_ratio": ASPECT,
        }
        if task := self._called("POST", ENDPOINT, msgspec.json.encode(body)).task_id:
            return task
        raise Later("the engine's answer names no task")

    def look(self, remote_id: str) -> RemoteTask:
        """How a remote task stands."""
        data = self._called("GET", f"{ENDPOINT}/{remote_id}")
        images = data.task_result.images if data.task_result else []
        url = images[0].url if images else ""
        return RemoteTask(data.task_status, data.task_status_msg, url)

    def fetch(self, url: str) -> bytes:
        """The bytes of a result, without our token; also raises `NotFetched`."""
        # Only a server of ours speaks plain HTTP, and then its results do too.
        if urlsplit(url).scheme not in ("https", urlsplit(self._url).scheme):
            raise NotFetched("the result's address does not begin with https://")
        with self._answer("GET", url) as response:
            if response.status != 200:
                raise Later(f"the result is answered with {response.status}")
            data = _read(response, MOST_OF_A_PICTURE)
        if data is None:
            raise NotFetched("the result is too large")
        return data

    def _called(self, method: str, path: str, body: bytes | None = None) -> _Data:
        answer = self._asked(method, path, body)
        if answer.code in TOKEN_REFUSED:  # once more with a new one
            self._tokens.forget()
            answer = self._asked(method, path, body)
        if answer.code == 0 and answer.data is not None:
            return answer.data
        raise _error(answer)

    def _asked(self, method: str, path: str, body: bytes | None) -> _Answer:
        headers = {"Authorization": f"Bearer {self._tokens.current()}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        with self._answer(method, self._url + path, body=body, headers=headers) as response:
            data = _read(response, MOST_OF_AN_ANSWER)
        try:
            return msgspec.json.decode(data or b"", type=_Answer)
        except msgspec.MsgspecError as error:  # such as a gateway's page
            raise Later(f"status {response.status} without an answer of the engine's") from error

    @contextlib.contextmanager
    def _answer(self, method: str, url: str, **more: Any) -> Iterator[urllib3.BaseHTTPResponse]:
        try:
            response = self._http.request(
                method, url, redirect=False, preload_content=False, **more
            )
            try:
                yield response
            finally:
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise Later(f"no answer: {type(error).__name__}") from error


def _error(answer: _Answer) -> KlingError:
    """What a code means to us: the status of HTTP alone does not tell."""
    why = f"code {answer.code}"
    if answer.code in REFUSALS:
        return Refused(REFUSALS[answer.code])
    return Barred(why) if answer.code in BARRED else Later(why)


def _read(response: urllib3.BaseHTTPResponse, most: int) -> bytes | None:
    """The whole body; None when there is more."""
    data = bytearray()
    for chunk in response.stream(CHUNK):
        data += chunk
        if len(data) > most:
            return None
    return bytes(data)
