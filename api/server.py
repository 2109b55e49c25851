"""The api process: granian with one worker that serves the application."""

import contextlib
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import structlog
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import MPServer
from litestar import Litestar
from litestar.types import ASGIApp

from api import metrics
from api.app import create_app
from api.edge.timing import Timed
from api.services import NEEDED
from domain.errors import AtelierError
from infra.log import fingerprints
from infra.process import logs
from infra.settings import Settings

log = structlog.get_logger("atelier.api")

STOP_S: Final = 5  # for answers that are under way; `atelier up` itself gives less
PORT_S: Final = 3.0  # a worker whose parent was killed holds the port a moment longer
LOOK_AGAIN_S: Final = 0.1
GARBAGE: Final = 20_000  # objects made since the last look for cycles: requests make few
SWITCH_S: Final = 0.0005  # until a busy event loop lets the appender go on

# Granian's own lines go where ours go; it writes no line per request.
LOGGING: Final = {
    "handlers": {},
    "formatters": {},
    "loggers": {"_granian": {"propagate": True}, "granian.access": {"propagate": True}},
}


class PortTaken(AtelierError):
    """The API cannot listen where it should."""

    code = "port_taken"


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises `PortTaken` when the address is not free."""
    settings.require(*NEEDED)
    settings.check_exposure()
    fingerprints.check(settings)
    _wait_for_port(settings.host, settings.port)
    # A pipe: an event of multiprocessing waits for its listener, who may have been killed.
    hears, says = multiprocessing.Pipe(duplex=False)
    server = _Server(
        says,
        "api.server:make",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=LOGGING,
        workers_kill_timeout=STOP_S,
    )
    log.info("listening", host=settings.host, port=settings.port)
    server.serve(target_loader=partial(make, settings, hears), wrap_loader=False)


class _Server(MPServer):
    """Tells its worker that it stops: granian itself waits for every answer that is under way."""

    def __init__(self, says: Connection, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._says = says

    def shutdown(self, exit_code: int = 0) -> None:
        """Stop the worker, then this process."""
        self._says.send("stop")
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]


def make(settings: Settings, stopping: Connection) -> ASGIApp:
    """The application, in granian's worker process."""
    logs.configure("api", settings.log)
    sys.setswitchinterval(SWITCH_S)
    app = create_app(settings)
    for name, watch in (
        ("parent watch", _die_with_parent),
        ("end watch", partial(_end_waits, app, stopping)),
    ):
        threading.Thread(target=watch, name=name, daemon=True).start()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    return Timed(app) if metrics.expose(settings) else app


def _end_waits(app: Litestar, stopping: Connection) -> None:
    """Let nobody be held for up to a minute, or a stream for a quarter of an hour."""
    stopping.recv()
    with contextlib.suppress(AttributeError, RuntimeError):  # it never started, or has ended
        app.state.services.end_waits()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "granian starts its workers as processes"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S)
    os._exit(1)


def _wait_for_port(host: str, port: int) -> None:
    # Granian shares its port with others that allow it: a second server would go unnoticed.
    deadline = time.monotonic() + PORT_S
    while True:
        try:
            return _bind(host, port)
        except OSError as error:
            if time.monotonic() > deadline:
                raise PortTaken(
                    f"cannot listen on {host}:{port} ({error.strerror}): "
                    "set ATELIER_PORT to a free port"
                ) from error
        time.sleep(LOOK_AGAIN_S)


def _bind(host: str, port: int) -> None:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
