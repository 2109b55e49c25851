"""The tape is held against a second one that cuts the finished mesh and shares no code with it."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from domain.measurements import Measurements
from domain.vocabulary import POSES
from render_consumers.painting.body.body import Body, standing
from render_consumers.painting.body.fit import Fitted
from render_consumers.painting.body.measure import (
    DERIVED,
    NAMES,
    SKIN,
    TABLE,
    Girth,
    Tape,
    girth,
)
from tests.support.adults import Adult, adults
from tests.support.second_tape import SecondTape

WITHIN = {"Bust": 1.0, "Cup": 1.0}  # centimetres; everything else within half of one
MANY = 20
ROOT = Path(__file__).parents[5]
PAGE = (ROOT / "docs" / "measurements.md").read_text()


def test_the_page_names_all_measurements_and_their_kind() -> None:
    names = Measurements.__struct_encode_fields__
    shares = {"Muscle": "share", "Body Fat": "share"}
    kinds = {name: "girth" if isinstance(rule, Girth) else "length" for name, rule in TABLE.items()}
    kinds |= dict.fromkeys(DERIVED, "derived") | shares
    told = re.findall(r"^\| `([^`]+)` \| (girth|length|derived|share) \| .+ \| .+ \|$", PAGE, re.M)
    assert told == [(name, kinds[name]) for name in names]
    assert len(names) == 22


def test_the_page_says_to_the_letter_where_the_tape_lies() -> None:
    for name, rule in TABLE.items():
        if isinstance(rule, Girth):
            zone = rule.share[0] != rule.share[1]
            share = " to ".join(map(str, rule.share)) if zone else str(rule.share[0])
            which, plane = rule.pick if zone else "the one", "across" if rule.across else "level"
            way = " | ".join(f"`{mark}`" for mark in rule.way)
            assert f"| `{name}` | {way} | {share} | {which} | {plane} |" in PAGE
    for mark, places in SKIN.items():
        assert f"| `{mark}` | {' '.join(map(str, places))} |" in PAGE


def test_the_page_can_be_found_from_the_others() -> None:
    assert "](docs/measurements.md)" in (ROOT / "README.md").read_text()
    assert "](measurements.md)" in (ROOT / "docs" / "api.md").read_text()


def around(points: torch.Tensor) -> float:
    """What a tape reads around points (P, 2), by how far they reach in 48 directions."""
    angle = torch.arange(48) * (2 * math.pi / 48)
    return float(girth((points @ torch.stack([angle.cos(), angle.sin()]))[:, None]))


def test_a_tape_around_a_circle_reads_its_circumference() -> None:
    angle = torch.arange(400) * (2 * math.pi / 400)
    assert around(0.2 * torch.stack([angle.cos(), angle.sin()], dim=1)) == pytest.approx(
        2 * math.pi * 0.2, rel=1e-3
    )


def test_a_tape_bridges_a_hollow() -> None:
    square = torch.tensor([[0, 0], [1, 0], [1, 1], [0.5, 0.2], [0, 1]])
    assert around(square) == pytest.approx(4.0, rel=2e-3)


def test_every_measurement_is_that_of_a_second_tape_on_the_finished_mesh(
    body: Body, few: list[Adult]
) -> None:
    for adult in few:
        compare(body, adult.fitted)


@pytest.mark.long
def test_every_measurement_of_many_adults_is_that_of_a_second_tape(body: Body, tape: Tape) -> None:
    for adult in adults(body, tape, MANY):
        compare(body, adult.fitted)


def compare(body: Body, fitted: Fitted) -> None:
    second = second_tape(body, fitted).read()
    apart = {name: abs(fitted.achieved[name] - second[name]) for name in NAMES}
    assert {name: cm for name, cm in apart.items() if cm > WITHIN.get(name, 0.5)} == {}


def second_tape(body: Body, fitted: Fitted) -> SecondTape:
    """On the skin of somebody who stands in the I-pose, barefoot; centimetres."""
    skin = body.posed(body.shaped(fitted.controls), standing(POSES["i-pose"]))
    vertices, faces = np.unique(body.assets.parts["body"].numpy(), return_inverse=True)
    places = 100 * fitted.scale * skin.vertices.double().numpy()[vertices]
    joints = 100 * fitted.scale * skin.joints.double().numpy()
    template = body.assets.template.double().numpy()[vertices]

    def lowest(spots: tuple[tuple[float, float, float], ...]) -> np.ndarray:
        near = [int(np.linalg.norm(template - spot, axis=1).argmin()) for spot in spots]
        return min(places[near], key=lambda place: float(place[2]))

    marks = {name: lowest(spots) for name, spots in SKIN.items()}
    bones = dict(zip(body.assets.bone_names, joints, strict=True))
    return SecondTape(places, faces.reshape(-1, 3), bones, marks)


@pytest.mark.parametrize("pose", ["i-pose", "a-pose", "t-pose"])
def test_whoever_stands_upright_is_as_tall_as_asked_barefoot(
    body: Body, few: list[Adult], pose: str
) -> None:
    skin_at = body.assets.parts["body"].flatten()
    for adult in few:
        skin = body.posed(body.shaped(adult.fitted.controls), standing(POSES[pose]))
        z = 100 * adult.fitted.scale * skin.vertices[skin_at, 2]
        assert float(z.max()) == pytest.approx(adult.wanted["Height"], abs=0.1)
        assert float(z.min()) == pytest.approx(0, abs=1e-3)


def test_a_tape_that_is_laid_on_a_body_reads_those_near_it(body: Body, tape: Tape) -> None:
    controls = body.neutral().repeat(2, 1)
    controls[1, body.index["measure-hips-circ-incr"]] = 0.05
    weights = body.coefficients(controls)
    near, there = tape.lay(weights[0]).near(weights), tape.lay(weights[1]).measured
    assert near[1].tolist() == pytest.approx(there.tolist(), abs=0.1)
    assert near[0].tolist() == pytest.approx(tape.lay(weights[0]).measured.tolist(), abs=1e-3)
    assert near[1, NAMES.index("Hips")] > near[0, NAMES.index("Hips")] + 0.1
