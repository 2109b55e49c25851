"""Every hairstyle as what it is made of; the names and their numbers stand in the vocabulary."""

from typing import Final

import msgspec

from render_consumers.painting.hair.knots import Braid, Bun, Swept, Tail
from render_consumers.painting.hair.strands import Cut

Part = Cut | Swept | Tail | Bun | Braid


class Hairstyle(msgspec.Struct, frozen=True):
    """What grows, and how dark (0 to 1) the skin under it is with hair."""

    parts: tuple[Part, ...]
    scalp: float = 0.97


def style(*parts: Part, scalp: float = 0.97) -> Hairstyle:
    return Hairstyle(parts, scalp)


def short(**changes: float | None) -> Cut:
    """A man's cut: tapered sides, and a top that falls from the crown."""
    usual: dict[str, float | None] = {
        "top": 0.055, "sides": 0.016, "back": 0.018, "whorl": 1.0, "weight": 0.35, "lift": 0.3,
        "volume": 0.008, "graded": 0.45, "clump": 0.3, "strands": 3200, "width": 0.0024,
        "points": 7,
    }  # fmt: skip
    return Cut(**(usual | changes))  # type: ignore[arg-type]


def long(fall: float, **changes: float | None) -> Cut:
    """Hair that falls from a parting to a height on the template."""
    usual: dict[str, float | None] = {
        "top": 0.74 - fall + 0.17, "sides": 0.74 - fall + 0.12, "fall": fall, "points": 18,
        "dense": 1.35, "part": 0.012, "weight": 0.9, "lift": 0.25, "stiff": 0.4, "volume": 0.016,
        "strands": 2300, "clump": 0.35, "width": 0.0034, "backward": 0.30, "ragged": 0.20,
    }  # fmt: skip
    return Cut(**(usual | changes))  # type: ignore[arg-type]


BANGS = Cut(
    strands=2600, top=0.0, fringe=0.085, sides=0.0, back=0.0, forward=1.0, weight=0.35, lift=0.35,
    volume=0.012, over_face=True, ragged=0.10, clump=0.25, width=0.0030,
)  # fmt: skip
LOW, MIDDLE, HIGH = (0.0, 0.040, 0.690), (0.0, 0.052, 0.765), (0.0, 0.040, 0.828)

STYLES: Final[dict[str, Hairstyle]] = {
    "bald": style(scalp=0.0),
    "stubble": style(scalp=0.5),
    "buzz": style(
        Cut(
            strands=4000,
            points=3,
            top=0.007,
            sides=0.0045,
            width=0.0009,
            lift=0.6,
            whorl=0.6,
            volume=0.001,
        ),
        scalp=0.8,
    ),
    "crew": style(
        short(
            top=0.024,
            fringe=0.030,
            sides=0.009,
            back=0.009,
            lift=0.9,
            forward=0.3,
            width=0.0026,
            strands=3200,
            points=6,
            volume=0.004,
        )
    ),
    "short": style(short(fringe=0.042)),
    "side_part": style(
        short(
            part=0.030,
            whorl=0.2,
            sweep=1.1,
            backward=0.25,
            top=0.080,
            fringe=0.085,
            clump=0.4,
            lift=0.35,
            weight=0.7,
            sides=0.022,
            back=0.022,
        )
    ),
    "quiff": style(
        short(
            top=0.065,
            fringe=0.070,
            up=1.3,
            backward=1.0,
            whorl=0.0,
            lift=0.6,
            weight=0.15,
            graded=0.65,
            sides=0.014,
            back=0.016,
        )
    ),
    "pompadour": style(
        short(
            top=0.095,
            fringe=0.115,
            up=1.3,
            backward=1.3,
            whorl=0.0,
            lift=0.55,
            weight=0.450,
            volume=0.026,
            sides=0.022,
            graded=0.8,
            clump=0.25,
        )
    ),
    "slick_back": style(
        short(
            top=0.11,
            sides=0.060,
            back=0.045,
            backward=1.3,
            whorl=0.0,
            lift=0.03,
            weight=0.30,
            stiff=0.3,
            volume=0.0035,
            graded=0.0,
            clump=0.55,
            frizz=0.001,
            points=10,
        )
    ),
    "undercut": style(
        short(
            top=0.105,
            fringe=0.115,
            sides=0.006,
            back=0.006,
            part=0.038,
            sweep=0.7,
            backward=1.0,
            whorl=0.0,
            lift=0.45,
            weight=0.45,
            volume=0.012,
            graded=0.8,
        )
    ),
    "french_crop": style(
        short(
            top=0.040,
            fringe=0.048,
            sides=0.010,
            back=0.010,
            forward=1.0,
            whorl=0.3,
            lift=0.35,
            weight=0.3,
            over_face=True,
            volume=0.007,
        )
    ),
    "spiky": style(
        short(
            top=0.050,
            fringe=0.045,
            sides=0.018,
            back=0.022,
            lift=2.0,
            whorl=0.15,
            weight=0.0,
            clump=0.92,
            stiff=0.8,
        )
    ),
    "faux_hawk": style(
        short(
            top=0.060,
            fringe=0.050,
            sides=0.008,
            back=0.012,
            lift=1.8,
            backward=0.3,
            whorl=0.0,
            weight=0.0,
            clump=0.7,
            stiff=0.8,
            strip=0.032,
            graded=0.0,
        )
    ),
    "curtains": style(
        short(
            part=0.0,
            sweep=1.2,
            whorl=0.1,
            top=0.125,
            fringe=0.135,
            sides=0.055,
            back=0.050,
            graded=0.2,
            weight=0.8,
            lift=0.45,
            volume=0.014,
            points=11,
            strands=2600,
            stiff=0.4,
            width=0.003,
        )
    ),
    "short_curls": style(
        short(
            top=0.050,
            sides=0.026,
            back=0.028,
            curl=0.006,
            pitch=0.022,
            points=16,
            clump=0.6,
            volume=0.018,
            width=0.0032,
            lift=0.9,
        )
    ),
    "curls": style(
        short(
            top=0.095,
            fringe=0.075,
            sides=0.070,
            back=0.085,
            curl=0.010,
            pitch=0.034,
            points=20,
            clump=0.6,
            volume=0.028,
            width=0.0036,
            strands=1700,
            lift=0.8,
            over_face=True,
        )
    ),
    "afro": style(
        Cut(
            strands=2200,
            points=14,
            top=0.078,
            sides=0.056,
            lift=3.0,
            whorl=0.05,
            weight=0.0,
            curl=0.0045,
            pitch=0.012,
            clump=0.1,
            frizz=0.006,
            width=0.00280,
            stiff=0.9,
            ragged=0.160,
            volume=0.0,
        )
    ),
    "dreads": style(
        long(0.60, rope=0.0050, strands=1400, points=18, width=0.0052, volume=0.014, part=0.0)
    ),
    "mullet": style(
        short(top=0.065, sides=0.022, back=0.15, forward=0.35, whorl=0.7, weight=0.45, points=12)
    ),
    "top_knot": style(
        Swept(knot=HIGH), Bun(middle=(0.0, 0.046, 0.858), axis=(0.0, 0.35, 1.0), radius=0.027)
    ),
    "pixie": style(
        short(
            top=0.070,
            fringe=0.085,
            sides=0.040,
            back=0.036,
            part=0.028,
            sweep=0.8,
            whorl=0.5,
            forward=0.35,
            lift=0.5,
            over_face=True,
        )
    ),
    "bob": style(long(0.640)),
    "bob_fringe": style(long(0.645, part=0.0, ragged=0.08), BANGS),
    "lob": style(long(0.575, part=0.020, curl=0.006, pitch=0.11, flat=0.1)),
    "shag": style(
        long(
            0.585,
            ragged=0.8,
            strands=2200,
            curl=0.007,
            pitch=0.07,
            clump=0.65,
            volume=0.024,
            frizz=0.006,
        ),
        BANGS,
    ),
    "layered": style(
        long(0.500, ragged=0.9, strands=2300, curl=0.006, pitch=0.12, flat=0.4, volume=0.018)
    ),
    "long_straight": style(long(0.38, part=0.0, frizz=0.0015)),
    "long_wavy": style(
        long(
            0.40,
            curl=0.010,
            pitch=0.095,
            flat=0.35,
            points=28,
            strands=1900,
            volume=0.018,
            clump=0.5,
        )
    ),
    "long_curly": style(
        long(
            0.44,
            curl=0.013,
            pitch=0.075,
            points=42,
            strands=1200,
            volume=0.018,
            clump=0.6,
            dense=1.0,
            width=0.0044,
            frizz=0.006,
        )
    ),
    "fringe": style(long(0.42, part=0.0), BANGS),
    "side_swept": style(
        long(
            0.46,
            part=0.034,
            backward=1.0,
            sweep=1.4,
            lift=0.4,
            curl=0.004,
            pitch=0.12,
            flat=0.2,
            points=20,
            volume=0.02,
        )
    ),
    "half_up": style(
        long(0.42, part=0.0, below=0.765, ragged=0.15),
        Swept(knot=MIDDLE, above=0.765, strands=1100),
        Tail(
            path=((0.0, 0.055, 0.765), (0.0, 0.075, 0.730), (0.0, 0.070, 0.60), (0.0, 0.075, 0.50)),
            radius=0.022,
            strands=300,
        ),
    ),
    "ponytail": style(
        Swept(knot=MIDDLE),
        Tail(
            path=(
                (0.0, 0.050, 0.765),
                (0.0, 0.088, 0.765),
                (0.0, 0.100, 0.70),
                (0.0, 0.085, 0.58),
                (0.0, 0.080, 0.46),
            )
        ),
    ),
    "high_ponytail": style(
        Swept(knot=HIGH),
        Tail(
            path=(
                (0.0, 0.040, 0.826),
                (0.0, 0.075, 0.862),
                (0.0, 0.120, 0.80),
                (0.0, 0.115, 0.66),
                (0.0, 0.085, 0.50),
            ),
            radius=0.028,
        ),
    ),
    "pigtails": style(
        *(
            part
            for s in (1, -1)
            for part in (
                Swept(knot=(0.082 * s, -0.005, 0.735), side=s, strands=700),
                Tail(
                    path=(
                        (0.083 * s, -0.005, 0.735),
                        (0.112 * s, -0.002, 0.725),
                        (0.125 * s, -0.015, 0.65),
                        (0.115 * s, -0.03, 0.56),
                    ),
                    radius=0.022,
                    strands=260,
                ),
            )
        )
    ),
    "braid": style(
        Swept(knot=LOW),
        Braid(
            path=((0.0, 0.038, 0.692), (0.0, 0.062, 0.660), (0.0, 0.066, 0.56), (0.0, 0.068, 0.40)),
            crossings=9.0,
            width=0.034,
        ),
    ),
    "braids": style(
        *(
            part
            for s in (1, -1)
            for part in (
                Swept(knot=(0.060 * s, 0.010, 0.690), side=s, strands=700),
                Braid(
                    path=(
                        (0.060 * s, 0.012, 0.690),
                        (0.078 * s, 0.015, 0.66),
                        (0.092 * s, -0.04, 0.59),
                        (0.088 * s, -0.105, 0.52),
                        (0.085 * s, -0.135, 0.44),
                    ),
                    strands=280,
                    width=0.026,
                    crossings=9.0,
                ),
            )
        )
    ),
    "box_braids": style(
        long(0.44, rope=0.0036, strands=1700, points=26, width=0.0040, volume=0.012, part=0.0)
    ),
    "bun": style(Swept(knot=MIDDLE), Bun(middle=(0.0, 0.066, 0.770), axis=(0.0, 1.0, 0.15))),
    "low_bun": style(
        Swept(knot=LOW, volume=0.010),
        Bun(middle=(0.0, 0.052, 0.690), axis=(0.0, 1.0, -0.25), radius=0.034),
    ),
}
