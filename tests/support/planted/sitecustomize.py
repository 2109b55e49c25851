"""What Python imports first in each process whose path begins with this folder: it plants faults.

Which ones, the environment says:

``PLANTED_CLOCKS``
    Processes whose clocks go wrong, and by how many seconds: ``api=-300 render-consumer=300``.
``PLANTED_STEPS``
    A folder. A render consumer that comes to one of the `steps` with a task looks there for a file
    of the step's name, whose content is a signal and a task, and sends itself that signal. Each
    file counts once.
``PLANTED_ENGINE``
    Set to ``small``, render consumers make pictures that cost nothing: without torch, which takes
    seconds to load, they start at once.
``PLANTED_SLOWNESS``
    Seconds that a render consumer rests when it has staged or published a file, as over a slow
    network: so a run that freezes it at random meets it in between, and sees what is there only for
    a moment.
``CHAOS_PLANT``
    A check to take out of the render consumers.
"""

import ctypes
import datetime
import functools
import gc
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

PROCESS: Final = sys.orig_argv[-1]


def shift_clock(seconds: float) -> None:
    """Let all of Python's clocks that tell the time of day go wrong by so much."""
    tell, tell_ns, now = time.time, time.time_ns, datetime.datetime.now

    def shifted(_kind: type, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return now(tz) + datetime.timedelta(seconds=seconds)

    time.time = lambda: tell() + seconds
    time.time_ns = lambda: tell_ns() + int(seconds * 1_000_000_000)
    # Its type is written in C and shared by all: it takes no attribute in any other way.
    (members,) = gc.get_referents(datetime.datetime.__dict__)
    members["now"] = classmethod(shifted)
    members["utcnow"] = classmethod(lambda kind: shifted(kind, datetime.UTC).replace(tzinfo=None))
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))
    assert abs(datetime.datetime.now(datetime.UTC).timestamp() - tell() - seconds) < 1


def draw_little() -> None:
    """Have render consumers draw without a painter; none of what it needs is loaded."""
    painter = types.ModuleType("render_consumers.painting.painter")
    painter.__dict__.update(Stopped=type("Stopped", (Exception,), {}), Painter=lambda: None)
    sys.modules[painter.__name__] = painter
    from render_consumers.engines.job import Job, Result
    from tests.support.engine import SmallEngine

    class Engine(SmallEngine):
        def _outcome(self, job: Job) -> Result | Exception:
            job.told("drawing", 0.5)
            return super()._outcome(job)

    engine = types.ModuleType("render_consumers.engines.engine")
    engine.__dict__.update(LocalEngine=lambda painter, media, redrawing: Engine())
    sys.modules[engine.__name__] = engine


def slow_down_files(seconds: float) -> None:
    """Have each staged file take a while, and each published one."""
    from infra.media.store import MediaStore

    put, copy = MediaStore.put, MediaStore.copy

    def put_slowly(self: MediaStore, key: str, *rest: Any) -> None:
        put(self, key, *rest)
        if key.startswith("staging/"):
            time.sleep(seconds)

    def copy_slowly(self: MediaStore, source: str, target: str) -> None:
        copy(self, source, target)
        time.sleep(seconds)

    MediaStore.put = put_slowly  # type: ignore[method-assign, assignment]
    MediaStore.copy = copy_slowly  # type: ignore[method-assign]


def steps(folder: Path) -> None:
    """Have this consumer struck at the steps of its work."""
    from commands.render import CompleteRender, StartRender
    from infra.media.store import MediaStore
    from render_consumers.loop import consumer
    from render_consumers.loop.leases import Heartbeat

    come_to = functools.partial(_come_to, folder)
    execute = consumer.execute  # type: ignore[attr-defined]
    tell, upload, copy = Heartbeat.tell, consumer.Consumer._upload, MediaStore.copy
    around: dict[type, str] = {StartRender: "claim", CompleteRender: "event"}

    def executed(command: Any, *rest: Any, **options: Any) -> Any:
        step = around.get(type(command), "command")
        come_to(f"before-{step}", command.aggregate_id)
        outcome = execute(command, *rest, **options)
        come_to(f"after-{step}", command.aggregate_id)
        return outcome

    def told(self: Heartbeat, *what: Any) -> None:
        come_to(f"in-{what[0]}", self._task)
        tell(self, *what)

    def uploaded(self: consumer.Consumer, claim: Any, result: Any) -> None:
        upload(self, claim, result)
        come_to("after-upload", claim.task)

    def copied(self: MediaStore, source: str, target: str) -> None:
        come_to("before-copy", source.split("/")[1])
        copy(self, source, target)

    consumer.execute = executed  # type: ignore[attr-defined]
    Heartbeat.tell = told  # type: ignore[method-assign, assignment]
    consumer.Consumer._upload = uploaded  # type: ignore[method-assign]
    MediaStore.copy = copied  # type: ignore[method-assign]


def _come_to(folder: Path, step: str, task: object) -> None:
    order = folder / step
    if order.exists():
        how, whom = order.read_text().split()
        if whom == str(task):
            order.unlink()
            os.kill(os.getpid(), signal.Signals[how])


def without_fencing() -> None:
    """No attempt learns that it is over: neither by its lease nor by the log."""
    import commands.render
    from render_consumers.loop.leases import Leases

    assert callable(commands.render._check_current)
    assert callable(Leases.renew)
    commands.render._check_current = lambda *_: None
    Leases.renew = lambda *_: True  # type: ignore[method-assign]


def without_renewal() -> None:
    """Leases are renewed while a task is rendered, but not before its files are published."""
    from render_consumers.loop.leases import Leases

    renew = Leases.renew

    def renew_while_rendering(self: Leases, *rest: Any) -> bool:
        return threading.current_thread().name != "heartbeat" or renew(self, *rest)

    Leases.renew = renew_while_rendering  # type: ignore[method-assign, assignment]


CHECKS: Final[dict[str, Callable[[], None]]] = {
    "nothing": lambda: None,
    "fencing": without_fencing,
    "renewal": without_renewal,
}


def main() -> None:
    """Change this process, or end it when what should be changed is no longer there."""
    environ = os.environ
    clocks = dict(each.split("=") for each in environ.get("PLANTED_CLOCKS", "").split())
    try:
        if PROCESS in clocks:
            shift_clock(float(clocks[PROCESS]))
        if PROCESS == "render-consumer":
            if environ.get("PLANTED_ENGINE"):
                draw_little()
            if folder := environ.get("PLANTED_STEPS"):
                steps(Path(folder))
            slow_down_files(float(environ.get("PLANTED_SLOWNESS", 0)))
            CHECKS[environ.get("CHAOS_PLANT", "nothing")]()
    except Exception as error:  # Python itself would only print it and go on
        sys.exit(f"the fault cannot be planted: {error!r}")


main()
