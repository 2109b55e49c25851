"""Shows on the terminal what is being waited for, and for how long already."""

import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

import rich.console
import rich.progress
import rich.text

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


class Counted:
    """A bar with count, rate and time left on a terminal; elsewhere a plain line now and then.

    The total may grow while the work goes on.
    """

    def __init__(self, text: str, unit: str) -> None:
        self._text = text
        self._unit = unit
        self._began = self._told = time.monotonic()
        self._bar = _bar(unit) if sys.stderr.isatty() else None

    def reach(self, done: int, total: int) -> None:
        """Tell how far the work has come."""
        if self._bar is not None:
            self._bar.update(rich.progress.TaskID(0), completed=done, total=max(done, total))
        elif time.monotonic() - self._told > PLAIN_EVERY_SECONDS:
            self._told = time.monotonic()
            rate = done / (self._told - self._began)
            left = (total - done) / rate if rate else 0
            text = f"{self._text}: {done:,} of {total:,} {self._unit}"
            print(f"{text}, {rate:,.0f}/s, {left:.0f} s left", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.add_task(self._text, total=None)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Rate(rich.progress.ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: rich.progress.Task) -> rich.text.Text:
        rate = f", {task.speed:,.0f}/s" if task.speed else ""
        return rich.text.Text(f"{task.completed:,.0f} {self._unit}{rate}")


def _bar(unit: str) -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(bar_width=None),
        _Rate(unit),
        rich.progress.TimeRemainingColumn(),
        console=rich.console.Console(stderr=True),
        expand=True,
        transient=True,
    )


def _spinner() -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}"),
        rich.progress.TimeElapsedColumn(),
        console=rich.console.Console(stderr=True),
        transient=True,
    )
