"""The 22 body measurements of the contract, their units and plausible ranges."""

from typing import Annotated

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


def _range(low: float, high: float) -> msgspec.Meta:
    return msgspec.Meta(ge=low, le=high)


class Measurements(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename=lambda name: name.replace("_", " ").title(),
):
    """Body measurements under the contract's own names; absent ones follow from the body.

    Lengths and girths are in centimetres. ``muscle`` and ``body_fat`` are shares from 0 to 1.
    ``cup`` is the bust girth less the underbust girth. ``neck_thickness``, the ``*_size`` fields,
    ``bust``, ``waist``, ``belly`` and ``hips`` are girths.
    """

    height: Annotated[float, _range(100, 250)] | None = None
    thigh_length: Annotated[float, _range(20, 80)] | None = None
    calf_length: Annotated[float, _range(20, 80)] | None = None
    feet_length: Annotated[float, _range(12, 40)] | None = None
    neck_length: Annotated[float, _range(3, 25)] | None = None
    shoulder_width: Annotated[float, _range(20, 75)] | None = None
    upper_arm_length: Annotated[float, _range(12, 55)] | None = None
    forearm_length: Annotated[float, _range(12, 50)] | None = None
    hand_length: Annotated[float, _range(9, 32)] | None = None
    muscle: Share | None = None
    body_fat: Share | None = None
    neck_thickness: Annotated[float, _range(18, 70)] | None = None
    bust: Annotated[float, _range(45, 200)] | None = None
    cup: Annotated[float, _range(0, 50)] | None = None
    waist: Annotated[float, _range(35, 220)] | None = None
    belly: Annotated[float, _range(35, 240)] | None = None
    hips: Annotated[float, _range(45, 240)] | None = None
    thigh_size: Annotated[float, _range(25, 120)] | None = None
    calf_size: Annotated[float, _range(18, 75)] | None = None
    upper_arm_size: Annotated[float, _range(13, 80)] | None = None
    forearm_size: Annotated[float, _range(12, 60)] | None = None
    hand_size: Annotated[float, _range(10, 45)] | None = None
