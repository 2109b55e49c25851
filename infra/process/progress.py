"""Shows on the terminal what is being waited for, and for how long already."""

import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import rich.console
import rich.progress
import rich.text

PLAIN_EVERY_SECONDS: Final = 5.0


class Progress:
    """A line with a spinner and the time on a terminal; elsewhere a plain line now and then.

    ``step`` may be called again at any time to tell what the wait is for now. Others who wait for
    the same find it in `file`, where one is given.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._text = ""
        self._began = time.monotonic()
        self._done = threading.Event()
        self._bar = _spinner() if sys.stderr.isatty() else None

    def step(self, text: str) -> None:
        """Tell what is being waited for."""
        if text == self._text:
            return
        self._text = text
        if self._file is not None:
            self._file.write_text(text)
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
        if self._file is not None:
            self._file.unlink(missing_ok=True)
        if self._bar is not None:
            self._bar.stop()

    def _tell_now_and_then(self) -> None:
        while not self._done.wait(PLAIN_EVERY_SECONDS):
            seconds = time.monotonic() - self._began
            print(f"{self._text} ({seconds:.0f} s)", file=sys.stderr, flush=True)


class Bar:
    """How much of an amount is done, with rate and time left; without a terminal plain lines.

    ``unit`` is what is counted, in the plural; ``done`` was there before, and counts for no rate.
    """

    def __init__(self, text: str, total: int, unit: str, *, done: int = 0) -> None:
        self._text, self._total, self._unit = text, total, unit
        self._done = self._before = done
        self._began = self._told = time.monotonic()
        self._bar = _bar(unit) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.add_task(self._text, total=self._total, completed=self._done)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, amount: int) -> None:
        """So much more is done."""
        self.reach(self._done + amount, self._total)

    def reach(self, done: int, total: int) -> None:
        """So much is done, of a total that may have grown."""
        self._done, self._total = done, max(done, total)
        if self._bar is not None:
            self._bar.update(rich.progress.TaskID(0), completed=done, total=self._total)
        elif time.monotonic() - self._told >= PLAIN_EVERY_SECONDS:
            self._told = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self) -> str:
        rate = (self._done - self._before) / (time.monotonic() - self._began)
        left = (self._total - self._done) / rate if rate else 0
        return (
            f"{self._text}: {self._done:,} of {self._total:,} {self._unit},"
            f" {rate:,.0f}/s, {left:.0f} s left"
        )


class _Rate(rich.progress.ProgressColumn):
    """How much a second is done."""

    def render(self, task: rich.progress.Task) -> rich.text.Text:
        speed = task.finished_speed or task.speed
        return rich.text.Text(f"{speed:,.0f}/s" if speed else "")


def _bar(unit: str) -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(bar_width=20),
        rich.progress.TextColumn("{task.completed:,} of {task.total:,} " + unit),
        _Rate(),
        rich.progress.TimeRemainingColumn(),
        console=rich.console.Console(stderr=True),
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
