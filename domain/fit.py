"""How a garment fits the person who wears it, girth by girth."""

from typing import Literal

import msgspec

Girth = Literal["bust", "waist", "hips", "thigh", "upper_arm", "neck"]
Verdict = Literal["tight", "good", "loose"]


class GirthFit(msgspec.Struct, frozen=True, kw_only=True):
    """A girth of the body and the garment's at the same place, in centimetres.

    ``ease`` is the garment's less the body's. Where that is below 0 the cloth is stretched by
    ``strain``, as a share of its length. The verdict compares with the ease that such a garment is
    cut with.
    """

    girth: Girth
    body: float
    garment: float
    ease: float
    strain: float
    verdict: Verdict


class GarmentFit(msgspec.Struct, frozen=True, kw_only=True):
    """How one piece fits: its ``kind`` and size, and the size that would fit best.

    Sizes are told as the garment's own are, such as ``38`` or ``34/32``.
    """

    piece: Literal["top", "bottom"]
    kind: str
    size: str
    best_size: str
    girths: tuple[GirthFit, ...]
