"""Adults of all shapes, drawn by chance and measured, to be asked for again."""

from collections.abc import Iterator

import msgspec
import numpy as np
from torch import Tensor

from domain.measurements import Measurements
from render_consumers.painting.body.body import PHENOTYPES, Body
from render_consumers.painting.body.fit import FREE, Fitted, fit, start_from
from render_consumers.painting.body.measure import NAMES, Tape


class Adult(msgspec.Struct, frozen=True):
    """Who was asked for, and the body that was fitted; centimetres."""

    gender: float
    wanted: dict[str, float]
    fitted: Fitted


def adults(body: Body, tape: Tape, count: int, seed: int = 7) -> Iterator[Adult]:
    """Men and women in turn, slim and heavy, tall and short."""
    chance = np.random.default_rng(seed)
    for i in range(count):
        gender = float(i % 2)
        measured = tape.lay(body.coefficients(_drawn(body, gender, chance)[None])[0]).measured
        wanted = dict(zip(NAMES, measured.tolist(), strict=True))
        asked = asking(wanted)
        yield Adult(gender, wanted, fit(body, tape, start_from(body, gender, asked), asked))


def asking(values: dict[str, float]) -> Measurements:
    """A request for these, of which one may not ask for the girth under the bust."""
    fields = {name.lower().replace(" ", "_"): at for name, at in values.items()}
    return Measurements(**{name: at for name, at in fields.items() if name != "underbust"})


def _drawn(body: Body, gender: float, chance: np.random.Generator) -> Tensor:
    controls = body.neutral()
    for name in FREE:
        shape = chance.normal(0.5, 0.25) if name in PHENOTYPES else chance.normal(0, 0.35)
        low, high = (0.0, 1.0) if name in PHENOTYPES else (-0.8, 0.8)
        controls[body.index[name]] = float(np.clip(shape, low, high))
    controls[body.index["gender"]] = gender
    controls[body.index["weight"]] = float(np.clip(chance.normal(0.6, 0.35), 0.0, 1.5))
    return controls
