"""Shows on the terminal what is being waited for, and for how long already."""

import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

import rich.console
import rich.progress

PLAIN_EVERY_SECONDS: Final = 5.0


class Progress:
    """A line with a spinner and the time on a terminal; elsewhere a plain line now and then.

    ``step`` may be called again at any time to tell what the wait is for now.
    """

    def __init__(self) -> None:
        self._text = ""
        self._began = time.monotonic()
        self._done = threading.Event()
        self._bar = _spinner() if sys.stderr.isatty() else None

    def step(self, text: str) -> None:
        """Tell what is being waited for."""
        self._text = text
        if self._bar is not None:
            self._bar.update(rich.progress.TaskID(0), description=text)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.add_task("")
            self._bar.start()
        else:
            threading.Thread(target=self._tell_now_and_then, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._bar is not None:
            self._bar.stop()

    def _tell_now_and_then(self) -> None:
        while not self._done.wait(PLAIN_EVERY_SECONDS):
            seconds = time.monotonic() - self._began
            print(f"{self._text} ({seconds:.0f} s)", file=sys.stderr, flush=True)


def _spinner() -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}"),
        rich.progress.TimeElapsedColumn(),
        console=rich.console.Console(stderr=True),
        transient=True,
    )
