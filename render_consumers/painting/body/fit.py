"""Finds the body whose measurements are the ones asked for: damped Gauss-Newton on the controls.

Controls that nothing asks to move stay where an average person has them.
"""

import msgspec
import torch
from torch import Tensor

from domain.measurements import Measurements
from render_consumers.painting.body.body import PHENOTYPES, Body
from render_consumers.painting.body.measure import NAMES, Tape

STEPS = 12
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
    asked = _asked(wanted)
    bend = _Bend(body, start)
    rows = [NAMES.index(name) for name in asked]
    target = start.new_tensor(list(asked.values()))
    sigma = start.new_tensor([_tolerance(name) for name in asked])
    free = torch.zeros(len(FREE) + 1, device=start.device)
    for _ in range(STEPS if asked else 0):
        read = bend.read(tape, _probes(free))[:, rows]
        slope = ((read[1:] - read[0]) / PROBE / sigma).T
        misfit = (target - read[0]) / sigma
        pull = slope.T @ misfit - bend.stiffness * free
        step = torch.linalg.solve(slope.T @ slope + torch.diag(bend.stiffness), pull)
        free = torch.clamp(free + step.clamp(-0.6, 0.6), bend.low, bend.high)
    read = bend.read(tape, free[None])[0]
    exact = wanted.height / float(read[NAMES.index("Height")]) if wanted.height else 1.0
    scale = exact * float(1 + free[-1] / 10)
    achieved = {
        name: round(float(value) * exact, 2) for name, value in zip(NAMES, read, strict=True)
    }
    return Fitted(bend.controls(free[None])[0], scale, achieved)


class _Bend:
    """The free controls and, last, the scale in tenths, all as differences from the start."""

    def __init__(self, body: Body, start: Tensor) -> None:
        self._body, self._start = body, start
        self._place = torch.tensor([body.index[name] for name in FREE], device=start.device)
        ease, low, high = start.new_tensor(list(FREE.values())).unbind(1)
        origin = start[self._place]
        self.low = torch.cat([torch.minimum(low - origin, origin * 0), start.new_tensor([-4.0])])
        self.high = torch.cat([torch.maximum(high - origin, origin * 0), start.new_tensor([5.0])])
        self.stiffness = torch.cat([(STIFF / ease).square(), start.new_tensor([STRETCH**2])])

    def controls(self, free: Tensor) -> Tensor:
        controls = self._start.repeat(len(free), 1)
        controls[:, self._place] += free[:, :-1]
        return controls

    def read(self, tape: Tape, free: Tensor) -> Tensor:
        weights = self._body.coefficients(self.controls(free))
        return tape.read(weights) * (1 + free[:, -1:] / 10)


def _probes(free: Tensor) -> Tensor:
    """The point itself and, for the slopes, one step along each of its coordinates."""
    return torch.cat([free[None], free + PROBE * torch.eye(len(free), device=free.device)])


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
