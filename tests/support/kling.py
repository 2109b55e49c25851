"""A stand-in for the remote engine, held to what the provider's pages say: a real HTTP server."""

import base64
import contextlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from uuid import uuid4

import jwt
import msgspec
import urllib3
from PIL import Image, ImageOps

from infra.kling.client import Kling
from infra.kling.tokens import Tokens

ACCESS, SECRET = "an-access-key", "a-secret-key-of-more-than-32-bytes"
ENDPOINT = "/v1/images/generations"
RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
# HTTP status by code.
STATUS = {
    0: 200,
    **dict.fromkeys((1000, 1001, 1002, 1003, 1004), 401),
    **dict.fromkeys((1100, 1101, 1102, 1302, 1303, 1304), 429),
    1103: 403,
    **dict.fromkeys((1200, 1201, 1300, 1301), 400),
    **dict.fromkeys((1202, 1203), 404),
    5000: 500,
    5001: 503,
    5002: 504,
}


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """What image generation takes."""

    prompt: str
    model_name: str = "a-model"
    negative_prompt: str = ""
    image: str = ""
    image_fidelity: float = 0.5
    resolution: str = "1k"
    n: int = 1
    aspect_ratio: str = "16:9"
    callback_url: str = ""


class Wrong(Exception):
    """A request that is answered with an error of the provider's."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class Call(NamedTuple):
    """A request that came in, and the code that it was answered with."""

    method: str
    path: str
    token: str
    code: int


class Task(msgspec.Struct):
    """One task of the engine's."""

    task_id: str
    body: Body
    created_at: int
    status: str = "submitted"
    message: str = ""
    result: bytes = b""

    def shown(self, origin: str) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "task_id": self.task_id,
            "task_status": self.status,
            "task_status_msg": self.message,
            "task_info": {"external_task_id": ""},
            "created_at": self.created_at,
            "updated_at": int(1_000 * time.time()),
        }
        if self.status == "succeed":
            url = f"{origin}/results/{self.task_id}"
            shown["task_result"] = {"images": [{"index": 0, "url": url}]}
        return shown


class RemoteEngine:
    """Keeps its tasks; tests say how it draws, when it ends, and what goes wrong."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.origin = self.url  # of the results
        self.calls: list[Call] = []
        self.tasks: dict[str, Task] = {}
        self.pack = 3
        self.slow = False  # tasks then end when a test says so
        self.wrong: list[int] = []  # codes that the next calls are answered with
        self.page = False  # answers as a gateway that finds nobody
        self.draw: Callable[[Image.Image], Image.Image] = lambda guide: ImageOps.posterize(guide, 4)
        self.created: Callable[[Task], object] = lambda task: None  # before it is answered
        self.lock = threading.Lock()

    def client(self, model: str = "", told_at: str = "") -> Kling:
        """A client of ours that has the right keys."""
        return Kling(self.url, Tokens(ACCESS, SECRET), model, told_at)

    @property
    def codes(self) -> list[int]:
        return [call.code for call in self.calls]

    def unfinished(self) -> list[Task]:
        return [each for each in self.tasks.values() if each.status not in ("succeed", "failed")]

    def end(self, task: Task, failure: str = "") -> None:
        """Have a task end, well unless a failure is told."""
        if failure:
            task.status, task.message = "failed", failure
        else:
            self._draw(task)
        if task.body.callback_url:
            told = task.shown(self.origin)  # flat, and signed by nobody
            urllib3.request("POST", task.body.callback_url, json=told, timeout=5)

    def _draw(self, task: Task) -> None:
        buffer = io.BytesIO()
        self.draw(_picture(task.body.image)).save(buffer, "PNG")
        task.status, task.result = "succeed", buffer.getvalue()

    def answer(self, method: str, path: str, token: str, body: bytes) -> Any:
        """What a call is answered; raises `Wrong`."""
        _check_token(token)
        if self.wrong and (code := self.wrong.pop(0)):
            raise Wrong(code)
        if path.partition("?")[0] == ENDPOINT and method == "GET":
            return [each.shown(self.origin) for each in self.tasks.values()]
        if path == ENDPOINT and method == "POST":
            return self._created(body).shown(self.origin)
        if path.startswith(f"{ENDPOINT}/") and method == "GET":
            return self._looked_up(path.rpartition("/")[2]).shown(self.origin)
        raise Wrong(1202)

    def _created(self, body: bytes) -> Task:
        try:
            asked = msgspec.json.decode(body, type=Body)
        except msgspec.MsgspecError:
            raise Wrong(1200) from None
        _check(asked)
        if len(self.unfinished()) >= self.pack:
            raise Wrong(1303)
        task = Task(task_id=str(uuid4()), body=asked, created_at=int(1_000 * time.time()))
        self.tasks[task.task_id] = task
        self.created(task)
        return task

    def _looked_up(self, task_id: str) -> Task:
        if (task := self.tasks.get(task_id)) is None:
            raise Wrong(1203)
        if not self.slow and task.status == "processing":
            self.end(task)
        elif task.status == "submitted":
            task.status = "processing"
        return task


def _check_token(token: str) -> None:
    if not token:
        raise Wrong(1001)
    try:
        if jwt.get_unverified_header(token) != {"alg": "HS256", "typ": "JWT"}:
            raise Wrong(1002)
        options: Any = {"require": ["iss", "exp", "nbf"]}
        claims = jwt.decode(token, SECRET, ["HS256"], issuer=ACCESS, options=options)
    except jwt.ImmatureSignatureError:
        raise Wrong(1003) from None
    except jwt.ExpiredSignatureError:
        raise Wrong(1004) from None
    except jwt.PyJWTError:
        raise Wrong(1002) from None
    if claims.keys() != {"iss", "exp", "nbf"} or claims["exp"] - claims["nbf"] != 1_805:
        raise Wrong(1002)


def _check(asked: Body) -> None:
    allowed = (
        0 < len(asked.prompt) <= 2_500,
        not (asked.image and asked.negative_prompt),
        0 <= asked.image_fidelity <= 1,
        asked.resolution in ("1k", "2k"),
        1 <= asked.n <= 9,
        asked.aspect_ratio in RATIOS,
    )
    picture = _picture(asked.image)
    if not all(allowed) or min(picture.size) < 300 or max(picture.size) > 2.5 * min(picture.size):
        raise Wrong(1201)


def _picture(image: str) -> Image.Image:
    try:  # raw base64: what begins with `data:` is none
        data = base64.b64decode(image, validate=True)
        if len(data) > 10_000_000:
            raise Wrong(1201)
        return Image.open(io.BytesIO(data), formats=("PNG", "JPEG")).convert("RGB")
    except (ValueError, OSError):
        raise Wrong(1201) from None


@contextmanager
def remote_engine() -> Iterator[RemoteEngine]:
    """An engine at a loopback address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.engine = RemoteEngine(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    engine: RemoteEngine


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/results/"):
            self._result()
        else:
            self._call(b"")

    def do_POST(self) -> None:
        self._call(self.rfile.read(int(self.headers["Content-Length"])))

    def _call(self, body: bytes) -> None:
        assert isinstance(self.server, _Server)
        engine = self.server.engine
        if engine.page:
            self._say(502, b"<html>Bad Gateway</html>", "text/html")
            return
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        told: dict[str, Any] = {"code": 0, "message": "SUCCEED", "request_id": str(uuid4())}
        with engine.lock:
            try:
                told["data"] = engine.answer(self.command, self.path, token, body)
            except Wrong as error:
                told |= {"code": error.code, "message": "in words"}
            engine.calls.append(Call(self.command, self.path, token, told["code"]))
        self._say(STATUS[told["code"]], json.dumps(told).encode(), "application/json")

    def _result(self) -> None:
        assert isinstance(self.server, _Server)
        task = self.server.engine.tasks.get(self.path.rpartition("/")[2])
        if task is None or "Authorization" in self.headers:
            self._say(403, b"", "text/plain")
        else:
            self._say(200, task.result, "image/png")

    def _say(self, status: int, body: bytes, content_type: str) -> None:
        with contextlib.suppress(OSError):  # who has asked may be dead
            self._sent(status, body, content_type)

    def _sent(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""
