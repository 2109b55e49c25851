"""What every benchmark ends with: one table on the screen, one file of results."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

RESULTS = Path("bench-results")
WIDTH = 120  # columns, where no terminal has its own


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing measured: ours, the peer that a user would pick instead, and the limit."""

    name: str
    unit: str
    ours: float
    peer: float | None = None
    limit: float | None = None

    def over(self, other: float | None) -> float | None:
        """Ours as a multiple of another figure."""
        return None if other is None else self.ours / other


def median(values: Sequence[float]) -> float:
    """The middle of at least three runs."""
    assert len(values) >= 3, "measure at least three times"
    return statistics.median(values)


def report(name: str, figures: Sequence[Figure]) -> None:
    """Print the figures and keep them in ``bench-results/NAME.json``."""
    table = Table(title=name)
    for column in ("", "unit", "ours", "peer", "limit", "ours/peer", "ours/limit"):
        table.add_column(column, justify="left" if column in ("", "unit") else "right")
    for f in figures:
        numbers = (f.ours, f.peer, f.limit, f.over(f.peer), f.over(f.limit))
        table.add_row(f.name, f.unit, *("" if n is None else f"{n:,.2f}" for n in numbers))
    console = Console()
    (console if console.is_terminal else Console(width=WIDTH)).print(table)
    RESULTS.mkdir(exist_ok=True)
    rows = [
        msgspec.structs.asdict(f)
        | {"ours_per_peer": f.over(f.peer), "ours_per_limit": f.over(f.limit)}
        for f in figures
    ]
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n")
